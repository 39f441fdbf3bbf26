"""The trained planner: probabilities of the strategies, two operating points, sets of acceptable ones.

Its belief is the mean of what its kinds of member believe (`members`), sharpened or flattened by one
temperature that was fitted on validation conversations, so that 0.3 means right three times in ten. What
to do with a belief depends on what one wants: `accuracy` takes the likeliest strategy; `macro-f1` takes
what `rule` says to be worth most. `acceptable` is a split-conformal set: over conversations like the
validation ones it holds the strategy that was used nine times in ten.

A run folder's `model/` holds `planner.safetensors` and `planner.json`; nothing is pickled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from hearten.core.config import Config
from hearten.core.conversation import Record, Role
from hearten.core.errors import UsageError
from hearten.core.jsonl import parse_record, read_json, replacing, write_json
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet, Strategy, label_set
from hearten.models.planner.features import Reader
from hearten.models.planner.members import Beliefs, Member, under
from hearten.models.planner.network import NetworkConfig, Networks
from hearten.models.planner.rule import taking
from hearten.models.planner.trees import Trees, TreesConfig
from hearten.models.planner.words import Words, WordsConfig

WEIGHTS = "planner.safetensors"
SETTINGS = "planner.json"
FORMAT = 2
"""Of a saved planner; 1 had networks only and biases."""
COVERAGE = 0.9
Point = Literal["accuracy", "macro-f1"]
Kind = Literal["networks", "trees", "words"]
KINDS: dict[Kind, type[Member]] = {"networks": Networks, "trees": Trees, "words": Words}


class Choice(Record):
    """What was chosen on the validation part; never on the test part."""

    temperature: float = 1.0
    gain: dict[str, float] = Field(default_factory=dict)
    """Operating point `macro-f1`: by strategy, what its probability is multiplied by (1 if not told) …"""
    cost: dict[str, float] = Field(default_factory=dict)
    """… and what is then taken from it (0 if not told)."""
    floor: float = 0.0
    """A strategy at least this probable is acceptable."""
    validation: dict[str, float] = Field(default_factory=dict)
    """What these choices reach on the validation part (optimistic: they were made there)."""


class PlannerConfig(Config):
    """How a planner is made."""

    kinds: tuple[Kind, ...] = ("networks", "trees", "words")
    """What is mixed, each with the same weight."""
    drawn_history: bool = False
    """Trees and words also learn from a copy of every conversation whose strategies the networks drew:
    better where the history is the planner's own, worse macro-F1 where it is gold (experiments/LOG.md)."""
    network: NetworkConfig = NetworkConfig()
    trees: TreesConfig = TreesConfig()
    words: WordsConfig = WordsConfig()
    members: int = 4
    """Networks that differ by their seed."""
    epochs: int = 12
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    batch: int = 32
    smoothing: float = 0.02
    seed: int = 13


class Planner:
    """Chooses the next strategy of a supporter."""

    def __init__(
        self,
        reader: Reader,
        members: Mapping[Kind, Member],
        config: PlannerConfig,
        choice: Choice | None = None,
    ) -> None:
        self.reader, self.members, self.config = reader, members, config
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
        sessions = [session for session, _ in held]
        parts = [member.beliefs(sessions) for member in self.members.values()]
        found[[row for _, rows in held for row in rows]] = np.mean(parts, axis=0)
        return sharpened(found, self.choice.temperature)

    def choose(self, beliefs: Beliefs, point: Point = "accuracy") -> list[Strategy]:
        """The strategy at an operating point, for each row."""
        names, scores = self.labels.names, beliefs
        if point == "macro-f1":
            gain = np.array([self.choice.gain.get(name, 1.0) for name in names])
            scores = taking(beliefs, gain, np.array([self.choice.cost.get(name, 0.0) for name in names]))
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
        tensors = {
            f"reader.{name}": value.astype(np.float16) if value.ndim > 1 else value
            for name, value in self.reader.weights.items()
        }
        for kind, member in self.members.items():
            tensors |= {f"{kind}.{name}": value for name, value in member.tensors().items()}
        with replacing(folder / WEIGHTS, "wb") as stream:
            stream.write(to_bytes({name: np.ascontiguousarray(value) for name, value in tensors.items()}))
        settings = {
            "format": FORMAT,
            "labels": self.labels.name,
            "config": self.config.model_dump(),
            "choice": self.choice.model_dump(),
            "words": {kind: member.words() for kind, member in self.members.items()},
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
        if settings.get("format") != FORMAT:
            raise UsageError(f"'{folder}' was made by another version of the planner", fix="train it again")
        tensors = load_file(place / WEIGHTS)
        config = parse_record(settings["config"], PlannerConfig, where=str(place / SETTINGS))
        choice = parse_record(settings["choice"], Choice, where=str(place / SETTINGS))
        reader = Reader(label_set(settings["labels"]), under(tensors, "reader."))
        shapes: dict[Kind, Any] = {"networks": config.network, "trees": config.trees, "words": config.words}
        members = {
            kind: KINDS[kind].restored(under(tensors, f"{kind}."), settings["words"][kind], shapes[kind])
            for kind in config.kinds
        }
        return cls(reader, members, config, choice)


def sharpened(beliefs: Beliefs, temperature: float) -> Beliefs:
    """Probabilities ∝ p^(1 / temperature)."""
    scores = np.maximum(beliefs, 1e-12) ** (1 / temperature)
    shares: Beliefs = scores / scores.sum(axis=1, keepdims=True)
    return shares
