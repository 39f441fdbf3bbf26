"""Systems that put layers of their own between hidden states and words; the frame they share.

Such a system answers three questions and leaves the rest to the frame:

- `features(examples)`: what the annotations say, as tensors (phrases are read once, outside the step);
- `think(context, features)`: what is made of them before a word is said: logits of the strategies where the
  system has a head, and memories, projected once;
- `fuse(grid, thought, shares)`: the hidden states (E, T, H) as they are after the fusion, under a
  distribution over the strategies.

Training, likelihoods and decoding are then the same for all of them, on decoder-only and encoder–decoder
backbones alike.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor

from hearten.core.records import Example, Reply
from hearten.core.taxonomy import LabelSet
from hearten.lm.backbone import Batch
from hearten.lm.context import Context
from hearten.lm.decode import Decoding, StrategyPolicy, generate
from hearten.lm.render import Row
from hearten.models.parts.attention import Grid, heads_of
from hearten.models.parts.codebook import classified, gold_places, one_hot
from hearten.models.parts.phrases import PhraseTable
from hearten.models.system import Likelihood, System, SystemConfig, mean, reply_likelihoods, reply_loss


@dataclass(frozen=True, slots=True)
class Thought:
    """What a system made of the contexts; each system adds its own to it.

    `strategy` (E, K) are logits of the strategies, None where the system predicts none.
    """

    strategy: Tensor | None


T = TypeVar("T", bound=Thought)


class FusedSystem(System, Generic[T]):
    """A backbone, and layers between its hidden states and its vocabulary."""

    mixes: ClassVar[bool] = False
    """Whether it speaks under its own distribution over the strategies rather than under one of them."""

    def __init__(self, config: SystemConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        self.width = self.backbone.width
        self.heads = heads_of(self.width)
        self.phrases = PhraseTable()

    @abstractmethod
    def features(self, examples: Sequence[Example]) -> Any:
        """What the annotations of `examples` say, as tensors on the backbone's device."""

    @abstractmethod
    def think(self, context: Context, features: Any) -> T:
        """What is made of contexts and features before a word is said."""

    def settle(self, thought: T, shares: Tensor | None) -> T:
        """What is made once the strategy is known, before the first word; nothing by default."""
        return thought

    @abstractmethod
    def fuse(self, states: Tensor, thought: T, shares: Tensor | None) -> Tensor:
        """Hidden states (E, T, H) after the fusion; `shares` (E, K) is what strategy they speak under."""

    def auxiliary(self, batch: Batch, thought: T) -> dict[str, Tensor]:
        """Further named losses."""
        return {}

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """Every phrase `features` will ask for, so that all are read before training."""
        return []

    def prepare(self, examples: Sequence[Example]) -> None:
        """Read the phrases of the training examples once."""
        self.phrases.remember(self.texts(examples))

    def collate(self, rows: Sequence[Row], examples: Sequence[Example]) -> Batch:
        """Pad rows to a batch and add the features of its examples."""
        batch = super().collate(rows, examples)
        return replace(batch, features=self.features(batch.examples))

    @property
    def strategy_fed(self) -> Literal["gold", "predicted", "none"]:
        """A mixture is the system's own prediction; otherwise the gold strategy is fed."""
        return "predicted" if self.mixes else super().strategy_fed

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """`response`, `strategy` where the system has a head, and whatever else it names."""
        logits, thought = self._run(batch)
        losses = {"response": mean(reply_loss(logits, batch, self.backbone.strategy_ids))}
        if thought.strategy is not None:
            losses["strategy"] = self.strategy_loss(batch, thought)
        return losses | self.auxiliary(batch, thought)

    def strategy_loss(self, batch: Batch, thought: T) -> Tensor:
        """Mean cross-entropy of the gold strategies under the head (AdMISC eq. 21)."""
        assert thought.strategy is not None
        gold = gold_places(batch.examples, self.labels, thought.strategy.device)
        return classified(thought.strategy, gold)

    def logprobs(self, thought: T) -> Tensor | None:
        """Log-probabilities of the strategies, (E, K)."""
        return None if thought.strategy is None else thought.strategy.float().log_softmax(-1)

    def shares(self, batch: Batch, thought: T) -> Tensor | None:
        """The distribution the gold replies are scored under: the mixture, or the gold strategy."""
        if not self.uses_strategies:
            return None
        believed = self.logprobs(thought)
        if self.mixes and believed is not None and not (self.training and self.forces_gold):
            return believed.exp()
        return one_hot(gold_places(batch.examples, self.labels, batch.ids.device), len(self.labels))

    @property
    def forces_gold(self) -> bool:
        """Whether training feeds the gold strategy where `mixes` would not."""
        return False

    def _run(self, batch: Batch) -> tuple[Tensor, T]:
        """Vocabulary scores of every target (N, V), and the thought behind them."""
        hidden, context = self.backbone.read(batch)
        thought = self.think(context, batch.features)
        grid = Grid.of(batch.example_of, len(batch.examples))
        shares = self.shares(batch, thought)
        settled = self.settle(thought, shares)
        fused = grid.flat(self.fuse(grid.laid(hidden), settled, shares))
        return self.backbone.logits(fused.to(hidden.dtype)), thought

    def logits(self, batch: Batch) -> Tensor:
        """Vocabulary scores of every target after the fusion, (N, V)."""
        return self._run(batch)[0]

    def likelihoods(self, batch: Batch) -> list[Likelihood]:
        """How probable each gold reply is, and every strategy's log-probability where there is a head."""
        logits, thought = self._run(batch)
        believed = self.logprobs(thought)
        rows = None if believed is None else [tuple(row) for row in believed.tolist()]
        return reply_likelihoods(logits, batch, self.backbone.strategy_ids, rows)

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, policy: StrategyPolicy
    ) -> list[list[Reply]]:
        """Replies spoken through the fusion, under the strategy that `policy` chooses."""
        return generate(self.backbone, examples, decoding, policy, voices=self.voice)

    def voice(self, context: Context, examples: Sequence[Example]) -> "FusedVoice":
        """What speaks for these contexts while they are decoded."""
        return FusedVoice(self, context, examples)


class FusedVoice:
    """A fused system in the middle of decoding one batch; one example for every reply."""

    def __init__(self, system: FusedSystem[Any], context: Context, examples: Sequence[Example]) -> None:
        self._system = system
        self.mixes = system.mixes
        self.labels = system.labels if system.uses_strategies else None
        self._thought = system.think(context, system.features(examples))
        believed = system.logprobs(self._thought)
        self._beliefs = believed
        self._shares = None if believed is None else believed.exp()
        self._settled: Thought | None = None
        self._contexts = [(example.conversation_id, example.index) for example in examples]
        self._slots: Tensor | None = None  # (K,) places of the rows that go on; None is all of them

    def beliefs(self) -> Tensor | None:
        """Log-probabilities of the strategies by the system's own head, (B, K)."""
        return self._beliefs

    def steer(self, places: Tensor | None) -> None:
        """Speak under these strategies, (B,); None leaves the mixture."""
        if places is not None:
            device = self._system.backbone.device
            self._shares = one_hot(places.to(device), len(self._system.labels))
            self._settled = None

    def scores(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores (B, V) of hidden states (B, H)."""
        if self._settled is None:
            self._settled = self._system.settle(self._thought, self._shares)
        if self._slots is None:
            return self._fused(hidden, self._settled)
        whole = hidden.new_zeros(len(self._contexts), hidden.shape[-1])
        whole[self._slots] = hidden
        return self._fused(whole, self._settled)[self._slots]

    def _fused(self, hidden: Tensor, settled: Thought) -> Tensor:
        fused = self._system.fuse(hidden[:, None], settled, self._shares)[:, 0]
        return self._system.backbone.logits(fused.to(hidden.dtype))

    def keep(self, rows: Tensor) -> None:
        """Rows go on in another order: each takes a free place among the replies to its own context."""
        now = range(len(self._contexts)) if self._slots is None else self._slots.tolist()
        free: dict[tuple[str, int], list[int]] = {}
        for place, context in reversed(list(enumerate(self._contexts))):
            free.setdefault(context, []).append(place)
        slots = [free[self._contexts[now[row]]].pop() for row in rows.tolist()]
        self._slots = torch.tensor(slots, device=rows.device)
