"""Puts serving into the web app: the host, and the API's routes beside the page's."""

from functools import cache

from fastapi import FastAPI

from hearten.core.supporter import StreamingSupporter
from hearten.serve.host import Host
from hearten.serve.settings import ServeSettings


@cache
def open_chain(settings: ServeSettings) -> StreamingSupporter:
    """What answers: the model with every link round it; opened once a process.

    Raises:
        UsageError, Failure: as `models.supporters.open_supporter`.
    """
    from hearten.models.supporters import open_supporter
    from hearten.safety.chain import ChainSettings, SafeSupporter

    return SafeSupporter(open_supporter(settings.model), ChainSettings(region=settings.region))


def mount(app: FastAPI, settings: ServeSettings, supporter: StreamingSupporter) -> None:
    """Give `app` its host (`app.state.host`) and settings (`app.state.serve`)."""
    app.state.serve, app.state.page = settings, settings.page
    app.state.host = Host(supporter, at_once=settings.at_once, queue=settings.queue)
