"""How `hearten serve` runs: one frozen object, made from the command's options.

The web server's own settings (`web.settings`) are part of it. Everything is local and nothing is kept unless
somebody asks for it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hearten.core.config import Config
from hearten.lm.engine import EngineConfig
from hearten.serve.keeping import PageSettings
from hearten.serve.links import LinksConfig
from hearten.web.settings import Settings

VARIABLE = "HEARTEN_SERVE"


class ServeSettings(Config):
    """What serving needs to know before the first request."""

    web: Settings = Settings()
    model: str = "embedded"
    """A run folder or the name of a chat model."""
    labels: str = "esconv"
    """The label set of its strategies."""
    engine: EngineConfig = EngineConfig(context=2048, slots=16)
    links: LinksConfig = LinksConfig()
    at_once: Annotated[int, Field(ge=1)] = 16
    """Replies that are made at the same time."""
    queue: Annotated[int, Field(ge=0)] = 64
    """Requests that may wait; one more is told to come back later."""
    keys: Path | None = None
    """The file of hashed API keys; without it the API answers this machine alone."""
    requests_per_minute: Annotated[float, Field(gt=0)] = 60
    """Requests that one key (or one address, without keys) may send in the long run."""
    notices: bool = True
    """The API's first reply says that this is an AI, and so does one now and then; off for a caller that
    tells people itself.
    """
    longest_message: Annotated[int, Field(ge=1)] = 20_000
    """Characters of one message."""
    most_messages: Annotated[int, Field(ge=1)] = 500
    """Messages of one conversation."""
    page: PageSettings = PageSettings()
    """How the chat page treats what people write."""
