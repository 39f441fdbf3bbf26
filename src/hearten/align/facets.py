"""The data a rater learns from: labelled replies of three facets, clean, split and counted.

Every group (a source conversation or post) stands in one part only; a pair of context and reply occurs
once; weak labels are for training alone; the largest class of a facet has at most `balance` times the
training items of the smallest. `hearten align facets build` writes `train.jsonl`, `valid.jsonl`, `test.jsonl`
and `facets.json`, which says what was counted and what was left out.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hearten.align.incoherent import coherence
from hearten.align.records import FacetItem, key_of
from hearten.align.sources import counselchat, epitome, mi_gold
from hearten.core.chat import ChatModel
from hearten.core.config import Config
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records, write_json, write_records
from hearten.core.protocol import PARTS
from hearten.core.rater import facet
from hearten.core.records import Example


class FacetsConfig(Config):
    """How the data is made."""

    pairs: Annotated[int, Field(ge=0)] = 1500
    """Originals of the coherence facet; each gives three items. The paper: 4,000."""
    balance: Annotated[float, Field(ge=1)] = 3.0
    """In training the largest class of a facet has at most so many times the items of the smallest."""
    asked: bool = True
    """Count a reply that gives what was asked for as weak empathy (Muffin, Appendix A.1)."""
    weak: bool = True
    """Also train on CounselChat's automatic skill labels, at most one for every label of a person."""
    seed: int = 13


@dataclass
class Sources:
    """Where labelled replies come from; what is None is left out."""

    epitome: Path | None = None
    mi: Path | None = None
    counselchat: Path | None = None
    examples: Sequence[Example] = ()
    """Supporter turns of the training part of any corpus."""


@dataclass
class Facets:
    """The built data."""

    parts: dict[str, list[FacetItem]]
    skipped: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Part → facet → class → items."""
        table: dict[str, dict[str, dict[str, int]]] = {}
        for part, items in self.parts.items():
            found = Counter((item.facet, item.label) for item in items)
            for (name, label), count in sorted(found.items()):
                table.setdefault(part, {}).setdefault(name, {})[label] = count
        return table


def build(sources: Sources, config: FacetsConfig, model: ChatModel | None = None) -> Facets:
    """Collect, clean, split and balance.

    Raises:
        UsageError: no source at all; Failure: a source is broken, or nothing is left.
    """
    skipped: Counter[str] = Counter()
    parts: dict[str, list[FacetItem]] = {part: [] for part in PARTS}
    if sources.epitome:
        _deal(epitome(sources.epitome, skipped, asked=config.asked), parts, config.seed)
    if sources.mi:
        _deal(mi_gold(sources.mi, skipped), parts, config.seed)
        if sources.counselchat and config.weak:
            human = sum(item.facet == "skill" for item in parts["train"])
            extra = counselchat(sources.counselchat, skipped)
            parts["train"] += random.Random(config.seed).sample(extra, min(human, len(extra)))
    for part, examples in _deal_examples(sources.examples, config.seed).items():
        share = round(config.pairs * len(examples) / max(1, len(sources.examples)))
        parts[part] += coherence(examples, share, seed=config.seed, skipped=skipped, model=model)
    if not any(parts.values()):
        raise UsageError("no source of labelled replies", fix="name --corpus, --epitome or --mi")
    clean = _clean(parts, skipped)
    clean["train"] = balanced(clean["train"], config.balance, config.seed, skipped)
    return Facets(clean, +skipped)


def parts_of(groups: Iterable[str], seed: int) -> dict[str, str]:
    """Group → part, 8:1:1 by group, in an order the seed fixes."""
    order = sorted(set(groups))
    random.Random(f"facets/{seed}").shuffle(order)
    tenth = max(1, len(order) // 10)
    return {
        group: "valid" if n < tenth else "test" if n < 2 * tenth else "train" for n, group in enumerate(order)
    }


def _deal(items: Sequence[FacetItem], parts: dict[str, list[FacetItem]], seed: int) -> None:
    place = parts_of((item.group for item in items), seed)
    for item in items:
        parts[place[item.group]].append(item)


def _deal_examples(examples: Sequence[Example], seed: int) -> dict[str, list[Example]]:
    place = parts_of((example.conversation_id for example in examples), seed)
    dealt: dict[str, list[Example]] = {part: [] for part in PARTS}
    for example in examples:
        dealt[place[example.conversation_id]].append(example)
    return dealt


def _clean(parts: dict[str, list[FacetItem]], skipped: Counter[str]) -> dict[str, list[FacetItem]]:
    """Each (facet, context, reply) once, test first; one with two labels nowhere."""
    labels: dict[tuple[str, str, str], set[str]] = {}
    for items in parts.values():
        for item in items:
            labels.setdefault(_pair(item), set()).add(item.label)
    seen: set[tuple[str, str, str]] = set()
    clean: dict[str, list[FacetItem]] = {}
    for part in reversed(PARTS):
        clean[part] = []
        for item in parts[part]:
            if len(labels[_pair(item)]) > 1:
                skipped[f"{item.facet}: one reply with two labels"] += 1
            elif _pair(item) in seen:
                skipped[f"{item.facet}: repeated"] += 1
            else:
                seen.add(_pair(item))
                clean[part].append(item)
    return {part: clean[part] for part in PARTS}


def _pair(item: FacetItem) -> tuple[str, str, str]:
    return item.facet, key_of(item.context), " ".join(item.reply.casefold().split())


def balanced(items: Sequence[FacetItem], ratio: float, seed: int, skipped: Counter[str]) -> list[FacetItem]:
    """`items` with every class cut to `ratio` times its facet's smallest; people's labels are kept first."""
    counts = Counter((item.facet, item.label) for item in items)
    limits = {
        name: int(ratio * min(count for (other, _), count in counts.items() if other == name))
        for name in {name for name, _ in counts}
    }
    order = list(items)
    random.Random(seed).shuffle(order)
    kept: list[FacetItem] = []
    taken: Counter[tuple[str, str]] = Counter()
    for item in sorted(order, key=lambda one: one.weak):
        key = (item.facet, item.label)
        if taken[key] < limits[item.facet]:
            taken[key] += 1
            kept.append(item)
        else:
            skipped[f"{item.facet}: more of '{item.label}' than the balance allows"] += 1
    random.Random(seed).shuffle(kept)
    return kept


def write(facets: Facets, folder: Path, config: FacetsConfig, inputs: dict[str, str]) -> None:
    """Write the three parts and `facets.json`."""
    for part, items in facets.parts.items():
        write_records(folder / f"{part}.jsonl", items)
    summary: dict[str, Any] = {
        "config": config.model_dump(),
        "inputs": inputs,
        "counts": facets.counts(),
        "skipped": dict(sorted(facets.skipped.items())),
    }
    write_json(folder / "facets.json", summary)


def read_part(folder: Path, part: str) -> list[FacetItem]:
    """The items of one part; every label is checked against its facet's classes.

    Raises:
        UsageError: no such file or facet; Failure: a line does not fit or its label is unknown.
    """
    path = folder / f"{part}.jsonl"
    items = []
    for number, item in enumerate(read_records(path, FacetItem), 1):
        try:
            facet(item.facet).helpful(item.label)
        except UsageError as error:
            raise Failure(error.what, where=f"{path}, record {number}", fix=error.fix) from None
        items.append(item)
    return items
