"""Small config classes read from TOML: unknown keys are refused with the nearest valid name.

Every method has one `Config` subclass holding the paper's defaults with their source in the field's
description. `load_toml` reads a file into one; `explain` turns pydantic's complaint into our three lines.
"""

import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hearten.core.errors import UsageError, nearest

C = TypeVar("C", bound=BaseModel)


class Config(BaseModel):
    """Base of every configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_toml(path: Path) -> dict[str, Any]:
    """The table a TOML file holds.

    Raises:
        UsageError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise UsageError(f"no such file: '{path}'", fix=nearest(path.name, there)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UsageError(f"not valid TOML: {error}", where=str(path)) from None


def load_toml(path: Path, config: type[C]) -> C:
    """Read a TOML file into `config`.

    Raises:
        UsageError: missing file, bad TOML, unknown key (with the nearest valid one) or bad value.
    """
    return build(config, read_toml(path), where=str(path))


def build(config: type[C], values: dict[str, Any], *, where: str = "") -> C:
    """`config(**values)` with errors for people."""
    try:
        return config.model_validate(values)
    except ValidationError as error:
        what, field, fix = explain(error, config)
        place = ", ".join(part for part in (where, f"key {field}" if field else "") if part)
        raise UsageError(what, where=place, fix=fix) from None


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str, str, str]:
    """(what, field, fix) of one complaint in a pydantic error: an unknown key before what it left missing."""
    complaints = error.errors()
    first = next((row for row in complaints if row["type"] == "extra_forbidden"), complaints[0])
    location = [part for part in first["loc"] if not str(part).startswith("function-")]
    field = ".".join(str(part) for part in location)
    cause = (first.get("ctx") or {}).get("error")
    if isinstance(cause, Exception) and hasattr(cause, "what"):
        return str(cause.what), field, str(getattr(cause, "fix", ""))
    if first["type"] == "extra_forbidden":
        valid = sorted(_fields_at(model, [str(part) for part in location[:-1]]))
        return f"unknown key '{location[-1]}'", field, nearest(str(location[-1]), valid)
    if first["type"] == "missing":
        return "a required key is missing", field, f"add '{location[-1]}'"
    message = first["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:], field, f"got {_shorten(first.get('input'))}"


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields of the model nested at `location`."""
    for part in location:
        if part.isdigit() or part not in model.model_fields:
            continue
        inner = _nested_model(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The first model class inside an annotation such as `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    for inner in typing.get_args(annotation):
        found = _nested_model(inner)
        if found is not None:
            return found
    return None


def _shorten(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
