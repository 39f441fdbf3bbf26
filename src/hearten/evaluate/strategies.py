"""How well a system chooses support strategies, and how far its choices lean.

Everything is a function of the confusion matrix: accuracy, macro and weighted precision, recall and F1,
and the preference bias of Kang et al. 2024 as EmoDynamiX reports it. So each item keeps one flattened
matrix, and the bootstrap resamples these. A system is scored under up to three choices: `used` (what it
replied with), `argmax` of its probabilities, and `sampled` (the expected matrix when the strategy is
drawn from them), because published baselines differ by which of these they print. Items without a gold
strategy or without a choice are left out and counted. The distribution over conversation progress is
ESConv's Figures 4 and 5.

`hearten evaluate strategies RUN` prints it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hearten.core.errors import Failure
from hearten.core.progress_intervals import INTERVALS
from hearten.core.progress_intervals import interval as progress_interval
from hearten.core.records import Prediction, Score
from hearten.core.taxonomy import LabelSet
from hearten.evaluate.origin import Origin, infer_label_set, items_hash, need_beliefs
from hearten.evaluate.signature import signature
from hearten.evaluate.significance import interval
from hearten.evaluate.statistics import Array, Combine, ItemStatistics, ratio

TOP = (1, 2, 3, 5)
"""k of AdMISC's Figure 5, and what others print."""
BIAS_ROUNDS = 20
"""Rounds of the iteration in the code released with Kang et al. 2024 and with EmoDynamiX."""
CHOICES = ("used", "argmax", "sampled")


@dataclass(frozen=True)
class ClassRow:
    """One strategy's row of the per-class table."""

    name: str
    abbreviation: str
    gold: int
    predicted: float
    precision: float
    recall: float
    f1: float
    preference: float


@dataclass(frozen=True)
class StrategyReport:
    """All there is to say about a system's strategies."""

    labels: LabelSet
    scores: tuple[Score, ...]
    statistics: dict[str, ItemStatistics]
    """Name of a score → its per-item statistics (rows in the order of `items`)."""
    items: tuple[Prediction, ...]
    skipped: int
    """Predictions without a gold strategy or without a choice."""
    confusion: Array
    """(K, K) gold by choice, under `choice`."""
    choice: str
    classes: tuple[ClassRow, ...]
    gold_progress: Array
    """(6, K) share of each strategy in each interval; a row is NaN where no turn falls."""
    choice_progress: Array

    @property
    def groups(self) -> list[str]:
        """(N,) the conversation of every scored item."""
        return [item.conversation_id for item in self.items]


def report(origin: Origin, *, resamples: int = 1000, seed: int = 13) -> StrategyReport:
    """Score the strategies of a run or predictions file.

    Raises:
        UsageError: no predictions.
        Failure: no prediction has both a gold strategy and a choice, or names are unknown.
    """
    predictions = need_beliefs(origin)
    labels = infer_label_set(predictions)
    items = [p for p in predictions if p.gold_strategy and (p.strategy or p.probabilities)]
    if not items:
        raise Failure("no prediction has both a gold strategy and a predicted one", where=origin.name)
    tables = {choice: rows for choice, rows in choices(items, labels).items() if rows is not None}
    statistics = dict(_statistics(items, labels, tables))
    skipped = len(predictions) - len(items)
    main = next(iter(tables))
    confusion = tables[main].sum(axis=0).reshape(len(labels), len(labels))
    gold, chosen = progress(items, labels, tables[main])
    scores = _scores(origin, labels, items, statistics, skipped, resamples=resamples, seed=seed)
    return StrategyReport(
        labels=labels,
        scores=tuple(scores),
        statistics=statistics,
        items=tuple(items),
        skipped=skipped,
        confusion=confusion,
        choice=main,
        classes=tuple(class_rows(confusion, labels)),
        gold_progress=gold,
        choice_progress=chosen,
    )


def choices(items: Sequence[Prediction], labels: LabelSet) -> dict[str, Array | None]:
    """Choice → (N, K·K) flattened confusion matrix of every item; None where the items cannot give it.

    `argmax` is left out when it is what was used anyway.
    """
    gold = np.eye(len(labels))[[labels.position(item.gold_strategy or "") for item in items]]
    beliefs = probabilities(items, labels)
    rows: dict[str, Array | None] = dict.fromkeys(CHOICES)
    if all(item.strategy for item in items):
        used = np.eye(len(labels))[[labels.position(item.strategy or "") for item in items]]
        rows["used"] = _outer(gold, used)
    if beliefs is not None:
        best = _outer(gold, np.eye(len(labels))[beliefs.argmax(axis=1)])
        if rows["used"] is None or not np.array_equal(best, rows["used"]):
            rows["argmax"] = best
        rows["sampled"] = _outer(gold, beliefs)
    if all(table is None for table in rows.values()):
        raise Failure(
            "some items have a strategy and others only probabilities", fix="predict them all alike"
        )
    return rows


def probabilities(items: Sequence[Prediction], labels: LabelSet) -> Array | None:
    """(N, K) the system's belief in each strategy, rows summing to 1; None if an item has none.

    Raises:
        Failure: a belief names an unknown strategy or sums to zero.
    """
    if not all(item.probabilities for item in items):
        return None
    beliefs = np.zeros((len(items), len(labels)))
    for row, item in zip(beliefs, items, strict=True):
        for name, value in (item.probabilities or {}).items():
            row[labels.position(labels.find(name))] = value
    sums = beliefs.sum(axis=1, keepdims=True)
    if (beliefs < 0).any() or not (sums > 0).all():
        worst = items[int(np.argmin(np.minimum(beliefs.min(axis=1), sums[:, 0])))]
        where = f"conversation '{worst.conversation_id}', turn {worst.index}"
        raise Failure("probabilities must be positive and have a positive sum", where=where)
    shares: Array = beliefs / sums
    return shares


def _outer(gold: Array, choice: Array) -> Array:
    matrices: Array = np.einsum("ng,nc->ngc", gold, choice)
    return matrices.reshape(len(gold), -1)


# --- from sums of confusion matrices to values --------------------------------------------------------------


def _matrices(sums: Array) -> Array:
    """(R, K·K) → (R, K, K)."""
    size = round(sums.shape[1] ** 0.5)
    return sums.reshape(-1, size, size)


def accuracy(sums: Array) -> Array:
    """(R, K·K) → (R,) share of items on the diagonal."""
    matrices = _matrices(sums)
    right: Array = np.trace(matrices, axis1=1, axis2=2)
    items: Array = sums.sum(axis=1)
    return right / items


def per_class(matrices: Array) -> tuple[Array, Array, Array]:
    """(R, K, K) → precision, recall and F1, each (R, K); 0 where a denominator is 0, as scikit-learn."""
    right: Array = np.diagonal(matrices, axis1=1, axis2=2)
    chosen, gold = matrices.sum(axis=1), matrices.sum(axis=2)
    return _share(right, chosen), _share(right, gold), _share(2 * right, chosen + gold)


def macro(which: int, present: Array, sums: Array) -> Array:
    """Mean over the classes marked in `present` (K,) of precision (0), recall (1) or F1 (2)."""
    means: Array = per_class(_matrices(sums))[which][:, present].mean(axis=1)
    return means


def weighted(which: int, sums: Array) -> Array:
    """Mean weighted by how often each class is gold."""
    matrices = _matrices(sums)
    support = matrices.sum(axis=2)
    means: Array = (per_class(matrices)[which] * support).sum(axis=1) / support.sum(axis=1)
    return means


def preferences(matrices: Array, rounds: int = BIAS_ROUNDS) -> Array:
    """How strongly a system prefers each strategy: (R, K, K) gold by choice → (R, K), summing to K.

    Kang et al. 2024 read every confusion as a contest that the chosen strategy i won against the gold
    strategy j, w_ij, and fit a Bradley–Terry model by Newman's iteration, one class after another:

        p_i ← Σ_{j≠i} w_ij p_j / (p_i + p_j)  /  Σ_{j≠i} w_ji / (p_i + p_j)

    starting from 1, normalised after each round. A class that neither won nor lost keeps 1. NaN when a
    class won but never lost: its preference has no bound. EmoDynamiX's code also adds the diagonal to both
    sums, which slows the iteration but has the same fixed point.
    """
    samples, size = len(matrices), matrices.shape[-1]
    wins = np.swapaxes(matrices, 1, 2) * (1 - np.eye(size))  # [r, chosen, gold]
    strength: Array = np.ones((samples, size))
    for _ in range(rounds):
        for i in range(size):
            together = (
                strength[:, i, None] + strength
            )  # (R, K); two strategies never chosen wrongly meet at 0
            won = _share(wins[:, i] * strength, together).sum(axis=1)
            lost = _share(wins[:, :, i], together).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                fitted = np.where(lost > 0, won / lost, np.where(won > 0, np.nan, strength[:, i]))
            strength[:, i] = fitted
        strength = strength * size / strength.sum(axis=1, keepdims=True)
    return strength


def bias(sums: Array) -> Array:
    """(R, K·K) → (R,) preference bias: the population standard deviation of `preferences`; 0 is none."""
    spread: Array = preferences(_matrices(sums)).std(axis=1)
    return spread


def progress_distance(sums: Array) -> Array:
    """(R, 2·6·K) → (R,) mean over the intervals of the total variation distance of choice from gold."""
    halves = sums.reshape(len(sums), 2, INTERVALS, -1)
    totals: Array = halves.sum(axis=3, keepdims=True)
    shares = _share(halves, totals)
    gaps: Array = np.abs(shares[:, 0] - shares[:, 1])
    filled: Array = (totals[:, 0, :, 0] > 0).astype(np.float64)
    return ratio(np.column_stack([gaps.sum(axis=(1, 2)) / 2, filled.sum(axis=1)]))


def _share(part: Array, whole: Array) -> Array:
    """Part / whole with 0 where whole is 0."""
    result: Array = np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)
    return result


# --- per-item statistics and their scores -------------------------------------------------------------------


def _statistics(
    items: Sequence[Prediction], labels: LabelSet, tables: dict[str, Array]
) -> Iterator[tuple[str, ItemStatistics]]:
    for choice, rows in tables.items():
        for metric, combine in _formulas(rows).items():
            name = f"{metric} ({choice})"
            yield name, ItemStatistics(name, rows, combine)
    yield from _top_k(items, labels)
    choice, rows = next(iter(tables.items()))
    name = f"progress-distance ({choice})"
    yield name, ItemStatistics(name, _progress_rows(items, labels, rows), progress_distance)


def _formulas(rows: Array) -> dict[str, Combine]:
    """Metric → formula. Macro means leave out classes in neither gold nor choice, as scikit-learn does."""
    matrix = _matrices(rows.sum(axis=0, keepdims=True))[0]
    present = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    table: dict[str, Combine] = {"accuracy": accuracy}
    for which, metric in enumerate(("precision", "recall", "f1")):
        table[f"macro-{metric}"] = partial(macro, which, present)
    for which, metric in enumerate(("precision", "recall", "f1")):
        table[f"weighted-{metric}"] = partial(weighted, which)
    return {**table, "preference-bias": bias}


def _top_k(items: Sequence[Prediction], labels: LabelSet) -> Iterator[tuple[str, ItemStatistics]]:
    beliefs = probabilities(items, labels)
    if beliefs is None:
        return
    gold = np.array([labels.position(item.gold_strategy or "") for item in items])
    own = beliefs[np.arange(len(items)), gold][:, None]
    before = (beliefs > own).sum(axis=1)
    ties = (beliefs == own) & (np.arange(len(labels)) < gold[:, None])  # a tie goes to the earlier label
    rank = before + ties.sum(axis=1)
    for k in TOP:
        hit = (rank < k).astype(np.float64)
        name = f"top-{k}"
        yield name, ItemStatistics(name, np.column_stack([hit, np.ones_like(hit)]), ratio)


def progress(items: Sequence[Prediction], labels: LabelSet, rows: Array) -> tuple[Array, Array]:
    """Share of each strategy in each interval of progress, gold and chosen: two (6, K), NaN where empty."""
    counts = _progress_rows(items, labels, rows).sum(axis=0).reshape(2, INTERVALS, len(labels))
    totals = counts.sum(axis=2, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1e-12), np.nan)
    return shares[0], shares[1]


def _progress_rows(items: Sequence[Prediction], labels: LabelSet, rows: Array) -> Array:
    """(N, 2·6·K): one item's gold strategy, then its choice, in the interval where its turn stands."""
    size = len(labels)
    matrices = rows.reshape(-1, size, size)
    cells = np.zeros((len(items), 2, INTERVALS, size))
    for number, item in enumerate(items):
        where = progress_interval(item.index, item.turns_total)
        cells[number, 0, where] = matrices[number].sum(axis=1)
        cells[number, 1, where] = matrices[number].sum(axis=0)
    return cells.reshape(len(items), -1)


def class_rows(confusion: Array, labels: LabelSet) -> Iterator[ClassRow]:
    """The per-class table of one (K, K) matrix."""
    precision, recall, f1 = (values[0] for values in per_class(confusion[None]))
    preference = preferences(confusion[None])[0]
    for i, strategy in enumerate(labels):
        yield ClassRow(
            name=strategy.name,
            abbreviation=strategy.abbreviation,
            gold=round(float(confusion[i].sum())),
            predicted=float(confusion[:, i].sum()),
            precision=float(precision[i]),
            recall=float(recall[i]),
            f1=float(f1[i]),
            preference=float(preference[i]),
        )


NOTES: dict[str, str] = {
    "preference-bias": "undefined: a strategy is chosen wrongly but never missed, so it has no bound",
}


def _scores(
    origin: Origin,
    labels: LabelSet,
    items: Sequence[Prediction],
    statistics: dict[str, ItemStatistics],
    skipped: int,
    *,
    resamples: int,
    seed: int,
) -> Iterator[Score]:
    groups = [item.conversation_id for item in items]
    describe = _describer(origin, labels, skipped, resamples, seed)
    for name, statistic in statistics.items():
        value = statistic.value
        defined = bool(np.isfinite(value))
        yield Score(
            name=name,
            value=value if defined else None,
            signature=describe(name),
            items=len(items),
            interval=interval(statistic.grouped(groups), resamples=resamples, seed=seed) if defined else None,
            note=None if defined else NOTES.get(name.split(" ")[0], "undefined on these items"),
        )


def _describer(
    origin: Origin, labels: LabelSet, skipped: int, resamples: int, seed: int
) -> Callable[[str], str]:
    def describe(name: str) -> str:
        metric, _, choice = name.removesuffix(")").partition(" (")
        return signature(
            metric=metric,
            choice=choice or None,
            labels=f"{labels.name}-{len(labels)}",
            average="classes-in-gold-or-choice" if metric.startswith("macro") else None,
            rounds=BIAS_ROUNDS if metric == "preference-bias" else None,
            protocol=origin.protocol,
            items=items_hash(need_beliefs(origin)),
            skipped=skipped or None,
            interval=f"bootstrap95,{resamples},seed{seed},by-conversation",
        )

    return describe
