"""MultiESC (Cheng et al. 2022): a strategy planned by looking ahead, and a generator that reads turns and
feelings.

- Generator: the reply's token of strategy is planned; the states attend to the context's tokens (c1) and to
  its turns (c2: their words and, where a lexicon told them, their valence and arousal), o' = o + g c1 + (1
  − g) c2, g = σ(W [c1; c2]). What caused the seeker's feeling stands before their words.
- Strategy sequence generator: a recurrent network from the context and the strategies so far to those to
  come.
- Feedback predictor: a recurrent network over the turns, attended to by the candidate strategies; it learns
  the seeker's stars.
- Planner: `parts/lookahead.py`. Beliefs are the softmax of its scores, P(k) · E[feedback]^λ made to sum to 1.

`literal = true` is the released arithmetic: labels {0, 1, 4, 5, 6} for the stars, and relative feedback of
six beam sequences added to 0.4 · P(k) (its count tables are not released; its own switch turns them off). λ
and the depth are recalled from the paper, not re-read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.conversation import Role, Turn
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.lm.backbone import Batch
from hearten.lm.context import Context, Memory
from hearten.models.fused import FusedSystem, Thought
from hearten.models.parts.attention import CrossAttention, Held
from hearten.models.parts.lookahead import grow, lookahead, relative_scores
from hearten.models.parts.phrases import Reader, annotation
from hearten.models.system import Paper, SystemConfig, mean

MULTIESC = Paper(
    citation="Cheng et al. 2022",
    title="Improving Multi-turn Emotional Support Dialogue Generation with Lookahead Strategy Planning",
    backbone="bart-base",
    training={"epochs": 15, "learning_rate": 5e-5, "weight_decay": 0.0},
    decoding={"temperature": 0.7, "max_tokens": 64},
)
BINS = 8
"""Valence and arousal are each cut into eight."""
PAST = 5
"""Past strategies the sequence generator reads."""


class MultiescConfig(SystemConfig):
    """MultiESC's options."""

    reach: int = 160
    turns: int = 16
    """Last turns that the generator and the feedback predictor read (64 sentences in the released code)."""
    depth: int = 2
    """Strategies in a planned sequence, the first counted."""
    beam: int = 6
    weight: float = 0.7
    """λ of the planner."""
    literal: bool = False


@dataclass(frozen=True, slots=True)
class MultiescFeatures:
    """Turns as vectors (E, N, 384) with VAD ids (E, N); strategies past (E, 5) and coming (E, depth); stars.

    -1 stands where there is no strategy or there are no stars.
    """

    turns: Memory
    feelings: Tensor
    past: Tensor
    coming: Tensor
    stars: Tensor


@dataclass(frozen=True, slots=True)
class MultiescThought(Thought):
    """What planner and generator stand on."""

    start: Tensor
    past: Tensor
    told: Memory
    tokens: Held
    turns: Held


def cause_first(turn: Turn, last: bool) -> str:
    """A seeker's words with what caused the feeling before them."""
    cause = annotation(turn, "cause") if turn.speaker is Role.SEEKER else None
    return f"{cause} {turn.text}" if cause else turn.text


def feeling_id(turn: Turn) -> int:
    """Valence and arousal in one number, BINS² where they are unknown; both run from 0 to 1."""
    found = annotation(turn, "vad")
    if not found:
        return BINS * BINS
    valence, arousal = (min(BINS - 1, max(0, int(value * BINS))) for value in found[:2])
    return valence * BINS + arousal


def star_label(stars: int | None, *, literal: bool) -> float:
    """What the feedback predictor shall say of 1 to 5 stars: 0.2 to 1, or the released 0, 1, 4, 5, 6."""
    if stars is None:
        return -1.0
    return float(stars - 1 + 2 * (stars > 2)) if literal else stars / 5


class Multiesc(FusedSystem[MultiescThought]):
    """Lookahead planning, and a generator over tokens and turns."""

    name: ClassVar[str] = "multiesc"
    paper: ClassVar[Paper] = MULTIESC
    uses_strategies: ClassVar[bool] = True
    own_head: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"cause"})
    losses_named: ClassVar[tuple[str, ...]] = ("response", "strategy", "feedback")
    config_class: ClassVar[type[SystemConfig]] = MultiescConfig
    config: MultiescConfig

    def __init__(self, config: MultiescConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        self.backbone.renderer.words = cause_first
        width = self.width
        self.reader, self.feelings = Reader(width), nn.Embedding(BINS * BINS + 1, width)
        self.to_tokens, self.to_turns = (CrossAttention(width, self.heads) for _ in range(2))
        self.gate = nn.Linear(2 * width, 1)
        self.sequence = Sequences(width, len(labels))
        self.predictor = FeedbackPredictor(width, len(labels))

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """The words of every turn."""
        return [turn.text for one in examples for turn in one.context[-self.config.turns :]]

    def features(self, examples: Sequence[Example]) -> MultiescFeatures:
        """Turns, feelings, strategies so far and to come, and stars."""
        config, device = self.config, self.backbone.device
        last = [example.context[-config.turns :] for example in examples]
        turns = self.phrases([[turn.text for turn in row] for row in last], device)
        feelings = torch.full(turns.mask.shape, BINS * BINS, device=device)
        for number, row in enumerate(last):
            feelings[number, : len(row)] = torch.tensor([feeling_id(t) for t in row], dtype=torch.long)
        stars = [
            star_label(one.hindsight.stars if one.hindsight else None, literal=config.literal)
            for one in examples
        ]
        strategies = [self._strategies(example) for example in examples]
        past, coming = (torch.tensor(list(column), device=device) for column in zip(*strategies, strict=True))
        return MultiescFeatures(turns, feelings, past, coming, torch.tensor(stars, device=device))

    def _strategies(self, example: Example) -> tuple[list[int], list[int]]:
        """The last past strategies and the coming ones, as places in the label set; -1 for none."""
        said = [t.strategy for t in example.context if t.speaker is Role.SUPPORTER]
        later = example.hindsight.following if example.hindsight else ()
        depth = self.config.depth
        known = [-1 if s is None else self.labels.position(s) for s in said][-PAST:]
        ahead = [-1 if s is None else self.labels.position(s) for s in (example.strategy, *later)][:depth]
        return [-1] * (PAST - len(known)) + known, ahead + [-1] * (depth - len(ahead))

    def think(self, context: Context, features: MultiescFeatures) -> MultiescThought:
        """The first strategy's logits, and what planner and generator look at."""
        read = self.reader(features.turns)
        told = Memory(read.states + self.feelings(features.feelings), read.mask)
        start = self.sequence.start(context.summary())
        return MultiescThought(
            strategy=self.sequence(start, features.past, features.past[:, None, :0])[:, 0],
            start=start,
            past=features.past,
            told=told,
            tokens=self.to_tokens.hold(context.recent(self.config.reach)),
            turns=self.to_turns.hold(told),
        )

    def strategy_loss(self, batch: Batch, thought: MultiescThought) -> Tensor:
        """Mean cross-entropy of the strategies to come, as far as there are any."""
        coming: Tensor = batch.features.coming
        losses = []
        for step in range(coming.shape[1]):
            before = coming[:, None, :step].clamp_min(0)
            logits = self.sequence(thought.start, thought.past, before)[:, 0].float()
            losses.append(
                functional.cross_entropy(logits, coming[:, step], ignore_index=-1, reduction="none")
            )
        return torch.cat(losses).sum() / (coming >= 0).sum().clamp_min(1)

    def auxiliary(self, batch: Batch, thought: MultiescThought) -> dict[str, Tensor]:
        """`feedback`: squared error of the expected stars, where the seeker gave any."""
        features = batch.features
        rated = features.stars >= 0
        sequences = features.coming[:, None, : self.config.depth]
        found = self.predictor(thought.told, sequences)[:, 0]
        return {"feedback": mean((found - features.stars)[rated].float().square())}

    def logprobs(self, thought: MultiescThought) -> Tensor:
        """Log of the softmax of the planner's scores, (E, K)."""
        assert thought.strategy is not None
        first, config = thought.strategy.float().log_softmax(-1), self.config
        rate = partial(self.predictor, thought.told)

        def follow(sequences: Tensor) -> Tensor:
            logits: Tensor = self.sequence(thought.start, thought.past, sequences)
            return logits.float().log_softmax(-1)

        if not config.literal:
            sizes = {"depth": config.depth, "beam": config.beam}
            scores, _, _ = lookahead(first, follow, rate, weight=config.weight, **sizes)
        else:
            sequences, chances = grow(first, follow, depth=config.depth, beam=config.beam)
            felt = rate(sequences.flatten(1, 2)).reshape(chances.shape)
            scores = relative_scores(first, chances, felt, beam=config.beam, own=0.4)
        return scores.float().log_softmax(-1)

    def fuse(self, states: Tensor, thought: MultiescThought, shares: Tensor | None) -> Tensor:
        """O + g c1 + (1 − g) c2, (E, T, H); the strategy is already a token of the text."""
        tokens, turns = self.to_tokens(states, thought.tokens), self.to_turns(states, thought.turns)
        share = self.gate(torch.cat([tokens, turns], dim=-1)).sigmoid()
        fused: Tensor = states + share * tokens + (1 - share) * turns
        return fused


class Sequences(nn.Module):
    """From a context and past strategies to the next strategy, recurrently."""

    def __init__(self, width: int, strategies: int) -> None:
        super().__init__()
        self.blank = strategies
        self.named = nn.Embedding(strategies + 1, width)
        self.norm, self.begin = nn.LayerNorm(width), nn.Linear(width, width)
        self.recur, self.out = nn.GRU(width, width, batch_first=True), nn.Linear(width, strategies)

    def start(self, summary: Tensor) -> Tensor:
        """The state before any strategy, (E, H)."""
        return torch.tanh(self.begin(self.norm(summary)))

    def forward(self, start: Tensor, past: Tensor, sequences: Tensor) -> Tensor:
        """(E, H), (E, 5), (E, N, t) → logits of the strategy after each sequence, (E, N, K)."""
        count = sequences.shape[1]
        known = torch.cat([past[:, None].expand(-1, count, -1), sequences], dim=-1).flatten(0, 1)
        told = self.named(torch.where(known < 0, self.blank, known))
        begun = start.repeat_interleave(count, dim=0)[None].contiguous()
        states, _ = self.recur(told, begun.to(told.dtype))
        logits: Tensor = self.out(states[:, -1]).reshape(len(past), count, -1)
        return logits


class FeedbackPredictor(nn.Module):
    """Expected feedback on a sequence of strategies after these turns."""

    def __init__(self, width: int, strategies: int) -> None:
        super().__init__()
        self.blank = strategies
        self.named = nn.Embedding(strategies + 1, width)
        self.listen, self.plan = (nn.GRU(width, width, batch_first=True) for _ in range(2))
        self.out = nn.Linear(2 * width, 1)

    def forward(self, turns: Memory, sequences: Tensor) -> Tensor:
        """(E, L, H), (E, N, t) → (E, N); [Σ softmax(h · s) h ; s] through a linear layer."""
        heard, _ = self.listen(turns.states)  # (E, L, H); turns lie first, so what follows reaches none
        size, count, _ = sequences.shape
        named = self.named(torch.where(sequences < 0, self.blank, sequences).flatten(0, 1))
        planned = self.plan(named)[0][:, -1].reshape(size, count, -1)
        scores = (planned @ heard.transpose(1, 2)).float()  # (E, N, L)
        shares = scores.masked_fill(~turns.mask[:, None], -1e9).softmax(-1)
        heard = heard * turns.mask.unsqueeze(-1).to(heard.dtype)
        found = shares.to(heard.dtype) @ heard
        result: Tensor = self.out(torch.cat([found, planned], dim=-1))[..., 0]
        return result.float()
