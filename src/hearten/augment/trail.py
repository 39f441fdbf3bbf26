"""The audit trail of a corpus, written by several people at once: `reviews.jsonl`, append only.

Every decision is one line on the disk before its reviewer is told that it counts. A lock on the file keeps
processes apart; each reads what the others added before it writes, so that two people can never decide about
the same thing without one of them being told.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from hearten.augment.decisions import Standing, standing
from hearten.augment.records import Review
from hearten.core.errors import Failure
from hearten.core.jsonl import Appender, cut_torn_line, parse_record
from hearten.core.locks import alone


class Trail:
    """What was decided, by anybody, until now.

    Args:
        path: `reviews.jsonl`; made by the first decision.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock, self._read = path, threading.Lock(), 0
        self._lines: list[Review] = []
        self._of: defaultdict[str, list[Review]] = defaultdict(list)
        self._standing: dict[str, Standing] = {}

    def of(self, item: str) -> tuple[Review, ...]:
        """Every line about one conversation, oldest first."""
        with self._lock:
            self._catch_up()
            return tuple(self._of.get(item, ()))

    def all(self) -> tuple[Review, ...]:
        """Every line, oldest first."""
        with self._lock:
            self._catch_up()
            return tuple(self._lines)

    def standing(self) -> dict[str, Standing]:
        """Where every conversation stands that somebody decided about."""
        with self._lock:
            self._catch_up()
            return dict(self._standing)

    def add(self, make: Callable[[tuple[Review, ...]], Review]) -> Review:
        """Write one decision; it is on the disk when this returns.

        Args:
            make: given all lines until now, makes the new one, or raises to write nothing.
        """
        with self._lock, alone(self._path.with_name(f".{self._path.name}.lock")):
            cut_torn_line(self._path)
            self._catch_up()
            review = make(tuple(self._lines))
            with Appender(self._path) as file:
                file.add(review)
                file.sync()
            self._catch_up()
        return review

    def _catch_up(self) -> None:
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        touched = {self._take(line) for line in whole.split(b"\n") if line.strip()}
        for item in touched:
            self._standing.pop(item, None)
            self._standing |= standing(self._of[item])

    def _take(self, line: bytes) -> str:
        where = f"{self._path}, line {len(self._lines) + 1}"
        try:
            review = parse_record(json.loads(line), Review, where=where)
        except ValueError as error:
            raise Failure(f"broken JSON line: {error}", where=where, fix="mend or remove it") from None
        self._lines.append(review)
        self._of[review.item].append(review)
        return review.item
