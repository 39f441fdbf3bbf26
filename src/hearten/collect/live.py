"""The live side of a chat: sockets, what each side sees, presence, and resuming where a connection broke.

A client says `hello` with the number of the last event it has seen and gets everything after it; what it
sends carries an id of its own, and it sends again whatever has not come back as an event. Its own event is
its acknowledgement. The hub holds the rooms that have a socket in this process; entries reach it from its own
journal and, by a note from other processes, from the database. They are shown strictly by number: a gap is
filled from the database first.

Frames out: `events` (with the room's `state`), `refused`, `presence`, `typing`, `suggestion`. Frames in: see
`Frame`.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from hearten.collect.attention import Attention
from hearten.collect.journal import TOPIC, Journal, read_entries
from hearten.collect.rooms import OTHER, SUPPORTER, Draft, Entry, RoomState, refusal
from hearten.collect.study import Chat, Study
from hearten.core.errors import HeartenError
from hearten.web.broker import RESYNC, Broker
from hearten.web.database import Database
from hearten.web.guard import Rate, clean

OUTBOX = 400
"""Frames a slow client may be behind before it is cut; it comes back and resumes."""
log = logging.getLogger("hearten.collect")
Id = Annotated[str, Field(min_length=1, max_length=64)]


class Hello(BaseModel):
    """The first frame: what this client has seen."""

    type: Literal["hello"]
    seen: Annotated[int, Field(ge=0)] = 0


class Say(BaseModel):
    """A message; supporters name their strategy."""

    type: Literal["message"]
    id: Id
    text: str
    strategy: str | None = None
    suggested: bool = False


class Stars(BaseModel):
    """How much the last messages helped."""

    type: Literal["stars"]
    id: Id
    stars: Annotated[int, Field(ge=1, le=5)]


class End(BaseModel):
    """End the conversation, or leave it."""

    type: Literal["end"]
    id: Id
    reason: Literal["finished", "left", "silent"]


class Typing(BaseModel):
    """Someone is writing."""

    type: Literal["typing"]


class Suggest(BaseModel):
    """A supporter asks the model for an idea."""

    type: Literal["suggest"]


FRAME: TypeAdapter[Hello | Say | Stars | End | Typing | Suggest] = TypeAdapter(
    Annotated[Hello | Say | Stars | End | Typing | Suggest, Field(discriminator="type")]
)


class Client:
    """One socket: frames go out in order, through one task, so that a slow reader holds up nobody."""

    def __init__(self, socket: WebSocket, role: str) -> None:
        self.socket, self.role = socket, role
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX)
        self._sender = asyncio.create_task(self._send_all())

    def send(self, frame: str) -> None:
        """Queue a frame; a client too far behind is cut."""
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            self._sender.cancel()

    async def _send_all(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self.socket.send_text(await self._outbox.get())

    async def closed(self) -> None:
        """Wait until nothing more is sent."""
        self._sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sender


@dataclass(slots=True)
class LiveRoom:
    """A room with at least one socket here."""

    id: int
    study: Study
    rule: Chat
    state: RoomState
    model: str | None = None
    before: dict[str, Any] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    """Roles connected to other processes."""

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Apply those that come next; returns them. What was seen is passed over, what lies ahead is left."""
        fresh = []
        for entry in entries:
            if entry.seq == self.state.seq + 1:
                self.state.apply(entry)
                self.log.append(entry)
                fresh.append(entry)
        return fresh

    def present(self, role: str) -> bool:
        """Whether someone of this role is connected anywhere."""
        here = any(client.role == role for client in self.clients)
        return here or role in self.elsewhere or (role == SUPPORTER and self.model is not None)


def event_view(entry: Entry, role: str) -> dict[str, Any]:
    """What one side may see of an entry: strategies and flags are the supporter's own."""
    view: dict[str, Any] = {"seq": entry.seq, "kind": entry.kind, "role": entry.role, "at": entry.at}
    if entry.role == role:
        view["id"] = entry.client_id
    if entry.text is not None:
        view["text"] = entry.text
    if role == SUPPORTER and entry.strategy is not None:
        view["strategy"] = entry.strategy
    if entry.role == role and entry.kind == "stars":
        view["stars"] = entry.stars
    if entry.role == role and entry.data and entry.data.get("flags"):
        view["flags"] = entry.data["flags"]
    if entry.kind == "end":
        view["reason"] = (entry.data or {}).get("reason")
    return view


def state_view(room: LiveRoom, role: str, now: float) -> dict[str, Any]:
    """What a page needs to draw its buttons; the server checks again in any case."""
    state, rule = room.state, room.rule
    silence = 60 * rule.silence_minutes - (now - state.spoke.get(OTHER[role], state.opened))
    return {
        "exchanges": state.exchanges,
        "wanted": rule.end_turns,
        "stars_due": role != SUPPORTER and state.stars_due(rule),
        "end_in": max(0.0, state.opened + 60 * rule.end_minutes - now),
        "silent_in": max(0.0, silence),
        "ended": state.ended,
        "partner": room.present(OTHER[role]),
    }


def frame(type: str, **values: Any) -> str:
    """One frame as text."""
    return json.dumps({"type": type, **values}, separators=(",", ":"), ensure_ascii=False)


class Hub:
    """The rooms of this process.

    Args:
        attention: looks at supporters' messages, one for each tutorial content.
        think: called when a room may want a model's reply; see `partner.Partners`.
        watch: called with what has just happened in a room; see `watch.Watch`.
    """

    def __init__(self, database: Database, broker: Broker, message_rate: float) -> None:
        self.database, self.broker = database, broker
        self.journal = Journal(database, broker, self.deliver)
        self.attention: Callable[[Study], Attention] | None = None
        self.think: Callable[[LiveRoom], None] = lambda room: None
        self.suggest: Callable[[LiveRoom, Client], None] = lambda room, client: None
        self.watch: Callable[[LiveRoom, Sequence[Entry]], None] = lambda room, entries: None
        self.rooms: dict[int, LiveRoom] = {}
        self._rate = Rate(message_rate, burst=30)
        self._opening: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._behind: set[int] = set()
        self._look = asyncio.Event()
        self._tasks: set[asyncio.Future[None]] = set()
        broker.subscribe(self.heard)

    # what arrives

    def deliver(self, room_id: int, entries: Sequence[Entry]) -> None:
        """Show new entries to everyone in the room who is connected here."""
        room = self.rooms.get(room_id)
        if room is None:
            return
        fresh = room.take(entries)
        if fresh:
            self._show(room, fresh)
        if entries and entries[-1].seq > room.state.seq:
            self._fall_behind(room_id)

    def heard(self, topic: str, value: Any) -> None:
        """Another process published something."""
        if topic == RESYNC:
            self._fall_behind(*self.rooms)
        elif topic == TOPIC:
            self._news(value)
        elif topic == "typing" and value[0] in self.rooms:
            self.show_typing(self.rooms[value[0]], value[1])
        elif topic == "here" and value[0] in self.rooms:
            self._here(self.rooms[value[0]], *value[1:])

    def _news(self, value: dict[str, list[Any] | None]) -> None:
        """Entries another process wrote; a room that is only named must be read."""
        for name, rows in value.items():
            if rows is None:
                self._fall_behind(int(name))
            else:
                self.deliver(int(name), [Entry(*row) for row in rows])

    def _fall_behind(self, *room_ids: int) -> None:
        self._behind.update(room_ids)
        if self._behind:
            self._look.set()

    async def catch_up(self) -> None:
        """Read from the database what other processes wrote, until cancelled."""
        while True:
            await self._look.wait()
            self._look.clear()
            wanted = [
                (room_id, self.rooms[room_id].state.seq) for room_id in self._behind if room_id in self.rooms
            ]
            self._behind.clear()
            try:
                found = await asyncio.to_thread(self._read, wanted)
            except SQLAlchemyError as error:
                log.warning("could not read new messages, trying again: %s", error)
                await asyncio.sleep(0.3)
                self._fall_behind(*(room_id for room_id, _ in wanted))
                continue
            for room_id, entries in found:
                self.deliver(room_id, entries)

    def _read(self, wanted: list[tuple[int, int]]) -> list[tuple[int, list[Entry]]]:
        with self.database.reading() as session:
            return [(room_id, read_entries(session, room_id, seq)) for room_id, seq in wanted]

    # what is shown

    def _show(self, room: LiveRoom, entries: Sequence[Entry]) -> None:
        now = time.time()
        views: dict[str, str] = {}
        for client in room.clients:
            if client.role not in views:
                events = [event_view(entry, client.role) for entry in entries]
                views[client.role] = frame("events", events=events, state=state_view(room, client.role, now))
            client.send(views[client.role])
        self.watch(room, entries)
        self.think(room)

    def show_typing(self, room: LiveRoom, role: str) -> None:
        """Tell the others in the room that `role` is writing."""
        for client in room.clients:
            if client.role != role:
                client.send(frame("typing"))

    def _here(self, room: LiveRoom, role: str, here: bool, asking: bool) -> None:
        """Someone connected to (or left) another process; `asking` wants to know who is here."""
        (room.elsewhere.add if here else room.elsewhere.discard)(role)
        self._show_presence(room, role)
        if asking:
            for mine in {client.role for client in room.clients}:
                self._later(self.broker.publish("here", [room.id, mine, True, False]))

    def _show_presence(self, room: LiveRoom, role: str) -> None:
        for client in room.clients:
            if client.role != role:
                client.send(frame("presence", here=room.present(role)))

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # one socket

    async def serve(
        self, socket: WebSocket, role: str, open_room: Callable[[], LiveRoom], room_id: int
    ) -> None:
        """Serve one socket until it closes; the caller has checked who it is."""
        await socket.accept()
        client, room = Client(socket, role), None
        try:
            hello = await self._first(socket)
            room = await self._join(client, open_room, room_id, hello.seen)
            async for text in socket.iter_text():
                await self._receive(client, room, text)
        except (WebSocketDisconnect, ValidationError, RuntimeError):
            pass
        except SQLAlchemyError as error:
            log.warning("a room could not be read: %s", error)
        finally:
            if room is not None:
                self._leave(client, room)
            await client.closed()
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(1012)

    async def _first(self, socket: WebSocket) -> Hello:
        return Hello.model_validate_json(await asyncio.wait_for(socket.receive_text(), 20))

    async def _join(
        self, client: Client, open_room: Callable[[], LiveRoom], room_id: int, seen: int
    ) -> LiveRoom:
        async with self._opening[room_id]:
            room = self.rooms.get(room_id)
            if room is None:
                room = self.rooms[room_id] = await asyncio.to_thread(open_room)
                self._fall_behind(room_id)  # what was written while it was being read
            room.clients.append(client)
        events = [event_view(entry, client.role) for entry in room.log[seen:]]
        client.send(frame("events", events=events, state=state_view(room, client.role, time.time())))
        self._show_presence(room, client.role)
        self._later(self.broker.publish("here", [room.id, client.role, True, True]))
        self.think(room)
        return room

    def _leave(self, client: Client, room: LiveRoom) -> None:
        room.clients.remove(client)
        if not any(other.role == client.role for other in room.clients):
            self._show_presence(room, client.role)
            self._later(self.broker.publish("here", [room.id, client.role, False, False]))
        if not room.clients:
            self.rooms.pop(room.id, None)
            self._opening.pop(room.id, None)

    async def _receive(self, client: Client, room: LiveRoom, text: str) -> None:
        if not self._rate.allow(f"{id(client)}"):
            client.send(frame("refused", reason="too_fast", id=_id_of(text)))
            return
        try:
            message = FRAME.validate_json(text)
        except ValidationError:
            client.send(frame("refused", reason="unreadable", id=_id_of(text)))
            return
        if isinstance(message, Typing):
            self.show_typing(room, client.role)
            await self.broker.publish("typing", [room.id, client.role])
        elif isinstance(message, Suggest):
            self.suggest(room, client)
        elif not isinstance(message, Hello):
            await self._happen(client, room, message)

    async def _happen(self, client: Client, room: LiveRoom, message: Say | Stars | End) -> None:
        """Check against the rules, make it durable; the entry itself comes back through `deliver`."""
        again = next(
            (entry for entry in room.log if entry.client_id == message.id and entry.role == client.role), None
        )
        if again is not None:
            events = [event_view(again, client.role)]
            client.send(frame("events", events=events, state=state_view(room, client.role, time.time())))
            return
        draft = self._draft(client, room, message)
        reason = refusal(room.state, room.rule, draft, room.study.labels, time.time())
        if reason is None and await self.journal.add(draft) is None:
            reason = "ended"
        if reason is not None:
            client.send(frame("refused", reason=reason, id=message.id))

    def _draft(self, client: Client, room: LiveRoom, message: Say | Stars | End) -> Draft:
        if isinstance(message, Stars):
            return Draft(room.id, "stars", client.role, message.id, stars=message.stars)
        if isinstance(message, End):
            return Draft(room.id, "end", client.role, message.id, data={"reason": message.reason})
        text = clean(message.text).strip()
        if client.role != SUPPORTER:
            return Draft(room.id, "message", client.role, message.id, text)
        data: dict[str, Any] = {"suggested": True} if message.suggested else {}
        if self.attention is not None:
            flags = self.attention(room.study).flags(text, room.state.said[SUPPORTER][-20:])
            data |= {"flags": list(flags)} if flags else {}
        return Draft(room.id, "message", client.role, message.id, text, message.strategy, data=data or None)


def _id_of(text: str) -> str | None:
    """The id of a frame that could not be read, if it has one."""
    with contextlib.suppress(ValueError, HeartenError):
        value = json.loads(text)
        if isinstance(value, dict) and isinstance(value.get("id"), str):
            return str(value["id"])[:64]
    return None
