"""MISC (Tu et al. 2022): commonsense about the seeker, and a reply spoken under a mixture of strategies.

- Mental states: COMET blocks of the seeker's last turn and of the situation, refreshed from the context:
  X ← FFN(LN(Att(X → C) + X)).
- Strategy: p_g = MLP(context summary), h_g = p_g T with a codebook T.
- Fusion: O' = O + A(O, h_g) + A(O, X_post) + A(O, X_situation); the attention to the context itself is the
  backbone's own. Attention to the single vector h_g gives every position the same, so it is a projection.

`literal = true` is the released code: the refreshing attention multiplies by sqrt(d) instead of dividing,
training feeds the gold strategy, and the sum is normalised. There the fusion stands inside every decoder
layer; here once, after the last, so that it fits any backbone, and without a norm, which would overwrite
the scale the vocabulary matrix was trained with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.lm.context import Context, Memory
from hearten.models.fused import FusedSystem, Thought
from hearten.models.parts.attention import CrossAttention, Feedforward, Held, begin_small
from hearten.models.parts.codebook import Codebook, Head
from hearten.models.parts.phrases import Reader, seeker_blocks, situation_blocks
from hearten.models.system import Paper, SystemConfig

MISC = Paper(
    citation="Tu et al. 2022",
    title="MISC: A Mixed Strategy-Aware Model Integrating COMET for Emotional Support Conversation",
    backbone="blenderbot-small",
    training={"epochs": 8, "learning_rate": 2e-5, "weight_decay": 0.0},
    decoding={"temperature": 0.7, "top_k": 30, "top_p": 0.3, "repetition_penalty": 1.03},
)


class MiscConfig(SystemConfig):
    """MISC's options; the defaults are the paper's."""

    reach: int = 160
    """Last ids of the context that the commonsense is refreshed from."""
    seeker_blocks: int = 30
    situation_blocks: int = 20
    literal: bool = False
    """As the released code: attention scale, gold strategy in training, a norm over the sum."""


@dataclass(frozen=True, slots=True)
class MiscFeatures:
    """COMET blocks as vectors of the sentence encoder, each (E, L, 384)."""

    seeker: Memory
    situation: Memory


@dataclass(frozen=True, slots=True)
class MiscThought(Thought):
    """The refreshed blocks."""

    seeker: Held
    situation: Held


class Refresh(nn.Module):
    """X ← FFN(LN(Att(X → C) + X)): knowledge seen in the light of the context; one head."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.attend = CrossAttention(width, 1, scale=scale, start=None)
        self.norm, self.after = nn.LayerNorm(width), Feedforward(width)

    def forward(self, blocks: Memory, context: Memory) -> Memory:
        """(E, L, H) → (E, L, H)."""
        found = self.attend(blocks.states, self.attend.hold(context))
        return Memory(self.after(self.norm(found + blocks.states)), blocks.mask)


class Misc(FusedSystem[MiscThought]):
    """Commonsense and a mixture of strategies."""

    name: ClassVar[str] = "misc"
    paper: ClassVar[Paper] = MISC
    uses_strategies: ClassVar[bool] = True
    says_strategies: ClassVar[bool] = False
    own_head: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"commonsense"})
    losses_named: ClassVar[tuple[str, ...]] = ("response", "strategy")
    config_class: ClassVar[type[SystemConfig]] = MiscConfig
    config: MiscConfig

    def __init__(self, config: MiscConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        width = self.width
        scale = width**0.5 if config.literal else width**-0.5
        self.reader, self.refresh = Reader(width), Refresh(width, scale)
        self.head, self.codebook = Head(width, len(labels)), Codebook(len(labels), width)
        self.to_strategy = begin_small(nn.Linear(width, width))
        self.to_seeker = CrossAttention(width, self.heads)
        self.to_situation = CrossAttention(width, self.heads)
        self.norm = nn.LayerNorm(width) if config.literal else nn.Identity()

    @property
    def forces_gold(self) -> bool:
        """The released code feeds the gold strategy in training."""
        return self.config.literal

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """Every block of every example."""
        return [text for one in examples for row in self._blocks(one) for text in row]

    def _blocks(self, example: Example) -> tuple[list[str], list[str]]:
        config = self.config
        return seeker_blocks(example, config.seeker_blocks), situation_blocks(
            example, config.situation_blocks
        )

    def features(self, examples: Sequence[Example]) -> MiscFeatures:
        """The blocks of the seeker's last turn and of the situation."""
        rows = [self._blocks(example) for example in examples]
        device = self.backbone.device
        return MiscFeatures(
            self.phrases([row[0] for row in rows], device), self.phrases([row[1] for row in rows], device)
        )

    def think(self, context: Context, features: MiscFeatures) -> MiscThought:
        """Strategy logits, and the blocks refreshed from the context."""
        recent = context.recent(self.config.reach)
        seeker, situation = (
            self.refresh(self.reader(blocks), recent) for blocks in (features.seeker, features.situation)
        )
        return MiscThought(
            strategy=self.head(context.summary()),
            seeker=self.to_seeker.hold(seeker),
            situation=self.to_situation.hold(situation),
        )

    def fuse(self, states: Tensor, thought: MiscThought, shares: Tensor | None) -> Tensor:
        """O + A(O, h_g) + A(O, X_post) + A(O, X_situation), (E, T, H)."""
        assert shares is not None
        total = torch.stack(
            [
                states,
                self.to_strategy(self.codebook(shares))[:, None].expand_as(states),
                self.to_seeker(states, thought.seeker),
                self.to_situation(states, thought.situation),
            ]
        ).sum(0)
        fused: Tensor = self.norm(total)
        return fused
