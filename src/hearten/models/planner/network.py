"""Networks: a recurrent reading of all turns, the last two turns by themselves, the structure.

Small and heavily dropped out on purpose: 910 conversations are few, and what a network without dropout
gains on them it loses on others. Batches are padded; padding changes nothing because a state is read
where its moment is and the recurrence runs forwards only. `Networks` is the mean of several that differ
by their seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hearten.core.config import Config
from hearten.models.planner.features import Session
from hearten.models.planner.members import Beliefs, Tensors, under

SESSIONS = 64
"""Sessions a forward pass."""


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


class Networks:
    """The mean of networks of one shape."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = [network.eval() for network in networks]

    @torch.no_grad()
    def beliefs(self, sessions: Sequence[Session]) -> Beliefs:
        """(M, K)."""
        found: dict[int, Beliefs] = {}
        for places in batches(sessions, SESSIONS):
            batch = Batch([sessions[place] for place in places])
            shares = torch.stack([network(batch).double().softmax(-1) for network in self.networks])
            ends = np.cumsum([len(sessions[place].places) for place in places])[:-1]
            found.update(zip(places, np.split(shares.mean(0).numpy(), ends), strict=True))
        return np.concatenate([found[place] for place in range(len(sessions))])

    def tensors(self) -> Tensors:
        """The weights, matrices in half precision."""
        return {
            f"{number}.{name}": value.half().numpy() if value.ndim > 1 else value.numpy()
            for number, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }

    def words(self) -> dict[str, list[str]]:
        """None."""
        return {}

    @classmethod
    def restored(cls, tensors: Tensors, words: Mapping[str, Sequence[str]], config: Any) -> Self:
        """What `tensors` and the sizes in `config` (a `NetworkConfig`) describe."""
        count = 1 + max(int(name.split(".")[0]) for name in tensors)
        return cls([_restored(under(tensors, f"{number}."), config) for number in range(count)])


def _restored(state: Tensors, config: NetworkConfig) -> Network:
    turn, structure = state["turn.1.weight"].shape[1], state["centre"].shape[0]
    network = Network(turn, structure, state["out.1.weight"].shape[0], config)
    network.load_state_dict(
        {name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()}
    )
    return network
