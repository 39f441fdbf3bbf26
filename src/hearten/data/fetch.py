"""Bring a public corpus into the data folder: from its owner's address, or from a file the user has.

The licence is shown and accepted before anything moves. What arrives is checked against the declared sha256;
where none is declared, the hash of the first fetch is written to `SOURCE.json` and later fetches are held
against it. Files whose name ends in .gz are compressed here, so the hash is of the owner's bytes.
"""

import gzip
import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_json, replacing, write_json
from hearten.core.progress import progress
from hearten.core.runfolder import now
from hearten.data.catalogue import Entry, RemoteFile

TIMEOUT = 30.0
"""Seconds without a byte before a fetch gives up."""
CHUNK = 1 << 16


def data_root() -> Path:
    """The folder corpora are written to: `HEARTEN_DATA`, else `./data`."""
    return Path(os.environ.get("HEARTEN_DATA") or "data")


def get(
    corpus: Entry, *, offline: Path | None = None, root: Path | None = None, quiet: bool = False
) -> list[Path]:
    """Fetch every file of a corpus; returns what was written.

    Args:
        corpus: what to fetch.
        offline: a file or folder to take it from instead of the network.
        root: the data folder; None means `data_root()`.
        quiet: no progress bar.

    Raises:
        UsageError: the offline path lacks a file.
        Failure: the network failed, a hash differs, or the disk is full.
    """
    folder = (root or data_root()) / corpus.folder
    ledger = folder / "SOURCE.json"
    known: dict[str, Any] = read_json(ledger) if ledger.is_file() else {}
    written: list[Path] = []
    for file in corpus.files:
        content = _offline(corpus, file, offline) if offline else _download(file, quiet)
        record = _verified(file, content, known.get(file.name, {}))
        written += _store(folder, file, content)
        known[file.name] = {**record, "licence": corpus.licence, "taken_from": str(offline or file.url)}
        write_json(ledger, known)
    return written


def _verified(file: RemoteFile, content: bytes, before: dict[str, Any]) -> dict[str, Any]:
    """What the ledger records of these bytes.

    Raises:
        Failure: they are not what was declared, or not what came the first time.
    """
    found = hashlib.sha256(content).hexdigest()
    expected, origin = (file.sha256, "declared") if file.sha256 else (before.get("sha256"), "first fetch")
    if expected and expected != found:
        hashes = f"sha256 {found[:16]}… instead of {expected[:16]}… ({origin})"
        what = f"'{file.name}' is not the expected file: {hashes}"
        raise Failure(what, where=file.url, fix="fetch it again; if the owner changed it, remove SOURCE.json")
    return {
        "url": file.url,
        "sha256": found,
        "checked_against": origin if expected else None,
        "fetched": now(),
    }


def _offline(corpus: Entry, file: RemoteFile, path: Path) -> bytes:
    names = (file.name, file.name.removesuffix(".gz"), file.url.rsplit("/", 1)[-1])
    if path.is_dir():
        candidates = [path / name for name in names] + [path / corpus.folder / name for name in names]
    else:
        candidates = [path] if len(corpus.files) == 1 or path.name in names else []
    for candidate in candidates:
        if candidate.is_file():
            return _owner_bytes(file, candidate.read_bytes())
    wanted = ", ".join(dict.fromkeys(names))
    raise UsageError(f"'{path}' does not hold {corpus.name}", fix=f"it should hold one of: {wanted}")


def _owner_bytes(file: RemoteFile, content: bytes) -> bytes:
    """Undo our compression, but not the owner's."""
    ours = file.name.endswith(".gz") and not file.url.endswith(".gz") and not file.name.endswith(".tar.gz")
    return gzip.decompress(content) if ours and content[:2] == b"\x1f\x8b" else content


def _download(file: RemoteFile, quiet: bool) -> bytes:
    """The bytes at the owner's address.

    Raises:
        Failure: no connection, a refusal, or a stop in between.
    """
    fix = f"check the network, or fetch {file.url.rsplit('/', 1)[-1]} by hand and pass --from PATH"
    parts: list[bytes] = []
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT) as stream:
            total = float(stream.headers.get("Content-Length") or file.size or 0)
            with progress(file.name, total, quiet=quiet) as bar:
                while part := stream.read(CHUNK):
                    parts.append(part)
                    bar.advance(len(part))
    except urllib.error.HTTPError as error:
        raise Failure(f"the server answered {error.code} {error.reason}", where=file.url, fix=fix) from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise Failure(f"could not fetch '{file.name}': {reason}", where=file.url, fix=fix) from None
    return b"".join(parts)


def _store(folder: Path, file: RemoteFile, content: bytes) -> list[Path]:
    if file.unpack:
        return [_write(folder / name, data) for name, data in _members(file, content).items()]
    compress = file.name.endswith(".gz") and content[:2] != b"\x1f\x8b"
    return [_write(folder / file.name, gzip.compress(content, mtime=0) if compress else content)]


def _members(file: RemoteFile, content: bytes) -> dict[str, bytes]:
    """The wanted members of a tar archive by file name; no other path leaves the archive."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                name = Path(member.name).name
                stream = archive.extractfile(member) if member.isfile() and name in file.unpack else None
                if stream is not None:
                    found[name] = stream.read()
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"'{file.name}' is not a tar archive: {error}", where=file.url) from None
    missing = [name for name in file.unpack if name not in found]
    if missing:
        raise Failure(f"'{file.name}' lacks {', '.join(missing)}", where=file.url)
    return found


def _write(path: Path, content: bytes) -> Path:
    with replacing(path, "wb") as stream:
        stream.write(content)
    return path
