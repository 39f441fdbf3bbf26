"""The ledger of requests: what goes out, and what came back, on the disk before anything is done with it.

Opening it again tells which requests have an answer (they are never sent again), what was spent, and which
were under way when the process died. Several threads write to one ledger.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hearten.augment.records import Request
from hearten.core.jsonl import Appender, read_records

ANSWERS = ("answered", "refused")
"""What becomes of a request that is never sent again."""


def slot_of(identifier: str) -> str:
    """The conversation a request belongs to: `r1-00042` of `r1-00042.s03.a1`."""
    return identifier.partition(".")[0]


@dataclass
class Account:
    """What the ledger adds up to."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Requests by what became of them: `answered`, `refused`, `failed`, `lost` with a killed process, and
    `sent` for those under way."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    uncertain: float = 0.0
    """The most that requests without an answer may have cost besides."""

    def as_dict(self) -> dict[str, float]:
        """For `--json`."""
        counts = {name: self.statuses[name] for name in ("answered", "refused", "failed", "lost")}
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        return {**counts, **tokens, "cost": round(self.cost, 6), "uncertain_cost": round(self.uncertain, 6)}


class Ledger:
    """`requests.jsonl`, open for reading what is known and adding what happens.

    Args:
        path: the file.
        keep: whether the replies of the conversation with this id will be wanted again; the others are only
            counted, so that a corpus of any size fits in memory.
    """

    def __init__(self, path: Path, keep: Callable[[str], bool] = lambda slot: True) -> None:
        self._file = Appender(path)
        self._lock = threading.Lock()
        self._known: defaultdict[str, dict[str, Request]] = defaultdict(dict)
        self._open: dict[str, Request] = {}
        self.account = Account()
        for line in read_records(path, Request):
            self._count(line)
            if line.status in ANSWERS and keep(slot_of(line.id)):
                self._known[slot_of(line.id)][line.key] = line
        self._lose()

    def known(self, slot: str, key: str) -> Request | None:
        """The answer to an equal request of this conversation, if there is one."""
        with self._lock:
            return self._known.get(slot, {}).get(key)

    def add(self, line: Request) -> None:
        """Write one line; what came back is on the disk when this returns, before it counts."""
        with self._lock:
            self._file.add(line)
        if line.status != "sent":
            self._file.sync()  # outside the lock: several threads' lines go to the disk together
        with self._lock:
            self._count(line)
            if line.status in ANSWERS:
                self._known[slot_of(line.id)][line.key] = line

    def forget(self, slot: str) -> None:
        """Drop the replies of a conversation that was judged from memory; the file keeps them."""
        with self._lock:
            self._known.pop(slot, None)

    def _count(self, line: Request) -> None:
        account, before = self.account, self._open.pop(line.key, None)
        if before is not None:
            account.uncertain -= before.cost
            account.statuses["sent"] -= 1
            if line.status == "sent":  # the same request again: the first one was lost with its process
                account.uncertain += before.cost
                account.statuses["lost"] += 1
        account.statuses[line.status] += 1
        account.prompt_tokens += line.prompt_tokens
        account.completion_tokens += line.completion_tokens
        if line.status == "sent":
            self._open[line.key] = line
            account.uncertain += line.cost
        elif line.status == "failed":
            account.uncertain += line.cost
        else:
            account.cost += line.cost

    def _lose(self) -> None:
        """What was under way when the file was last open will not be answered."""
        self.account.statuses["lost"] += len(self._open)
        self.account.statuses["sent"] -= len(self._open)
        self._open.clear()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
