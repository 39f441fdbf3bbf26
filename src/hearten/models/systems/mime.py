"""MIME (Majumder et al. 2020): two views of the context, one that mimics the seeker's emotion and one that
does not.

Emotions are EmpatheticDialogues' 32, 13 of them positive. From the class token a Gaussian for each polarity
gives weights over its emotions, and these an emotion vector; the context is encoded again with the vector
of the seeker's own polarity (m) and with the other's (m̃); v = W2 (z · [m; m̃]), z = σ(W1 [m; m̃]), is what
the decoder attends to. Losses: the words, the emotion, and the divergence of the posterior (which also sees
m) from the prior.

ESConv's seven emotions are all negative; they take the place of their nearest among the 32, so the positive
vector is a free one. In training the polarity is the gold one, at test the predicted emotion's; at test
Gaussians give their mean. `literal = true` keeps two slips of the public code: both polarities share the
positive variance, and the posterior's sample feeds nothing but the divergence.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hearten.core.records import Example
from hearten.lm.backbone import Batch
from hearten.models.parts.scratch import Encoded, Encoder, ScratchConfig, ScratchModel
from hearten.models.scratch import Scratch
from hearten.models.system import Paper, SystemConfig
from hearten.models.systems.transformer import GREEDY, NOAM

MIME = Paper(
    citation="Majumder et al. 2020",
    title="MIME: MIMicking Emotions for Empathetic Response Generation",
    backbone="scratch",
    training=NOAM,
    decoding=GREEDY,
)
POSITIVE = (
    "confident", "joyful", "grateful", "impressed", "proud", "excited", "trusting", "hopeful", "faithful",
    "prepared", "content", "surprised", "caring",
)  # fmt: skip
NEGATIVE = (
    "annoyed", "angry", "sad", "lonely", "afraid", "disgusted", "terrified", "anxious", "disappointed",
    "guilty", "furious", "nostalgic", "jealous", "anticipating", "embarrassed", "devastated",
    "sentimental", "ashamed", "apprehensive",
)  # fmt: skip
EMPATHETIC = (*POSITIVE, *NEGATIVE)
"""EmpatheticDialogues' emotions, the positive ones first."""
NEAREST = {
    "anger": "angry", "anxiety": "anxious", "depression": "devastated", "disgust": "disgusted",
    "fear": "afraid", "sadness": "sad", "shame": "ashamed", "nervousness": "anxious", "pain": "sad",
    "jealousy": "jealous", "guilt": "guilty",
}  # fmt: skip


class MimeConfig(ScratchConfig):
    """MIME's options are all the small Transformer's."""


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Means and log-variances (B, H)."""

    mean: Tensor
    spread: Tensor

    def sample(self, training: bool) -> Tensor:
        """A draw in training, the mean otherwise."""
        if not training:
            return self.mean
        return self.mean + torch.randn_like(self.mean) * (0.5 * self.spread).exp()


@dataclass(frozen=True, slots=True)
class Told:
    """Logits of the emotions (B, 32), and priors and posteriors of both polarities."""

    emotion: Tensor
    prior: tuple[Gaussian, Gaussian]
    posterior: tuple[Gaussian, Gaussian]


class Sampler(nn.Module):
    """From a vector to a Gaussian for each polarity, positive first."""

    def __init__(self, fed: int, width: int, literal: bool) -> None:
        super().__init__()
        self.inner = nn.ModuleList(nn.Linear(fed, width) for _ in range(2))
        self.mean = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.spread = nn.ModuleList(nn.Linear(width, width) for _ in range(1 if literal else 2))

    def forward(self, positive: Tensor, negative: Tensor) -> tuple[Gaussian, Gaussian]:
        """(B, fed) for each polarity → two Gaussians."""
        inner = [layer(seen).relu() for layer, seen in zip(self.inner, (positive, negative), strict=True)]
        spreads = [layer(state) for layer, state in zip(self.spread, inner, strict=False)]
        first, second = (layer(state) for layer, state in zip(self.mean, inner, strict=True))
        return Gaussian(first, spreads[0]), Gaussian(second, spreads[-1])


class MimeModel(ScratchModel):
    """The small Transformer with a memory fused from two views."""

    def __init__(self, config: ScratchConfig, vocabulary: int, roles: tuple[int, int]) -> None:
        super().__init__(config, vocabulary, roles)
        width = config.width
        self.feelings = nn.Embedding(len(EMPATHETIC), width)
        self.classify = nn.Linear(width, width, bias=False)
        self.prior = Sampler(width, width, config.literal)
        self.posterior = Sampler(2 * width, width, config.literal)
        self.weigh = nn.ModuleList(nn.Linear(width, len(group)) for group in (POSITIVE, NEGATIVE))
        self.mimic, self.other = (Encoder(config, fed=2 * width) for _ in range(2))
        self.gate, self.join = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)

    def encode(self, ids: Tensor, mask: Tensor, gold: Tensor | None = None) -> Encoded:
        """`memory` is v (B, S, H); `told` what the further losses need."""
        states = super().encode(ids, mask).states
        summary = states[:, 0]
        emotion = self.classify(summary) @ self.feelings.weight.T
        positive = self._positive(emotion, gold)
        prior = self.prior(summary, summary)
        views = self._views(states, mask, prior, positive)
        posterior = self.posterior(*self._seen(summary, views, mask, positive))
        if self.training and not self.sizes.literal:
            views = self._views(states, mask, posterior, positive)
        return Encoded(states, self.fused(*views), told=Told(emotion, prior, posterior))

    def _positive(self, emotion: Tensor, gold: Tensor | None) -> Tensor:
        """Whether the seeker's emotion is positive, (B,): the gold one where it is known."""
        known = emotion.argmax(-1)
        if gold is not None:
            known = torch.where(gold >= 0, gold, known)
        return known < len(POSITIVE)

    def _views(
        self, states: Tensor, mask: Tensor, chances: tuple[Gaussian, Gaussian], positive: Tensor
    ) -> tuple[Tensor, Tensor]:
        """M and m̃, (B, S, H) each."""
        vectors = [self.vector(side, chance.sample(self.training)) for side, chance in enumerate(chances)]
        own, others = swapped(vectors[0], vectors[1], positive)

        def with_vector(vector: Tensor) -> Tensor:
            return torch.cat([states, vector[:, None].expand_as(states).to(states.dtype)], dim=-1)

        return self.mimic(with_vector(own), mask), self.other(with_vector(others), mask)

    def vector(self, side: int, sample: Tensor) -> Tensor:
        """The mixture (B, H) of one polarity's emotion vectors; 0 is positive."""
        weights = self.weigh[side](sample).float().softmax(-1)
        first = 0 if side == 0 else len(POSITIVE)
        group = self.feelings.weight[first : first + weights.shape[-1]]
        mixed: Tensor = weights.to(group.dtype) @ group
        return mixed

    def _seen(
        self, summary: Tensor, views: tuple[Tensor, Tensor], mask: Tensor, positive: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the posterior of each polarity sees: the summary beside the mean of that polarity's view."""
        there = mask.unsqueeze(-1).to(summary.dtype)
        means = [(view * there).sum(1) / there.sum(1) for view in views]
        ordered = swapped(means[0], means[1], positive)
        first, second = (torch.cat([summary, one.to(summary.dtype)], dim=-1) for one in ordered)
        return first, second

    def fused(self, own: Tensor, other: Tensor) -> Tensor:
        """V = W2 (σ(W1 [m; m̃]) · [m; m̃]), (B, S, H)."""
        both = torch.cat([own, other], dim=-1)
        result: Tensor = self.join(self.gate(both).sigmoid() * both)
        return result


def swapped(positive: Tensor, negative: Tensor, is_positive: Tensor) -> tuple[Tensor, Tensor]:
    """(own, other) of each row: the first is the positive one where the seeker's emotion is."""
    chosen = is_positive[:, None]
    return torch.where(chosen, positive, negative), torch.where(chosen, negative, positive)


def divergence(posterior: Gaussian, prior: Gaussian) -> Tensor:
    """KL(posterior || prior) of diagonal Gaussians, summed over dimensions, (B,)."""
    ratio = (posterior.spread - prior.spread).exp()
    shift = (posterior.mean - prior.mean).square() * (-prior.spread).exp()
    return 0.5 * (ratio + shift - 1 - posterior.spread + prior.spread).float().sum(-1)


class Mime(Scratch):
    """Mimicking the seeker's emotion."""

    name: ClassVar[str] = "mime"
    paper: ClassVar[Paper] = MIME
    losses_named: ClassVar[tuple[str, ...]] = ("response", "emotion", "divergence")
    model_class: ClassVar[type[ScratchModel]] = MimeModel
    config_class: ClassVar[type[SystemConfig]] = MimeConfig

    def emotion(self, example: Example) -> int:
        """The survey's emotion as its nearest among the 32, -1 where it is unknown."""
        name = NEAREST.get(example.profile.emotion or "")
        return -1 if name is None else EMPATHETIC.index(name)

    def further(self, encoded: Encoded, gold: Tensor, batch: Batch) -> dict[str, Tensor]:
        """`emotion`, and `divergence` by token, as a sum over words beside a sum over dimensions is."""
        told: Told = encoded.told
        pairs = zip(told.posterior, told.prior, strict=True)
        total = torch.stack([divergence(after, before).sum() for after, before in pairs]).sum()
        return {
            "emotion": self.emotion_loss(told.emotion, gold, batch),
            "divergence": total / max(1, len(batch.target_ids)),
        }
