"""The host: many people talking to one supporter, from one event loop.

A supporter is plain, blocking Python. The host runs each reply in a thread of its own, hands the growing
text to the event loop, and stops the reply when whoever reads it goes away. How many are answered at once,
who is next, and when to say "come back later" is the turnstile's business.

    async for news in host.stream(conversation, owner="browser 7"):
        ...  # Waiting(position=2), then Reply after Reply, each longer than the one before
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

from hearten.core.conversation import Conversation, Record
from hearten.core.errors import Failure
from hearten.core.records import Reply
from hearten.core.supporter import Adjustable, StreamingSupporter, Wishes
from hearten.core.taxonomy import Strategy
from hearten.serve.meters import Meters
from hearten.serve.turnstile import Turnstile

SECONDS_A_REPLY = 3
"""What one reply takes, for the advice when to come back; only its order of magnitude matters."""


class Waiting(Record):
    """Not yet: how many are let in before, this one included."""

    position: int


class Busy(Failure):
    """The queue is full."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many are talking at once", fix=f"try again in {retry_after} seconds")
        self.retry_after = retry_after


class Host:
    """One supporter for many.

    Args:
        supporter: what answers, screens included.
        at_once: replies that are made at the same time.
        queue: requests that may wait for a place.
        meters: where to count.
    """

    def __init__(
        self,
        supporter: StreamingSupporter,
        *,
        at_once: int = 4,
        queue: int = 64,
        meters: Meters | None = None,
    ) -> None:
        self.name, self._supporter = supporter.name, supporter
        self.turnstile, self.meters = Turnstile(at_once, queue), meters or Meters()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="reply")
        self._running: set[threading.Event] = set()
        self.meters.watch("hearten_answering", "Replies being made", lambda: self.turnstile.inside)
        self.meters.watch("hearten_waiting", "Requests that wait", lambda: self.turnstile.waiting)

    async def stream(
        self,
        conversation: Conversation,
        *,
        strategy: Strategy | None = None,
        refine: bool | None = None,
        owner: str = "",
        wishes: Wishes | None = None,
    ) -> AsyncGenerator[Waiting | Reply]:
        """Positions while waiting, then replies of growing text; the last one is complete.

        Closing the iterator ends the generation.

        Args:
            conversation: what was said; its last turn is usually the seeker's.
            strategy: force one.
            refine: whether a reply judged unhelpful is written again; None leaves it to the server.
            owner: whose request this is, so that everybody gets a fair share.
            wishes: how words are drawn, and what else the request asks for.

        Raises:
            Busy: too many are waiting already.
        """
        ticket = self.turnstile.join(owner)
        if ticket is None:
            self.meters.replies.labels("busy").inc()
            raise Busy(self._retry_after())
        wanted = (wishes or Wishes()).model_copy(update={"refine": refine} if refine is not None else {})
        supporter = self._supporter
        if isinstance(supporter, Adjustable):
            supporter = supporter.wished(wanted)
        try:
            async for position in ticket.positions():
                yield Waiting(position=position)
            growing = self._run(lambda: supporter.stream(conversation, strategy=strategy))
            async with aclosing(self._metered(growing)) as replies:
                async for reply in replies:
                    yield reply
        finally:
            self.turnstile.leave(ticket)

    def close(self) -> None:
        """Stop the replies that are being made, wait for them and let the threads go."""
        for stopped in list(self._running):
            stopped.set()
        self._threads.shutdown(wait=True)

    def _retry_after(self) -> int:
        waves = 1 + self.turnstile.waiting // self.turnstile.places
        return waves * SECONDS_A_REPLY

    async def _metered(self, replies: AsyncGenerator[Reply]) -> AsyncGenerator[Reply]:
        """The replies, with their seconds, tokens and end counted."""
        start, last, end = time.monotonic(), None, "stopped"
        try:
            async with aclosing(replies):
                async for reply in replies:
                    if reply.text and not (last and last.text):
                        self.meters.first.observe(time.monotonic() - start)
                    last = reply
                    yield reply
            end = "done"
            self.meters.whole.observe(time.monotonic() - start)
        except Exception:
            end = "failed"
            raise
        finally:
            self.meters.replies.labels(end).inc()
            for kind, number in ((last.details or {}).get("tokens", {}) if last else {}).items():
                self.meters.tokens.labels(kind).inc(number or 0)

    async def _run(self, start: Callable[[], Iterator[Reply]]) -> AsyncGenerator[Reply]:
        """A blocking iterator's replies; the thread is left only when the iterator is really closed."""
        loop, stopped = asyncio.get_running_loop(), threading.Event()
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        def tell(news: Any) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, news)

        self._running.add(stopped)
        done = loop.run_in_executor(self._threads, _work, start, tell, stopped)
        try:
            while (news := await arrived.get()) is not None:
                if isinstance(news, BaseException):
                    raise news
                yield news
        finally:
            stopped.set()
            self._running.discard(stopped)
            await asyncio.shield(done)


def _work(
    start: Callable[[], Iterator[Reply]], tell: Callable[[Any], None], stopped: threading.Event
) -> None:
    """In a thread: tell every reply, then None; or the error."""
    try:
        replies = start()
        for reply in replies:
            if stopped.is_set():
                break
            tell(reply)
        if (close := getattr(replies, "close", None)) is not None:
            close()
        tell(None)
    except BaseException as error:
        tell(error)
