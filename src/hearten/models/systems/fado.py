"""FADO (Peng et al. 2023): a selector taught by the seeker's feedback, and two-way control of context and
strategy.

- Selector: Q values of the strategies from the context summary, the last strategies and where they stood, the
  emotions on the way, and the survey's emotion and problem. Its target for the gold strategy is
  (reward + bonus + V) / (reward + bonus), 0 for the others, by squared error, where the feedback is

  V = final · 0.95^(supporter turns to come) + stars / 5 + change of sentiment,
  final = ((first − last intensity) / 5 + relevance / 5 + empathy / 5) / 3.

  So a turn that helped pulls harder. Least squares to such targets estimates probabilities tilted by
  feedback; beliefs are Q, cut at zero and made to sum to 1.
- Reader: the definition D of the strategy and the context C control each other (C + Att(C → D), D + Att(D →
  C)), a gate lets the selector's state scale the context, and O' = O + A(O, C) + A(O, D) + A(O, situation).

`literal = true` is the last released script: the target is 15 whatever the seeker felt (the line that would
add V is commented out there), and context and definition do not control each other. Emotion, problem and
situation come from the survey before the conversation, at test time too, as published: an advantage over
systems that see only the words (`survey = false` takes the two labels away).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.conversation import Role, Survey, Turn
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.core.taxonomy import labels as plain_labels
from hearten.lm.backbone import Batch
from hearten.lm.context import Context, Memory
from hearten.models.fused import FusedSystem, Thought
from hearten.models.parts.attention import CrossAttention, Held
from hearten.models.parts.codebook import gold_places, one_hot
from hearten.models.parts.phrases import Reader, annotation, last_seeker_turn, sentences
from hearten.models.system import Paper, SystemConfig, mean

FADO = Paper(
    citation="Peng et al. 2023",
    title="FADO: Feedback-Aware Double COntrolling Network for Emotional Support Conversation",
    backbone="blenderbot-small",
    training={"epochs": 3, "learning_rate": 3e-5, "weight_decay": 0.01},
    decoding={"temperature": 0.7, "top_k": 0, "top_p": 0.9, "min_tokens": 10},
)
HISTORY = 5
"""Past strategies, their places, and past sentiments that the selector sees."""


class FadoConfig(SystemConfig):
    """FADO's options; the defaults are the paper's."""

    reach: int = 160
    reward: float = 10.0
    bonus: float = 5.0
    discount: float = 0.95
    stars_weight: float = 1.0
    sentiment_weight: float = 1.0
    control: float = 0.5
    """Share of the context that passes the gate unscaled."""
    survey: bool = True
    """Show the selector the survey's emotion and problem, as published."""
    literal: bool = False


@dataclass(frozen=True, slots=True)
class FadoFeatures:
    """`record` (E, R) for the selector; `situation` (E, L, 384); `target` (E,) of the gold strategy."""

    record: Tensor
    situation: Memory
    target: Tensor


@dataclass(frozen=True, slots=True)
class FadoThought(Thought):
    """Context and situation, the gate's input, and once the strategy is known what the words look at."""

    recent: Memory
    state: Tensor
    situation: Held
    context: Held | None = None
    definition: Held | None = None


def sentiment(turn: Turn | None) -> float:
    """How free of the seven negative emotions a turn is, 0 to 1; one half where nobody looked."""
    found = annotation(turn, "emotion") if turn is not None else None
    return emotional_ease(found)


def emotional_ease(emotion: dict[str, dict[str, float]] | None) -> float:
    """The score of `none` in an `emotion` annotation."""
    return float(emotion["scores"].get("none", 0.0)) if emotion and "scores" in emotion else 0.5


def final_score(survey: Survey) -> float:
    """How well it ended: the mean of relief, relevance and empathy, each over 5; what nobody asked is 0."""
    relief = 0.0
    if survey.initial_intensity is not None and survey.final_intensity is not None:
        relief = survey.initial_intensity - survey.final_intensity
    return (relief + (survey.relevance or 0) + (survey.empathy or 0)) / 15


def feedback(example: Example, config: FadoConfig) -> float:
    """V: what the seeker's feedback, given later, says about this turn; 0 where there is none."""
    later = example.hindsight
    if later is None:
        return 0.0
    value = final_score(later.survey) * config.discount ** len(later.following)
    if later.stars is not None:
        value += config.stars_weight * later.stars / 5
    reaction = (later.reaction or {}).get("emotion")
    if reaction:
        change = emotional_ease(reaction) - sentiment(last_seeker_turn(example))
        value += config.sentiment_weight * change
    return value


def target(example: Example, config: FadoConfig) -> float:
    """What Q of the gold strategy shall be; never below 0."""
    full = config.reward + config.bonus
    return full if config.literal else max(0.0, full + feedback(example, config)) / full


class Fado(FusedSystem[FadoThought]):
    """A feedback-aware selector and a reader that strategy and context control."""

    name: ClassVar[str] = "fado"
    paper: ClassVar[Paper] = FADO
    uses_strategies: ClassVar[bool] = True
    own_head: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"emotion"})
    losses_named: ClassVar[tuple[str, ...]] = ("response", "strategy")
    config_class: ClassVar[type[SystemConfig]] = FadoConfig
    config: FadoConfig

    def __init__(self, config: FadoConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        width = self.width
        self.selector = Selector(width, self._record_size(), len(labels))
        self.reader = Reader(width)
        self.to_situation, self.to_definition = (CrossAttention(width, self.heads) for _ in range(2))
        self.control = None if config.literal else Control(width, self.heads, config.control)

    def _record_size(self) -> int:
        strategies = HISTORY * (len(self.labels) + 1)
        survey = len(plain_labels("emotions").names) + len(plain_labels("problems").names)
        return strategies + 2 * HISTORY + (survey if self.config.survey else 0)

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """The sentences of the situations, and of the strategies' definitions."""
        told = [text for one in examples for text in sentences(one.profile.situation or "")]
        return told + [text for row in self._definitions() for text in row]

    def _definitions(self) -> list[list[str]]:
        return [sentences(f"{strategy.name}: {strategy.definition}") for strategy in self.labels]

    def features(self, examples: Sequence[Example]) -> FadoFeatures:
        """Records, situations, and what feedback makes of the gold strategy."""
        device = self.backbone.device
        rows = [record(example, self.labels, survey=self.config.survey) for example in examples]
        situations = [sentences(example.profile.situation or "") for example in examples]
        return FadoFeatures(
            record=torch.tensor(rows, device=device),
            situation=self.phrases(situations, device),
            target=torch.tensor([target(example, self.config) for example in examples], device=device),
        )

    def think(self, context: Context, features: FadoFeatures) -> FadoThought:
        """Q values (E, K), and the memories that do not depend on the strategy."""
        state = self.selector.state(context.summary(), features.record)
        return FadoThought(
            strategy=self.selector.values(state),
            recent=context.recent(self.config.reach),
            state=state,
            situation=self.to_situation.hold(self.reader(features.situation)),
        )

    def strategy_loss(self, batch: Batch, thought: FadoThought) -> Tensor:
        """Squared error of Q to the feedback-aware target, meant over strategies and examples."""
        assert thought.strategy is not None
        places = gold_places(batch.examples, self.labels, batch.ids.device)
        wanted = one_hot(places, len(self.labels)) * batch.features.target[:, None]
        return mean((thought.strategy.float() - wanted).square().mean(-1)[places >= 0])

    def logprobs(self, thought: FadoThought) -> Tensor:
        """Log of Q, cut just above zero and made to sum to 1."""
        assert thought.strategy is not None
        values = thought.strategy.float().clamp_min(1e-3)
        return (values / values.sum(-1, keepdim=True)).log()

    def settle(self, thought: FadoThought, shares: Tensor | None) -> FadoThought:
        """The definition of the strategy, and what it and the context make of each other."""
        assert shares is not None
        known = self.reader(self.phrases(self._definitions(), shares.device))
        width = known.states.shape[-1]
        states = (shares.to(known.states.dtype) @ known.states.flatten(1)).reshape(len(shares), -1, width)
        mask = (shares @ known.mask.to(shares.dtype)) > 0
        definition = Memory(states, mask)
        if self.control is None:
            return replace(thought, definition=self.to_definition.hold(definition))
        context, definition = self.control(thought.recent, definition, thought.state)
        held = self.control.to_context.hold(context)
        return replace(thought, context=held, definition=self.to_definition.hold(definition))

    def fuse(self, states: Tensor, thought: FadoThought, shares: Tensor | None) -> Tensor:
        """O + A(O, C) + A(O, D) + A(O, situation), (E, T, H)."""
        assert thought.definition is not None
        total: Tensor = states + self.to_situation(states, thought.situation)
        total = total + self.to_definition(states, thought.definition)
        if self.control is not None and thought.context is not None:
            total = total + self.control.to_context(states, thought.context)
        return total


class Selector(nn.Module):
    """Q values from the context and the record of the conversation so far."""

    def __init__(self, width: int, record_size: int, strategies: int) -> None:
        super().__init__()
        self.norm, self.context = nn.LayerNorm(width), nn.Linear(width, width)
        self.record, self.join = nn.Linear(record_size, width), nn.Linear(2 * width, width)
        self.out = nn.Linear(width, strategies)

    def state(self, summary: Tensor, told: Tensor) -> Tensor:
        """(E, H), (E, R) → the gate's input (E, H)."""
        context, history = self.context(self.norm(summary)), self.record(told)
        joined: Tensor = self.join(functional.relu(torch.cat([context, history], dim=-1)))
        return joined

    def values(self, state: Tensor) -> Tensor:
        """(E, H) → Q (E, K)."""
        result: Tensor = self.out(functional.relu(state))
        return result


class Control(nn.Module):
    """Context and definition attend to each other; the selector's state gates the context."""

    def __init__(self, width: int, heads: int, share: float) -> None:
        super().__init__()
        self.gate, self.share = nn.Linear(width, width), share
        self.by_definition, self.by_context = (CrossAttention(width, heads) for _ in range(2))
        self.to_context = CrossAttention(width, heads)

    def forward(self, context: Memory, definition: Memory, state: Tensor) -> tuple[Memory, Memory]:
        """The controlled context (E, L, H) and definition (E, P, H)."""
        scale = self.share + (1 - self.share) * self.gate(state).sigmoid()[:, None]
        scaled = Memory(context.states * scale, context.mask)
        told = self.by_definition(scaled.states, self.by_definition.hold(definition))
        seen = self.by_context(definition.states, self.by_context.hold(scaled))
        return Memory(scaled.states + told, context.mask), Memory(definition.states + seen, definition.mask)


def record(example: Example, labels: LabelSet, *, survey: bool) -> list[float]:
    """The last strategies, where they stood, the last sentiments, the survey's labels; blanks first."""
    kinds = len(labels) + 1
    said = [
        (place + example.index - len(example.context), turn)
        for place, turn in enumerate(example.context)
        if turn.speaker is Role.SUPPORTER
    ][-HISTORY:]
    blank = [float(place == len(labels)) for place in range(kinds)]
    strategies = [blank] * (HISTORY - len(said)) + [
        [
            float(place == (labels.position(t.strategy) if t.strategy else len(labels)))
            for place in range(kinds)
        ]
        for _, t in said
    ]
    places = [0.0] * (HISTORY - len(said)) + [place / 50 for place, _ in said]  # of about 30 turns
    moods = [sentiment(turn) for turn in example.context if turn.speaker is Role.SEEKER][-HISTORY:]
    told = [value for row in strategies for value in row] + places
    told += [0.5] * (HISTORY - len(moods)) + moods
    return told + (_survey(example) if survey else [])


def _survey(example: Example) -> list[float]:
    """One-hot of the survey's emotion and problem."""
    profile = example.profile
    pairs = (("emotions", profile.emotion), ("problems", profile.problem))
    return [float(name == value) for kind, value in pairs for name in plain_labels(kind).names]
