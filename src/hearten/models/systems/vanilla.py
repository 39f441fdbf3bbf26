"""Vanilla (Liu et al. 2021, section 6.2): the backbone fine-tuned with no access to strategies.

P(y | x) over the flattened history x. On a decoder-only backbone one pass over a conversation learns every
supporter turn of it.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from hearten.core.records import Example, Reply
from hearten.lm.backbone import Batch
from hearten.lm.decode import Decoding, StrategyPolicy, generate
from hearten.models.system import Likelihood, Paper, System, mean, reply_likelihoods, reply_loss
from hearten.models.systems.joint import ESCONV


class Vanilla(System):
    """Fine-tuning without strategies."""

    name: ClassVar[str] = "vanilla"
    paper: ClassVar[Paper] = ESCONV
    uses_strategies: ClassVar[bool] = False
    exportable: ClassVar[bool] = True

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """`response`: mean cross-entropy of the reply tokens and the end token."""
        logits = self.logits(batch)
        return {"response": mean(reply_loss(logits, batch, self.backbone.strategy_ids))}

    def likelihoods(self, batch: Batch) -> list[Likelihood]:
        """How probable each gold reply is."""
        logits = self.logits(batch)
        return reply_likelihoods(logits, batch, self.backbone.strategy_ids)

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, policy: StrategyPolicy
    ) -> list[list[Reply]]:
        """Sampled replies; the policy has nothing to decide here."""
        return generate(self.backbone, examples, decoding, policy)
