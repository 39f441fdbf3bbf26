"""Telling people that they talk to a machine: at the start, when they ask, and again on a timer.

The hours are those of California's SB 243 for known minors (three); the default keeps them for everybody.
The strings are in `tables/notice.toml`. Time is passed in, so that a test needs no clock.
"""

import re

from hearten.safety.normal import normalise, table
from hearten.safety.resources import ELSEWHERE, region

EVERY_SECONDS = 3 * 60 * 60
ASKED = re.compile(
    r"\b(?:are|r) (?:you|u)(?: (?:really|actually|just|even|like|sure you're))* (?:an? |the )?(?:\w+ )?"
    r"(?:bot|robot|ai|a\.i|machine|human|person|real|computer|program|chatbot|chatgpt|"
    r"somebody|someone|alive)\b|"
    r"\b(?:am i|i'm|is this|is it) (?:really )?(?:talking|speaking|chatting|writing)? ?(?:to|with)? ?"
    r"(?:an? |the )?(?:real |actual )?(?:bot|robot|ai|machine|human|computer|program|real person|person)\b|"
    r"\bwhat are you\b(?=\?|$)|\bwho are you\b(?=\?|$)|\bdo you have (?:a body|feelings|a life)\b"
)


def asks(text: str) -> bool:
    """Whether a person asks if this is a machine or a human."""
    return bool(ASKED.search(normalise(text)))


def start(region_code: str = ELSEWHERE, *, minor: bool = False) -> str:
    """The first words anybody sees."""
    words = str(table("notice")["start"]).format(emergency=region(region_code).emergency)
    return f"{words} {table('notice')['suitability']}" if minor else words


def answer() -> str:
    """The truth, on request."""
    return str(table("notice")["request"])


def due(seconds_since_last: float, *, every: float = EVERY_SECONDS) -> bool:
    """Whether the reminder is due."""
    return seconds_since_last >= every


def reminder(*, minor: bool = False) -> str:
    """The words of the timer."""
    return str(table("notice")["minor" if minor else "timer"])


def disclosure(turn: int = 0) -> str:
    """What a machine can say of itself where somebody asks it to tell from its own life."""
    texts: list[str] = table("notice")["disclosure"]
    return texts[turn % len(texts)]
