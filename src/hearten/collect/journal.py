"""How a message becomes durable: one writer commits many at a time, and only then anyone hears of them.

Every draft waits in a queue. The writer takes whatever has gathered, writes it in one transaction (numbering
each room's events under a lock on the room's row), and hands out the entries; while one batch is being
committed the next one gathers by itself. That is what lets one SQLite file with `synchronous=FULL` take
hundreds of messages a second.

A sender that hears nothing sends the same `client_id` again, and gets the entry it already has: each event
happens exactly once. When the database is away the batch is tried again until it is back; nobody was told a
word before.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from hearten.collect.rooms import Draft, Entry, statuses
from hearten.collect.tables import Event, Room
from hearten.web.broker import LONGEST, Broker
from hearten.web.database import Database

LARGEST_BATCH = 256
LONGEST_QUEUE = 20_000
TOPIC = "rooms"
log = logging.getLogger("hearten.collect")


@dataclass(slots=True)
class Waiting:
    """A draft and who waits for it."""

    draft: Draft
    done: "asyncio.Future[Entry | None]"


@dataclass(slots=True)
class Batch:
    """What one transaction came to: entries in the order of the drafts, and what is new in each room."""

    results: list[Entry | None] = field(default_factory=list)
    """None: the room had ended (or never was)."""
    new: dict[int, list[Entry]] = field(default_factory=dict)


class Journal:
    """The one writer of a process.

    Args:
        deliver: called in the event loop with (room id, new entries in order) after every commit.
    """

    def __init__(
        self, database: Database, broker: Broker, deliver: Callable[[int, Sequence[Entry]], None]
    ) -> None:
        self._database, self._broker, self._deliver = database, broker, deliver
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue(LONGEST_QUEUE)

    async def add(self, draft: Draft) -> Entry | None:
        """Make `draft` durable; returns its entry, or None if its room has ended."""
        waiting = Waiting(draft, asyncio.get_running_loop().create_future())
        await self._queue.put(waiting)
        return await waiting.done

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < LARGEST_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._settle(batch)

    async def _settle(self, batch: list[Waiting]) -> None:
        """Make a batch durable and tell everyone; a draft the database refuses does not take others with
        it.
        """
        try:
            result = await self._persist([row.draft for row in batch])
        except SQLAlchemyError as error:
            if len(batch) == 1:
                log.exception("a message could not be stored")
                if not batch[0].done.done():
                    batch[0].done.set_exception(error)
                return
            for row in batch:
                await self._settle([row])
            return
        for room_id, entries in result.new.items():
            self._deliver(room_id, entries)
        for waiting, entry in zip(batch, result.results, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(entry)

    async def _persist(self, drafts: list[Draft]) -> Batch:
        """Commit, however long the database needs to come back."""
        pause = 0.05
        while True:
            try:
                return await asyncio.to_thread(commit, self._database, self._broker, drafts)
            except (OperationalError, InterfaceError) as error:
                log.warning("the database is away, %d messages wait: %s", len(drafts), error.orig)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            await asyncio.sleep(pause)
            pause = min(1.0, 2 * pause)


def commit(database: Database, broker: Broker, drafts: Sequence[Draft]) -> Batch:
    """Write drafts in one transaction; a draft that was written before yields its old entry."""
    with database.writing() as session:
        batch = _write(session, drafts, time.time())
        for news in parcels(batch.new):
            broker.announce(session, TOPIC, news)
    return batch


def parcels(new: dict[int, list[Entry]], limit: int = LONGEST - 200) -> Iterator[dict[str, list[Any] | None]]:
    """What other processes are told: entries by room, in as few notes as the broker's limit allows.

    A room whose entries do not fit one note is only named (None); whoever cares reads it from the database.
    """
    parcel: dict[str, list[Any] | None] = {}
    size = 0
    for room_id, entries in new.items():
        rows: list[Any] | None = [astuple(entry) for entry in entries]
        length = len(json.dumps(rows, ensure_ascii=False).encode()) + 20
        if length > limit:
            rows, length = None, 20
        if size + length > limit:
            yield parcel
            parcel, size = {}, 0
        parcel[str(room_id)] = rows
        size += length
    if parcel:
        yield parcel


def _write(session: Session, drafts: Sequence[Draft], now: float) -> Batch:
    ids = sorted({draft.room_id for draft in drafts})
    locked = (
        select(Room.id, Room.last_seq, Room.ended).where(Room.id.in_(ids)).order_by(Room.id).with_for_update()
    )
    rooms = {row.id: row for row in session.execute(locked)}
    last = {room_id: row.last_seq for room_id, row in rooms.items()}
    closed = {room_id for room_id, row in rooms.items() if row.ended is not None} | (set(ids) - set(rooms))
    known = _known(session, ids, [draft.client_id for draft in drafts])
    batch = Batch()
    for draft in drafts:
        key = (draft.room_id, draft.role, draft.client_id)
        if key not in known and draft.room_id not in closed:
            last[draft.room_id] += 1
            known[key] = entry = _entry(draft, last[draft.room_id], now)
            batch.new.setdefault(draft.room_id, []).append(entry)
            if draft.kind == "end":
                closed.add(draft.room_id)
                _close(session, draft, now)
        batch.results.append(known.get(key))
    _insert(session, batch)
    return batch


def _known(session: Session, rooms: list[int], client_ids: list[str]) -> dict[tuple[int, str, str], Entry]:
    """Those of the drafts that were written before."""
    query = select(Event).where(Event.room_id.in_(rooms), Event.client_id.in_(client_ids))
    return {(row.room_id, row.role, row.client_id): entry_of(row) for row in session.scalars(query)}


def _entry(draft: Draft, seq: int, now: float) -> Entry:
    return Entry(
        seq, draft.kind, draft.role, draft.client_id, now, draft.text, draft.strategy, draft.stars, draft.data
    )


def _insert(session: Session, batch: Batch) -> None:
    fields = Entry.__slots__
    rows = [
        {"room_id": room_id} | {name: getattr(entry, name) for name in fields}
        for room_id, entries in batch.new.items()
        for entry in entries
    ]
    if rows:
        session.execute(insert(Event.__table__), rows)  # type: ignore[arg-type]  # a Table is what it is
        counts = [{"id": room_id, "last_seq": entries[-1].seq} for room_id, entries in batch.new.items()]
        session.execute(update(Room), counts)


def _close(session: Session, draft: Draft, now: float) -> None:
    reason = str((draft.data or {}).get("reason", "left"))
    ended = statuses(draft.role, reason)
    values = {"ended": now, "reason": reason, **{f"{role}_status": status for role, status in ended.items()}}
    session.execute(update(Room).where(Room.id == draft.room_id).values(**values))


def entry_of(row: Event) -> Entry:
    """A stored event as an entry."""
    return Entry(
        row.seq, row.kind, row.role, row.client_id, row.at, row.text, row.strategy, row.stars, row.data
    )


def read_entries(session: Session, room_id: int, after: int = 0) -> list[Entry]:
    """A room's entries with numbers above `after`, in order."""
    query = select(Event).where(Event.room_id == room_id, Event.seq > after).order_by(Event.seq)
    return [entry_of(row) for row in session.scalars(query)]
