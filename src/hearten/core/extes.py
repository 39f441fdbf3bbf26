"""ExTES's layout of a dialogue, read as language models write it, and written as the paper shows it.

`{"scene", "description", "content": [{"User": …}, {"AI Strategy": …, "AI": …}, …]}` (Zheng et al. 2023,
Appendix C). The texts come from a language model, so its slips are read too: "AI strategy", an AI value that
is itself an object, a name in brackets with its abbreviation, no strategy at all (greetings and goodbyes),
two strategies with a comma. Nothing is judged here: names stay as they stand in the text.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure
from hearten.core.taxonomy import label_set, scenarios

DECORATION = re.compile(r"^\[|\]$|\s*\([A-Za-z]{2,4}\)\s*\]?$")


class Said(NamedTuple):
    """One turn as the layout holds it."""

    speaker: Role
    text: Any
    """What stands there; a string, if all is well."""
    strategies: list[str]
    """Names without decoration, the main one first."""


def turns_of(item: Any, where: str) -> Iterator[Said]:
    """The turns of one item of `content`: usually one; both sides where the model put them together.

    Raises:
        Failure: it is no object, or nobody speaks in it; with `where`.
    """
    if not isinstance(item, dict):
        raise Failure(f"a {type(item).__name__} where an object should be", where=where)
    fields = {str(key).strip().casefold().replace("_", " "): value for key, value in item.items()}
    spoken = [key for key in fields if key in ("user", "ai")]
    if not spoken:
        raise Failure(f"neither 'User' nor 'AI' among {sorted(map(str, item))}", where=where)
    for key in spoken:
        if fields[key] == "" and len(spoken) > 1:
            continue
        if key == "user":
            yield Said(Role.SEEKER, fields[key], [])
        else:
            yield _supporter(fields[key], fields.get("ai strategy", fields.get("strategy")))


def _supporter(said: Any, strategy: Any) -> Said:
    if isinstance(said, dict):
        inner = {str(key).casefold(): value for key, value in said.items()}
        strategy = next((value for key, value in inner.items() if "strategy" in key), strategy)
        said = next((value for key, value in inner.items() if "strategy" not in key), "")
    return Said(Role.SUPPORTER, said, strategy_names(strategy))


def strategy_names(strategy: Any) -> list[str]:
    """The names in a strategy field: undecorated, and apart where several known ones share it."""
    if isinstance(strategy, list):
        return [name for part in strategy for name in strategy_names(part)]
    text = _undecorated(str(strategy or ""))
    if not text or _known(text):
        return [text] if text else []
    parts = [_undecorated(part) for part in re.split(r"[,;/+]", text)]
    return [part for part in parts if part] if _known(parts[0]) else [text]


def scenario_name(scene: Any) -> str | None:
    """The scene, in the spelling of ExTES's Table 1 where it is one of its 36."""
    text = str(scene or "").strip()
    return next((s.name for s in scenarios() if s.name.casefold() == text.casefold()), text) or None


def layout(conversation: Conversation) -> dict[str, Any]:
    """The conversation as the paper's prompt shows an example."""
    content = [
        {"User": turn.text}
        if turn.speaker is Role.SEEKER
        else {"AI Strategy": str(turn.strategy or ""), "AI": turn.text}
        for turn in conversation.turns
    ]
    profile = conversation.profile
    return {"scene": profile.scenario or "", "description": profile.situation or "", "content": content}


def _undecorated(name: str) -> str:
    """`[Reflective Statements (RS)]` without brackets and abbreviation."""
    return DECORATION.sub("", DECORATION.sub("", name.strip())).strip()


def _known(name: str) -> bool:
    try:
        label_set("extes").find(name)
    except Failure:
        return False
    return True
