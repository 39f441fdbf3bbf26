"""Chat JSON Lines as Hugging Face trainers read it: `{"messages": [{"role", "content"}, …]}`.

The seeker is `user`, the supporter `assistant`. What the layout has no place for (id, profile, survey,
strategy, stars) stands in further keys that trainers ignore, so a written file reads back whole. A
`system` message instructs a model and is no turn: it is left out when reading.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import write_records
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, require, role
from hearten.data.source import Source

AUTHORS = {Role.SEEKER: "user", Role.SUPPORTER: "assistant"}
KEPT = ("id", "source", "label_set", "profile", "survey")


def recognise(source: Source) -> bool:
    """A record has messages."""
    return isinstance(source.first_record.get("messages"), list)


def records(source: Source) -> Iterator[Raw]:
    """One line a conversation."""
    return source.records()


def draft(record: Any, number: int) -> Draft:
    """One chat."""
    messages = require(record, "messages", list)
    turns = [
        _turn(message, f"message {n}")
        for n, message in enumerate(messages, 1)
        if not (isinstance(message, dict) and message.get("role") == "system")
    ]
    kept = {key: record[key] for key in KEPT if record.get(key) is not None}
    return {"id": f"chat-{number:05d}", **kept, "turns": turns}


def _turn(message: Any, where: str) -> Draft:
    content = require(message, "content", object, where)
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if message.get("role") in ("tool", "function"):
        raise Failure("a tool's message is not a turn", where=where, fix="leave tool calls out")
    return present(
        speaker=role(message.get("role"), f"{where}, field role"),
        text=clean(content, f"{where}, field content"),
        strategy=message.get("strategy"),
        feedback=message.get("feedback"),
        annotations=message.get("annotations"),
    )


def write(conversations: Sequence[Conversation], path: Path) -> None:
    """Write the file whole."""
    write_records(path, map(to_record, conversations))


def to_record(conversation: Conversation) -> dict[str, Any]:
    """One conversation as a chat."""
    messages = [_message(turn) for turn in conversation.turns]
    kept = conversation.model_dump(mode="json", exclude_none=True, include=set(KEPT))
    return {"messages": messages, **kept}


def _message(turn: Turn) -> dict[str, Any]:
    return {
        "role": AUTHORS[turn.speaker],
        "content": turn.text,
        **turn.model_dump(mode="json", exclude_none=True, exclude={"speaker", "text"}),
    }


CHAT = Format("chat", "chat JSON Lines for Hugging Face trainers", recognise, records, draft, write=write)
