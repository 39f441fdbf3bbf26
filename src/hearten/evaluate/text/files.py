r"""Texts from files: one item a line, or one JSON object a line.

A text file is cut at `\n` alone (a `\r` before it goes too): characters such as U+2028 or U+0085 stay
inside their item, where Python's `splitlines` would make two and shift every item after. An empty line
is an empty item. A newline at the end ends the last item, it does not begin another.
"""

import gzip
from pathlib import Path
from typing import Any

from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.jsonl import read_lines, require_file

FIELDS = {
    "hypotheses": ("hypothesis", "generation", "generated", "prediction", "output", "text"),
    "references": ("reference", "gold", "target", "response", "text"),
}
"""Field names tried in a JSON Lines file, in this order."""


def read_texts(path: Path, *, side: str = "hypotheses", field: str | None = None) -> list[str]:
    """The texts of a file, `.jsonl` or plain, either of them `.gz`.

    Args:
        path: the file.
        side: `hypotheses` or `references`: which usual field names are tried.
        field: the JSON field that holds the text.

    Raises:
        UsageError: no such file, or no such field.
        Failure: the file is not text, or an item is not a text; with file and line.
    """
    require_file(path)
    if path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return _from_objects(path, side, field)
    if field is not None:
        raise UsageError(
            f"'{path}' is read as plain text and has no field '{field}'", fix="name a .jsonl file"
        )
    return _from_lines(path)


def _from_lines(path: Path) -> list[str]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Failure("not UTF-8 text", where=f"{path}, line {line}", fix="save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise Failure(f"not readable: {error}", where=str(path)) from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _from_objects(path: Path, side: str, field: str | None) -> list[str]:
    texts = []
    for number, value in read_lines(path):
        where = f"{path}, line {number}"
        if isinstance(value, dict):
            field = field or _usual_field(value, side, where)
            value = _field(value, field, where)
        if not isinstance(value, str):
            raise Failure(f"a text is wanted, not {type(value).__name__}", where=where)
        texts.append(value)
    return texts


def _usual_field(value: dict[str, Any], side: str, where: str) -> str:
    found = next((name for name in FIELDS[side] if name in value), None)
    if found is None:
        raise UsageError(
            f"which field holds the {side}?", where=where, fix=f"name it: one of {', '.join(map(str, value))}"
        )
    return found


def _field(value: dict[str, Any], field: str, where: str) -> Any:
    if field not in value:
        raise UsageError(f"no field '{field}'", where=where, fix=nearest(field, value))
    return value[field]
