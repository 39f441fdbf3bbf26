"""Put runs side by side and mark which differences are more than chance, or refuse to.

The first run is what the others are compared with. Two runs may be compared only on the same items under
the same protocol; one score of two runs only if its signature is the same (a perplexity per token of two
tokenizers is not). Where they may not, the values stand without a marker and the reason is said. Runs are
resampled by conversation. p-values are also corrected for the number of tests in the table (Holm 1979).

`hearten evaluate compare RUN RUN…` prints it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from statsmodels.stats.multitest import multipletests

from hearten.core.errors import UsageError
from hearten.core.registry import lookup
from hearten.evaluate.measures import LOWER_IS_BETTER, NEITHER, Measure, Measures
from hearten.evaluate.significance import (
    Difference,
    approximate_randomisation,
    mcnemar,
    paired_bootstrap,
    students_t,
)
from hearten.evaluate.statistics import ItemStatistics
from hearten.evaluate.tables import Table, number

Test = Callable[[ItemStatistics, ItemStatistics], Difference]
TESTS: dict[str, Test] = {
    "bootstrap": paired_bootstrap,
    "randomisation": approximate_randomisation,
    "t": students_t,
}
MARKS = ((0.01, "‡"), (0.05, "†"))
LEGEND = "† p < .05, ‡ p < .01 against the first run; ▲ better, ▼ worse"
ZERO_ONE = ("accuracy (used)", "accuracy (argmax)", "top-1", "top-2", "top-3", "top-5")
"""Scores whose items are right or wrong, for which McNemar's test is given too."""


@dataclass(frozen=True)
class Cell:
    """One score of one run, and how it differs from the first run's."""

    value: float | None
    difference: Difference | None = None
    also: Difference | None = None
    """McNemar's test, where items are right or wrong."""
    p_holm: float | None = None
    refusal: str = ""
    """Why this cell carries no test."""

    @property
    def mark(self) -> str:
        """`‡`, `†` or nothing."""
        p = self.difference.p if self.difference else 1.0
        return next((sign for limit, sign in MARKS if p < limit), "")

    def better(self, name: str) -> bool | None:
        """Whether a marked difference is an improvement; None when nothing is marked."""
        if not self.mark or self.difference is None or name in NEITHER:
            return None
        return (self.difference.value < 0) == name.startswith(LOWER_IS_BETTER)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    runs: tuple[Measures, ...]
    test: str
    refusals: dict[str, tuple[str, ...]]
    """Name of a run → why it may not be compared with the first."""
    rows: dict[str, tuple[Cell, ...]]
    """Name of a score → one cell a run."""

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' names, the first repeated names numbered."""
        return distinct([run.origin.name for run in self.runs])


def compare(runs: Sequence[Measures], *, test: str = "bootstrap") -> Comparison:
    """Compare every run with the first.

    Raises:
        UsageError: fewer than two runs, or an unknown test.
    """
    chosen = lookup(TESTS, test, "test")
    if len(runs) < 2:
        raise UsageError("there is nothing to compare with", fix="name two runs or more")
    names = distinct([run.origin.name for run in runs])
    first = runs[0]
    refusals = {name: why_not(first, run) for name, run in zip(names[1:], runs[1:], strict=True)}
    scores = dict.fromkeys(score for run in runs for score in run.by_name)
    rows = {
        score: (
            _value(first, score),
            *(
                _cell(first, run, score, chosen, refused=bool(refusals[name]))
                for name, run in zip(names[1:], runs[1:], strict=True)
            ),
        )
        for score in scores
    }
    return Comparison(tuple(runs), test, {name: why for name, why in refusals.items() if why}, _holm(rows))


def why_not(first: Measures, other: Measures) -> tuple[str, ...]:
    """Reasons why two runs may not be compared; empty when they may."""
    one, two = first.origin, other.origin
    reasons = []
    if one.protocol != two.protocol:
        reasons.append(f"protocol {two.protocol}, not {one.protocol}")
    if one.split != two.split:
        common = len(one.keys & two.keys)
        reasons.append(f"other test items ({two.split}, not {one.split}; {common} in common)")
    if first.strategies and other.strategies and first.strategies.labels is not other.strategies.labels:
        reasons.append(f"label set {other.strategies.labels.name}, not {first.strategies.labels.name}")
    return tuple(reasons)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names with a number behind those that occur again."""
    return tuple(
        name if name not in names[:place] else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    )


def table(found: Comparison) -> Table:
    """The comparison for terminal and page."""
    rows = tuple((score, *(shown(score, cell) for cell in cells)) for score, cells in found.rows.items())
    told = [f"{LEGEND} ({_test_name(found)}, by conversation)."]
    told += [
        f"{name}: not comparable with {found.names[0]}: {'; '.join(why)}."
        for name, why in found.refusals.items()
    ]
    told += [
        f"≠ {score}, {name}: {cell.refusal}."
        for score, cells in found.rows.items()
        for name, cell in zip(found.names, cells, strict=True)
        if cell.refusal
    ]
    return Table("Comparison", ("score", *found.names), rows, "\n".join(told))


def shown(score: str, cell: Cell) -> str:
    """A cell as text: value, direction and mark, `≠` where the signatures differ."""
    arrow = {None: "", True: " ▲", False: " ▼"}[cell.better(score)]
    return f"{number(cell.value, score)}{arrow}{cell.mark}{' ≠' if cell.refusal else ''}"


def as_dict(found: Comparison) -> dict[str, Any]:
    """The comparison as one JSON object."""
    return {
        "runs": [
            {
                "name": name,
                "protocol": run.origin.protocol,
                "items": run.origin.split,
                "missing": list(run.missing),
            }
            for name, run in zip(found.names, found.runs, strict=True)
        ],
        "test": _test_name(found),
        "not_comparable": {name: list(why) for name, why in found.refusals.items()},
        "scores": {
            score: {name: _cell_dict(score, cell) for name, cell in zip(found.names, cells, strict=True)}
            for score, cells in found.rows.items()
        },
        "signatures": [
            {name: measure.score.signature for name, measure in run.by_name.items()} for run in found.runs
        ],
    }


def _cell_dict(score: str, cell: Cell) -> dict[str, Any]:
    value: dict[str, Any] = {"value": cell.value}
    if cell.refusal:
        value["refusal"] = cell.refusal
    if cell.difference:
        p = cell.difference.p
        value |= {
            "difference": cell.difference.value if p == p else None,
            "interval": cell.difference.interval,
            "p": p if p == p else None,
            "p_holm": cell.p_holm,
            "mark": cell.mark,
            "better": cell.better(score),
        }
    if cell.also:
        value["p_mcnemar"] = cell.also.p
    return value


def _test_name(found: Comparison) -> str:
    tests = [cell.difference.test for cells in found.rows.values() for cell in cells if cell.difference]
    return tests[0] if tests else found.test


def _value(run: Measures, score: str) -> Cell:
    known = run.by_name.get(score)
    return Cell(known.score.value if known else None)


def _cell(first: Measures, other: Measures, score: str, test: Test, *, refused: bool) -> Cell:
    cell = _value(other, score)
    one, two = first.by_name.get(score), other.by_name.get(score)
    if refused or one is None or two is None:
        return cell
    if one.score.signature != two.score.signature:
        return replace(cell, refusal=f"other signature ({_unlike(one, two)})")
    if one.statistics is None or two.statistics is None or one.keys != two.keys:
        return cell
    difference = test(one.statistics.grouped(one.groups), two.statistics.grouped(two.groups))
    return replace(cell, difference=difference, also=_mcnemar(score, one, two))


def _mcnemar(score: str, one: Measure, two: Measure) -> Difference | None:
    if score not in ZERO_ONE or one.statistics is None or two.statistics is None:
        return None
    return mcnemar(one.statistics.per_item, two.statistics.per_item, metric=score)


def _unlike(one: Measure, two: Measure) -> str:
    own, other = (set(measure.score.signature.split("|")) for measure in (one, two))
    theirs, ours = ", ".join(sorted(other - own)), ", ".join(sorted(own - other))
    return f"{theirs or 'nothing'} instead of {ours or 'nothing'}"


def _holm(rows: dict[str, tuple[Cell, ...]]) -> dict[str, tuple[Cell, ...]]:
    """The same rows with p-values corrected for all tests in the table."""
    p = [cell.difference.p for cells in rows.values() for cell in cells if cell.difference and _real(cell)]
    corrected = iter(multipletests(p, method="holm")[1]) if p else iter(())
    return {
        score: tuple(
            replace(cell, p_holm=float(next(corrected))) if cell.difference and _real(cell) else cell
            for cell in cells
        )
        for score, cells in rows.items()
    }


def _real(cell: Cell) -> bool:
    return cell.difference is not None and cell.difference.p == cell.difference.p
