"""Participants as rows: joining, the leader's resets and grants, and withdrawal with deletion.

A person has a pseudonym and, if a crowd platform sent them, its id; both leave with them. Withdrawal deletes
what they wrote and answered, also the other half of their conversations, and keeps an empty row, so that
counts stay true and the partner's end state (and pay) is not touched.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from hearten.collect.matching import rooms_of, stop_waiting
from hearten.collect.rooms import SEEKER, SUPPORTER
from hearten.collect.study import Study
from hearten.collect.tables import Event, Person, Room, Vote
from hearten.collect.training import tutorial
from hearten.core.errors import UsageError, nearest
from hearten.core.registry import lookup
from hearten.web import identity

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
ROLES = (SEEKER, SUPPORTER, "judge")


def subject(person: Person) -> str:
    """The login subject of a participant."""
    return f"person:{person.id}"


def join(
    session: Session, study: Study, *, role: str | None, language: str, external: str | None = None
) -> tuple[Person, str]:
    """A new participant who has just consented; returns them and the secret of their personal link."""
    secret = identity.new_token()
    person = Person(
        study=study.name,
        pseudonym="P-" + "".join(secrets.choice(LETTERS) for _ in range(6)),
        role=role,
        role_fixed=role is not None,
        language=language,
        external=external or None,
        return_hash=identity.token_hash(secret),
        created=time.time(),
        consented=time.time(),
        consent_version=study.ethics.consent_version,
    )
    session.add(person)
    session.flush()
    return person, secret


def by_secret(session: Session, study: Study, secret: str) -> Person | None:
    """Whose personal link this is."""
    query = select(Person).where(
        Person.study == study.name, Person.return_hash == identity.token_hash(secret)
    )
    return session.scalar(query)


def by_pseudonym(session: Session, study: Study, name: str) -> Person:
    """The participant called so.

    Raises:
        UsageError: nobody is; with near names.
    """
    person = session.scalar(select(Person).where(Person.study == study.name, Person.pseudonym == name))
    if person is None:
        known = session.scalars(select(Person.pseudonym).where(Person.study == study.name).limit(2000)).all()
        raise UsageError(f"nobody is called '{name}'", fix=nearest(name, known[:12]))
    return person


def reset(person: Person) -> None:
    """Let a supporter begin the training and the exam again from the start."""
    person.tasks_done, person.attempts, person.granted, person.passed, person.ready = 0, 0, 0, None, False


def grant(person: Person) -> None:
    """Give a supporter one more attempt at the exam."""
    person.granted += 1


def admit(person: Person, tasks: int) -> None:
    """Let a supporter in without (or despite) the exam."""
    person.tasks_done, person.passed = tasks, time.time()


def act(session: Session, study: Study, person: Person, action: str) -> None:
    """What a leader does for (or on behalf of) a participant, by name.

    Raises:
        UsageError: unknown action.
    """
    tasks = len(tutorial(study.training.content).tasks)
    actions: dict[str, Callable[[], None]] = {
        "reset": lambda: reset(person),
        "grant": lambda: grant(person),
        "admit": lambda: admit(person, tasks),
        "withdraw": lambda: withdraw(session, person),
    }
    lookup(actions, action, "action")()


def withdraw(session: Session, person: Person) -> None:
    """Delete what a person wrote and answered, and everything that says who they are."""
    now = time.time()
    stop_waiting(session, person)
    for room in rooms_of(session, person):
        session.execute(delete(Event).where(Event.room_id == room.id))
        room.reason, room.ended = "withdrawn", room.ended or now
        room.before, room.seeker_after, room.supporter_after = {}, None, None
        room.seeker_status = room.seeker_status or "02"
        room.supporter_status = room.supporter_status or "02"
    session.execute(delete(Vote).where(Vote.rater == person.pseudonym))
    nothing: dict[str, Any] = {"external": None, "email": None, "survey": None, "withdrawn": now}
    session.execute(update(Person).where(Person.id == person.id).values(**nothing))
    identity.close_logins(session, subject(person))


def status(person: Person, rooms: list[Room]) -> str | None:
    """The end state a participant is paid by: of the best conversation, or 00 for a failed exam."""
    states = [room.supporter_status if person.role == SUPPORTER else room.seeker_status for room in rooms]
    known = [state for state in states if state is not None]
    if known:
        return max(known)
    failed = person.role == SUPPORTER and person.attempts > 0 and person.passed is None
    return "00" if failed else None


def listing(session: Session, study: Study) -> list[dict[str, Any]]:
    """One row for each participant, for a table."""
    people = session.scalars(select(Person).where(Person.study == study.name).order_by(Person.id)).all()
    return [
        {
            "name": person.pseudonym,
            "role": person.role,
            "tutorial": person.tasks_done,
            "attempts": person.attempts,
            "passed": person.passed is not None,
            "chats": len(rooms := rooms_of(session, person)),
            "state": "withdrawn" if person.withdrawn else status(person, rooms),
        }
        for person in people
    ]
