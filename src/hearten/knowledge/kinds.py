"""What each kind of knowledge asks of a text, and under which names its answers stand on a turn.

An `Annotator` is a pure function from texts to annotations, with a signature that holds everything that
could change an answer; whoever runs it (`annotate.run` over a corpus, `live` over a chat) knows nothing else
of it. `carried` puts the answers on the turns, for both alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.taxonomy import labels
from hearten.knowledge.emotion import EmotionDetector, to_esconv

Annotations = dict[str, Any]
"""Kind → value, for one text."""
WHO: dict[str, frozenset[Role]] = {
    "seeker": frozenset({Role.SEEKER}),
    "supporter": frozenset({Role.SUPPORTER}),
    "all": frozenset(Role),
}
"""Whose turns are annotated."""


@dataclass(frozen=True)
class Annotator:
    """One kind of knowledge, ready to be asked."""

    kind: str
    signature: str
    answer: Callable[[Sequence[str]], list[Annotations]]
    batch: int = 256
    """Texts a call: what one stop can lose."""
    situation: str | None = None
    """Under which name the answer about the situation stands on the first turn; None does not ask."""


class Known(Protocol):
    """Answers by text."""

    def __getitem__(self, text: str, /) -> Annotations:
        """The annotations of a text that was asked."""
        ...


def carried(conversation: Conversation, annotator: Annotator, known: Known, who: str) -> Conversation:
    """The conversation with the annotations of one kind on its turns."""
    turns = [
        with_annotations(turn, known[turn.text]) if turn.speaker in WHO[who] else turn
        for turn in conversation.turns
    ]
    situation = conversation.profile.situation
    if annotator.situation and situation and turns:
        turns[0] = with_annotations(turns[0], {annotator.situation: known[situation][annotator.kind]})
    return conversation.model_copy(update={"turns": tuple(turns)})


def with_annotations(turn: Turn, found: Annotations) -> Turn:
    """The turn with these annotations over what it has."""
    return turn.model_copy(update={"annotations": {**(turn.annotations or {}), **found}})


def emotion(detector: EmotionDetector, stamp: str, *, raw: bool = False) -> Annotator:
    """ESConv's seven emotions and `none`; `raw` keeps the 28 probabilities too."""

    def answer(texts: Sequence[str]) -> list[Annotations]:
        scores = detector.raw(texts)
        found = []
        eight, all_ = (rows.astype(np.float64).round(4).tolist() for rows in (to_esconv(scores), scores))
        for shares, own in zip(eight, all_, strict=True):
            named = dict(zip(detector.labels, shares, strict=True))
            value: Annotations = {
                "emotion": {"label": max(named, key=lambda name: named[name]), "scores": named}
            }
            if raw:
                value["goemotions"] = dict(zip(labels("goemotions").names, own, strict=True))
            found.append(value)
        return found

    return Annotator("emotion", f"emotion {stamp} raw={raw}", answer)


def commonsense(source: str, stamp: str, *, chat: str | None = None) -> Annotator:
    """What each text implies, and what the situation does."""
    from hearten.knowledge.commonsense import open_commonsense

    model = None
    if chat is not None:
        from hearten.lm.chat import open_chat_model

        model = open_chat_model(chat)
    answerer = open_commonsense(source, model)

    def answer(texts: Sequence[str]) -> list[Annotations]:
        return [{"commonsense": found} for found in answerer.infer(texts)]

    batch = 256 if source == "events" else 8
    signature = f"commonsense {source} {chat} {stamp}"
    return Annotator("commonsense", signature, answer, batch, situation="situation")


def keywords(texts: Sequence[str], stamp: str) -> Annotator:
    """The rarest content words, counted over `texts`."""
    from hearten.knowledge.keywords import Keywords

    learned = Keywords.learn(texts)

    def answer(asked: Sequence[str]) -> list[Annotations]:
        return [{"keywords": words} for words in learned.choose(asked)]

    return Annotator("keywords", f"keywords {stamp}", answer, batch=4096)


def cause(detector: EmotionDetector, stamp: str, lexicon: Path | None) -> Annotator:
    """The clause an emotion comes from; with a lexicon, valence, arousal and dominance too."""
    from hearten.knowledge.affect import affect, read_lexicon
    from hearten.knowledge.cause import causes

    known = read_lexicon(lexicon) if lexicon else None

    def answer(texts: Sequence[str]) -> list[Annotations]:
        found: list[Annotations] = [{"cause": clause} for clause in causes(texts, detector)]
        if known is not None:
            for value, own in zip(found, affect(texts, known), strict=True):
                value["vad"] = own
        return found

    return Annotator("cause", f"cause {stamp}", answer, batch=128)


def distress(graph: Path | None, stamp: str) -> Annotator:
    """The case of the distress graph nearest to each text."""
    from hearten.knowledge.distress import open_distress

    held = open_distress(graph)

    def answer(texts: Sequence[str]) -> list[Annotations]:
        return [{"distress": case.model_dump(mode="json")} for case in held.find(texts)]

    return Annotator("distress", f"distress {stamp}", answer)
