"""How the chat page treats people's words: one frozen object.

By default nothing is kept: conversations live in the server's memory, for one browser session, and are gone
when either ends. `keep` names a file to keep them in, encrypted, for `keep_days`.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hearten.core.config import Config

DAY = 86_400.0
IDLE_HOURS = 12
"""Without `keep`: hours after which a conversation nobody comes back to is forgotten."""


class PageSettings(Config):
    """What the page needs to know before its first visitor."""

    keep: Path | None = None
    """The SQLite file of kept conversations; None keeps them in memory only."""
    key_file: Path | None = None
    """Where the key lies, if not in the user's configuration folder; `HEARTEN_TRANSCRIPT_KEY` goes before."""
    keep_days: Annotated[float, Field(gt=0)] = 30
    """Days after its last message at which a kept conversation is removed."""
    minimum_age: Annotated[int, Field(ge=0)] = 18
    """The age a visitor confirms; 0 asks nothing."""
    longest_message: Annotated[int, Field(ge=1)] = 4000
    """Characters of one message."""
    most_messages: Annotated[int, Field(ge=2)] = 2000
    """Messages of one conversation, all its branches counted."""
    most_talks: Annotated[int, Field(ge=1)] = 200
    """Conversations of one visitor."""

    @property
    def lifetime(self) -> float:
        """Seconds after its last message at which a conversation is removed."""
        return self.keep_days * DAY if self.keep else IDLE_HOURS * 3600.0
