"""Several raters as one: their probabilities averaged, facet by facet."""

from collections.abc import Sequence

from hearten.core.conversation import Turn
from hearten.core.rater import Asked, Rater, facet, judge, verdict
from hearten.core.records import FacetVerdict


class EnsembleRater:
    """Averages the class probabilities of its raters on each facet; a verdict without any counts as one vote.

    Args:
        raters: at least one; a facet is judged by those that know it.
    """

    def __init__(self, raters: Sequence[Rater]) -> None:
        self.raters = tuple(raters)
        self.name = "+".join(rater.name for rater in raters)
        self.facets = tuple(dict.fromkeys(name for rater in raters for name in rater.facets))

    def rate(self, context: Sequence[Turn], replies: Sequence[str]) -> list[tuple[FacetVerdict, ...]]:
        """For every reply, one verdict per facet."""
        found = [rater.rate(context, replies) for rater in self.raters]
        return [
            tuple(
                averaged(name, [one for each in found for one in each[row] if one.facet == name])
                for name in self.facets
            )
            for row in range(len(replies))
        ]

    def judge(self, name: str, asked: Sequence[Asked]) -> list[FacetVerdict]:
        """The verdict on one facet for every reply in its own context; of each rater that knows the facet."""
        found = [judge(rater, name, asked) for rater in self.raters if name in rater.facets]
        return [averaged(name, row) for row in zip(*found, strict=True)]


def averaged(name: str, verdicts: Sequence[FacetVerdict]) -> FacetVerdict:
    """One verdict from several on facet `name`; those that could not be read have no say."""
    classes = facet(name).classes
    votes = [
        one.probabilities or {label: float(label == one.label) for label in classes}
        for one in verdicts
        if one.label is not None
    ]
    if not votes:
        return FacetVerdict(facet=name, label=None, helpful=None)
    return verdict(name, {label: sum(vote[label] for vote in votes) / len(votes) for label in classes})
