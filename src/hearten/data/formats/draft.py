"""What every reader does with one record: names of roles, clean text, complaints with their place.

A reader turns one raw record into a draft, the dict that `Conversation` is validated from. It leaves out
`label_set` when the file does not say; the corpus reader then finds the set that knows all its names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure, nearest
from hearten.data.source import Source

Draft = dict[str, Any]
Raw = tuple[str, Any]
"""(place in the file, record); the record is a `Failure` where the file is broken."""

ROLES: Mapping[str, Role] = {
    name: role
    for role, names in {
        Role.SEEKER: ("seeker", "speaker", "user", "usr", "client", "help-seeker", "helpseeker"),
        Role.SUPPORTER: ("supporter", "listener", "assistant", "sys", "ai", "therapist", "counselor"),
    }.items()
    for name in names
}
"""What released files call the two roles."""


@dataclass(frozen=True)
class Format:
    """One file format that can recognise itself."""

    name: str
    title: str
    recognise: Callable[[Source], bool]
    records: Callable[[Source], Iterator[Raw]]
    draft: Callable[[Any, int], Draft]
    """(record, its number from 0) → draft."""
    write: Callable[[Sequence[Conversation], Path], None] | None = None
    source: str | None = None
    """The corpus this format belongs to, where there is only one."""
    label_set: str = "esconv"
    """Preferred where the names fit several sets."""


def clean(text: Any, where: str) -> str:
    """Text with whitespace runs collapsed.

    Raises:
        Failure: it is not a string, or nothing is left.
    """
    if not isinstance(text, str):
        raise Failure(f"the utterance is not text but {type(text).__name__}", where=where)
    cleaned = " ".join(text.split())
    if not cleaned:
        raise Failure("empty utterance", where=where, fix="write its text or remove the turn")
    return cleaned


def role(name: Any, where: str) -> Role:
    """The role a file calls `name`.

    Raises:
        Failure: nobody calls a role that; with the nearest valid name.
    """
    found = ROLES.get(str(name).strip().casefold())
    if found is None:
        raise Failure(f"unknown speaker '{name}'", where=where, fix=nearest(str(name), ROLES))
    return found


def require(record: Any, key: str, kind: type, where: str = "") -> Any:
    """`record[key]`, which must be there and of that type.

    Raises:
        Failure: it is not.
    """
    if not isinstance(record, dict):
        raise Failure(f"a {type(record).__name__} where an object should be", where=where)
    if key not in record:
        raise Failure(f"a required key is missing: '{key}'", where=where, fix=nearest(key, record))
    if not isinstance(record[key], kind):
        place = f"{where}, field {key}" if where else f"field {key}"
        raise Failure(f"'{key}' is a {type(record[key]).__name__}, not a {kind.__name__}", where=place)
    return record[key]


def refuse_unknown(record: Mapping[str, Any], known: Iterable[str], where: str = "") -> None:
    """Raise a Failure for the first key that is not known, with the nearest valid one."""
    valid = list(known)
    for key in record:
        if key not in valid:
            raise Failure(f"unknown key '{key}'", where=where, fix=nearest(key, valid))


def present(**values: Any) -> Draft:
    """Only those values that are there (not None, not an empty string)."""
    return {key: value for key, value in values.items() if value is not None and value != ""}
