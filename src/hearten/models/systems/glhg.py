"""GLHG (Peng et al. 2022): from the global cause to the local intention to the dialogue, over a graph.

The published repository holds no graph reasoner (its graph file is imported by nothing); this one is built
from the paper's description. Nodes: the situation g (its sentences, max-pooled), the intention z of the
seeker's last turn (COMET xIntent), the last turns u_1 … u_n. Edges: g – z, g – u_i, z – u_i, u_i – u_{i+1},
and each to itself. Graph attention (Veličković et al. 2018) with residuals, twice. Then the states look at
context and nodes and are guided by the global node: c = A(O, [C; nodes]), λ = σ(W [c; g]), O' = O + λ c +
(1 − λ) W_g g. A second loss names the problem from g.

`literal = true` is what the repository does: no graph; intention and reaction of the last turn are appended
to it as words. Strategies are not used. The situation is told before the conversation, at test time too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.conversation import Turn
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.core.taxonomy import labels as plain_labels
from hearten.lm.backbone import Batch
from hearten.lm.context import Context, Memory
from hearten.models.fused import FusedSystem, Thought
from hearten.models.parts.attention import CrossAttention, Held, begin_small
from hearten.models.parts.codebook import Head, classified
from hearten.models.parts.phrases import Reader, annotation, blocks, last_seeker_turn, sentences, usable
from hearten.models.system import Paper, SystemConfig

GLHG = Paper(
    citation="Peng et al. 2022",
    title="Control Globally, Understand Locally: A Global-to-Local Hierarchical Graph Network",
    backbone="blenderbot-small",
    training={"epochs": 2, "learning_rate": 3e-5, "weight_decay": 0.01},
    decoding={"temperature": 0.7, "top_k": 0, "top_p": 0.9, "min_tokens": 10},
)


class GlhgConfig(SystemConfig):
    """GLHG's options; layers, heads and the second loss's weight are ours (unknown of the paper)."""

    loss_weights: dict[str, float] = Field(default_factory=lambda: {"problem": 0.5})
    reach: int = 160
    turns: int = 16
    layers: int = 2
    heads: int = 4
    literal: bool = False


@dataclass(frozen=True, slots=True)
class GlhgFeatures:
    """Situation and intention as vectors (E, L, 384); the problem's number (E,), -1 where unknown."""

    situation: Memory
    intention: Memory
    problem: Tensor


@dataclass(frozen=True, slots=True)
class GlhgThought(Thought):
    """The global node (E, H) and what the states look at; both None without a graph."""

    cause: Tensor | None
    held: Held | None


def with_intention(turn: Turn, last: bool) -> str:
    """A turn's words, then what it was meant for and how it feels, as the repository appends them."""
    found = (annotation(turn, "commonsense") or {}) if last else {}
    said = [tail for r in ("xIntent", "xReact") for tail in found.get(r, [])[:1] if usable(tail)]
    return " ".join([turn.text, *said])


class Glhg(FusedSystem[GlhgThought]):
    """A hierarchical graph from cause to intention to dialogue."""

    name: ClassVar[str] = "glhg"
    paper: ClassVar[Paper] = GLHG
    uses_strategies: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"commonsense"})
    losses_named: ClassVar[tuple[str, ...]] = ("response", "problem")
    config_class: ClassVar[type[SystemConfig]] = GlhgConfig
    config: GlhgConfig

    def __init__(self, config: GlhgConfig, labels: LabelSet) -> None:
        super().__init__(config, labels)
        width = self.width
        self.problems = plain_labels("problems").names
        if config.literal:
            self.backbone.renderer.words = with_intention
            return
        heads = max(n for n in range(1, config.heads + 1) if width % n == 0)
        self.reader = Reader(width)
        self.norm = nn.LayerNorm(width)
        self.graph = nn.ModuleList(GraphAttention(width, heads) for _ in range(config.layers))
        self.problem = Head(width, len(self.problems))
        self.look = CrossAttention(width, self.heads)
        self.guide, self.gate = begin_small(nn.Linear(width, width)), nn.Linear(2 * width, 1)

    def _told(self, example: Example) -> tuple[list[str], list[str]]:
        turn = last_seeker_turn(example)
        found = annotation(turn, "commonsense") if turn else None
        return sentences(example.profile.situation or ""), blocks(found, 5, ("xIntent",))

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """Sentences of the situations, and intentions."""
        return [] if self.config.literal else [t for one in examples for row in self._told(one) for t in row]

    def features(self, examples: Sequence[Example]) -> GlhgFeatures | None:
        """Situations, intentions and problems."""
        if self.config.literal:
            return None
        rows, device = [self._told(example) for example in examples], self.backbone.device
        numbers = [self._problem(example) for example in examples]
        return GlhgFeatures(
            situation=self.phrases([row[0] for row in rows], device),
            intention=self.phrases([row[1] for row in rows], device),
            problem=torch.tensor(numbers, device=device),
        )

    def _problem(self, example: Example) -> int:
        name = example.profile.problem
        return self.problems.index(name) if name in self.problems else -1

    def think(self, context: Context, features: GlhgFeatures | None) -> GlhgThought:
        """Reason over the graph."""
        if features is None:
            return GlhgThought(strategy=None, cause=None, held=None)
        turns = context.turns(self.config.turns)
        cause = greatest(self.reader(features.situation))
        intention = greatest(self.reader(features.intention))
        nodes = torch.cat([cause[:, None], intention[:, None], self.norm(turns.states)], dim=1)
        there = torch.stack([features.situation.mask.any(-1), features.intention.mask.any(-1)], dim=1)
        mask = torch.cat([there, turns.mask], dim=1)
        edges = hierarchy(mask)
        for layer in self.graph:
            nodes = layer(nodes, edges)
        known = context.recent(self.config.reach) + Memory(nodes, mask)
        return GlhgThought(strategy=None, cause=nodes[:, 0], held=self.look.hold(known))

    def auxiliary(self, batch: Batch, thought: GlhgThought) -> dict[str, Tensor]:
        """`problem`: mean cross-entropy of the survey's problem from the global node."""
        if thought.cause is None:
            return {"problem": batch.ids.new_zeros((), dtype=torch.float32)}
        return {"problem": classified(self.problem(thought.cause), batch.features.problem)}

    def fuse(self, states: Tensor, thought: GlhgThought, shares: Tensor | None) -> Tensor:
        """O + λ A(O, [C; nodes]) + (1 − λ) W_g g, (E, T, H)."""
        if thought.cause is None or thought.held is None:
            return states
        seen = self.look(states, thought.held)
        cause = thought.cause[:, None].expand_as(states).to(seen.dtype)
        share = self.gate(torch.cat([seen, cause], dim=-1)).sigmoid()
        fused: Tensor = states + share * seen + (1 - share) * self.guide(cause)
        return fused


def greatest(memory: Memory) -> Tensor:
    """The maximum over each example's states, (E, H); zeros where it has none."""
    filled = memory.states.masked_fill(~memory.mask.unsqueeze(-1), float("-inf")).amax(1)
    return torch.where(memory.mask.any(-1, keepdim=True), filled, torch.zeros_like(filled))


def hierarchy(mask: Tensor) -> Tensor:
    """Edges (E, V, V) between nodes that are there (E, V): cause, intention, then turns in order.

    The first two are joined to everything, a turn to the turns beside it, each node to itself.
    """
    count = mask.shape[1]
    places = torch.arange(count, device=mask.device)
    beside = (places[:, None] - places).abs() <= 1
    above = (places[:, None] < 2) | (places < 2)
    both = mask[:, :, None] & mask[:, None, :]
    return (beside | above) & both


class GraphAttention(nn.Module):
    """a_ij = softmax_j LeakyReLU(a · [W v_i; W v_j]), v_i + ELU(Σ_j a_ij W v_j), heads side by side."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.move = heads, nn.Linear(width, width, bias=False)
        size = width // heads
        self.asking, self.asked = (nn.Parameter(torch.randn(heads, size) * size**-0.5) for _ in range(2))

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """(E, V, H), (E, V, V) → (E, V, H); a node without edges keeps its state."""
        moved = self.move(nodes).reshape(*nodes.shape[:2], self.heads, -1)  # (E, V, heads, S)
        asking, asked = (moved * self.asking).sum(-1), (moved * self.asked).sum(-1)  # (E, V, heads)
        scores = functional.leaky_relu(asking[:, :, None] + asked[:, None], 0.2).float()  # (E, V, V, heads)
        shares = scores.masked_fill(~edges.unsqueeze(-1), -1e9).softmax(2) * edges.unsqueeze(-1)
        found = torch.einsum("eijh,ejhs->eihs", shares.to(moved.dtype), moved).flatten(2)
        return nodes + functional.elu(found)
