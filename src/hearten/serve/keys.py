"""API keys: made here, shown once, kept as hashes.

A key is 256 random bits, so a plain SHA-256 of it cannot be turned back by guessing, and checking one costs
microseconds. The file holds a line for each key: its name, hash and date.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from pathlib import Path

from hearten.core.conversation import Record
from hearten.core.errors import UsageError
from hearten.core.jsonl import read_records, write_records
from hearten.core.runfolder import now

PREFIX = "hearten-"


class Key(Record):
    """One key, as it is kept."""

    name: str
    sha256: str
    created: str


class Keys:
    """The keys of a file."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """The keys in `path`.

        Raises:
            UsageError: there is no such file; Failure: a line is no key.
        """
        if not path.is_file():
            raise UsageError(f"no key file: '{path}'", fix=f"hearten serve --new-key NAME --keys {path}")
        return cls(list(read_records(path, Key)))

    def name_of(self, secret: str) -> str | None:
        """Whose key this is; every key is compared, in constant time."""
        digest = _hash(secret)
        found = [key.name for key in self.keys if hmac.compare_digest(key.sha256, digest)]
        return found[0] if found else None


def make_key(path: Path, name: str) -> str:
    """Add a key to the file (readable by its owner alone) and answer its secret, which is kept nowhere.

    Raises:
        UsageError: the name is taken or empty.
    """
    keys = list(read_records(path, Key)) if path.is_file() else []
    if not name or name in {key.name for key in keys}:
        raise UsageError(f"there is a key named '{name}' already", fix="another name, or remove its line")
    secret = PREFIX + secrets.token_urlsafe(32)
    write_records(path, [*keys, Key(name=name, sha256=_hash(secret), created=now())])
    path.chmod(0o600)
    return secret


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
