"""The lines of alignment's own files: a labelled reply, a context's candidates, a context's verdicts."""

import hashlib
import re
from collections.abc import Sequence

from hearten.core.conversation import Record, Role, Text, Turn
from hearten.core.records import Candidate, Example, FacetVerdict


class FacetItem(Record):
    """One reply with its class on one facet."""

    id: str
    facet: str
    context: tuple[Turn, ...]
    reply: Text
    label: str
    source: str
    """Where the label comes from: `epitome`, `mi`, `counselchat`, `original`, `edit-topic`, …"""
    group: str
    """What may not stand in two parts: the source conversation or post."""
    weak: bool = False
    """Labelled by a program: used for training only."""


class CandidateSet(Record):
    """Replies sampled for one context: one line of `candidates.jsonl`."""

    conversation_id: str
    index: int
    context: str
    """`context_key` of what the system saw."""
    candidates: tuple[Candidate, ...]


class RatedSet(Record):
    """What one rater says of one context's candidates, in their order: one line of `verdicts.jsonl`."""

    conversation_id: str
    index: int
    context: str
    rater: str
    verdicts: tuple[tuple[FacetVerdict, ...], ...]


class RefinedSet(Record):
    """A reply to one context and what became of it: one line of the ledger of `align refine`."""

    conversation_id: str
    index: int
    context: str
    by: str
    """Who answered, judged and rewrote."""
    replies: tuple[str, ...]
    """How the reply stood at first and after each rewrite."""
    verdicts: tuple[tuple[FacetVerdict, ...], ...]
    """On each of them."""


def context_key(example: Example) -> str:
    """Twelve hex digits that change with any word of the context."""
    return key_of(example.context)


def key_of(turns: Sequence[Turn]) -> str:
    """Twelve hex digits of some turns' speakers and words."""
    text = "\n".join(f"{turn.speaker.value}\t{turn.text}" for turn in turns)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_stem(name: str) -> str:
    """A rater's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def seeker(text: str) -> Turn:
    """A seeker's turn."""
    return Turn(speaker=Role.SEEKER, text=text)
