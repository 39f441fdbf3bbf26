"""Which emotion a text shows: GoEmotions' 28 labels, carried over to ESConv's seven and `none`.

`open_detector("embedded")` is a small network on sentence vectors whose weights ship in the package (how
they were made: `knowledge/goemotions.py`; how good they are: docs/cards/emotion-detector.md).
`open_detector(FOLDER)` is any classifier over the 28 labels in the hub's layout, such as
SamLowe/roberta-base-go_emotions; its own `id2label` says in which order it answers.

Both answer 28 probabilities a text, independent or not; `to_esconv` adds up those of each of the seven
emotions and of all the rest (`none`) and divides by the sum (`tables/emotions.toml` is the mapping). A text
is read alone, without what was said before it (AdMISC, equation 6). This tells what a sentence shows, not
what a person has: it is no diagnosis of anything.
"""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.taxonomy import labels

Floats = NDArray[np.float32]

WEIGHTS = "emotion.safetensors"
PUBLISHED = "SamLowe/roberta-base-go_emotions"
BATCH = 32
MAX_TOKENS = 128
"""Word pieces read of a text by a classifier of the hub; GoEmotions' comments are shorter."""


class EmotionDetector(Protocol):
    """Tells the emotion of texts."""

    name: str
    labels: tuple[str, ...]
    """ESConv's seven emotions, then `none`: the keys of what `detect` answers."""

    def raw(self, texts: Sequence[str]) -> Floats:
        """(N, 28) probabilities in GoEmotions' order."""
        ...

    def detect(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """For each text the share of every label; they sum to 1."""
        ...


@cache
def emotion_table() -> dict[str, Any]:
    """`tables/emotions.toml`, checked: every GoEmotions label is mapped, to one of the eight."""
    text = (files("hearten.knowledge") / "tables" / "emotions.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    unmapped = set(labels("goemotions").names) ^ set(table["mapping"])
    strange = set(table["mapping"].values()) - {*esconv_emotions(), table["none"]}
    assert not unmapped | strange, f"emotions.toml: {sorted(unmapped | strange)}"
    return table


@cache
def esconv_emotions() -> tuple[str, ...]:
    """The seven emotions of ESConv's Table 3."""
    known = labels("emotions")
    return known.names[: known.paper]


@cache
def emotion_labels() -> tuple[str, ...]:
    """The seven, then `none`."""
    return (*esconv_emotions(), str(emotion_table()["none"]))


@cache
def _groups() -> Floats:
    """(28, 8) 1 where a GoEmotions label belongs to one of the eight."""
    mapping: Mapping[str, str] = emotion_table()["mapping"]
    rows = [[mapping[name] == target for target in emotion_labels()] for name in labels("goemotions").names]
    return np.asarray(rows, dtype=np.float32)


def to_esconv(raw: Floats) -> Floats:
    """(N, 28) probabilities of GoEmotions' labels → (N, 8) shares of the seven emotions and `none`."""
    mass = np.maximum(raw, 1e-9) @ _groups()
    shares: Floats = mass / mass.sum(axis=1, keepdims=True)
    return shares


def strongest(scores: Mapping[str, float]) -> str:
    """The one of the seven that stands out most, however much of a text is `none`.

    The share over how often that emotion is labelled at all: for a system whose every turn must have one of
    the seven (a literal reading of AdMISC, section 3.2). Most turns show none: there this is a guess.
    """
    prior: Mapping[str, float] = emotion_table()["prior"]
    return max(esconv_emotions(), key=lambda name: scores[name] / prior[name])


def released_emotion(name: str) -> str:
    """One of the seven for any emotion of the released ESConv file (it names eleven)."""
    mapped: str = emotion_table()["released"].get(labels("emotions").find(name), name)
    return mapped


class _Detector(ABC):
    """What both detectors share: from 28 probabilities to the eight shares."""

    name: str

    def __init__(self) -> None:
        self.labels = emotion_labels()

    @abstractmethod
    def raw(self, texts: Sequence[str]) -> Floats:
        """(N, 28) probabilities in GoEmotions' order."""

    def detect(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """For each text the share of every label; they sum to 1."""
        if not texts:
            return []
        rows = to_esconv(self.raw(texts)).astype(np.float64).round(4).tolist()
        return [dict(zip(self.labels, row, strict=True)) for row in rows]


class EmbeddedDetector(_Detector):
    """Our network on frozen sentence vectors: one hidden layer, 28 independent outputs."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], name: str = "embedded") -> None:
        super().__init__()
        self.name = name
        self._layers = tuple(int(layer) for layer in weights["layers"])
        self._weights = {key: value.astype(np.float32) for key, value in weights.items()}

    def raw(self, texts: Sequence[str]) -> Floats:
        """(N, 28) probabilities in GoEmotions' order."""
        from hearten.lm.embed import embed

        return self.score(embed(list(texts), layers=self._layers))

    def score(self, vectors: Floats) -> Floats:
        """(N, 384 · layers) sentence vectors → (N, 28)."""
        own = self._weights
        hidden = np.maximum((vectors - own["centre"]) / own["scale"] @ own["inner"] + own["inner_bias"], 0)
        logits: Floats = hidden @ own["outer"] + own["outer_bias"]
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), dtype=np.float32)


class FolderDetector(_Detector):
    """A sequence classifier over GoEmotions' labels from a local folder in the hub's layout."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.name = folder.name
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
        self._model = model.eval()
        self._order = _label_order(model.config.id2label, folder)
        self._softmax = model.config.problem_type == "single_label_classification"

    def raw(self, texts: Sequence[str]) -> Floats:
        """(N, 28): sigmoid, or softmax where the model's config says that one label is right."""
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))  # like lengths together
        answer = np.empty((len(texts), len(self._order)), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            answer[rows] = self._batch([texts[row] for row in rows])
        return answer

    def _batch(self, texts: list[str]) -> Floats:
        import torch

        inputs = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = self._model(**inputs).logits.float()
        shares = logits.softmax(-1) if self._softmax else logits.sigmoid()
        ordered: Floats = shares[:, self._order].numpy()
        return ordered


def _label_order(id2label: Mapping[int, str], folder: Path) -> list[int]:
    """Where each of GoEmotions' labels stands among the model's outputs.

    Raises:
        Failure: the model answers other labels.
    """
    places = {name.casefold(): int(place) for place, name in id2label.items()}
    wanted = labels("goemotions").names
    missing = [name for name in wanted if name not in places]
    if missing:
        raise Failure(
            f"this classifier does not answer GoEmotions' 28 labels ('{missing[0]}' is missing)",
            where=str(folder / "config.json"),
            fix=f"use a classifier such as {PUBLISHED}, with its id2label",
        )
    return [places[name] for name in wanted]


def open_detector(name: str = "embedded") -> EmotionDetector:
    """The detector called `name`: `embedded`, or a folder in the hub's layout.

    Raises:
        UsageError: no such folder; says what to download.
        Failure: the folder's classifier answers other labels.
    """
    if name == "embedded":
        return _embedded()
    folder = Path(name)
    if (folder / "config.json").is_file():
        return FolderDetector(folder)
    if folder.suffix == ".safetensors" and folder.is_file():
        return EmbeddedDetector(_read(folder), name=folder.stem)
    raise UsageError(
        f"no emotion detector '{name}'",
        fix=f"{nearest(name, ['embedded'])}; or a folder that holds {PUBLISHED} (500 MB)",
    )


@cache
def _embedded() -> EmbeddedDetector:
    return EmbeddedDetector(_read(Path(str(files("hearten.knowledge") / WEIGHTS))))


def _read(file: Path) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    return dict(load_file(file))


def write(weights: Mapping[str, NDArray[Any]], file: Path) -> None:
    """Write an `EmbeddedDetector`'s weights, whole or not at all; `open_detector` reads such a file too."""
    from safetensors.numpy import save

    from hearten.core.jsonl import replacing

    with replacing(file, "wb") as stream:
        stream.write(save(dict(weights)))
