"""The one eight-step colour scale for strategies: chips in the chat, plots, reports.

Found by search, under three conditions: each step has at least 3:1 contrast on the light and on the dark
page (WCAG 2.1, 1.4.11, graphical objects); any two differ by at least 12 CIEDE2000 as people with
protanopia, deuteranopia and tritanopia see them (Machado et al. 2009), and by 20 for others; none is loud.
Colour never speaks alone: the abbreviation stands beside it. A set of more than eight strategies goes round
again with a dashed line.
"""

PALETTE = ("#3f64c9", "#0997df", "#944f82", "#ad4619", "#be8322", "#709670", "#95899c", "#726957")
"""Blues, then plum, rust and amber, then sage and greys: near ESConv's exploration, comforting and action."""
ACCENT = "#2a8577"
"""For a plot of one series."""
PAPER = ("#faf7f2", "#1c1a17")
"""The light and the dark page that the scale is made for."""


def strategy_colour(position: int) -> str:
    """The colour of the strategy at `position` in its label set's order, from 0."""
    return PALETTE[position % len(PALETTE)]


def strategy_dash(position: int) -> str:
    """The matplotlib line style that tells the second eight from the first."""
    return "-" if position < len(PALETTE) else "--"
