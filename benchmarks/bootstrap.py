"""Paired bootstrap of 1,000 resamples over 10,000 items, against a plain resampling loop in the same run.

`python benchmarks/bootstrap.py` prints both medians; the goal is under 2 s. The metric is corpus BLEU-2
rebuilt from six per-item counts, the shape most text metrics have; the peer draws indices and sums rows
one resample at a time.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from hearten.evaluate.significance import paired_bootstrap
from hearten.evaluate.statistics import Array, ItemStatistics

ITEMS, RESAMPLES, REPEATS, PEER_SHARE = 10_000, 1_000, 3, 10


def bleu2(sums: Array) -> Array:
    """(R, 6) sums of matches 1, matches 2, unigrams, bigrams, hypothesis and reference length → (R,)."""
    precision = np.sqrt(sums[:, 0] / sums[:, 2] * sums[:, 1] / sums[:, 3])
    return precision * np.exp(np.minimum(0.0, 1 - sums[:, 5] / sums[:, 4]))


def system(seed: int, quality: float) -> ItemStatistics:
    draw = np.random.default_rng(seed)
    length = draw.integers(5, 40, ITEMS)
    unigrams = draw.binomial(length, quality)
    bigrams = draw.binomial(unigrams, 0.3)
    rows = np.column_stack([unigrams, bigrams, length, length - 1, length, draw.integers(5, 40, ITEMS)])
    return ItemStatistics("BLEU-2", rows.astype(float), bleu2)


def plain(first: ItemStatistics, second: ItemStatistics, resamples: int) -> float:
    draw = np.random.default_rng(13)
    differences = []
    for _ in range(resamples):
        chosen = draw.integers(0, ITEMS, ITEMS)
        one, two = (s.combine(s.rows[chosen].sum(axis=0, keepdims=True))[0] for s in (first, second))
        differences.append(two - one)
    return float(np.mean(differences))


def seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    a, b = system(1, 0.18), system(2, 0.181)
    ours = seconds(lambda: paired_bootstrap(a, b, resamples=RESAMPLES))
    peer = seconds(lambda: plain(a, b, RESAMPLES))
    print(f"paired bootstrap, {RESAMPLES:,} resamples of {ITEMS:,} items: {ours:.2f} s (goal: under 2 s)")
    print(f"one resample at a time: {peer:.2f} s; ratio {peer / ours:.1f}")
