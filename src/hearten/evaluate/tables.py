"""How numbers are shown: one kind of table for the terminal and the page, and one way to write a score.

Shares are stored as fractions and shown times 100, as every paper prints them; perplexity, preference bias
and lengths are shown as they are. The parts of the signatures that all scores share are written once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hearten.core.records import Score

PLAIN = ("ppl", "preference-bias", "Length", "mean", "alpha", "kappa")
"""Beginnings of names whose values are not shares."""
NAMED = ("metric:", "choice:")
"""Parts of a signature that stand in the score's name already."""
ABSENT = "–"


@dataclass(frozen=True)
class Table:
    """A titled table of text; the first column names the row, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def factor(name: str) -> float:
    """100 for a share, 1 for anything else."""
    return 1.0 if name.startswith(PLAIN) else 100.0


def number(value: float | None, name: str = "", digits: int = 2) -> str:
    """A value as it is shown: rounded, shares times 100, `–` when undefined."""
    if value is None or value != value:
        return ABSENT
    return f"{value * factor(name):.{digits}f}"


def p_value(p: float | None) -> str:
    """`<.001`, `.023`, or `–`."""
    if p is None or p != p:
        return ABSENT
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def shown_interval(score: Score) -> str:
    """`12.3–15.6`, or nothing."""
    if score.interval is None:
        return ""
    low, high = (number(end, score.name) for end in score.interval)
    return f"{low}–{high}"


def shared_signature(scores: Sequence[Score]) -> tuple[str, list[str]]:
    """(the parts all signatures have, what is left of each without what the score's name says)."""
    parts = [score.signature.split("|") for score in scores]
    common = [part for part in parts[0] if all(part in other for other in parts)] if len(parts) > 1 else []
    rest = [
        "|".join(part for part in own if part not in common and not part.startswith(NAMED)) for own in parts
    ]
    return "|".join(common), rest


def score_table(title: str, scores: Sequence[Score]) -> Table:
    """Scores with interval and the part of the signature that is their own."""
    common, rest = shared_signature(scores)
    rows = tuple(
        (
            score.name,
            number(score.value, score.name),
            shown_interval(score),
            str(score.items),
            f"{own} ({score.note})" if score.note else own,
        )
        for score, own in zip(scores, rest, strict=True)
    )
    note = f"signature of all: {common}" if common else ""
    return Table(title, ("score", "value", "95% interval", "n", "signature"), rows, note)


def show(tables: Iterable[Table]) -> None:
    """Print tables on standard output, at most 100 columns wide."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(width=100, highlight=False)
    for table in tables:
        grid = RichTable(title=Text(table.title), title_justify="left", box=None, pad_edge=False)
        for place, column in enumerate(table.columns):
            words = place == 0 or column == "signature"
            grid.add_column(Text(column), justify="left" if words else "right", overflow="fold")
        for row in table.rows:
            grid.add_row(*(Text(cell) for cell in row))
        console.print(grid if table.columns else Text(table.title))
        if table.note:
            console.print(Text(table.note), style="dim")
        console.print()
