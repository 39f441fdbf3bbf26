"""Asking a model for a reply, once: at a pace, within a budget, again while the server is busy.

`Asker.ask` first looks into the ledger; what has an answer there is never sent again, which is all there is
to resuming. Else it waits for its turn (`Pacer`) and for money (`Purse`), writes that the request goes out,
sends it, and writes what came back. Where the server is busy or cut off it waits, twice as long each time and
never quite the same, or as long as the server asks, and everybody waits with it.

It knows models, time and money, but nothing of conversations.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple

from hearten.augment.ledger import Ledger, slot_of
from hearten.augment.plan import Limits, Prices
from hearten.augment.records import Request
from hearten.core.chat import (
    Answer,
    ChatModel,
    CountingChat,
    CountingModel,
    Message,
    Piece,
    Refused,
    Sampling,
    Unavailable,
)
from hearten.core.errors import Failure
from hearten.core.runfolder import now

LETTERS_A_TOKEN = 4
"""English text in usual vocabularies; for models that do not count."""
FIRST_WAIT = 1.0
"""Seconds before the second try."""


class Stopped(Failure):
    """Somebody asked the run to stop; nothing is wrong."""


class Spent(Failure):
    """The next request could go over the cost limit."""


class Wanted(NamedTuple):
    """One request to be made."""

    id: str
    messages: Sequence[Message]
    sampling: Sampling
    scenario: str
    exemplars: tuple[str, ...] = ()
    prompt: str = ""


class Pacer:
    """Lets requests go at most so many a minute, evenly; holds all of them while the server wants a rest."""

    def __init__(self, per_minute: float, stop: threading.Event) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._stop, self._lock, self._next = stop, threading.Lock(), 0.0

    def turn(self) -> None:
        """Wait until the next request may go.

        Raises:
            Stopped: the run is being stopped.
        """
        with self._lock:
            at = max(self._next, time.monotonic())
            self._next = at + self._gap
        self.sleep(at - time.monotonic())

    def hold(self, seconds: float) -> None:
        """Let nobody go for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, unless the run is being stopped."""
        if self._stop.wait(max(0.0, seconds)):
            raise Stopped("stopped")


class Purse:
    """A cost limit that several requests under way cannot go over together."""

    def __init__(self, limit: float, spent: float) -> None:
        self._limit, self._spent, self._held = limit, spent, 0.0
        self._under_way = 0  # sums of costs do not always come back to exactly 0
        self._change = threading.Condition()

    @contextmanager
    def hold(self, most: float) -> Iterator[Callable[[float], None]]:
        """Set the most a request can cost aside while it is under way; call what is given with its real cost.

        Raises:
            Spent: even when everything under way is settled there would not be enough.
        """
        with self._change:
            while self._limit and self._spent + self._held + most > self._limit:
                if not self._under_way:
                    told = f"{self._spent:.4f} of {self._limit:.4f} is spent, the next may cost {most:.4f}"
                    raise Spent(f"the cost limit is reached: {told}", fix="run again with a higher --cost")
                self._change.wait(1.0)
            self._held, self._under_way = self._held + most, self._under_way + 1
        costs = [0.0]
        try:
            yield costs.append
        finally:
            with self._change:
                self._under_way -= 1
                self._held = self._held - most if self._under_way else 0.0
                self._spent += sum(costs)
                self._change.notify_all()


class Gates(NamedTuple):
    """What every request of a run passes."""

    pacer: Pacer
    purse: Purse


class Asker:
    """One model's side of a run.

    Args:
        model: whoever answers.
        ledger: where everything is written first.
        limits: pace, patience and cost.
        prices: what a token costs.
        gates: shared by all models of a run.
        stream: receive replies piece by piece where the model can.
    """

    def __init__(
        self, model: ChatModel, ledger: Ledger, limits: Limits, prices: Prices, gates: Gates, *, stream: bool
    ) -> None:
        self.model, self._ledger, self._limits, self._prices = model, ledger, limits, prices
        self._pacer, self._purse, self._stream = gates.pacer, gates.purse, stream

    def ask(self, wanted: Wanted) -> Request:
        """The ledger's line with the answer, or with the model's refusal.

        Raises:
            Unavailable: the server stayed away for all tries. Spent, Stopped: the run should end here.
        """
        key = _key(self.model.name, wanted)
        known = self._ledger.known(slot_of(wanted.id), key)
        if known is not None:
            return known
        draft = self._draft(wanted, key)
        for attempt in range(1, self._limits.tries + 1):
            self._pacer.turn()
            with self._purse.hold(draft.cost) as settle:
                self._ledger.add(draft.model_copy(update={"time": now()}))
                line, wait = self._send(wanted, draft)
                self._ledger.add(line)
                settle(line.cost)
            if line.status != "failed":
                return line
            if attempt < self._limits.tries:
                self._rest(attempt, wait)
        raise Unavailable(f"{self.model.name} gave no answer in {self._limits.tries} tries: {line.reason}")

    def _rest(self, attempt: int, asked: float | None) -> None:
        """Wait before the next try, never quite as long as the others: they would all come back at once."""
        if asked is not None:
            self._pacer.hold(asked)
            self._pacer.sleep(asked * random.uniform(1.0, 1.1))
        else:
            longest = min(self._limits.patience, FIRST_WAIT * 2 ** (attempt - 1))
            self._pacer.sleep(longest * random.uniform(0.5, 1.0))

    def _send(self, wanted: Wanted, draft: Request) -> tuple[Request, float | None]:
        """(line about what came back, seconds the server asks to wait)."""
        start, wait = time.monotonic(), None
        told: dict[str, object]
        try:
            answer = self._answer(wanted)
            told = {"status": "answered", "raw": _writable(answer.text), "finish": answer.finish}
            told |= self._counted(wanted, answer)
        except Refused as error:
            told = {"status": "refused", "reason": error.what, "cost": 0.0}
        except Unavailable as error:
            wait = error.retry_after
            told = {"status": "failed", "reason": error.what, "cost": draft.cost if error.worked else 0.0}
        except Failure as error:  # a wrong key, no credit: no try would help
            told = {"status": "failed", "reason": error.what, "cost": 0.0, "time": now()}
            self._ledger.add(draft.model_copy(update=told))
            raise
        seconds = round(time.monotonic() - start, 3)
        return draft.model_copy(update={**told, "time": now(), "seconds": seconds}), wait

    def _answer(self, wanted: Wanted) -> Answer:
        if isinstance(self.model, CountingChat):
            return self.model.answer(wanted.messages, sampling=wanted.sampling, stream=self._stream)
        if isinstance(self.model, CountingModel):
            return _gathered(self.model.pieces(wanted.messages, sampling=wanted.sampling))
        return Answer(text=self.model.complete(wanted.messages, sampling=wanted.sampling)[0])

    def _counted(self, wanted: Wanted, answer: Answer) -> dict[str, object]:
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        guessed = prompt is None or completion is None
        prompt = tokens_of(wanted.messages) if prompt is None else prompt
        completion = -(-len(answer.text) // LETTERS_A_TOKEN) if completion is None else completion
        cost = self._prices.of(prompt, completion)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "estimated": guessed, "cost": cost}

    def _draft(self, wanted: Wanted, key: str) -> Request:
        most = self._prices.of(tokens_of(wanted.messages), wanted.sampling.max_tokens)
        return Request(
            id=wanted.id,
            key=key,
            status="sent",
            time="",
            model=self.model.name,
            seed=wanted.sampling.seed or 0,
            scenario=wanted.scenario,
            exemplars=wanted.exemplars,
            prompt=wanted.prompt,
            cost=most,
        )


def _gathered(pieces: Iterable[Piece]) -> Answer:
    """The reply that pieces make; the last one counts."""
    made = list(pieces)
    last = made[-1] if made else Piece(text="")
    text = "".join(piece.text for piece in made).strip()
    return Answer(
        text=text, finish=last.finish or None, prompt_tokens=last.read, completion_tokens=last.written
    )


def tokens_of(messages: Sequence[Message]) -> int:
    """About how many tokens messages have."""
    return -(-sum(len(message.content) for message in messages) // LETTERS_A_TOKEN)


def seed_of(plan_seed: int, identifier: str) -> int:
    """The seed of one request: the same in every run of a plan, another for every request."""
    return int.from_bytes(sha256(f"{plan_seed}/{identifier}".encode()).digest()[:4], "big") & 0x7FFFFFFF


def _key(model: str, wanted: Wanted) -> str:
    texts = [model, wanted.sampling.model_dump_json(), *(m.model_dump_json() for m in wanted.messages)]
    return sha256("\0".join(texts).encode(errors="replace")).hexdigest()


def _writable(text: str) -> str:
    """What UTF-8 can hold: half an emoji, which a cut reply may end with, cannot be written."""
    return text.encode(errors="replace").decode()
