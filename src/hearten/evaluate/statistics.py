"""What a metric keeps of every item, so that the metric of any (re)sample is a sum and one formula.

`rows` are summed over the items of a sample and `combine` turns the sums of R samples into R values. BLEU
keeps match counts, a strategy report a flattened confusion matrix, perplexity (nll, tokens). Bootstrap,
randomisation and intervals know nothing else about a metric.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Combine = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """One metric's statistics per item.

    Args:
        metric: the metric's name.
        rows: (N, k), one row an item, summed over a sample.
        combine: (R, k) sums → (R,) values; NaN where the metric is undefined.
    """

    metric: str
    rows: Array
    combine: Combine

    @property
    def value(self) -> float:
        """The metric over all items."""
        return float(self.combine(self.rows.sum(axis=0, keepdims=True))[0])

    @property
    def per_item(self) -> Array:
        """(N,) the metric of every item alone."""
        return self.combine(self.rows)

    def grouped(self, groups: Sequence[str]) -> "ItemStatistics":
        """The same metric with the items of a group as one item, in order of first appearance.

        Replies of one conversation are not independent, so runs are resampled by conversation.
        """
        order = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        cells = ([order[name] for name in groups], range(len(groups)))
        belongs = sparse.csr_array((np.ones(len(groups)), cells), shape=(len(order), len(groups)))
        sums: Array = belongs @ self.rows
        return ItemStatistics(self.metric, sums, self.combine)


def mean_of(metric: str, values: Array) -> ItemStatistics:
    """The statistics of a metric that is the mean of `values` (N,); NaN values are left out."""
    scored = ~np.isnan(values)
    rows = np.column_stack([np.where(scored, values, 0.0), scored.astype(np.float64)])
    return ItemStatistics(metric, rows, ratio)


def ratio(sums: Array) -> Array:
    """First column over second; NaN where the second is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)
