"""Look a name up in a literal dict, and answer a typo with the nearest valid name."""

from collections.abc import Mapping
from typing import TypeVar

from hearten.core.errors import UsageError, nearest

T = TypeVar("T")


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """`table[name]`.

    Raises:
        UsageError: the name is unknown; the message names `kind` and the near matches.
    """
    try:
        return table[name]
    except KeyError:
        raise UsageError(f"unknown {kind} '{name}'", fix=nearest(name, table)) from None
