"""The study leader's pages: counts, people, conversations with reasons, corrections, invitations, exports,
audit.

`leader` sees and does everything; `reviewer` votes (is this conversation qualified? is this strategy right?).
Every change is a line in the audit log.
"""

import io
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hearten.collect import correction, export, matching, people, training
from hearten.collect.export import DECISION, Collected
from hearten.collect.quality import shares, summary
from hearten.collect.rooms import CARE, SUPPORTER
from hearten.collect.state import collect, study_named
from hearten.collect.study import Study
from hearten.collect.tables import Event, Person, Room, Vote, Waiting
from hearten.core.errors import Failure, UsageError
from hearten.web import identity
from hearten.web.guard import Form, Leader, Staff, fields
from hearten.web.pages import page
from hearten.web.state import web

router = APIRouter(prefix="/admin")
Name = Annotated[str, Path(max_length=40)]
RoomId = Annotated[int, Path(ge=1, le=2**31 - 1)]
SHOWN = 500
"""Rows of the longest tables."""


def show(
    request: Request, study: Study, account: identity.Account, template: str, **context: Any
) -> Response:
    """One of the leader's pages."""
    return page(
        request, f"collect/admin/{template}.html", study=study, account=account, here=template, **context
    )


def back(study: Study, where: str) -> Response:
    """To a page of the study's administration."""
    return RedirectResponse(f"/admin/{study.name}{where}", 303)


@router.get("")
def studies_page(request: Request, account: Staff) -> Response:
    """The studies this server runs."""
    studies = list(collect(request).studies.values())
    if not studies:  # this server is there for reviewers
        return RedirectResponse("/review", 303)
    if len(studies) == 1:
        return back(studies[0], "" if account.role == "leader" else "/review")
    return page(request, "collect/admin/studies.html", studies=studies, account=account)


@router.get("/{name}")
def overview_page(request: Request, name: Name, account: Leader) -> Response:
    """Live counts and what needs a decision."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        return show(request, study, account, "overview", **_overview(session, study))


def _overview(session: Session, study: Study) -> dict[str, Any]:
    rows = export.collected(session, study)
    verdicts = [row.verdict for row in rows]
    return {
        "counts": _counts(session, study, rows),
        "funnel": _funnel(session, study),
        "shares": shares(verdicts),
        "gates": summary(verdicts),
        "strategies": _strategies(study, rows),
        "intensities": _intensities(rows),
        "quotas": _quotas(session, study),
        "disputes": len(_disputes(session, study, rows)),
        "rechecks": len(_rechecks(session, study, rows)),
    }


def _counts(session: Session, study: Study, rows: list[Collected]) -> dict[str, int]:
    def number(query: Any) -> int:
        return int(session.scalar(query) or 0)

    rooms = select(func.count()).select_from(Room).where(Room.study == study.name)
    present = Waiting.seen > time.time() - matching.GONE_SECONDS
    waiting = select(func.count()).select_from(Waiting).where(Waiting.study == study.name, present)
    people = select(func.count()).select_from(Person).where(Person.study == study.name)
    return {
        "waiting_seekers": number(waiting.where(Waiting.role == "seeker")),
        "waiting_supporters": number(waiting.where(Waiting.role == "supporter")),
        "talking": number(rooms.where(Room.ended.is_(None))),
        "finished": number(rooms.where(Room.reason == "finished")),
        "accepted": sum(row.accepted for row in rows),
        "stopped": number(rooms.where(Room.reason == "care")),
        "danger": number(rooms.where(Room.id.in_(select(Event.room_id).where(Event.kind == CARE)))),
        "withdrawn": number(people.where(Person.withdrawn.is_not(None))),
    }


def _funnel(session: Session, study: Study) -> list[tuple[str, int]]:
    """How far supporters got: joined, tutorial done, exam taken, passed."""
    query = select(Person).where(
        Person.study == study.name, Person.role == SUPPORTER, Person.withdrawn.is_(None)
    )
    found = session.scalars(query).all()
    tasks = len(training.tutorial(study.training.content).tasks)
    return [
        ("joined", len(found)),
        ("tutorial", sum(person.tasks_done >= tasks for person in found)),
        ("examined", sum(person.attempts > 0 for person in found)),
        ("passed", sum(person.passed is not None for person in found)),
    ]


def _strategies(study: Study, rows: list[Collected]) -> list[tuple[int, Any, int]]:
    """(position, strategy, utterances) of every strategy."""
    turns = (turn for row in rows for _, turn in row.conversation.supporter_turns())
    counts = Counter(str(turn.strategy) for turn in turns if turn.strategy)
    return [(number, strategy, counts[strategy.name]) for number, strategy in enumerate(study.labels)]


def _intensities(rows: list[Collected]) -> list[tuple[int, int, int]]:
    """(before, after, conversations) of every pair of intensities that occurs."""
    surveys = (row.conversation.survey for row in rows)
    pairs = Counter(
        (survey.initial_intensity, survey.final_intensity)
        for survey in surveys
        if survey.initial_intensity is not None and survey.final_intensity is not None
    )
    return [(before, after, number) for (before, after), number in sorted(pairs.items())]


def _quotas(session: Session, study: Study) -> list[tuple[str, int, int]]:
    """(what, have, want) for every quota that is set."""
    rooms = session.scalars(select(Room).where(Room.study == study.name, Room.reason == "finished")).all()
    problems = Counter(str(room.before.get("problem")) for room in rooms)
    whole = [("conversations", len(rooms), study.quotas.conversations)] if study.quotas.conversations else []
    return whole + [
        (name, problems[name], quota) for name, quota in study.quotas.per_problem.items() if quota
    ]


# people


@router.get("/{name}/people")
def people_page(request: Request, name: Name, account: Leader) -> Response:
    """Everyone, with what the leader may do for them."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        query = select(Person).where(Person.study == study.name).order_by(Person.id.desc()).limit(SHOWN)
        rows = [(person, _person_view(session, study, person)) for person in session.scalars(query)]
        tasks = len(training.tutorial(study.training.content).tasks)
        return show(request, study, account, "people", rows=rows, tasks=tasks)


def _person_view(session: Session, study: Study, person: Person) -> dict[str, Any]:
    rooms = matching.rooms_of(session, person)
    left = training.attempts_left(study.training, person.attempts, person.granted)
    return {
        "rooms": len(rooms),
        "status": people.status(person, rooms),
        "left": left,
        "external": person.external,
    }


@router.post("/{name}/people/{pseudonym}", openapi_extra=fields("action"))
def change_person(
    request: Request, name: Name, pseudonym: Annotated[str, Path(max_length=20)], account: Leader, form: Form
) -> Response:
    """Reset the training, grant an attempt, admit without exam, or withdraw on someone's behalf."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        try:
            person = people.by_pseudonym(session, study, pseudonym)
            people.act(session, study, person, form.get("action", ""))
        except UsageError as error:
            raise HTTPException(422, error.what) from None
        identity.record(session, account.name, form["action"], pseudonym)
    return back(study, "/people")


# conversations


@router.get("/{name}/conversations")
def conversations_page(request: Request, name: Name, account: Staff) -> Response:
    """Every ended conversation with its verdict."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        rows = export.collected(session, study)
        return show(request, study, account, "conversations", rows=rows[-SHOWN:][::-1])


@router.get("/{name}/conversations/{room_id}")
def conversation_page(request: Request, name: Name, room_id: RoomId, account: Staff) -> Response:
    """One conversation with everything that is known about it."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        row = _row(session, study, room_id)
        flags = _flags(session, room_id)
        item = row.conversation.id
        query = select(Vote).where(
            Vote.study == study.name, (Vote.item == item) | Vote.item.startswith(f"{item}#")
        )
        votes = session.scalars(query.order_by(Vote.id)).all()
        labels = list(study.labels.names)
        danger = _danger(session, room_id)
        more = {"votes": votes, "flags": flags, "names": labels, "danger": danger}
        return show(request, study, account, "conversation", row=row, **more)


def _row(session: Session, study: Study, room_id: int) -> Collected:
    """One ended conversation.

    Raises:
        HTTPException: 404.
    """
    found = next((row for row in export.collected(session, study) if row.room.id == room_id), None)
    if found is None:
        raise HTTPException(404, "no such conversation")
    return found


def _flags(session: Session, room_id: int) -> list[str]:
    """What attention noticed, message by message of the transcript."""
    query = select(Event).where(Event.room_id == room_id, Event.kind == "message").order_by(Event.seq)
    return [", ".join((event.data or {}).get("flags", [])) for event in session.scalars(query)]


def _danger(session: Session, room_id: int) -> list[str]:
    """What the screen saw in the seeker's messages: severity and kinds."""
    query = select(Event).where(Event.room_id == room_id, Event.kind == CARE).order_by(Event.seq)
    seen = [event.data or {} for event in session.scalars(query)]
    return [f"{one['severity']}: {', '.join(one['kinds'])}" for one in seen]


@router.post("/{name}/conversations/{room_id}", openapi_extra=fields("decision"))
def decide_conversation(
    request: Request, name: Name, room_id: RoomId, account: Leader, form: Form
) -> Response:
    """The leader's word over the automatic verdict; `automatic` takes it back."""
    study = study_named(request, name)
    decision = form.get("decision", "")
    if decision not in ("accepted", "rejected", "automatic"):
        raise HTTPException(422, "unknown decision")
    with web(request).database.writing() as session:
        row = _row(session, study, room_id)
        session.get_one(Room, room_id).decision = None if decision == "automatic" else decision
        identity.record(session, account.name, decision, row.conversation.id)
    return back(study, f"/conversations/{room_id}")


@router.post("/{name}/conversations/{room_id}/qualified", openapi_extra=fields("value"))
def judge_conversation(request: Request, name: Name, room_id: RoomId, account: Staff, form: Form) -> Response:
    """A human annotator's yes or no, for calibrating the thresholds."""
    study = study_named(request, name)
    if form.get("value") not in ("yes", "no"):
        raise HTTPException(422, "yes or no")
    with web(request).database.writing() as session:
        row = _row(session, study, room_id)
        cast_vote(session, study, row.conversation.id, account.name, "qualified", form["value"])
    return back(study, f"/conversations/{room_id}")


def cast_vote(session: Session, study: Study, item: str, rater: str, question: str, value: str) -> None:
    """Store an answer; a second one by the same person replaces the first."""
    query = select(Vote).where(
        Vote.study == study.name, Vote.item == item, Vote.rater == rater, Vote.question == question
    )
    vote = session.scalar(query)
    if vote is None:
        vote = Vote(study=study.name, item=item, rater=rater, question=question, value=value, at=0.0)
        session.add(vote)
    vote.value, vote.at = value, time.time()


# reviewing strategies, correcting


@router.get("/{name}/review")
def review_page(request: Request, name: Name, account: Staff) -> Response:
    """The next utterance this reviewer has not voted on, those with the fewest votes first."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        rows = [row for row in export.collected(session, study) if row.accepted]
        open_items = _review_queue(session, study, rows, account.name)
        task = open_items[0] if open_items else None
        return show(request, study, account, "review", task=task, left=len(open_items))


def _review_queue(
    session: Session, study: Study, rows: Iterable[Collected], rater: str
) -> list[tuple[str, Collected, int]]:
    """(item, conversation, turn) of every utterance `rater` has not voted on."""
    votes = [rating for rating in export.ratings(session, study) if rating.question == "strategy"]
    counts = Counter(rating.item for rating in votes)
    mine = {rating.item for rating in votes if rating.rater == rater}
    queue = [
        (correction.turn_item(row.conversation.id, index), row, index)
        for row in rows
        for index, _ in row.conversation.supporter_turns()
    ]
    return sorted((task for task in queue if task[0] not in mine), key=lambda task: counts[task[0]])


@router.post("/{name}/review", openapi_extra=fields("item", "strategy"))
def review(request: Request, name: Name, account: Staff, form: Form) -> Response:
    """One vote."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        _check_item(session, study, form.get("item", ""))
        strategy = _strategy(study, form.get("strategy", ""))
        cast_vote(session, study, form["item"], account.name, "strategy", strategy)
    return back(study, "/review")


def _strategy(study: Study, name: str) -> str:
    try:
        return study.labels.find(name).name
    except Failure as error:
        raise HTTPException(422, error.what) from None


def _check_item(session: Session, study: Study, item: str) -> None:
    """Refuse a vote about something that is not in this study."""
    known = {row.conversation.id: len(row.conversation.turns) for row in export.collected(session, study)}
    name, _, turn = item.partition("#")
    if name not in known or (turn and not (turn.isdecimal() and len(turn) < 6 and int(turn) < known[name])):
        raise HTTPException(422, "no such utterance")


def _disputes(session: Session, study: Study, rows: list[Collected]) -> list[correction.Dispute]:
    """Utterances over 75% of whose reviewers disagree, not yet decided."""
    decided = {rating.item for rating in export.decisions(session, study) if rating.question == "strategy"}
    found = correction.tally([row.conversation for row in rows], export.ratings(session, study))
    return [
        row
        for row in found
        if row.to_leader and correction.turn_item(row.conversation_id, row.turn) not in decided
    ]


def _rechecks(session: Session, study: Study, rows: list[Collected]) -> list[Collected]:
    """Conversations whose seeker may have read the intensity scale upside down, not yet decided."""
    done = {
        rating.item for rating in export.decisions(session, study) if rating.question == "final_intensity"
    }
    return [row for row in rows if row.verdict.recheck_intensity and row.conversation.id not in done]


@router.get("/{name}/corrections")
def corrections_page(request: Request, name: Name, account: Leader) -> Response:
    """What only the leader decides: disputed strategies, intensities that look upside down."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        rows = export.collected(session, study)
        disputes, rechecks = _disputes(session, study, rows), _rechecks(session, study, rows)
        return show(request, study, account, "corrections", disputes=disputes, rechecks=rechecks)


@router.post("/{name}/corrections", openapi_extra=fields("item", "strategy", "final_intensity"))
def correct(request: Request, name: Name, account: Leader, form: Form) -> Response:
    """One decision."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        _check_item(session, study, form.get("item", ""))
        if form.get("final_intensity"):
            question, value = "final_intensity", form["final_intensity"]
            if value not in {"1", "2", "3", "4", "5"}:
                raise HTTPException(422, "1 to 5")
        else:
            question, value = "strategy", _strategy(study, form.get("strategy", ""))
        cast_vote(session, study, form["item"], account.name, f"{DECISION}{question}", value)
        identity.record(session, account.name, f"corrected {question} to {value}", form["item"])
    return back(study, "/corrections")


# invitations, exports, audit


@router.get("/{name}/invitations")
def invitations_page(request: Request, name: Name, account: Leader) -> Response:
    """Links that are still open, and a form for new ones."""
    return _invitations(request, study_named(request, name), account, "")


def _invitations(request: Request, study: Study, account: identity.Account, link: str) -> Response:
    with web(request).database.reading() as session:
        query = select(identity.Invitation).where(
            identity.Invitation.study.in_([study.name, ""]), identity.Invitation.expires > time.time()
        )
        rows = session.scalars(query.where(identity.Invitation.uses > 0)).all()
        roles = (*people.ROLES, "any", *identity.ROLES)
        return show(request, study, account, "invitations", rows=rows, link=link, roles=roles)


@router.post("/{name}/invitations", openapi_extra=fields("role", "uses", "note"))
def new_invitation(request: Request, name: Name, account: Leader, form: Form) -> Response:
    """A new link, shown once."""
    study = study_named(request, name)
    role, uses = form.get("role", ""), form.get("uses", "1")
    known = role in (*people.ROLES, "any", *identity.ROLES)
    if not known or not uses.isdecimal() or not 1 <= int(uses[:6]) <= 10_000:
        raise HTTPException(422, "a role, and 1 to 10000 uses")
    with web(request).database.writing() as session:
        count = 1 if role in identity.ROLES else int(uses)
        token = identity.invite(session, study.name, role, uses=count, note=form.get("note", "")[:100])
        identity.record(session, account.name, f"invited {role}", form.get("note", "")[:100])
    path = f"/invite/{token}" if role in identity.ROLES else f"/study/{study.name}/join/{token}"
    return _invitations(request, study, account, str(request.base_url).rstrip("/") + path)


@router.get("/{name}/export")
def export_page(request: Request, name: Name, account: Leader) -> Response:
    """What an export holds, and the button."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        rows = export.collected(session, study)
        return show(
            request, study, account, "export", accepted=sum(row.accepted for row in rows), ended=len(rows)
        )


@router.post("/{name}/export", openapi_extra=fields("everything"))
def download(request: Request, name: Name, account: Leader, form: Form) -> Response:
    """A zip of conversations, verdicts, ratings and the data card."""
    study = study_named(request, name)
    everything = form.get("everything") == "yes"
    with web(request).database.writing() as session, tempfile.TemporaryDirectory() as folder:
        export.export(session, study, FilePath(folder), everything=everything)
        identity.record(session, account.name, "exported", "everything" if everything else "accepted")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(FilePath(folder).iterdir()):
                archive.write(path, f"{study.name}/{path.name}")
    headers = {"content-disposition": f'attachment; filename="{study.name}.zip"'}
    return Response(packed.getvalue(), media_type="application/zip", headers=headers)


@router.get("/{name}/audit")
def audit_page(request: Request, name: Name, account: Leader) -> Response:
    """What staff did, newest first."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        query = select(identity.AuditEntry).order_by(identity.AuditEntry.id.desc()).limit(SHOWN)
        return show(request, study, account, "audit", rows=session.scalars(query).all())
