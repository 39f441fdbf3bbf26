"""Figures of a corpus, as SVG: strategies over progress and phases, words that mark them, stars, intensity.

Colours come from the one palette, with the abbreviation beside each line; matplotlib draws without a screen.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hearten.core.jsonl import replacing
from hearten.core.palette import ACCENT, strategy_colour, strategy_dash
from hearten.core.taxonomy import label_set

Stats = Mapping[str, Any]
INK = "#222222"


def draw_figures(found: Stats, out: Path) -> list[Path]:
    """Draw every figure the corpus has data for; returns the files."""
    written = []
    for name, (has, draw) in FIGURES.items():
        if found[has]:
            with replacing(out / f"{name}.svg", "wb") as stream:
                draw(found).savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
            written.append(out / f"{name}.svg")
    return written


def _progress(found: Stats) -> Figure:
    """ESConv Figure 4: shares at the six points i/5."""
    return _lines(found, "progress", [f"{20 * i}%" for i in range(6)], "progress of the conversation")


def _phases(found: Stats) -> Figure:
    """ExTES Figure 2: shares in four equal phases."""
    return _lines(found, "phases", list(found["phases"]), "phase of the conversation")


def _lines(found: Stats, kind: str, ticks: list[str], label: str) -> Figure:
    figure = Figure(figsize=(7.5, 4.2))
    axes = figure.add_subplot()
    parts = list(found[kind].values())
    ends = []
    for strategy in label_set(found["label_set"]):
        position = label_set(found["label_set"]).position(strategy)
        heights = [100 * part[strategy.name] for part in parts]
        colour, dash = strategy_colour(position), strategy_dash(position)
        axes.plot(range(len(parts)), heights, color=colour, linestyle=dash, marker="o", markersize=3.5)
        ends.append((heights[-1], strategy.abbreviation, colour))
    _label_ends(axes, ends, len(parts) - 1)
    axes.set_xticks(range(len(parts)), ticks)
    axes.set_xlabel(label)
    axes.set_ylabel("share of supporter turns, %")
    _plain(axes)
    return figure


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]], last: int) -> None:
    """Write each abbreviation beside its line's end, pushed apart so that none covers another.

    Letters are dark, for pale colours are hard to read; a short stroke in the line's colour leads to them.
    """
    step = axes.get_ylim()[1] * 0.045
    lowest = -1e9
    for height, name, colour in sorted(ends):
        lowest = max(height, lowest + step)
        stroke = {"arrowstyle": "-", "color": colour, "linewidth": 1.2}
        place = (last * 1.06, lowest)
        axes.annotate(name, (last, height), xytext=place, va="center", color=INK, arrowprops=stroke)


def _marks(found: Stats) -> Figure:
    """ESConv Figure 3: the z-scored terms of each strategy as bars."""
    strategies = [one for one in label_set(found["label_set"]) if one.name in found["marks"]]
    rows = (len(strategies) + 1) // 2
    figure = Figure(figsize=(7.5, 1.6 * rows + 0.4))
    for number, strategy in enumerate(strategies):
        axes = figure.add_subplot(rows, 2, number + 1)
        marks = found["marks"][strategy.name][::-1]
        colour = strategy_colour(label_set(found["label_set"]).position(strategy))
        axes.barh([mark["term"] for mark in marks], [mark["z"] for mark in marks], color=colour)
        axes.set_title(f"{strategy.abbreviation}  {strategy.name}", fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        _plain(axes)
    figure.supxlabel("z of the log odds against all other strategies", fontsize=9)
    figure.tight_layout()
    return figure


def _feedback(found: Stats) -> Figure:
    """ESConv section 4.2: mean stars by third."""
    figure = Figure(figsize=(4.2, 3))
    axes = figure.add_subplot()
    bars = axes.bar(list(found["feedback_by_phase"]), list(found["feedback_by_phase"].values()), color=ACCENT)
    axes.bar_label(bars, fmt="%.2f")
    axes.set_ylim(1, 5)
    axes.set_ylabel("mean stars, 1 to 5")
    _plain(axes)
    return figure


def _intensity(found: Stats) -> Figure:
    """Fall of emotional intensity in surveyed conversations."""
    figure = Figure(figsize=(4.2, 3))
    axes = figure.add_subplot()
    bars = axes.bar(list(found["intensity_change"]), list(found["intensity_change"].values()), color=ACCENT)
    axes.bar_label(bars)
    axes.set_xlabel("intensity before minus after")
    axes.set_ylabel("conversations")
    _plain(axes)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


FIGURES: dict[str, tuple[str, Callable[[Stats], Figure]]] = {
    "strategies-by-progress": ("progress", _progress),
    "strategies-by-phase": ("phases", _phases),
    "words-by-strategy": ("marks", _marks),
    "stars-by-third": ("feedback_by_phase", _feedback),
    "intensity-change": ("intensity_change", _intensity),
}
"""file name → (statistics it needs, how it is drawn)"""
