"""Migrations match the tables, words are complete, the stylesheet is the palette, PostgreSQL tells the
others.
"""

import asyncio
import re
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import text

from hearten.collect import tables
from hearten.core.errors import UsageError
from hearten.core.palette import PALETTE
from hearten.web import identity
from hearten.web.broker import PostgresBroker
from hearten.web.database import Base, Database
from hearten.web.words import Words, languages, table

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import throwaway_postgres

APPS = (("hearten.web", "hearten.collect"), ("hearten.web", "hearten.serve"))
"""The packages with pages of `hearten web` and of `hearten serve`."""
PACKAGES = sorted({package for app in APPS for package in app})


@pytest.fixture
def postgres(require):
    require("PostgreSQL", throwaway_postgres.binaries())
    with throwaway_postgres.ThrowawayPostgres() as server:
        yield server


def differences(database: Database) -> list:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    assert {tables.Event.__tablename__, identity.Account.__tablename__} <= set(Base.metadata.tables)
    with database.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)


def test_migrations_make_the_tables_the_code_expects(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    database.upgrade()
    database.upgrade()
    assert differences(database) == []


@pytest.mark.slow
def test_the_same_on_postgresql_and_notes_reach_other_processes(postgres):
    database = Database(postgres.url)
    database.upgrade()
    assert differences(database) == []
    asyncio.run(_notes(postgres, database))


async def _notes(postgres, database):
    heard = []
    here, there = PostgresBroker(database), PostgresBroker(database)
    there.subscribe(lambda topic, value: heard.append((topic, value)))
    listening = asyncio.create_task(there.run())
    await _until(lambda: heard)
    await here.publish("typing", [1, "seeker"])
    with database.writing() as session:
        here.announce(session, "rooms", {"1": None})
    await _until(lambda: len(heard) == 3)
    assert heard == [("resync", None), ("typing", [1, "seeker"]), ("rooms", {"1": None})]
    postgres.kill()
    await asyncio.to_thread(postgres.start)
    await _until(lambda: heard.count(("resync", None)) == 2)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def _until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_a_failed_write_leaves_nothing(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    database.upgrade()
    insert = text("INSERT INTO audit (at, who, action, what) VALUES (1, 'a', 'b', 'c')")

    def half_done():
        with database.writing() as session:
            session.execute(insert)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM audit")).scalar() == 0


def test_sqlite_keeps_what_was_committed_through_a_power_cut(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    with database.reading() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL


@pytest.mark.parametrize("url", ["mysql://x", "nonsense"])
def test_other_databases_are_refused(url):
    with pytest.raises(UsageError, match="database"):
        Database(url)


@pytest.mark.parametrize("packages", APPS, ids=" ".join)
def test_every_sentence_a_page_asks_for_exists(packages):
    words = Words(packages)
    asked = set()
    for package in packages:
        for path in Path(str(files(package) / "templates")).rglob("*.html"):
            asked |= set(re.findall(r'\bt\("([\w.]+)"\s*[,)]', path.read_text()))
    assert asked
    assert not [key for key in asked if not words.has(key)]


def test_german_has_every_sentence_of_participants():
    for package in PACKAGES:
        missing = [key for key in table(package, "en") if key not in table(package, "de")]
        assert not [key for key in missing if not key.startswith("admin.")]
        assert "de" in languages(package)


def test_fields_of_translations_are_the_same():
    for package in PACKAGES:
        german = table(package, "de")
        for key, sentence in table(package, "en").items():
            if key in german:
                assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", german[key])), key


def test_the_stylesheet_has_the_one_palette():
    css = (files("hearten.web") / "assets" / "style.css").read_text()
    assert tuple(re.findall(r"--s\d: (#[0-9a-f]{6});", css)) == PALETTE
    assert "http" not in css
