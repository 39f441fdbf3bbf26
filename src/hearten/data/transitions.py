"""The most frequent strategy transitions: ESConv Table 6 (3 and 4 hops), ExTES Table 5 (3 to 5 hops).

The strategies of a conversation's supporter turns in order, adjacent equal ones merged (ExTES says so;
ESConv's table shows no repeat either); a hop chain is any run of n of them. Proportions are per mille of all
runs of that length in the corpus.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hearten.core.conversation import Conversation

HOPS = (3, 4, 5)


@dataclass(frozen=True)
class Transition:
    """A run of strategies."""

    chain: tuple[str, ...]
    """Abbreviations in order."""
    count: int
    per_mille: float


def strategy_path(conversation: Conversation) -> list[str]:
    """Abbreviations of the supporter's strategies in order, adjacent equal ones merged."""
    used = (turn.strategy.abbreviation for _, turn in conversation.supporter_turns() if turn.strategy)
    return [name for name, _ in groupby(used)]


def transitions(conversations: Iterable[Conversation], hops: int, top: int = 5) -> list[Transition]:
    """The `top` runs of `hops` strategies."""
    counts: Counter[tuple[str, ...]] = Counter()
    for conversation in conversations:
        counts.update(runs(strategy_path(conversation), hops))
    total = counts.total()
    return [Transition(chain, n, round(1000 * n / total, 2)) for chain, n in counts.most_common(top)]


def runs(path: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    """Every contiguous run of that length."""
    return (tuple(path[i : i + length]) for i in range(len(path) - length + 1))
