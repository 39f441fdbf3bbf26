"""Refusals in OpenAI's shape, so that its clients understand them.

`ApiRoute` is the route class of the API: whatever goes wrong in a route becomes one of these, with a
status, and is counted. What is logged of an unexpected error is its type and the places in the code; its
message may hold what somebody wrote, and is not.
"""

import logging
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hearten.core.errors import HeartenError
from hearten.lm.engine import TooLong
from hearten.serve.host import Busy
from hearten.serve.meters import Meters
from hearten.serve.wire import ErrorAnswer, ErrorBody

log = logging.getLogger("hearten.serve")
CLIENT_GONE = 499
"""Nobody reads this answer any more; the status is only counted."""


class Refusal(Exception):
    """A request that is not answered with 200."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = ErrorBody(message=self.message, type=kind, param=self.param, code=self.code)
        return ErrorAnswer(error=error).model_dump()

    def answer(self) -> Response:
        """The whole response."""
        headers = {"retry-after": str(self.retry_after)} if self.retry_after else {}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.body, self.status, headers)


def refusal(error: Exception) -> Refusal:
    """What to answer to an error."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        return _unreadable(error)
    if isinstance(error, HTTPException):
        return Refusal(error.status_code, str(error.detail))
    if isinstance(error, Busy):
        return Refusal(429, error.what, code="server_busy", retry_after=error.retry_after)
    if isinstance(error, TooLong):
        return Refusal(400, "the last message alone is longer than the model reads",
                       param="messages", code="context_length_exceeded")  # fmt: skip
    if isinstance(error, ClientDisconnect):
        return Refusal(CLIENT_GONE, "the client went away")
    places = "".join(traceback.format_tb(error.__traceback__)[-6:])
    log.error("a request failed: %s\n%s", type(error).__name__, places)
    status, what = (
        (503, "the model could not answer") if isinstance(error, HeartenError) else (500, "a fault")
    )
    return Refusal(status, f"{what}; nothing was kept")


def _unreadable(error: RequestValidationError) -> Refusal:
    """The first complaint; what was sent is not repeated."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    what = "not a JSON object" if first["type"] == "json_invalid" or not place else str(first["msg"])
    return Refusal(400, f"{place}: {what}" if place else what, param=place or None, code="invalid_value")


class ApiRoute(APIRoute):
    """A route whose errors are OpenAI's, and counted."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, guarded."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            meters: Meters = request.app.state.meters
            try:
                response = await handler(request)
            except Exception as error:
                response = refusal(error).answer()
            meters.requests.labels(str(response.status_code)).inc()
            return response

        return guarded
