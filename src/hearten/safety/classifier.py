"""The learned half of the input screen: a small classifier on sentence vectors and on what the rules hinted.

Two layers of the sentence encoder (a middle one, which keeps who does what to whom, and the last) are
centred and projected (PCA). Kernel ridge regression answers how near a text is to the crisis sentences: the
kernel is a Gaussian over the projected vectors plus a little of the words and letters themselves (`grams`). A
logistic layer joins that with the rules' hints and contexts. Ridge regression, because the answer it would
have given for a sentence it had not seen comes with the solution: the logistic layer and the threshold are
fitted on those.

Everything learned is numbers in `crisis.safetensors`, read with numpy: no library of learning is needed to
use it, and `hearten safety train` makes the same file again. Training sentences are `sentences/train/*.tsv`,
written for this project.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hearten.lm.arrays import unpack
from hearten.lm.embed import embed
from hearten.safety.grams import matrix, sums
from hearten.safety.normal import normalise
from hearten.safety.rules import CONTEXTS, Reading, read

LAYERS = (4, 6)
KINDS = (
    "passive-ideation",
    "active-ideation",
    "plan",
    "self-harm",
    "abuse",
    "violence",
    "medical",
    "minor",
    "eating",
    "voices",
    "third-party",
)
WEIGHTS = "crisis.safetensors"
HALVES = ("basis", "gram", "rarity", "kind")
"""Stored in half precision; the rounding is far below what a sentence vector is good for."""
STRETCH = 3.0
"""Ridge decisions lie near ±1; stretched, the logistic layer weighs them like the rules' answers."""
UNKNOWN = -1.0
"""The answer for a text that resembles nothing in training: that of a benign one."""
PIECE_PENALTY = 2.0
"""What a single piece of a longer message must exceed the threshold by, in logits."""

Floats = NDArray[np.float32]


class Sentence(NamedTuple):
    """One line of `sentences/`."""

    text: str
    kind: str
    """One of `KINDS`, or `benign-…`."""
    severity: str

    @property
    def crisis(self) -> bool:
        """Whether it needs the care path."""
        return not self.kind.startswith("benign")


def sentences(part: str) -> list[Sentence]:
    """The sentences of `train`, `test` or `kept`; a file's name is their kind."""
    folder = files("hearten.safety") / "sentences" / part
    tables = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".tsv")), key=lambda file: file.name
    )
    rows = [
        (file.name.removesuffix(".tsv"), *line.split("\t", 1))
        for file in tables
        for line in file.read_text("utf-8").splitlines()
    ]
    return [Sentence(text, kind, severity) for kind, severity, text in rows]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the classifier is fitted; chosen on the development sets of docs/cards/crisis-screen.md."""

    components: int = 84
    """Directions kept of each layer."""
    sharpness: float = 0.8
    """The Gaussian's, for squared distances of unit vectors, in each layer."""
    grams: float = 0.3
    """Weight of the words and letters beside the Gaussian's 1."""
    ridge: float = 0.2
    mixed: int = 300
    """Messages of two sentences made of training sentences: this many benign with benign, half as many crisis
    with benign (in either order)."""
    false_alarms: float = 0.06
    """Share of the (deliberately hard) benign training sentences that the threshold may let through."""
    seed: int = 0
    """Of the mixed messages; nothing else is drawn at random."""


class Classifier:
    """Reads texts, their vectors and readings, answers logits above the threshold and kinds."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.weights = {name: value.astype(np.float32) for name, value in weights.items()}
        self.weights["support"] *= self.weights["support_scale"]
        self.threshold = float(self.weights["threshold"][0])

    def project(self, vectors: Floats) -> Floats:
        """(N, 768) sentence vectors → (N, layers · components), each layer's part of length 1."""
        return _projected(vectors, self.weights["centre"], self.weights["basis"])

    def logits(self, texts: Sequence[str], points: Floats, readings: Sequence[Reading]) -> Floats:
        """(N,) how far above the threshold: positive means crisis."""
        near = _gaussian(points, self.weights["support"], float(self.weights["sharpness"][0]))
        letters = sums(texts, self.weights["rarity"], self.weights["gram"])
        decision = near @ self.weights["dual"] + letters + UNKNOWN
        inputs = np.column_stack([decision * STRETCH, features(readings)])
        return np.asarray(
            inputs @ self.weights["stack"] + self.weights["bias"] - self.threshold, dtype=np.float32
        )

    def kinds(self, points: Floats) -> list[str]:
        """The most likely kind of each, were it a crisis."""
        scores = points @ self.weights["kind"] + self.weights["kind_bias"]
        return [KINDS[number] for number in scores.argmax(1)]


@cache
def classifier() -> Classifier | None:
    """The shipped classifier, or None before it was ever trained."""
    path = files("hearten.safety") / WEIGHTS
    if not path.is_file():
        return None
    return Classifier(unpack(path.read_bytes()))


def features(readings: Sequence[Reading]) -> Floats:
    """(N, 11 + 11 + 5 + 1): which kinds the rules were sure of, hinted at; contexts; figures of speech."""
    rows = [
        [
            *(any(find.kind == kind for find in reading.certain) for kind in KINDS),
            *(kind in reading.hinted for kind in KINDS),
            *(context in reading.contexts for context in CONTEXTS),
            min(reading.idioms, 2),
        ]
        for reading in readings
    ]
    return np.asarray(rows, dtype=np.float32)


def vectors(texts: Sequence[str]) -> Floats:
    """(N, 768) vectors of normalised texts."""
    return embed(texts, layers=LAYERS)


def fit(
    rows: Sequence[Sentence], settings: Settings | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Weights, and what the left-out answers said (`recall`, `false_alarms`, `auc`).

    The threshold is chosen on answers for sentences that were each left out of the fit. Takes memory for two
    square matrices of the number of sentences, and a minute on two cores for 8,000.
    """
    from sklearn.linear_model import LogisticRegression

    how = settings or Settings()
    rows = [*rows, *_mixed(rows, how)]
    texts, crisis = [normalise(row.text) for row in rows], np.array([row.crisis for row in rows])
    centre, basis, points = _space(vectors(texts), how)
    stored, scale = _eight_bits(points)
    points = stored * scale
    words, rarity = matrix(texts)
    kernel = _gaussian(points, points, how.sharpness) + how.grams * (words @ words.T).toarray()
    dual, left_out = _ridge(kernel, crisis, how.ridge)
    inputs = np.column_stack([left_out * STRETCH, features([read(text) for text in texts])])
    stack = LogisticRegression(C=0.3, max_iter=5000).fit(inputs, crisis)
    threshold, figures = _threshold(stack.decision_function(inputs), crisis, how.false_alarms)
    kind = LogisticRegression(C=10, max_iter=5000).fit(
        points[crisis], [row.kind for row in rows if row.crisis]
    )
    order = [list(kind.classes_).index(name) for name in KINDS]
    weights = {
        "centre": centre,
        "basis": basis,
        "support": stored,
        "support_scale": scale,
        "dual": dual,
        "sharpness": [how.sharpness],
        "gram": how.grams * (words.T @ dual),
        "rarity": rarity,
        "stack": stack.coef_[0],
        "bias": stack.intercept_,
        "threshold": [threshold],
        "kind": kind.coef_[order].T,
        "kind_bias": kind.intercept_[order],
    }
    return {
        name: np.ascontiguousarray(value, dtype=_stored_as(name)) for name, value in weights.items()
    }, figures


def fingerprint(rows: Sequence[Sentence]) -> str:
    """Twelve hex digits that name exactly these sentences."""
    text = "\n".join("\t".join(row) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _mixed(rows: Sequence[Sentence], how: Settings) -> list[Sentence]:
    """Messages of two sentences, so that length says nothing and one of two is enough."""
    drawn = random.Random(how.seed)
    benign, crisis = [row for row in rows if not row.crisis], [row for row in rows if row.crisis]
    pairs = [(drawn.choice(benign), drawn.choice(benign)) for _ in range(how.mixed)]
    pairs += [(drawn.choice(crisis), drawn.choice(benign)) for _ in range(how.mixed // 2)]
    return [
        Sentence(". ".join(drawn.sample([first.text, second.text], 2)), first.kind, first.severity)
        for first, second in pairs
    ]


def _stored_as(name: str) -> type[np.generic]:
    return np.int8 if name == "support" else np.float16 if name in HALVES else np.float32


def _space(raw: Floats, how: Settings) -> tuple[Floats, Floats, Floats]:
    """(768,) centre, (layers, 384, components) directions of most variance, projected points."""
    centre = raw.mean(0)
    parts = np.split(_centred(raw, centre), len(LAYERS), axis=1)
    basis = np.stack([np.linalg.eigh(part.T @ part)[1][:, ::-1][:, : how.components] for part in parts])
    basis = basis.astype(np.float16).astype(np.float32)  # as it will be stored
    return centre, basis, _projected(raw, centre, basis)


def _projected(raw: Floats, centre: Floats, basis: Floats) -> Floats:
    parts = np.split(_centred(raw, centre), len(LAYERS), axis=1)
    return np.concatenate([_unit(part @ own) for part, own in zip(parts, basis, strict=True)], axis=1)


def _eight_bits(points: Floats) -> tuple[Floats, Floats]:
    """Whole numbers from -127 to 127 (as floats), and the size of one step in each column."""
    scale = np.abs(points).max(0) / 127
    return np.round(points / scale), scale


def _gaussian(points: Floats, support: Floats, sharpness: float) -> Floats:
    """(N, M) nearness; squared distances of vectors whose parts, one a layer, have length 1."""
    return np.asarray(np.exp(2 * sharpness * (points @ support.T - len(LAYERS))), dtype=np.float32)


def _ridge(kernel: Floats, crisis: NDArray[Any], ridge: float) -> tuple[Floats, Floats]:
    """(N,) dual weights, and (N,) each sentence's answer had it been left out of the fit (exact)."""
    from scipy.linalg.lapack import dpotrf, dpotri

    aims = np.where(crisis, 1.0, -1.0)
    square = kernel.astype(np.float64)
    square[np.diag_indices_from(square)] += ridge
    half = np.tril(dpotri(dpotrf(square, lower=1)[0], lower=1)[0])  # of the inverse, by Cholesky
    inverse = half + np.tril(half, -1).T
    dual = inverse @ (aims - UNKNOWN)
    return dual.astype(np.float32), (aims - dual / np.diag(inverse)).astype(np.float32)


def _threshold(logits: NDArray[Any], crisis: NDArray[Any], share: float) -> tuple[float, dict[str, float]]:
    from sklearn.metrics import roc_auc_score

    benign = np.sort(logits[~crisis])[::-1]
    threshold = float(benign[int(share * len(benign))])
    figures = {
        "recall": float((logits[crisis] > threshold).mean()),
        "false_alarms": float((logits[~crisis] > threshold).mean()),
        "auc": float(roc_auc_score(crisis, logits)),
    }
    return threshold, figures


def _centred(raw: Floats, centre: Floats) -> Floats:
    """Each layer's part minus its mean, length 1."""
    parts = np.split(raw - centre, len(LAYERS), axis=1)
    return np.concatenate([_unit(part) for part in parts], axis=1)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)
