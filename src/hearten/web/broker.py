"""How one server process tells the others that something happened.

A message on a topic reaches every subscriber of every process, at least once while nothing fails, and
possibly not at all while the database restarts; so it only ever says "look", and who hears `RESYNC` looks at
everything. With SQLite there is one process and `LocalBroker` calls its subscribers directly; with PostgreSQL
`PostgresBroker` uses LISTEN/NOTIFY on one channel, and connects again for as long as it takes.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from hearten.web.database import Database

CHANNEL = "hearten"
RESYNC = "resync"
LONGEST = 7900
"""Bytes of one NOTIFY payload; PostgreSQL allows 8000."""

Listener = Callable[[str, Any], None]
log = logging.getLogger("hearten.web")


class Broker(Protocol):
    """Publish to every process, hear from every process; one's own messages do not come back."""

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(topic, value)` for what other processes publish, and `(RESYNC, None)` after a
        gap.
        """
        ...

    async def publish(self, topic: str, value: Any) -> None:
        """Send a small JSON value to the other processes; dropped when none can be reached."""
        ...

    def announce(self, session: Session, topic: str, value: Any) -> None:
        """Publish when this session's transaction is committed, and only then."""
        ...

    async def run(self) -> None:
        """Listen until cancelled."""
        ...


class LocalBroker:
    """One process: nobody else is there to tell."""

    def subscribe(self, listener: Listener) -> None:
        """Nothing will ever come."""

    async def publish(self, topic: str, value: Any) -> None:
        """Nobody to tell."""

    def announce(self, session: Session, topic: str, value: Any) -> None:
        """Nobody to tell."""

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()


class PostgresBroker:
    """LISTEN/NOTIFY on one channel, with one connection to listen and one to tell."""

    def __init__(self, database: Database) -> None:
        self._address = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._name = uuid.uuid4().hex[:12]
        self._listeners: list[Listener] = []
        self._talker: Any = None
        self._talking = asyncio.Lock()

    def subscribe(self, listener: Listener) -> None:
        """See `Broker`."""
        self._listeners.append(listener)

    async def publish(self, topic: str, value: Any) -> None:
        """See `Broker`."""
        import psycopg

        payload = self._payload(topic, value)
        async with self._talking:
            try:
                if self._talker is None or self._talker.closed:
                    self._talker = await psycopg.AsyncConnection.connect(self._address, autocommit=True)
                await self._talker.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
            except psycopg.OperationalError as error:
                log.warning("could not tell the other processes: %s", error)
                self._talker = None

    def announce(self, session: Session, topic: str, value: Any) -> None:
        """See `Broker`."""
        notify = text("SELECT pg_notify(:channel, :payload)")
        session.execute(notify, {"channel": CHANNEL, "payload": self._payload(topic, value)})

    def _payload(self, topic: str, value: Any) -> str:
        payload = json.dumps([self._name, topic, value], separators=(",", ":"), ensure_ascii=False)
        if len(payload.encode()) > LONGEST:
            raise ValueError(f"a message of {len(payload)} characters does not fit a NOTIFY")
        return payload

    async def run(self) -> None:
        """See `Broker`; a lost connection is made again, and then everyone looks at everything."""
        import psycopg

        while True:
            try:
                await self._listen(psycopg)
            except psycopg.OperationalError as error:
                log.warning("lost the database's notifications, trying again: %s", error)
                await asyncio.sleep(0.2)

    async def _listen(self, psycopg: Any) -> None:
        async with await psycopg.AsyncConnection.connect(self._address, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._tell(RESYNC, None)
            async for note in connection.notifies():
                sender, topic, value = json.loads(note.payload)
                if sender != self._name:
                    self._tell(topic, value)

    def _tell(self, topic: str, value: Any) -> None:
        for listener in self._listeners:
            listener(topic, value)


def open_broker(database: Database) -> Broker:
    """The broker that fits the database."""
    return PostgresBroker(database) if database.kind == "postgresql" else LocalBroker()
