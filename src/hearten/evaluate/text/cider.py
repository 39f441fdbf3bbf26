"""CIDEr as nlg-eval prints it: the CIDEr-D scorer (Vedantam et al. 2015) under the plain name.

For each order 1 to 4, an item's n-grams weigh tf · (ln N − ln max(1, df)), df counted over the
evaluated references and N their number; the hypothesis' weight is clipped by the reference's; the
similarity is a cosine; a Gaussian of the difference in length (σ = 6) multiplies it. Length is the
number of bigrams, a quirk of the released code. Mean over orders, times 10, mean over items: the scale
is 0 to 10, and papers print it × 100.

Since df comes from the evaluated set, an item's figure depends on the company it keeps: figures of
different test sets cannot be compared, a set of one item scores 0, and a bootstrap keeps the df of the
whole set.
"""

import numpy as np

from hearten.evaluate.statistics import Array
from hearten.evaluate.text.ngrams import Counts, Order, Pairs, sum_by_item

SIGMA = 6.0
FACTOR = 10.0


def items(pairs: Pairs) -> Array:
    """CIDEr of each item, (N,), from 0 to 10."""
    bigrams = pairs.orders[1]
    apart = (bigrams.hypothesis.length - bigrams.reference.length).astype(np.float64)
    penalty = np.exp(-(apart**2) / (2 * SIGMA**2))
    similarity = np.mean([_similarity(order, pairs.items) for order in pairs.orders], axis=0)
    return np.asarray(FACTOR * penalty * similarity)


def _similarity(order: Order, count: int) -> Array:
    """Clipped cosine of each pair's weighted n-grams, (N,)."""
    rarity = np.log(count) - np.log(
        np.maximum(1, np.bincount(order.reference.gram, minlength=order.different))
    )
    mine, theirs = _weights(order.hypothesis, rarity), _weights(order.reference, rarity)
    in_mine, in_theirs = order.shared
    products = np.minimum(mine[in_mine], theirs[in_theirs]) * theirs[in_theirs]
    top = sum_by_item(order.hypothesis.item[in_mine], products, count)
    bottom = _norm(order.hypothesis, mine, count) * _norm(order.reference, theirs, count)
    return top / np.where(bottom > 0, bottom, 1.0)


def _weights(counts: Counts, rarity: Array) -> Array:
    """Weight tf · idf of each entry, (E,)."""
    return counts.times * rarity[counts.gram]


def _norm(counts: Counts, weights: Array, count: int) -> Array:
    """Length of each item's vector, (N,)."""
    return np.sqrt(sum_by_item(counts.item, weights**2, count))
