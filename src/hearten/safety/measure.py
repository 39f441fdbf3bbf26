"""How well the input screen does on labelled sentences: recall of crisis and false alarms, by kind.

Every share comes with its 95% interval (Wilson's), because a kind with nine sentences says little.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from hearten.core.conversation import Record
from hearten.safety.classifier import Sentence
from hearten.safety.screen import Finding, screen


class KindCount(Record):
    """One kind's row."""

    kind: str
    sentences: int
    called_crisis: int
    interval: tuple[float, float]
    """Where the share called crisis lies, with 95% confidence."""


class Measured(Record):
    """The whole table; the two shares are the ones the project promises."""

    recall: float
    recall_interval: tuple[float, float]
    false_alarms: float
    false_alarms_interval: tuple[float, float]
    crisis: int
    benign: int
    kinds: tuple[KindCount, ...]
    wrong: tuple[str, ...]
    """`kind: text` of every wrong answer."""


def measure(rows: Sequence[Sentence], ask: Callable[[Sequence[str]], list[Finding]] = screen) -> Measured:
    """Run the screen over labelled sentences."""
    called = [finding.crisis for finding in ask([row.text for row in rows])]
    total = Counter(row.kind for row in rows)
    alarms = Counter(row.kind for row, crisis in zip(rows, called, strict=True) if crisis)
    crisis = sum(row.crisis for row in rows)
    found = sum(says for row, says in zip(rows, called, strict=True) if row.crisis)
    benign = len(rows) - crisis
    return Measured(
        recall=found / max(1, crisis),
        recall_interval=interval(found, crisis),
        false_alarms=(sum(called) - found) / max(1, benign),
        false_alarms_interval=interval(sum(called) - found, benign),
        crisis=crisis,
        benign=benign,
        kinds=tuple(
            KindCount(
                kind=kind,
                sentences=total[kind],
                called_crisis=alarms[kind],
                interval=interval(alarms[kind], total[kind]),
            )
            for kind in sorted(total)
        ),
        wrong=tuple(
            f"{row.kind}: {row.text}" for row, says in zip(rows, called, strict=True) if row.crisis != says
        ),
    )


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share; (0, 1) where nothing was counted."""
    if not of:
        return 0.0, 1.0
    from scipy.stats import binomtest

    bounds = binomtest(hits, of).proportion_ci(method="wilson")
    return round(float(bounds.low), 4), round(float(bounds.high), 4)
