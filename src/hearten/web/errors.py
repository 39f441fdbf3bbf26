"""What a person sees when something does not work: a page with one sentence, never a traceback.

A redirect raised as an exception (303) stays one. A database that is away is 503: what was confirmed is safe.
"""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException

from hearten.web.pages import page, preferred
from hearten.web.state import web

log = logging.getLogger("hearten.web")


def install(app: FastAPI) -> None:
    """Give an app these answers."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(OperationalError, _database_away)
    app.add_exception_handler(InterfaceError, _database_away)


def answer(request: Request, status: int) -> Response:
    """The page, or a small JSON object for scripts, that explains a status."""
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"status": status}, status)
    state = web(request)
    language = preferred(request, ("en", "de"))
    words = state.pages.words(language)
    key = f"error.{status}" if words.has(f"error.{status}") else "error.other"
    return page(request, "web/error.html", status=status, language=language, words=words(key))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 303 and error.headers:
        return RedirectResponse(error.headers["location"], 303)
    return answer(request, error.status_code)


async def _unreadable(request: Request, _: Exception) -> Response:
    return answer(request, 422)


async def _database_away(request: Request, error: Exception) -> Response:
    log.warning("the database did not answer: %s", error)
    return answer(request, 503)
