"""The planner's network: a recurrent reading of all turns, the last two turns by themselves, the structure.

Small and heavily dropped out on purpose: 910 conversations are few, and what a network without dropout
gains on them it loses on others. Batches are padded; padding changes nothing because a state is read
where its moment is and the recurrence runs forwards only.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hearten.core.config import Config
from hearten.models.planner.features import Session


class NetworkConfig(Config):
    """Sizes and dropout; chosen by validation log-likelihood."""

    inner: int = 64
    last: int = 48
    structure: int = 32
    drop_turn: float = 0.5
    drop_last: float = 0.6
    drop_structure: float = 0.4
    drop_state: float = 0.3
    drop_out: float = 0.5


class Batch:
    """Padded sessions: turns (B, 1 + T, n) after an empty first step, and flat moments (M, …)."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        longest = max(len(session.turns) for session in sessions)
        turns = np.zeros((len(sessions), 1 + longest, sessions[0].turns.shape[1]), dtype=np.float32)
        for row, session in zip(turns, sessions, strict=True):
            row[1 : 1 + len(session.turns)] = session.turns
        owners = [np.full(len(session.places), number) for number, session in enumerate(sessions)]
        self.turns = torch.from_numpy(turns)
        self.owner = torch.from_numpy(np.concatenate(owners))  # (M,)
        self.place = torch.from_numpy(np.concatenate([session.places for session in sessions]))  # (M,)
        self.structure = torch.from_numpy(
            np.concatenate([session.structure for session in sessions])
        )  # (M, d)
        self.gold = torch.from_numpy(np.concatenate([session.gold for session in sessions]))  # (M,)


class Network(nn.Module):
    """Sessions in, one score a strategy and moment out."""

    centre: Tensor
    scale: Tensor

    def __init__(self, turn: int, structure: int, strategies: int, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(structure))
        self.register_buffer("scale", torch.ones(structure))
        self.turn = nn.Sequential(
            nn.Dropout(config.drop_turn),
            nn.Linear(turn, config.inner),
            nn.ReLU(),
            nn.Dropout(config.drop_state),
        )
        self.state = nn.GRU(config.inner, config.inner, batch_first=True)
        self.last = nn.Sequential(nn.Dropout(config.drop_last), nn.Linear(2 * turn, config.last), nn.ReLU())
        self.shape = nn.Sequential(
            nn.Dropout(config.drop_structure), nn.Linear(structure, config.structure), nn.ReLU()
        )
        width = config.inner + config.last + config.structure
        self.out = nn.Sequential(nn.Dropout(config.drop_out), nn.Linear(width, strategies))

    def standardise(self, structure: Tensor) -> None:
        """Take the mean and the spread of the structure (N, d) of the training moments."""
        self.centre.copy_(structure.mean(0))
        self.scale.copy_(structure.std(0) + 0.02)

    def forward(self, batch: Batch) -> Tensor:
        """(M, K) scores."""
        states, _ = self.state(self.turn(batch.turns))  # (B, 1 + T, H)
        before = (batch.place - 1).clamp(min=0)
        two = torch.cat([batch.turns[batch.owner, batch.place], batch.turns[batch.owner, before]], dim=1)
        shape = ((batch.structure - self.centre) / self.scale).clamp(-4, 4)
        read = [states[batch.owner, batch.place], self.last(two), self.shape(shape)]
        scores: Tensor = self.out(torch.cat(read, dim=1))
        return scores


def batches(
    sessions: Sequence[Session], size: int, order: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Places of sessions in batches of `size`, in `order` or by length."""
    places = (
        order if order is not None else sorted(range(len(sessions)), key=lambda n: len(sessions[n].turns))
    )
    for start in range(0, len(places), size):
        yield list(places[start : start + size])
