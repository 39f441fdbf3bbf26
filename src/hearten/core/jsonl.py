"""Read and write files so that a bad line is named and a killed process leaves the old file whole.

Writing goes beside the target and is renamed over it at the end. Appending (`Appender`) is for ledgers
that must survive `kill -9`: one flushed line a record; a torn last line is dropped when it is reopened.
"""

import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from hearten.core.config import explain
from hearten.core.errors import Failure, UsageError

M = TypeVar("M", bound=BaseModel)

NOT_TEXT = (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError)
"""What reading raises when a file is no UTF-8, or a `.gz` is damaged or cut."""


def require_file(path: Path) -> Path:
    """`path` if it is a readable file.

    Raises:
        UsageError: it is missing or a folder; names near neighbours.
    """
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder, not a file", fix="name a file inside it")
    there = sorted(p.name for p in path.parent.glob("*"))[:8] if path.parent.is_dir() else []
    raise UsageError(f"no such file: '{path}'", fix=f"in that folder: {', '.join(there) or 'nothing'}")


def open_text(path: Path) -> IO[str]:
    """Open a text file, plain or `.gz`, as UTF-8."""
    require_file(path)
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def read_json(path: Path) -> Any:
    """The one JSON value a file holds.

    Raises:
        Failure: not JSON; with file, line and column.
    """
    try:
        with open_text(path) as stream:
            return json.load(stream)
    except json.JSONDecodeError as error:
        raise Failure(
            f"not valid JSON: {error.msg}", where=f"{path}, line {error.lineno}, column {error.colno}"
        ) from None
    except NOT_TEXT as error:
        raise Failure(f"not readable text: {error}", where=str(path)) from None


def read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) of a JSON Lines file; blank lines are skipped.

    Raises:
        Failure: a line is not JSON, or the file is not text; with file and line.
    """
    number = 0
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, json.loads(line)
    except json.JSONDecodeError as error:
        raise Failure(
            f"broken JSON line: {error.msg}",
            where=f"{path}, line {number}, column {error.colno}",
            fix="mend or remove that line",
        ) from None
    except NOT_TEXT as error:
        raise Failure(f"not readable text: {error}", where=f"{path}, after line {number}") from None


def read_records(path: Path, record: type[M]) -> Iterator[M]:
    """Yield the records of a JSON Lines file, each checked against its type.

    Raises:
        Failure: a line does not fit; with file, line, field and the nearest valid name.
    """
    for number, value in read_lines(path):
        yield parse_record(value, record, where=f"{path}, line {number}")


def parse_record(value: Any, record: type[M], *, where: str) -> M:
    """`value` as a `record`, or a `Failure` that says which field does not fit."""
    try:
        return record.model_validate(value)
    except ValidationError as error:
        what, field, fix = explain(error, record)
        raise Failure(what, where=f"{where}{f', field {field}' if field else ''}", fix=fix) from None


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a neighbour of `path` for writing and rename it over `path` only if the block succeeds.

    Raises:
        Failure: the disk is full or the folder cannot be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open(mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        if error.filename not in (None, *map(str, (path.parent, *path.parents, beside))):
            raise  # the block could not read another file
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> Failure:
    """What a person is told when `path` cannot be written: a full disk, no permission, no folder."""
    return Failure(f"could not write: {error.strerror or error}", where=str(path))


def dump_line(value: BaseModel | dict[str, Any]) -> str:
    """One record as one JSON line, without the newline; absent (None) fields are left out."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_none=True)
    return json.dumps(value, ensure_ascii=False)


def write_records(path: Path, records: Iterable[BaseModel | dict[str, Any]]) -> int:
    """Write a JSON Lines file whole, or not at all; returns the number of records."""
    count = 0
    with replacing(path) as stream:
        for value in records:
            stream.write(dump_line(value) + "\n")
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, whole or not at all."""
    with replacing(path) as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2)
        stream.write("\n")


class Appender:
    """Append records to a ledger, each durable once `add` returns.

    Reopening cuts a last line that a killed process left half written, so that a ledger is always a
    whole number of records. A killed process loses nothing; after `sync` a machine that loses power does
    not either.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cut_torn_line(path)
        self.path = path
        self._stream = path.open("a", encoding="utf-8")

    def add(self, value: BaseModel | dict[str, Any]) -> None:
        """Append one record and flush it to the operating system."""
        try:
            self._stream.write(dump_line(value) + "\n")
            self._stream.flush()
        except OSError as error:
            raise unwritable(self.path, error) from error

    def sync(self) -> None:
        """Wait until everything added so far is on the disk."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file; adding afterwards is an error."""
        try:
            self._stream.close()
        except OSError as error:  # what `add` could not write is tried once more here
            raise unwritable(self.path, error) from error

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cut_torn_line(path: Path) -> None:
    """Drop what a killed process left of a last line, if the ledger is there."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)
