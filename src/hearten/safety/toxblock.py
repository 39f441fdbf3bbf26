"""The local toxicity scorer: the six-label network inside the package `tox-block`, run with numpy alone.

`tox-block` 0.1.2 (MIT) ships a bidirectional LSTM of 50 + 50 units over 50-dimensional word vectors,
trained on the Jigsaw comments of Wikipedia talk pages. Its own code needs TensorFlow; this module reads
only its two data files: the Keras weights (through `h5py`) and the word list, a pickle that is opened with
an unpickler that can make nothing but plain containers. Install it with `pip install --no-deps tox-block`
and `pip install "hearten[toxicity]"`.

It knows words, not people: it is no crisis detector, and words of identity alone raise its scores
(docs/evaluation.md, "Limits of the toxicity scorer").
"""

import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hearten.core.errors import Failure, UsageError

Array = NDArray[np.float32]

PACKAGE = "tox-block"
LENGTH = 100
"""Words the network sees: longer texts keep their last 100, shorter ones are padded before."""
VOCABULARY = 20_000
COLUMNS = ("toxicity", "severe_toxicity", "profanity", "threat", "insult", "identity_attack")
"""Under Perspective's names; the network says toxic, …, obscene, …, …, identity_hate."""
PUNCTUATION = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
"""What the Keras tokenizer turns into spaces; apostrophes stay."""
BATCH = 512
HOW = 'pip install --no-deps tox-block && pip install "hearten[toxicity]"'


class ToxBlock:
    """Scores texts with the network of `tox-block`."""

    attributes: tuple[str, ...] = COLUMNS

    def __init__(self, folder: Path | None = None) -> None:
        """Find the package's files, or take them from `folder`.

        Raises:
            UsageError: neither the package nor `h5py` is installed, with the command that installs them.
        """
        self._folder = folder or _package_folder()
        self.name = f"tox-block-{metadata.version(PACKAGE) if folder is None else folder.name}"

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(N, 6) probabilities in the order of `attributes`."""
        known = [self.words(text)[-LENGTH:] for text in texts]
        order = sorted(range(len(texts)), key=lambda place: len(known[place]))
        scores = np.empty((len(texts), len(COLUMNS)))
        with threadpool_limits(1):  # the products are small: threads would wait for each other
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                scores[chosen] = self._batch([known[place] for place in chosen])
        return scores

    def _batch(self, known: Sequence[list[int]]) -> Array:
        longest = max(len(words) for words in known)
        numbers = np.zeros((len(known), longest), dtype=np.int64)
        for row, words in zip(numbers, known, strict=True):
            row[longest - len(words) :] = words
        network, padding = self._network, LENGTH - longest
        forward = network["forward"].maximum(numbers, before=padding)
        backward = network["backward"].maximum(numbers[:, ::-1], after=padding)
        hidden = np.maximum(np.hstack([forward, backward]) @ network["dense"][0] + network["dense"][1], 0)
        return sigmoid(hidden @ network["output"][0] + network["output"][1])

    def words(self, text: str) -> list[int]:
        """The numbers of the words the network knows; the others are dropped."""
        found = (self._numbers.get(word) for word in text.lower().translate(PUNCTUATION).split(" "))
        return [number for number in found if number is not None]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        index = read_word_index(_only(self._folder, "encoder_*.pkl"))
        return {word: number for word, number in index.items() if number < VOCABULARY}

    @cached_property
    def _network(self) -> dict[str, Any]:
        import h5py

        with h5py.File(_only(self._folder, "lstm_model_*.h5")) as file:

            def read(name: str) -> Array:
                return np.asarray(file[f"model_weights/{name}:0"], dtype=np.float32)

            def lstm(way: str) -> Lstm:
                name = f"bidirectional/bidirectional/{way}_lstm"
                return Lstm(
                    embedding, *(read(f"{name}/{part}") for part in ("kernel", "recurrent_kernel", "bias"))
                )

            embedding = read("embedding/embedding/embeddings")
            return {
                "forward": lstm("forward"),
                "backward": lstm("backward"),
                "dense": (read("dense/dense/kernel"), read("dense/dense/bias")),
                "output": (read("dense_1/dense_1/kernel"), read("dense_1/dense_1/bias")),
            }


class Lstm:
    """One direction: an LSTM with Keras's hard-sigmoid gates over word numbers, pooled by maximum.

    The kernels' columns lie in Keras's order input, forget, cell, output; here the cell's come last, so
    that the gates are one slice. Words and input kernel are multiplied once, into a table of V × 4U.
    """

    def __init__(self, embedding: Array, kernel: Array, recurrent: Array, bias: Array) -> None:
        self.units = units = recurrent.shape[0]
        order = np.r_[0 : 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
        self._table = (embedding @ kernel + bias)[:, order]  # (V, 4U)
        self._recurrent = np.ascontiguousarray(recurrent[:, order])  # (U, 4U)

    def maximum(self, numbers: NDArray[np.int64], *, before: int = 0, after: int = 0) -> Array:
        """(B, T) word numbers → (B, U) maximum over time of the outputs.

        `before` and `after` are steps of padding (word 0) around all rows; those before are run once for all.
        """
        zero = np.zeros((1, self.units), dtype=np.float32)
        state = self._run(np.zeros((before, 1), dtype=np.int64), zero, zero, np.full_like(zero, -np.inf))
        rows = (np.repeat(part, len(numbers), axis=0) for part in state)
        steps = np.vstack([numbers.T, np.zeros((after, len(numbers)), dtype=np.int64)])
        return self._run(steps, *rows)[2]

    def _run(
        self, steps: NDArray[np.int64], hidden: Array, cell: Array, best: Array
    ) -> tuple[Array, Array, Array]:
        """(T, B) word numbers from a state to the state after them, with the running maximum."""
        gates = 3 * self.units
        for words in steps:
            sums = self._table[words] + hidden @ self._recurrent
            inward, forget, outward = np.split(hard_sigmoid(sums[:, :gates]), 3, axis=1)
            cell = forget * cell + inward * np.tanh(sums[:, gates:])
            hidden = outward * np.tanh(cell)
            best = np.maximum(best, hidden)
        return hidden, cell, best


def hard_sigmoid(x: Array) -> Array:
    """Keras 2's piecewise sigmoid: 0.2 x + 0.5, between 0 and 1."""
    result: Array = np.clip(0.2 * x + 0.5, 0, 1)
    return result


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x)."""
    odds: Array = np.exp(-x)
    return np.reciprocal(1 + odds)


class _Inert:
    """What any class of the pickle becomes: holds attributes, does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Unpickler(pickle.Unpickler):
    """Builds containers and inert objects; anything else in a pickle is refused."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): defaultdict,
        ("builtins", "int"): int,
        ("tox_block.data_processing.preprocessors", "TokenSequencer"): _Inert,
        ("keras_preprocessing.text", "Tokenizer"): _Inert,
    }

    def find_class(self, module: str, name: str) -> Any:
        found = self.allowed.get((module, name))
        if found is None:
            raise Failure(
                f"the pickle names '{module}.{name}', which is not allowed", fix=f"reinstall: {HOW}"
            )
        return found


def read_word_index(path: Path) -> dict[str, int]:
    """Word → number, from the package's pickled tokenizer.

    Raises:
        Failure: the pickle holds anything but plain containers.
    """
    with path.open("rb") as stream:
        sequencer = _Unpickler(stream).load()
    index: dict[str, int] = sequencer.tokenizer.word_index
    return index


def _package_folder() -> Path:
    try:
        import h5py  # noqa: F401

        found = metadata.distribution(PACKAGE)
    except (ImportError, metadata.PackageNotFoundError) as error:
        told = "h5py" if isinstance(error, ImportError) and error.name == "h5py" else PACKAGE
        raise UsageError(
            f"the local toxicity scorer needs '{told}', which is not installed", fix=HOW
        ) from None
    return Path(str(found.locate_file("tox_block/trained_models")))


def _only(folder: Path, pattern: str) -> Path:
    found: Iterator[Path] = folder.glob(pattern)
    path = min((p for p in found if "history" not in p.name), default=None)
    if path is None:
        raise UsageError(f"no file like '{pattern}'", where=str(folder), fix=HOW)
    return path
