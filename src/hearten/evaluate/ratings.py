"""Read what people answered: ratings from CSV or JSON Lines, every bad row reported by its number.

A row has `item`, `rater`, `value`, and optionally `question` (else "overall") and `system`. What a value
may be depends on the kind of study; a row that does not fit, or a rater who answered twice, is reported
with its line number in the file, and either all such rows stop the reading or, when asked, are left out
and counted.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearten.core.conversation import Record
from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.jsonl import open_text, read_lines
from hearten.core.registry import lookup

NEEDED = ("item", "rater", "value")
KNOWN = ("item", "rater", "question", "value", "system")
SIDES = {"win": "win", "a": "win", "tie": "tie", "equal": "tie", "lose": "lose", "loss": "lose", "b": "lose"}
"""What may stand for the three outcomes, from the side of the first system (A)."""
SHOWN = 5
"""How many bad rows an error names."""


class Answer(Record):
    """One answer of one rater to one question about one item."""

    item: str
    rater: str
    question: str = "overall"
    value: str | float
    system: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row that could not be used."""

    row: int
    """Line number in the file, from 1 (a CSV's heading is line 1)."""
    what: str


@dataclass(frozen=True)
class Answers:
    """What a file held."""

    answers: tuple[Answer, ...]
    bad: tuple[BadRow, ...]


def read_answers(
    path: Path, kind: str, *, scale: tuple[float, float] | None = None, skip_bad: bool = False
) -> Answers:
    """Read a study's file.

    Args:
        path: `.csv`, or JSON Lines.
        kind: `likert`, `winlose`, `votes` or `categories`.
        scale: lowest and highest allowed Likert value.
        skip_bad: leave bad rows out (they are in the result) instead of refusing.

    Raises:
        UsageError: unknown kind or missing file.
        Failure: a column is missing, no row is good, or there are bad rows and `skip_bad` is off.
    """
    parse = lookup(PARSERS, kind, "kind")
    answers: list[Answer] = []
    bad: list[BadRow] = []
    seen: set[tuple[str, ...]] = set()
    for number, row in rows(path, NEEDED):
        try:
            answer = _answer(row, parse, scale)
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
            continue
        key = (answer.item, answer.rater, answer.question, answer.system)
        if key in seen:
            bad.append(BadRow(number, f"rater '{answer.rater}' answered this already"))
            continue
        seen.add(key)
        answers.append(answer)
    _refuse(path, answers, bad, skip_bad)
    return Answers(tuple(answers), tuple(bad))


def rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of a CSV or JSON Lines file.

    Raises:
        Failure: the CSV's heading lacks a needed column; a JSON line is not an object.
    """
    if path.suffix.lower() != ".csv":
        for number, value in read_lines(path):
            if not isinstance(value, dict):
                raise Failure("a line is not a JSON object", where=f"{path}, line {number}")
            yield number, value
        return
    with open_text(path) as stream:
        reader = csv.DictReader(stream, skipinitialspace=True)
        columns = [str(name).strip() for name in reader.fieldnames or ()]
        for name in needed:
            if name not in columns:
                told = f"the heading has no column '{name}'"
                raise Failure(
                    told, where=f"{path}, line 1", fix=f"columns there: {', '.join(columns) or 'none'}"
                )
        reader.fieldnames = columns
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if key is not None}


def _answer(
    row: dict[str, Any],
    parse: Callable[[str, tuple[float, float] | None], str | float],
    scale: tuple[float, float] | None,
) -> Answer:
    unknown = [key for key in row if key not in KNOWN]
    if unknown and not any(key in row for key in NEEDED):
        raise ValueError(f"unknown column '{unknown[0]}': {nearest(unknown[0], KNOWN)}")
    text = {key: str(row[key]).strip() for key in KNOWN if row.get(key) is not None}
    for key in NEEDED:
        if not text.get(key):
            raise ValueError(f"'{key}' is empty")
    return Answer(
        item=text["item"],
        rater=text["rater"],
        question=text.get("question") or "overall",
        value=parse(text["value"], scale),
        system=text.get("system", ""),
    )


def _likert(text: str, scale: tuple[float, float] | None) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None
    low, high = scale or (-float("inf"), float("inf"))
    if value != value or not low <= value <= high or abs(value) == float("inf"):
        raise ValueError(f"{text} is not between {low:g} and {high:g}")
    return value


def _side(text: str, _scale: tuple[float, float] | None) -> str:
    side = SIDES.get(text.casefold())
    if side is None:
        raise ValueError(f"'{text}' is not win, tie or lose ({nearest(text, SIDES)})")
    return side


def _category(text: str, _scale: tuple[float, float] | None) -> str:
    return text


PARSERS: dict[str, Callable[[str, tuple[float, float] | None], str | float]] = {
    "likert": _likert,
    "winlose": _side,
    "votes": _side,
    "categories": _category,
}


def _refuse(path: Path, answers: Sequence[Answer], bad: Sequence[BadRow], skip_bad: bool) -> None:
    named = "; ".join(f"row {row.row}: {row.what}" for row in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if bad and not skip_bad:
        raise Failure(
            f"{len(bad)} bad rating{'s' if len(bad) > 1 else ''}: {named}{more}",
            where=str(path),
            fix="mend the rows, or leave them out with --skip-bad",
        )
    if not answers:
        raise Failure("no rating is there", where=str(path), fix=named or "the file has no rows")


def parse_scale(text: str | None) -> tuple[float, float] | None:
    """`1-5` → (1, 5).

    Raises:
        UsageError: not two numbers, or the first not below the second.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.replace("–", "-").split("-"))
    except ValueError:
        raise UsageError(f"'{text}' is not a scale", fix="write lowest-highest, such as 1-5 or 0-3") from None
    if low >= high:
        raise UsageError(f"'{text}' is not a scale: {low:g} is not below {high:g}")
    return low, high
