"""One colour per strategy, the same in plots, reports and chat chips.

Eight steps that stay apart for the common kinds of colour blindness, after Okabe and Ito (2008), darkened or
lightened so that each has at least 3:1 contrast on both page backgrounds (WCAG 2.1, graphical objects).
Colour never stands alone: the abbreviation is always written beside it.
"""

from hearten.core.taxonomy import LabelSet

STEPS = (
    "#3b82b8",  # blue
    "#c97a0a",  # orange
    "#1c9272",  # green
    "#b765a0",  # purple
    "#d1552b",  # vermilion
    "#8b7d1f",  # olive, Okabe and Ito's yellow made dark enough
    "#5b8fa8",  # sky, greyer
    "#857f78",  # grey
)


def strategy_color(labels: LabelSet, name: str) -> str:
    """The colour of a strategy as `#rrggbb`; sets with more than eight strategies repeat the scale."""
    return STEPS[labels.position(name) % len(STEPS)]
