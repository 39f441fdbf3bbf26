"""Plots of a report as inline SVG: they follow the page's light or dark ink and ask for nothing from
outside.

Text stays text (searchable, in the page's font) and is drawn in `currentColor`; strategies have the
colours of the one palette, with their abbreviation written at the line's end.
"""

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from hearten.core.palette import ACCENT, PALETTE, strategy_colour, strategy_dash
from hearten.core.progress_intervals import INTERVAL_NAMES
from hearten.core.taxonomy import LabelSet
from hearten.evaluate.statistics import Array

INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
PANEL = (6.0, 2.7)
"""Inches; a page shows it at 280 to 520 pixels, so that text stays readable on a phone."""
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def inline_svg(figure: Figure, title: str, name: str) -> str:
    """The figure as an SVG element to put into a page.

    Args:
        figure: drawn with STYLE.
        title: what a screen reader says.
        name: different for every figure of a page, since ids inside SVGs are the page's.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "currentColor")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    opening = f'<svg role="img" aria-label="{escape(title, quote=True)}"'
    text = text.replace("<svg", opening, 1)
    return re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)


def standalone(svg: str) -> str:
    """An inline plot as a file of its own: dark ink, which a page would have given it."""
    return svg.replace("<svg", '<svg color="#222"', 1) + "\n"


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size)
    return figure, figure.add_subplot()


def progress(labels: LabelSet, gold: Array, chosen: Array, choice: str) -> list[str]:
    """Strategies over conversation progress, people and then the model, on one scale (ESConv Figures 4, 5).

    Args:
        labels: the K strategies.
        gold: (6, K) share of each strategy in each interval, NaN where no turn falls.
        chosen: the same of the model.
        choice: how the model chose, for the title.
    """
    highest = 105 * max(float(np.nanmax(shares, initial=0.0)) for shares in (gold, chosen)) or 1.0
    found = []
    for name, shares, title in (("gold", gold, "people (gold)"), ("chosen", chosen, f"model ({choice})")):
        with matplotlib.rc_context(STYLE):
            figure, axes = _figure(PANEL)
            axes.set_ylim(0, highest)
            _strategy_lines(axes, labels, 100 * shares)
            axes.set_title(title, fontsize=11, loc="left")
            axes.set_ylabel("share of replies, %")
        told = f"Share of each strategy over the progress of conversations, {title}"
        found.append(inline_svg(figure, told, f"progress-{name}"))
    return found


def _strategy_lines(axes: Axes, labels: LabelSet, shares: Array) -> None:
    """One line a strategy with its abbreviation at the end. `shares`: (6, K) in per cent."""
    points = range(len(shares))
    for place, _ in enumerate(labels):
        axes.plot(
            points,
            shares[:, place],
            color=strategy_colour(place),
            linestyle=strategy_dash(place),
            linewidth=1.6,
            marker="o",
            markersize=3,
        )
    last = [_last(shares[:, place]) for place in range(len(labels))]
    names = [strategy.abbreviation for strategy in labels]
    _name_ends(
        axes, list(zip(last, names, map(strategy_colour, range(len(names))), strict=True)), len(shares) - 1
    )
    axes.set_xticks(list(points), list(INTERVAL_NAMES), fontsize=9, rotation=35)


def _last(heights: Array) -> float:
    """Where a line ends; 0 when it has no point."""
    defined = heights[np.isfinite(heights)]
    return float(defined[-1]) if defined.size else 0.0


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], at: float) -> None:
    """Write names beside lines' ends, moved up where they would lie over each other."""
    step, lowest = 0.085 * axes.get_ylim()[1], -float("inf")
    for end, name, colour in sorted(ends):
        lowest = max(end, lowest + step)
        where: Any = {"xytext": (6, 0), "textcoords": "offset points"}
        axes.annotate(
            name, (at, lowest), color=colour, fontsize=10, va="center", annotation_clip=False, **where
        )


def calibration(points: Sequence[tuple[float, float, int]]) -> str:
    """How often the likeliest strategy was right against how likely it was said to be.

    Args:
        points: (confidence, accuracy, items) of each bin; a dot's area is its items.
    """
    confidence, right, items = (np.asarray(column) for column in zip(*points, strict=True))
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure((3.6, 3.4))
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=":")
        axes.plot(confidence, right, color=ACCENT, linewidth=1.5)
        axes.scatter(confidence, right, s=120 * items / items.max(), color=ACCENT)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("belief in the likeliest strategy")
        axes.set_ylabel("share of turns it was right")
    return inline_svg(figure, "Calibration of the likeliest strategy", "calibration")


def losses(series: dict[str, list[tuple[float, float]]], validation: list[tuple[float, float]]) -> list[str]:
    """Training losses by name over steps, and validation perplexity; a plot for each that is there."""
    found = []
    if series:
        with matplotlib.rc_context(STYLE):
            figure, axes = _figure(PANEL)
            for place, (name, points) in enumerate(series.items()):
                steps, values = zip(*points, strict=True)
                axes.plot(steps, smooth(values), color=strategy_colour(place), linewidth=1.5, label=name)
            axes.legend(frameon=False, fontsize=10)
            axes.set_title("training loss (smoothed)", fontsize=11, loc="left")
            axes.set_xlabel("step")
        found.append(inline_svg(figure, "Training loss over steps", "loss"))
    if validation:
        with matplotlib.rc_context(STYLE):
            figure, axes = _figure(PANEL)
            axes.plot(*zip(*validation, strict=True), color=ACCENT, marker="o", markersize=4, linewidth=1.5)
            axes.set_title("validation perplexity", fontsize=11, loc="left")
            axes.set_xlabel("step")
        found.append(inline_svg(figure, "Validation perplexity over steps", "validation"))
    return found


def smooth(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average, corrected for its start."""
    total, seen, found = 0.0, 0.0, []
    for value in values:
        total, seen = weight * total + (1 - weight) * value, weight * seen + (1 - weight)
        found.append(total / seen)
    return found


def confusion(labels: LabelSet, matrix: Array, choice: str) -> str:
    """Gold down, choice across; shade is the share of the gold class, the number is the count."""
    short = [strategy.abbreviation for strategy in labels]
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / totals.clip(min=1e-12)
    shade = LinearSegmentedColormap.from_list("shade", [(0.16, 0.52, 0.47, 0.0), (0.16, 0.52, 0.47, 0.85)])
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure((0.55 * len(short) + 1.4, 0.48 * len(short) + 1.2))
        axes.pcolormesh(shares[::-1], cmap=shade, vmin=0, vmax=1, edgecolors="none", rasterized=False)
        size = len(short)
        for row in range(size):
            for column in range(size):
                axes.text(
                    column + 0.5,
                    size - row - 0.5,
                    f"{matrix[row, column]:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                )
        axes.set_xticks([i + 0.5 for i in range(size)], short)
        axes.set_yticks([size - i - 0.5 for i in range(size)], short)
        axes.tick_params(length=0)
        axes.set_xlabel(f"chosen ({choice})")
        axes.set_ylabel("gold")
        for side in axes.spines.values():
            side.set_visible(False)
    return inline_svg(figure, "Confusion matrix of strategies, gold down, chosen across", "confusion")


def differences(rows: Iterable[tuple[str, float, float, float]], title: str, name: str) -> str:
    """Dots with intervals: (label, difference, low, high), all on one scale."""
    shown = list(rows)[::-1]
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure((7.6, 0.3 * len(shown) + 0.9))
        for place, (_, value, low, high) in enumerate(shown):
            away = low > 0 or high < 0
            colour = ACCENT if away else PALETTE[7]
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
            axes.plot([value], [place], "o", color=colour, markersize=5, fillstyle="full" if away else "none")
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.set_yticks(range(len(shown)), [label for label, *_ in shown])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(title)
        axes.spines["left"].set_visible(False)
    return inline_svg(figure, title, name)
