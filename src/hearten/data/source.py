"""A path opened once: its text, or the texts inside a folder or zip archive.

Compression is recognised by content, not by name. Nothing here knows a corpus format; `first_record` is
what formats look at to recognise themselves.
"""

import gzip
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import require_file

TEXT_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".txt")
LINES_TRIED = 20


@dataclass(frozen=True)
class Source:
    """What lies at a path."""

    path: Path
    text: str = ""
    """The content of a file; empty for a folder or an archive of several files."""
    members: Mapping[str, str] = field(default_factory=dict)
    """File name → content, for a folder or archive."""

    @cached_property
    def document(self) -> Any:
        """The JSON value that the whole text is, or None if it is not one."""
        try:
            return json.loads(self.text) if self.text.lstrip()[:1] in ("[", "{") else None
        except json.JSONDecodeError:
            return None

    @cached_property
    def first_record(self) -> dict[str, Any]:
        """The first JSON object of a list or of JSON Lines; empty if there is none."""
        start = self.text.lstrip()[:1]
        found = self._first_of_list() if start == "[" else self._first_of_lines()
        return found if isinstance(found, dict) else {}

    def _first_of_list(self) -> Any:
        document = self.document
        return next((item for item in document or () if isinstance(item, dict)), None)

    def _first_of_lines(self) -> Any:
        for _, line in list(self.lines())[:LINES_TRIED]:
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                continue
        return self.document

    def lines(self) -> Iterator[tuple[int, str]]:
        """(line number from 1, line) of every line that is not blank."""
        return ((n, line) for n, line in enumerate(self.text.split("\n"), 1) if line.strip())

    def records(self) -> Iterator[tuple[str, Any]]:
        """(place, value) of a JSON list's items or of a JSON Lines file; a broken line is a Failure value.

        Raises:
            Failure: the text is neither.
        """
        if self.text.lstrip()[:1] == "[":
            yield from ((f"record {n}", item) for n, item in enumerate(self._list(), 1))
        elif isinstance(self.document, dict):
            yield "record 1", self.document
        else:
            yield from json_lines(self.lines())

    def _list(self) -> list[Any]:
        if isinstance(self.document, list):
            return self.document
        try:
            json.loads(self.text)
        except json.JSONDecodeError as error:
            where = f"{self.path}, line {error.lineno}, column {error.colno}"
            raise Failure(f"not valid JSON: {error.msg}", where=where, fix="mend the file there") from None
        raise Failure("not a JSON list", where=str(self.path))


def json_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Any]]:
    """(place, value) of every line; a line that is not JSON becomes a `Failure` as its value."""
    for number, line in lines:
        try:
            yield f"line {number}", json.loads(line)
        except json.JSONDecodeError as error:
            fix = "mend or remove that line"
            yield (
                f"line {number}",
                Failure(f"broken JSON line: {error.msg}", where=f"column {error.colno}", fix=fix),
            )


def open_source(path: Path) -> Source:
    """Read a file (plain, gzip, zip) or the text files of a folder.

    Raises:
        UsageError: there is nothing at the path.
        Failure: it is empty or not text.
    """
    if path.is_dir():
        names = sorted(p for p in path.iterdir() if p.is_file() and p.suffix in TEXT_SUFFIXES)
        return Source(path, members={p.name: _decode(p.read_bytes(), p) for p in names})
    content = require_file(path).read_bytes()
    if content[:4] == b"PK\x03\x04":
        return _open_zip(path)
    if content[:2] == b"\x1f\x8b":
        content = _gunzip(content, path)
    text = _decode(content, path)
    if not text.strip():
        raise Failure("the file is empty", where=str(path))
    return Source(path, text)


def _open_zip(path: Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                n for n in archive.namelist() if n.endswith(TEXT_SUFFIXES) and not n.startswith("__MACOSX")
            ]
            members = {Path(n).name: _decode(archive.read(n), path / n) for n in names}
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise Failure(f"not a readable zip archive: {error}", where=str(path)) from None
    if not members:
        raise UsageError(
            f"no corpus in the archive '{path}'", fix=f"it should hold {', '.join(TEXT_SUFFIXES)}"
        )
    if len(members) == 1:
        return Source(path, next(iter(members.values())))
    return Source(path, members=members)


def _gunzip(content: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Failure(f"the gzip file is damaged: {error}", where=str(path), fix="fetch it again") from None


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Failure(
            "not UTF-8 text", where=f"{path}, line {line}, byte {error.start}", fix="save it as UTF-8"
        ) from None
