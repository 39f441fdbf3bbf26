"""Joint (Liu et al. 2021, section 6.2): a strategy token before every reply, predicted by the same model.

P([st] ⊕ y | x) = P([st] | x) · Π P(y_i | x, [st], y_<i). Oracle and Random are this model decoded under
another policy (`lm.decode.StrategyPolicy`): the gold strategy, or one drawn from the corpus distribution.

Two choices are ours, both options. The strategy's cross-entropy is taken over the strategies alone, because
nothing else may stand there when decoding (`literal = true` takes it over the whole vocabulary, as the
released code does). And rare strategies may count more in training: class weights ∝ frequency^(-balance),
scaled to mean 1 over the corpus; `balance = 0` is the paper.
"""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from hearten.core.records import Example, Reply
from hearten.core.taxonomy import LabelSet
from hearten.lm.backbone import Batch
from hearten.lm.decode import Decoding, StrategyPolicy, generate
from hearten.models.system import (
    Likelihood,
    Paper,
    System,
    SystemConfig,
    mean,
    reply_likelihoods,
    reply_loss,
)

ESCONV = Paper(
    citation="Liu et al. 2021",
    title="Towards Emotional Support Dialog Systems",
    backbone="blenderbot-small",
    training={"epochs": 2, "learning_rate": 3e-5, "weight_decay": 0.01},
    decoding={"temperature": 0.7, "top_k": 30, "top_p": 0.9, "repetition_penalty": 1.03},
)
"""Training as codes_zcj; decoding as Appendix C."""


class JointConfig(SystemConfig):
    """Joint's options; the defaults are the paper's but for `literal`."""

    literal: bool = False
    """Score the strategy against the whole vocabulary, as the released code does."""
    balance: float = 0.0
    """Exponent of the class weights, 0 (none) to 1 (inverse frequency)."""


class Joint(System):
    """Fine-tuning with the strategy as the reply's first token."""

    name: ClassVar[str] = "joint"
    paper: ClassVar[Paper] = ESCONV
    uses_strategies: ClassVar[bool] = True
    losses_named: ClassVar[tuple[str, ...]] = ("strategy", "response")
    exportable: ClassVar[bool] = True
    config_class: ClassVar[type[SystemConfig]] = JointConfig
    config: JointConfig

    def __init__(self, config: JointConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        self.register_buffer("class_weights", torch.ones(len(labels)), persistent=False)
        self.class_weights: Tensor

    def prepare(self, examples: Sequence[Example]) -> None:
        """Take the class weights from the training examples."""
        counts = Counter(self.labels.position(e.strategy) for e in examples if e.strategy)
        frequency = torch.tensor([max(1, counts[k]) for k in range(len(self.labels))], dtype=torch.float32)
        weights = frequency**-self.config.balance
        self.class_weights = weights / ((weights * frequency).sum() / frequency.sum())

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """`strategy` and `response`: mean cross-entropies of the first token and of the rest."""
        logits = self.logits(batch)
        return {
            "strategy": self._strategy_loss(logits[batch.is_strategy], batch),
            "response": mean(reply_loss(logits, batch, self.backbone.strategy_ids)),
        }

    def _strategy_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        gold, ids = batch.target_ids[batch.is_strategy], self.backbone.strategy_ids
        places = (gold[:, None] == ids).int().argmax(-1)  # (N,) in the label set's order
        if self.config.literal:
            each = functional.cross_entropy(logits.float(), gold, reduction="none")
        else:
            each = functional.cross_entropy(logits[:, ids].float(), places, reduction="none")
        return mean(self.class_weights.to(each.device)[places] * each)

    def likelihoods(self, batch: Batch) -> list[Likelihood]:
        """How probable each gold reply is given its gold strategy, and every strategy's log-probability."""
        logits = self.logits(batch)
        beliefs = logits[batch.is_strategy][:, self.backbone.strategy_ids].float().log_softmax(-1)
        owners = batch.example_of[batch.is_strategy].tolist()
        by_example = {owner: tuple(row) for owner, row in zip(owners, beliefs.tolist(), strict=True)}
        known = [by_example.get(number) for number in range(len(batch.examples))]
        return reply_likelihoods(logits, batch, self.backbone.strategy_ids, known)

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, policy: StrategyPolicy
    ) -> list[list[Reply]]:
        """Replies whose first token is a strategy chosen by `policy`."""
        return generate(self.backbone, examples, decoding, policy)
