"""How well the input screen does on its own test sentences: recall of crisis and false alarms, by kind."""

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


class Measured(Record):
    """The whole table; the two shares are the ones the project promises."""

    recall: float
    false_alarms: float
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
        false_alarms=(sum(called) - found) / max(1, benign),
        crisis=crisis,
        benign=benign,
        kinds=tuple(
            KindCount(kind=kind, sentences=total[kind], called_crisis=alarms[kind]) for kind in sorted(total)
        ),
        wrong=tuple(
            f"{row.kind}: {row.text}" for row, says in zip(rows, called, strict=True) if row.crisis != says
        ),
    )
