"""The paper's numbers and ours, line under line, with what stands between them written below.

The bench of all systems has no paper: each of its rows is one line, and says what its training cost.
"""

from collections.abc import Sequence
from typing import Any

from hearten.evaluate.tables import ABSENT, Table, number
from hearten.reproduce.bench import Outcome
from hearten.reproduce.rows import Row, rows_of, tables

SHORT = {
    "ppl-utterance": "PPL",
    "ppl-token": "PPL",
    "METEOR-nltk": "METEOR",
    "METEOR-1.5": "METEOR",
    "ppl-word": "PPL",
    "accuracy": "ACC",
    "macro-f1": "macro-F1",
    "ROUGE-L": "R-L",
    "macro-precision": "P",
    "macro-recall": "R",
    "severe_toxicity": "severe",
    "identity_attack": "attack",
}
"""Our name of a metric → a heading that fits; BLEU-2 and Distinct-1 are cut by rule."""


def heading(metric: str) -> str:
    """What stands over a column."""
    cut = metric.removesuffix("-chunks").replace("BLEU-", "B-").replace("Distinct-", "D-")
    return SHORT.get(metric, cut)


def result_table(title: str, outcomes: Sequence[Outcome]) -> Table:
    """Two lines a row, `paper` and `ours`, or one with what it cost where nothing was published.

    The caveats are letters, explained in the note.
    """
    metrics = list(dict.fromkeys(name for one in outcomes for name in (*one.paper, *one.asked)))
    letters = _letters(outcomes)
    notes = "\n".join(_notes(outcomes, letters, metrics))
    if not any(one.paper for one in outcomes):
        columns = ("", "", *map(heading, metrics), "min", "steps", "tokens")
        return Table(title, columns, tuple(_bench_line(one, letters, metrics) for one in outcomes), notes)
    rows: list[tuple[str, ...]] = []
    for one in outcomes:
        printed = (ABSENT if (value := one.paper.get(name)) is None else f"{value:.2f}" for name in metrics)
        rows.append((one.title, "paper", *printed))
        rows.append((f"  {_marks(one, letters)}", "ours", *_ours(one, metrics)))
    return Table(title, ("", "", *map(heading, metrics)), tuple(rows), notes)


def _bench_line(one: Outcome, letters: dict[str, str], metrics: Sequence[str]) -> tuple[str, ...]:
    cost = one.cost
    spent = (f"{cost.minutes:.0f}", str(cost.steps), f"{cost.tokens:,}") if cost else (ABSENT,) * 3
    return (one.title, _marks(one, letters), *_ours(one, metrics), *spent)


def _ours(one: Outcome, metrics: Sequence[str]) -> list[str]:
    return [number(one.ours[name].value if name in one.ours else None, name) for name in metrics]


def _marks(one: Outcome, letters: dict[str, str]) -> str:
    return "".join(sorted(letters[caveat] for caveat in one.caveats))


def _letters(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Caveat → the letter that stands for it."""
    told = list(dict.fromkeys(caveat for one in outcomes for caveat in one.caveats))
    return {caveat: "abcdefghijklmnopqrstuvwxyz"[place % 26] for place, caveat in enumerate(told)}


def _notes(outcomes: Sequence[Outcome], letters: dict[str, str], metrics: Sequence[str]) -> list[str]:
    notes = [f"{letter}: {caveat}" for caveat, letter in letters.items()]
    notes += [f"not run: {one.title}: {one.reason}" for one in outcomes if one.status != "done"]
    missing = dict.fromkeys(
        f"no {name}: {why}" for one in outcomes if one.status == "done" for name, why in one.missing.items()
    )
    cut = [f"{heading(name)} {name}" for name in metrics if heading(name) != name]
    return [*notes, *missing, *([f"columns: {', '.join(cut)}"] if cut else [])]


def list_of_tables() -> Table:
    """Every table, and how many of its rows have a system here."""
    from hearten.models.systems import SYSTEMS

    rows = []
    for name in tables():
        found = rows_of(name)
        here = sum(row.system in SYSTEMS or row.system is None for row in found)
        rows.append((name, found[0].paper.table, str(len(found)), str(here)))
    return Table("Tables", ("name", "paper", "rows", "systems here"), tuple(rows))


def list_of_rows(rows: Sequence[Row]) -> Table:
    """The rows of one table, and what keeps a row from running."""
    lacks = {row.name: lack(row) for row in rows}
    lines = tuple(
        (row.name, row.title, row.system or "–", row.backbone or "–", (lacks[row.name] or ("ready",))[0])
        for row in rows
    )
    fixes = dict.fromkeys(found[1] for found in lacks.values() if found)
    return Table(rows[0].paper.table, ("row", "what", "system", "backbone", ""), lines, "\n".join(fixes))


def lack(row: Row) -> tuple[str, str] | None:
    """What keeps a row from running in a few words, and what to do about it; None where nothing does."""
    from hearten.core.errors import HeartenError
    from hearten.lm.backbone import model_folder
    from hearten.models.systems import SYSTEMS

    if row.system is not None and row.system not in SYSTEMS:
        return "system not built yet", f"systems here: {', '.join(SYSTEMS)}"
    try:
        if row.backbone is not None:
            model_folder(row.backbone)
    except HeartenError as error:
        return "weights not here", error.fix
    return None


def as_dict(table: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything about a table as one JSON object."""
    return {"table": table, "rows": [one.model_dump(mode="json") for one in outcomes]}
