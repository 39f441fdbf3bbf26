"""BLEU, in the three ways that published figures of this field were made.

All three are corpus BLEU-n of one reference: the geometric mean of the clipped precisions of orders 1
to n, equal weights, times the brevity penalty. "BLEU-2" in these papers is this cumulative mean, never
the precision of bigrams alone. They part where a count is zero, and in the figure of a single item:

- `epsilon` (pycocoevalcap, nlg-eval): p_k = (matches + 1e-15) / (n-grams + 1e-9), the same for an item.
- `method3` (NLTK's `corpus_bleu` with `SmoothingFunction().method3`; Chen and Cherry 2014): the i-th
  zero precision becomes 1 / (2^i n-grams); an item without any n-gram of an order counts one; no common
  word gives 0.
- `none` (Papineni et al. 2002): a corpus with a zero precision scores 0. A single item has zeros nearly
  always, so item figures add one to matches and n-grams of orders above 1 (Lin and Och 2004).
"""

from collections.abc import Callable

import numpy as np

from hearten.evaluate.statistics import Array, ItemStatistics
from hearten.evaluate.text.ngrams import Pairs

ORDERS = 4
TINY, SMALL = 1e-15, 1e-9
"""pycocoevalcap's two constants."""

Smooth = Callable[[Array, Array], Array]
"""(matches (R, n), n-grams (R, n)) to precisions (R, n)."""


def statistics(pairs: Pairs, n: int, smoothing: str) -> ItemStatistics:
    """What BLEU-n needs of every item: n matches, n n-gram counts, both lengths; (N, 2n + 2)."""
    matches = [order.matches for order in pairs.orders[:n]]
    guesses = [order.hypothesis.length for order in pairs.orders[:n]]
    if smoothing == "method3":
        guesses = [np.maximum(guess, 1) for guess in guesses]
    columns = [*matches, *guesses, pairs.hypothesis_lengths, pairs.reference_lengths]
    return ItemStatistics(f"BLEU-{n}", np.column_stack(columns).astype(np.float64), CORPUS[smoothing])


def items(kept: ItemStatistics, smoothing: str) -> Array:
    """BLEU of each item alone, (N,); an item without hypothesis scores 0."""
    return np.where(kept.rows[:, -2] > 0, ITEM[smoothing](kept.rows), 0.0)


def _split(sums: Array) -> tuple[Array, Array, Array, Array]:
    """Matches (R, n), n-grams (R, n), hypothesis length (R,) and reference length (R,)."""
    n = (sums.shape[1] - 2) // 2
    return sums[:, :n], sums[:, n : 2 * n], sums[:, -2], sums[:, -1]


def _epsilon(sums: Array) -> Array:
    matches, guesses, hypothesis, reference = _split(sums)
    precision = np.prod((matches + TINY) / (guesses + SMALL), axis=1) ** (1.0 / matches.shape[1])
    ratio = (hypothesis + TINY) / (reference + SMALL)
    return np.asarray(precision * np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio)))


def _method3(sums: Array) -> Array:
    return _geometric(sums, _halved_zeros)


def _plain(sums: Array) -> Array:
    return _geometric(sums, lambda matches, guesses: matches / np.maximum(guesses, 1))


def _add_one(sums: Array) -> Array:
    def precisions(matches: Array, guesses: Array) -> Array:
        more = np.minimum(np.arange(matches.shape[1]), 1)  # nothing is added to order 1
        return (matches + more) / np.maximum(guesses + more, 1)

    return _geometric(sums, precisions)


def _halved_zeros(matches: Array, guesses: Array) -> Array:
    """NLTK's method3: 1/2, 1/4, … of a match for the first, second, … order without any."""
    zero = matches == 0
    return np.where(zero, 0.5 ** np.cumsum(zero, axis=1), matches) / guesses


def _geometric(sums: Array, precisions: Smooth) -> Array:
    """Geometric mean times brevity penalty; 0 where no word matches or a precision is 0."""
    matches, guesses, hypothesis, reference = _split(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log(precisions(matches, guesses)).mean(axis=1)
        brevity = np.minimum(0.0, 1.0 - reference / hypothesis)
        return np.where(matches[:, 0] > 0, np.exp(logarithm + brevity), 0.0)


CORPUS: dict[str, Callable[[Array], Array]] = {"epsilon": _epsilon, "method3": _method3, "none": _plain}
ITEM: dict[str, Callable[[Array], Array]] = {"epsilon": _epsilon, "method3": _method3, "none": _add_one}
"""smoothing → figure from sums, for a corpus and for an item alone"""
