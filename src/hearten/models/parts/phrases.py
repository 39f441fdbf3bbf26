"""Phrases that knowledge gave a turn (commonsense tails, emotion words, sentences of a situation) as vectors.

A phrase is read once by the frozen sentence encoder (`lm.embed`), never inside a training step. The published
systems read their COMET blocks with the backbone's own encoder, also without gradient; a learned projection
per system stands between these vectors and its width. `PhraseTable` holds what it has seen in memory;
`remember` reads a whole corpus's phrases at once and keeps them in the cache folder, so the next run of any
system on that corpus starts at once.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearten.core.conversation import Role, Turn
from hearten.core.places import cache_folder
from hearten.core.records import Example
from hearten.lm.context import Memory
from hearten.lm.embed import DIMENSIONS, embed

AFFECTIVE = ("xReact", "oReact")
"""COMET relations that say how somebody feels (AdMISC section 4.2 names none; these are ATOMIC's)."""


class PhraseTable:
    """Texts → vectors of the sentence encoder, each text read once."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {"": 0}
        self._rows: list[Any] = [np.zeros((1, DIMENSIONS), dtype=np.float32)]
        self._all: Tensor | None = None

    def remember(self, texts: Iterable[str]) -> None:
        """Read many texts before training; the vectors are kept in the cache folder."""
        new = sorted({text for text in texts if text not in self._place})
        if not new:
            return
        name = hashlib.sha256("\0".join(new).encode()).hexdigest()[:24]
        file = cache_folder("phrases") / f"{name}.npy"
        if file.is_file():
            self._add(new, np.load(file))
            return
        vectors = embed(new)
        self._add(new, vectors)
        beside = file.with_suffix(".part.npy")
        np.save(beside, vectors)
        beside.replace(file)

    def __call__(self, texts: Sequence[Sequence[str]], device: torch.device, least: int = 1) -> Memory:
        """Vectors of each example's phrases, (E, L, 384); L is the longest list, at least `least`."""
        flat = [text for row in texts for text in row if text not in self._place]
        if flat:
            new = sorted(set(flat))
            self._add(new, embed(new))
        longest = max(least, *(len(row) for row in texts)) if texts else least
        places = torch.zeros(len(texts), longest, dtype=torch.long)
        for number, row in enumerate(texts):
            places[number, : len(row)] = torch.tensor([self._place[text] for text in row], dtype=torch.long)
        lengths = torch.tensor([len(row) for row in texts])
        mask = torch.arange(longest) < lengths[:, None]
        return Memory(self._table()[places].to(device), mask.to(device))

    def _add(self, texts: Sequence[str], vectors: Any) -> None:
        for text in texts:
            self._place[text] = len(self._place)
        self._rows.append(vectors)
        self._all = None

    def _table(self) -> Tensor:
        if self._all is None:
            self._rows = [np.concatenate(self._rows)]
            self._all = torch.from_numpy(self._rows[0])
        return self._all


class Reader(nn.Module):
    """From a phrase's vector to a system's width: a projection and a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project, self.norm = nn.Linear(DIMENSIONS, width), nn.LayerNorm(width)

    def forward(self, phrases: Memory) -> Memory:
        """(E, L, 384) → (E, L, H), zeros where there is no phrase."""
        states = self.norm(self.project(phrases.states))
        return Memory(states * phrases.mask.unsqueeze(-1).to(states.dtype), phrases.mask)


def annotation(turn: Turn, kind: str) -> Any:
    """What `hearten annotate KIND` found on this turn; None where it did not look."""
    return (turn.annotations or {}).get(kind)


def last_seeker_turn(example: Example) -> Turn | None:
    """The seeker's last words before the reply."""
    return next((turn for turn in reversed(example.context) if turn.speaker is Role.SEEKER), None)


def blocks(tails: Mapping[str, Sequence[str]] | None, limit: int, relations: Sequence[str] = ()) -> list[str]:
    """Commonsense as MISC writes it, "[relation] tail", relation by relation, at most `limit`.

    Args:
        tails: what COMET or another source found, by relation; None where it found nothing.
        limit: blocks kept.
        relations: only these; empty takes all.
    """
    kept = {r: t for r, t in (tails or {}).items() if not relations or r in relations}
    told = [f"[{relation}] {tail}" for relation, phrases in kept.items() for tail in phrases if usable(tail)]
    return list(dict.fromkeys(told))[:limit]


def usable(tail: str) -> bool:
    """COMET says `none` where it knows nothing."""
    return tail.strip().casefold() not in ("", "none")


def seeker_blocks(example: Example, limit: int) -> list[str]:
    """Commonsense blocks of the seeker's last turn."""
    turn = last_seeker_turn(example)
    return [] if turn is None else blocks(annotation(turn, "commonsense"), limit)


def situation_blocks(example: Example, limit: int) -> list[str]:
    """Commonsense blocks of the situation (`situation` on any turn), else the situation's own sentences."""
    for turn in example.context:
        found = annotation(turn, "situation")
        if found:
            return blocks(found, limit)
    return sentences(example.profile.situation or "")[:limit]


def sentences(text: str) -> list[str]:
    """A text cut after its full stops."""
    return [part for part in re.split(r"(?<=[.!?;])\s+", text.strip()) if part]


def emotion_words(example: Example, turns: int, *, seeker_only: bool = False) -> list[str]:
    """The emotion of each of the last turns in words, the oldest first (AdMISC eq. 6 and 7)."""
    told = [turn for turn in example.context if not seeker_only or turn.speaker is Role.SEEKER]
    found = [annotation(turn, "emotion") for turn in told[-turns:]]
    return [str(one["label"]) for one in found if one]
