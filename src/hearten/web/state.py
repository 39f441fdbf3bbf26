"""What every request can reach: settings, database, broker, pages and the rates in force."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

from hearten.web.broker import Broker
from hearten.web.database import Database
from hearten.web.settings import Settings

if TYPE_CHECKING:
    from hearten.web.guard import Rate
    from hearten.web.pages import Pages


@dataclass(frozen=True, slots=True)
class Web:
    """One server process."""

    settings: Settings
    database: Database
    broker: Broker
    pages: "Pages"
    forms: "Rate"
    tries: "Rate"


def web(connection: HTTPConnection) -> Web:
    """The `Web` that serves this connection."""
    return cast(Web, connection.app.state.web)
