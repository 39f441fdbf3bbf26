"""Conversations out: any format that can be written, with what its layout has no place for told aloud."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hearten.core.conversation import Conversation
from hearten.core.errors import UsageError, nearest
from hearten.data.formats import FORMATS

WRITABLE = tuple(name for name, form in FORMATS.items() if form.write)


def write_corpus(conversations: Sequence[Conversation], format: str, out: Path) -> list[str]:
    """Write conversations to a file (a folder for ConvoKit), whole or not at all; returns what was lost.

    Raises:
        UsageError: no such format, or it cannot be written.
        Failure: the disk is full or the place cannot be written.
    """
    form = FORMATS.get(format)
    if form is None or form.write is None:
        raise UsageError(f"cannot write the format '{format}'", fix=nearest(format, WRITABLE))
    form.write(conversations, out)
    return list(_losses(conversations)) if format == "esconv" else []


def _losses(conversations: Sequence[Conversation]) -> Iterator[str]:
    """What ESConv's layout cannot hold of these conversations."""
    losses = {
        "annotations of turns": any(turn.annotations for one in conversations for turn in one.turns),
        "scenarios": any(one.profile.scenario for one in conversations),
        "ids and sources": any(not one.id.startswith("esconv-") for one in conversations),
    }
    return (name for name, lost in losses.items() if lost)
