"""The sentences of the pages, by language: tables in `strings/LANGUAGE.toml`, one file per package.

`Words("de")("consent.title")` looks in German, then in English; a key in neither is a bug and raises. Values
may hold `{name}` fields. `count("turns", 3)` picks `turns.one` or `turns.other`.
"""

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

DEFAULT = "en"


@cache
def table(package: str, language: str) -> dict[str, str]:
    """The flattened strings of a package in one language; empty where it has none."""
    source = files(package) / "strings" / f"{language}.toml"
    return _flat(tomllib.loads(source.read_text(encoding="utf-8"))) if source.is_file() else {}


def _flat(values: dict[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return found


def languages(package: str) -> tuple[str, ...]:
    """The languages a package has strings in."""
    names = (item.name for item in (files(package) / "strings").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


class Words:
    """The sentences of several packages in one language."""

    def __init__(self, packages: Iterable[str], language: str = DEFAULT) -> None:
        self.language = language
        packages = tuple(packages)
        english = {key: value for name in packages for key, value in table(name, DEFAULT).items()}
        self._table = english | {
            key: value for name in packages for key, value in table(name, language).items()
        }

    def __call__(self, key: str, **values: object) -> str:
        """The sentence under `key`, its fields filled.

        Raises:
            KeyError: no such sentence.
        """
        sentence = self._table[key]
        return sentence.format(**values) if values else sentence

    def has(self, key: str) -> bool:
        """Whether there is a sentence under `key`."""
        return key in self._table

    def count(self, key: str, number: int) -> str:
        """A sentence about `number` things, `key.one` or `key.other`."""
        return self(f"{key}.{'one' if number == 1 else 'other'}", number=number)

    def under(self, prefix: str) -> dict[str, str]:
        """Every sentence below `prefix`, without it: what a script on a page needs."""
        start = f"{prefix}."
        return {key.removeprefix(start): value for key, value in self._table.items() if key.startswith(start)}
