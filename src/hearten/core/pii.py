"""Take personal details out of text before it is shown to others or leaves the machine.

Patterns find what has a shape: e-mail and web addresses, telephone numbers, card and identity numbers,
handles, IP addresses, and a name a person introduces themselves with. Each becomes a placeholder such as
`[email]`. Names of other people and places have no shape; a person must still read what is published, and a
data card should say so.
"""

import re
from collections import Counter
from typing import NamedTuple


class Scrubbed(NamedTuple):
    """Text without its details, and how many of each kind were taken out."""

    text: str
    found: Counter[str]


_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\b")),
    ("url", re.compile(r"\b(?:https?://|www\.)[^\s<>\"]{1,300}", re.IGNORECASE)),
    ("card", re.compile(r"\b(?:\d{4}[ -]?){3}\d{1,4}\b")),
    ("ssn", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    ("ip", re.compile(r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b")),
    (
        "phone",
        re.compile(
            r"(?<![\w-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?)?\d{2,4}(?:[ .-]\d{2,4}){2,4}(?![\w-])"
        ),
    ),
    ("phone", re.compile(r"(?<!\w)\+?\d{9,14}(?!\w)")),
    ("handle", re.compile(r"(?<![\w@])@[A-Za-z_]\w{2,29}\b")),
)
_NAME = re.compile(r"\b((?:[Mm]y name is|[Mm]y name's|[Cc]all me)\s+)([A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)?)")


def scrub(text: str) -> Scrubbed:
    """`text` with placeholders for what the patterns find.

    >>> scrub("Write to ana@example.org or 555 010 4477.").text
    'Write to [email] or [phone].'
    """
    found: Counter[str] = Counter()
    for kind, pattern in _PATTERNS:
        text, count = pattern.subn(f"[{kind}]", text)
        found[kind] += count
    text, count = _NAME.subn(r"\1[name]", text)
    found["name"] += count
    return Scrubbed(text, +found)
