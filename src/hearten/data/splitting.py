"""Write a corpus split under a named protocol: train, valid and test files and `split.json` with its hash.

Conversations are written as the protocol sees them (merged, relabelled) where it splits conversations, and
examples where it splits windows, so that what a file holds is what was split. A leaky split is refused
unless asked for.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation
from hearten.core.jsonl import write_json, write_records
from hearten.core.protocol import (
    PARTS,
    Part,
    Protocol,
    Split,
    merge_speakers,
    protocol,
    refuse_leaks,
    relabel,
    split,
)
from hearten.core.records import Example
from hearten.core.runfolder import file_hash
from hearten.data.corpus import Corpus


def write_split(
    corpus: Corpus, protocol_name: str, out: Path, *, allow_leaks: bool = False
) -> dict[str, Any]:
    """Split a corpus and write the parts; returns what `split.json` holds.

    Raises:
        UsageError: no such protocol.
        Failure: the split leaks, ids repeat, or there are too few conversations.
    """
    how = protocol(protocol_name)
    parts = split(corpus.conversations, how)
    found = refuse_leaks(parts, allow=allow_leaks)
    records = {part: _records(parts, part, corpus.conversations) for part in PARTS}
    for part in PARTS:
        write_records(out / f"{part}.jsonl", records[part])
    summary = {
        "protocol": how.model_dump(),
        "hash": parts.hash,
        "holds": "examples" if how.unit == "window" else "conversations",
        "records": {part: len(records[part]) for part in PARTS},
        "examples": {part: len(parts[part]) for part in PARTS},
        "leaks": asdict(found),
        "corpus": str(corpus.path),
        "sha256": file_hash(corpus.path) if corpus.path.is_file() else None,
        "licence": corpus.licence,
    }
    write_json(out / "split.json", summary)
    return summary


def _records(
    parts: Split, part: Part, conversations: Sequence[Conversation]
) -> Sequence[Conversation | Example]:
    if parts.protocol.unit == "window":
        return parts[part]
    chosen = {example.conversation_id for example in parts[part]}
    return [as_split(one, parts.protocol) for one in conversations if one.id in chosen]


def as_split(conversation: Conversation, how: Protocol) -> Conversation:
    """The conversation with the protocol's labels and its turns merged; doing it twice changes nothing."""
    if how.label_set and how.label_set != conversation.label_set:
        conversation = relabel(conversation, how.label_set)
    return merge_speakers(conversation) if how.merge == "speaker" else conversation
