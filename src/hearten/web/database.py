"""One database behind one object: SQLite in a file, or PostgreSQL by URL; migrated when the server starts.

`reading()` and `writing()` give a session; leaving `writing()` commits. SQLite runs in WAL mode with
`synchronous=FULL`, so what was committed survives a power cut; a writing session takes the write lock at once
(`BEGIN IMMEDIATE`), and one lock in the process queues writers, where SQLite itself would poll. Times are
seconds since 1970 (UTC), as floats, in both databases.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import JSON, Connection, Double, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session

from hearten.core.errors import Failure, UsageError

MIGRATION_LOCK = 7_424_001
"""Key of PostgreSQL's advisory lock: one process migrates, the others wait."""


class Base(DeclarativeBase):
    """Base of every table, the stages' too."""

    type_annotation_map: ClassVar = {dict[str, Any]: JSON, float: Double}


class Database:
    """The engine and its sessions.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER@HOST/NAME`.

    Raises:
        UsageError: not a URL of one of these two.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise UsageError(
                f"'{url}' is not a database URL", fix="sqlite:///FILE or postgresql://…"
            ) from None
        self.kind = parsed.get_backend_name()
        if self.kind not in ("sqlite", "postgresql"):
            raise UsageError(
                f"database '{self.kind}' is not supported", fix="sqlite:///FILE or postgresql://…"
            )
        self.url = parsed.set(drivername="postgresql+psycopg") if self.kind == "postgresql" else parsed
        self.engine = _sqlite(str(parsed.database)) if self.kind == "sqlite" else _postgres(self.url)
        self._writer = self.engine.execution_options(writing=True)
        self._lock = threading.Lock() if self.kind == "sqlite" else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are committed when the block ends well, and undone when it does not."""
        with self._lock, Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def upgrade(self, patience: float = 20) -> None:
        """Bring the tables to the newest migration; several processes may call it at once.

        A database that is only just starting is waited for.

        Args:
            patience: seconds.

        Raises:
            Failure: the database cannot be reached.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                self._upgrade()
                return
            except OperationalError as error:
                if time.monotonic() > deadline:
                    where = self.url.render_as_string(hide_password=True)
                    raise Failure(f"the database does not answer: {error.orig}", where=where) from None
                time.sleep(0.5)

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "hearten.web:migrations")
        with self._lock, self._writer.begin() as connection:
            if self.kind == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _sqlite(path: str) -> Engine:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", pool_size=24, max_overflow=40)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # so that BEGIN is ours to choose
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _postgres(url: Any) -> Engine:
    return create_engine(
        url, pool_size=12, max_overflow=20, pool_pre_ping=True, connect_args={"connect_timeout": 5}
    )
