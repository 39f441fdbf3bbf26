"""What every trainable system is: examples in; named losses, likelihoods and replies out.

A system composes a backbone and its own layers and says which losses it has. It knows nothing of
optimisers, schedules or files: the one training loop is in `train`, and `save`/`load` here write only the
parameters that were trained (an adapter of some megabytes, or everything after full fine-tuning).
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.config import Config
from hearten.core.errors import Failure
from hearten.core.jsonl import read_json, write_json
from hearten.core.records import Example, Reply
from hearten.core.taxonomy import LabelSet
from hearten.lm.backbone import Backbone, BackboneConfig, Batch, autocast, open_backbone
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.lm.render import Row, micro_batches, width
from hearten.models.parts.balance import Balance, Balancing

WEIGHTS = "system.safetensors"
SETTINGS = "system.json"


class SystemConfig(Config):
    """What every system can be told."""

    backbone: BackboneConfig = BackboneConfig()
    loss_weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each named loss in the sum; a loss that is not named weighs 1."""
    balancing: Balancing = Balancing()
    """What else weighs the losses."""


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a system comes from, and how its authors trained and decoded it."""

    citation: str
    title: str
    backbone: str
    """Short name of the published backbone; `scratch` where there is none."""
    training: Mapping[str, Any]
    """Values for `train.recipe.Training` when the published backbone is fine-tuned as a whole."""
    decoding: Mapping[str, Any]
    """Values for `lm.decode.Decoding`."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How probable the system finds one gold reply. All sums are in nats."""

    nll: float
    """Of the reply's tokens with its end token, without the strategy."""
    tokens: int
    strategy_logprobs: tuple[float, ...] | None
    """log P of each strategy of the label set, in its order; None where the system has no strategies."""

    def __add__(self, other: "Likelihood") -> "Likelihood":
        """Two parts of one reply; the strategy stands in one of them."""
        beliefs = self.strategy_logprobs or other.strategy_logprobs
        return Likelihood(self.nll + other.nll, self.tokens + other.tokens, beliefs)


class System(nn.Module, ABC):
    """A published (or new) way to give emotional support, trainable on examples."""

    name: ClassVar[str]
    paper: ClassVar[Paper]
    uses_strategies: ClassVar[bool]
    """Whether it learns from strategy labels."""
    says_strategies: ClassVar[bool] = True
    """Whether a strategy it uses is a token of the text (else it is a vector)."""
    own_head: ClassVar[bool] = False
    """Whether a head of its own, not the language model, predicts the strategy."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Kinds of `Turn.annotations` it reads."""
    losses_named: ClassVar[tuple[str, ...]] = ("response",)
    """Every name `losses` can give."""
    exportable: ClassVar[bool] = False
    """Whether the tuned backbone alone says all: then the chat engine can run it."""
    config_class: ClassVar[type[SystemConfig]] = SystemConfig

    def __init__(self, config: SystemConfig, labels: LabelSet) -> None:
        super().__init__()
        self.config, self.labels = config, labels
        self.backbone: Backbone = self.open(config, labels)
        self.balance = Balance(self.losses_named, config.balancing, config.loss_weights)

    def open(self, config: SystemConfig, labels: LabelSet) -> Backbone:
        """The pretrained model under the system."""
        spoken = self.uses_strategies and self.says_strategies
        return open_backbone(config.backbone, labels if spoken else None)

    @property
    def strategy_fed(self) -> Literal["gold", "predicted", "none"]:
        """Which strategy `likelihoods` conditions the reply on."""
        return "gold" if self.uses_strategies else "none"

    @classmethod
    def required(cls, config: SystemConfig) -> frozenset[str]:
        """Kinds of annotations it reads when configured so."""
        return cls.needs

    @classmethod
    def fitted(cls, config: SystemConfig, examples: Sequence[Example]) -> SystemConfig:
        """The config with what must be known of the training examples before the system is built."""
        return config

    def fold(self) -> None:
        """Put the backbone's adapter into its weights: quicker answers, and no more learning."""
        self.backbone.fold()

    def prepare(self, examples: Sequence[Example]) -> None:
        """Look at the training examples once, before training (class frequencies and the like)."""

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """The units of training for `examples`: what one forward pass is made of."""
        return self.backbone.rows(examples)

    def collate(self, rows: Sequence[Row], examples: Sequence[Example]) -> Batch:
        """Pad rows to a batch."""
        return self.backbone.collate(rows, examples)

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Everything about `examples` in one batch."""
        return self.collate(self.rows(examples), examples)

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named, unweighted mean losses (scalars, nats)."""

    @abstractmethod
    def likelihoods(self, batch: Batch) -> list[Likelihood]:
        """One per example of the batch, in its order, teacher-forced with the gold strategy; in eval mode.

        An example of which the batch holds only the end has no `strategy_logprobs`.
        """

    @abstractmethod
    def generate(
        self, examples: Sequence[Example], decoding: Decoding, policy: StrategyPolicy
    ) -> list[list[Reply]]:
        """`decoding.n` replies to each example."""

    def logits(self, batch: Batch) -> Tensor:
        """Vocabulary scores of every target, (N, V): the backbone's own, where the system adds nothing."""
        return self.backbone.logits(self.backbone.hidden(batch))

    def score(self, batch: Batch) -> Tensor:
        """Log P of every target of `batch` as decoding would have it, (N,); differentiable.

        A strategy is scored among the strategies, a word among all that is no strategy. With the rows of
        `Backbone.options` these are a context's candidates; `batch.example_of` says which target is whose.
        """
        logits, ids = self.logits(batch), self.backbone.strategy_ids
        found = torch.zeros(len(logits), device=logits.device)
        found[~batch.is_strategy] = -reply_loss(logits, batch, ids)
        if batch.is_strategy.any():
            gold = batch.target_ids[batch.is_strategy]
            beliefs = logits[batch.is_strategy][:, ids].float().log_softmax(-1)
            found[batch.is_strategy] = beliefs.gather(-1, (gold[:, None] == ids).int().argmax(-1)[:, None])[
                :, 0
            ]
        return found

    @torch.no_grad()
    def measure(
        self, rows: Sequence[Row], examples: Sequence[Example], micro_tokens: int = 2048
    ) -> Iterator[tuple[Likelihood, Example]]:
        """(likelihood, example) of every gold reply in `rows`, in eval mode; `examples` made the rows.

        A reply that is longer than the window stands in several rows; its parts come back as one.
        """
        self.eval()
        left = Counter(number for row in rows for number in {target.example for target in row.targets})
        parts: dict[int, Likelihood] = {}
        for micro in micro_batches(sorted(rows, key=width), micro_tokens):
            with autocast(self.backbone.device):
                found = self.likelihoods(self.collate(micro, examples))
            held = [{target.example for target in row.targets} for row in micro]
            numbers = sorted(set[int]().union(*held))
            for number, likelihood in zip(numbers, found, strict=True):
                parts[number] = likelihood + parts[number] if number in parts else likelihood
                left[number] -= sum(number in one for one in held)
                if not left[number]:
                    yield parts.pop(number), examples[number]

    def objective(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum that is minimised."""
        total: Tensor = self.balance(losses)
        return total

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def save(self, folder: Path) -> None:
        """Write what was trained, and what is needed to build the rest again, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS, dict(self.trainable()))
        settings = {"system": self.name, "labels": self.labels.name, "config": self.config.model_dump()}
        write_json(folder / SETTINGS, settings)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Read back what `save` wrote.

        Raises:
            Failure: the file holds other parameters than this system trains.
        """
        state, mine = load_file(folder / WEIGHTS), self.trainable()
        if set(state) != set(mine):
            strange = sorted(set(state) ^ set(mine))[0]
            raise Failure(f"weights do not fit this system: '{strange}'", where=str(folder / WEIGHTS))
        for name, value in state.items():
            mine[name].copy_(value)


def validation(
    system: System, rows: Sequence[Row], examples: Sequence[Example], micro_tokens: int
) -> dict[str, float]:
    """Perplexity per token on `rows`, and how often the likeliest strategy is the gold one."""
    nll, tokens, right, named = 0.0, 0, 0, 0
    for likelihood, example in system.measure(rows, examples, micro_tokens):
        nll, tokens = nll + likelihood.nll, tokens + likelihood.tokens
        if likelihood.strategy_logprobs and example.strategy:
            guess = max(range(len(system.labels)), key=likelihood.strategy_logprobs.__getitem__)
            right, named = right + (guess == system.labels.position(example.strategy)), named + 1
    mean_nll = nll / max(1, tokens)
    perplexity = math.exp(min(mean_nll, 700.0)) if math.isfinite(mean_nll) else mean_nll
    accuracy = {"valid_strategy_accuracy": right / named} if named else {}
    return {"valid_perplexity": perplexity} | accuracy  # e^700: beyond it a float cannot tell


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write one safetensors file, whole or not at all.

    Raises:
        Failure: the disk is full or the folder cannot be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, beside)
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise Failure(f"could not write: {error}", where=str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings `save` wrote beside the weights."""
    settings: dict[str, Any] = read_json(folder / SETTINGS)
    return settings


def reply_loss(logits: Tensor, batch: Batch, strategy_ids: Tensor) -> Tensor:
    """Cross-entropy of each reply token, (N_reply,); strategy tokens cannot be said inside a reply."""
    chosen = ~batch.is_strategy
    scores = logits[chosen].float()
    if len(strategy_ids):
        scores = scores.index_fill(-1, strategy_ids, float("-inf"))
    return functional.cross_entropy(scores, batch.target_ids[chosen], reduction="none")


def reply_likelihoods(
    logits: Tensor,
    batch: Batch,
    strategy_ids: Tensor,
    beliefs: Sequence[tuple[float, ...] | None] | None = None,
) -> list[Likelihood]:
    """The likelihood of each example's reply, with what its system believes of the strategies."""
    count, said = len(batch.examples), batch.example_of[~batch.is_strategy]
    sums = sum_by_example(reply_loss(logits, batch, strategy_ids), said, count).tolist()
    lengths = said.bincount(minlength=count).tolist()
    return [
        Likelihood(nll=nll, tokens=length, strategy_logprobs=belief)
        for nll, length, belief in zip(sums, lengths, beliefs or [None] * count, strict=True)
    ]


def mean(values: Tensor) -> Tensor:
    """The mean of `values` (N,); 0 where there are none (a row may hold only the end of a long reply)."""
    return values.sum() / max(1, len(values))


def sum_by_example(values: Tensor, example_of: Tensor, count: int) -> Tensor:
    """Sums of `values` (N,) by example, (count,)."""
    return torch.zeros(count, dtype=values.dtype, device=values.device).index_add(0, example_of, values)
