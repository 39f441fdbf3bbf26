"""The chat page: `/`, `/people`, and what the page's script asks for under `/talks`.

A reply is the answer to one POST, streamed as server-sent events. Not a socket: a request carries the same
cookie, form token, size and rate limits as every other form, passes through any proxy, and ends when either
side goes away; there is no connection to resume, because the conversation itself is on the server and the
page asks for it again. Routes are thin; what is written and kept is `speaking` and `store`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from hearten.core.conversation import Role
from hearten.core.jsonl import dump_line
from hearten.core.taxonomy import label_set
from hearten.safety import notice
from hearten.safety.resources import regions
from hearten.serve.keeping import PageSettings
from hearten.serve.lines import emergency, help_lines
from hearten.serve.settings import ServeSettings
from hearten.serve.speaking import Desk, News, Speaking
from hearten.serve.store import Reader, Store, open_store
from hearten.serve.talk import Message, Talk, as_text, now
from hearten.serve.visitor import ChatPage, Visitor, admit, chat_page, known, stay
from hearten.web.background import background
from hearten.web.guard import Form, fields
from hearten.web.identity import new_token
from hearten.web.pages import page, preferred
from hearten.web.rehearsal import rehearse
from hearten.web.state import web
from hearten.web.words import Words

LANGUAGES = ("en", "de")
PURGE_EVERY = 3600.0
"""Seconds between two looks for conversations that have outlived their days."""
Id = Annotated[str, Path(max_length=64)]


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Open the store, look at the pages once, and stop every reply before the store is closed."""
    settings: ServeSettings = app.state.serve
    store = await asyncio.to_thread(open_store, settings.page)
    desk = Desk(app.state.host, store)
    app.state.chat_page = ChatPage(settings, store, desk)
    await rehearse(app, ("/", "/people", "/healthz"), LANGUAGES)
    async with background(_purging(store)):
        yield
    await desk.close()
    store.close()


async def _purging(store: Store) -> None:
    while True:
        await asyncio.sleep(PURGE_EVERY)
        await asyncio.to_thread(store.purge)


router = APIRouter(lifespan=running)


@router.get("/")
def chat(request: Request) -> HTMLResponse:
    """The page, the same for everybody; it asks for the visitor's own conversations by itself."""
    settings = chat_page(request).settings
    language = preferred(request, LANGUAGES)
    words = web(request).pages.words(language)
    return page(
        request,
        "serve/chat.html",
        language=language,
        keeping=settings.page,
        minors=settings.links.minor,
        facts=_facts(settings, words),
        emergency=emergency(settings.links.region, words),
    )


def _facts(settings: ServeSettings, words: Words) -> dict[str, Any]:
    """What the script needs: strategies, help lines and the limit of a message."""
    return {
        "strategies": [
            {"name": row.name, "short": row.abbreviation, "stages": row.stages, "text": row.definition}
            for row in label_set(settings.labels)
        ],
        "regions": help_lines(settings.links.region, words),
        "longest": settings.page.longest_message,
        "minors": settings.links.minor,
    }


@router.get("/people")
def people(request: Request, region: Annotated[str, Query(max_length=20)] = "") -> HTMLResponse:
    """People to talk to, by region; needs no script."""
    settings, language = chat_page(request).settings, preferred(request, LANGUAGES)
    words = web(request).pages.words(language)
    rows = help_lines(settings.links.region, words)
    chosen = region if region in regions() else rows[0]["code"]
    return page(request, "serve/people.html", language=language, regions=rows, chosen=chosen)


@router.post("/talks/accept", openapi_extra=fields())
def accept(request: Request, response: Response, form: Form) -> dict[str, Any]:
    """The first screen was read, the age confirmed where it is asked."""
    admit(request, response, now())
    return {"accepted": True}


@router.get("/talks")
def talks(
    request: Request, response: Response, q: Annotated[str, Query(max_length=200)] = ""
) -> dict[str, Any]:
    """The visitor's conversations, the latest first, or those that mention `q`."""
    reader = known(request)
    if reader is not None:
        stay(request, response)
    found = chat_page(request).store.talks(reader.owner) if reader else []
    wanted = q.strip()
    rows = [
        {"id": talk.id, "title": talk.title, "updated": talk.updated, "messages": len(talk.path())}
        for talk in found
        if not wanted or talk.mentions(wanted)
    ]
    return {"accepted": reader is not None, "talks": rows, "all": len(found)}


@router.post("/talks/delete", openapi_extra=fields())
async def delete_all(request: Request, reader: Visitor, form: Form) -> dict[str, int]:
    """Remove every conversation of the visitor."""
    here = chat_page(request)
    for talk in await asyncio.to_thread(here.store.talks, reader.owner):
        await here.desk.stop(talk.id)
    return {"deleted": await asyncio.to_thread(here.store.delete_all, reader.owner)}


@router.post("/talks/say", openapi_extra=fields("talk", "parent", "id", "text"))
async def say(request: Request, reader: Visitor, form: Form) -> StreamingResponse:
    """Say something, and be answered; the message is kept before the answer begins.

    `parent` is the message it follows, so an edited message is one that follows the predecessor of the old
    one. `id` is the sender's own: what is sent twice, after a lost connection, is kept once.
    """
    here = chat_page(request)
    talk = await asyncio.to_thread(_talk_for, here, reader, form)
    message = _spoken(here.settings.page, talk, form)
    await here.desk.stop(talk.id)
    if not await asyncio.to_thread(here.store.put, reader.owner, talk.id, message):
        raise HTTPException(404, "no such conversation")
    return await _answer(here, reader, talk.after(message), message, saved=True)


@router.post("/talks/{talk_id}/reply", openapi_extra=fields("to"))
async def reply(request: Request, reader: Visitor, talk_id: Id, form: Form) -> StreamingResponse:
    """Answer a message again; the earlier answer stays, as another branch."""
    here = chat_page(request)
    talk = await asyncio.to_thread(_own, here, reader, talk_id)
    message = _message(talk, form.get("to", ""))
    if message.speaker is not Role.SEEKER:
        raise HTTPException(422, "only what the visitor said is answered")
    return await _answer(here, reader, talk, message)


@router.post("/talks/{talk_id}/stop", openapi_extra=fields())
async def stop(request: Request, reader: Visitor, talk_id: Id, form: Form) -> dict[str, bool]:
    """Write no more; what was shown is kept."""
    here = chat_page(request)
    await asyncio.to_thread(_own, here, reader, talk_id)
    await here.desk.stop(talk_id)
    return {"stopped": True}


@router.get("/talks/export.jsonl")
def export_all(request: Request, reader: Visitor) -> Response:
    """Every conversation as records of conversations.jsonl."""
    return _as_jsonl(chat_page(request).store.talks(reader.owner), "conversations.jsonl")


@router.get("/talks/export.txt")
def export_all_as_text(request: Request, reader: Visitor) -> Response:
    """Every conversation for reading."""
    return _as_text(request, chat_page(request).store.talks(reader.owner), "conversations.txt")


@router.get("/talks/{talk_id}")
def one(request: Request, reader: Visitor, talk_id: Id) -> dict[str, Any]:
    """One conversation with all its branches."""
    talk = _own(chat_page(request), reader, talk_id)
    return {**talk.model_dump(mode="json", exclude_none=True), "title": talk.title}


@router.post("/talks/{talk_id}/show", openapi_extra=fields("message"))
def show(request: Request, reader: Visitor, talk_id: Id, form: Form) -> dict[str, Any]:
    """Show the branch that goes through a message."""
    here = chat_page(request)
    head = (talk := _own(here, reader, talk_id)).tip(_message(talk, form.get("message", "")).id)
    here.store.turn_to(reader.owner, talk_id, head)
    return {"head": head}


@router.post("/talks/{talk_id}/stars", openapi_extra=fields("message", "stars"))
def stars(request: Request, reader: Visitor, talk_id: Id, form: Form) -> dict[str, Any]:
    """Say how much a reply helped, 1 to 5; empty takes it back."""
    here, given = chat_page(request), form.get("stars", "")
    message = _message(_own(here, reader, talk_id), form.get("message", ""))
    if message.speaker is not Role.SUPPORTER or given not in ("", "1", "2", "3", "4", "5"):
        raise HTTPException(422, "stars are 1 to 5, for a reply")
    rated = message.model_copy(update={"stars": int(given) if given else None})
    here.store.mark(reader.owner, talk_id, rated)
    return {"stars": rated.stars}


@router.post("/talks/{talk_id}/delete", openapi_extra=fields())
async def delete(request: Request, reader: Visitor, talk_id: Id, form: Form) -> dict[str, bool]:
    """Remove one conversation."""
    here = chat_page(request)
    await asyncio.to_thread(_own, here, reader, talk_id)
    await here.desk.stop(talk_id)
    return {"deleted": await asyncio.to_thread(here.store.delete, reader.owner, talk_id)}


@router.get("/talks/{talk_id}/export.jsonl")
def export(request: Request, reader: Visitor, talk_id: Id) -> Response:
    """One conversation as records, a branch a line."""
    return _as_jsonl([_own(chat_page(request), reader, talk_id)], "conversation.jsonl")


@router.get("/talks/{talk_id}/export.txt")
def export_as_text(request: Request, reader: Visitor, talk_id: Id) -> Response:
    """One conversation for reading."""
    return _as_text(request, [_own(chat_page(request), reader, talk_id)], "conversation.txt")


def _own(here: ChatPage, reader: Reader, talk_id: str) -> Talk:
    """A conversation of this visitor; to anybody else it does not exist."""
    talk = here.store.talk(reader.owner, talk_id)
    if talk is None:
        raise HTTPException(404, "no such conversation")
    return talk


def _message(talk: Talk, message_id: str) -> Message:
    message = talk.find(message_id)
    if message is None:
        raise HTTPException(404, "no such message")
    return message


def _talk_for(here: ChatPage, reader: Reader, form: Any) -> Talk:
    """The conversation to go on with, or the new one that its first message begins.

    The page chooses the id of a new conversation, so that a first message that is sent twice begins one.
    """
    talk_id = form.get("talk", "")
    if (found := here.store.talk(reader.owner, talk_id)) is not None:
        return found
    if form.get("parent", ""):
        raise HTTPException(404, "no such conversation")
    if not 16 <= len(talk_id) <= 64 or not talk_id.isalnum():
        raise HTTPException(422, "a new conversation has an id of 16 to 64 letters and digits")
    if len(here.store.talks(reader.owner)) >= here.settings.page.most_talks:
        raise HTTPException(409, "too many conversations: delete some")
    begun = Talk(id=talk_id, label_set=here.settings.labels, created=now(), updated=now())
    if not here.store.begin(reader.owner, begun):
        raise HTTPException(404, "no such conversation")
    return begun


def _spoken(settings: PageSettings, talk: Talk, form: Any) -> Message:
    """The message a form holds; the one already kept where it was sent before."""
    text, parent, name = form.get("text", "").strip(), form.get("parent", ""), form.get("id", "")
    if not text or len(text) > settings.longest_message or not 8 <= len(name) <= 64 or not name.isalnum():
        raise HTTPException(422, "a message has words, not too many of them, and an id")
    if parent:
        _message(talk, parent)
    if len(talk.messages) + 2 > settings.most_messages:
        raise HTTPException(409, "this conversation is full: begin another")
    message = Message(id=name, parent=parent or None, speaker=Role.SEEKER, text=text, at=now())
    return talk.find(name) or message


async def _answer(
    here: ChatPage, reader: Reader, talk: Talk, to: Message, *, saved: bool = False
) -> StreamingResponse:
    before = [News(kind="saved", talk=talk.id, message=to)] if saved else []
    if notice.due(now() - reader.noticed):
        await asyncio.to_thread(here.store.remind, reader.owner, now())
        before.append(News(kind="notice"))
    speaking = await here.desk.speak(reader.owner, talk, to.id, f"r{new_token()[:20]}")
    return StreamingResponse(_events(before, speaking), media_type="text/event-stream")


async def _events(before: Iterable[News], speaking: Speaking) -> AsyncIterator[str]:
    """Server-sent events: one JSON object each."""
    for told in before:
        yield f"data: {dump_line(told)}\n\n"
    async with contextlib.aclosing(speaking.news()) as news:
        async for told in news:
            yield f"data: {dump_line(told)}\n\n"


def _as_jsonl(found: Iterable[Talk], name: str) -> Response:
    lines = [dump_line(record) + "\n" for talk in found for record in talk.conversations() if record.turns]
    return _file("".join(lines), "application/x-ndjson", name)


def _as_text(request: Request, found: Iterable[Talk], name: str) -> Response:
    words = web(request).pages.words(preferred(request, LANGUAGES)).under("export")
    return _file("\n\n".join(as_text(talk, words) for talk in found if talk.messages), "text/plain", name)


def _file(text: str, kind: str, name: str) -> Response:
    disposition = {"content-disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, media_type=kind, headers=disposition)
