"""The older TSV release (`codes/dataset/*WithStrategy_short.tsv`): windows, put together again.

A row is up to five segments joined by " EOS ", each `flag role turn text`; role 0 is the seeker, 1 the
supporter, whose text begins with `[Strategy] `. Rows of one conversation overlap, so its turns are
collected by their number; a number that comes again with other words begins the next conversation. Seeker
turns that no window held are missing. There is no situation, problem, emotion or star in this release.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from hearten.core.conversation import Role
from hearten.core.errors import Failure
from hearten.data.formats.draft import Draft, Format, Raw, clean
from hearten.data.source import Source

SEPARATOR = re.compile(r"\s+EOS\s+")
SEGMENT = re.compile(r"^(?P<flag>\d+(?:\.\d+)?) (?P<role>[01]) (?P<turn>\d+)(?: (?P<text>.*))?$")
STRATEGY = re.compile(r"^\[(?P<strategy>[^\]]+)\]\s*(?P<text>.*)$")


class Segment(NamedTuple):
    """One utterance of a row."""

    turn: int
    speaker: Role
    text: str
    line: int


def recognise(source: Source) -> bool:
    """The first row's first segment parses."""
    _, line = next(source.lines(), (0, ""))
    return SEGMENT.match(SEPARATOR.split(line.strip())[0]) is not None


def records(source: Source) -> Iterator[Raw]:
    """Rows gathered into conversations: (place, segments by turn number)."""
    gathered: dict[int, Segment] = {}
    for number, line in source.lines():
        try:
            segments = [_segment(part, number) for part in SEPARATOR.split(line.strip())]
        except Failure as error:
            yield f"line {number}", error
            continue
        if _begins_anew(segments, gathered):
            yield _place(gathered), gathered
            gathered = {}
        gathered.update({segment.turn: segment for segment in segments})
    if gathered:
        yield _place(gathered), gathered


def _segment(part: str, line: int) -> Segment:
    found = SEGMENT.match(part.strip())
    if found is None:
        raise Failure(f"not a segment: '{part[:40]}'", fix="each is 'flag role turn text', joined by ' EOS '")
    speaker = Role.SUPPORTER if found["role"] == "1" else Role.SEEKER
    return Segment(int(found["turn"]), speaker, found["text"] or "", line)


def _begins_anew(segments: list[Segment], gathered: dict[int, Segment]) -> bool:
    if not gathered:
        return False
    target = segments[-1].turn
    differs = any(s.turn in gathered and gathered[s.turn].text.strip() != s.text.strip() for s in segments)
    return differs or target <= max(gathered)


def _place(gathered: dict[int, Segment]) -> str:
    lines = [segment.line for segment in gathered.values()]
    return f"lines {min(lines)}-{max(lines)}"


def draft(record: Any, number: int) -> Draft:
    """One conversation from its segments."""
    turns = [_turn(record[turn]) for turn in sorted(record)]
    return {"id": f"esconv-tsv-{number:04d}", "source": "esconv-tsv", "turns": turns}


def _turn(segment: Segment) -> Draft:
    where = f"turn {segment.turn}"
    if segment.speaker is Role.SEEKER:
        return {"speaker": segment.speaker, "text": clean(segment.text, where)}
    found = STRATEGY.match(segment.text)
    if found is None:
        raise Failure(
            "a supporter's text without its strategy", where=where, fix="it begins with '[Strategy] '"
        )
    return {"speaker": segment.speaker, "strategy": found["strategy"], "text": clean(found["text"], where)}


TSV = Format(
    "esconv-tsv", "the older ESConv release in windows", recognise, records, draft, source="esconv-tsv"
)
