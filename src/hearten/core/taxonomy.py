"""Every label the field uses, read from the tables in `core/tables`; no label is typed in code.

A `LabelSet` is an ordered set of `Strategy` (ESConv's 8, ExTES's 16, MultiESC's 8). `LabelSet.find`
accepts the canonical name, the abbreviation and every alias seen in released files, whatever their case,
and answers a typo with the nearest valid name. Plain lists (problems, emotions, GoEmotions, MITI) are
`Labels`; scenarios carry their size in ExTES and kinds of situation.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hearten.core.errors import Failure, nearest
from hearten.core.registry import lookup

LABEL_SET_NAMES = ("esconv", "extes", "multiesc")


@dataclass(frozen=True, slots=True)
class Strategy:
    """One support strategy of one label set."""

    name: str
    label_set: str
    abbreviation: str
    definition: str
    example: str
    stages: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def token(self) -> str:
        """The special token that stands for the strategy in a model's text, e.g. `[Question]`."""
        return f"[{self.name}]"

    def __str__(self) -> str:
        return self.name


class LabelSet:
    """An ordered set of strategies; the order is that of the special tokens and of every score vector."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.name: str = table["name"]
        self.source: str = table["source"]
        self.stages: tuple[str, ...] = tuple(table["stages"])
        self.strategies = tuple(
            Strategy(
                name=row["name"],
                label_set=self.name,
                abbreviation=row["abbreviation"],
                definition=row["definition"],
                example=row["example"],
                stages=tuple(row["stages"]),
                aliases=tuple(row["aliases"]),
            )
            for row in table["strategies"]
        )
        self._known = {
            name.casefold(): strategy
            for strategy in self.strategies
            for name in (strategy.name, strategy.abbreviation, strategy.token, *strategy.aliases)
        }
        self._position = {strategy.name: number for number, strategy in enumerate(self.strategies)}

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names in order."""
        return tuple(strategy.name for strategy in self.strategies)

    def find(self, name: str) -> Strategy:
        """The strategy called `name` (canonical, abbreviation, token or alias; case does not matter).

        Raises:
            Failure: unknown; with the nearest valid name.
        """
        strategy = self._known.get(name.strip().casefold())
        if strategy is None:
            raise Failure(f"unknown strategy '{name}' in label set '{self.name}'", fix=nearest(name, self.names))
        return strategy

    def position(self, strategy: Strategy | str) -> int:
        """The strategy's place in the set's order, from 0."""
        return self._position[str(strategy)]

    def __iter__(self) -> Iterator[Strategy]:
        return iter(self.strategies)

    def __len__(self) -> int:
        return len(self.strategies)

    def __repr__(self) -> str:
        return f"LabelSet({self.name!r}, {len(self)} strategies)"


@dataclass(frozen=True, slots=True)
class Labels:
    """A plain ordered list of labels, with what released files write for them."""

    kind: str
    names: tuple[str, ...]
    source: str
    aliases: dict[str, str]
    paper: int
    """How many of the first names the paper itself lists."""

    def find(self, name: str) -> str:
        """The canonical form of `name`.

        Raises:
            Failure: unknown; with the nearest valid name.
        """
        folded = name.strip().casefold()
        for alias, canonical in self.aliases.items():
            if alias.casefold() == folded:
                return canonical
        for canonical in self.names:
            if canonical.casefold() == folded:
                return canonical
        raise Failure(f"unknown {self.kind.removesuffix('s')} '{name}'", fix=nearest(name, self.names))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One of ExTES's 36 kinds of difficulty."""

    name: str
    dialogues: int
    examples: tuple[str, ...]


def read_table(name: str) -> dict[str, Any]:
    """The TOML table `core/tables/<name>.toml`."""
    return tomllib.loads((files("hearten.core") / "tables" / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def label_set(name: str) -> LabelSet:
    """The strategies of `esconv`, `extes` or `multiesc`.

    Raises:
        UsageError: unknown set.
    """
    lookup(dict.fromkeys(LABEL_SET_NAMES), name, "label set")
    return LabelSet(read_table(name))


@cache
def labels(kind: str) -> Labels:
    """A plain label list: `problems`, `emotions`, `experiences`, `goemotions` or `miti`.

    Raises:
        UsageError: unknown kind.
    """
    row = lookup(read_table("labels"), kind, "label list")
    names = tuple(row["names"])
    return Labels(kind, names, row["source"], row.get("aliases", {}), row.get("paper", len(names)))


@cache
def scenarios() -> tuple[Scenario, ...]:
    """ExTES's 36 scenarios in the order of its Table 1."""
    return tuple(
        Scenario(row["name"], row["dialogues"], tuple(row["examples"])) for row in read_table("scenarios")["scenarios"]
    )


@cache
def mapping(source: str, target: str) -> dict[str, str]:
    """Canonical names of label set `source` → canonical names of label set `target`.

    Raises:
        UsageError: there is no such mapping.
    """
    pairs = {(a, b): table for a, targets in read_table("mappings").items() for b, table in targets.items()}
    if source == target:
        return {name: name for name in label_set(source).names}
    known = {f"{a}->{b}": table for (a, b), table in pairs.items()}
    return dict(lookup(known, f"{source}->{target}", "mapping between label sets"))
