"""Count n-grams once, as integers, for every metric that needs them.

BLEU, CIDEr, Distinct and unigram F1 all ask the same question: how often does each n-gram occur in each
hypothesis and each reference? Here tokens become integers, an n-gram becomes the integer of (its first
n-1 tokens, its last token), and counting is sorting. No Python loop runs over n-grams.

Hypotheses and references share one numbering. `Counts` is sparse: one entry for each different n-gram
of an item, ordered by item.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hearten.evaluate.statistics import Array

Ints = NDArray[np.int64]
Tokens = list[list[str]]


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each n-gram occurs in each item, (E,) entries."""

    item: Ints
    gram: Ints
    times: Ints
    length: Ints
    """How many n-grams each item has, repeats included, (N,)."""


@dataclass(frozen=True, eq=False)
class Order:
    """The n-grams of one order in all pairs."""

    n: int
    different: int
    """How many different n-grams there are on both sides; grams are numbered below this."""
    hypothesis: Counts
    reference: Counts
    shared: tuple[Ints, Ints]
    """Entries of `hypothesis` and of `reference` for the same item and gram, (S,) each."""

    @cached_property
    def matches(self) -> Ints:
        """Clipped matches of each item, (N,): an n-gram counts at most as often as the reference has it."""
        mine, theirs = self.shared
        clipped = np.minimum(self.hypothesis.times[mine], self.reference.times[theirs])
        return sum_by_item(self.hypothesis.item[mine], clipped, len(self.hypothesis.length)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Tokenised hypotheses with their references, as integers.

    Attributes:
        ids: every token of every hypothesis, then of every reference, as a number, (T,).
        lengths: tokens of each hypothesis, then of each reference, (2N,).
        orders: n-grams of order 1 to 4.
    """

    ids: Ints
    lengths: Ints
    orders: tuple[Order, ...]

    @property
    def items(self) -> int:
        """How many pairs."""
        return len(self.lengths) // 2

    @property
    def hypothesis_lengths(self) -> Ints:
        """Tokens of each hypothesis, (N,)."""
        return self.lengths[: self.items]

    @property
    def reference_lengths(self) -> Ints:
        """Tokens of each reference, (N,)."""
        return self.lengths[self.items :]

    def rows(self) -> list[list[int]]:
        """The numbers of each text apart: N hypotheses, then N references."""
        flat = self.ids.tolist()
        stops = np.cumsum(self.lengths).tolist()
        return [flat[stop - length : stop] for stop, length in zip(stops, self.lengths.tolist(), strict=True)]


def encode(hypotheses: Tokens, references: Tokens, orders: int = 4) -> Pairs:
    """Number the tokens and count the n-grams of all pairs."""
    vocabulary: dict[str, int] = {}
    flat = [
        vocabulary.setdefault(token, len(vocabulary))
        for side in (hypotheses, references)
        for row in side
        for token in row
    ]
    ids = np.array(flat, dtype=np.int64)
    lengths = np.array([len(row) for side in (hypotheses, references) for row in side], dtype=np.int64)
    return Pairs(ids, lengths, _orders(ids, lengths, len(vocabulary), orders))


def _orders(ids: Ints, lengths: Ints, vocabulary: int, orders: int) -> tuple[Order, ...]:
    """Count order after order; the number of an n-gram comes from that of its first n-1 tokens."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    left = np.cumsum(lengths)[owner] - np.arange(len(ids))  # tokens from here to the end of the text, (T,)
    start, gram, different = np.arange(len(ids)), ids, vocabulary
    counted = [_order(1, owner, gram, different, lengths)]
    for n in range(2, orders + 1):
        long_enough = left[start] >= n
        start, gram = start[long_enough], gram[long_enough]
        kinds, gram = np.unique(gram * max(vocabulary, 1) + ids[start + n - 1], return_inverse=True)
        different = len(kinds)
        counted.append(_order(n, owner[start], gram, different, lengths))
    return tuple(counted)


def _order(n: int, owner: Ints, gram: Ints, different: int, lengths: Ints) -> Order:
    """Count the n-grams `gram`, (G,), of the texts `owner`, (G,)."""
    items, width = len(lengths) // 2, max(different, 1)
    keys, times = np.unique(owner * width + gram, return_counts=True)
    border = int(np.searchsorted(keys, items * width))
    totals = np.maximum(lengths - n + 1, 0)
    mine, theirs = keys[:border], keys[border:] - items * width
    _, in_mine, in_theirs = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    return Order(
        n,
        different,
        Counts(mine // width, mine % width, times[:border], totals[:items]),
        Counts(theirs // width, theirs % width, times[border:], totals[items:]),
        (in_mine, in_theirs),
    )


def sum_by_item(item: Ints, values: NDArray[np.generic], items: int) -> Array:
    """Sums of `values`, (E,), over the entries of each item, (N,)."""
    return np.bincount(item, weights=values, minlength=items).astype(np.float64)
