"""Pages from templates: Jinja2 with everything escaped, one base template, the words of the reader's
language.

Every page carries the form token of the browser's visit; a browser without a visit cookie gets one here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from hearten.core.palette import PALETTE
from hearten.web.guard import VISIT_COOKIE
from hearten.web.identity import csrf_token, new_token
from hearten.web.state import web
from hearten.web.words import DEFAULT, Words


class Pages:
    """The templates and words of some packages."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)
        self.environment = Environment(
            loader=ChoiceLoader([PackageLoader(name) for name in self.packages]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters["moment"] = moment
        self.environment.globals["palette"] = PALETTE
        self.words = lru_cache(maxsize=16)(lambda language: Words(self.packages, language))

    def text(self, name: str, language: str, **context: Any) -> str:
        """A template as text."""
        return self.environment.get_template(name).render(
            t=self.words(language), language=language, **context
        )


def moment(seconds: float | None) -> str:
    """A time as `2026-11-20 08:00 UTC`."""
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def preferred(request: Request, offered: Sequence[str]) -> str:
    """The reader's language: `?lang=`, else the first the browser asks for, among those offered."""
    asked = [request.query_params.get("lang", "")]
    asked += [
        part.split(";")[0].strip()[:2] for part in request.headers.get("accept-language", "").split(",")
    ]
    return next((name for name in asked if name in offered), offered[0] if offered else DEFAULT)


def page(
    request: Request, template: str, *, status: int = 200, language: str = DEFAULT, **context: Any
) -> HTMLResponse:
    """A whole page for this browser."""
    state = web(request)
    visit = request.cookies.get(VISIT_COOKIE) or new_token()
    text = state.pages.text(template, language, request=request, csrf=csrf_token(visit), **context)
    response = HTMLResponse(text, status)
    if VISIT_COOKIE not in request.cookies:
        set_cookie(request, response, VISIT_COOKIE, visit)
    return response


def set_cookie(
    request: Request,
    response: Any,
    name: str,
    value: str,
    days: float | None = 30,
    samesite: Literal["lax", "strict"] = "lax",
) -> None:
    """A cookie scripts cannot read and other sites do not send along.

    Args:
        days: how long the browser keeps it; None until it is closed.
        samesite: `strict` keeps it back even when somebody follows a link from another site.
    """
    secure, age = web(request).settings.secure, None if days is None else int(days * 86_400)
    response.set_cookie(name, value, max_age=age, httponly=True, samesite=samesite, secure=secure, path="/")
