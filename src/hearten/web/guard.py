"""What stands between the network and a route: headers, sizes, rates, forms, roles.

`Shield` is the ASGI wrapper: it sets the headers and refuses bodies that are too large. `submitted` is the
dependency of every route that changes something: it reads the form, checks that it comes from our own page
(the form token bound to the visit cookie, and the Origin header where the browser sends one) and counts it
against the sender's rate. `staff(...)` admits accounts by role.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hearten.web import identity
from hearten.web.identity import Account
from hearten.web.state import Web, web

VISIT_COOKIE = "hearten_visit"
ACCOUNT_COOKIE = "hearten_account"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer browsers send "Origin: null" along our own forms
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Shield:
    """Security headers on every response, and a limit on every request's body."""

    def __init__(self, app: ASGIApp, *, largest_body: int, secure: bool) -> None:
        self._app, self._largest = app, largest_body
        extra = {"strict-transport-security": "max-age=31536000"} if secure else {}
        self._headers = [(key.encode(), value.encode()) for key, value in {**HEADERS, **extra}.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cacheable = scope["path"].startswith("/assets/")

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                store = b"max-age=300" if cacheable else b"no-store"
                message["headers"] = [*message["headers"], *self._headers, (b"cache-control", store)]
            await send(message)

        if _declared_length(scope) > self._largest:
            await _too_large(guarded_send)
            return
        await self._app(scope, self._counting(receive), guarded_send)

    def _counting(self, receive: Receive) -> Receive:
        """`receive`, refusing a body that grows past the limit without having declared it."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                raise HTTPException(413, "too large")
            return message

        return counted


def _declared_length(scope: Scope) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


async def _too_large(send: Send) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"too large"})


class Rate:
    """A token bucket for each key: `per_second` in the long run, `burst` at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate, self._burst = per_second, burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def allow(self, key: str, now: float | None = None) -> bool:
        """Take one token of `key`'s bucket, if there is one."""
        now = time.monotonic() if now is None else now
        left, before = self._buckets.get(key, (self._burst, now))
        left = min(self._burst, left + (now - before) * self._rate)
        if len(self._buckets) > 20_000:
            self._forget_full(now)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    def _forget_full(self, now: float) -> None:
        full = self._burst / self._rate
        self._buckets = {key: value for key, value in self._buckets.items() if now - value[1] < full}


def address(connection: HTTPConnection) -> str:
    """The client's address, through a proxy only if the settings trust one."""
    state = web(connection)
    forwarded = connection.headers.get("x-forwarded-for", "")
    if state.settings.trust_proxy and forwarded:
        return forwarded.split(",")[-1].strip()
    return connection.client.host if connection.client else "unknown"


def same_origin(connection: HTTPConnection) -> bool:
    """Whether the Origin header, where there is one, names the host that was asked."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    return origin.split("://", 1)[-1] == connection.headers.get("host")


def clean(text: str) -> str:
    """Text without what no database stores: NUL characters and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


async def submitted(request: Request) -> dict[str, str]:
    """The fields of a form that our own page sent.

    Raises:
        HTTPException: 403 foreign form, 429 too many.
    """
    if not web(request).forms.allow(address(request)):
        raise HTTPException(429, "too many at once; wait a minute")
    form = await request.form()
    visit = request.cookies.get(VISIT_COOKIE, "")
    given = str(form.get("csrf", "") or request.headers.get("x-csrf-token", ""))
    genuine = visit and secrets.compare_digest(
        given.encode("utf-8", "replace"), identity.csrf_token(visit).encode()
    )
    if not genuine or not same_origin(request):
        raise HTTPException(
            403, "this form is not from our page, or it is old: go back, reload and try again"
        )
    return {key: clean(value) for key, value in form.items() if isinstance(value, str)}


Form = Annotated[Mapping[str, str], Depends(submitted)]


def fields(*names: str) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a form: its fields, all text."""
    properties = {name: {"type": "string"} for name in ("csrf", *names)}
    schema = {"type": "object", "properties": properties, "required": ["csrf"]}
    return {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


def limit_tries(request: Request) -> None:
    """Dependency of routes that test a secret.

    Raises:
        HTTPException: 429 too many tries from this address.
    """
    if not web(request).tries.allow(address(request)):
        raise HTTPException(429, "too many tries; wait a minute")


def account_of(request: HTTPConnection) -> Account | None:
    """The staff account this browser is logged in as."""
    with web(request).database.reading() as session:
        subject = identity.subject_of(session, request.cookies.get(ACCOUNT_COOKIE))
        if subject is None or not subject.startswith("account:"):
            return None
        return session.get(Account, int(subject.removeprefix("account:")))


def staff(*roles: str) -> Callable[[Request], Account]:
    """A dependency that admits accounts of these roles: 303 to the login for strangers, 403 for other
    roles.
    """

    def admit(request: Request) -> Account:
        account = account_of(request)
        if account is None:
            raise HTTPException(303, "log in first", headers={"location": "/login"})
        if account.role not in roles:
            raise HTTPException(403, "this page is not yours to see")
        return account

    admit.roles = roles  # type: ignore[attr-defined]  # read by the test that walks the route table
    return admit


Leader = Annotated[Account, Depends(staff("leader"))]
Staff = Annotated[Account, Depends(staff("leader", "reviewer"))]


def state_of(request: Request) -> Web:
    """`web(request)` as a dependency."""
    return web(cast(HTTPConnection, request))
