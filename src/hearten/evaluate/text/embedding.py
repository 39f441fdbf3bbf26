"""Average, Extrema and Greedy: texts compared through word vectors, as nlg-eval does (Liu et al. 2016).

- Average: cosine of the sums of the words' vectors.
- Extrema: in each dimension the value farthest from zero, then the cosine. nlg-eval's rule in full:
  with M the largest and m the smallest value, M if m > 0 or M > −m, else m; so a tie goes to m, and m =
  0 gives 0.
- Greedy: every word takes its nearest word on the other side; mean over the words of each side, then
  over both.

nlg-eval cuts the text a second time after it has been cut and joined; so does this module, because a
token such as `'m` or `ok.` may come out otherwise. A text without words has no vector: nlg-eval stops
there, here the item scores 0. Figures on different vectors are not comparable.
"""

from dataclasses import dataclass

import numpy as np

from hearten.core.progress import progress
from hearten.evaluate.statistics import Array
from hearten.evaluate.text.ngrams import Tokens
from hearten.evaluate.text.tokenise import tokenise_all
from hearten.evaluate.text.vectors import Vector, WordVectors

BLOCK = 1024
"""Rows of the greedy similarity matrix held at once, so that a 10,000-word line fits."""


@dataclass(frozen=True, eq=False)
class EmbeddingScores:
    """The three figures of each item, (N,) each, from -1 to 1."""

    average: Array
    extrema: Array
    greedy: Array
    coverage: float
    """Share of all tokens that have a vector of their own."""


def items(
    hypotheses: Tokens, references: Tokens, vectors: WordVectors, *, quiet: bool = True
) -> EmbeddingScores:
    """Compare each hypothesis with its reference."""
    sides = [tokenise_all(" ".join(row) for row in rows) for rows in (hypotheses, references)]
    found = np.zeros((3, len(hypotheses)))
    with progress("word vectors", len(hypotheses), quiet=quiet) as bar:
        for position, (hypothesis, reference) in enumerate(zip(*sides, strict=True)):
            if hypothesis and reference:
                found[:, position] = _pair(vectors.lookup(hypothesis), vectors.lookup(reference))
            bar.advance()
    total = sum(len(row) for side in sides for row in side)
    known = sum(token in vectors.index for side in sides for row in side for token in row)
    return EmbeddingScores(found[0], found[1], found[2], known / total if total else 0.0)


def _pair(hypothesis: Vector, reference: Vector) -> tuple[float, float, float]:
    """Average, extrema and greedy of (n, d) and (m, d) word vectors."""
    return (
        _cosine(hypothesis.sum(axis=0), reference.sum(axis=0)),
        _cosine(_extreme(hypothesis), _extreme(reference)),
        _greedy(_unit(hypothesis), _unit(reference)),
    )


def _extreme(words: Vector) -> Vector:
    """(n, d) to (d,)."""
    top, bottom = words.max(axis=0), words.min(axis=0)
    return np.asarray(np.where((bottom > 0) | ((bottom < 0) & (top > -bottom)), top, bottom))


def _cosine(first: Vector, second: Vector) -> float:
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms > 0 else 0.0


def _unit(words: Vector) -> Vector:
    norms = np.linalg.norm(words, axis=1, keepdims=True)
    return np.asarray(words / np.where(norms > 0, norms, 1.0))


def _greedy(hypothesis: Vector, reference: Vector) -> float:
    """Mean over both sides of each word's best cosine on the other side."""
    of_reference = np.full(len(reference), -np.inf, dtype=np.float32)
    of_hypothesis = []
    for start in range(0, len(hypothesis), BLOCK):
        cosines = hypothesis[start : start + BLOCK] @ reference.T  # (block, m)
        of_hypothesis.append(cosines.max(axis=1))
        of_reference = np.maximum(of_reference, cosines.max(axis=0))
    return (float(np.concatenate(of_hypothesis).mean()) + float(of_reference.mean())) / 2
