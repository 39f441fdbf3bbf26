"""The public corpora hearten knows: owner's address, licence, citation (`catalogue.toml`)."""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from hearten.core.config import Config
from hearten.core.registry import lookup

UNSTATED = "not stated in the file: use it only as its owner allows"
OUR_OWN = {"hearten-seeds": "Apache-2.0 (part of hearten)"}
"""Sources that are ours."""


class RemoteFile(Config):
    """One file of a corpus."""

    name: str
    """How it is called in the data folder; with `.gz` it is compressed on arrival."""
    url: str
    sha256: str | None = None
    """Of the published bytes; None where no owner's copy was at hand to compute it from."""
    size: int | None = None
    """Bytes as published."""
    unpack: tuple[str, ...] = ()
    """Members to take out of a tar archive, by file name."""


class Entry(Config):
    """One corpus."""

    name: str
    title: str
    licence: str
    commercial: bool
    """Whether the licence allows commercial use."""
    citation: str
    conversations: bool = False
    """Whether `hearten data check` reads it; the others hold labels and knowledge."""
    folder: str
    """Its folder inside the data folder."""
    files: tuple[RemoteFile, ...]


@cache
def catalogue() -> dict[str, Entry]:
    """Every corpus by name."""
    table = tomllib.loads((files("hearten.data") / "catalogue.toml").read_text(encoding="utf-8"))
    return {name: Entry.model_validate({"name": name, "folder": name, **row}) for name, row in table.items()}


def entry(name: str) -> Entry:
    """The corpus called `name`.

    Raises:
        UsageError: unknown; with the near matches.
    """
    return lookup(catalogue(), name, "corpus")


def licence_of(source: str | None, sources: Iterable[str]) -> str:
    """The licence of what was read: by the format's corpus, else by what the conversations say they are."""
    names = [source] if source else sorted(set(sources))
    known = {**{name: row.licence for name, row in catalogue().items()}, **OUR_OWN}
    return " · ".join(dict.fromkeys(known.get(name, UNSTATED) for name in names))
