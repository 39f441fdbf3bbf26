"""What every request of `hearten serve` can reach: settings, host, memory of strategies, counts."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from hearten.serve.host import Host
from hearten.serve.meters import Meters
from hearten.serve.recall import Recall
from hearten.serve.settings import ServeSettings


@dataclass(frozen=True, slots=True)
class Serving:
    """One server process."""

    settings: ServeSettings
    host: Host
    meters: Meters
    recall: Recall
    started: int
    """Seconds since 1970."""


def serving(connection: HTTPConnection) -> Serving:
    """The `Serving` behind this connection."""
    return cast(Serving, connection.app.state.serving)
