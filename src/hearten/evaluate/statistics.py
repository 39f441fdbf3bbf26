"""What must be kept of every item so that a corpus figure can be computed again on a resample of the items.

A corpus figure such as BLEU is not the mean of item figures: it is a function of sums over items. So each
metric hands on one row of numbers an item (`rows`) and the function from summed rows to the figure
(`combine`). A bootstrap is then one matrix product: draw how often each item occurs in each resample,
`counts` of shape (R, N), and `combine(counts @ rows)` gives R figures.

    kept = scores.statistics("BLEU-2")
    counts = generator.multinomial(kept.items, [1 / kept.items] * kept.items, size=1000)
    figures = kept.combine(counts @ kept.rows)          # (1000,)

Where a figure needs the number of items, a column of ones is among the rows. What this module
deliberately does not know: any metric, and any test of significance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ItemStatistics:
    """The sufficient statistics of one metric, item by item."""

    metric: str
    rows: Floats
    """(N, k)"""
    combine: Callable[[Floats], Floats]
    """Sums of rows over resampled items, (R, k), to figures, (R,)."""

    @property
    def items(self) -> int:
        """N."""
        return len(self.rows)

    def value(self) -> float:
        """The figure on all items, each once."""
        return float(self.combine(self.rows.sum(axis=0, keepdims=True))[0])


def mean_of(metric: str, values: Floats, scale: float = 1.0) -> ItemStatistics:
    """Statistics of a metric whose corpus figure is `scale` times the mean of its item figures, (N,)."""
    rows = np.column_stack([values, np.ones(len(values))]).astype(np.float64)

    def combine(sums: Floats) -> Floats:
        return scale * sums[:, 0] / sums[:, 1]

    return ItemStatistics(metric, rows, combine)
