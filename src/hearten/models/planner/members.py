"""What every kind of member is to the planner: sessions in, one row of probabilities a moment out.

The kinds err differently, which is why their mean is better than the best of them: networks read the
whole conversation in order, trees read the shape of the moment and what is special about the last two
turns, word counts read what no sentence vector keeps. A kind is trained, mixed, saved and loaded
through this interface alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hearten.models.planner.features import Session

Beliefs = NDArray[np.float64]
Tensors = dict[str, NDArray[Any]]


class Member(Protocol):
    """One kind of predictor, trained."""

    def beliefs(self, sessions: Sequence[Session]) -> Beliefs:
        """(M, K) probabilities, the moments of the sessions one after another."""
        ...

    def tensors(self) -> Tensors:
        """Its arrays, as they are stored."""
        ...

    def words(self) -> dict[str, list[str]]:
        """Its texts, as they are stored; mostly none."""
        ...

    @classmethod
    def restored(cls, tensors: Tensors, words: Mapping[str, Sequence[str]], config: Any) -> Self:
        """What `tensors`, `words` and the planner's settings describe."""
        ...


def gold_of(sessions: Sequence[Session]) -> NDArray[np.int64]:
    """(M,) the strategies of all moments."""
    return np.concatenate([session.gold for session in sessions])


def softmax(scores: Beliefs) -> Beliefs:
    """(M, K) scores as probabilities."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Beliefs = raised / raised.sum(axis=1, keepdims=True)
    return shares


def under(tensors: Mapping[str, NDArray[Any]], prefix: str) -> Tensors:
    """Those whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
