"""Find the thresholds of an auto-approval rule that agrees best with people: ESConv's appendix D, Table 7.

A conversation passes when its supporter meets at least three of four criteria (the seeker's improvement,
mean length of the supporter's messages, empathy, relevance) and its seeker meets both of theirs (detail,
mean length). Every combination of thresholds is one "rule annotator"; its score is the mean of Cohen's
kappa with each human. The paper takes the combination with the second-highest score, because the highest
was stricter and would have thrown away more conversations for a slightly higher kappa; `chosen` does the
same and says what both keep.

`hearten evaluate agreement FILE --kind thresholds` runs it on a file with one conversation a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearten.core.errors import Failure
from hearten.evaluate import coefficients
from hearten.evaluate.ratings import rows
from hearten.evaluate.statistics import Array
from hearten.evaluate.tables import Table, number

CRITERIA = ("improvement", "supporter_length", "empathy", "relevance", "detail", "seeker_length")
"""The columns of Table 7: four of the supporter, two of the seeker."""
SUPPORTER = 4
NEEDED_OF_SUPPORTER = 3
YES = {
    "1": True,
    "yes": True,
    "true": True,
    "pass": True,
    "0": False,
    "no": False,
    "false": False,
    "fail": False,
}
GRID: dict[str, tuple[float | None, ...]] = {
    "improvement": (1, 2),
    "supporter_length": (7, 8, 9),
    "empathy": (2, 3, 4),
    "relevance": (3, 4, 5),
    "detail": (None, 2, 3, 4),
    "seeker_length": (5, 6, 7),
}
"""The values that occur in Table 7; None asks nothing. All 648 are tried, the paper prints 13."""

Thresholds = tuple[float | None, ...]


@dataclass(frozen=True)
class Judged:
    """Conversations with their survey values and what people decided."""

    values: Array
    """(N, 6) in the order of CRITERIA."""
    humans: dict[str, Array]
    """Name → (N,) 1 pass, 0 fail, NaN unanswered."""


@dataclass(frozen=True)
class Rule:
    """One combination of thresholds and how it agrees."""

    thresholds: Thresholds
    kappas: tuple[float | None, ...]
    mean: float
    kept: int


@dataclass(frozen=True)
class Search:
    """All rules by falling kappa, and the one to take."""

    rules: tuple[Rule, ...]
    humans: tuple[str, ...]
    conversations: int
    chosen: Rule


def read_judged(path: Path) -> Judged:
    """Read one conversation a row: the six CRITERIA as numbers and one `human…` column per annotator.

    Raises:
        Failure: a column is missing or a cell is no number or verdict; with the row.
    """
    values: list[list[float]] = []
    verdicts: list[dict[str, float]] = []
    for line, row in rows(path, CRITERIA):
        where = f"{path}, row {line}"
        values.append([_number(row, name, where) for name in CRITERIA])
        verdicts.append({name: _verdict(row[name], where) for name in row if name.startswith("human")})
    names = sorted({name for row in verdicts for name in row})
    if not names:
        raise Failure(
            "no column begins with 'human'", where=str(path), fix="add human1, human2, … with yes or no"
        )
    humans = {name: np.array([row.get(name, np.nan) for row in verdicts]) for name in names}
    return Judged(np.array(values), humans)


def passes(values: Array, thresholds: Thresholds) -> NDArray[np.bool_]:
    """(N, 6) → (N,) whether each conversation passes the rule."""
    limits = np.array([-np.inf if limit is None else limit for limit in thresholds])
    met = values >= limits
    supporter = met[:, :SUPPORTER].sum(axis=1) >= NEEDED_OF_SUPPORTER
    result: NDArray[np.bool_] = supporter & met[:, SUPPORTER:].all(axis=1)
    return result


def search(judged: Judged, grid: dict[str, tuple[float | None, ...]] | None = None) -> Search:
    """Try every combination of the grid.

    Raises:
        Failure: no rule has a defined kappa (all or none of the conversations pass for everybody).
    """
    rules = sorted(_rules(judged, grid or GRID), key=lambda rule: -rule.mean)
    if not rules:
        raise Failure("no rule has a defined kappa", fix="the humans must both pass and fail conversations")
    return Search(tuple(rules), tuple(judged.humans), len(judged.values), second_highest(rules))


def second_highest(rules: Sequence[Rule]) -> Rule:
    """The rule with the second-highest mean kappa; of equal ones, that which keeps most conversations."""
    levels = sorted({round(rule.mean, 12) for rule in rules}, reverse=True)
    level = levels[min(1, len(levels) - 1)]
    return max((rule for rule in rules if round(rule.mean, 12) == level), key=lambda rule: rule.kept)


def _rules(judged: Judged, grid: dict[str, tuple[float | None, ...]]) -> Iterator[Rule]:
    for thresholds in product(*(grid[name] for name in CRITERIA)):
        kept = passes(judged.values, thresholds)
        kappas = tuple(coefficients.cohen(kept.astype(np.float64), human) for human in judged.humans.values())
        defined = [kappa for kappa in kappas if kappa is not None]
        if defined:
            yield Rule(thresholds, kappas, float(np.mean(defined)), int(kept.sum()))


def table(found: Search, limit: int = 12) -> Table:
    """The best rules as Table 7 prints them, the chosen one marked."""
    lines = tuple(
        (
            " ".join("-" if limit is None else f"{limit:g}" for limit in rule.thresholds)
            + (" ←" if rule is found.chosen else ""),
            *(number(kappa, "kappa", 3) for kappa in rule.kappas),
            number(rule.mean, "kappa", 3),
            str(rule.kept),
        )
        for rule in _shown(found, limit)
    )
    note = (
        "Thresholds: improvement, supporter length, empathy, relevance, detail, seeker length. ← is the "
        f"second-highest mean kappa, as the paper chose; of {found.conversations} conversations it keeps "
        f"{found.chosen.kept}, the highest {found.rules[0].kept}."
    )
    return Table("Rule annotators", ("thresholds", *found.humans, "mean κ", "kept"), lines, note)


def _shown(found: Search, limit: int) -> list[Rule]:
    first = list(found.rules[:limit])
    return first if any(rule is found.chosen for rule in first) else [*first, found.chosen]


def as_dict(found: Search) -> dict[str, Any]:
    """The search as one JSON object."""

    def one(rule: Rule) -> dict[str, Any]:
        kappas = dict(zip(found.humans, rule.kappas, strict=True))
        limits = dict(zip(CRITERIA, rule.thresholds, strict=True))
        return {"thresholds": limits, "kappas": kappas, "mean": rule.mean, "kept": rule.kept}

    return {
        "conversations": found.conversations,
        "chosen": one(found.chosen),
        "rule": "second-highest mean kappa (ESConv, appendix D)",
        "rules": [one(rule) for rule in found.rules],
    }


def _number(row: dict[str, Any], name: str, where: str) -> float:
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        raise Failure(f"'{name}' is not a number: {row.get(name)!r}", where=where) from None
    if value != value:
        raise Failure(f"'{name}' is not a number", where=where)
    return value


def _verdict(value: Any, where: str) -> float:
    text = str(value).strip().casefold()
    if text in ("", "none"):
        return float("nan")
    if text not in YES:
        raise Failure(f"'{value}' is not a verdict", where=where, fix="write yes or no, or leave it empty")
    return float(YES[text])
