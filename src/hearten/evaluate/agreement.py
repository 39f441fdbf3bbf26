"""The statistics of a human study: what was preferred, how sure that is, and whether raters agree.

Four kinds of study: `winlose` (one comparison a row: win/tie/lose tables with the sign test, ESConv Table
5, ExTES Table 9), `votes` (several raters an item, joined by Muffin's rule, its Figure 5), `likert` (means
per question and system, ExTES Table 4) and `categories` (labels). Each says how well raters agree: Cohen,
Fleiss, Krippendorff.

`hearten evaluate agreement FILE --kind votes` prints it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearten.core.records import Score
from hearten.core.registry import lookup
from hearten.evaluate import coefficients
from hearten.evaluate.ratings import Answer, Answers, BadRow
from hearten.evaluate.signature import signature
from hearten.evaluate.significance import interval, sign_test
from hearten.evaluate.statistics import Array, mean_of
from hearten.evaluate.tables import Table, number, p_value

OUTCOMES = ("win", "tie", "lose")


@dataclass(frozen=True)
class StudyReport:
    """What a study's answers say."""

    kind: str
    raters: int
    items: int
    bad: tuple[BadRow, ...]
    scores: tuple[Score, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def study(answers: Answers, kind: str, *, resamples: int = 1000, seed: int = 13) -> StudyReport:
    """Sum up a study.

    Raises:
        UsageError: unknown kind.
    """
    rows = answers.answers
    scores, tables, notes = lookup(KINDS, kind, "kind")(rows, resamples, seed)
    if answers.bad:
        notes = [
            *notes,
            f"{len(answers.bad)} bad rows left out: " + ", ".join(str(row.row) for row in answers.bad),
        ]
    return StudyReport(
        kind=kind,
        raters=len({row.rater for row in rows}),
        items=len({row.item for row in rows}),
        bad=answers.bad,
        scores=tuple(scores),
        tables=tuple(tables),
        notes=tuple(notes),
    )


def muffin_vote(votes: Iterable[str]) -> str:
    """The outcome of one item from its raters' votes, by Muffin's rule (appendix B.4).

    The side with more votes wins; as many for both is a tie. Two for A and two ties is A, as the paper
    says. It does not say what one vote against three ties is: a tie here, since most raters saw none
    better.
    """
    counts = Counter(votes)
    win, tie, lose = (counts[outcome] for outcome in OUTCOMES)
    if win == lose or max(win, lose) < tie:
        return "tie"
    return "win" if win > lose else "lose"


def table_of(rows: Sequence[Answer]) -> tuple[Array, list[str], list[str]]:
    """(R, U) codes of answers with NaN where missing, the raters and the units (item and system).

    Numbers keep their value; words are numbered in order of the alphabet.
    """
    raters = sorted({row.rater for row in rows})
    units = sorted({f"{row.item}\t{row.system}" for row in rows})
    numeric = all(_is_number(row.value) for row in rows)
    code = {value: float(place) for place, value in enumerate(sorted({str(row.value) for row in rows}))}
    data = np.full((len(raters), len(units)), np.nan)
    place = {name: at for names in (raters, units) for at, name in enumerate(names)}
    for row in rows:
        value = float(row.value) if numeric else code[str(row.value)]
        data[raters.index(row.rater), place[f"{row.item}\t{row.system}"]] = value
    return data, raters, units


def _is_number(value: str | float) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except ValueError:
        return False


Part = tuple[list[Score], list[Table], list[str]]


def _by_question(rows: Sequence[Answer]) -> Iterator[tuple[str, list[Answer]]]:
    for question in dict.fromkeys(row.question for row in rows):
        yield question, [row for row in rows if row.question == question]


def _agreement(rows: Sequence[Answer], levels: Sequence[coefficients.Level]) -> tuple[list[Score], Table]:
    """Every coefficient for every question."""
    scores: list[Score] = []
    lines = []
    for question, own in _by_question(rows):
        data, raters, units = table_of(own)
        kappa, used = coefficients.fleiss(data)
        found: dict[str, tuple[float | None, int]] = {
            "agreement": (coefficients.observed(data), len(units)),
            "kappa-cohen": (coefficients.mean_cohen(data), len(units)),
            "kappa-fleiss": (kappa, used),
            **{f"alpha-{level}": (coefficients.krippendorff(data, level), len(units)) for level in levels},
        }
        scores += [
            Score(
                name=f"{question}/{name}",
                value=value,
                items=items,
                signature=signature(metric=name, question=question, raters=len(raters), unit="item"),
                note=None if value is not None else "undefined: fewer than two raters or values",
            )
            for name, (value, items) in found.items()
        ]
        shown = (number(value, name, 2 if name != "agreement" else 1) for name, (value, _) in found.items())
        lines.append((question, *shown, coefficients.words(kappa)))
    names = ("agree %", "Cohen κ", "Fleiss κ", *(f"α {level}" for level in levels), "in words")
    note = "Cohen: mean over pairs of raters. Words: Landis and Koch (1977) for Fleiss."
    return scores, Table("Agreement between raters", ("question", *names), tuple(lines), note)


def outcomes(title: str, results: dict[str, Counter[str]], unit: str) -> Part:
    """A win/tie/lose table with the sign test."""
    scores, lines = [], []
    for question, counts in results.items():
        total = sum(counts.values())
        p = sign_test(counts["win"], counts["lose"])
        mark = "‡" if p < 0.05 else "†" if p < 0.1 else ""
        shares = [counts[outcome] / total for outcome in OUTCOMES]
        lines.append(
            (question, *(number(share, digits=1) for share in shares), str(total), p_value(p) + mark)
        )
        scores += [
            Score(
                name=f"{question}/{outcome}",
                value=share,
                items=total,
                signature=signature(
                    metric=outcome, question=question, unit=unit, test="sign,exact,two-sided"
                ),
                note=f"sign test p = {p_value(p)}" if outcome == "win" else None,
            )
            for outcome, share in zip(OUTCOMES, shares, strict=True)
        ]
    columns = ("question", "win %", "tie %", "lose %", "n", "p (sign)")
    note = "Exact two-sided sign test without ties; † p < .1, ‡ p < .05, as ESConv's Table 5."
    return scores, [Table(title, columns, tuple(lines), note)], []


def _winlose(rows: Sequence[Answer], _resamples: int, _seed: int) -> Part:
    counts = {question: Counter(str(row.value) for row in own) for question, own in _by_question(rows)}
    scores, tables, notes = outcomes("Win, tie, lose: every answer counts", counts, "answer")
    repeated = max(Counter((row.item, row.question) for row in rows).values())
    if repeated > 1:
        notes.append(
            "some items have several answers, which the sign test takes for independent: "
            "--kind votes joins them by item first"
        )
        more, table = _agreement(rows, ("nominal",))
        return scores + more, [*tables, table], notes
    return scores, tables, notes


def _votes(rows: Sequence[Answer], _resamples: int, _seed: int) -> Part:
    joined: dict[str, Counter[str]] = {}
    for question, own in _by_question(rows):
        items = dict.fromkeys(row.item for row in own)
        results = (muffin_vote(str(row.value) for row in own if row.item == item) for item in items)
        joined[question] = Counter(results)
    plain = {question: Counter(str(row.value) for row in own) for question, own in _by_question(rows)}
    scores, tables, _ = outcomes("By item, joined by Muffin's rule", joined, "item,muffin-rule")
    shares, average, _ = outcomes("Average of votes", plain, "vote")
    more, table = _agreement(rows, ("nominal",))
    notes = ["Muffin's text averages votes and its appendix joins them by item: both are given"]
    average[0] = Table(average[0].title, average[0].columns[:-1], tuple(row[:-1] for row in average[0].rows))
    renamed = [score.model_copy(update={"name": f"{score.name} (votes)", "note": None}) for score in shares]
    return [*scores, *renamed, *more], [*tables, *average, table], notes


def _likert(rows: Sequence[Answer], resamples: int, seed: int) -> Part:
    scores, lines = [], []
    for question, own in _by_question(rows):
        for system in sorted({row.system for row in own}):
            answers = [row for row in own if row.system == system]
            values = np.array([float(row.value) for row in answers])
            by_item = mean_of("mean", values).grouped([row.item for row in answers])
            ends = interval(by_item, resamples=resamples, seed=seed)
            name = f"mean {question}{f' ({system})' if system else ''}"
            draws = f"bootstrap95,{resamples},seed{seed},by-item"
            mark = signature(metric="mean", question=question, system=system or None, interval=draws)
            scores.append(
                Score(name=name, value=by_item.value, items=len(by_item.rows), interval=ends, signature=mark)
            )
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            span = "" if ends is None else f"{ends[0]:.2f}–{ends[1]:.2f}"
            shown = (number(by_item.value, "mean"), number(spread, "mean"), span, str(len(by_item.rows)))
            lines.append((question, system, *shown))
    means = Table("Means", ("question", "system", "mean", "sd", "95% interval", "items"), tuple(lines))
    more, table = _agreement(rows, ("ordinal", "interval"))
    return scores + more, [means, table], []


def _categories(rows: Sequence[Answer], _resamples: int, _seed: int) -> Part:
    counts = {question: Counter(str(row.value) for row in own) for question, own in _by_question(rows)}
    lines = tuple(
        (f"{question}: {value}", str(count), number(count / sum(own.values()), digits=1))
        for question, own in counts.items()
        for value, count in own.most_common()
    )
    numeric = all(_is_number(row.value) for row in rows)
    scores, table = _agreement(rows, ("nominal", "ordinal", "interval") if numeric else ("nominal",))
    return scores, [Table("Labels given", ("label", "n", "%"), lines), table], []


KINDS: dict[str, Callable[[Sequence[Answer], int, int], Part]] = {
    "winlose": _winlose,
    "votes": _votes,
    "likert": _likert,
    "categories": _categories,
}


def as_dict(found: StudyReport) -> dict[str, Any]:
    """The report as one JSON object."""
    return {
        "kind": found.kind,
        "raters": found.raters,
        "items": found.items,
        "bad_rows": [vars_of(row) for row in found.bad],
        "scores": [score.model_dump() for score in found.scores],
        "notes": list(found.notes),
    }


def vars_of(row: BadRow) -> dict[str, Any]:
    """A bad row as an object."""
    return {"row": row.row, "what": row.what}
