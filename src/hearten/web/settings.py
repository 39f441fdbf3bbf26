"""How the web server runs: one frozen object, made by `hearten web` from its options.

Local by default: it listens on 127.0.0.1 and stores in one SQLite file. Several processes share the work only
on PostgreSQL, where they hear of one another through LISTEN/NOTIFY. The settings travel to worker processes
as JSON in `HEARTEN_WEB`.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hearten.core.config import Config

VARIABLE = "HEARTEN_WEB"


class Settings(Config):
    """Everything the server needs to know before its first request."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    database: str = "sqlite:///hearten.sqlite"
    studies: tuple[Path, ...] = ()
    corpora: tuple[Path, ...] = ()
    """Folders of grown corpora that people review."""
    reviewers: Annotated[int, Field(ge=1, le=9)] = 1
    """How many people decide about each conversation of such a corpus."""
    quality: tuple[Path, ...] = ()
    """Quality studies: people rate conversations whose origin is hidden."""
    secure: bool = False
    """True behind HTTPS: cookies are then sent over it only."""
    trust_proxy: bool = False
    """True behind a reverse proxy of one's own: the client's address is read from X-Forwarded-For."""
    largest_body: Annotated[int, Field(ge=1024)] = 1_000_000
    """Bytes of a form or of one socket message."""
    forms_per_minute: Annotated[float, Field(gt=0)] = 120
    """Submitted forms one address may send."""
    tries_per_minute: Annotated[float, Field(gt=0)] = 12
    """Passwords and invitation links one address may try."""
    messages_per_second: Annotated[float, Field(gt=0)] = 5
    """Frames one socket may send, in the long run; 30 at once."""
