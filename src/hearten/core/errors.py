"""Errors written for people: what was wrong, where, and what to do about it.

Every refusal in hearten is a `HeartenError`. The command line prints its three lines and leaves with
its exit code; a traceback appears only with `--debug`. Two kinds exist because a script must tell them
apart: `UsageError` (the command or its configuration was wrong; nothing was started) and `Failure`
(the command was right, but a file's content, the disk or the numbers were not).
"""

from collections.abc import Iterable
from difflib import get_close_matches


class HeartenError(ValueError):
    """Something a person can put right. A ValueError, so that a record's validator may raise it.

    Args:
        what: one line saying what was wrong.
        where: file, line or field; empty when there is none.
        fix: one line saying what to do; empty when nothing sensible can be said.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def lines(self) -> list[str]:
        """The message as it is printed: what, where, what to do; at most three lines."""
        rows = [f"error: {self.what}"]
        if self.where:
            rows.append(f"  where: {self.where}")
        if self.fix:
            rows.append(f"  to do: {self.fix}")
        return rows

    def __str__(self) -> str:
        return "\n".join(self.lines())


class UsageError(HeartenError):
    """A wrong option, name, path or recipe: refused before any work (exit code 2)."""

    exit_code = 2


class Failure(HeartenError):
    """Right command, wrong content or circumstances (exit code 1)."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """The fix line for an unknown name: the near match first, then what else there is.

    >>> nearest("qestion", ["Question", "Others"])
    "did you mean 'Question'? (one of: Question, Others)"
    """
    names = [str(v) for v in valid]
    folded = {n.casefold(): n for n in reversed(names)}
    close = get_close_matches(str(name).casefold(), list(folded), n=1, cutoff=0.5)
    listing = f"one of: {', '.join(names)}" if names else "there are none"
    return f"did you mean '{folded[close[0]]}'? ({listing})" if close else listing
