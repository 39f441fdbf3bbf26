"""Words and word pairs that mark one strategy against all others.

Log odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, section 3.3, equations
16, 18, 20 and 22), as in ESConv section 5.2 and Figure 3. The prior of a term is its count in the
whole corpus, scaled to `PRIOR_WORDS` in all; z = difference of log odds / its standard deviation.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hearten.core.shingles import words

Floats = NDArray[np.float64]
PRIOR_WORDS = 10_000.0
"""Size of the prior, in term occurrences."""
LEAST = 10
"""Terms seen less often in all are left out of the listing."""


@dataclass(frozen=True)
class Mark:
    """A term and how strongly it marks its strategy."""

    term: str
    z: float
    count: int
    """Its occurrences under the strategy."""


def terms(text: str) -> list[str]:
    """Lower-cased unigrams and bigrams."""
    said = words(text)
    return [*said, *(f"{a} {b}" for a, b in pairwise(said))]


def marks(utterances: Iterable[tuple[str, str]], top: int = 5) -> dict[str, list[Mark]]:
    """(strategy, text) of every supporter turn → the strategy's `top` terms by z, strongest first."""
    counts: dict[str, Counter[str]] = {}
    for strategy, text in utterances:
        counts.setdefault(strategy, Counter()).update(terms(text))
    corpus = sum(counts.values(), Counter[str]())
    vocabulary = [term for term, count in corpus.items() if count >= LEAST]
    everything = _vector(corpus, vocabulary)
    found = {}
    for strategy, own in counts.items():
        inside = _vector(own, vocabulary)
        scores = z_scores(inside, everything - inside, everything)
        best = np.argsort(-scores, kind="stable")[:top]
        found[strategy] = [Mark(vocabulary[i], round(float(scores[i]), 2), int(inside[i])) for i in best]
    return found


def _vector(counts: Mapping[str, int], vocabulary: list[str]) -> Floats:
    return np.array([counts.get(term, 0) for term in vocabulary], dtype=np.float64)


def z_scores(inside: Floats, outside: Floats, background: Floats, prior_words: float = PRIOR_WORDS) -> Floats:
    """Score z of each term for `inside` against `outside`; all arguments (V,) counts, the result (V,)."""
    if not background.sum():
        return np.zeros_like(background)
    prior = background * prior_words / background.sum()

    def log_odds(count: Floats) -> Floats:
        return np.asarray(np.log(count + prior) - np.log(count.sum() + prior.sum() - count - prior))

    deviation = np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
    return np.asarray((log_odds(inside) - log_odds(outside)) / deviation)
