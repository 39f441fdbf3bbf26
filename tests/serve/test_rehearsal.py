"""Before the first visitor comes, every page has been looked at once."""

import asyncio

from fakes_serve import Typist, served
from fastapi import FastAPI

from hearten.web.rehearsal import rehearse


def test_every_path_is_asked_in_every_language():
    app, seen = FastAPI(), []

    @app.get("/{name}")
    async def page(name: str):
        seen.append(name)

    assert asyncio.run(rehearse(app, ("/a", "/b", "/c/d"), ("en", "de"))) == [200, 200, 200, 200, 404, 404]
    assert seen == ["a", "a", "b", "b"]


def test_the_pages_are_compiled_when_the_server_opens(tmp_path):
    with served(Typist(), tmp_path) as (_, app):
        cache = app.state.web.pages.environment.cache
        assert any("serve/chat.html" in str(key) for key in cache)
