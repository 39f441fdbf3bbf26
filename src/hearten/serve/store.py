"""Where conversations are kept: in a file for some days, or in this process's memory until the session ends.

Both are one SQLite database, sealed row by row (`serve.sealing`): what stands in clear is ids, times and a
hash of the owner's cookie, which is all that retention needs. A visitor (the *owner*) reaches nothing but
their own rows: every statement names the owner. `put` has committed when it returns, so a killed process
loses nothing that was confirmed. Deleting overwrites: `secure_delete` zeroes the freed pages and the journal
is cut off; deleting everything also rewrites the file.

Blocking; the routes call it in threads.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hearten.core.errors import Failure
from hearten.serve.keeping import PageSettings
from hearten.serve.sealing import Sealer, find_key, passing_key
from hearten.serve.talk import Message, Talk

TABLES = """
CREATE TABLE IF NOT EXISTS reader (
  owner TEXT PRIMARY KEY, accepted REAL NOT NULL, noticed REAL NOT NULL, seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS talk (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES reader ON DELETE CASCADE, label_set TEXT NOT NULL,
  created REAL NOT NULL, updated REAL NOT NULL, head TEXT);
CREATE INDEX IF NOT EXISTS talk_of ON talk (owner, updated);
CREATE TABLE IF NOT EXISTS message (
  talk TEXT NOT NULL REFERENCES talk ON DELETE CASCADE, id TEXT NOT NULL, number INTEGER NOT NULL,
  sealed BLOB NOT NULL, PRIMARY KEY (talk, id));
CREATE TABLE IF NOT EXISTS proof (sealed BLOB NOT NULL);
"""
PRAGMAS = ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=30000")
COLUMNS = ("id", "label_set", "created", "updated", "head")
PROOF = "hearten"
"""Sealed once in every file: opens only with the key the rest was written with."""


class Reader(NamedTuple):
    """One browser that has read the first screen."""

    owner: str
    accepted: float
    noticed: float
    """When it was last told that it talks to an AI."""


class Store:
    """The conversations of every visitor.

    Args:
        path: the file; None for memory.
        lifetime: seconds after its last message at which a conversation is removed.

    Raises:
        Failure: the file was written with another key.
    """

    def __init__(self, path: Path | None, sealer: Sealer, lifetime: float) -> None:
        self.keeps, self._sealer, self._lifetime = path is not None, sealer, lifetime
        self._lock = threading.Lock()
        self._sql = sqlite3.connect(
            _private(path) if path else ":memory:", check_same_thread=False, isolation_level=None
        )
        for pragma in PRAGMAS:
            self._sql.execute(f"PRAGMA {pragma}")
        self._sql.executescript(TABLES)
        self._prove()

    def reader(self, owner: str) -> Reader | None:
        """The visitor with this hash, if we know one; notes that they were here."""
        with self._writing():
            row = self._sql.execute(
                "UPDATE reader SET seen = ? WHERE owner = ? RETURNING owner, accepted, noticed",
                (time.time(), owner),
            ).fetchone()
        return Reader(*row) if row else None

    def admit(self, owner: str, at: float) -> None:
        """A visitor has read the first screen."""
        with self._writing():
            self._sql.execute(
                "INSERT INTO reader VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET accepted = excluded.accepted, noticed = excluded.noticed, seen = excluded.seen",
                (owner, at, at, at),
            )

    def remind(self, owner: str, at: float) -> None:
        """They were told again that this is an AI."""
        with self._writing():
            self._sql.execute("UPDATE reader SET noticed = ? WHERE owner = ?", (at, owner))

    def talks(self, owner: str) -> list[Talk]:
        """A visitor's conversations, the latest first."""
        return self._talks("owner = ? ORDER BY updated DESC, rowid DESC", owner)

    def talk(self, owner: str, id: str) -> Talk | None:
        """One of a visitor's conversations; None for anybody else's too."""
        return next(iter(self._talks("owner = ? AND id = ?", owner, id)), None)

    def begin(self, owner: str, talk: Talk) -> bool:
        """A new, empty conversation; False where its id is taken."""
        row = (talk.id, owner, talk.label_set, talk.created, talk.updated, None)
        with self._writing():
            done = self._sql.execute("INSERT OR IGNORE INTO talk VALUES (?, ?, ?, ?, ?, ?)", row)
        return done.rowcount == 1

    def put(self, owner: str, talk_id: str, message: Message, *, passing: bool = False) -> bool:
        """Add a message, or write it anew; it becomes the head. False where the conversation is gone.

        Args:
            passing: another version follows at once; this one outlives the process, but perhaps no power cut.
        """
        with self._writing(passing=passing):
            talk = self._sql.execute(
                "SELECT 1 FROM talk WHERE id = ? AND owner = ?", (talk_id, owner)
            ).fetchone()
            if talk is None:
                return False
            sealed = self._sealer.seal(
                message.model_dump_json(exclude_none=True), _place(owner, talk_id, message.id)
            )
            self._sql.execute(
                "INSERT INTO message VALUES (?, ?, (SELECT count(*) FROM message WHERE talk = ?1), ?3)"
                " ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
                (talk_id, message.id, sealed),
            )
            self._sql.execute(
                "UPDATE talk SET head = ?, updated = ? WHERE id = ?", (message.id, time.time(), talk_id)
            )
        return True

    def mark(self, owner: str, talk_id: str, message: Message) -> bool:
        """Write a message anew (its stars) and leave the head where it is."""
        sealed = self._sealer.seal(
            message.model_dump_json(exclude_none=True), _place(owner, talk_id, message.id)
        )
        with self._writing():
            done = self._sql.execute(
                "UPDATE message SET sealed = ? WHERE id = ?"
                " AND talk = (SELECT id FROM talk WHERE id = ? AND owner = ?)",
                (sealed, message.id, talk_id, owner),
            )
        return done.rowcount == 1

    def turn_to(self, owner: str, talk_id: str, head: str) -> bool:
        """Show another branch."""
        with self._writing():
            done = self._sql.execute(
                "UPDATE talk SET head = ? WHERE id = ? AND owner = ?", (head, talk_id, owner)
            )
        return done.rowcount == 1

    def delete(self, owner: str, talk_id: str) -> bool:
        """Remove one conversation."""
        with self._writing():
            done = self._sql.execute("DELETE FROM talk WHERE id = ? AND owner = ?", (talk_id, owner))
        self._cut_journal()
        return done.rowcount == 1

    def delete_all(self, owner: str) -> int:
        """Remove every conversation of a visitor; they stay admitted."""
        with self._writing():
            done = self._sql.execute("DELETE FROM talk WHERE owner = ?", (owner,))
        self._rewrite()
        return done.rowcount

    def purge(self, now: float | None = None) -> int:
        """Remove what is older than its lifetime, and visitors who have been away as long."""
        before = (time.time() if now is None else now) - self._lifetime
        with self._writing():
            done = self._sql.execute("DELETE FROM talk WHERE updated < ?", (before,))
            self._sql.execute(
                "DELETE FROM reader WHERE seen < ? AND owner NOT IN (SELECT owner FROM talk)", (before,)
            )
        if done.rowcount:
            self._rewrite()
        return done.rowcount

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._sql.close()

    def _talks(self, which: str, owner: str, *more: str) -> list[Talk]:
        """Rows are read under the lock and opened after it: nobody waits for somebody's long search."""
        with self._lock:
            talks = self._sql.execute(
                f"SELECT {', '.join(COLUMNS)} FROM talk WHERE {which}", (owner, *more)
            ).fetchall()
            sealed = {row[0]: self._sealed(row[0]) for row in talks}
        return [
            Talk(
                **dict(zip(COLUMNS, row, strict=True)),
                messages=tuple(self._opened(owner, row[0], sealed[row[0]])),
            )
            for row in talks
        ]

    def _sealed(self, id: str) -> list[tuple[str, bytes]]:
        return self._sql.execute(
            "SELECT id, sealed FROM message WHERE talk = ? ORDER BY number", (id,)
        ).fetchall()

    def _opened(self, owner: str, id: str, rows: list[tuple[str, bytes]]) -> Iterator[Message]:
        for name, sealed in rows:
            yield Message.model_validate_json(self._sealer.open(sealed, _place(owner, id, name)))

    @contextmanager
    def _writing(self, *, passing: bool = False) -> Iterator[None]:
        """One transaction; on disk when the block is left, or with the operating system where `passing`."""
        with self._lock:
            self._sql.execute(f"PRAGMA synchronous={'NORMAL' if passing else 'FULL'}")
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute("COMMIT")
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise

    def _cut_journal(self) -> None:
        with self._lock:
            self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _rewrite(self) -> None:
        with self._lock:
            self._sql.execute("VACUUM")
            self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _prove(self) -> None:
        row = self._sql.execute("SELECT sealed FROM proof").fetchone()
        if row is None:
            with self._writing():
                self._sql.execute("INSERT INTO proof VALUES (?)", (self._sealer.seal(PROOF, PROOF),))
        elif self._sealer.open(row[0], PROOF) != PROOF:
            raise Failure("this file of kept conversations is not ours")


def _place(owner: str, talk: str, message: str) -> str:
    return f"{owner}/{talk}/{message}"


def _private(path: Path) -> Path:
    """`path`, made for our eyes only where it is new; SQLite gives its journal the same rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return path


def open_store(settings: PageSettings) -> Store:
    """The store these settings ask for, without what has outlived its days.

    Raises:
        UsageError, Failure: the key is unusable or does not fit the file.
    """
    key = find_key(settings.key_file) if settings.keep else passing_key()
    store = Store(settings.keep, Sealer(key), settings.lifetime)
    store.purge()
    return store
