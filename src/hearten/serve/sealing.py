"""Encryption of what is kept: AES-256-GCM, one random nonce a text, bound to the row it belongs to.

A sealed text that is moved to another row, or changed, does not open. The key is 32 random bytes, in
`HEARTEN_TRANSCRIPT_KEY` (base64) or in a file of mode 0600 that lies in another folder than the database, so
that a copied database holds no readable word.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hearten.core.errors import Failure, UsageError

VARIABLE = "HEARTEN_TRANSCRIPT_KEY"
KEY_BYTES, NONCE_BYTES = 32, 12


class Sealer:
    """Seals and opens texts with one key.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, text: str, place: str) -> bytes:
        """`text`, readable only with the key and only at `place`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """The text that was sealed for `place`.

        Raises:
            Failure: another key, another place, or changed bytes.
        """
        try:
            plain = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
        except InvalidTag:
            fix = f"give the key it was written with, in {VARIABLE} or its file"
            raise Failure("a kept text does not open with this key", where=place, fix=fix) from None
        return plain.decode()


def passing_key() -> bytes:
    """A key nobody will know again: for what lives in memory only."""
    return secrets.token_bytes(KEY_BYTES)


def default_key_file() -> Path:
    """`transcripts.key` in the user's configuration folder."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hearten" / "transcripts.key"


def find_key(file: Path | None = None) -> bytes:
    """The key of the environment, or of `file`, which is made where there is none yet.

    Raises:
        UsageError: not 32 bytes of base64.
        Failure: others on this machine can read the file.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return _decoded(named, VARIABLE)
    path = file or default_key_file()
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise Failure(
            "others can read the key of kept conversations", where=str(path), fix=f"chmod 600 {path}"
        )
    return _decoded(path.read_text(encoding="ascii", errors="replace"), str(path))


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(base64.b64encode(passing_key()).decode() + "\n")


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        fix = 'python -c "import os, base64; print(base64.b64encode(os.urandom(32)).decode())" makes one'
        raise UsageError(f"a key is {KEY_BYTES} bytes in base64", where=where, fix=fix)
    return key
