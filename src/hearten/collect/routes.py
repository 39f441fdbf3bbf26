"""The participants' pages: one address, `/study/NAME`, shows where a person is; forms move them on.

Routes are thin: they read who asks (`participant`), let the noun modules decide, and show a page. A person's
room is found through the person, never through an address, so that nobody can ask for another's.
`/judge/NAME` is the same way for those who compare hidden supporters.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request, WebSocket
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from hearten.collect import admin, matching, people, surveys, training
from hearten.collect.humaneval import chat_comparisons, chat_rule, order, pair_comparisons, value
from hearten.collect.journal import read_entries
from hearten.collect.journey import Step, step, steps_shown
from hearten.collect.live import Hub, LiveRoom
from hearten.collect.partner import Partners, open_by_name
from hearten.collect.rooms import SEEKER, SUPPORTER, Draft, RoomState
from hearten.collect.state import Collect, attention_to, collect, study_named
from hearten.collect.study import Study, load_study
from hearten.collect.tables import Person, Room, Vote
from hearten.collect.watch import Watch
from hearten.web import identity
from hearten.web.background import background
from hearten.web.guard import Form, fields, limit_tries, same_origin
from hearten.web.pages import page, preferred, set_cookie
from hearten.web.state import web

Name = Annotated[str, Path(max_length=40)]
Token = Annotated[str, Path(max_length=100)]


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Open the studies, start the journal and the reader of other processes' news; stop them at the end."""
    state = app.state.web
    studies = [load_study(FilePath(path)) for path in state.settings.studies]
    hub = Hub(state.database, state.broker, state.settings.messages_per_second)
    hub.attention = lambda study: attention_to(study.training.content)
    opener = getattr(app.state, "open_supporter", open_by_name)
    partners = Partners(hub, opener)
    for name in {name for study in studies for name in study.models}:
        await asyncio.to_thread(
            partners.supporter, name
        )  # a missing model is told now, not in mid-conversation
    app.state.collect = Collect({study.name: study for study in studies}, hub, partners)
    async with background(hub.journal.run(), hub.catch_up(), Watch(hub).run()):
        yield


router = APIRouter(lifespan=running)
router.include_router(admin.router)


@dataclass(frozen=True, slots=True)
class Here:
    """A participant, their rooms and the page they are on."""

    study: Study
    person: Person
    rooms: list[Room]
    step: Step


def cookie_of(study: Study) -> str:
    """The cookie of a study: taking part in two does not mix them up."""
    return f"hearten_{study.name}"


def person_of(connection: HTTPConnection, study: Study, session: Session) -> Person | None:
    """The participant this browser is, or None."""
    subject = identity.subject_of(session, connection.cookies.get(cookie_of(study)))
    if subject is None or not subject.startswith("person:"):
        return None
    person = session.get(Person, int(subject.removeprefix("person:")))
    return person if person is not None and person.study == study.name else None


def here(session: Session, study: Study, person: Person) -> Here:
    """Where a person is."""
    rooms = matching.rooms_of(session, person)
    judged = person.role == "judge" and not _open_comparisons(session, study, person)
    return Here(study, person, rooms, step(study, person, rooms, judged))


def participant(request: Request, session: Session, study: Study, wanted: Step | None = None) -> Here:
    """The participant who asks, at the step the form belongs to.

    Raises:
        HTTPException: 403 nobody we know; 303 to where they really are.
    """
    person = person_of(request, study, session)
    if person is None:
        raise HTTPException(403, "join the study first")
    found = here(session, study, person)
    if wanted is not None and found.step is not wanted:
        raise HTTPException(303, "elsewhere", headers={"location": home(study, person)})
    return found


def home(study: Study, person: Person | None = None) -> str:
    """The address that shows where a participant is."""
    return f"/{'judge' if person is not None and person.role == 'judge' else 'study'}/{study.name}"


def onward(found: Here) -> Response:
    """Back to the page that shows where the participant now is."""
    return RedirectResponse(home(found.study, found.person), 303)


def show(request: Request, found: Here, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page of the study for someone who is in it."""
    shown = {
        "study": found.study,
        "person": found.person,
        "step": found.step,
        "home": home(found.study, found.person),
    }
    steps = steps_shown(found.study, found.person)
    language = found.person.language
    return page(
        request, f"collect/{template}.html", status=status, language=language, steps=steps, **shown, **context
    )


def show_outside(
    request: Request, study: Study, template: str, *, status: int = 200, **context: Any
) -> Response:
    """A page of the study for someone who is not, or no longer, in it."""
    outside = {"study": study, "person": None, "steps": (), "step": "", "home": home(study)}
    language = preferred(request, study.languages)
    return page(request, f"collect/{template}.html", status=status, language=language, **outside, **context)


# joining


@router.get("/study/{name}")
def study_page(request: Request, name: Name) -> Response:
    """Where the participant is; a stranger sees the consent page of an open study."""
    return _entrance(request, study_named(request, name), "")


@router.get("/judge/{name}")
def judge_page(request: Request, name: Name) -> Response:
    """The same for those who judge."""
    study = study_named(request, name)
    if study.judge is None:
        raise HTTPException(404, "nothing to judge here")
    return _entrance(request, study, "judge")


def _entrance(request: Request, study: Study, role: str) -> Response:
    with web(request).database.writing() as session:
        person = person_of(request, study, session)
        if person is not None:
            return _show_step(request, session, here(session, study, person))
    external = request.query_params.get(study.completion.external_parameter, "")[:100]
    if not study.open:
        return show_outside(request, study, "closed", status=403)
    return show_outside(request, study, "consent", token="", role=role, external=external, problem="")


@router.get("/study/{name}/join/{token}", dependencies=[Depends(limit_tries)])
def join_page(request: Request, name: Name, token: Token) -> Response:
    """The consent page of someone with an invitation."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        _invitation(session, study, token)
    external = request.query_params.get(study.completion.external_parameter, "")[:100]
    return show_outside(request, study, "consent", token=token, role="", external=external, problem="")


def _invitation(session: Session, study: Study, token: str) -> identity.Invitation:
    found = identity.invitation(session, token)
    if found is None or found.study != study.name or found.role not in (*people.ROLES, "any"):
        raise HTTPException(404, "this link is not valid any more: ask for a new one")
    return found


@router.post(
    "/study/{name}/consent",
    dependencies=[Depends(limit_tries)],
    openapi_extra=fields("adult", "agree", "token", "role", "external"),
)
def consent(request: Request, name: Name, form: Form) -> Response:
    """Consent makes a participant; a changed consent text is accepted by those who are in already."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        person = person_of(request, study, session)
        if form.get("adult") != "yes" or form.get("agree") != "yes":
            refused = "refused" if form.get("agree") == "no" else "both"
            return _refused(request, study, form, refused)
        if person is not None:
            person.consented, person.consent_version = time.time(), study.ethics.consent_version
            session.flush()
            return onward(here(session, study, person))
        return _join(request, session, study, form)


def _refused(request: Request, study: Study, form: Form, why: str) -> Response:
    if why == "refused":
        return show_outside(request, study, "refused")
    kept = {key: form.get(key, "")[:100] for key in ("token", "role", "external")}
    return show_outside(request, study, "consent", status=422, problem="consent.both", **kept)


def _join(request: Request, session: Session, study: Study, form: Form) -> Response:
    role: str | None = "judge" if form.get("role") == "judge" and study.judge is not None else None
    if form.get("token"):
        invited = _invitation(session, study, form["token"])
        invited.uses -= 1
        role = invited.role if invited.role != "any" else role
    elif not study.open:
        raise HTTPException(403, "this study is by invitation")
    language = preferred(request, study.languages)
    external = form.get("external", "")[:100]
    person, secret = people.join(session, study, role=role, language=language, external=external)
    login = identity.open_login(session, people.subject(person))
    link = str(request.url_for("return_link", name=study.name, token=secret))
    response = show(request, here(session, study, person), "kept", link=link)
    set_cookie(request, response, cookie_of(study), login)
    return response


@router.get("/study/{name}/return/{token}", dependencies=[Depends(limit_tries)], name="return_link")
def return_link(request: Request, name: Name, token: Token) -> Response:
    """A participant's personal link, from any browser."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        person = people.by_secret(session, study, token)
        if person is None:
            raise HTTPException(404, "this link is not valid")
        response = RedirectResponse(home(study, person), 303)
        set_cookie(request, response, cookie_of(study), identity.open_login(session, people.subject(person)))
    return response


# showing a step


def _show_step(request: Request, session: Session, found: Here) -> Response:
    """The page of a step; waiting and a judge's next room are begun by looking at them."""
    study, person = found.study, found.person
    match found.step:
        case Step.CONSENT:
            return show(request, found, "consent", token="", role="", external="", problem="")
        case Step.TUTORIAL:
            return _show_task(request, found)
        case Step.EXAM:
            return show(request, found, "exam", exam=_exam(study, person), result=None, left=_left(found))
        case Step.SURVEY:
            return show(
                request, found, "survey", **_survey(study, "before", surveys.seeker_before(study.seeker))
            )
        case Step.WAITING:
            return _show_waiting(request, session, found)
        case Step.CHAT:
            return _show_chat(request, session, found)
        case Step.AFTER:
            before = found.rooms[-1].before if person.role == SEEKER else {}
            return show(
                request,
                found,
                "survey",
                **_survey(study, "after", surveys.after(str(person.role)), before=before),
            )
        case Step.JUDGING:
            return _show_judging(request, session, found)
        case Step.DONE:
            return _show_done(request, session, found)
        case _:
            return show(request, found, found.step.value)


def _survey(
    study: Study,
    which: str,
    items: tuple[surveys.Item, ...],
    *,
    before: Any = None,
    answers: Any = None,
    problems: Any = None,
) -> dict[str, Any]:
    return {
        "which": which,
        "items": items,
        "before": before or {},
        "answers": answers or {},
        "problems": problems or {},
    }


def _show_waiting(request: Request, session: Session, found: Here) -> Response:
    if matching.study_full(session, found.study):
        return show(request, found, "full")
    row = matching.wait(session, found.person)
    return show(request, found, "waiting", waited=time.time() - row.since)


def _show_chat(request: Request, session: Session, found: Here) -> Response:
    study, person, rooms = found.study, found.person, found.rooms
    if person.role == "judge" and study.judge is not None and (not rooms or rooms[-1].ended is not None):
        model = order(study.judge, person.pseudonym)[len(rooms)]
        rooms.append(matching.open_room(session, study, person.id, model=model, now=time.time()))
    role = SUPPORTER if rooms[-1].supporter_id == person.id else SEEKER
    school = training.tutorial(study.training.content)
    examples = {
        task.strategy: [text for who, text in task.example if who == SUPPORTER]
        for task in school.tasks
        if task.strategy
    }
    context: dict[str, Any] = {
        "room": rooms[-1],
        "role": role,
        "strategies": study.labels,
        "examples": examples,
        "number": len(rooms) if person.role == "judge" else 0,
        "rule": _rule(study, rooms[-1], person),
    }
    return show(request, found, "chat", **context)


def _rule(study: Study, room: Room, person: Person) -> Any:
    return chat_rule(study) if person.role == "judge" and room.model else study.chat


def _show_done(request: Request, session: Session, found: Here) -> Response:
    rooms, person = found.rooms, found.person
    state = people.status(person, rooms)
    more = person.role != "judge" and len(rooms) < found.study.quotas.per_person
    more = (
        more
        and not matching.study_full(session, found.study)
        and rooms[-1].reason not in ("care", "withdrawn")
    )
    pay = found.study.pay
    reward = pay.reward(str(person.role), state) if state and pay.currency else None
    return show(request, found, "done", status_code=state, more=more, reward=reward)


# role, training, exam


@router.post("/study/{name}/role", openapi_extra=fields("role"))
def choose_role(request: Request, name: Name, form: Form) -> Response:
    """Seeker or supporter."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.ROLE)
        if form.get("role") in (SEEKER, SUPPORTER):
            found.person.role = form["role"]
        return onward(found)


def _show_task(
    request: Request, found: Here, chosen: str = "", task: training.Task | None = None
) -> Response:
    school = training.tutorial(found.study.training.content)
    task = task or school.tasks[found.person.tasks_done]
    context: dict[str, Any] = {
        "task": task,
        "number": school.tasks.index(task) + 1,
        "total": len(school.tasks),
        "chosen": chosen,
        "right": chosen == str(task.quiz.right),
        "definition": school.definition_of(task),
        "strategy": school.strategy_of(task),
        "labels": found.study.labels,
    }
    return show(request, found, "tutorial", **context)


@router.post("/study/{name}/tutorial", openapi_extra=fields("task", "answer"))
def answer_quiz(request: Request, name: Name, form: Form) -> Response:
    """One quiz of the tutorial: the answer is answered, and a right one opens the next task."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.TUTORIAL)
        school = training.tutorial(study.training.content)
        task = school.tasks[found.person.tasks_done]
        if form.get("task") != task.key or not form.get("answer"):
            return onward(found)
        if form["answer"] == str(task.quiz.right):
            found.person.tasks_done += 1
        return _show_task(request, found, form["answer"], task)


def _exam(study: Study, person: Person) -> tuple[training.Task, ...]:
    school = training.tutorial(study.training.content)
    return training.draw_exam(school, study.training, f"{person.pseudonym}/{person.attempts}")


def _left(found: Here) -> int:
    return training.attempts_left(found.study.training, found.person.attempts, found.person.granted)


@router.post(
    "/study/{name}/exam",
    openapi_extra=fields(*(task.key for task in training.tutorial("esconv").tasks)),
)
def take_exam(request: Request, name: Name, form: Form) -> Response:
    """Mark the exam; a failed one costs an attempt and names what to read again."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.EXAM)
        exam = _exam(study, found.person)
        result = training.mark(exam, form, study.training)
        found.person.attempts += 1
        if result.passed:
            found.person.passed = time.time()
            return onward(found)
        again = [task for task in exam if task.key in result.wrong]
        return show(request, found, "exam", exam=None, result=result, again=again, left=_left(found))


@router.post("/study/{name}/ready", openapi_extra=fields())
def ready(request: Request, name: Name, form: Form) -> Response:
    """The instructions have been read."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.INSTRUCTIONS)
        found.person.ready = True
        return onward(found)


# surveys and waiting


@router.post(
    "/study/{name}/survey",
    openapi_extra=fields("problem", "emotion", "initial_intensity", "situation", "experience"),
)
def before_chat(request: Request, name: Name, form: Form) -> Response:
    """The seeker's answers before the chat."""
    study = study_named(request, name)
    items = surveys.seeker_before(study.seeker)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.SURVEY)
        answers, problems = surveys.read_answers(items, form)
        if not problems and not matching.problem_open(session, study, answers["problem"]):
            problems = {"problem": "quota"}
        if problems:
            context = _survey(study, "before", items, answers=form, problems=problems)
            return show(request, found, "survey", status=422, **context)
        found.person.survey = answers
        return onward(found)


@router.post(
    "/study/{name}/after",
    openapi_extra=fields("natural", "final_intensity", "empathy", "relevance", "detail", "email"),
)
def after_chat(request: Request, name: Name, form: Form) -> Response:
    """Either side's answers after the chat."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.AFTER)
        items = surveys.after(str(found.person.role))
        answers, problems = surveys.read_answers(items, form)
        if problems:
            before = found.rooms[-1].before if found.person.role == SEEKER else {}
            context = _survey(study, "after", items, before=before, answers=form, problems=problems)
            return show(request, found, "survey", status=422, **context)
        found.person.email = answers.pop("email", None)
        setattr(found.rooms[-1], f"{found.person.role}_after", answers)
        return onward(found)


@router.get("/study/{name}/status")
def status(request: Request, name: Name) -> Response:
    """What a waiting page asks every two seconds; asking keeps the place in the queue, and may find a
    partner.
    """
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study)
        waited = 0.0
        if found.step is Step.WAITING:
            waited = time.time() - matching.wait(session, found.person).since
            if not matching.study_full(session, study):
                matching.match(session, study)
            found = here(session, study, found.person)
        return JSONResponse({"step": found.step, "waited": waited})


@router.post("/study/{name}/again", openapi_extra=fields())
def again(request: Request, name: Name, form: Form) -> Response:
    """One more conversation, where the study allows it."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.DONE)
        if found.person.role != "judge" and len(found.rooms) < study.quotas.per_person:
            found.person.rounds = len(found.rooms) + 1
        return onward(found)


# care and withdrawal


@router.get("/study/{name}/care")
def care_page(request: Request, name: Name) -> Response:
    """Where there is help; open to everyone."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        person = person_of(request, study, session)
        if person is None:
            return show_outside(request, study, "care", stopped=False)
        return show(request, here(session, study, person), "care", stopped=False)


@router.post("/study/{name}/care", openapi_extra=fields())
async def stop_for_care(request: Request, name: Name, form: Form) -> Response:
    """Stop because one does not feel well: the chat ends for both, and nobody is paid less for it."""
    study = study_named(request, name)
    found = await asyncio.to_thread(_whose, request, study)
    await _end_open_room(request, found, "care")
    return await asyncio.to_thread(_cared, request, study)


def _whose(request: Request, study: Study) -> Here:
    with web(request).database.reading() as session:
        return participant(request, session, study)


def _cared(request: Request, study: Study) -> Response:
    with web(request).database.writing() as session:
        found = participant(request, session, study)
        matching.stop_waiting(session, found.person)
        return show(request, found, "care", stopped=True)


async def _end_open_room(request: Request, found: Here, reason: str) -> None:
    for room in found.rooms:
        if room.ended is None:
            role = SUPPORTER if room.supporter_id == found.person.id else SEEKER
            draft = Draft(room.id, "end", role, f"{reason}-{time.time_ns()}", data={"reason": reason})
            await collect(request).hub.journal.add(draft)


@router.get("/study/{name}/withdraw")
def withdraw_page(request: Request, name: Name) -> Response:
    """What withdrawal means, and the button."""
    study = study_named(request, name)
    with web(request).database.reading() as session:
        return show(request, participant(request, session, study), "withdraw")


@router.post("/study/{name}/withdraw", openapi_extra=fields("sure"))
async def withdraw(request: Request, name: Name, form: Form) -> Response:
    """Delete what the participant wrote and answered."""
    study = study_named(request, name)
    found = await asyncio.to_thread(_whose, request, study)
    if form.get("sure") != "yes":
        return onward(found)
    await _end_open_room(request, found, "left")
    await asyncio.to_thread(_withdraw, request, study)
    response = show_outside(request, study, "withdrawn")
    response.delete_cookie(cookie_of(study))
    return response


def _withdraw(request: Request, study: Study) -> None:
    with web(request).database.writing() as session:
        found = participant(request, session, study)
        people.withdraw(session, found.person)
        identity.record(session, found.person.pseudonym, "withdrew", study.name)


# the live chat


@router.websocket("/study/{name}/live")
async def live(socket: WebSocket, name: Name) -> None:
    """The chat of the participant who asks; closed with 4403 for anyone without a room."""
    study = collect(socket).studies.get(name)
    try:
        seat = await asyncio.to_thread(_seat, socket, study) if study and same_origin(socket) else None
    except SQLAlchemyError:
        seat, code = None, 1013  # the database is away: come back in a moment
    else:
        code = 4403
    if seat is None or study is None:
        await socket.accept()
        await socket.close(code)
        return
    room, role = seat

    def open_room() -> LiveRoom:
        with web(socket).database.reading() as session:
            return _live_room(session, study, room)

    await collect(socket).hub.serve(socket, role, open_room, room.id)


def _seat(socket: WebSocket, study: Study) -> tuple[Room, str] | None:
    with web(socket).database.reading() as session:
        person = person_of(socket, study, session)
        room = matching.room_for(session, person) if person is not None and person.withdrawn is None else None
        if person is None or room is None or room.reason == "withdrawn":
            return None
        return room, SUPPORTER if room.supporter_id == person.id else SEEKER


def _live_room(session: Session, study: Study, room: Room) -> LiveRoom:
    seeker = session.get_one(Person, room.seeker_id)
    state = RoomState(room.opened)
    found = LiveRoom(room.id, study, _rule(study, room, seeker), state, room.model, room.before)
    if seeker.role == "judge":
        found.before = dict(seeker.survey or {})
    found.take(read_entries(session, room.id))
    return found


# judging


def _open_comparisons(session: Session, study: Study, person: Person) -> list[tuple[Any, Any]]:
    """What a judge has still to answer, as (pair item or None, comparison)."""
    if study.judge is None:
        return []
    if study.judge.kind == "pairs":
        pairs: list[tuple[Any, Any]] = list(pair_comparisons(study.judge, person.pseudonym))
    else:
        pairs = [(None, row) for row in chat_comparisons(study.judge, person.pseudonym)]
    query = select(Vote.item).where(Vote.study == study.name, Vote.rater == person.pseudonym)
    done = set(session.scalars(query))
    return [pair for pair in pairs if pair[1].item not in done]


def _show_judging(request: Request, session: Session, found: Here, problem: str = "") -> Response:
    study, person = found.study, found.person
    judge = study.judge
    assert judge is not None, "the journey sends only judging studies here"
    left = _open_comparisons(session, study, person)
    item, asked = left[0]
    total = (
        len(pair_comparisons(judge, person.pseudonym))
        if item
        else len(chat_comparisons(judge, person.pseudonym))
    )
    met = [] if item else [order(judge, person.pseudonym).index(name) + 1 for name in asked.shown]
    context: dict[str, Any] = {
        "item": item,
        "asked": asked,
        "met": met,
        "judge": judge,
        "total": total,
        "problem": problem,
    }
    status = 422 if problem else 200
    return show(request, found, "judging", status=status, number=total - len(left) + 1, **context)


@router.post(
    "/study/{name}/judgement",
    openapi_extra=fields("item", "skip", "fluency", "identification", "comforting", "suggestion", "overall"),
)
def judge_answers(request: Request, name: Name, form: Form) -> Response:
    """A comparison's answers, or why it was skipped."""
    study = study_named(request, name)
    with web(request).database.writing() as session:
        found = participant(request, session, study, Step.JUDGING)
        assert study.judge is not None, "the journey sends only judging studies here"
        _, asked = _open_comparisons(session, study, found.person)[0]
        if form.get("item") != asked.item:
            return onward(found)
        answers = {
            question: value(asked.shown, form.get(question, "")) for question, _ in study.judge.questions
        }
        if form.get("skip", "").strip():
            answers = {"skipped": form["skip"].strip()[:500]}
        if None in answers.values():
            return _show_judging(request, session, found, "judging.all")
        for question, answer in answers.items():
            session.add(_vote(study, asked.item, found.person.pseudonym, question, str(answer)))
        session.flush()
        return onward(found)


def _vote(study: Study, item: str, rater: str, question: str, answer: str) -> Vote:
    return Vote(study=study.name, item=item, rater=rater, question=question, value=answer, at=time.time())
