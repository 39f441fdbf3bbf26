"""What the planner reads of a conversation: its turns as vectors, and the shape of what was done so far.

A turn is its sentence vectors (five layers of the frozen encoder, each cut to its main directions), a few
countable things about its words, its strategy (if it is a supporter's) and who speaks. The structure of a
moment is the history of strategies (the last five, counts, how long ago), who spoke last and for how
long, and how far the conversation has come in turns.

How many turns the conversation will have is never read: a live chat does not know it. Nor is anything
that only ESConv's surveys know (situation, problem, stars).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearten.core.conversation import Role, Turn
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.knowledge.vectors import kept_vectors
from hearten.lm.embed import DIMENSIONS, embed

Floats = NDArray[np.float32]

LAYERS = {0: 32, 2: 32, 4: 32, 5: 64, 6: 64}
"""Layer of the sentence encoder → how many main directions of it are kept."""
WIDTH = sum(LAYERS.values())
"""Numbers of a turn that are its sentence vectors; they come first."""
CUES = tuple((files("hearten.models.planner") / "cues.txt").read_text(encoding="utf-8").split())
"""Words whose presence is told to the network: our own list, made before anything was measured."""
LAST = 5
"""How many of the last strategies are told one by one."""
FORGET = 3.0
"""Supporter turns after which a strategy's last use counts 1/e."""


@dataclass(frozen=True)
class Session:
    """One conversation with the moments in it at which a strategy is wanted."""

    turns: Floats
    """(T, n) every turn before the last moment; the last number is 1 for a supporter's."""
    texts: tuple[str, ...]
    """(T,) their texts."""
    places: NDArray[np.int64]
    """(M,) how many turns each moment has before it."""
    structure: Floats
    """(M, d)."""
    gold: NDArray[np.int64]
    """(M,) the strategy's place in the label set; -1 where it is not known."""

    def latest(self, role: Role, count: int) -> NDArray[np.int64]:
        """(M, count) places of the last turns of `role` before each moment, newest first; -1 for none."""
        own = np.flatnonzero(self.turns[:, -1] == (role is Role.SUPPORTER))
        ends = np.searchsorted(own, self.places)[:, None] + count  # in `own` after `count` times none
        found: NDArray[np.int64] = np.append(np.full(count, -1), own)[ends - 1 - np.arange(count)]
        return found


class Reader:
    """From examples to sessions; holds the directions of the sentence vectors."""

    def __init__(self, labels: LabelSet, weights: Mapping[str, NDArray[Any]]) -> None:
        self.labels = labels
        self.weights = {name: value.astype(np.float32) for name, value in weights.items()}
        self._vectors: dict[str, Floats] = {}

    @classmethod
    def learn(cls, labels: LabelSet, texts: Sequence[str], *, seed: int = 0, quiet: bool = False) -> "Reader":
        """Find the main directions of each layer over `texts` (the training part's)."""
        from sklearn.decomposition import PCA

        raw = kept_vectors("planner", texts, tuple(LAYERS), quiet=quiet)
        weights: dict[str, NDArray[Any]] = {}
        for number, (layer, kept) in enumerate(LAYERS.items()):
            own = raw[:, number * DIMENSIONS : (number + 1) * DIMENSIONS]
            found = PCA(min(kept, len(texts)), random_state=seed, svd_solver="randomized").fit(own)
            scale = float(np.sqrt(found.explained_variance_.mean()))
            directions = np.zeros((DIMENSIONS, kept), dtype=np.float16)
            directions[:, : len(found.components_)] = found.components_.T / scale
            weights[f"centre{layer}"], weights[f"directions{layer}"] = found.mean_, directions
        return cls(labels, weights)

    def remember(self, texts: Sequence[str], *, quiet: bool = False) -> None:
        """Embed many texts at once, through the cache on disk."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if missing:
            raw = kept_vectors("planner", missing, tuple(LAYERS), quiet=quiet)
            self._vectors.update(zip(missing, self._reduced(raw), strict=True))

    def sessions(
        self, examples: Sequence[Example], strategies: Mapping[tuple[str, int], str] | None = None
    ) -> list[tuple[Session, list[int]]]:
        """Sessions, each with the places of its moments among `examples`.

        Args:
            examples: those of one conversation whose contexts begin at its first turn become one session.
            strategies: (conversation, turn) → strategy, instead of the turns' own.
        """
        self._embed_missing(turn.text for example in examples for turn in example.context)
        order = sorted(range(len(examples)), key=lambda n: (_session_key(examples[n], n), examples[n].index))
        groups = groupby(order, key=lambda n: _session_key(examples[n], n))
        return [
            (self._session([examples[n] for n in own], strategies or {}), own)
            for own in (list(group) for _, group in groups)
        ]

    def _session(self, examples: Sequence[Example], strategies: Mapping[tuple[str, int], str]) -> Session:
        longest = max(examples, key=lambda example: len(example.context))
        first = longest.index - len(longest.context)
        used = [
            self._place(turn, strategies.get((longest.conversation_id, first + number)))
            for number, turn in enumerate(longest.context)
        ]
        gold = [-1 if e.strategy is None else self.labels.position(e.strategy) for e in examples]
        return Session(
            turns=self._turns(longest.context, used),
            texts=tuple(turn.text for turn in longest.context),
            places=np.array([len(example.context) for example in examples]),
            structure=np.stack(
                [
                    structure(example.context, used[: len(example.context)], len(self.labels))
                    for example in examples
                ]
            ),
            gold=np.array(gold),
        )

    def _place(self, turn: Turn, chosen: str | None) -> int:
        """The strategy of a turn as a number; the one after the last is for none known (`chosen` empty)."""
        name = turn.strategy if chosen is None else chosen
        return self.labels.position(name) if name else len(self.labels)

    def _turns(self, turns: Sequence[Turn], used: Sequence[int]) -> Floats:
        strategies = np.eye(len(self.labels) + 1, dtype=np.float32)
        rows = [
            np.concatenate(
                [
                    self._vectors[turn.text],
                    lexical(turn.text),
                    strategies[place],
                    [turn.speaker is Role.SUPPORTER],
                ]
            )
            for turn, place in zip(turns, used, strict=True)
        ]
        width = WIDTH + len(lexical("")) + len(self.labels) + 2
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), width)

    def _embed_missing(self, texts: Iterable[str]) -> None:
        missing = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if missing:
            raw = embed(missing, layers=tuple(LAYERS)).astype(np.float16).astype(np.float32)
            self._vectors.update(zip(missing, self._reduced(raw), strict=True))

    def _reduced(self, raw: Floats) -> Floats:
        """(N, 384 · layers) → (N, 224)."""
        parts = [
            (raw[:, number * DIMENSIONS : (number + 1) * DIMENSIONS] - self.weights[f"centre{layer}"])
            @ self.weights[f"directions{layer}"]
            for number, layer in enumerate(LAYERS)
        ]
        return np.concatenate(parts, axis=1)


def _session_key(example: Example, number: int) -> tuple[str, int]:
    """Examples with the same key share a session; one whose context was cut stands alone."""
    whole = len(example.context) == example.index
    return example.conversation_id, 0 if whole else number + 1


def lexical(text: str) -> Floats:
    """(n,) length, marks and cue words of a text."""
    words = re.findall(r"[a-z']+", text.lower())
    held = set(words)
    count = len(words)
    marks = [
        min(count, 60) / 20,
        np.log1p(count),
        "?" in text,
        text.rstrip().endswith("?"),
        "!" in text,
        count <= 3,
        count > 25,
    ]
    return np.asarray([*marks, *(cue in held for cue in CUES)], dtype=np.float32)


def structure(turns: Sequence[Turn], used: Sequence[int], size: int) -> Floats:
    """(d,) what was done before a moment; `used` is each turn's strategy, `size` where it has none."""
    past = [place for turn, place in zip(turns, used, strict=True) if turn.speaker is Role.SUPPORTER]
    known = [place for place in past if place < size]
    counts = np.bincount(known, minlength=size).astype(np.float32)
    fading, recent = np.zeros(size), np.zeros(size)
    for ago, place in enumerate(reversed(past)):
        if place < size:
            fading[place] += 0.8**ago
            recent[place] = max(recent[place], np.exp(-ago / FORGET))
    run = _run_length(turns)
    mine = bool(turns) and turns[-1].speaker is Role.SUPPORTER
    inside = np.zeros(size)
    inside[[place for place in past[len(past) - run :] if mine and place < size]] = 1
    pieces: list[NDArray[Any]] = [
        _last_strategies(past, size),
        counts / max(1, len(known)),
        np.log1p(counts),
        recent,
        fading,
        inside,
        _pair(past, size),
        _moment(turns, run, mine, past[-1] if past else size, size),
    ]
    return np.concatenate(pieces).astype(np.float32)


def _last_strategies(past: Sequence[int], size: int) -> Floats:
    """One-hot of each of the last five, (5 · (size + 1),)."""
    rows = np.zeros((LAST, size + 1), dtype=np.float32)
    for ago in range(LAST):
        rows[ago, past[-1 - ago] if ago < len(past) else size] = 1
    return rows.ravel()


def _pair(past: Sequence[int], size: int) -> Floats:
    """One-hot of the last two together, ((size + 1)²,)."""
    table = np.zeros((size + 1, size + 1), dtype=np.float32)
    table[past[-1] if past else size, past[-2] if len(past) > 1 else size] = 1
    return table.ravel()


def _moment(turns: Sequence[Turn], run: int, mine: bool, last: int, size: int) -> Floats:
    """Where the conversation stands, in turns and words, and whose turn it was with which strategy."""
    count = len(turns)
    bins, whose = np.zeros(12), np.zeros((2, size + 1))
    bins[min(count // 3, 11)] = 1
    whose[int(mine), last] = 1
    said = {role: [len(turn.text.split()) for turn in turns if turn.speaker is role] for role in Role}
    scalars = [
        count / 20,
        np.log1p(count),
        len(said[Role.SUPPORTER]) / 10,
        len(said[Role.SEEKER]) / 10,
        count == 0,
        count == 1,
        mine,
        min(run, 4),
        run >= 2,
        np.log1p(sum(said[Role.SEEKER])),
        *(float(np.mean(words)) / 20 if words else 0.0 for words in said.values()),
    ]
    return np.concatenate([scalars, bins, whose.ravel()]).astype(np.float32)


def _run_length(turns: Sequence[Turn]) -> int:
    """How many turns the last speaker has spoken in a row."""
    run = 0
    for turn in reversed(turns):
        if turn.speaker is not turns[-1].speaker:
            break
        run += 1
    return run
