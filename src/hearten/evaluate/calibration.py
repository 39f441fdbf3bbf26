"""Does a system mean what it says? Its belief in a strategy against how often that strategy came.

Items are put into bins of equal size by the probability of the likeliest strategy; a bin's confidence is
the mean of these, its accuracy the share that was gold. The expected calibration error is the mean gap
between the two (Guo et al. 2017), weighted by bin size. Brier's score and the negative log-likelihood
(nats) judge the whole distribution. Intervals are bootstraps by conversation; the bins are those of the
whole sample.

`hearten evaluate calibration RUN` prints it; `--out FILE.svg` draws it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from hearten.core.errors import Failure
from hearten.core.records import Prediction, Score
from hearten.evaluate.origin import Origin, infer_label_set, items_hash, need_beliefs
from hearten.evaluate.signature import signature
from hearten.evaluate.significance import interval
from hearten.evaluate.statistics import Array, ItemStatistics, mean_of
from hearten.evaluate.strategies import probabilities
from hearten.evaluate.tables import Table, number, score_table

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Items of like confidence."""

    items: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """The scores, and the bins from low to high confidence."""

    scores: tuple[Score, ...]
    bins: tuple[Bin, ...]

    @property
    def points(self) -> list[tuple[float, float, int]]:
        """(confidence, accuracy, items) of each bin, to be drawn."""
        return [(one.confidence, one.accuracy, one.items) for one in self.bins]


def report(origin: Origin, *, bins: int = BINS, resamples: int = 1000, seed: int = 13) -> Calibration:
    """How calibrated the strategies of a run or predictions file are.

    Raises:
        Failure: an item has no probabilities, or none has a gold strategy.
    """
    items = [item for item in need_beliefs(origin) if item.gold_strategy]
    beliefs = probabilities(items, infer_label_set(items)) if items else None
    if beliefs is None:
        raise Failure("not every prediction has a gold strategy and probabilities", where=origin.name)
    gold = _gold(items)
    placed = place(beliefs.max(axis=1), bins)
    rows = bin_rows(beliefs, gold, placed, bins)
    found = {
        "ece": ItemStatistics("ece", rows, partial(expected_error, bins)),
        "brier": mean_of("brier", brier(beliefs, gold)),
        "mean nll": mean_of("mean nll", -np.log(np.maximum(beliefs[np.arange(len(gold)), gold], 1e-12))),
    }
    groups = [item.conversation_id for item in items]
    scores = [
        Score(
            name=name,
            value=one.value,
            signature=signature(
                metric=name.replace(" ", "-"),
                bins=bins if name == "ece" else None,
                protocol=origin.protocol,
                items=items_hash(items),
                interval=f"bootstrap95,{resamples},seed{seed},by-conversation",
            ),
            items=len(items),
            interval=interval(one.grouped(groups), resamples=resamples, seed=seed),
        )
        for name, one in found.items()
    ]
    return Calibration(tuple(scores), tuple(_bins(rows.sum(axis=0), bins)))


def _gold(items: Sequence[Prediction]) -> Any:
    labels = infer_label_set(items)
    return np.array([labels.position(item.gold_strategy or "") for item in items])


def place(confidence: Array, bins: int) -> Any:
    """(N,) the bin of each item, from 0; bins hold as many items each as ties allow."""
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    return np.searchsorted(edges, confidence, side="right")


def bin_rows(beliefs: Array, gold: Any, placed: Any, bins: int) -> Array:
    """(N, 3 · bins): in an item's bin one, its confidence, and whether it was right."""
    rows = np.zeros((len(gold), 3, bins))
    own = np.arange(len(gold))
    rows[own, 0, placed] = 1
    rows[own, 1, placed] = beliefs.max(axis=1)
    rows[own, 2, placed] = beliefs.argmax(axis=1) == gold
    return rows.reshape(len(gold), -1)


def expected_error(bins: int, sums: Array) -> Array:
    """(R, 3 · bins) → (R,) Σ |right − confidence| / N."""
    held = sums.reshape(-1, 3, bins)
    errors: Array = np.abs(held[:, 2] - held[:, 1]).sum(axis=1) / held[:, 0].sum(axis=1)
    return errors


def brier(beliefs: Array, gold: Any) -> Array:
    """(N,) squared distance of a belief from what came; 0 is best, 2 worst."""
    came = np.eye(beliefs.shape[1])[gold]
    distances: Array = ((beliefs - came) ** 2).sum(axis=1)
    return distances


def _bins(sums: Array, bins: int) -> list[Bin]:
    counts, confidence, right = sums.reshape(3, bins)
    return [
        Bin(int(count), float(total / count), float(hits / count))
        for count, total, hits in zip(counts, confidence, right, strict=True)
        if count
    ]


def tables(found: Calibration) -> list[Table]:
    """The scores, and one row a bin."""
    rows = tuple(
        (*map(number, (one.confidence, one.accuracy, one.accuracy - one.confidence)), str(one.items))
        for one in found.bins
    )
    columns = ("confidence", "right", "gap", "items")
    return [score_table("Calibration", found.scores), Table("By confidence of the likeliest", columns, rows)]


def as_dict(found: Calibration) -> dict[str, Any]:
    """One JSON object."""
    return {
        "scores": [score.model_dump(exclude_none=True) for score in found.scores],
        "bins": [asdict(one) for one in found.bins],
    }
