"""The trained planner: probabilities of the strategies, two operating points, sets of acceptable ones.

Its belief is the mean of its members' probabilities, sharpened or flattened by one temperature that was
fitted on validation conversations, so that 0.3 means right three times in ten. What to do with a belief
depends on what one wants: `accuracy` takes the likeliest strategy; `macro-f1` adds one bias a strategy
(tuned on validation) so that rare strategies are chosen too. `acceptable` is a split-conformal set: over
conversations like the validation ones it holds the strategy that was used nine times in ten.

A run folder's `model/` holds `planner.safetensors` and `planner.json`; nothing is pickled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from hearten.core.config import Config
from hearten.core.conversation import Record, Role
from hearten.core.errors import UsageError
from hearten.core.jsonl import parse_record, read_json, replacing, write_json
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet, Strategy, label_set
from hearten.models.planner.features import Reader, Session
from hearten.models.planner.network import Batch, Network, NetworkConfig, batches

WEIGHTS = "planner.safetensors"
SETTINGS = "planner.json"
SESSIONS = 64
"""Sessions a forward pass."""
COVERAGE = 0.9
Point = Literal["accuracy", "macro-f1"]
Beliefs = NDArray[np.float64]


class Choice(Record):
    """What was chosen on the validation part; never on the test part."""

    temperature: float = 1.0
    bias: dict[str, float] = Field(default_factory=dict)
    """Added to the log-probabilities at the operating point `macro-f1`, by strategy."""
    floor: float = 0.0
    """A strategy at least this probable is acceptable."""
    validation: dict[str, float] = Field(default_factory=dict)
    """What these choices reach on the validation part (optimistic: they were made there)."""


class PlannerConfig(Config):
    """How a planner is made; defaults chosen by validation log-likelihood."""

    network: NetworkConfig = NetworkConfig()
    members: int = 6
    epochs: int = 12
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    batch: int = 32
    smoothing: float = 0.02
    seed: int = 13


class Planner:
    """Chooses the next strategy of a supporter."""

    def __init__(
        self, reader: Reader, members: Sequence[Network], config: PlannerConfig, choice: Choice | None = None
    ) -> None:
        self.reader, self.members, self.config = reader, [member.eval() for member in members], config
        self.choice = choice or Choice()

    @property
    def labels(self) -> LabelSet:
        """The strategies it chooses among."""
        return self.reader.labels

    def beliefs(
        self, examples: Sequence[Example], strategies: Mapping[tuple[str, int], str] | None = None
    ) -> Beliefs:
        """(N, K) calibrated probabilities; `strategies` replaces those in the contexts (`own_history`)."""
        found = np.zeros((len(examples), len(self.labels)))
        if not examples:
            return found
        held = self.reader.sessions(examples, strategies)
        for places in batches([session for session, _ in held], SESSIONS):
            rows = [row for place in places for row in held[place][1]]
            found[rows] = self.mean([held[place][0] for place in places])
        return sharpened(found, self.choice.temperature)

    @torch.no_grad()
    def mean(self, sessions: Sequence[Session]) -> Beliefs:
        """(M, K) mean probabilities of the members, not calibrated."""
        batch = Batch(sessions)
        shares = torch.stack([member(batch).double().softmax(-1) for member in self.members])
        mean: Beliefs = shares.mean(0).numpy()
        return mean

    def choose(self, beliefs: Beliefs, point: Point = "accuracy") -> list[Strategy]:
        """The strategy at an operating point, for each row."""
        bias = np.array([self.choice.bias.get(name, 0.0) for name in self.labels.names])
        scores = np.log(np.maximum(beliefs, 1e-12)) + (bias if point == "macro-f1" else 0.0)
        return [self.labels.strategies[place] for place in scores.argmax(1)]

    def acceptable(self, beliefs: Beliefs) -> list[list[Strategy]]:
        """The conformal set of each row, the likeliest first; never empty."""
        found = []
        for row in beliefs:
            order = np.argsort(-row)
            kept = [place for place in order if row[place] >= self.choice.floor] or [order[0]]
            found.append([self.labels.strategies[place] for place in kept])
        return found

    def own_history(self, examples: Sequence[Example], point: Point = "accuracy") -> Beliefs:
        """(N, K) beliefs where every earlier supporter turn carries what the planner itself chose for it.

        Conversations are walked turn by turn, all of them together: the k-th supporter turn of each is
        decided from its k − 1 own decisions. Supporter turns that are no examples carry no strategy.
        """
        found = np.zeros((len(examples), len(self.labels)))
        chosen = {
            (example.conversation_id, place): ""
            for example in examples
            for place, turn in enumerate(example.context, example.index - len(example.context))
            if turn.speaker is Role.SUPPORTER
        }
        waiting = sorted(range(len(examples)), key=lambda n: examples[n].index)
        while waiting:
            step = list({examples[n].conversation_id: n for n in reversed(waiting)}.values())
            found[step] = self.beliefs([examples[n] for n in step], chosen)
            for n, strategy in zip(step, self.choose(found[step], point), strict=True):
                chosen[examples[n].conversation_id, examples[n].index] = strategy.name
            waiting = [n for n in waiting if n not in set(step)]
        return found

    def save(self, folder: Path) -> None:
        """Write the weights and the settings into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, NDArray[Any]] = {f"reader.{k}": v for k, v in self.reader.weights.items()}
        for number, member in enumerate(self.members):
            state = member.state_dict().items()
            tensors |= {f"{number}.{name}": value.numpy() for name, value in state}
        tensors = {
            k: np.ascontiguousarray(v.astype(np.float16 if v.ndim > 1 else v.dtype))
            for k, v in tensors.items()
        }
        with replacing(folder / WEIGHTS, "wb") as stream:
            stream.write(to_bytes(tensors))
        settings = {
            "labels": self.labels.name,
            "config": self.config.model_dump(),
            "choice": self.choice.model_dump(),
        }
        write_json(folder / SETTINGS, settings)

    @classmethod
    def load(cls, folder: Path) -> "Planner":
        """What `save` wrote; `folder` is a run folder, or its `model/`.

        Raises:
            UsageError: there is no planner.
        """
        place = folder if (folder / SETTINGS).is_file() else folder / "model"
        if not (place / SETTINGS).is_file():
            raise UsageError(f"'{folder}' holds no planner", fix="hearten planner train makes one")
        settings = read_json(place / SETTINGS)
        tensors = {name: value.astype(np.float32) for name, value in load_file(place / WEIGHTS).items()}
        config = parse_record(settings["config"], PlannerConfig, where=str(place / SETTINGS))
        choice = parse_record(settings["choice"], Choice, where=str(place / SETTINGS))
        reader = Reader(label_set(settings["labels"]), _under(tensors, "reader."))
        members = [_member(_under(tensors, f"{number}."), config) for number in range(config.members)]
        return cls(reader, members, config, choice)


def sharpened(beliefs: Beliefs, temperature: float) -> Beliefs:
    """Probabilities ∝ p^(1 / temperature)."""
    scores = np.maximum(beliefs, 1e-12) ** (1 / temperature)
    shares: Beliefs = scores / scores.sum(axis=1, keepdims=True)
    return shares


def _under(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _member(state: Mapping[str, NDArray[Any]], config: PlannerConfig) -> Network:
    turn, structure = state["turn.1.weight"].shape[1], state["centre"].shape[0]
    member = Network(turn, structure, state["out.1.weight"].shape[0], config.network)
    member.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return member
