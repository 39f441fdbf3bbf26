"""Which part of a text its emotion comes from: the clause whose absence takes the emotion away.

A text is cut into clauses at the ends of sentences and before connectives. If one of them is joined by a
causal word (because, due to, …), that one is the cause, because its writer said so. Else each clause is
left out in turn, and the one without which the detector believes least in the text's emotion is the
cause. A text without one of the seven emotions has none.

This is a rule on top of a detector, not a trained extractor (MultiESC used one trained on RECCON, which may
not ship); nothing here was compared with people's judgement.
"""

import re
from collections.abc import Sequence

from hearten.knowledge.emotion import EmotionDetector, emotion_table

CAUSAL = re.compile(r"\b(?:because|cos|cuz|due to|since|after|ever since|thanks to)\b", re.I)
_BREAK = re.compile(
    r"(?<=[.!?;])\s+|,\s+(?=(?:and|but|so|then)\b)"
    r"|\s+(?=(?:because|cos|cuz|due to|since|after|but|although)\b)",
    re.I,
)


def clauses(text: str) -> list[str]:
    """The parts of a text, in order; joined they hold every word of it."""
    return [part.strip() for part in _BREAK.split(text) if part and part.strip()]


def causes(texts: Sequence[str], detector: EmotionDetector) -> list[str | None]:
    """The cause of each text's emotion, in its own words; None where it shows none of the seven."""
    none = str(emotion_table()["none"])
    shown = [max(row, key=lambda name: row[name]) for row in detector.detect(texts)]
    parts = [clauses(text) if label != none else [] for text, label in zip(texts, shown, strict=True)]
    asked = [" ".join(rest) for own in parts for rest in _without_each(own)]
    answers = iter(detector.detect(asked))
    found: list[str | None] = []
    for own, label in zip(parts, shown, strict=True):
        left = [next(answers)[label] for _ in _without_each(own)]  # belief in the emotion without each part
        found.append(_choose(own, left))
    return found


def _without_each(parts: Sequence[str]) -> list[list[str]]:
    """The text without each of its parts; nothing to ask where there is one part or a causal word."""
    if len(parts) < 2 or any(CAUSAL.match(part) for part in parts):
        return []
    return [[*parts[:place], *parts[place + 1 :]] for place in range(len(parts))]


def _choose(parts: Sequence[str], left: Sequence[float]) -> str | None:
    if not parts:
        return None
    said = next((part for part in parts if CAUSAL.match(part)), None)
    if said is not None:
        return said
    return parts[min(range(len(left)), key=lambda place: left[place])] if left else parts[0]
