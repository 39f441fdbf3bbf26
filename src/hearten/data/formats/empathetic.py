"""EmpatheticDialogues: the original comma-separated files and a JSON Lines republication.

The speaker who had the experience is our seeker, the listener our supporter; there are no strategies. The
32 emotion words are not ESConv's, so the word stands in the first turn's `annotations` (`context`), as do
the split and the automatic label of the republication (`intent`, on each turn). In the original files commas
are written `_comma_`, nothing is quoted, and the person speaking alternates with `utterance_idx`.
"""

from collections.abc import Iterator
from typing import Any

from hearten.core.conversation import Role
from hearten.core.errors import Failure
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, require, role
from hearten.data.source import Source

COLUMNS = ("conv_id", "utterance_idx", "context", "prompt", "speaker_idx", "utterance")


def recognise_lines(source: Source) -> bool:
    """A record has `conv_id` and `utterances`."""
    return {"conv_id", "utterances"} <= source.first_record.keys()


def recognise_csv(source: Source) -> bool:
    """The header begins as the released files' do."""
    return source.text.startswith(",".join(COLUMNS))


def line_records(source: Source) -> Iterator[Raw]:
    """One line a conversation."""
    return source.records()


def draft_line(record: Any, number: int) -> Draft:
    """One conversation of the republication."""
    utterances = require(record, "utterances", list)
    turns = [_turn(item, f"utterance {n}") for n, item in enumerate(utterances, 1)]
    return _draft(require(record, "conv_id", str), record.get("prompt"), turns, record)


def _turn(item: Any, where: str) -> Draft:
    text = clean(require(item, "text", str, where), where)
    intent = item.get("pred_label")
    annotations = {"intent": intent} if intent else None
    return present(speaker=role(item.get("speaker"), where), text=text, annotations=annotations)


def csv_records(source: Source) -> Iterator[Raw]:
    """Rows gathered by conversation: (place, [(line number, fields), …])."""
    rows: list[tuple[int, list[str]]] = []
    for number, line in list(source.lines())[1:]:
        fields = line.split(",")
        if len(fields) < len(COLUMNS):
            what = f"{len(fields)} fields where at least {len(COLUMNS)} should be"
            yield f"line {number}", Failure(what, fix=f"columns: {', '.join(COLUMNS)}")
            continue
        if rows and rows[0][1][0] != fields[0]:
            yield f"lines {rows[0][0]}-{rows[-1][0]}", rows
            rows = []
        rows.append((number, fields))
    if rows:
        yield f"lines {rows[0][0]}-{rows[-1][0]}", rows


def draft_csv(rows: Any, number: int) -> Draft:
    """One conversation of the released files."""
    turns = [_csv_turn(line, fields) for line, fields in rows]
    name, _, context, prompt = rows[0][1][:4]
    return _draft(name, prompt.replace("_comma_", ","), turns, {"context": context})


def _csv_turn(line: int, fields: list[str]) -> Draft:
    place, said = fields[1], fields[5]
    if not place.isdigit():
        raise Failure(f"'{place}' is not a number", where=f"line {line}, field utterance_idx")
    speaker = Role.SEEKER if int(place) % 2 else Role.SUPPORTER
    return {"speaker": speaker, "text": clean(said.replace("_comma_", ","), f"line {line}, field utterance")}


def _draft(name: str, prompt: str | None, turns: list[Draft], facts: Draft) -> Draft:
    about = present(context=facts.get("context"), split=facts.get("split"))
    if turns and about:
        turns[0] = {**turns[0], "annotations": {**turns[0].get("annotations", {}), **about}}
    profile = present(situation=" ".join((prompt or "").split()))
    return {"id": name, "source": "empatheticdialogues", "profile": profile, "turns": turns}


LINES = Format(
    "empatheticdialogues",
    "EmpatheticDialogues as JSON Lines",
    recognise_lines,
    line_records,
    draft_line,
    source="empatheticdialogues",
)
CSV = Format(
    "empatheticdialogues-csv",
    "EmpatheticDialogues as released",
    recognise_csv,
    csv_records,
    draft_csv,
    source="empatheticdialogues",
)
