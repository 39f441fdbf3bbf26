"""Asking one's own pages before anybody else does.

The first look at a page compiles its templates, reads its words and lets the framework work out its routes:
some tenths of a second, in which nobody else is answered. `rehearse` spends them before the server opens.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any

from starlette.types import ASGIApp, Message


async def rehearse(app: ASGIApp, paths: Iterable[str], languages: Iterable[str] = ("en",)) -> list[int]:
    """Get every path in every language, as a browser on this machine would; the statuses, in that order."""
    return [await _get(app, path, language) for path, language in product(tuple(paths), tuple(languages))]


async def _get(app: ASGIApp, path: str, language: str) -> int:
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"} if told else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        told.append(message)

    await app(_scope(path, language), receive, send)
    return int(told[0]["status"])


def _scope(path: str, language: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"accept-language", language.encode())],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }
