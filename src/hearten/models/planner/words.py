"""A linear model over the words of the last turns: what no sentence vector keeps, such as a polite closing.

Words and pairs of words of three fields (the last seeker turn, the last supporter turn, the two seeker turns
before) are counted, damped (1 + ln n), weighted by rarity and brought to length one a field, beside the
structure of the moment. Softmax regression with an L2 penalty, fitted by L-BFGS.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize

from hearten.core.config import Config
from hearten.core.conversation import Role
from hearten.models.planner.features import Session
from hearten.models.planner.members import Beliefs, Tensors, gold_of, softmax

TOKEN = re.compile(r"[a-z']+|[?!]")
FIELDS: dict[str, tuple[Role, slice, float]] = {
    "seeker": (Role.SEEKER, slice(0, 1), 1.0),
    "supporter": (Role.SUPPORTER, slice(0, 1), 1.0),
    "before": (Role.SEEKER, slice(1, 3), 0.6),
}
"""Field → whose turns, which of the last three (newest first), how much it weighs."""
STRUCTURE = 0.1
"""How much a standard deviation of the structure weighs beside the words."""


class WordsConfig(Config):
    """How the word counts are read."""

    seen: int = 4
    """Moments a word must stand in to be kept."""
    freedom: float = 0.4
    """Inverse strength of the penalty: it is |w|² / (2 · freedom · moments)."""
    steps: int = 60
    """At most so many steps of L-BFGS."""


class Words:
    """Grams a field, their rarity, and a weight a gram and strategy."""

    def __init__(self, tensors: Tensors, grams_: Mapping[str, Sequence[str]]) -> None:
        self._arrays, self._grams = tensors, {field: list(own) for field, own in grams_.items()}
        self._places = {field: {gram: n for n, gram in enumerate(own)} for field, own in self._grams.items()}

    @classmethod
    def fit(cls, sessions: Sequence[Session], size: int, config: WordsConfig) -> Self:
        """Weights for `size` strategies."""
        structure = np.concatenate([session.structure for session in sessions])
        tensors: Tensors = {"centre": structure.mean(0), "scale": structure.std(0) + 0.02}
        kept = {}
        for field in FIELDS:
            held = Counter(gram for counts in _counted(sessions, field) for gram in counts)
            kept[field] = sorted(gram for gram, times in held.items() if times >= config.seen)
            times = np.array([held[gram] for gram in kept[field]])
            tensors[f"rarity.{field}"] = (np.log((1 + len(structure)) / (1 + times)) + 1).astype(np.float32)
        made = cls(tensors, kept)
        weights = regression(made.rows(sessions), gold_of(sessions), size, config.freedom, config.steps)
        tensors["weights"] = weights.astype(np.float16)
        return made

    def rows(self, sessions: Sequence[Session]) -> sparse.csr_matrix:
        """(M, d + 1) what is read of each moment; the last column is one."""
        words = [self._field(sessions, field) for field in FIELDS]
        structure = np.concatenate([session.structure for session in sessions])
        shape = ((structure - self._arrays["centre"]) / self._arrays["scale"]).clip(-5, 5) * STRUCTURE
        return sparse.hstack([*words, sparse.csr_matrix(shape), np.ones((len(shape), 1))]).tocsr()

    def _field(self, sessions: Sequence[Session], field: str) -> sparse.csr_matrix:
        places, rarity = self._places[field], self._arrays[f"rarity.{field}"]
        values: list[Beliefs] = []
        columns: list[NDArray[np.int64]] = []
        for counts in _counted(sessions, field):
            own = {places[gram]: count for gram, count in counts.items() if gram in places}
            column = np.array(sorted(own), dtype=np.int64)
            value = (1 + np.log([own[place] for place in column])) * rarity[column]
            values.append(value * (FIELDS[field][2] / max(float(np.linalg.norm(value)), 1e-9)))
            columns.append(column)
        ends = np.cumsum([0, *map(len, columns)])
        flat = np.concatenate(values), np.concatenate(columns), ends
        return sparse.csr_matrix(flat, shape=(len(values), len(places)))

    def beliefs(self, sessions: Sequence[Session]) -> Beliefs:
        """(M, K)."""
        return softmax(self.rows(sessions) @ self._arrays["weights"].astype(np.float64))

    def tensors(self) -> Tensors:
        """Weights, rarity, and the spread of the structure."""
        return self._arrays

    def words(self) -> dict[str, list[str]]:
        """The grams of each field, in the order of their columns."""
        return self._grams

    @classmethod
    def restored(cls, tensors: Tensors, words: Mapping[str, Sequence[str]], config: Any) -> Self:
        """What `tensors` and `words` describe."""
        return cls(tensors, words)


def grams(text: str) -> list[str]:
    """Words, question and exclamation marks of a text, and each two that follow each other."""
    tokens = TOKEN.findall(text.lower())
    return tokens + [f"{one} {two}" for one, two in pairwise(tokens)]


def _counted(sessions: Sequence[Session], field: str) -> list[Counter[str]]:
    """(M,) how often each gram stands in a field."""
    role, which, _ = FIELDS[field]
    found = []
    for session in sessions:
        turns = [Counter(grams(text)) for text in session.texts]
        for places in session.latest(role, 3)[:, which]:
            found.append(sum((turns[place] for place in places if place >= 0), Counter[str]()))
    return found


def regression(
    rows: sparse.csr_matrix, gold: NDArray[np.int64], size: int, freedom: float, steps: int
) -> Beliefs:
    """(d, K) weights of the least `penalised` loss; the last column of `rows` is not penalised."""
    loss = penalised(rows, gold, size, freedom)
    start = np.zeros(rows.shape[1] * size)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x
    weights: Beliefs = found.reshape(-1, size)
    return weights


def penalised(
    rows: sparse.csr_matrix, gold: NDArray[np.int64], size: int, freedom: float
) -> Callable[[Beliefs], tuple[float, Beliefs]]:
    """Mean negative log-likelihood and penalty of flat weights, with its gradient."""
    count, wanted, across = len(gold), np.eye(size)[gold], rows.T.tocsr()

    def loss(flat: Beliefs) -> tuple[float, Beliefs]:
        weights = flat.reshape(-1, size)
        shares = softmax(rows @ weights)
        bound = weights / (freedom * count)
        bound[-1] = 0
        likely = np.log(np.maximum(shares[np.arange(count), gold], 1e-300))
        value = -likely.mean() + (bound * weights).sum() / 2
        return float(value), (across @ (shares - wanted) / count + bound).ravel()

    return loss
