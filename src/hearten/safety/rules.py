"""The transparent half of the input screen: tables of patterns, and what a message says about itself.

`read(normalised text)` takes figures of speech out, then looks for every rule of `tables/rules.toml`. A
certain find is enough for the care path unless the message itself says that it is denied, long past and
well again, about somebody who has died, or about a film, a song, a study. Then, like a hint, it counts
only together with the classifier. Nothing is hidden: a find carries the words that were seen.
"""

import re
from dataclasses import dataclass
from functools import cache

from hearten.safety.normal import table

SEVERITIES = ("none", "low", "medium", "high", "imminent")
"""none: nothing seen. low: risk words, but denied, past, bereaved or told of. From medium on, the care path:
medium: passive wish to be dead, urges, eating danger, somebody else at risk. high: active thoughts, plan,
self-harm, abuse, violence, a child at risk, commanding voices. imminent: now, or the body is in danger."""

CONTEXTS = ("denied", "past", "well", "bereaved", "reported")
EVIDENCE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Find:
    """One rule's hit."""

    kind: str
    severity: str
    certain: bool
    words: str
    start: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the rules have to say of one message."""

    finds: tuple[Find, ...]
    contexts: frozenset[str]
    idioms: int
    urgent: str
    """The words that make it a matter of now; empty when there are none."""

    @property
    def certain(self) -> tuple[Find, ...]:
        """Finds that are enough on their own."""
        return tuple(find for find in self.finds if find.certain)

    @property
    def hinted(self) -> frozenset[str]:
        """Kinds for which something, certain or not, was seen."""
        return frozenset(find.kind for find in self.finds)


def worst(severities: list[str]) -> str:
    """The highest of some severities; `none` of none."""
    return max(severities, key=SEVERITIES.index, default="none")


def read(text: str) -> Reading:
    """Apply every rule to a normalised text."""
    masked, idioms = _mask(text)
    finds = tuple(
        Find(kind, severity, certain, match.group()[:EVIDENCE_LENGTH].strip(), match.start())
        for kind, severity, certain, pattern in _rules()
        if (match := pattern.search(masked))
    )
    contexts = frozenset(name for name in CONTEXTS if any(p.search(masked) for p in _context(name)))
    urgent = next((match.group() for p in _urgent() if (match := p.search(masked))), "")
    return Reading(finds, contexts, idioms, urgent)


def _mask(text: str) -> tuple[str, int]:
    """The text with figures of speech replaced by a dot, and how many there were."""
    count = 0
    for pattern in _idioms():
        text, found = pattern.subn(" · ", text)
        count += found
    return text, count


@cache
def _rules() -> tuple[tuple[str, str, bool, re.Pattern[str]], ...]:
    return tuple(
        (rule["kind"], rule["severity"], strength == "certain", _compile(pattern))
        for rule in table("rules")["rules"]
        for strength in ("certain", "hint")
        for pattern in rule[strength]
    )


@cache
def _context(name: str) -> tuple[re.Pattern[str], ...]:
    return tuple(_compile(pattern) for pattern in table("rules")["contexts"][name])


@cache
def _idioms() -> tuple[re.Pattern[str], ...]:
    return tuple(_compile(pattern) for pattern in table("rules")["idioms"]["patterns"])


@cache
def _urgent() -> tuple[re.Pattern[str], ...]:
    return tuple(_compile(pattern) for pattern in table("rules")["imminent"]["patterns"])


def _compile(pattern: str) -> re.Pattern[str]:
    for name, part in table("rules")["parts"].items():
        pattern = pattern.replace(f"<{name}>", part)
    return re.compile(pattern)
