"""A folder of recipes is a table, and a recipe in it with its `[paper]` is a row.

Reading a row asks nothing of this machine: a system that is not built yet or weights that are not here are
found out when the row runs, and named then.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hearten
from hearten.core.config import build
from hearten.core.errors import Failure, UsageError
from hearten.core.registry import lookup
from hearten.train.recipe import Paper, recipe_values

TABLE = re.compile(r".+-\d+|bench")
"""What a folder that is a table is called: the paper and the table's number, or the bench of all systems."""
PUBLISHED = "published"
"""The backbone that the paper used."""


@dataclass(frozen=True)
class Row:
    """One row of a table, as it would run."""

    name: str
    file: Path
    paper: Paper
    values: dict[str, Any]
    """The recipe, with the backbone that was asked for."""
    published_backbone: str | None
    """What the paper used; None where a system is trained from nothing or nothing is trained."""

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.values["title"])

    @property
    def system(self) -> str | None:
        """What is trained; None where a corpus itself is measured."""
        return self.values.get("system")

    @property
    def backbone(self) -> str | None:
        """What it runs on."""
        return _backbone(self.values)


def recipes_folder() -> Path:
    """Where the recipes lie: inside an installed package, else in the checkout.

    Raises:
        Failure: neither has them.
    """
    package = Path(hearten.__file__).parent
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if folder.is_dir():
            return folder
    raise Failure(
        "the recipes are not installed", fix="run from a checkout, or name one: hearten train RECIPE"
    )


def tables() -> dict[str, list[Path]]:
    """Table → the recipes of its rows."""
    folders = (folder for folder in sorted(recipes_folder().iterdir()) if TABLE.fullmatch(folder.name))
    return {folder.name: sorted(folder.glob("*.toml")) for folder in folders}


def rows_of(table: str, backbone: str = PUBLISHED, only: list[str] | None = None) -> list[Row]:
    """The rows of a table in the paper's order.

    Args:
        table: a folder of recipes, such as `esconv-4`.
        backbone: `published`, `embedded`, or what `hearten train --backbone` takes.
        only: names of rows; None takes all.

    Raises:
        UsageError: no such table or row, or a recipe that does not parse.
    """
    files = lookup(tables(), table, "table")
    rows = [_read(file, backbone) for file in files]
    if only:
        known = {row.name: row for row in rows}
        return [lookup(known, name, "row") for name in only]
    return sorted(rows, key=lambda row: (row.paper.line, row.name))


def _read(file: Path, backbone: str) -> Row:
    written = recipe_values(file)
    if "paper" not in written or "title" not in written:
        raise UsageError("a row needs a title and a [paper]", where=str(file))
    paper = build(Paper, written["paper"], where=f"{file}, [paper]")
    published = _backbone(written)
    changed = backbone != PUBLISHED and published is not None
    values = recipe_values(file, backbone=backbone) if changed else written
    return Row(file.stem, file, paper, values, published)


def _backbone(values: dict[str, Any]) -> str | None:
    name = values.get("model", {}).get("backbone", {}).get("name")
    return None if name is None else str(name)
