"""Is the difference between two systems more than chance? Tests on stored per-item statistics.

Paired bootstrap (Koehn 2004; p-value by centring, Efron and Tibshirani 1993, section 16.4) and approximate
randomisation (Riezler and Maxwell 2005) work for every metric that keeps `ItemStatistics`; Student's t is
what ESConv's Table 4 used, the sign test what its Table 5 used, McNemar compares two strategy predictors.
The classical tests are scipy's and statsmodels'. Nothing here knows what a run is.

`python benchmarks/bootstrap.py` times it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as contingency_mcnemar
from threadpoolctl import threadpool_limits

from hearten.core.errors import Failure
from hearten.evaluate.statistics import Array, ItemStatistics

RESAMPLES = 1000
SEED = 13
CHUNK = 100
"""Resamples drawn at once: 100 × 10,000 counts are 8 MB."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two systems on the same items."""

    metric: str
    test: str
    first: float
    second: float
    p: float
    """Two-sided; NaN when the test is undefined."""
    items: int
    interval: tuple[float, float] | None = None
    """95% interval of second − first, where the test gives one."""

    @property
    def value(self) -> float:
        """How much the second is above the first."""
        return self.second - self.first


def _draws(items: int, resamples: int, seed: int) -> Iterator[Array]:
    """Chunks (≤ CHUNK, N) of how often each item was drawn, with replacement, into each resample."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        chosen = generator.integers(0, items, size=(size, items), dtype=np.int64)
        chosen += np.arange(size)[:, None] * items
        yield np.bincount(chosen.ravel(), minlength=size * items).reshape(size, items).astype(np.float64)


def bootstrap(*systems: ItemStatistics, resamples: int = RESAMPLES, seed: int = SEED) -> Array:
    """(S, R) values of S systems on the same R resamples of their items.

    Raises:
        Failure: there is no item, or the systems have different numbers of items.
    """
    items = _paired(*systems)
    with threadpool_limits(1):  # the products are small: threads would wait for each other
        sums = [[counts @ system.rows for system in systems] for counts in _draws(items, resamples, seed)]
    columns = zip(*sums, strict=True)  # S × chunks of (C, k)
    return np.stack([s.combine(np.concatenate(rows)) for s, rows in zip(systems, columns, strict=True)])


def interval(
    system: ItemStatistics, *, resamples: int = RESAMPLES, seed: int = SEED, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval; None when the metric is undefined on too many resamples."""
    return percentile(bootstrap(system, resamples=resamples, seed=seed)[0], level)


def percentile(values: Array, level: float = 0.95) -> tuple[float, float] | None:
    """The central `level` of `values`, NaN left out; None if more than one in twenty is NaN."""
    defined = values[np.isfinite(values)]
    if not _enough(defined, values.size):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(
    first: ItemStatistics, second: ItemStatistics, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Difference:
    """Both systems on the same resamples of items.

    p is how often a resampled difference lies as far from the mean of resampled differences as the
    observed one lies from zero, with one added to both counts so that it is never 0; undefined (NaN) when
    the metric is undefined on more than one resample in twenty.
    """
    one, two = bootstrap(first, second, resamples=resamples, seed=seed)
    differences = two - one
    observed = second.value - first.value
    defined = differences[np.isfinite(differences)]
    p = _share_as_large(defined - defined.mean(), observed) if _enough(defined, resamples) else float("nan")
    return Difference(
        metric=first.metric,
        test=f"paired bootstrap, {resamples} resamples",
        first=first.value,
        second=second.value,
        p=p if np.isfinite(observed) else float("nan"),
        items=len(first.rows),
        interval=percentile(differences),
    )


def approximate_randomisation(
    first: ItemStatistics, second: ItemStatistics, *, trials: int = RESAMPLES, seed: int = SEED
) -> Difference:
    """Swap the two systems' outputs item by item at random and see how often the difference is as large.

    p is exact up to the number of trials under the hypothesis that the systems are exchangeable.
    """
    items = _paired(first, second)
    generator = np.random.default_rng(seed)
    gap = second.rows - first.rows  # (N, k)
    totals = first.rows.sum(axis=0), second.rows.sum(axis=0)
    observed = second.value - first.value
    swapped = np.empty(trials)
    with threadpool_limits(1):
        for start in range(0, trials, CHUNK):
            size = min(CHUNK, trials - start)
            moved = generator.integers(0, 2, size=(size, items)).astype(np.float64) @ gap  # (C, k)
            found = second.combine(totals[1] - moved) - first.combine(totals[0] + moved)
            swapped[start : start + size] = found
    defined = swapped[np.isfinite(swapped)]
    enough = np.isfinite(observed) and _enough(defined, trials)
    p = _share_as_large(defined, observed) if enough else float("nan")
    name = f"approximate randomisation, {trials} trials"
    return Difference(first.metric, name, first.value, second.value, p, items)


def students_t(first: ItemStatistics, second: ItemStatistics, *, paired: bool = True) -> Difference:
    """Student's t on per-item values, as ESConv's Table 4 (the paper does not say whether paired).

    The values compared are means of per-item values, which for corpus metrics such as BLEU are not the
    corpus value.
    """
    _paired(first, second)
    one, two = first.per_item, second.per_item
    keep = np.isfinite(one) & np.isfinite(two)
    one, two = one[keep], two[keep]
    same = one.size < 2 or (paired and np.ptp(two - one) == 0) or (np.ptp(one) == 0 and np.ptp(two) == 0)
    result = None if same else (stats.ttest_rel(two, one) if paired else stats.ttest_ind(two, one))
    name = f"Student's t, {'paired' if paired else 'independent'}"
    p = float("nan") if result is None else float(result.pvalue)
    return Difference(first.metric, name, float(one.mean()), float(two.mean()), p, int(one.size))


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact sign test, ties left out, as ESConv's Table 5; NaN when there is nothing but ties."""
    if wins + losses == 0:
        return float("nan")
    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue)


def mcnemar(first_right: Array, second_right: Array, *, metric: str = "accuracy") -> Difference:
    """Exact McNemar test of two predictors on the same items; inputs are (N,) of 0 and 1."""
    if len(first_right) != len(second_right) or not len(first_right):
        raise Failure(f"{len(first_right)} items against {len(second_right)}: McNemar needs the same items")
    one, two = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    table = [
        [int((one & two).sum()), int((one & ~two).sum())],
        [int((~one & two).sum()), int((~one & ~two).sum())],
    ]
    p = float(contingency_mcnemar(table, exact=True).pvalue)
    return Difference(metric, "McNemar, exact", float(one.mean()), float(two.mean()), p, len(one))


def _paired(*systems: ItemStatistics) -> int:
    sizes = {len(system.rows) for system in systems}
    if len(sizes) != 1 or sizes == {0}:
        told = " and ".join(str(len(system.rows)) for system in systems)
        raise Failure(f"a paired test needs the same items: there are {told}")
    return sizes.pop()


def _enough(defined: Array, drawn: int) -> bool:
    """Whether the metric is defined on at least nineteen of twenty resamples."""
    return drawn > 0 and defined.size >= 0.95 * drawn


def _share_as_large(differences: Array, observed: float) -> float:
    """How often a difference is at least as large as the observed one, either way; never 0."""
    as_large = np.count_nonzero(np.abs(differences) >= abs(observed) - 1e-12)
    return (int(as_large) + 1) / (differences.size + 1)
