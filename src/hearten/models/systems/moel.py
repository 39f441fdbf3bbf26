"""MoEL (Lin et al. 2019): a listener for every emotion, mixed by how likely each emotion is, and one that
writes.

q = h[class token]; a = softmax of the k largest of W q; every listener is one decoder layer over the same
words; x = Σ_e a_e listener_e(y) + basic(y), the basic listener hearing everybody; a last layer over x
writes. A second loss names the emotion. ESConv's emotions are seven, all unhappy and the same through a
conversation, so the gate can learn no more than the topic; its entropy is worth watching.

Listeners run side by side. The published schedule tells training the gold emotion with a falling
probability; here `gold_share` is that probability, fixed, 0 by default, because runs here are far shorter
than its 10,000 steps.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hearten.lm.backbone import Batch
from hearten.models.parts.scratch import Encoded, Layer, ScratchConfig, ScratchModel, backwards
from hearten.models.scratch import EMOTIONS, Scratch
from hearten.models.system import Paper, SystemConfig
from hearten.models.systems.transformer import GREEDY, NOAM

MOEL = Paper(
    citation="Lin et al. 2019",
    title="MoEL: Mixture of Empathetic Listeners",
    backbone="scratch",
    training=NOAM,
    decoding=GREEDY,
)


class MoelConfig(ScratchConfig):
    """MoEL's options."""

    top: int = 5
    """Listeners that are heard (of 32 emotions there; of 7 here)."""
    gold_share: float = 0.0


class MoelModel(ScratchModel):
    """The small Transformer with a decoder of listeners."""

    sizes: MoelConfig

    def __init__(self, config: MoelConfig, vocabulary: int, roles: tuple[int, int]) -> None:
        super().__init__(config, vocabulary, roles)
        self.feel = nn.Linear(config.width, len(EMOTIONS), bias=False)
        self.listeners = nn.ModuleList(Layer(config, crossed=True) for _ in EMOTIONS)
        self.basic = Layer(config, crossed=True)

    def encode(self, ids: Tensor, mask: Tensor, gold: Tensor | None = None) -> Encoded:
        """`told` are the emotion's logits (B, E), and the listeners' shares where training tells them."""
        encoded = super().encode(ids, mask, gold)
        logits = self.feel(encoded.states[:, 0])
        return Encoded(encoded.states, encoded.states, told=(logits, self._told(logits, gold)))

    def _told(self, logits: Tensor, gold: Tensor | None) -> Tensor | None:
        """The gold emotion as shares for those examples that chance chose to be told, else the mixture."""
        if not self.training or gold is None or self.sizes.gold_share == 0:
            return None
        chosen = (torch.rand(len(gold), device=gold.device) < self.sizes.gold_share) & (gold >= 0)
        known = nn.functional.one_hot(gold.clamp_min(0), len(EMOTIONS)).to(logits.dtype)
        return torch.where(chosen[:, None], known, heard(logits, self.sizes.top))

    def decode(self, memory: Tensor, mask: Tensor, ids: Tensor, shares: Tensor | None = None) -> Tensor:
        """States (B, T, H) after each of `ids`; the mixture is read off the class token of the memory."""
        if shares is None:
            shares = heard(self.feel(memory[:, 0]), self.sizes.top)
        words, before, seen = self.begin(ids), backwards(ids), mask[:, None].bool()
        opinions = torch.stack([listener(words, before, memory, seen) for listener in self.listeners], dim=1)
        states = torch.einsum("be,beth->bth", shares.to(opinions.dtype), opinions)
        states = states + self.basic(words, before, memory, seen)
        for layer in self.decoder:
            states = layer(states, before, memory, seen)
        normed: Tensor = self.norm(states)
        return normed


def heard(logits: Tensor, top: int) -> Tensor:
    """Softmax over the `top` largest of (B, E), zero elsewhere."""
    best = logits.topk(min(top, logits.shape[-1]), dim=-1)
    kept = torch.full_like(logits, float("-inf")).scatter(-1, best.indices, best.values)
    return kept.float().softmax(-1)


class Moel(Scratch):
    """A mixture of listeners."""

    name: ClassVar[str] = "moel"
    paper: ClassVar[Paper] = MOEL
    losses_named: ClassVar[tuple[str, ...]] = ("response", "emotion")
    model_class: ClassVar[type[ScratchModel]] = MoelModel
    config_class: ClassVar[type[SystemConfig]] = MoelConfig

    def spoken(self, encoded: Encoded, batch: Batch) -> Tensor:
        """States of the decoder, under the shares that training was told."""
        assert batch.source_mask is not None
        model: MoelModel = self.backbone.model
        return model.decode(encoded.memory, batch.source_mask, batch.ids, encoded.told[1])

    def further(self, encoded: Encoded, gold: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`emotion`: cross-entropy of the seeker's."""
        return {"emotion": self.emotion_loss(encoded.told[0], gold, batch)}
