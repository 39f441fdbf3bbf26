"""Whoever writes of danger sees at once where help is, and whoever reads it is not left alone with it.

The crisis screen (`safety.screen`) reads what seekers write after it is delivered, in a thread, never in a
message's way. What it finds becomes an event of the room: both sides then see help lines, and the study
leader sees the room marked. It ends nothing, forbids nothing and is in no corpus; only severity and kinds are
kept. A room is told once, and again if it becomes more severe. The event's id is made of the number of the
message, so that two processes, or a restart, tell it once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from hearten.collect.live import Hub, LiveRoom
from hearten.collect.rooms import CARE, SEEKER, Draft, Entry
from hearten.safety.rules import SEVERITIES
from hearten.safety.screen import Finding, screen

BATCH = 32
LONGEST_QUEUE = 1000
"""Messages that may wait to be read; beyond it the oldest are given up, which the log tells."""
log = logging.getLogger("hearten.collect")


class Watch:
    """Reads what seekers write.

    Args:
        hub: whose rooms are watched.
        read: the screen; `safety.screen.screen` unless a test says otherwise.
    """

    def __init__(self, hub: Hub, read: Callable[[Sequence[str]], list[Finding]] = screen) -> None:
        self._hub, self._read = hub, read
        self._waiting: deque[tuple[LiveRoom, Entry]] = deque()
        self._some = asyncio.Event()
        hub.watch = self.look

    def look(self, room: LiveRoom, entries: Sequence[Entry]) -> None:
        """Put new messages of the seeker into the queue."""
        if not room.study.care.screen:
            return
        for entry in entries:
            if entry.kind == "message" and entry.role == SEEKER and entry.text:
                self._waiting.append((room, entry))
                self._some.set()
        while len(self._waiting) > LONGEST_QUEUE:
            self._waiting.popleft()
            log.warning("too many messages to read all of them for signs of danger")

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self._some.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not self._waiting:
                self._some.clear()
            findings = await asyncio.to_thread(self._read, [entry.text or "" for _, entry in batch])
            for (room, entry), finding in zip(batch, findings, strict=True):
                if finding.crisis and is_news(room.log, finding.severity):
                    data = {"severity": finding.severity, "kinds": list(finding.kinds)}
                    draft = Draft(room.id, CARE, "screen", f"care-{entry.seq}", data=data)
                    await self._hub.journal.add(draft)


def is_news(log: Sequence[Entry], severity: str) -> bool:
    """Whether a room has not been told of anything as severe."""
    told = [str((entry.data or {}).get("severity")) for entry in log if entry.kind == CARE]
    return all(SEVERITIES.index(one) < SEVERITIES.index(severity) for one in told)
