"""The screen's findings of earlier messages, so that a conversation is not read anew at every turn.

A served conversation comes back whole with each request. Findings are remembered by a hash of the message;
no text is kept, only what `Finding` holds (kinds, severity and the words that were seen), in memory, for the
last few thousand messages.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

from hearten.safety.screen import Finding, screen

REMEMBERED = 8192
"""Messages whose finding is kept."""


class Seen:
    """A screen with a memory; may be used from several threads."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._findings: OrderedDict[bytes, Finding] = OrderedDict()
        self._lock = threading.Lock()

    def screen(self, texts: Sequence[str]) -> list[Finding]:
        """One finding a text, as `screen.screen`; what was seen before is not read again."""
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in texts]
        with self._lock:
            known = {key: self._findings[key] for key in keys if key in self._findings}
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        known |= dict(zip(fresh, screen(list(fresh.values())), strict=True))
        with self._lock:
            for key in keys:
                self._findings[key] = known[key]
                self._findings.move_to_end(key)
            while len(self._findings) > self._remembered:
                self._findings.popitem(last=False)
        return [known[key] for key in keys]
