"""The screen's findings of earlier messages, so that a conversation is not read anew at every turn.

A served conversation comes back whole with each request. Findings are remembered by a hash of the message;
no text is kept, only what `Finding` holds (kinds, severity and the words that were seen), in memory, for the
last few thousand messages.

One thread reads at a time, and reads what all the others wait for together: the encoder's time for one short
message is hardly less than for five, and many threads reading at once would keep the web server and the chat
engine from running.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from hearten.safety.screen import Finding, screen

REMEMBERED = 8192
"""Messages whose finding is kept."""
TOGETHER = 4
"""Requests that are read in one go: more would keep the chat engine waiting for its first prompt."""


@dataclass(slots=True)
class _Asked:
    """What one thread wants to know."""

    texts: list[str]
    findings: list[Finding] | None = None


class Seen:
    """A screen with a memory; may be used from several threads."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._findings: OrderedDict[bytes, Finding] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._asked: list[_Asked] = []

    def screen(self, texts: Sequence[str]) -> list[Finding]:
        """One finding a text, as `screen.screen`; what was seen before is not read again."""
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in texts]
        with self._lock:
            known = {key: self._findings[key] for key in keys if key in self._findings}
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if fresh:
            known |= dict(zip(fresh, self._read(list(fresh.values())), strict=True))
        with self._lock:
            for key in keys:
                self._findings[key] = known[key]
                self._findings.move_to_end(key)
            while len(self._findings) > self._remembered:
                self._findings.popitem(last=False)
        return [known[key] for key in keys]

    def _read(self, texts: list[str]) -> list[Finding]:
        """Findings of new texts, read together with what other threads ask meanwhile."""
        mine = _Asked(texts)
        with self._lock:
            self._asked.append(mine)
        with self._reading:
            if mine.findings is None:
                self._answer(mine)
        assert mine.findings is not None
        return mine.findings

    def _answer(self, mine: _Asked) -> None:
        """Answer those who asked first, and `mine`."""
        with self._lock:
            others = [one for one in self._asked if one is not mine][: TOGETHER - 1]
            some = [mine, *others]
            self._asked = [one for one in self._asked if all(one is not other for other in some)]
        found = iter(screen([text for one in some for text in one.texts]))
        for one in some:
            one.findings = [next(found) for _ in one.texts]
