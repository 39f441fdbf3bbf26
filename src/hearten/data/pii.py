"""Hints of personal data: e-mail addresses, phone numbers, web addresses, handles; shown masked.

Patterns only, so both misses and false alarms happen: a hint asks a person to look, it decides nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hearten.core.conversation import Conversation

DIGITS_APART = (
    r"(?<![\w.])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?)?\d{3}[ .-]\d{3,4}(?:[ .-]\d{2,4})?(?!\w)"
)
DIGITS_TOGETHER = r"(?<!\w)\+?\d{9,14}(?!\w)"
WEB = r"\b(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|edu|gov)\b(?:/\S*)?"
PATTERNS = {
    "emails": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE),
    "urls": re.compile(WEB, re.IGNORECASE),
    "phone_numbers": re.compile(f"{DIGITS_APART}|{DIGITS_TOGETHER}"),
    "handles": re.compile(r"(?<![\w@.])@[a-z_]\w{2,}", re.IGNORECASE),
}
"""In this order: what one pattern found, the next does not see."""


@dataclass(frozen=True)
class Hint:
    """One place that may hold personal data."""

    kind: str
    conversation: str
    turn: int
    """From 0; -1 is the situation text."""
    masked: str


def hints(conversations: Sequence[Conversation]) -> list[Hint]:
    """Every hint in turns and situations."""
    return [
        Hint(kind, conversation.id, turn, masked)
        for conversation in conversations
        for turn, text in _texts(conversation)
        for kind, masked in find(text)
    ]


def _texts(conversation: Conversation) -> Iterator[tuple[int, str]]:
    if conversation.profile.situation:
        yield -1, conversation.profile.situation
    yield from enumerate(turn.text for turn in conversation.turns)


def find(text: str) -> Iterator[tuple[str, str]]:
    """(kind, masked text) of each hint in a text."""
    if not any(mark in text for mark in "@./-0123456789"):
        return
    for kind, pattern in PATTERNS.items():
        for match in pattern.finditer(text):
            yield kind, mask(match.group())
        text = pattern.sub(" ", text)


def mask(found: str) -> str:
    """The first character of every run of letters or digits, the rest as stars."""
    return re.sub(r"\w+", lambda run: run.group()[0] + "*" * (len(run.group()) - 1), found)
