"""A supporter with the screens round it: `SafeSupporter(inner)` is a Supporter like any other.

In: the seeker's messages go through the input screen, and the care path reads its state from the
conversation. If the path leads, its words are the reply; while it stays, they follow the inner
supporter's. Out: every reply goes through the output screen; a reply that says what it must not is asked
for once more, then kept without the offending sentences, then replaced.

Strategies that make a machine claim a life (Self-disclosure) are masked where the inner supporter decodes its
strategy (`Wishes.avoid`); one that cannot be told so is asked again with its best allowed strategy. Where
somebody asks for Self-disclosure, the one thing a machine can disclose comes first: that it is an AI and has
no such experience; what follows is another strategy's, and is labelled so.

All of it is visible in `Reply.details["safety"]` and `["links"]`; `counts` holds numbers only, never text.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

from hearten.core.conversation import Conversation, Role
from hearten.core.records import Reply
from hearten.core.supporter import Adjustable, StreamingSupporter, Supporter, Wishes
from hearten.core.taxonomy import Strategy
from hearten.safety import notice
from hearten.safety.care import Care, walk, words
from hearten.safety.output import Verdict, fallback, inspect, safe_start
from hearten.safety.screen import screen
from hearten.safety.seen import Seen

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
        self.settings = settings or ChainSettings()
        self.inner = _masked(inner, Wishes(), self.settings)
        self.name = f"{inner.name}+safe"
        self.counts: Counter[str] = Counter()
        self._seen = Seen()

    def wished(self, wishes: Wishes) -> "SafeSupporter":
        """The same chain, with the same counts, round the inner supporter under a request's wishes."""
        other = copy(self)
        other.inner = _masked(self.inner, wishes, self.settings)
        return other

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` screened replies; a care path that leads answers with its one."""
        begun = self._begin(conversation, strategy)
        if begun.own is not None:
            return [begun.own]
        replies = self._inner(conversation, begun.strategy, n)
        return [_finished(*self._screened(conversation, reply, begun), begun) for reply in replies]

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """The reply as it grows, a screened sentence at a time; what was shown is never taken back.

        Of the first sentence the words are shown as soon as nothing forbidden could begin with them. The
        inner supporter is cut off at its first sentence that must not be said; if nothing was shown by then,
        it is asked again as `reply` does.
        """
        begun = self._begin(conversation, strategy)
        if begun.own is not None:
            yield begun.own
            return
        shown, last = "", Reply(text="")
        for last in self._inner_stream(conversation, begun.strategy):
            ready = self._ready(last.text, shown, begun)
            if ready is None:
                break
            shown = ready
            yield last.model_copy(update={"text": begun.first + shown})
        verdict = begun.inspect(last.text) if self.settings.screen_output else _unscreened(last.text)
        if verdict.clean and last.text:
            yield _finished(last, verdict, begun)
        elif shown:
            self.counts.update([*(f"output:{kind}" for kind in verdict.kinds), "output:rewritten"])
            yield _finished(last.model_copy(update={"text": _closed(shown, begun)}), verdict, begun)
        else:
            yield _finished(*self._screened(conversation, last, begun), begun)

    def _ready(self, text: str, shown: str, begun: "_Begun") -> str | None:
        """How much of a growing text can be shown; None when its next sentence must not be."""
        if not self.settings.screen_output:
            return text
        whole = _whole_sentences(text)
        if not whole:
            return max(shown, begun.safe_start(text), key=len)
        return shown if whole == shown else whole if begun.inspect(whole).clean else None

    def _begin(self, conversation: Conversation, strategy: Strategy | None) -> "_Begun":
        """What is known before the inner supporter is asked: the care path, and whether the reply is the
        chain's own.
        """
        start = time.perf_counter()
        before = [turn.text for turn in conversation.turns if turn.speaker is Role.SUPPORTER]
        care = self._care(conversation)
        self._count(care)
        begun = _Begun(care, before, after=words(care, before=before), screening=time.perf_counter() - start)
        if strategy is not None and self._forbidden(strategy.name):
            begun.first = f"{notice.disclosure(len(before))} "
        else:
            begun.strategy = strategy
        if care.leads:
            begun.own = begun.answer(begun.after)
        elif _asked(conversation):
            self.counts["notice:request"] += 1
            begun.own = begun.answer(" ".join(filter(None, [notice.answer(), begun.after])))
        return begun

    def _inner_stream(self, conversation: Conversation, strategy: Strategy | None) -> Iterator[Reply]:
        """The inner supporter's growing reply, under an allowed strategy."""
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
        texts = [turn.text for turn in conversation.turns if turn.speaker is Role.SEEKER]
        return walk(texts, self._seen.screen(texts), default_region=how.region, minor=how.minor)

    def _count(self, care: Care) -> None:
        self.counts["turns"] += 1
        self.counts[f"care:{care.state}"] += 1
        for kind in care.finding.kinds:
            self.counts[f"finding:{kind}"] += 1

    def _inner(self, conversation: Conversation, strategy: Strategy | None, n: int) -> list[Reply]:
        """The inner supporter's replies; where it chose a forbidden strategy, asked again with another."""
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

    def _screened(self, conversation: Conversation, reply: Reply, begun: "_Begun") -> tuple[Reply, Verdict]:
        """The reply as it may be shown, and what was wrong with it at first."""
        verdict = begun.inspect(reply.text) if self.settings.screen_output else _unscreened(reply.text)
        if verdict.clean and reply.text:
            return reply, verdict
        self.counts.update([f"output:{kind}" for kind in verdict.kinds] or ["output:empty"])
        again = self._allowed(conversation, self.inner.reply(conversation, strategy=reply.strategy, n=1)[0])
        second = begun.inspect(again.text) if self.settings.screen_output else _unscreened(again.text)
        text = second.safe or verdict.safe or fallback(len(begun.before), " ".join(begun.before))
        self.counts["output:retried" if second.clean and second.safe else "output:rewritten"] += 1
        return again.model_copy(update={"text": text}), verdict


@dataclass(slots=True)
class _Begun:
    """One reply in the making."""

    care: Care
    before: list[str]
    """What the supporter said earlier."""
    after: str
    """What the care path adds."""
    screening: float
    """Seconds the input screen took."""
    own: Reply | None = None
    """The chain's own reply, where it has one."""
    first: str = ""
    """What is said before the inner supporter's words."""
    strategy: Strategy | None = None
    """The strategy to ask the inner supporter for."""
    inspecting: float = 0.0
    """Seconds the output screen took."""

    def inspect(self, text: str) -> Verdict:
        start = time.perf_counter()
        verdict = inspect(text)
        self.inspecting += time.perf_counter() - start
        return verdict

    def safe_start(self, text: str) -> str:
        start = time.perf_counter()
        words = safe_start(text)
        self.inspecting += time.perf_counter() - start
        return words

    def answer(self, text: str) -> Reply:
        return Reply(text=text).noted("screen input", self.screening, safety=_seen(self.care))


def prepare() -> None:
    """Load the encoder and compile the tables now, so that the first person does not wait for it."""
    screen(["Hello there. How are you?"])
    inspect("Hello there.")
    safe_start("Hello there and")


def _masked(inner: Supporter, wishes: Wishes, settings: ChainSettings) -> Supporter:
    """The inner supporter told what is wished, and which strategies it must not choose."""
    if not isinstance(inner, Adjustable):
        return inner
    avoid = tuple(dict.fromkeys((*wishes.avoid, *settings.forbidden_strategies)))
    return inner.wished(wishes.model_copy(update={"avoid": avoid}))


def _unscreened(text: str) -> Verdict:
    return Verdict(found=(), safe=text)


def _whole_sentences(text: str) -> str:
    """`text` up to its last finished sentence."""
    ends = [match.end() for match in FINISHED.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else ""


def _closed(shown: str, begun: _Begun) -> str:
    """What was shown, as the end of a reply: a sentence that was broken off is left, and another said."""
    if FINISHED.search(f"{shown} "):
        return shown
    return f"{shown.rstrip(' ,;:-')}… {fallback(len(begun.before), ' '.join(begun.before))}"


def _asked(conversation: Conversation) -> bool:
    last = conversation.turns[-1] if conversation.turns else None
    return last is not None and last.speaker is Role.SEEKER and notice.asks(last.text)


def _finished(reply: Reply, verdict: Verdict, begun: _Begun) -> Reply:
    text = " ".join(filter(None, [f"{begun.first}{reply.text}".rstrip(), begun.after]))
    output = {"kinds": list(verdict.kinds), "evidence": [trespass.words for trespass in verdict.found]}
    safety = {**_seen(begun.care), "output": output, "disclosed": bool(begun.first)}
    done = reply.model_copy(update={"text": text}).noted("screen input", begun.screening, safety=safety)
    return done.noted("screen output", begun.inspecting)


def _seen(care: Care) -> dict[str, object]:
    return {
        "care": care.state,
        "severity": care.severity,
        "kinds": list(care.kinds),
        "region": care.region,
        "finding": care.finding.model_dump(mode="json"),
    }
