"""Replies that are judged before they are given: rewritten while a facet fails, or chosen from several.

`Refined` is Muffin's loop for prompted models (2024, Appendix C): rate the reply, tell a chat model which
facet fails and why, take its rewrite, at most `rounds` times. A rewrite that is no better to the rater than
what it would replace is not taken. `BestOf` asks for several replies and gives the one the rater finds
likeliest to be helpful on all facets. Both are Supporters around a Supporter; verdicts go into
`Reply.details`.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from math import prod
from typing import NamedTuple

from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.conversation import Conversation, Role
from hearten.core.rater import Rater, aggregate, facet, unhelpful_share
from hearten.core.records import FacetVerdict, Reply
from hearten.core.supporter import Supporter
from hearten.core.taxonomy import Strategy

SHOWN = 6
"""Turns of context that a rewriting model sees."""


class Refined:
    """A supporter whose replies are rewritten while the rater finds them unhelpful.

    Args:
        supporter: answers first.
        rater: judges.
        writer: rewrites; None asks no one, and replies stay as they are with their verdicts.
        rounds: most rewrites of one reply; the paper tries two.
    """

    def __init__(self, supporter: Supporter, rater: Rater, writer: ChatModel | None, rounds: int = 2) -> None:
        self.name = f"{supporter.name} refined by {rater.name}"
        self._supporter, self._rater, self._writer, self._rounds = supporter, rater, writer, rounds
        self._prompt = (files("hearten.models") / "prompts" / "rewrite.md").read_text(encoding="utf-8")

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies, each refined on its own."""
        first = self._supporter.reply(conversation, strategy=strategy, n=n)
        return [self._refined(conversation, reply) for reply in first]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The reply once it is judged: nothing unhelpful is shown while it is being mended."""
        yield from self.reply(conversation, strategy=strategy)

    def _refined(self, conversation: Conversation, reply: Reply) -> Reply:
        states = list(self.states(conversation, reply))
        return with_verdicts(states[-1].reply, states[-1].verdicts, [one.said for one in states[:-1]])

    def states(self, conversation: Conversation, reply: Reply) -> Iterator["State"]:
        """How `reply` stands, then how it stands after every rewrite, while a facet fails."""
        verdicts = self._rated(conversation, reply.text)
        yield State(reply, verdicts, reply.text)
        if self._writer is None:
            return
        for _ in range(self._rounds):
            if aggregate(verdicts) is not False:
                return
            text = self._rewrite(self._writer, conversation, reply.text, verdicts)
            new = self._rated(conversation, text) if text else verdicts
            if text and standing(new) > standing(verdicts):
                reply, verdicts = reply.model_copy(update={"text": text}), new
            yield State(reply, verdicts, text)

    def _rated(self, conversation: Conversation, text: str) -> tuple[FacetVerdict, ...]:
        return self._rater.rate(conversation.turns, [text])[0] if text.strip() else ()

    def _rewrite(
        self, writer: ChatModel, conversation: Conversation, text: str, verdicts: Sequence[FacetVerdict]
    ) -> str:
        lines = [
            f"{'Seeker' if turn.speaker is Role.SEEKER else 'Supporter'}: {turn.text}"
            for turn in conversation.turns[-SHOWN:]
        ]
        advice = "; and ".join(facet(one.facet).advice for one in verdicts if one.helpful is False)
        asked = self._prompt.format(context="\n".join(lines), reply=text, advice=advice).strip()
        sampling = Sampling(temperature=0.7, max_tokens=90)
        return writer.complete([Message(role="user", content=asked)], sampling=sampling)[0].strip()


class State(NamedTuple):
    """A reply in the middle of being refined."""

    reply: Reply
    verdicts: tuple[FacetVerdict, ...]
    said: str
    """What was tried last; it is the reply's text unless it was no better than what stood before."""


class BestOf:
    """A supporter that says several replies to itself and gives the best.

    Args:
        supporter: answers.
        rater: judges.
        tries: replies it chooses from.
    """

    def __init__(self, supporter: Supporter, rater: Rater, tries: int = 4) -> None:
        self.name = f"best of {tries} by {rater.name}: {supporter.name}"
        self._supporter, self._rater, self._tries = supporter, rater, tries

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """The `n` best of `tries` (or of n, if that is more), best first."""
        said = self._supporter.reply(conversation, strategy=strategy, n=max(n, self._tries))
        usable = [reply for reply in said if reply.text.strip()] or said[:1]
        found = self._rater.rate(conversation.turns, [reply.text for reply in usable])
        order = sorted(range(len(usable)), key=lambda k: -helpfulness(found[k]))
        return [with_verdicts(usable[k], found[k]) for k in order[:n]]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The best reply, at once."""
        yield from self.reply(conversation, strategy=strategy)


def failing(verdicts: Sequence[FacetVerdict]) -> int:
    """How many facets say unhelpful."""
    return sum(one.helpful is False for one in verdicts)


def standing(verdicts: Sequence[FacetVerdict]) -> tuple[int, float]:
    """How good a reply is: few facets that fail, then the probability that none does; larger is better."""
    return -failing(verdicts), helpfulness(verdicts)


def helpfulness(verdicts: Sequence[FacetVerdict]) -> float:
    """The probability that no facet is unhelpful, were they independent; an open verdict counts a half."""
    return prod(_chance(one) for one in verdicts)


def _chance(verdict: FacetVerdict) -> float:
    share = unhelpful_share(verdict)
    if share is not None:
        return 1 - share
    return 0.5 if verdict.helpful is None else float(verdict.helpful)


def with_verdicts(reply: Reply, verdicts: Sequence[FacetVerdict], drafts: Sequence[str] = ()) -> Reply:
    """`reply` with what was judged of it (and what was said before it) in its details."""
    details = {**(reply.details or {}), "verdicts": [one.model_dump(exclude_none=True) for one in verdicts]}
    return reply.model_copy(update={"details": details | ({"drafts": list(drafts)} if drafts else {})})
