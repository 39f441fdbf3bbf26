"""Rows → micro-batches of like length → optimiser steps, in an order a seed fixes.

Rows are tokenised once. An epoch shuffles them, sorts pools of them by length so that little is padding,
cuts micro-batches of at most `micro_tokens` padded ids, and shuffles these. A step gathers micro-batches up
to `batch_tokens`. The order depends on (seed, epoch) alone, so a resumed run sees what it would have seen.
"""

import random
from collections.abc import Iterator, Sequence

from hearten.lm.render import Row, micro_batches, padded, width

POOL = 256
"""Rows sorted together: large enough to pad little, small enough to keep epochs different."""

Step = list[list[Row]]
"""The micro-batches of one optimiser step."""


def epoch(rows: Sequence[Row], *, seed: int, number: int, micro_tokens: int, batch_tokens: int) -> list[Step]:
    """All steps of epoch `number`, in order."""
    chance = random.Random(f"{seed}/{number}")
    order = list(rows)
    chance.shuffle(order)
    pools = (order[start : start + POOL] for start in range(0, len(order), POOL))
    batches = [batch for pool in pools for batch in micro_batches(sorted(pool, key=width), micro_tokens)]
    chance.shuffle(batches)
    return list(_gather(batches, batch_tokens))


def _gather(batches: Sequence[list[Row]], batch_tokens: int) -> Iterator[Step]:
    step: Step = []
    size = 0
    for batch in batches:
        cost = padded(batch)
        if step and size + cost > batch_tokens:
            yield step
            step, size = [], 0
        step.append(batch)
        size += cost
    if step:
        yield step
