"""Fitting the light rater: sentence vectors and a small network a facet, in a minute.

scikit-learn's multi-layer perceptron with early stopping on a part of its own; its arrays go into an
`EmbeddingRater`. Several seeds are averaged by stacking them side by side, which is again one network.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hearten.align.records import FacetItem
from hearten.core.config import Config
from hearten.core.errors import Failure
from hearten.core.rater import facet, facets
from hearten.models.raters.embedding import Array, EmbeddingRater, features


class LightConfig(Config):
    """The heads."""

    hidden: Annotated[int, Field(ge=0)] = 64
    """Width of the hidden layer; 0 makes a linear head."""
    decay: float = 1.0
    """Weight decay (scikit-learn's alpha)."""
    members: Annotated[int, Field(ge=1)] = 5
    """Networks averaged a facet."""
    facets: tuple[str, ...] = tuple(facets())
    seed: int = 13


def fit_light(items: Sequence[FacetItem], config: LightConfig) -> EmbeddingRater:
    """An embedding rater for every facet that `items` label.

    Raises:
        Failure: a facet has items of one class only.
    """
    heads = {}
    for name in config.facets:
        mine = [item for item in items if item.facet == name]
        if len({item.label for item in mine}) < 2:
            raise Failure(f"facet '{name}' has no two classes to tell apart", fix="build more facet data")
        heads[name] = _head(name, mine, config)
    return EmbeddingRater(heads)


def _head(name: str, items: Sequence[FacetItem], config: LightConfig) -> dict[str, Array]:
    from sklearn.neural_network import MLPClassifier

    classes = facet(name).classes
    rows = features(facet(name), [item.context for item in items], [item.reply for item in items])
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    answers = np.array([classes.index(item.label) for item in items])
    members = []
    for number in range(config.members):
        member: Any = MLPClassifier(
            hidden_layer_sizes=(config.hidden,) if config.hidden else (),
            alpha=config.decay,
            early_stopping=True,
            max_iter=200,
            random_state=config.seed + number,
        )
        members.append(member.fit((rows - mean) / scale, answers))
    return {"mean": mean, "scale": scale} | stacked(members, len(classes))


def stacked(members: Sequence[Any], classes: int) -> dict[str, Array]:
    """The networks as one, whose scores are the mean of theirs; a class nobody saw is never said."""
    seen = members[0].classes_
    layers: dict[str, Any] = {}
    for depth in range(len(members[0].coefs_)):
        weights = [full(member, depth, classes, seen) for member in members]
        first, last = depth == 0, depth == len(members[0].coefs_) - 1
        if first and last:
            layers["w0"] = np.mean([w for w, _ in weights], axis=0)
            layers["b0"] = np.mean([b for _, b in weights], axis=0)
        elif last:
            layers[f"w{depth}"] = np.vstack([w for w, _ in weights]) / len(members)
            layers[f"b{depth}"] = np.mean([b for _, b in weights], axis=0)
        else:
            layers[f"w{depth}"] = np.hstack([w for w, _ in weights])
            layers[f"b{depth}"] = np.hstack([b for _, b in weights])
    return {key: np.asarray(value, dtype=np.float32) for key, value in layers.items()}


def full(member: Any, depth: int, classes: int, seen: Array) -> tuple[Array, Array]:
    """(weights, bias) of one layer; the last one has a column for every class.

    scikit-learn gives two classes one column, the second's log-odds.
    """
    weight, bias = member.coefs_[depth], member.intercepts_[depth]
    if depth < len(member.coefs_) - 1:
        return weight, bias
    if weight.shape[1] == 1:
        weight, bias = np.hstack([0 * weight, weight]), np.hstack([0 * bias, bias])
    wide = np.zeros((weight.shape[0], classes), dtype=np.float32)
    floor = np.full(classes, -30.0, dtype=np.float32)
    wide[:, seen] = weight
    floor[seen] = bias
    return wide, floor
