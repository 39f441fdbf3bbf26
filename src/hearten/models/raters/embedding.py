"""The light rater: sentence vectors of the context and the reply, a few counts, a small network a facet.

It knows no words, only where sentences lie; it is quick, and the floor that a language rater must clear. It
also serves as the second opinion that had no part in training. Its numbers are plain arrays (`.npz`), never a
pickle.

Features: the vectors of context and reply (two layers of MiniLM each), their product and their difference
without sign, and counts. The head is scikit-learn's multi-layer perceptron, applied here in numpy.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearten.core.conversation import Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import read_json, write_json
from hearten.core.rater import Asked, Facet, facet, verdict
from hearten.core.records import FacetVerdict
from hearten.lm.embed import embed

SETTINGS, ARRAYS = "rater.json", "rater.npz"
LAYERS = (3, 6)
Array = NDArray[np.float32]


class EmbeddingRater:
    """A small network for each facet.

    Args:
        heads: facet → its arrays: `mean`, `scale` (F,) of the features, then `w0`, `b0`, `w1`, `b1`, ….
        name: what the rater is called.
    """

    def __init__(self, heads: Mapping[str, Mapping[str, Array]], name: str = "embedding") -> None:
        self.name, self.heads = name, heads
        self.facets = tuple(heads)

    def rate(self, context: Sequence[Turn], replies: Sequence[str]) -> list[tuple[FacetVerdict, ...]]:
        """For every reply, one verdict per facet with the probability of each class."""
        asked = [(context, reply) for reply in replies]
        columns = [self.judge(name, asked) for name in self.facets]
        return list(zip(*columns, strict=True)) if columns else []

    def judge(self, name: str, asked: Sequence[Asked]) -> list[FacetVerdict]:
        """The verdict on one facet for every reply in its own context."""
        if not asked:
            return []
        contexts, replies = zip(*asked, strict=True)
        found = probabilities(self.heads[name], features(facet(name), contexts, replies))
        classes = facet(name).classes
        return [verdict(name, dict(zip(classes, map(float, row), strict=True))) for row in found]

    def save(self, folder: Path) -> None:
        """Write the arrays and what they are."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            f"{name}/{key}": a for name, head in self.heads.items() for key, a in head.items()
        }
        np.savez_compressed(folder / ARRAYS, **arrays)
        write_json(
            folder / SETTINGS, {"kind": "embedding", "facets": list(self.facets), "layers": list(LAYERS)}
        )


def open_embedding_rater(folder: Path) -> EmbeddingRater:
    """The rater that `save` wrote into `folder`.

    Raises:
        Failure: it reads other layers of the encoder than this version does.
    """
    settings = read_json(folder / SETTINGS)
    if tuple(settings["layers"]) != LAYERS:
        raise Failure("this rater reads other layers", where=str(folder), fix="train it again")
    heads: dict[str, dict[str, Array]] = {name: {} for name in settings["facets"]}
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        for key in stored.files:
            name, _, part = key.partition("/")
            heads[name][part] = stored[key]
    return EmbeddingRater(heads, name=str(folder))


def probabilities(head: Mapping[str, Array], rows: Array) -> Array:
    """Class probabilities (N, C) of features (N, F)."""
    states = (rows - head["mean"]) / head["scale"]
    depth = sum(key.startswith("w") for key in head)
    for layer in range(depth):
        states = states @ head[f"w{layer}"] + head[f"b{layer}"]
        if layer < depth - 1:
            states = np.maximum(states, 0)
    raised = np.exp(states - states.max(axis=1, keepdims=True))
    result: Array = raised / raised.sum(axis=1, keepdims=True)
    return result


def features(chosen: Facet, contexts: Sequence[Sequence[Turn]], replies: Sequence[str]) -> Array:
    """What a facet's head sees of each (context, reply), (N, F)."""
    counts = np.array([_counts(reply) for reply in replies], dtype=np.float32).reshape(len(replies), -1)
    said = vectors(tuple(replies))
    if not chosen.turns:
        return np.hstack([said, counts])
    heard = vectors(tuple("\n".join(turn.text for turn in context[-chosen.turns :]) for context in contexts))
    last = vectors(tuple(context[-1].text if context else "" for context in contexts))
    parts = [said, heard, said * heard, np.abs(said - heard), said * last]
    close = np.stack([(said * heard).sum(1), (said * last).sum(1)], axis=1)
    return np.hstack([*parts, close, counts]).astype(np.float32)


def _counts(reply: str) -> list[float]:
    words = reply.split()
    return [
        min(len(words), 100) / 20,
        float("?" in reply),
        float("!" in reply),
        sum(word.casefold() in ("you", "your") for word in words) / 5,
        sum(word.casefold() in ("i", "my", "i'm", "me") for word in words) / 5,
        float("sorry" in reply.casefold()),
    ]


@lru_cache(maxsize=64)
def vectors(texts: tuple[str, ...]) -> Array:
    """Sentence vectors of `texts` (N, 384 · layers); each different text is encoded once."""
    different = sorted(set(texts))
    found = embed(different, layers=LAYERS)
    place = {text: row for row, text in enumerate(different)}
    rows: Array = found[[place[text] for text in texts]]
    return rows
