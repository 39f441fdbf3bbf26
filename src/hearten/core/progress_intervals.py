"""Where in a conversation an utterance stands, and which strategies are used there.

ESConv section 5.2: the k-th of L utterances (k from 1) stands at progress k/L, and progress is cut into six
intervals [0, 1/5), …, [4/5, 1), {1}. ExTES section 4 cuts it into four equal phases. The same two cuts
serve the corpus and a model's replies, so a report can lay one over the other.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

INTERVALS = 6
INTERVAL_NAMES = ("0-20%", "20-40%", "40-60%", "60-80%", "80-99%", "end")


def interval(index: int, total: int) -> int:
    """The interval, 0 to 5, of the utterance at `index` (from 0) of `total`; the last utterance is in 5."""
    if not 0 <= index < total:
        raise ValueError(f"utterance {index} of {total}")
    return (index + 1) * 5 // total


def phase(index: int, total: int, phases: int) -> int:
    """Which of so many equal phases the utterance at `index` (from 0) of `total` is in, from 0.

    Phases are ((i)/n, (i+1)/n], so that the last utterance is in the last phase.
    """
    if not 0 <= index < total:
        raise ValueError(f"utterance {index} of {total}")
    return ((index + 1) * phases - 1) // total


def shares(
    placed: Iterable[tuple[int, str]], names: Sequence[str], parts: int = INTERVALS
) -> list[dict[str, float]]:
    """For each part, the share of each name among what was placed there; all zero where nothing was.

    Args:
        placed: (part from 0, name) of every utterance.
        names: all names, in the order wanted.
        parts: how many parts there are.
    """
    counts = [Counter[str]() for _ in range(parts)]
    for part, name in placed:
        counts[part][name] += 1
    return [{name: count[name] / (count.total() or 1) for name in names} for count in counts]
