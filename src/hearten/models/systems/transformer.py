"""Transformer and MT-Transformer: what can be learned from nothing, with and without naming the emotion.

Vaswani et al. 2017 in the sizes of the public code of MoEL, from which these rows of AdMISC's Table 4 most
likely come; the multi-task form (Rashkin et al. 2018) names the seeker's emotion from the class token. In
that code the words' loss is a sum and the emotion's a mean, so the second task hardly counts (`literal =
true`); here both are means.
"""

from typing import ClassVar

from torch import Tensor, nn

from hearten.core.taxonomy import LabelSet
from hearten.lm.backbone import Batch
from hearten.models.parts.scratch import Encoded, ScratchConfig
from hearten.models.scratch import EMOTIONS, Scratch
from hearten.models.system import Paper, SystemConfig

NOAM = {"epochs": 10, "learning_rate": 6.5e-4, "batch_tokens": 8192, "weight_decay": 0.0}
"""The public code's peak rate (Noam, 300 wide, 8,000 steps of warm-up); epochs are ours: it stops early."""
GREEDY = {"temperature": 0.0, "min_tokens": 1, "max_tokens": 50}
TRANSFORMER = Paper(
    citation="Vaswani et al. 2017",
    title="Attention Is All You Need",
    backbone="scratch",
    training=NOAM,
    decoding=GREEDY,
)
MULTITASK = Paper(
    citation="Rashkin et al. 2018",
    title="I Know the Feeling: Learning to Converse with Empathy",
    backbone="scratch",
    training=NOAM,
    decoding=GREEDY,
)


class TransformerConfig(ScratchConfig):
    """Two layers, as the README's command."""

    layers: int = 2


class Transformer(Scratch):
    """Words alone."""

    name: ClassVar[str] = "transformer"
    paper: ClassVar[Paper] = TRANSFORMER
    config_class: ClassVar[type[SystemConfig]] = TransformerConfig


class MultitaskTransformer(Scratch):
    """Words, and the seeker's emotion from the class token."""

    name: ClassVar[str] = "mt-transformer"
    paper: ClassVar[Paper] = MULTITASK
    losses_named: ClassVar[tuple[str, ...]] = ("response", "emotion")
    config_class: ClassVar[type[SystemConfig]] = TransformerConfig

    def __init__(self, config: TransformerConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        self.feel = nn.Linear(config.width, len(EMOTIONS), bias=False)

    def further(self, encoded: Encoded, gold: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`emotion`: cross-entropy of the seeker's."""
        return {"emotion": self.emotion_loss(self.feel(encoded.states[:, 0]), gold, batch)}
