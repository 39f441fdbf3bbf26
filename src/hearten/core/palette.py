"""The one eight-step colour scale for strategies: chips in the chat, plots, reports.

Paul Tol's "muted" qualitative scheme (technical note SRON/EPS/TN/09-002), told apart with the common kinds of
colour blindness. Colour never speaks alone: the abbreviation stands beside it. A set of more than eight
strategies goes round again with a dashed line.
"""

PALETTE = ("#332288", "#88CCEE", "#44AA99", "#117733", "#DDCC77", "#CC6677", "#882255", "#AA4499")
ACCENT = "#44AA99"
"""For a plot of one series."""


def strategy_colour(position: int) -> str:
    """The colour of the strategy at `position` in its label set's order, from 0."""
    return PALETTE[position % len(PALETTE)]


def strategy_dash(position: int) -> str:
    """The matplotlib line style that tells the second eight from the first."""
    return "-" if position < len(PALETTE) else "--"
