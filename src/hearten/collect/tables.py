"""What the platform stores: people, who waits, rooms and their events, votes.

A room is a list of numbered events; everything that happens in a chat (a message, stars, the end) is one row
of `event`, and the room's state is what those rows add up to (`rooms.py`). Facts about a person are stored,
never the page they are on: `journey.py` works that out.
"""

from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hearten.web.database import Base


class Person(Base):
    """A participant under a made-up name."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(index=True)
    pseudonym: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str | None]
    """`seeker`, `supporter` or `judge`; None until chosen."""
    role_fixed: Mapped[bool] = mapped_column(default=False)
    """The invitation chose the role."""
    language: Mapped[str]
    external: Mapped[str | None]
    """The crowd platform's id, if one sent this person."""
    return_hash: Mapped[str] = mapped_column(unique=True)
    created: Mapped[float]
    consented: Mapped[float | None]
    consent_version: Mapped[str | None]
    tasks_done: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    granted: Mapped[int] = mapped_column(default=0)
    passed: Mapped[float | None]
    survey: Mapped[dict[str, Any] | None]
    """A seeker's answers for the conversation to come."""
    ready: Mapped[bool] = mapped_column(default=False)
    """Has read what is expected and may wait for a partner."""
    rounds: Mapped[int] = mapped_column(default=1)
    """Conversations this person has asked for."""
    email: Mapped[str | None]
    withdrawn: Mapped[float | None]


class Waiting(Base):
    """Someone who waits for a partner; `seen` is the last sign of life."""

    __tablename__ = "waiting"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    study: Mapped[str] = mapped_column(index=True)
    role: Mapped[str]
    since: Mapped[float]
    seen: Mapped[float]


class Room(Base):
    """One conversation."""

    __tablename__ = "room"
    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(index=True)
    seeker_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    supporter_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    model: Mapped[str | None]
    """The supporter's name where it is not a person."""
    opened: Mapped[float]
    ended: Mapped[float | None]
    reason: Mapped[str | None]
    """`finished`, `left`, `silent`, `care` or `withdrawn`."""
    last_seq: Mapped[int] = mapped_column(default=0)
    seeker_status: Mapped[str | None]
    supporter_status: Mapped[str | None]
    before: Mapped[dict[str, Any]]
    seeker_after: Mapped[dict[str, Any] | None]
    supporter_after: Mapped[dict[str, Any] | None]
    decision: Mapped[str | None]
    """The leader's word over the automatic one: `accepted` or `rejected`."""


class Event(Base):
    """One thing that happened in a room, durable once anyone has seen it."""

    __tablename__ = "event"
    __table_args__ = (UniqueConstraint("room_id", "role", "client_id"),)
    room_id: Mapped[int] = mapped_column(ForeignKey("room.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    """From 1, without gaps, in each room."""
    kind: Mapped[str]
    """`message`, `stars` or `end`."""
    role: Mapped[str]
    client_id: Mapped[str]
    """Chosen by the sender: the same id twice is the same event."""
    at: Mapped[float]
    text: Mapped[str | None]
    strategy: Mapped[str | None]
    stars: Mapped[int | None]
    data: Mapped[dict[str, Any] | None]
    """`flags` of a message; `reason` of an end; `suggested` where a model proposed the text."""


class Vote(Base):
    """An answer to a question about an item: core's `Rating`, one per rater, item and question."""

    __tablename__ = "vote"
    __table_args__ = (UniqueConstraint("study", "item", "rater", "question"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(index=True)
    item: Mapped[str]
    rater: Mapped[str]
    question: Mapped[str]
    value: Mapped[str]
    at: Mapped[float]
