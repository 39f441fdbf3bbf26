"""ExTES JSON: a scene, a description, and turns by `User` and `AI` with an `AI Strategy`.

The layout and the slips of the models that write it are read by `core.extes`. Of several strategies the
first counts, and all are kept in `annotations`.
"""

from collections.abc import Iterator
from typing import Any

from hearten.core.conversation import Role
from hearten.core.extes import scenario_name, turns_of
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, require
from hearten.data.source import Source


def recognise(source: Source) -> bool:
    """A record has `content` whose items are `User` and `AI`."""
    content = source.first_record.get("content")
    items = content if isinstance(content, list) else []
    return any(isinstance(item, dict) and {"user", "ai"} & {key.casefold() for key in item} for item in items)


def records(source: Source) -> Iterator[Raw]:
    """One record a conversation."""
    return source.records()


def draft(record: Any, number: int) -> Draft:
    """One dialogue of ExTES."""
    content = require(record, "content", list)
    turns = [turn for n, item in enumerate(content, 1) for turn in _turns(item, f"content item {n}")]
    profile = present(scenario=scenario_name(record.get("scene")), situation=record.get("description"))
    return {"id": f"extes-{number:05d}", "source": "extes", "profile": profile, "turns": turns}


def _turns(item: Any, where: str) -> Iterator[Draft]:
    for said in turns_of(item, where):
        field = "User" if said.speaker is Role.SEEKER else "AI"
        turn: Draft = {"speaker": said.speaker, "text": clean(said.text, f"{where}, field {field}")}
        if said.strategies:
            turn["strategy"] = said.strategies[0]
        if len(said.strategies) > 1:
            turn["annotations"] = {"strategies": said.strategies}
        yield turn


EXTES = Format(
    "extes", "ExTES, 11,177 generated dialogues", recognise, records, draft, source="extes", label_set="extes"
)
