"""Puts serving into the web app: the host, and the API's routes beside the page's."""

import time
from functools import cache

from fastapi import FastAPI

from hearten.core.supporter import StreamingSupporter
from hearten.safety.chain import SafeSupporter, prepare
from hearten.serve.admission import Gate
from hearten.serve.api import router
from hearten.serve.host import Host
from hearten.serve.links import build
from hearten.serve.meters import Meters
from hearten.serve.recall import Recall
from hearten.serve.settings import ServeSettings
from hearten.serve.state import Serving


@cache
def open_chain(settings: ServeSettings) -> StreamingSupporter:
    """What answers: the model with every link round it; opened once a process.

    Raises:
        UsageError, Failure: as `models.supporters.open_supporter`.
    """
    from hearten.lm.hardware import one_thread
    from hearten.models.supporters import EngineSupporter, PromptedSupporter, SystemSupporter, open_supporter

    supporter = open_supporter(settings.model, settings.engine)
    if not isinstance(supporter, SystemSupporter):
        one_thread()
    if isinstance(supporter, EngineSupporter | PromptedSupporter):
        supporter.warm()
    if settings.links.screens:
        prepare()
    return build(supporter, settings.links)


def mount(
    app: FastAPI, settings: ServeSettings, supporter: StreamingSupporter, labels: str = "esconv"
) -> None:
    """Give `app` its host (`app.state.host`), settings (`app.state.serve`) and the API."""
    meters = Meters()
    if isinstance(supporter, SafeSupporter):
        meters.count_safety(supporter.counts)
    host = Host(supporter, at_once=settings.at_once, queue=settings.queue, meters=meters)
    app.state.serve, app.state.host, app.state.meters = settings, host, meters
    app.state.gate = Gate.open(settings)
    app.state.serving = Serving(settings, host, meters, Recall(), int(time.time()))
    app.state.closing.append(host.close)
    app.include_router(router)
