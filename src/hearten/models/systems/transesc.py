"""TransESC (Zhao et al. 2023): a state of three parts for every turn, and how it moves from turn to turn.

Every turn of the last few has three nodes, semantics, strategy and emotion, all begun from the state in
which the turn closes; the reply to come has its own, begun from the context's summary. An emotion node is
moved by commonsense (xReact of a seeker's turn, oReact of a supporter's). Attention with relation
embeddings runs over two graphs, edges only from a turn to itself and to earlier ones:

- transition: semantics to semantics, emotion to emotion between seekers, strategy to strategy between
  supporters;
- interaction: into a seeker's turn, its semantics and its strategy move its emotion; into a supporter's,
  semantics and emotion move the strategy.

State = g T + (1 − g) I, g = σ(W [T; I]). Strategy nodes predict the strategy of every supporter turn and of
the reply, emotion nodes the seekers' emotions; δ_t = semantics − first state predicts the keywords of the
turn. The words: the states look at the emotions (gated), are moved by the reply's strategy and by its δ
(both gated).

`literal = true` is the released code: one set of weights for both graphs, relation embeddings that add up
from row to row (its in-place sum), and a matrix of their own for the keywords instead of the vocabulary's.
The published decoder gates its input embeddings with the strategy; these are out of reach between hidden
states and words, so that gate stands after the last layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hearten.core.conversation import Role, Turn
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.core.taxonomy import labels as plain_labels
from hearten.lm.backbone import Batch
from hearten.lm.context import Context, Memory
from hearten.models.fused import FusedSystem, Thought
from hearten.models.parts.attention import CrossAttention, Held, heads_of
from hearten.models.parts.codebook import classified, gold_places
from hearten.models.parts.phrases import Reader, annotation, usable
from hearten.models.system import Paper, SystemConfig

TRANSESC = Paper(
    citation="Zhao et al. 2023",
    title="TransESC: Smoothing Emotional Support Conversation via Turn-Level State Transition",
    backbone="blenderbot-small",
    training={"epochs": 8, "learning_rate": 2e-5, "weight_decay": 0.0},
    decoding={"temperature": 0.7, "top_k": 30, "top_p": 0.3, "repetition_penalty": 1.03},
)
SEMANTICS, STRATEGY, EMOTION = range(3)
RELATIONS = {
    (SEMANTICS, SEMANTICS): 1,
    (SEMANTICS, EMOTION): 2,
    (SEMANTICS, STRATEGY): 3,
    (EMOTION, EMOTION): 4,
    (EMOTION, STRATEGY): 5,
    (STRATEGY, STRATEGY): 6,
    (STRATEGY, EMOTION): 7,
}
"""(from, to) → relation; 0 is no edge."""


class TransescConfig(SystemConfig):
    """TransESC's options."""

    loss_weights: dict[str, float] = Field(default_factory=lambda: {"keywords": 0.2})
    turns: int = 6
    """Last turns that have a state (released: from the second-to-last supporter turn on)."""
    keywords: int = 5
    reach: int = 160
    literal: bool = False


@dataclass(frozen=True, slots=True)
class TransescFeatures:
    """Of the last turns, empty places first.

    Shapes: `speaker`, `emotion`, `strategy` (E, W), `commonsense` (E, W, 384), `keywords` (E, W + 1, most),
    the last of them the reply's. -1 is no label; speaker 0 is the seeker, 1 the supporter, 2 an empty place.
    """

    speaker: Tensor
    emotion: Tensor
    strategy: Tensor
    commonsense: Memory
    keywords: Tensor


@dataclass(frozen=True, slots=True)
class TransescThought(Thought):
    """The states of all turns (E, W + 1, 3, H), δ (E, W + 1, H), and what the words look at."""

    states: Tensor
    moved: Tensor
    emotions: Held


class Transesc(FusedSystem[TransescThought]):
    """Turn-level state transition."""

    name: ClassVar[str] = "transesc"
    paper: ClassVar[Paper] = TRANSESC
    uses_strategies: ClassVar[bool] = True
    says_strategies: ClassVar[bool] = False
    own_head: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"emotion", "commonsense", "keywords"})
    losses_named: ClassVar[tuple[str, ...]] = ("response", "strategy", "emotion", "keywords")
    config_class: ClassVar[type[SystemConfig]] = TransescConfig
    config: TransescConfig

    def __init__(self, config: TransescConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        width = self.width
        self.feelings = (*plain_labels("emotions").names[: plain_labels("emotions").paper], "none")
        self.norm, self.reader, self.sensed = nn.LayerNorm(width), Reader(width), nn.Linear(width, width)
        self.transit = Relational(width, heads_of(width), literal=config.literal)
        self.interact = self.transit if config.literal else Relational(width, heads_of(width), literal=False)
        self.share = nn.Linear(2 * width, width)
        self.to_strategy, self.to_emotion = (
            nn.Linear(width, len(labels)),
            nn.Linear(width, len(self.feelings)),
        )
        vocabulary = len(self.backbone.renderer.tokenizer)
        self.to_keywords = nn.Linear(width, vocabulary, bias=False) if config.literal else None
        self.look = CrossAttention(width, self.heads)
        self.gates = nn.ModuleDict({name: nn.Linear(2 * width, width) for name in ("strategy", "moved")})
        for gate in self.gates.values():
            assert isinstance(gate, nn.Linear)
            nn.init.constant_(gate.bias, 4.0)  # nearly all of the pretrained state passes at first

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """The reactions of every turn."""
        return [text for one in examples for turn in self._window(one) for text in reaction(turn)]

    def _window(self, example: Example) -> tuple[Turn, ...]:
        return example.context[-self.config.turns :]

    def features(self, examples: Sequence[Example]) -> TransescFeatures:
        """Speakers, gold emotions and strategies, commonsense and keywords of the last turns."""
        device, wide = self.backbone.device, self.config.turns
        windows = [self._window(example) for example in examples]
        padded: list[list[Turn | None]] = [[None] * (wide - len(row)) + list(row) for row in windows]
        tails = self.phrases([reaction(turn)[:1] for row in padded for turn in row], device)
        shape = (len(examples), wide)
        sensed = Memory(tails.states[:, 0].reshape(*shape, -1), tails.mask[:, 0].reshape(shape))

        def column(rows: list[list[int]]) -> Tensor:
            return torch.tensor(rows, device=device)

        return TransescFeatures(
            speaker=column([[_speaker(turn) for turn in row] for row in padded]),
            emotion=column([[self._emotion(turn) for turn in row] for row in padded]),
            strategy=column([[self._strategy(turn) for turn in row] for row in padded]),
            commonsense=sensed,
            keywords=torch.tensor(
                [
                    [self._keywords(a) for a in _annotations(row, one)]
                    for row, one in zip(padded, examples, strict=True)
                ],
                device=device,
            ),
        )

    def _emotion(self, turn: Turn | None) -> int:
        """The seeker's emotion; a supporter's is not learned."""
        found = annotation(turn, "emotion") if turn and turn.speaker is Role.SEEKER else None
        return self.feelings.index(found["label"]) if found and found["label"] in self.feelings else -1

    def _strategy(self, turn: Turn | None) -> int:
        return self.labels.position(turn.strategy) if turn and turn.strategy else -1

    def _keywords(self, annotations: dict[str, object] | None) -> list[int]:
        """The first ids of each keyword, at most so many."""
        words = (annotations or {}).get("keywords") or []
        assert isinstance(words, list)
        tokenizer, most = self.backbone.renderer.tokenizer, self.config.keywords
        ids = [tokenizer(f" {word}", add_special_tokens=False).input_ids[:1] for word in words[:most]]
        flat = [int(number) for row in ids for number in row]
        return flat + [-1] * (most - len(flat))

    def think(self, context: Context, features: TransescFeatures) -> TransescThought:
        """Run the states through both graphs."""
        closing = context.turns(self.config.turns)
        first = self.norm(torch.cat([closing.states, context.summary()[:, None]], dim=1))  # (E, W + 1, H)
        nodes = first[:, :, None].expand(-1, -1, 3, -1).clone()
        sensed = self.sensed(self.reader(features.commonsense).states)
        sensed = sensed * features.commonsense.mask.unsqueeze(-1).to(sensed.dtype)
        nodes[:, :-1, EMOTION] = nodes[:, :-1, EMOTION] + sensed.to(nodes.dtype)
        states = self._moved(nodes, speakers(features.speaker, closing.mask))
        emotions = Memory(states[:, :-1, EMOTION], closing.mask & (features.speaker == 0))
        return TransescThought(
            strategy=self.to_strategy(states[:, -1, STRATEGY]),
            states=states,
            moved=states[:, :, SEMANTICS] - first,
            emotions=self.look.hold(emotions),
        )

    def _moved(self, nodes: Tensor, speaker: Tensor) -> Tensor:
        """(E, W + 1, 3, H) after transition and interaction."""
        flat = nodes.flatten(1, 2)
        transition, interaction = graphs(speaker)
        transited = self.transit(flat, transition)
        interacted = self.interact(transited, interaction)
        share = self.share(torch.cat([transited, interacted], dim=-1)).sigmoid()
        moved: Tensor = share * transited + (1 - share) * interacted
        return moved.reshape(nodes.shape)

    def strategy_loss(self, batch: Batch, thought: TransescThought) -> Tensor:
        """Mean cross-entropy over the supporter turns of the window and the reply."""
        gold = gold_places(batch.examples, self.labels, batch.ids.device)
        wanted = torch.cat([batch.features.strategy, gold[:, None]], dim=1)
        return classified(self.to_strategy(thought.states[:, :, STRATEGY]), wanted)

    def auxiliary(self, batch: Batch, thought: TransescThought) -> dict[str, Tensor]:
        """`emotion` of the seeker's turns, and `keywords` of every turn and of the reply."""
        features = batch.features
        emotion = classified(self.to_emotion(thought.states[:, :-1, EMOTION]), features.emotion)
        there = (features.keywords >= 0).any(-1)  # (E, W + 1)
        moved = thought.moved[there]
        logits = self.backbone.logits(moved) if self.to_keywords is None else self.to_keywords(moved)
        wanted = features.keywords[there]
        spread = logits[:, None].expand(-1, wanted.shape[1], -1)
        return {"emotion": emotion, "keywords": classified(spread, wanted)}

    def fuse(self, states: Tensor, thought: TransescThought, shares: Tensor | None) -> Tensor:
        """The states with the emotions they look at, gated with the reply's strategy and its δ."""
        assert shares is not None
        felt = states + self.look(states, thought.emotions)
        strategy = thought.states[:, -1, STRATEGY] + self._steering(thought, shares)
        for name, added in (("strategy", strategy), ("moved", thought.moved[:, -1])):
            other = added[:, None].expand_as(felt).to(felt.dtype)
            share = self.gates[name](torch.cat([felt, other], dim=-1)).sigmoid()
            felt = share * felt + (1 - share) * other
        result: Tensor = felt
        return result

    def _steering(self, thought: TransescThought, shares: Tensor) -> Tensor:
        """How a forced strategy moves the state: along the head's own vectors; nothing under the mixture."""
        assert thought.strategy is not None
        own = thought.strategy.float().softmax(-1)
        return (shares.float() - own) @ self.to_strategy.weight.float()


class Relational(nn.Module):
    """Attention between nodes with an embedding for each kind of edge.

    s_ij = (q_i + r_ij) · (k_j + r_ij) / sqrt(S) for every head; a node without edges gets zeros. `literal`
    sums relation embeddings over the rows so far, as the released in-place addition does.
    """

    def __init__(self, width: int, heads: int, *, literal: bool) -> None:
        super().__init__()
        self.heads, self.literal = heads, literal
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.relation = nn.Embedding(len(RELATIONS) + 1, width, padding_idx=0)

    def forward(self, nodes: Tensor, kinds: Tensor) -> Tensor:
        """(E, V, H) and relations (E, V, V), from column to row → (E, V, H)."""
        size = nodes.shape[-1] // self.heads

        def split(states: Tensor) -> Tensor:
            return states.reshape(*states.shape[:-1], self.heads, size)

        asking, asked, values = split(self.query(nodes)), split(self.key(nodes)), split(self.value(nodes))
        joined = split(self.relation(kinds))  # (E, V, V, heads, S)
        if self.literal:
            joined = joined.cumsum(1)
        scores = torch.einsum("eihs,ejhs->eijh", asking, asked)
        scores = scores + torch.einsum("eihs,eijhs->eijh", asking, joined)
        scores = scores + torch.einsum("ejhs,eijhs->eijh", asked, joined) + joined.square().sum(-1)
        there = (kinds > 0).unsqueeze(-1)
        shares = (scores.float() / size**0.5).masked_fill(~there, -1e9).softmax(2) * there
        return torch.einsum("eijh,ejhs->eihs", shares.to(values.dtype), values).flatten(2)


def _speaker(turn: Turn | None) -> int:
    """0 seeker, 1 supporter, 2 nobody."""
    return 2 if turn is None else int(turn.speaker is Role.SUPPORTER)


def _annotations(row: Sequence[Turn | None], example: Example) -> list[dict[str, object] | None]:
    """Those of the turns, then those of the reply (known in training alone)."""
    later = example.hindsight.annotations if example.hindsight else None
    return [*(turn.annotations if turn else None for turn in row), later]


def reaction(turn: Turn | None) -> list[str]:
    """How the seeker feels after the turn: xReact of their own, oReact of a supporter's."""
    if turn is None:
        return []
    relation = "xReact" if turn.speaker is Role.SEEKER else "oReact"
    found = (annotation(turn, "commonsense") or {}).get(relation, [])
    return [tail for tail in found if usable(tail)]


def speakers(told: Tensor, closing: Tensor) -> Tensor:
    """Who speaks in each place (E, W) and the reply: a turn whose end the model did not see is nobody's."""
    seen = torch.where(closing, told, torch.full_like(told, 2))
    return torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)


def graphs(speaker: Tensor) -> tuple[Tensor, Tensor]:
    """Relations (E, 3V, 3V) of the transition and the interaction graph, from column to row.

    Args:
        speaker: (E, V) 0 seeker, 1 supporter, 2 nobody; a node of turn t and part p stands at 3t + p.
    """
    count = speaker.shape[1]
    places = torch.arange(count, device=speaker.device)
    both = (speaker[:, :, None] < 2) & (speaker[:, None] < 2) & (places[:, None] >= places)  # (E, to, from)
    seekers = both & (speaker[:, :, None] == 0) & (speaker[:, None] == 0)
    supporters = both & (speaker[:, :, None] == 1) & (speaker[:, None] == 1)
    into_seeker, into_supporter = (both & (speaker[:, :, None] == who) for who in (0, 1))
    transition = {
        (SEMANTICS, SEMANTICS): both,
        (EMOTION, EMOTION): seekers,
        (STRATEGY, STRATEGY): supporters,
    }
    interaction = {
        (SEMANTICS, EMOTION): into_seeker,
        (STRATEGY, EMOTION): into_seeker,
        (SEMANTICS, STRATEGY): into_supporter,
        (EMOTION, STRATEGY): into_supporter,
    }
    return _relations(transition), _relations(interaction)


def _relations(edges: dict[tuple[int, int], Tensor]) -> Tensor:
    """Put the edges of each kind (E, V, V) into one matrix (E, 3V, 3V)."""
    first = next(iter(edges.values()))
    size, count, _ = first.shape
    whole = first.new_zeros(size, count, 3, count, 3, dtype=torch.long)
    for (source, into), there in edges.items():
        whole[:, :, into, :, source] = there * RELATIONS[source, into]
    return whole.reshape(size, 3 * count, 3 * count)
