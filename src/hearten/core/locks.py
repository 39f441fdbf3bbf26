"""One process at a time: a lock on a file, that goes with the process however it ends.

It is for folders that several commands or servers may write to. Where the system has no such lock, everybody
is let in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hearten.core.errors import Failure


class Taken(Failure):
    """Another process is at it."""


@contextmanager
def alone(place: Path, *, wait: bool = True) -> Iterator[None]:
    """No other process is in such a block for the same `place` meanwhile.

    Args:
        place: the lock file, made where it is missing, its folder too.
        wait: for the other process; else refuse at once.

    Raises:
        Taken: another process holds it, and we are not to wait.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Taken("another process is at it", where=str(place.parent), fix="wait for it") from None
        yield
