"""Who is asking: a browser with a cookie that only it has, and that no other site can make it send.

The cookie is 256 random bits, `HttpOnly` and `SameSite=Strict`; the server stores its hash, which is the
*owner* of the visitor's conversations. Without kept conversations it ends with the browser's session. Strict
means that a visit from a link elsewhere arrives without it: the page is the same for everybody, and asks for
what is the visitor's own by itself, which does carry the cookie.
"""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request, Response
from starlette.requests import HTTPConnection

from hearten.serve.settings import ServeSettings
from hearten.serve.speaking import Desk
from hearten.serve.store import Reader, Store
from hearten.web.identity import new_token, token_hash
from hearten.web.pages import set_cookie

COOKIE = "hearten_talk"
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class ChatPage:
    """What the page's routes reach."""

    settings: ServeSettings
    store: Store
    desk: Desk


def chat_page(connection: HTTPConnection) -> ChatPage:
    """The `ChatPage` that serves this connection."""
    return cast(ChatPage, connection.app.state.chat_page)


def owner_of(request: Request) -> str | None:
    """The hash of the visitor's cookie, if there is one."""
    token = request.cookies.get(COOKIE)
    return token_hash(token) if token else None


def known(request: Request) -> Reader | None:
    """The visitor, if they have read the first screen."""
    owner = owner_of(request)
    return chat_page(request).store.reader(owner) if owner else None


def visitor(request: Request) -> Reader:
    """The visitor, as a dependency.

    Raises:
        HTTPException: 403 they have not read the first screen, or are not known any more.
    """
    reader = known(request)
    if reader is None:
        raise HTTPException(403, "read the first screen before")
    return reader


Visitor = Annotated[Reader, Depends(visitor)]


def admit(request: Request, response: Response, at: float) -> None:
    """Give a browser its cookie, and remember that it has read the first screen.

    A cookie that we do not know is not taken over: somebody else may have put it there.
    """
    token = request.cookies[COOKIE] if known(request) else new_token()
    chat_page(request).store.admit(token_hash(token), at)
    _give(request, response, token)


def stay(request: Request, response: Response) -> None:
    """Let the cookie of a visitor who is here live as long as what they write from now on."""
    if chat_page(request).settings.page.keep:
        _give(request, response, request.cookies[COOKIE])


def _give(request: Request, response: Response, token: str) -> None:
    page = chat_page(request).settings.page
    set_cookie(
        request, response, COOKIE, token, days=page.keep_days if page.keep else None, samesite="strict"
    )
