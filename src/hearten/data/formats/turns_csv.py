"""A table, one row a turn, for spreadsheets and data frames; read and written.

What belongs to the conversation is repeated on each of its rows. `answers` and `annotations` are JSON. Rows
of one conversation stand together.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation, Profile, Survey, Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import replacing
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, role
from hearten.data.source import Source

PROFILE = tuple(Profile.model_fields)
SURVEY = tuple(Survey.model_fields)
COLUMNS = (
    "conversation", "turn", "speaker", "strategy", "feedback", "text", "annotations", "source", "label_set",
    *PROFILE, *SURVEY,
)  # fmt: skip
REQUIRED = ("conversation", "speaker", "text")


def recognise(source: Source) -> bool:
    """The header has a conversation, a speaker and a text."""
    header = next(csv.reader(io.StringIO(source.text)), [])
    return set(REQUIRED) <= set(header)


def records(source: Source) -> Iterator[Raw]:
    """Rows gathered by conversation: (place, [(line number, row), …])."""
    reader = csv.DictReader(io.StringIO(source.text))
    unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
    if unknown:
        raise Failure(
            f"unknown column '{unknown[0]}'", where=str(source.path), fix=f"known: {', '.join(COLUMNS)}"
        )
    rows: list[tuple[int, dict[str, str]]] = []
    for row in reader:
        if rows and rows[0][1]["conversation"] != row["conversation"]:
            yield _place(rows), rows
            rows = []
        rows.append((reader.line_num, row))
    if rows:
        yield _place(rows), rows


def _place(rows: list[tuple[int, dict[str, str]]]) -> str:
    return f"lines {rows[0][0]}-{rows[-1][0]}"


def draft(rows: Any, number: int) -> Draft:
    """One conversation from its rows; its own columns are read from the first."""
    first = rows[0][1]
    survey = present(**{key: first.get(key) for key in SURVEY})
    if "answers" in survey:
        survey["answers"] = _json(survey["answers"], "field answers")
    return {
        "id": first["conversation"],
        **present(source=first.get("source"), label_set=first.get("label_set")),
        "profile": present(**{key: first.get(key) for key in PROFILE}),
        "survey": survey,
        "turns": [_turn(line, row) for line, row in rows],
    }


def _turn(line: int, row: dict[str, str]) -> Draft:
    where = f"line {line}"
    annotations = row.get("annotations")
    return present(
        speaker=role(row["speaker"], f"{where}, field speaker"),
        text=clean(row["text"], f"{where}, field text"),
        strategy=row.get("strategy"),
        feedback=row.get("feedback"),
        annotations=_json(annotations, f"{where}, field annotations") if annotations else None,
    )


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Failure(f"not valid JSON: {error.msg}", where=where) from None


def write(conversations: Sequence[Conversation], path: Path) -> None:
    """Write the table whole."""
    with replacing(path) as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for conversation in conversations:
            about = _about(conversation)
            writer.writerows(
                {**about, **_row(turn), "turn": number} for number, turn in enumerate(conversation.turns)
            )


def _about(conversation: Conversation) -> dict[str, Any]:
    survey = conversation.survey.model_dump(exclude_none=True)
    if "answers" in survey:
        survey["answers"] = json.dumps(survey["answers"], ensure_ascii=False)
    return {
        "conversation": conversation.id,
        "source": conversation.source,
        "label_set": conversation.label_set,
        **conversation.profile.model_dump(exclude_none=True),
        **survey,
    }


def _row(turn: Turn) -> dict[str, Any]:
    row = turn.model_dump(mode="json", exclude_none=True)
    if "annotations" in row:
        row["annotations"] = json.dumps(row["annotations"], ensure_ascii=False)
    return row


TURNS_CSV = Format("csv", "a table, one row a turn", recognise, records, draft, write=write)
