"""Boosted trees over the shape of a moment, the last seeker turn and the last supporter turn.

Grown by scikit-learn's histogram boosting; what is kept is nothing but the trees, as arrays that numpy
walks, so a saved planner needs neither scikit-learn nor a pickle to answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from hearten.core.config import Config
from hearten.core.conversation import Role
from hearten.models.planner.features import LAYERS, WIDTH, Floats, Session, lexical
from hearten.models.planner.members import Beliefs, Tensors, gold_of, softmax

LAYER = 5
"""Whose directions the trees read; the last layer's do worse."""
MOMENTS = 512
"""Moments walked at once."""


class TreesConfig(Config):
    """How the trees are grown; none of it was searched far."""

    rounds: int = 90
    learning_rate: float = 0.07
    leaves: int = 8
    leaf_moments: int = 40
    l2: float = 5.0
    features: float = 0.3
    """Share of the numbers that a split may choose among."""
    bins: int = 32


class Trees:
    """T trees a strategy and round: arrays (T, n) of nodes, padded; a leaf is its own child."""

    def __init__(self, tensors: Tensors) -> None:
        self._arrays = tensors
        self._steps = int(tensors["steps"][0])

    @classmethod
    def fit(cls, sessions: Sequence[Session], size: int, config: TreesConfig, seed: int) -> Self:
        """Trees for `size` strategies, each of which gets trees even if no moment has it."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        read = flat(sessions)
        rows = np.concatenate([read, np.zeros((size, read.shape[1]), dtype=np.float32)])
        gold = np.concatenate([gold_of(sessions), np.arange(size)])
        weights = np.where(np.arange(len(gold)) < len(gold) - size, 1.0, 1e-3)
        grown = HistGradientBoostingClassifier(
            max_iter=config.rounds,
            learning_rate=config.learning_rate,
            max_leaf_nodes=config.leaves,
            min_samples_leaf=config.leaf_moments,
            l2_regularization=config.l2,
            max_features=config.features,
            max_bins=config.bins,
            early_stopping=False,
            random_state=seed,
        ).fit(rows, gold, weights)
        return cls(exported(grown))

    def beliefs(self, sessions: Sequence[Session]) -> Beliefs:
        """(M, K)."""
        rows = flat(sessions)
        parts = [self.scores(rows[start : start + MOMENTS]) for start in range(0, len(rows), MOMENTS)]
        return softmax(np.concatenate(parts))

    def scores(self, rows: Floats) -> Beliefs:
        """(M, K) sums of the leaves that rows (M, d) fall into."""
        a, trees = self._arrays, np.arange(len(self._arrays["feature"]))
        node = np.zeros((len(rows), len(trees)), dtype=np.int64)
        for _ in range(self._steps):
            read = rows[np.arange(len(rows))[:, None], a["feature"][trees, node]]
            node = np.where(
                read <= a["threshold"][trees, node], a["left"][trees, node], a["right"][trees, node]
            )
        leaves = a["value"][trees, node].astype(np.float64)  # (M, T), the strategies of a round side by side
        found: Beliefs = leaves.reshape(len(rows), -1, len(a["start"])).sum(axis=1) + a["start"]
        return found

    def tensors(self) -> Tensors:
        """The trees."""
        return self._arrays

    def words(self) -> dict[str, list[str]]:
        """None."""
        return {}

    @classmethod
    def restored(cls, tensors: Tensors, words: Mapping[str, Sequence[str]], config: Any) -> Self:
        """What `tensors` describe."""
        return cls(tensors)


def exported(grown: Any) -> Tensors:
    """The trees of scikit-learn's classifier as arrays; its internals, so a test compares the two."""
    trees = [tree.nodes for round_ in grown._predictors for tree in round_]
    longest = max(len(nodes) for nodes in trees)
    shape = len(trees), longest
    found: Tensors = {
        "feature": np.zeros(shape, dtype=np.int32),
        "threshold": np.zeros(shape, dtype=np.float64),
        "left": np.zeros(shape, dtype=np.int32),
        "right": np.zeros(shape, dtype=np.int32),
        "value": np.zeros(shape, dtype=np.float32),
    }
    for number, nodes in enumerate(trees):
        leaf, own, place = nodes["is_leaf"].astype(bool), np.arange(len(nodes)), slice(len(nodes))
        found["feature"][number, place] = np.where(leaf, 0, nodes["feature_idx"])
        found["threshold"][number, place] = np.where(leaf, 0, nodes["num_threshold"])
        found["left"][number, place] = np.where(leaf, own, nodes["left"])
        found["right"][number, place] = np.where(leaf, own, nodes["right"])
        found["value"][number, place] = np.where(leaf, nodes["value"], 0)
    found["start"] = grown._baseline_prediction.reshape(-1).astype(np.float64)
    found["steps"] = np.array([max(int(nodes["depth"].max()) for nodes in trees)], dtype=np.int32)
    return found


def flat(sessions: Sequence[Session]) -> Floats:
    """(M, d): the last turn of the seeker and of the supporter, and the structure of the moment."""
    return np.concatenate([_moments(session) for session in sessions]).astype(np.float32)


def _moments(session: Session) -> Floats:
    start = sum(kept for layer, kept in LAYERS.items() if layer < LAYER)
    columns = np.r_[start : start + LAYERS[LAYER], WIDTH : WIDTH + len(lexical(""))]
    turns = np.concatenate([session.turns, np.zeros((1, session.turns.shape[1]), dtype=np.float32)])
    last = [turns[session.latest(role, 1)[:, 0]][:, columns] for role in (Role.SEEKER, Role.SUPPORTER)]
    return np.concatenate([*last, session.structure], axis=1)
