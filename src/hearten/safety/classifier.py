"""The learned half of the input screen: a small classifier on sentence vectors and on what the rules hinted.

Two layers of the sentence encoder (a middle one, which keeps who does what to whom, and the last) are
centred, joined and projected (PCA); a support-vector machine with a Gaussian kernel answers how near a
text is to the crisis sentences; a logistic layer joins that with the rules' hints and contexts.
Everything learned is numbers in `crisis.npz`, read with numpy: no library of learning is needed to use
it, and `hearten safety train` makes the same file again. Training sentences are `sentences/train/*.tsv`,
written for this project.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hearten.lm.embed import embed
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
WEIGHTS = "crisis.npz"
PIECE_PENALTY = 0.6
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
    """The sentences of `train` or `test`; a file's name is their kind."""
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
    """How the classifier is fitted."""

    components: int = 192
    cost: float = 5.0
    gamma: float = 1.5
    folds: int = 5
    false_alarms: float = 0.1
    """Share of the (deliberately hard) benign training sentences that the threshold may let through."""
    seed: int = 0


class Classifier:
    """Reads vectors and readings, answers logits above the threshold and kinds."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.weights = {
            name: value.astype(np.float32) for name, value in weights.items() if value.dtype.kind == "f"
        }
        self.threshold = float(self.weights["threshold"])

    def project(self, vectors: Floats) -> Floats:
        """(N, 768) sentence vectors → (N, components), length 1."""
        return _unit((_centred(vectors, self.weights["centre"])) @ self.weights["components"])

    def logits(self, points: Floats, readings: Sequence[Reading]) -> Floats:
        """(N,) how far above the threshold: positive means crisis."""
        near = 2 - 2 * points @ self.weights["support"].T  # squared distances of unit vectors
        decision = np.exp(-self.weights["gamma"] * near) @ self.weights["dual"] + self.weights["intercept"]
        inputs = np.column_stack([decision, features(readings)])
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
    with path.open("rb") as stream, np.load(stream) as stored:
        return Classifier(dict(stored))


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
    """Weights, and what the validation folds said (`recall`, `false_alarms`, `auc`).

    The threshold is chosen on predictions for sentences that were left out of the fit (cross-validation).
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    how = settings or Settings()
    texts = [normalise(row.text) for row in rows]
    readings, crisis = [read(text) for text in texts], np.array([row.crisis for row in rows])
    raw = vectors(texts)
    centre = raw.mean(0)
    projection = PCA(how.components, random_state=how.seed).fit(_centred(raw, centre)).components_.T
    points = _unit(_centred(raw, centre) @ projection)
    decisions = _left_out(points, crisis, [row.kind for row in rows], how)
    inputs = np.column_stack([decisions, features(readings)])
    stack = LogisticRegression(C=0.3, max_iter=5000).fit(inputs, crisis)
    threshold, figures = _threshold(stack.decision_function(inputs), crisis, how.false_alarms)
    machine = _machine(how).fit(points, crisis)
    kind = LogisticRegression(C=10, max_iter=5000).fit(
        points[crisis], [row.kind for row in rows if row.crisis]
    )
    order = [list(kind.classes_).index(name) for name in KINDS]
    weights = {
        "centre": centre,
        "components": projection,
        "support": machine.support_vectors_,
        "dual": machine.dual_coef_[0],
        "intercept": machine.intercept_[0],
        "gamma": how.gamma,
        "stack": stack.coef_[0],
        "bias": stack.intercept_[0],
        "threshold": threshold,
        "kind": kind.coef_[order].T,
        "kind_bias": kind.intercept_[order],
    }
    half = {"components", "support", "kind"}
    return {
        name: np.asarray(value, dtype=np.float16 if name in half else np.float32)
        for name, value in weights.items()
    }, figures


def fingerprint(rows: Sequence[Sentence]) -> str:
    """Twelve hex digits that name exactly these sentences."""
    text = "\n".join("\t".join(row) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _machine(how: Settings) -> Any:
    from sklearn.svm import SVC

    return SVC(C=how.cost, gamma=how.gamma, class_weight="balanced")


def _left_out(points: Floats, crisis: NDArray[Any], kinds: list[str], how: Settings) -> Floats:
    """(N,) each sentence's decision by a machine that did not see it."""
    from sklearn.model_selection import StratifiedKFold

    decisions = np.zeros(len(points), dtype=np.float32)
    for seen, left in StratifiedKFold(how.folds, shuffle=True, random_state=how.seed).split(points, kinds):
        decisions[left] = _machine(how).fit(points[seen], crisis[seen]).decision_function(points[left])
    return decisions


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
