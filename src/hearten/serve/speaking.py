"""A reply while it is being written: from the host into the store, and on to whoever is reading.

A `Speaking` is a task of its own, so that a closed laptop ends a reply in good order: what had been shown is
kept, marked as stopped. Every piece is stored before it is shown, and stored as stopped until the last one,
so that the same holds for a killed server. The pieces are what the host lets through, after its output
screen; nothing here looks behind it. `Desk` knows who is speaking: one reply a talk, and a second one stops
the first.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

from hearten.core.conversation import Record, Role
from hearten.core.errors import HeartenError
from hearten.core.records import Reply
from hearten.serve.host import Busy, Host, Waiting
from hearten.serve.store import Store
from hearten.serve.talk import Message, Talk, now
from hearten.serve.why import read

SHOW_EVERY = 0.08
"""Seconds between two versions of a growing reply: as fast as one reads, and few enough to store each."""
BEAT = 10.0
"""Seconds of silence after which a sign of life is sent, so that both sides notice a dead connection."""
log = logging.getLogger("hearten.serve")


class News(Record):
    """One thing the page is told."""

    kind: Literal["saved", "waiting", "reply", "done", "stopped", "busy", "failed", "notice", "beat"]
    talk: str | None = None
    message: Message | None = None
    position: int | None = None
    """In the queue; 1 is next."""
    retry_after: int | None = None
    """Seconds."""

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.kind in ("done", "stopped", "busy", "failed")


class Speaking:
    """One reply of one talk.

    Args:
        to: the seeker's message it answers.
        reply_id: the id of the message that it will be.
    """

    def __init__(self, host: Host, store: Store, owner: str, talk: Talk, to: str, reply_id: str) -> None:
        self._host, self._store, self._owner, self._talk = host, store, owner, talk
        self._to, self._id = to, reply_id
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news: asyncio.Queue[News] = asyncio.Queue()
        self._shown: Message | None = None
        self._reply, self._shown_at = Reply(text=""), 0.0
        self.task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Write no more; what was shown is kept."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    async def news(self) -> AsyncGenerator[News]:
        """Everything that happens until the reply is done; leaving early stops it."""
        try:
            while True:
                try:
                    told = await asyncio.wait_for(self._news.get(), BEAT)
                except TimeoutError:
                    told = News(kind="beat")
                yield told
                if told.last:
                    return
        finally:
            self.stop()

    async def _run(self) -> None:
        try:
            whole = await self._listen()
            last = await (self._finish() if whole else self._cut())
        except Busy as error:
            last = News(kind="busy", retry_after=error.retry_after)
        except Exception as error:
            log.warning("a reply failed: %s", _without_words(error))
            last = News(kind="failed", message=self._shown)
        self._news.put_nowait(last)

    async def _listen(self) -> bool:
        """Show what the host says; False if stopped before its end."""
        conversation = self._talk.conversation(self._to)
        async with aclosing(self._host.stream(conversation, owner=self._owner)) as heard:
            while (item := await self._next(heard)) is not None:
                if isinstance(item, Waiting):
                    self._news.put_nowait(News(kind="waiting", position=item.position))
                    continue
                self._reply = item
                await self._show()
        return not self._stopping.done()

    async def _next(self, heard: AsyncIterator[Any]) -> Waiting | Reply | None:
        """The host's next item; None at its end, or as soon as the reply is stopped."""
        step = asyncio.ensure_future(anext(heard, None))
        await asyncio.wait({step, self._stopping}, return_when=asyncio.FIRST_COMPLETED)
        if self._stopping.done():
            step.cancel()
            await asyncio.wait({step})
            return None
        return step.result()

    async def _show(self) -> None:
        """Store and tell a version that has grown, unless the last one was a moment ago."""
        text, at = self._reply.text.strip(), time.monotonic()
        grown = text and (self._shown is None or text != self._shown.text)
        if grown and at - self._shown_at >= SHOW_EVERY:
            self._shown_at = at
            await self._keep(self._message(stopped=True), passing=True)
            self._news.put_nowait(News(kind="reply", message=self._shown))

    async def _finish(self) -> News:
        if not self._reply.text.strip():
            return News(kind="failed")
        await self._keep(self._message(stopped=False).model_copy(update={"why": read(self._reply)}))
        return News(kind="done", message=self._shown)

    async def _cut(self) -> News:
        """What was shown stays; what was not shown is nobody's."""
        return News(kind="stopped", message=self._shown)

    def _message(self, *, stopped: bool) -> Message:
        chosen = self._reply.strategy
        return Message(
            id=self._id,
            parent=self._to,
            speaker=Role.SUPPORTER,
            text=self._reply.text,
            at=self._shown.at if self._shown else now(),
            strategy=chosen.name if chosen else None,
            stopped=stopped,
        )

    async def _keep(self, message: Message, *, passing: bool = False) -> None:
        here = await asyncio.to_thread(self._store.put, self._owner, self._talk.id, message, passing=passing)
        self._shown = message
        if not here:
            self.stop()


def _without_words(error: Exception) -> str:
    """An error for the log, which holds nothing that anybody wrote: its kind and place, not its message."""
    if isinstance(error, HeartenError):
        return error.what
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


class Desk:
    """Every reply that is being written in this process."""

    def __init__(self, host: Host, store: Store) -> None:
        self._host, self._store = host, store
        self._speaking: dict[str, Speaking] = {}

    async def speak(self, owner: str, talk: Talk, to: str, reply_id: str) -> Speaking:
        """Begin to answer a message; a reply of this talk that is still being written is stopped first."""
        await self.stop(talk.id)
        speaking = Speaking(self._host, self._store, owner, talk, to, reply_id)
        self._speaking[talk.id] = speaking
        speaking.task.add_done_callback(lambda _: self._forget(talk.id, speaking))
        return speaking

    async def stop(self, talk_id: str) -> None:
        """Stop this talk's reply, if one is being written, and wait until it is kept."""
        speaking = self._speaking.get(talk_id)
        if speaking is not None:
            speaking.stop()
            await asyncio.wait({speaking.task})

    async def close(self) -> None:
        """Stop every reply."""
        for talk_id in list(self._speaking):
            await self.stop(talk_id)

    def _forget(self, talk_id: str, speaking: Speaking) -> None:
        if self._speaking.get(talk_id) is speaking:
            del self._speaking[talk_id]
