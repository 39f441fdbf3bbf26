"""A strategy report as tables and as one JSON object."""

from typing import Any

from hearten.core.progress_intervals import INTERVAL_NAMES
from hearten.evaluate.statistics import Array
from hearten.evaluate.strategies import StrategyReport
from hearten.evaluate.tables import Table, number, score_table


def tables(found: StrategyReport) -> list[Table]:
    """Scores, classes, confusion matrix and distribution over progress."""
    return [
        score_table("Strategies", found.scores),
        class_table(found),
        confusion_table(found),
        *progress_tables(found),
    ]


def class_table(found: StrategyReport) -> Table:
    """One row a strategy."""
    rows = tuple(
        (
            f"{row.abbreviation}  {row.name}",
            str(row.gold),
            number(row.predicted, "mean", 0),
            number(row.precision),
            number(row.recall),
            number(row.f1),
            number(row.preference, "mean"),
        )
        for row in found.classes
    )
    columns = ("strategy", "gold", "chosen", "precision", "recall", "F1", "preference")
    return Table(f"By strategy ({found.choice})", columns, rows)


def confusion_table(found: StrategyReport) -> Table:
    """Gold down, choice across."""
    short = tuple(strategy.abbreviation for strategy in found.labels)
    rows = tuple(
        (name, *(number(cell, "mean", 0) for cell in line))
        for name, line in zip(short, found.confusion, strict=True)
    )
    return Table(f"Confusion: gold down, {found.choice} across", ("", *short), rows)


def progress_tables(found: StrategyReport) -> list[Table]:
    """Share of each strategy at each progress: the corpus's, then the system's (ESConv Figures 4 and 5)."""
    short = tuple(strategy.abbreviation for strategy in found.labels)

    def one(title: str, shares: Array) -> Table:
        rows = tuple(
            (name, *(number(share, digits=1) for share in line))
            for name, line in zip(INTERVAL_NAMES, shares, strict=True)
        )
        return Table(title, ("progress", *short), rows)

    return [
        one("Over conversation progress, gold (%)", found.gold_progress),
        one(f"Over conversation progress, {found.choice} (%)", found.choice_progress),
    ]


def as_dict(found: StrategyReport) -> dict[str, Any]:
    """Everything in the report, without NaN."""
    return {
        "labels": found.labels.name,
        "strategies": list(found.labels.names),
        "items": len(found.items),
        "skipped": found.skipped,
        "scores": [score.model_dump() for score in found.scores],
        "classes": [{key: none_if_nan(value) for key, value in vars(row).items()} for row in found.classes],
        "confusion": listed(found.confusion),
        "choice": found.choice,
        "intervals": list(INTERVAL_NAMES),
        "progress": {"gold": listed(found.gold_progress), found.choice: listed(found.choice_progress)},
    }


def listed(values: Array) -> list[list[float | None]]:
    """The rows of a matrix with None for NaN."""
    return [[none_if_nan(float(cell)) for cell in row] for row in values]


def none_if_nan(value: Any) -> Any:
    """None for a NaN, anything else as it is."""
    return None if isinstance(value, float) and value != value else value
