"""Where in a conversation a turn stands: the six intervals of ESConv's Figure 4.

The k-th of L turns (k from 1) is at progress k/L. The intervals are [i/5, (i+1)/5) for i = 0..4 and {1}: the
last turn stands alone (Liu et al. 2021, section 4.3).
"""

INTERVALS = 6
NAMES = ("0–20%", "20–40%", "40–60%", "60–80%", "80–100%", "end")


def progress_interval(index_from_1: int, total: int) -> int:
    """The interval, 0 to 5, of turn `index_from_1` of `total`.

    Raises:
        ValueError: the turn is not inside the conversation.

    >>> [progress_interval(k, 10) for k in (1, 2, 9, 10)]
    [0, 1, 4, 5]
    """
    if not 1 <= index_from_1 <= total:
        raise ValueError(f"turn {index_from_1} is not one of {total}")
    return 5 * index_from_1 // total
