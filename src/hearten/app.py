"""The web app: settings, then each stage's router; no logic.

`create` makes the app of `hearten web` for one process, `from_environment` for `hearten web --processes N`,
whose workers find the settings in `HEARTEN_WEB`; `serving` makes the app of `hearten serve`, whose settings
stand in `HEARTEN_SERVE`. A stage with pages is a name in the app's list: its `routes.router`, and beside it
`templates/`, `strings/` and `assets/` if it has them.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from hearten import __version__
from hearten.core.supporter import StreamingSupporter, Supporter
from hearten.web.background import background
from hearten.web.broker import open_broker
from hearten.web.database import Database
from hearten.web.errors import install
from hearten.web.guard import Rate, Shield
from hearten.web.pages import Pages
from hearten.web.settings import VARIABLE, Settings
from hearten.web.state import Web

if TYPE_CHECKING:
    from hearten.serve.settings import ServeSettings

STAGES = ("hearten.web", "hearten.collect", "hearten.augment")
"""Packages with pages in `hearten web`; each has `routes.router`."""
SERVING = ("hearten.web", "hearten.serve")
"""Packages with pages in `hearten serve`."""


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Migrate the database, listen to the other processes, and close what is open at the end."""
    state: Web = app.state.web
    await asyncio.to_thread(state.database.upgrade)
    async with background(state.broker.run()):
        yield
    for close in app.state.closing:
        await asyncio.to_thread(close)
    state.database.close()


def create(
    settings: Settings,
    open_supporter: Callable[[str], Supporter] | None = None,
    stages: Sequence[str] = STAGES,
) -> FastAPI:
    """The app for one process.

    Args:
        open_supporter: finds a supporting model by name, where not the one of `hearten chat`.
        stages: packages with pages.
    """
    app = FastAPI(title="hearten", version=__version__, lifespan=running, docs_url=None, redoc_url=None)
    database = Database(settings.database)
    app.state.closing = []
    app.state.web = Web(
        settings=settings,
        database=database,
        broker=open_broker(database),
        pages=Pages(stages),
        forms=Rate(settings.forms_per_minute / 60, settings.forms_per_minute),
        tries=Rate(settings.tries_per_minute / 60, settings.tries_per_minute),
    )
    if open_supporter is not None:
        app.state.open_supporter = open_supporter
    for package in stages:
        app.include_router(import_module(f"{package}.routes").router)
        assets: Any = files(package) / "assets"
        if assets.is_dir():
            app.mount(f"/assets/{package.rpartition('.')[2]}", StaticFiles(directory=str(assets)))
    install(app)
    app.add_middleware(Shield, largest_body=settings.largest_body, secure=settings.secure)
    return app


def serving(settings: "ServeSettings", supporter: StreamingSupporter) -> FastAPI:
    """The app of `hearten serve`: `supporter` on a page and behind an API."""
    from hearten.serve.mount import mount

    app = create(settings.web, stages=SERVING)
    mount(app, settings, supporter)
    return app


def from_environment() -> FastAPI:
    """The app of one worker process, with the settings its parent left in the environment."""
    return create(Settings.model_validate_json(os.environ[VARIABLE]))


def serving_from_environment() -> FastAPI:
    """The app of `hearten serve`, with the settings the command left in the environment."""
    from hearten.serve.mount import open_chain
    from hearten.serve.settings import VARIABLE, ServeSettings

    settings = ServeSettings.model_validate_json(os.environ[VARIABLE])
    return serving(settings, open_chain(settings))
