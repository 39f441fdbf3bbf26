"""Distinct-n (Li et al. 2016): different n-grams over all n-grams of the responses, in the ways papers
count.

- `clean`: over the whole corpus.
- `released`: over the whole corpus, but the last n-gram of every response is forgotten (`range(0, len -
  n)` in the code released with ESConv and its descendants), so Distinct-1 ignores last words: 3.50
  instead of 3.35 on one set.
- `chunks60`: the mean over consecutive chunks of 60 responses, as ExTES seems to count: its 21.8 / 61.9
  / 82.8 cannot be a corpus figure, while samples of 50 to 60 ESConv responses give such values.

Distinct falls as a corpus grows: figures are comparable only between sets of the same size. It is not a
function of sums over items, so no item statistics are kept and no bootstrap is offered.
"""

import numpy as np

from hearten.evaluate.text.ngrams import Tokens

CHUNK = 60


def distinct(rows: Tokens, n: int, *, forget_last: bool = False) -> float | None:
    """Share of n-grams that are different, 0 to 1; None where there is none.

    Args:
        rows: the tokens of each response.
        n: order, from 1.
        forget_last: leave out the last n-gram of each response, as the released code does.
    """
    grams = [
        gram
        for row in rows
        for gram in zip(*(row[shift : len(row) - forget_last] for shift in range(n)), strict=False)
    ]
    return len(set(grams)) / len(grams) if grams else None


def distinct_in_chunks(rows: Tokens, n: int, size: int = CHUNK) -> float | None:
    """Mean of Distinct-n over consecutive chunks of `size` responses.

    A last chunk of less than half of `size` is left out where there are others: short chunks score high.
    """
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(chunks) > 1 and len(chunks[-1]) < size / 2:
        chunks.pop()
    values = [value for value in (distinct(chunk, n) for chunk in chunks) if value is not None]
    return float(np.mean(values)) if values else None
