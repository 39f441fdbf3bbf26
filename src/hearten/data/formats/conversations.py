"""Our own file: one `Conversation` a line. What every later stage reads."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.jsonl import write_records
from hearten.data.formats.draft import Draft, Format, Raw
from hearten.data.source import Source


def recognise(source: Source) -> bool:
    """A record has an id and turns."""
    return {"id", "turns"} <= source.first_record.keys()


def records(source: Source) -> Iterator[Raw]:
    """One line a conversation."""
    return source.records()


def draft(record: Any, number: int) -> Draft:
    """The record as it is; a file that names no label set means ESConv's, as in `Conversation`."""
    if not isinstance(record, dict):
        raise Failure(f"a {type(record).__name__} where an object should be")
    return {"label_set": "esconv", **record}


def write(conversations: Sequence[Conversation], path: Path) -> None:
    """Write the file whole."""
    write_records(path, conversations)


CONVERSATIONS = Format(
    "conversations", "hearten's conversations.jsonl", recognise, records, draft, write=write
)
