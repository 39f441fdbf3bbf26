"""A model in the supporter's chair, or looking over a supporter's shoulder; any core `Supporter` will do.

The model answers after the seeker has been quiet for a moment, from the room's transcript alone, in a thread.
Its message carries an id made of the last event it answers, so that a restart in the middle answers once.
`Partners` asks `open_supporter` for a name once and keeps what it gets.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, cast

from hearten.collect.live import Client, Hub, LiveRoom, frame
from hearten.collect.rooms import SEEKER, SUPPORTER, Draft
from hearten.collect.transcript import conversation
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure, HeartenError
from hearten.core.records import Reply
from hearten.core.supporter import Supporter

QUIET_SECONDS = 1.5
log = logging.getLogger("hearten.collect")


def open_by_name(name: str) -> Supporter:
    """The supporter `hearten chat` would open under this name, inside the safety screens.

    Raises:
        Failure: no models are installed, or nothing to screen what people would read.
    """
    try:
        models = import_module("hearten.models.supporters")
        safety = import_module("hearten.safety.chain")
    except ImportError as error:
        raise Failure(f"no supporting models here ({error.name})", fix="pip install 'hearten[lm]'") from None
    return cast(Supporter, safety.SafeSupporter(models.open_supporter(name)))


class Partners:
    """The models of this process and the rooms they are answering."""

    def __init__(self, hub: Hub, opener: Callable[[str], Supporter] = open_by_name) -> None:
        self._hub, self._open = hub, opener
        self._known: dict[str, Supporter] = {}
        self._busy: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        hub.think, hub.suggest = self.think, self.suggest

    def supporter(self, name: str) -> Supporter:
        """The supporter of that name, opened once."""
        if name not in self._known:
            self._known[name] = self._open(name)
        return self._known[name]

    def think(self, room: LiveRoom) -> None:
        """Answer if it is the model's turn and nobody is answering yet."""
        if self._due(room) and room.id not in self._busy:
            self._busy.add(room.id)
            self._start(self._answer(room))

    def suggest(self, room: LiveRoom, client: Client) -> None:
        """Send a supporter an idea, if the study offers that."""
        if room.study.supporter == "assisted" and client.role == SUPPORTER and room.log:
            self._start(self._suggest(room, client))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _due(self, room: LiveRoom) -> bool:
        unanswered = room.state.last_speaker == SEEKER and not room.state.stars_due(room.rule)
        return room.model is not None and room.state.ended is None and unanswered

    async def _answer(self, room: LiveRoom) -> None:
        """Wait for quiet, reply, and look again whether the seeker wrote meanwhile."""
        try:
            while self._due(room) and room.model:
                seen = room.state.seq
                await asyncio.sleep(QUIET_SECONDS)
                if room.state.seq != seen:
                    continue
                self._hub.show_typing(room, SUPPORTER)
                reply = await self._reply(room, room.model)
                if room.state.seq != seen:
                    continue
                strategy = reply.strategy.name if reply.strategy else None
                id = f"model-{seen}"
                await self._hub.journal.add(
                    Draft(room.id, "message", SUPPORTER, id, reply.text.strip(), strategy)
                )
                break
        except HeartenError as error:
            log.error("the supporting model failed: %s", error)
        finally:
            self._busy.discard(room.id)

    async def _suggest(self, room: LiveRoom, client: Client) -> None:
        try:
            reply = await self._reply(room, room.study.model)
            strategy = reply.strategy.name if reply.strategy else None
            client.send(frame("suggestion", text=reply.text, strategy=strategy))
        except HeartenError as error:
            log.error("the suggesting model failed: %s", error)
            client.send(frame("refused", reason="no_suggestion", id=None))

    async def _reply(self, room: LiveRoom, name: str) -> Reply:
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._ask, name, self.transcript(room))

    def _ask(self, name: str, talk: Conversation) -> Reply:
        replies = self.supporter(name).reply(talk)
        if not replies or not replies[0].text.strip():
            raise Failure(f"'{name}' answered nothing", where=f"conversation {talk.id}")
        return replies[0]

    def transcript(self, room: LiveRoom) -> Conversation:
        """The room so far as the model sees it."""
        return conversation(f"room-{room.id}", room.log, label_set=room.study.label_set, before=room.before)
