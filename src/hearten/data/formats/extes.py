"""ExTES JSON: a scene, a description, and turns by `User` and `AI` with an `AI Strategy`.

The texts were written by a language model into this layout, so its slips are read too: "AI strategy", an AI
value that is itself an object, a name in brackets with its abbreviation, no strategy at all (greetings and
goodbyes), two strategies with a comma (the first counts, all are kept in `annotations`).
"""

import re
from collections.abc import Iterator
from typing import Any

from hearten.core.conversation import Role
from hearten.core.errors import Failure
from hearten.core.taxonomy import label_set, scenarios
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, require
from hearten.data.source import Source

DECORATION = re.compile(r"^\[|\]$|\s*\([A-Za-z]{2,4}\)\s*\]?$")


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
    profile = present(scenario=_scenario(record.get("scene")), situation=record.get("description"))
    return {"id": f"extes-{number:05d}", "source": "extes", "profile": profile, "turns": turns}


def _scenario(scene: Any) -> str | None:
    """The scene, in the spelling of ExTES's Table 1 where it is one of its 36."""
    text = str(scene or "").strip()
    return next((s.name for s in scenarios() if s.name.casefold() == text.casefold()), text) or None


def _turns(item: Any, where: str) -> Iterator[Draft]:
    """The turns of one item: usually one; both sides where the model put them together."""
    if not isinstance(item, dict):
        raise Failure(f"a {type(item).__name__} where an object should be", where=where)
    fields = {key.strip().casefold().replace("_", " "): value for key, value in item.items()}
    spoken = [key for key in fields if key in ("user", "ai")]
    if not spoken:
        raise Failure(f"neither 'User' nor 'AI' among {sorted(item)}", where=where)
    for key in spoken:
        if fields[key] == "" and len(spoken) > 1:
            continue
        if key == "user":
            yield {"speaker": Role.SEEKER, "text": clean(fields[key], f"{where}, field User")}
        else:
            yield _supporter_turn(fields[key], fields.get("ai strategy", fields.get("strategy")), where)


def _supporter_turn(said: Any, strategy: Any, where: str) -> Draft:
    if isinstance(said, dict):
        inner = {key.casefold(): value for key, value in said.items()}
        strategy = next((value for key, value in inner.items() if "strategy" in key), strategy)
        said = next((value for key, value in inner.items() if "strategy" not in key), "")
    names = _strategy_names(strategy)
    turn: Draft = {"speaker": Role.SUPPORTER, "text": clean(said, f"{where}, field AI")}
    if names:
        turn["strategy"] = names[0]
    if len(names) > 1:
        turn["annotations"] = {"strategies": names}
    return turn


def _strategy_names(strategy: Any) -> list[str]:
    if isinstance(strategy, list):
        return [name for part in strategy for name in _strategy_names(part)]
    text = _undecorated(str(strategy or ""))
    if not text or _known(text):
        return [text] if text else []
    parts = [_undecorated(part) for part in re.split(r"[,;/+]", text)]
    return [part for part in parts if part] if _known(parts[0]) else [text]


def _undecorated(name: str) -> str:
    """`[Reflective Statements (RS)]` without brackets and abbreviation."""
    return DECORATION.sub("", DECORATION.sub("", name.strip())).strip()


def _known(name: str) -> bool:
    try:
        label_set("extes").find(name)
    except Failure:
        return False
    return True


EXTES = Format(
    "extes", "ExTES, 11,177 generated dialogues", recognise, records, draft, source="extes", label_set="extes"
)
