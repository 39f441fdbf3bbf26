"""People read what was grown: `/review` decides about conversations, `/rate` says how good they are.

Routes are thin: `reviewing.Desk` and `quality.Panel` know what is next, what may be decided and what it
comes to; a page shows it. Reviewers and leaders are the staff of `hearten.web`; only a leader settles
disagreements, invites, and sees the trail and the results.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from hearten.augment.quality import Panel, load_quality
from hearten.augment.records import Action
from hearten.augment.reviewing import Decided, Desk, Item, Wish, changes, edited
from hearten.core.conversation import Conversation
from hearten.core.errors import HeartenError
from hearten.core.jsonl import dump_line
from hearten.core.runfolder import now
from hearten.web import identity
from hearten.web.guard import Form, Leader, Staff, fields
from hearten.web.identity import Account
from hearten.web.pages import page
from hearten.web.state import web

Name = Annotated[str, Path(max_length=120)]
FILTERS = ("scenario", "check", "pile")


@dataclass(frozen=True, slots=True)
class Augment:
    """What this process has open."""

    desks: Mapping[str, Desk]
    panels: Mapping[str, Panel]


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Open the corpora and the quality studies."""
    settings = app.state.web.settings
    desks = [Desk(path, settings.reviewers) for path in settings.corpora]
    panels = [Panel(load_quality(path)) for path in settings.quality]
    app.state.augment = Augment(
        {desk.name: desk for desk in desks}, {panel.study.name: panel for panel in panels}
    )
    yield


router = APIRouter(lifespan=running)


def augment(request: Request) -> Augment:
    """What is open here."""
    opened: Augment = request.app.state.augment
    return opened


def desk_named(request: Request, corpus: Name) -> Desk:
    """The corpus under review that an address names."""
    found = augment(request).desks.get(corpus)
    if found is None:
        raise HTTPException(404, "no such corpus")
    return found


def panel_named(request: Request, study: Name) -> Panel:
    """The quality study that an address names."""
    found = augment(request).panels.get(study)
    if found is None:
        raise HTTPException(404, "no such study")
    return found


At = Annotated[Desk, Depends(desk_named)]
Judging = Annotated[Panel, Depends(panel_named)]


def wish_of(values: Mapping[str, str]) -> Wish:
    """The part of the queue that an address or a form asks for."""
    return Wish(**{name: values.get(name, "")[:100] for name in FILTERS})


def _show(
    request: Request, template: str, account: Account, *, status: int = 200, **context: Any
) -> Response:
    return page(request, f"augment/{template}.html", status=status, account=account, **context)


def _chosen(wish: Wish) -> dict[str, str]:
    return {name: getattr(wish, name) for name in FILTERS if getattr(wish, name)}


def _query(wish: Wish) -> str:
    return f"?{urlencode(_chosen(wish))}" if _chosen(wish) else ""


def _next(desk: Desk, wish: Wish) -> Response:
    return RedirectResponse(f"/review/{desk.name}/next{_query(wish)}", 303)


# review


@router.get("/review")
def corpora_page(request: Request, account: Staff) -> Response:
    """The corpora and quality studies that are open here."""
    opened = augment(request)
    if len(opened.desks) == 1 and not opened.panels:
        return RedirectResponse(f"/review/{next(iter(opened.desks))}", 303)
    return _show(request, "corpora", account, desks=opened.desks, panels=opened.panels)


@router.get("/review/{corpus}")
def progress_page(request: Request, account: Staff, desk: At) -> Response:
    """How far the review is, and where to begin."""
    return _progress(request, account, desk)


def _progress(request: Request, account: Account, desk: Desk, link: str = "") -> Response:
    items = desk.items().values()
    return _show(
        request,
        "progress",
        account,
        desk=desk,
        link=link,
        progress=desk.progress(),
        left=desk.left_for(account.name, Wish()),
        disputed=desk.disputed(),
        scenarios=sorted({item.grown.provenance.scenario for item in items}),
        checks=sorted({name for item in items for name in item.remarked}),
    )


@router.post("/review/{corpus}/invite", openapi_extra=fields("uses"))
def invite(request: Request, account: Leader, desk: At, form: Form) -> Response:
    """A link that makes reviewers; shown once."""
    uses = form.get("uses", "1")
    if not (uses.isdigit() and 1 <= int(uses) <= 500):
        raise HTTPException(422, "1 to 500 people")
    with web(request).database.writing() as session:
        token = identity.invite(session, "", "reviewer", uses=int(uses), note=desk.name)
        identity.record(session, account.name, "invited", f"{uses} to review {desk.name}")
    return _progress(request, account, desk, f"{request.base_url}invite/{token}")


@router.get("/review/{corpus}/next")
def next_page(request: Request, account: Staff, desk: At) -> Response:
    """To what this person should look at now; the empty queue where there is nothing."""
    wish = wish_of(request.query_params)
    desk.put_off(account.name, request.query_params.get("later", "")[:120])
    item = desk.next_for(account.name, wish)
    if item is None:
        return _show(request, "empty", account, desk=desk, wish=wish, disputed=len(desk.disputed()))
    return RedirectResponse(f"/review/{desk.name}/item/{item.grown.id}{_query(wish)}", 303)


@router.get("/review/{corpus}/item/{name}")
def item_page(request: Request, account: Staff, desk: At, name: Name) -> Response:
    """One conversation, its checks, and what can be done about it."""
    return _item(request, account, desk, _item_named(desk, name))


def _item_named(desk: Desk, name: str) -> Item:
    found = desk.items().get(name)
    if found is None:
        raise HTTPException(404, "no such conversation")
    return found


def _item(
    request: Request,
    account: Account,
    desk: Desk,
    item: Item,
    *,
    shown: Conversation | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    state = desk.standing(item.grown.id)
    settling = state is not None and state.state == "disputed" and account.role == "leader"
    known = desk.may_see(item.grown.id, account.name, settling=settling)
    version = request.query_params.get("version", "")
    chosen = next((r.after for r in known if r.after and r.reviewer == version), None)
    mine = next((r.after for r in known if r.after and r.reviewer == account.name), None)
    wish = wish_of(request.query_params)
    return _show(
        request,
        "item",
        account,
        status=status,
        desk=desk,
        item=item,
        talk=shown or chosen or mine or item.conversation,
        known=[(review, changes(item.conversation, review.after or item.conversation)) for review in known],
        settling=settling,
        seen=len(desk.trail.of(item.grown.id)),
        wish=wish,
        left=desk.left_for(account.name, wish),
        later=f"/review/{desk.name}/next?{urlencode({'later': item.grown.id, **_chosen(wish)})}",
        problem=problem,
    )


@router.post(
    "/review/{corpus}/item/{name}", openapi_extra=fields("action", "seen", "situation", "note", *FILTERS)
)
def decide(request: Request, account: Staff, desk: At, name: Name, form: Form) -> Response:
    """Write the decision; words or labels that differ make an acceptance an edit."""
    item = _item_named(desk, name)
    state = desk.standing(name)
    settling = account.role == "leader" and state is not None and state.state == "disputed"
    wanted, seen = form.get("action", ""), form.get("seen", "")
    if wanted not in ("accept", "discard") or not re.fullmatch(r"\d{1,6}", seen):
        raise HTTPException(422, "accept or discard")
    after: Conversation | None = None
    try:
        if wanted == "accept":
            after = _as_edited(item.conversation, form)
        action: Action = "edit" if after else "discard" if wanted == "discard" else "accept"
        note = form.get("note", "")[:2000]
        desk.decide(item, account.name, action, after, seen=int(seen), note=note, settling=settling)
    except Decided as error:
        return _item(request, account, desk, item, problem=error.what, status=409)
    except HeartenError as error:
        problem = f"{error.what}: {error.fix}"
        return _item(request, account, desk, item, shown=after, problem=problem, status=422)
    if settling:
        return RedirectResponse(f"/review/{desk.name}", 303)
    return _next(desk, wish_of(form))


def _as_edited(before: Conversation, form: Mapping[str, str]) -> Conversation | None:
    """The conversation as the form has it; None where nothing differs."""
    places = range(len(before.turns))
    texts = [form.get(f"text-{place}", before.turns[place].text) for place in places]
    labels = [form.get(f"strategy-{place}", str(before.turns[place].strategy or "")) for place in places]
    situation = form.get("situation", before.profile.situation or "")
    after = edited(before, texts, labels, situation)
    return after if changes(before, after) else None


@router.post("/review/{corpus}/undo", openapi_extra=fields(*FILTERS))
def undo(request: Request, account: Staff, desk: At, form: Form) -> Response:
    """Take one's last decision back and look at that conversation again."""
    item = desk.undo(account.name)
    if item is None:
        return _next(desk, wish_of(form))
    return RedirectResponse(f"/review/{desk.name}/item/{item}{_query(wish_of(form))}", 303)


@router.get("/review/{corpus}/trail.jsonl")
def trail(account: Leader, desk: At) -> Response:
    """Every decision, as it is in the corpus folder."""
    lines = "".join(dump_line(review) + "\n" for review in desk.trail.all())
    name = {"content-disposition": 'attachment; filename="reviews.jsonl"'}
    return PlainTextResponse(lines, media_type="application/jsonl; charset=utf-8", headers=name)


# quality


@router.get("/rate/{study}")
def rating_page(request: Request, account: Staff, panel: Judging) -> Response:
    """The next conversation to rate; where it comes from is not on the page."""
    return _rating(request, account, panel)


def _rating(
    request: Request, account: Account, panel: Panel, problem: str = "", status: int = 200
) -> Response:
    drawn, left = panel.next_for(account.name)
    return _show(
        request, "rate", account, status=status, study=panel.study, drawn=drawn, left=left, problem=problem
    )


@router.post("/rate/{study}", openapi_extra=fields("item"))
def rate(request: Request, account: Staff, panel: Judging, form: Form) -> Response:
    """Write the answers and go on."""
    asked = [question.name for question in panel.study.questions]
    values = {name: int(form[name]) for name in asked if re.fullmatch(r"\d", form.get(name, ""))}
    try:
        panel.rate(form.get("item", ""), account.name, values, now())
    except HeartenError as error:
        return _rating(request, account, panel, f"{error.what}: {error.fix}", 422)
    return RedirectResponse(f"/rate/{panel.study.name}", 303)


@router.get("/rate/{study}/results")
def results_page(request: Request, account: Leader, panel: Judging) -> Response:
    """Means side by side, agreement, and the paper's figures."""
    counts = panel.rated()
    done = sum(number for raters, number in counts.items() if raters >= panel.study.raters)
    return _show(
        request,
        "results",
        account,
        study=panel.study,
        rows=panel.results(),
        done=done,
        total=len(panel.drawn),
        answers=len(panel.given()),
    )
