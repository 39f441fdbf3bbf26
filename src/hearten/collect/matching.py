"""Who talks with whom: those who have waited longest first, nobody twice with the same partner.

Both sides wait in one table and show that they are still there every few seconds; whoever falls silent is not
matched. Matching runs inside the transaction of whoever looks, with the rows locked, so several processes may
do it at once. Where a study's supporter is a model, a waiting seeker gets a room at once.
"""

import time
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from hearten.collect.rooms import SEEKER, SUPPORTER
from hearten.collect.study import Study
from hearten.collect.tables import Person, Room, Waiting

GONE_SECONDS = 20.0
"""A waiting page that has not asked for so long is closed."""


def wait(session: Session, person: Person, now: float | None = None) -> Waiting:
    """Put a person in the queue, or note that they are still there."""
    now = time.time() if now is None else now
    row = session.get(Waiting, person.id)
    if row is None:
        row = Waiting(person_id=person.id, study=person.study, role=str(person.role), since=now, seen=now)
        session.add(row)
    row.seen = now
    session.flush()
    return row


def stop_waiting(session: Session, person: Person) -> None:
    """Take a person out of the queue."""
    session.execute(delete(Waiting).where(Waiting.person_id == person.id))


def match(session: Session, study: Study, now: float | None = None) -> list[Room]:
    """Open a room for everyone who can be paired now."""
    now = time.time() if now is None else now
    present = select(Waiting).where(Waiting.study == study.name, Waiting.seen > now - GONE_SECONDS)
    rows = session.scalars(
        present.order_by(Waiting.since, Waiting.person_id).with_for_update(skip_locked=True)
    ).all()
    seekers = [row.person_id for row in rows if row.role == SEEKER]
    supporters = [row.person_id for row in rows if row.role == SUPPORTER]
    opened: list[Room] = []
    for seeker in seekers:
        if study.supporter == "model":
            opened.append(open_room(session, study, seeker, model=study.model, now=now))
            continue
        partner = _first_stranger(session, seeker, supporters)
        if partner is not None:
            supporters.remove(partner)
            opened.append(open_room(session, study, seeker, supporter=partner, now=now))
    return opened


def _first_stranger(session: Session, seeker: int, supporters: Sequence[int]) -> int | None:
    query = select(Room.supporter_id).where(Room.seeker_id == seeker)
    met = set(session.scalars(query))
    return next((supporter for supporter in supporters if supporter not in met), None)


def open_room(
    session: Session,
    study: Study,
    seeker: int,
    *,
    supporter: int | None = None,
    model: str | None = None,
    now: float,
) -> Room:
    """A new room; both leave the queue, and the seeker's answers move into it."""
    person = session.get_one(Person, seeker)
    room = Room(
        study=study.name,
        seeker_id=seeker,
        supporter_id=supporter,
        model=model,
        opened=now,
        before=person.survey or {},
    )
    session.add(room)
    session.execute(delete(Waiting).where(Waiting.person_id.in_([seeker, supporter])))
    if person.role == SEEKER:
        person.survey = None
    session.flush()
    return room


def room_for(session: Session, person: Person) -> Room | None:
    """A person's newest room."""
    mine = (Room.seeker_id == person.id) | (Room.supporter_id == person.id)
    return session.scalar(select(Room).where(mine).order_by(Room.id.desc()).limit(1))


def rooms_of(session: Session, person: Person) -> list[Room]:
    """Every room of a person, oldest first."""
    mine = (Room.seeker_id == person.id) | (Room.supporter_id == person.id)
    return list(session.scalars(select(Room).where(mine).order_by(Room.id)))


def problem_open(session: Session, study: Study, problem: str) -> bool:
    """Whether the quota for a problem has room left; conversations under way count."""
    quota = study.quotas.per_problem.get(problem, 0)
    if not quota:
        return True
    query = select(Room).where(Room.study == study.name, Room.reason.is_(None) | (Room.reason == "finished"))
    have = [room for room in session.scalars(query) if room.before.get("problem") == problem]
    return len(have) < quota


def study_full(session: Session, study: Study) -> bool:
    """Whether the study has all the finished conversations it wants."""
    if not study.quotas.conversations:
        return False
    finished = (
        select(func.count()).select_from(Room).where(Room.study == study.name, Room.reason == "finished")
    )
    return (session.scalar(finished) or 0) >= study.quotas.conversations
