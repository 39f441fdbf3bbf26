"""Whoever tells a helpful reply from an unhelpful one, and the facets they look at.

A `Facet` is a row of `core/tables/facets.toml`: its classes, which of them are unhelpful, how many turns of
context it needs. A `Rater` gives one verdict per facet; a reply is helpful when no facet says otherwise
(Muffin 2024, section 4.1). Raters live in `models`; alignment, refinement and evaluation speak to this.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Protocol, runtime_checkable

from hearten.core.conversation import Record, Turn
from hearten.core.records import FacetVerdict
from hearten.core.registry import lookup
from hearten.core.taxonomy import read_table


class Facet(Record):
    """One side of helpfulness, as a classification."""

    name: str
    abbreviation: str
    classes: tuple[str, ...]
    unhelpful: tuple[str, ...]
    turns: int
    """How many turns before the reply are shown; 0 where the training data has none."""
    advice: str
    """What is wrong with a reply that fails, in words a rewriting model can use."""

    def helpful(self, label: str) -> bool:
        """Whether a reply of class `label` is not unhelpful here."""
        return lookup(
            {name: name not in self.unhelpful for name in self.classes}, label, f"{self.name} class"
        )


@runtime_checkable
class Rater(Protocol):
    """Judges replies on one or more facets."""

    name: str
    facets: tuple[str, ...]

    def rate(self, context: Sequence[Turn], replies: Sequence[str]) -> list[tuple[FacetVerdict, ...]]:
        """For every reply to `context`, one verdict per facet, in the order of `facets`."""
        ...


Asked = tuple[Sequence[Turn], str]
"""A context and a reply to it."""


@runtime_checkable
class Judge(Protocol):
    """A rater that can be asked about one facet alone, which is cheaper than about all."""

    def judge(self, name: str, asked: Sequence[Asked]) -> list[FacetVerdict]:
        """The verdict on facet `name` for every reply in its own context."""
        ...


def judge(rater: Rater, name: str, asked: Sequence[Asked]) -> list[FacetVerdict]:
    """One verdict a reply on facet `name`, the quickest way the rater knows."""
    if isinstance(rater, Judge):
        return rater.judge(name, asked)
    place = lookup({one: number for number, one in enumerate(rater.facets)}, name, "facet of this rater")
    return [rater.rate(context, [reply])[0][place] for context, reply in asked]


@cache
def facets() -> dict[str, Facet]:
    """Every facet, by name."""
    return {name: Facet(name=name, **row) for name, row in read_table("facets").items()}


def facet(name: str) -> Facet:
    """The facet called `name`.

    Raises:
        UsageError: unknown; with the near matches.
    """
    return lookup(facets(), name, "facet")


def verdict(
    name: str, probabilities: Mapping[str, float], raw: str | None = None, threshold: float | None = None
) -> FacetVerdict:
    """The verdict on facet `name` that follows from the probability of each class.

    Args:
        name: the facet.
        probabilities: class → probability.
        raw: what the rater said, if it was words.
        threshold: the probability of the unhelpful classes together from which on a reply is unhelpful; its
            label is the likeliest class on that side. None: the likeliest class of all wins.
    """
    chosen = facet(name)
    possible = list(probabilities)
    if threshold is not None:
        bad = sum(probabilities[one] for one in chosen.unhelpful) >= threshold
        possible = [one for one in possible if (one in chosen.unhelpful) == bad]
    label = max(possible, key=lambda one: probabilities[one])
    rounded = {one: round(p, 5) for one, p in probabilities.items()}
    return FacetVerdict(
        facet=name, label=label, helpful=chosen.helpful(label), probabilities=rounded, raw=raw
    )


def unhelpful_share(verdict: FacetVerdict) -> float | None:
    """The probability of the unhelpful classes together; None where the rater gave none."""
    if verdict.probabilities is None:
        return None
    return sum(verdict.probabilities[name] for name in facet(verdict.facet).unhelpful)


def aggregate(verdicts: Iterable[FacetVerdict]) -> bool | None:
    """Whether a reply is helpful on all facets.

    One unhelpful facet is enough for False. Otherwise an unscored facet leaves the answer open (None): an
    answer that could not be read is never counted as either.
    """
    answers = [one.helpful for one in verdicts]
    if False in answers:
        return False
    return None if None in answers or not answers else True
