"""How good a rater is: unhelpful or not, facet by facet and pooled, against people's labels.

Accuracy and macro-F1 over the two answers, as Muffin's Table 7 has them (its cells fit only this reading);
`pooled` is every item of the test part together, not an AND, because an item has one facet's label. Beside it
the share of exact classes, the items that could not be read, and calibration: how often replies that were
called unhelpful with some probability are. The paper's figures stand beside ours, on their own test part.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from tomllib import loads

from hearten.align.records import FacetItem
from hearten.core.rater import Rater, facet, judge, unhelpful_share
from hearten.core.records import FacetVerdict, Score
from hearten.core.runfolder import versions

BINS = 10
GRID = tuple(round(number / 50, 2) for number in range(5, 46))
"""Thresholds that are tried: 0.10, 0.12, … 0.90."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled reply and what the rater said of it."""

    item: FacetItem
    verdict: FacetVerdict

    @property
    def unhelpful(self) -> bool:
        """What people say."""
        return not facet(self.item.facet).helpful(self.item.label)


@cache
def published() -> dict[str, dict[str, list[float]]]:
    """Figures to stand beside ours, by facet: name → (accuracy, macro-F1) in per cent."""
    text = (files("hearten.align") / "tables" / "table7.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, list[float]]] = loads(text)
    return table


def judged(rater: Rater, items: Sequence[FacetItem]) -> list[Judged]:
    """The rater's verdict on every item of the facets it knows."""
    found = []
    for name in rater.facets:
        mine = [item for item in items if item.facet == name]
        verdicts = judge(rater, name, [(item.context, item.reply) for item in mine])
        found += [Judged(item, verdict) for item, verdict in zip(mine, verdicts, strict=True)]
    return found


def accuracy(answers: Sequence[tuple[bool, bool]]) -> float:
    """Share of (said, true) that agree."""
    return sum(said == true for said, true in answers) / len(answers)


def macro_f1(answers: Sequence[tuple[bool, bool]]) -> float:
    """Mean over the two answers of 2·hits / (2·hits + misses + false alarms); 0 for one that never occurs."""
    parts = []
    for one in (True, False):
        hits = sum(said == one == true for said, true in answers)
        wrong = sum((said == one) != (true == one) for said, true in answers)
        parts.append(2 * hits / (2 * hits + wrong) if hits + wrong else 0.0)
    return sum(parts) / 2


def thresholds(found: Sequence[Judged]) -> dict[str, float]:
    """Facet → the P(unhelpful) from which a reply is best called unhelpful, for facets with probabilities.

    Best is the macro-F1 over the two answers, averaged with its two neighbours on either side of the grid, so
    that no single reply decides; of equals the one nearest to a half.
    """
    groups: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for one in found:
        share = unhelpful_share(one.verdict)
        if share is not None:
            groups[one.item.facet].append((share, one.unhelpful))
    return {name: _threshold(rows) for name, rows in groups.items()}


def _threshold(rows: Sequence[tuple[float, bool]]) -> float:
    f1s = [macro_f1([(share >= place, true) for share, true in rows]) for place in GRID]
    smooth = {
        place: round(fmean(f1s[max(0, number - 2) : number + 3]), 9) for number, place in enumerate(GRID)
    }
    return max(GRID, key=lambda place: (smooth[place], -abs(place - 0.5)))


def scores(found: Sequence[Judged], rater: str, data: str) -> list[Score]:
    """Every figure with its signature.

    Args:
        found: all judged items.
        rater: its name.
        data: hash of the test part.
    """
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in found:
        groups[one.item.facet].append(one)
    groups = {**groups, "pooled": list(found)}
    return [score for name, mine in groups.items() for score in _group_scores(name, mine, rater, data)]


def _group_scores(name: str, mine: Sequence[Judged], rater: str, data: str) -> list[Score]:
    read = [one for one in mine if one.verdict.helpful is not None]
    signature = (
        f"facet={name}|answer=unhelpful-or-not|rater={rater}|test={data}|hearten={versions()['hearten']}"
    )
    note = f"{len(mine) - len(read)} unscored" if len(read) < len(mine) else None

    def made(metric: str, value: float | None) -> Score:
        return Score(name=f"{name} {metric}", value=value, signature=signature, items=len(read), note=note)

    if not read:
        return [made("accuracy", None)]
    answers = [(not one.verdict.helpful, one.unhelpful) for one in read]
    exact = sum(one.verdict.label == one.item.label for one in read) / len(read)
    found = [
        made("accuracy", accuracy(answers)),
        made("macro-F1", macro_f1(answers)),
        made("exact class", exact),
    ]
    error = calibration_error(read)
    return found if error is None else [*found, made("calibration error", error)]


def by_source(found: Sequence[Judged]) -> dict[str, tuple[float, int]]:
    """Source → (accuracy, items): which kinds of wrong replies are seen through."""
    groups: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for one in found:
        if one.verdict.helpful is not None:
            groups[one.item.source].append((not one.verdict.helpful, one.unhelpful))
    return {name: (accuracy(answers), len(answers)) for name, answers in sorted(groups.items())}


def calibration(found: Sequence[Judged]) -> list[tuple[float, float, int]]:
    """(mean probability, share of unhelpful, items) of ten equal bins of P(unhelpful) that hold any."""
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for one in found:
        share = unhelpful_share(one.verdict)
        if share is not None:
            bins[min(BINS - 1, int(share * BINS))].append((share, one.unhelpful))
    return [
        (sum(p for p, _ in rows) / len(rows), sum(true for _, true in rows) / len(rows), len(rows))
        for _, rows in sorted(bins.items())
    ]


def calibration_error(found: Sequence[Judged]) -> float | None:
    """Expected calibration error: mean distance of the two, weighted by items; None without probabilities."""
    rows = calibration(found)
    total = sum(count for _, _, count in rows)
    return sum(abs(said - true) * count for said, true, count in rows) / total if total else None


def plot(found: Sequence[Judged], path: Path) -> None:
    """Draw calibration per facet as SVG."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one.item.facet for one in found))
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        rows = calibration([one for one in found if one.item.facet == name])
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        if rows:
            said, true, count = zip(*rows, strict=True)
            ax.plot(said, true, color="#33638d", linewidth=1.5)
            ax.scatter(said, true, s=[8 + 120 * n / sum(count) for n in count], color="#33638d")
        ax.set(
            title=name, xlabel="said: P(unhelpful)", ylabel="found: share unhelpful", xlim=(0, 1), ylim=(0, 1)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
