"""Unigram F1 and length: the two plain figures of the thu-coai family.

F1 is per item, on multisets of tokens: P = common / |h|, R = common / |r|, F = 2PR / (P + R), mean over
items. Length is the mean number of tokens; print it beside every table, since it alone moves BLEU and
METEOR.
"""

import numpy as np

from hearten.evaluate.statistics import Array
from hearten.evaluate.text.ngrams import Pairs


def f1(pairs: Pairs) -> Array:
    """Unigram F1 of each item, (N,), from 0 to 1; 0 where either side is empty."""
    both = pairs.hypothesis_lengths + pairs.reference_lengths
    return np.asarray(2.0 * pairs.orders[0].matches / np.maximum(both, 1))


def length(pairs: Pairs) -> Array:
    """Tokens of each hypothesis, (N,)."""
    return pairs.hypothesis_lengths.astype(np.float64)
