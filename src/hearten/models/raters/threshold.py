"""A rater that calls a reply unhelpful from a chosen probability on, not only when that class is likeliest.

What is rare is seldom likeliest: of three classes the unhelpful one may hold 0.45 and lose. The probability
is chosen per facet on labelled replies that nothing was learned from (`align.measure.thresholds`), and lies
beside the rater as `thresholds.json`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hearten.core.conversation import Turn
from hearten.core.jsonl import read_json, write_json
from hearten.core.rater import Asked, Rater, judge, verdict
from hearten.core.records import FacetVerdict

FILE = "thresholds.json"


class ThresholdRater:
    """Another rater's probabilities, decided anew.

    Args:
        inner: whose probabilities they are.
        thresholds: facet → P(unhelpful) from which a reply is unhelpful; the others are decided as ever.
    """

    def __init__(self, inner: Rater, thresholds: Mapping[str, float]) -> None:
        self.inner, self.thresholds = inner, dict(thresholds)
        self.name, self.facets = inner.name, inner.facets

    def rate(self, context: Sequence[Turn], replies: Sequence[str]) -> list[tuple[FacetVerdict, ...]]:
        """For every reply, one verdict per facet."""
        return [tuple(map(self._decided, row)) for row in self.inner.rate(context, replies)]

    def judge(self, name: str, asked: Sequence[Asked]) -> list[FacetVerdict]:
        """The verdict on one facet for every reply in its own context."""
        return [self._decided(one) for one in judge(self.inner, name, asked)]

    def _decided(self, said: FacetVerdict) -> FacetVerdict:
        if said.probabilities is None or said.facet not in self.thresholds:
            return said
        return verdict(said.facet, said.probabilities, said.raw, self.thresholds[said.facet])


def write_thresholds(folder: Path, thresholds: Mapping[str, float]) -> None:
    """Put them beside the rater in `folder`."""
    write_json(folder / FILE, dict(thresholds))


def with_thresholds(rater: Rater, folder: Path) -> Rater:
    """`rater`, deciding by what lies beside it in `folder`, if anything does."""
    place = folder / FILE
    return ThresholdRater(rater, read_json(place)) if place.is_file() else rater
