"""Who may use the API, and how often.

With a key file, whoever sends one of its keys. Without, this machine alone: the connection must come from
here and must have asked for this machine by name, so that neither a proxy in front nor a web page that points
its own name here opens the door.
"""

import math
from dataclasses import dataclass
from ipaddress import ip_address

from fastapi import Request

from hearten.serve.keys import Keys
from hearten.serve.refusals import Refusal
from hearten.serve.settings import ServeSettings
from hearten.web.guard import Rate, address


@dataclass(frozen=True, slots=True)
class Gate:
    """The keys and rates in force."""

    keys: Keys | None
    rate: Rate
    tries: Rate
    per_minute: float

    @classmethod
    def open(cls, settings: ServeSettings) -> "Gate":
        """The gate of these settings; reads the key file."""
        per_minute = settings.requests_per_minute
        return cls(
            keys=Keys.read(settings.keys) if settings.keys else None,
            rate=Rate(per_minute / 60, max(1.0, per_minute / 2)),
            tries=Rate(settings.web.tries_per_minute / 60, settings.web.tries_per_minute),
            per_minute=per_minute,
        )


def caller(request: Request) -> str:
    """Whose request this is: the key's name, or the address.

    Raises:
        Refusal: 401 no key or a wrong one, 403 not from this machine, 429 too many requests.
    """
    gate: Gate = request.app.state.gate
    name = _by_key(request, gate) if gate.keys is not None else _from_here(request)
    if not gate.rate.allow(name):
        wait = max(1, math.ceil(60 / gate.per_minute))
        raise Refusal(429, "too many requests", code="rate_limit_exceeded", retry_after=wait)
    return name


def _by_key(request: Request, gate: Gate) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    assert gate.keys is not None
    name = gate.keys.name_of(secret.strip()) if scheme.casefold() == "bearer" else None
    if name is not None:
        return f"key:{name}"
    if not gate.tries.allow(address(request)):
        raise Refusal(429, "too many wrong keys", code="rate_limit_exceeded", retry_after=60)
    raise Refusal(401, "send a valid API key: Authorization: Bearer …", code="invalid_api_key")


def _from_here(request: Request) -> str:
    place = address(request)
    forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if forwarded or not _is_here(place) or not _is_here(request.url.hostname or ""):
        fix = "ask on this machine, or start the server with --keys"
        raise Refusal(403, f"without keys the API answers its own machine alone: {fix}", code="not_local")
    return f"address:{place}"


def _is_here(name: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if name in ("localhost", "testclient", "testserver"):
        return name == "localhost"
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
