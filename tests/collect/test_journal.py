"""The journal and the notes to other processes, against one SQLite file."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.collect import people
from hearten.collect.journal import Journal, commit, parcels, read_entries
from hearten.collect.matching import match, open_room, wait
from hearten.collect.rooms import Draft, Entry, statuses
from hearten.collect.study import Study
from hearten.web.broker import LocalBroker
from hearten.web.database import Database

PILOT = Study(name="pilot", title="Pilot")


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    database.upgrade()
    return database


@pytest.fixture
def room(database):
    with database.writing() as session:
        pair = [
            people.join(session, PILOT, role=role, language="en")[0].id for role in ("seeker", "supporter")
        ]
        return open_room(session, PILOT, pair[0], supporter=pair[1], now=0.0).id


def says(room, number, role="seeker"):
    return Draft(room, "message", role, f"{role}-{number}", f"text {number}")


def test_a_batch_numbers_without_gaps_and_knows_what_it_has_seen(database, room):
    broker = LocalBroker()
    first = commit(database, broker, [says(room, 1), says(room, 2), says(room, 1)])
    assert [entry.seq for entry in first.results] == [1, 2, 1]
    again = commit(database, broker, [says(room, 2), says(room, 2, "supporter"), says(room, 3)])
    assert [entry.seq for entry in again.results] == [2, 3, 4]
    assert [entry.seq for entry in again.new[room]] == [3, 4]
    with database.reading() as session:
        assert [entry.seq for entry in read_entries(session, room)] == [1, 2, 3, 4]


def test_nothing_is_written_after_the_end_or_into_no_room(database, room):
    end = Draft(room, "end", "seeker", "e", data={"reason": "left"})
    batch = commit(database, LocalBroker(), [says(room, 1), end, says(room, 2), says(9999, 1)])
    assert [entry and entry.seq for entry in batch.results] == [1, 2, None, None]
    assert commit(database, LocalBroker(), [says(room, 5)]).results == [None]


def test_many_writers_one_order(database, room):
    delivered = []

    async def talk():
        journal = Journal(database, LocalBroker(), lambda _, entries: delivered.extend(entries))
        running = asyncio.create_task(journal.run())
        entries = await asyncio.gather(*(journal.add(says(room, number)) for number in range(300)))
        running.cancel()
        return entries

    entries = asyncio.run(talk())
    assert [entry.seq for entry in delivered] == list(range(1, 301))
    assert [entry.text for entry in entries] == [f"text {number}" for number in range(300)]


@given(
    st.dictionaries(
        st.integers(1, 10**6), st.lists(st.text(max_size=400), min_size=1, max_size=4), max_size=30
    )
)
def test_parcels_hold_every_room_once_and_fit(rooms):
    new = {
        room: [Entry(n + 1, "message", "seeker", f"c{n}", 1.0, text) for n, text in enumerate(texts)]
        for room, texts in rooms.items()
    }
    made = list(parcels(new, limit=2000))
    assert sorted(int(name) for parcel in made for name in parcel) == sorted(new)
    for parcel in made:
        assert len(json.dumps(parcel, separators=(",", ":"), ensure_ascii=False).encode()) <= 2000 + 20
        for name, rows in parcel.items():
            assert rows is None or [Entry(*row) for row in json.loads(json.dumps(rows))] == new[int(name)]


@pytest.mark.parametrize(
    ("role", "reason", "seeker", "supporter"),
    [
        ("seeker", "finished", "03", "03"),
        ("seeker", "left", "01", "02"),
        ("supporter", "left", "02", "01"),
        ("seeker", "silent", "02", "01"),
        ("supporter", "silent", "01", "02"),
        ("supporter", "care", "03", "03"),
    ],
)
def test_end_states_of_figure_8(role, reason, seeker, supporter):
    assert statuses(role, reason) == {"seeker": seeker, "supporter": supporter}


def test_matching_is_first_come_first_served_and_never_twice_the_same_pair(database):
    with database.writing() as session:
        seekers = [people.join(session, PILOT, role="seeker", language="en")[0] for _ in range(2)]
        helpers = [people.join(session, PILOT, role="supporter", language="en")[0] for _ in range(2)]
        for now, person in enumerate((*seekers, *helpers)):
            wait(session, person, now=100.0 + now)
        rooms = match(session, PILOT, now=104.0)
        assert [(room.seeker_id, room.supporter_id) for room in rooms] == [
            (seekers[0].id, helpers[0].id),
            (seekers[1].id, helpers[1].id),
        ]
        for person in (seekers[0], helpers[0]):
            wait(session, person, now=200.0)
        assert match(session, PILOT, now=201.0) == []
        wait(session, helpers[1], now=150.0)  # has closed the page since
        assert match(session, PILOT, now=202.0) == []
        wait(session, helpers[1], now=203.0)
        assert [room.supporter_id for room in match(session, PILOT, now=203.5)] == [helpers[1].id]
