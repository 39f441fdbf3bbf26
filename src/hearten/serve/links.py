"""The chain that answers: each link is a supporter round another, and each can be left out.

    screen input → read the emotion → choose the strategy → reply → (judge) → screen output

`build(supporter, config)` puts them together. What a link found out stands in `Reply.details` under its name,
and what it took in `details["links"]`. Choosing the strategy and replying are the inner supporter's own; the
two screens are one link (`safety.chain`), because the care path decides whether anybody else is asked. If a
rater judges, nothing of a reply is shown before its verdict: one that must be mended was never seen.

A link heeds wishes by making itself again round the inner supporter that heeds them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from importlib.util import find_spec
from typing import Annotated, Any, Protocol, cast

from pydantic import Field

from hearten.core.config import Config
from hearten.core.conversation import Conversation, Role
from hearten.core.errors import UsageError
from hearten.core.records import Reply
from hearten.core.supporter import Adjustable, StreamingSupporter, Supporter, Wishes
from hearten.core.taxonomy import LabelSet, Strategy
from hearten.safety.chain import ChainSettings, SafeSupporter


class LinksConfig(Config):
    """Which links there are."""

    screens: bool = True
    """The input screen with its care path, and the output screen; off for experiments only."""
    region: str | None = None
    """Whose help lines are named where the conversation does not tell."""
    minor: bool = False
    """Everybody here is a minor: other words and other lines."""
    emotion: str | None = None
    """The emotion detector that reads the seeker's last message, as `embedded`; None leaves the link out."""
    rater: str | None = None
    """Who judges replies before they are given (`models.raters.open_rater`); None leaves the link out."""
    best_of: Annotated[int, Field(ge=1, le=16)] = 4
    """Replies the rater chooses from."""
    refine_by: str | None = None
    """The chat model that rewrites a reply judged unhelpful, instead of choosing from several."""
    stage: bool = True
    """Say at which stage of support the strategy stands."""


class Detector(Protocol):
    """Reads emotions; `knowledge.emotion` has them."""

    name: str

    def detect(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """P(label) for every text."""
        ...


def build(supporter: Supporter, config: LinksConfig) -> "Link | SafeSupporter":
    """`supporter` with every link of `config` round it.

    Raises:
        UsageError: the emotion detector is not installed; no such rater or chat model.
    """
    chain: Link = Unjudged(supporter)
    if config.rater is not None:
        chain = _judged(supporter, config.rater, config)
    if config.stage:
        chain = Stage(chain)
    if config.emotion is not None:
        chain = Emotion(chain, _open_detector(config.emotion))
    if not config.screens:
        return chain
    return SafeSupporter(chain, ChainSettings(region=config.region, minor=config.minor))


class Link:
    """A link that adds nothing: the base of the others.

    `note` is called once a reply and answers what is written into each of its growing states.
    """

    def __init__(self, inner: Supporter) -> None:
        self.inner, self.name = inner, inner.name

    def wished(self, wishes: Wishes) -> "Link":
        """The same link round the inner supporter under these wishes."""
        other = copy(self)
        other.inner = self.inner.wished(wishes) if isinstance(self.inner, Adjustable) else self.inner
        return other

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """The inner supporter's replies, noted."""
        note = self.note(conversation)
        return [note(reply) for reply in self.inner.reply(conversation, strategy=strategy, n=n)]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The inner supporter's growing reply, noted."""
        note = self.note(conversation)
        if isinstance(self.inner, StreamingSupporter):
            yield from map(note, self.inner.stream(conversation, strategy=strategy))
        else:
            yield note(self.inner.reply(conversation, strategy=strategy)[0])

    def note(self, conversation: Conversation) -> Callable[[Reply], Reply]:
        """What this link does to a reply to `conversation`."""
        return lambda reply: reply


class Judged(Link):
    """Verdicts on the reply before it is given: the best of several, or rewritten while a facet fails.

    Args:
        inner: answers.
        round_it: makes the judging supporter round `inner` (`models.refine.BestOf` or `Refined`).
    """

    def __init__(self, inner: Supporter, round_it: Callable[[Supporter], Supporter]) -> None:
        super().__init__(inner)
        self._round_it, self._on = round_it, True

    def wished(self, wishes: Wishes) -> "Judged":
        """The same link; a request that wishes no refining is answered without it."""
        other = cast(Judged, super().wished(wishes))
        other._on = wishes.refine is not False
        return other

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """The replies that were chosen or mended, with their verdicts."""
        if not self._on:
            return super().reply(conversation, strategy=strategy, n=n)
        start = time.perf_counter()
        replies = self._round_it(self.inner).reply(conversation, strategy=strategy, n=n)
        seconds = time.perf_counter() - start
        return [_shown(reply).noted("judge", seconds) for reply in replies]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The judged reply at once: nothing is shown while it is still being chosen or mended."""
        if self._on:
            yield from self.reply(conversation, strategy=strategy)
        else:
            yield from super().stream(conversation, strategy=strategy)


def _shown(reply: Reply) -> Reply:
    """The reply with its verdicts, but without the drafts nobody screened and the rater's own words."""
    details = dict(reply.details or {})
    drafts = details.pop("drafts", [])
    verdicts = [{k: v for k, v in row.items() if k != "raw"} for row in details.get("verdicts", [])]
    return reply.model_copy(update={"details": {**details, "verdicts": verdicts, "rewrites": len(drafts)}})


class Unjudged(Link):
    """Where there is no rater: a request that wishes refining is told so, and answered."""

    _asked = False

    def wished(self, wishes: Wishes) -> "Unjudged":
        """The same link, which remembers whether refining was wished."""
        other = cast(Unjudged, super().wished(wishes))
        other._asked = wishes.refine is True
        return other

    def note(self, conversation: Conversation) -> Callable[[Reply], Reply]:
        """A word in the details, where somebody asked."""
        if not self._asked:
            return lambda reply: reply
        told = {"refine": "not done: no rater is configured here"}
        return lambda reply: reply.model_copy(update={"details": {**(reply.details or {}), **told}})


def _judged(inner: Supporter, rater: str, config: LinksConfig) -> Judged:
    from hearten.lm.chat import open_chat_model
    from hearten.models.raters import open_rater
    from hearten.models.refine import BestOf, Refined

    judge = open_rater(rater)
    if config.refine_by is None:
        return Judged(inner, lambda supporter: BestOf(supporter, judge, config.best_of))
    writer = open_chat_model(config.refine_by)
    return Judged(inner, lambda supporter: Refined(supporter, judge, writer))


class Stage(Link):
    """Where the conversation stands: each strategy serves stages of support (ESConv, Figure 3)."""

    def note(self, conversation: Conversation) -> Callable[[Reply], Reply]:
        """Share of each stage in the strategy's probabilities, and the likeliest."""
        labels = conversation.labels

        def noted(reply: Reply) -> Reply:
            shares = stages(labels, reply)
            return (
                reply.noted("stage", stage=max(shares, key=shares.__getitem__), stages=shares)
                if shares
                else reply
            )

        return noted


def stages(labels: LabelSet, reply: Reply) -> dict[str, float]:
    """P(stage) of a reply: its strategies' probabilities, each shared among the stages it serves."""
    believed = reply.probabilities or ({reply.strategy.name: 1.0} if reply.strategy else {})
    shares = dict.fromkeys(labels.stages, 0.0)
    for name, chance in believed.items():
        serves = labels.find(name).stages
        for stage in serves:
            shares[stage] += chance / len(serves)
    total = sum(shares.values())
    return {stage: round(share / total, 4) for stage, share in shares.items()} if total else {}


class Emotion(Link):
    """What the seeker's last message sounds like."""

    def __init__(self, inner: Supporter, detector: Detector) -> None:
        super().__init__(inner)
        self._detector = detector

    def note(self, conversation: Conversation) -> Callable[[Reply], Reply]:
        """The likeliest emotion and every score."""
        said = [turn.text for turn in conversation.turns if turn.speaker is Role.SEEKER]
        if not said:
            return lambda reply: reply
        start = time.perf_counter()
        scores = self._detector.detect(said[-1:])[0]
        seconds = time.perf_counter() - start
        read = {"label": max(scores, key=scores.__getitem__), "scores": scores}
        return lambda reply: reply.noted("emotion", seconds, emotion=read)


def _open_detector(name: str) -> Any:
    if find_spec("hearten.knowledge") is None or find_spec("hearten.knowledge.emotion") is None:
        raise UsageError("no emotion detector is installed", fix="serve without --emotion")
    from importlib import import_module

    return import_module("hearten.knowledge.emotion").open_detector(name)
