"""How `hearten serve` runs: one frozen object, made from the command's options.

The web server's own settings (`web.settings`) are part of it. Everything is local and nothing is kept unless
somebody asks for it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hearten.core.config import Config
from hearten.serve.keeping import PageSettings
from hearten.web.settings import Settings

VARIABLE = "HEARTEN_SERVE"


class ServeSettings(Config):
    """What serving needs to know before the first request."""

    web: Settings = Settings()
    model: str = "embedded"
    """A run folder or the name of a chat model."""
    at_once: Annotated[int, Field(ge=1)] = 4
    """Replies that are made at the same time."""
    queue: Annotated[int, Field(ge=0)] = 64
    """Requests that may wait; one more is told to come back later."""
    keys: Path | None = None
    """The file of hashed API keys; without it the API answers this machine alone."""
    page: PageSettings = PageSettings()
    """How the chat page treats what people write."""
    region: str | None = None
    """Where the people are whose help lines are named, as `us`; asked for in the chat when not known."""
