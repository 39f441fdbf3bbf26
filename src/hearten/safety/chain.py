"""A supporter with the screens round it: `SafeSupporter(inner)` is a Supporter like any other.

In: the seeker's messages go through the input screen, and the care path reads its state from the
conversation. If the path leads, its words are the reply; while it stays, they follow the inner
supporter's. Out: every reply goes through the output screen; a reply that says what it must not is asked
for once more, then kept without the offending sentences, then replaced. Strategies that make a machine
claim a life (Self-disclosure) are never passed on: the best allowed one by the inner supporter's own
probabilities is asked for instead. All of it is visible in `Reply.details["safety"]`; `counts` holds
numbers only, never text.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hearten.core.conversation import Conversation, Role
from hearten.core.records import Reply
from hearten.core.supporter import StreamingSupporter, Supporter
from hearten.core.taxonomy import Strategy
from hearten.safety import notice
from hearten.safety.care import Care, follow, words
from hearten.safety.output import Verdict, fallback, inspect

FINISHED = re.compile(r"[.!?…]+[\"'”’)]*(?=\s)")
"""The end of a sentence after which another begins."""


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """What the chain does; each link can be switched off for an experiment, none is in serving by default."""

    screen_input: bool = True
    screen_output: bool = True
    region: str | None = None
    minor: bool = False
    forbidden_strategies: tuple[str, ...] = ("Self-disclosure",)


class SafeSupporter:
    """The chain round one inner supporter."""

    def __init__(self, inner: Supporter, settings: ChainSettings | None = None) -> None:
        self.inner, self.settings = inner, settings or ChainSettings()
        self.name = f"{inner.name}+safe"
        self.counts: Counter[str] = Counter()

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` screened replies; a care path that leads answers with its one."""
        before, care, own = self._begin(conversation)
        if own is not None:
            return [own]
        screened = [
            self._screened(conversation, reply, before) for reply in self._inner(conversation, strategy, n)
        ]
        after = words(care, before=before)
        return [_finished(reply, verdict, care, after) for reply, verdict in screened]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The reply as it grows, a screened sentence at a time; what was shown is never taken back.

        The inner supporter is cut off at its first sentence that must not be said; if that is the very
        first one, it is asked again as `reply` does.
        """
        before, care, own = self._begin(conversation)
        if own is not None:
            yield own
            return
        after, shown, last = words(care, before=before), "", Reply(text="")
        for last in self._inner_stream(conversation, strategy):
            whole = _whole_sentences(last.text)
            if self.settings.screen_output and not inspect(whole).clean:
                break
            shown = whole
            yield last.model_copy(update={"text": shown})
        verdict = inspect(last.text) if self.settings.screen_output else Verdict(found=(), safe=last.text)
        if verdict.clean:
            yield _finished(last, verdict, care, after)
        elif shown:
            self.counts.update([*(f"output:{kind}" for kind in verdict.kinds), "output:rewritten"])
            yield _finished(last.model_copy(update={"text": shown}), verdict, care, after)
        else:
            reply, verdict = self._screened(conversation, last, before)
            yield _finished(reply, verdict, care, after)

    def _begin(self, conversation: Conversation) -> tuple[list[str], Care, Reply | None]:
        """(the supporter's earlier words, the care path, the chain's own reply where it has one)."""
        before = [turn.text for turn in conversation.turns if turn.speaker is Role.SUPPORTER]
        care = self._care(conversation)
        self._count(care)
        if care.leads:
            return before, care, _answer(words(care, before=before), care)
        if _asked(conversation):
            self.counts["notice:request"] += 1
            told = " ".join(filter(None, [notice.answer(), words(care, before=before)]))
            return before, care, _answer(told, care)
        return before, care, None

    def _inner_stream(self, conversation: Conversation, strategy: Strategy | None) -> Iterator[Reply]:
        """The inner supporter's growing reply, under an allowed strategy."""
        if strategy is not None and self._forbidden(strategy.name):
            strategy = None
        if not isinstance(self.inner, StreamingSupporter):
            yield from self._inner(conversation, strategy, 1)
            return
        growing = self.inner.stream(conversation, strategy=strategy)
        first = next(growing)
        if first.strategy is not None and self._forbidden(first.strategy.name):
            self.counts["strategy:forbidden"] += 1
            yield from self.inner.stream(conversation, strategy=self._next_best(conversation, first))
            return
        yield first
        yield from growing

    def _care(self, conversation: Conversation) -> Care:
        how = self.settings
        if not how.screen_input:
            return Care(region=how.region, minor=how.minor)
        return follow(conversation, default_region=how.region, minor=how.minor)

    def _count(self, care: Care) -> None:
        self.counts["turns"] += 1
        self.counts[f"care:{care.state}"] += 1
        for kind in care.finding.kinds:
            self.counts[f"finding:{kind}"] += 1

    def _inner(self, conversation: Conversation, strategy: Strategy | None, n: int) -> list[Reply]:
        """The inner supporter's replies; where it chose a forbidden strategy, asked again with another."""
        if strategy is not None and self._forbidden(strategy.name):
            strategy = None
        replies = self.inner.reply(conversation, strategy=strategy, n=n)
        return [self._allowed(conversation, reply) for reply in replies]

    def _allowed(self, conversation: Conversation, reply: Reply) -> Reply:
        if reply.strategy is None or not self._forbidden(reply.strategy.name):
            return reply
        self.counts["strategy:forbidden"] += 1
        instead = self._next_best(conversation, reply)
        return self.inner.reply(conversation, strategy=instead, n=1)[0]

    def _next_best(self, conversation: Conversation, reply: Reply) -> Strategy:
        allowed = [row for row in conversation.labels if not self._forbidden(row.name)]
        believed = reply.probabilities or {}
        return max(allowed, key=lambda row: believed.get(row.name, 0.0))

    def _forbidden(self, name: str) -> bool:
        return name in self.settings.forbidden_strategies

    def _screened(
        self, conversation: Conversation, reply: Reply, before: Sequence[str]
    ) -> tuple[Reply, Verdict]:
        """The reply as it may be shown, and what was wrong with it at first."""
        verdict = inspect(reply.text)
        if not self.settings.screen_output or verdict.clean:
            return reply, Verdict(found=(), safe=reply.text)
        self.counts.update(f"output:{kind}" for kind in verdict.kinds)
        again = self._allowed(conversation, self.inner.reply(conversation, strategy=reply.strategy, n=1)[0])
        second = inspect(again.text)
        text = second.safe or verdict.safe or fallback(len(before), " ".join(before))
        self.counts["output:retried" if second.clean else "output:rewritten"] += 1
        return again.model_copy(update={"text": text}), verdict


def _whole_sentences(text: str) -> str:
    """`text` up to its last finished sentence."""
    ends = [match.end() for match in FINISHED.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else ""


def _asked(conversation: Conversation) -> bool:
    last = conversation.turns[-1] if conversation.turns else None
    return last is not None and last.speaker is Role.SEEKER and notice.asks(last.text)


def _answer(text: str, care: Care) -> Reply:
    return Reply(text=text, details={"safety": _seen(care)})


def _finished(reply: Reply, verdict: Verdict, care: Care, after: str) -> Reply:
    text = f"{reply.text.rstrip()} {after}" if after else reply.text
    output = {"kinds": list(verdict.kinds), "evidence": [trespass.words for trespass in verdict.found]}
    details = {**(reply.details or {}), "safety": {**_seen(care), "output": output}}
    return reply.model_copy(update={"text": text, "details": details})


def _seen(care: Care) -> dict[str, object]:
    return {
        "care": care.state,
        "severity": care.severity,
        "kinds": list(care.kinds),
        "region": care.region,
        "finding": care.finding.model_dump(),
    }
