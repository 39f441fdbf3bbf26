"""Where a participant is in the study, worked out from stored facts; nothing stores a page.

A seeker: consent, role, instructions, survey, waiting, chat, survey after, done. A supporter: consent, role,
tutorial, exam, instructions, waiting, chat, survey after, done. A judge: consent, instructions, then chats
with hidden supporters (with the seeker's survey first) or pairs of replies, then questions, done.
"""

from collections.abc import Sequence
from enum import StrEnum

from hearten.collect.study import Study
from hearten.collect.tables import Person, Room
from hearten.collect.training import attempts_left, tutorial


class Step(StrEnum):
    """A page of the study."""

    CONSENT = "consent"
    ROLE = "role"
    TUTORIAL = "tutorial"
    EXAM = "exam"
    FAILED = "failed"
    INSTRUCTIONS = "instructions"
    SURVEY = "survey"
    WAITING = "waiting"
    CHAT = "chat"
    AFTER = "after"
    JUDGING = "judging"
    DONE = "done"
    WITHDRAWN = "withdrawn"


def step(study: Study, person: Person, rooms: Sequence[Room], judged: bool = False) -> Step:
    """The page a person is on.

    Args:
        rooms: all of the person's rooms, oldest first.
        judged: whether a judge has answered everything.
    """
    if person.withdrawn is not None:
        return Step.WITHDRAWN
    if person.consented is None or person.consent_version != study.ethics.consent_version:
        return Step.CONSENT
    if person.role is None:
        return Step.ROLE
    if person.role == "judge":
        return _judge(study, person, rooms, judged)
    if person.role == "supporter":
        school = _school(study, person)
        if school is not None:
            return school
    if not person.ready:
        return Step.INSTRUCTIONS
    return _conversation(person, rooms)


def _school(study: Study, person: Person) -> Step | None:
    if person.passed is not None:
        return None
    if person.tasks_done < len(tutorial(study.training.content).tasks):
        return Step.TUTORIAL
    return Step.EXAM if attempts_left(study.training, person.attempts, person.granted) else Step.FAILED


def _conversation(person: Person, rooms: Sequence[Room]) -> Step:
    if len(rooms) < person.rounds:
        needs = person.role == "seeker" and person.survey is None
        return Step.SURVEY if needs else Step.WAITING
    room = rooms[-1]
    if room.ended is None:
        return Step.CHAT
    if room.reason in ("care", "withdrawn"):
        return Step.DONE
    answered = room.seeker_after if person.role == "seeker" else room.supporter_after
    return Step.DONE if answered is not None else Step.AFTER


def _judge(study: Study, person: Person, rooms: Sequence[Room], judged: bool) -> Step:
    if study.judge is None or judged:
        return Step.DONE
    if not person.ready:
        return Step.INSTRUCTIONS
    if study.judge.kind == "pairs":
        return Step.JUDGING
    if person.survey is None:
        return Step.SURVEY
    if rooms and rooms[-1].reason == "care":
        return Step.DONE
    if len(rooms) < len(study.judge.supporters) or rooms[-1].ended is None:
        return Step.CHAT
    return Step.JUDGING


def steps_shown(study: Study, person: Person) -> tuple[Step, ...]:
    """The steps of this person's way, for the line at the top of every page."""
    if person.role == "judge":
        chats = study.judge is not None and study.judge.kind == "chat"
        middle = (Step.SURVEY, Step.CHAT) if chats else ()
        return (Step.CONSENT, Step.INSTRUCTIONS, *middle, Step.JUDGING, Step.DONE)
    first = (Step.CONSENT, Step.ROLE) if not person.role_fixed else (Step.CONSENT,)
    school = (Step.TUTORIAL, Step.EXAM) if person.role == "supporter" else ()
    survey = (Step.SURVEY,) if person.role != "supporter" else ()
    return (*first, *school, Step.INSTRUCTIONS, *survey, Step.WAITING, Step.CHAT, Step.AFTER, Step.DONE)
