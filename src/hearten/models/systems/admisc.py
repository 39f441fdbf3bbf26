"""AdMISC (Electronics 2024, 13, 1484): emotion sequence, mixed strategies, feature fusion, dynamic weights.

What the paper writes, and how it is read here where it leaves a choice (docs/papers.md has the table):

- eq. 6–7: the emotion of each context turn, as words, oldest first; each word knows how long ago it was.
- eq. 8–11: commonsense of the situation (X_s) and of the seeker's last turn (X_u); the context enhanced by
  each, C^s = LN(C + Att(C → X_s)), C^x likewise.
- eq. 12–13: p^g = MLP(context summary), h_g = p^g T with a codebook T.
- eq. 14–17: H = {C; X_u} and U = {emotions; X_s}; pooled, gated: μ = σ(W[H; U] + b), ĥ = μH + (1 − μ)U. The
  paper has ReLU for σ, which is no gate (`literal = true` takes it).
- eq. 18–20: h̃ = LN(ĥ + FFN(ĥ)), q = softmax(W h̃ + b), p = (p^g + βq) / (1 + β), h_g = p T. As printed eq.
  20 adds 8 numbers to H; this is the reading in which it can be computed.
- eq. 22–29: O' = O + A^g + A^x + A^s + A^c + A^r + A^u + A^h, where A^h and A^u look at H and U with h_g
  added to every state. Once, after the last layer, without the norm (`literal = true` has it).
- eq. 31–33: dynamic weight averaging, `balancing.kind = "dwa"`, T = 2 (Liu et al. 2019; the paper gives
  none).

Ablations, `without`: `u` (the refinement of eq. 14–20), `a` (the fusion: only the strategy reaches the
words), `f` (dynamic weights). `ablate = "loss"` is what section 5.7 prints instead: `u` sets the response's
weight to 0, `a` the strategy's. `features` leaves out what is listed not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.lm.context import Context, Memory
from hearten.models.fused import FusedSystem, Thought
from hearten.models.parts.attention import CrossAttention, Feedforward, Held, begin_small
from hearten.models.parts.balance import Balancing
from hearten.models.parts.codebook import Codebook, Head
from hearten.models.parts.phrases import Reader, emotion_words, seeker_blocks, situation_blocks
from hearten.models.system import Paper, SystemConfig

Feature = Literal["emotion", "situation", "seeker"]
FEATURES: tuple[Feature, ...] = ("emotion", "situation", "seeker")
ADMISC = Paper(
    citation="AdMISC 2024",
    title="Advanced Multi-Task Learning and Feature-Fusion for Emotional Support Conversation",
    backbone="blenderbot-small",
    training={"epochs": 8, "learning_rate": 2e-5, "weight_decay": 0.0},
    decoding={"temperature": 0.7, "top_k": 30, "top_p": 0.3, "repetition_penalty": 1.03},
)
"""Training: Table 3; decoding is not printed: MISC's, which it builds on."""


class AdmiscConfig(SystemConfig):
    """AdMISC's options; the defaults are the paper's as read above."""

    balancing: Balancing = Balancing(kind="dwa", temperature=2.0)
    beta: float = 1.0
    """β of eq. 20; the paper gives none."""
    reach: int = 160
    """Last ids of the context that the fusion looks at."""
    seeker_blocks: int = 30
    situation_blocks: int = 20
    emotion_turns: int = 10
    """Turns of emotions; the paper's windows have 10."""
    seeker_only: bool = False
    """Emotions of the seeker's turns alone (the caption of Figure 2; eq. 6 takes every turn)."""
    features: tuple[Feature, ...] = FEATURES
    without: tuple[Literal["u", "a", "f"], ...] = ()
    ablate: Literal["module", "loss"] = "module"
    literal: bool = False
    """ReLU in eq. 16 and the norm of eq. 29."""

    @model_validator(mode="before")
    @classmethod
    def _ablations_on_losses(cls, values: Any) -> Any:
        """What `without` says about weights, unless the weights are given."""
        gone = set(values.get("without", ()))
        changed = dict(values)
        if "f" in gone:
            changed.setdefault("balancing", {"kind": "fixed"})
        if values.get("ablate") == "loss":
            weights = {"response": 0.0} if "u" in gone else {}
            weights |= {"strategy": 0.0} if "a" in gone else {}
            changed.setdefault("loss_weights", weights)
        return changed

    def dropped(self, module: Literal["u", "a"]) -> bool:
        """Whether a module is taken out."""
        return module in self.without and self.ablate == "module"


@dataclass(frozen=True, slots=True)
class AdmiscFeatures:
    """Vectors of the sentence encoder, each (E, L, 384)."""

    emotion: Memory
    situation: Memory
    seeker: Memory


@dataclass(frozen=True, slots=True)
class AdmiscThought(Thought):
    """What the seven attentions look at, projected once."""

    held: dict[str, Held]


class Refinement(nn.Module):
    """Mixed-Strategy (eq. 16–19): the second opinion on the strategy, from pooled H and U."""

    def __init__(self, width: int, strategies: int, literal: bool) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * width, width)
        self.after = Feedforward(width)
        self.classify = nn.Linear(width, strategies)
        self.literal = literal

    def forward(self, history: Tensor, cause: Tensor) -> Tensor:
        """(E, H), (E, H) → probabilities (E, K)."""
        raw = self.gate(torch.cat([history, cause], dim=-1))
        mixed = gated(functional.relu(raw) if self.literal else raw.sigmoid(), history, cause)
        result: Tensor = self.classify(self.after(mixed)).float().softmax(-1)
        return result


def gated(mu: Tensor, history: Tensor, cause: Tensor) -> Tensor:
    """Eq. 17: ĥ = μH + (1 − μ)U."""
    return mu * history + (1 - mu) * cause


def refined(first: Tensor, second: Tensor, beta: float) -> Tensor:
    """Eq. 20, normalised: p = (p^g + βq) / (1 + β)."""
    return (first + beta * second) / (1 + beta)


class Emotions(nn.Module):
    """Emotion words that know how many turns ago they were."""

    def __init__(self, width: int, turns: int) -> None:
        super().__init__()
        self.ago = nn.Embedding(turns, width)

    def forward(self, words: Memory) -> Memory:
        """(E, L, H) → (E, L, H); the last word of a list is the latest."""
        lengths = words.mask.sum(-1, keepdim=True)
        places = torch.arange(words.mask.shape[1], device=lengths.device)
        ago = (lengths - 1 - places).clamp(0, self.ago.num_embeddings - 1)
        aged = words.states + self.ago(ago)
        return Memory(aged * words.mask.unsqueeze(-1).to(aged.dtype), words.mask)


class Admisc(FusedSystem[AdmiscThought]):
    """Emotion sequence, commonsense, mixed strategies and feature fusion."""

    name: ClassVar[str] = "admisc"
    paper: ClassVar[Paper] = ADMISC
    uses_strategies: ClassVar[bool] = True
    says_strategies: ClassVar[bool] = False
    own_head: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"emotion", "commonsense"})
    losses_named: ClassVar[tuple[str, ...]] = ("response", "strategy")
    config_class: ClassVar[type[SystemConfig]] = AdmiscConfig
    config: AdmiscConfig

    def __init__(self, config: AdmiscConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        width, kinds = self.width, len(labels)
        self.head, self.codebook = Head(width, kinds), Codebook(kinds, width)
        self.to_strategy = begin_small(nn.Linear(width, width))  # A^g: one vector for every place
        whole = not (config.dropped("u") and config.dropped("a"))
        self.reader = Reader(width) if whole else None
        self.emotions = Emotions(width, config.emotion_turns) if whole else None
        self.refinement = None if config.dropped("u") else Refinement(width, kinds, config.literal)
        self.fusion = None if config.dropped("a") else Fusion(width, self.heads, config.literal)

    @classmethod
    def required(cls, config: SystemConfig) -> frozenset[str]:
        """Emotion and commonsense, less what `features` leaves out."""
        assert isinstance(config, AdmiscConfig)
        kinds = {"emotion": "emotion", "situation": "commonsense", "seeker": "commonsense"}
        return frozenset(kinds[feature] for feature in config.features)

    def _told(self, example: Example) -> dict[str, list[str]]:
        """The phrases of each feature; none of one that is left out."""
        config = self.config
        told = {
            "emotion": emotion_words(example, config.emotion_turns, seeker_only=config.seeker_only),
            "situation": situation_blocks(example, config.situation_blocks),
            "seeker": seeker_blocks(example, config.seeker_blocks),
        }
        return {name: words if name in config.features else [] for name, words in told.items()}

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """Every phrase of every example."""
        return [text for one in examples for words in self._told(one).values() for text in words]

    def features(self, examples: Sequence[Example]) -> AdmiscFeatures:
        """The phrases as vectors."""
        told = [self._told(example) for example in examples]
        device = self.backbone.device
        return AdmiscFeatures(
            **{name: self.phrases([one[name] for one in told], device) for name in FEATURES}
        )

    def think(self, context: Context, features: AdmiscFeatures) -> AdmiscThought:
        """Eq. 8–21: the strategies, and what the fusion will look at."""
        first = self.head(context.summary()).float().softmax(-1)
        if self.reader is None or self.emotions is None:
            return AdmiscThought(strategy=first.clamp_min(1e-9).log(), held={})
        recent = context.recent(self.config.reach)
        situation, seeker = self.reader(features.situation), self.reader(features.seeker)
        # eq. 14 and 15
        history, cause = recent + seeker, self.emotions(self.reader(features.emotion)) + situation
        if self.refinement is not None:
            second = self.refinement(history.pooled(), cause.pooled())
            first = refined(first, second, self.config.beta)
        held = {} if self.fusion is None else self.fusion.hold(recent, history, cause, situation, seeker)
        return AdmiscThought(strategy=first.clamp_min(1e-9).log(), held=held)

    def fuse(self, states: Tensor, thought: AdmiscThought, shares: Tensor | None) -> Tensor:
        """Eq. 22–29, (E, T, H) → (E, T, H)."""
        assert shares is not None
        strategy = self.codebook(shares)  # (E, H)
        moved: Tensor = states + self.to_strategy(strategy)[:, None]
        if self.fusion is None:
            return moved
        fused: Tensor = self.fusion(states, moved, thought.held, strategy)
        return fused


class Fusion(nn.Module):
    """Response-Generate (eq. 10, 11 and 22–29)."""

    def __init__(self, width: int, heads: int, literal: bool) -> None:
        super().__init__()
        self.enhance = nn.ModuleDict({x: CrossAttention(width, heads, start=None) for x in ("s", "x")})
        self.enhanced = nn.ModuleDict({x: nn.LayerNorm(width) for x in ("s", "x")})
        self.attend = nn.ModuleDict({x: CrossAttention(width, heads) for x in "xscruh"})
        self.steer = nn.ModuleDict({x: nn.Linear(width, width) for x in "hu"})
        self.norm = nn.LayerNorm(width) if literal else nn.Identity()

    def hold(
        self, recent: Memory, history: Memory, cause: Memory, situation: Memory, seeker: Memory
    ) -> dict[str, Held]:
        """Keys and values of what the six attentions look at, by the paper's letters."""
        looked_at = {
            "x": self._enhanced("x", recent, seeker),
            "s": self._enhanced("s", recent, situation),
            "c": seeker,
            "r": situation,
            "u": cause,
            "h": history,
        }
        return {letter: self._attention(letter).hold(memory) for letter, memory in looked_at.items()}

    def _attention(self, letter: str) -> CrossAttention:
        found = self.attend[letter]
        assert isinstance(found, CrossAttention)
        return found

    def _enhanced(self, letter: str, recent: Memory, knowledge: Memory) -> Memory:
        """Eq. 10 and 11: C + Att(C → X), normalised."""
        attention = self.enhance[letter]
        assert isinstance(attention, CrossAttention)
        found = attention(recent.states, attention.hold(knowledge))
        return Memory(self.enhanced[letter](recent.states + found), recent.mask)

    def forward(self, states: Tensor, moved: Tensor, held: dict[str, Held], strategy: Tensor) -> Tensor:
        """O' of eq. 29; `moved` is O + A^g, `strategy` (E, H) is h_g."""
        total = moved
        for letter, memory in held.items():
            shift = self.steer[letter](strategy) if letter in self.steer else None  # eq. 22 and 23
            total = total + self._attention(letter)(states, memory, shift)
        result: Tensor = self.norm(total)
        return result
