"""Decoding: a strategy first, then the words; the same loop for decoder-only and encoder–decoder models.

At the first position of a reply only the strategies may stand, and inside it none may (Liu et al. 2021,
Appendix C). Who chooses the strategy is a `StrategyPolicy`: the model (sampled or argmax), the gold label
(Oracle), or chance (Random). Words are drawn with temperature, top-k, top-p and a repetition penalty.

For a decoder-only model all turns of one conversation share a single pass over it: every turn's prompt is
a prefix of the whole, so one key–value cache serves them all, each row masking what it may not see.
Every reply has its own random numbers, seeded by its turn, so it does not depend on what else was decoded.

A system with layers of its own between the hidden states and the words hands in a maker of `Voice`s;
without one the backbone speaks for itself.
"""

import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from hearten.core.chat import Sampling
from hearten.core.config import Config, build
from hearten.core.errors import UsageError
from hearten.core.records import Example, Reply
from hearten.core.registry import lookup
from hearten.core.taxonomy import LabelSet, Strategy, label_set
from hearten.lm.backbone import Backbone, CausalBackbone, PairBackbone, autocast
from hearten.lm.context import Context
from hearten.lm.growing import growing_cache
from hearten.lm.render import Row


class Decoding(Sampling):
    """How words are drawn for a prediction; temperature, top-k, top-p and penalty as in `Sampling`."""

    min_tokens: int = 5
    max_tokens: int = 40
    seed: int | None = 0
    n: int = Field(default=1, ge=1)
    """Replies per context."""


class DiverseDecoding(Decoding):
    """Diverse beam search (`lm/diverse.py`) instead of sampling; the defaults are Muffin's released code.

    `n` is the number of beams, all of which are replies; temperature, top-k, top-p, the repetition penalty
    and the seed have no say.
    """

    n: int = Field(default=10, ge=1)
    groups: int = Field(default=10, ge=1)
    penalty: float = Field(default=1.0, ge=0)
    """What a word costs for every earlier group that said it at the same step."""
    no_repeat: int = Field(default=3, ge=0)
    """No n-gram of this length twice; 0 allows it."""
    no_repeat_context: bool = True
    """Nor one of the context."""
    length_penalty: float = 1.0
    """Replies are ranked by their summed log-probability / length to this power."""
    min_tokens: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.n % self.groups:
            what = f"{self.n} beams cannot be parted into {self.groups} equal groups"
            raise UsageError(what, fix="n must be a multiple of groups")
        return self


ESCONV_SHARES = {
    strategy.name: share
    for strategy, share in zip(
        label_set("esconv"), (0.209, 0.059, 0.078, 0.094, 0.161, 0.156, 0.061, 0.181), strict=True
    )
}
"""How often each strategy occurs (Liu et al. 2021, Table 3): what Random draws from."""


class StrategyPolicy(Config):
    """Who chooses the strategy at the first position."""

    kind: Literal["sampled", "argmax", "gold", "random", "planner"] = "sampled"
    """`sampled` is Joint as published; `gold` is Oracle; `random` draws from `distribution`; `planner` is
    another model's choice, made above this module (`models.planner.decoding`)."""
    distribution: dict[str, float] | None = None
    """For `random`: probability by strategy name (ESConv Table 3 is the paper's)."""
    bias: dict[str, float] | None = None
    """Added to the model's log-probabilities before choosing; tuned on validation, never on test."""
    planner: str | None = None
    """For `planner`: its run folder."""
    point: Literal["accuracy", "macro-f1"] = "accuracy"
    """For `planner`: at which operating point it chooses."""


POLICIES: dict[str, StrategyPolicy] = {
    "sampled": StrategyPolicy(kind="sampled"),
    "argmax": StrategyPolicy(kind="argmax"),
    "gold": StrategyPolicy(kind="gold"),
    "random": StrategyPolicy(kind="random", distribution=ESCONV_SHARES),
}
"""The policies a command line can name."""


def policy_of(name: str) -> StrategyPolicy:
    """The policy called `name`; `planner:RUN` or `planner:RUN@macro-f1` is that planner's.

    Raises:
        UsageError: unknown; with the near matches.
    """
    kind, _, rest = name.partition(":")
    if kind == "planner" and rest:
        folder, _, point = rest.partition("@")
        values = {"kind": kind, "planner": folder, "point": point or "accuracy"}
        return build(StrategyPolicy, values, where=f"policy {name}")
    return lookup(POLICIES, name, "policy")


class Voice(Protocol):
    """From hidden states to words, for the B replies of one batch being decoded."""

    labels: LabelSet | None
    """The strategies, where the system has any."""
    mixes: bool
    """Whether it speaks under its whole distribution over strategies unless one is forced on it."""

    def beliefs(self) -> Tensor | None:
        """Log-probabilities of the strategies by the system's own head, (B, K); None: they are tokens."""
        ...

    def steer(self, places: Tensor | None) -> None:
        """Speak under these strategies, (B,) places in the label set; None is the mixture."""
        ...

    def scores(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores (B, V) of hidden states (B, H)."""
        ...

    def keep(self, rows: Tensor) -> None:
        """From now on row k speaks for what row `rows[k]` (K,) spoke for; others are dropped.

        Replies to one context, under one strategy, are alike to a voice: they may change places.
        """
        ...


Voices = Callable[[Context, Sequence[Example]], Voice]
"""Makes the voice of a batch from its contexts and its examples, one for every reply."""


class BareVoice:
    """The backbone alone: strategies, if any, are tokens."""

    mixes = False

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self.labels = backbone, backbone.renderer.labels

    def beliefs(self) -> None:
        """None: they are read off the strategy tokens."""

    def steer(self, places: Tensor | None) -> None:
        """Nothing to do: the strategy stands in the text."""

    def scores(self, hidden: Tensor) -> Tensor:
        """The backbone's own scores, (B, V)."""
        return self._backbone.logits(hidden)

    def keep(self, rows: Tensor) -> None:
        """Nothing to do: it knows no contexts."""


class Stepper(Protocol):
    """A model in the middle of decoding a batch."""

    voice: Voice
    prompts: list[list[int]]
    """The ids each row has read."""

    def first(self) -> Tensor:
        """Scores of the first position, (B, V)."""
        ...

    def next(self, tokens: Tensor) -> Tensor:
        """Scores after `tokens` (B,) were said, (B, V)."""
        ...

    def keep(self, rows: Tensor) -> None:
        """From now on row k goes on where row `rows[k]` (K,) stood; rows that are not named are dropped."""
        ...


@torch.no_grad()
def generate(
    backbone: Backbone,
    examples: Sequence[Example],
    decoding: Decoding,
    policy: StrategyPolicy,
    voices: Voices | None = None,
) -> list[list[Reply]]:
    """`decoding.n` replies to each example, in the order of `examples`."""
    backbone.eval()
    replies: list[list[Reply]] = [[] for _ in examples]
    with autocast(backbone.device):
        _refuse_drawn_strategies(decoding, policy)
        for row, numbers in _prompt_groups(backbone, examples, decoding):
            chosen = [examples[number] for number in numbers]
            chance = _chance(decoding, chosen)
            stepper = _stepper(backbone, row, numbers, chosen, decoding.n, voices)
            found = _decode(backbone, stepper, chosen, decoding, policy, chance)
            for position, reply in enumerate(found):
                replies[numbers[position // decoding.n]].append(reply)
    return replies


def _chance(decoding: Decoding, examples: Sequence[Example]) -> Tensor:
    """Uniform numbers in [0, 1) for every reply: its strategy's, then one a word, (B, 1 + max_tokens)."""
    rows = []
    for example in examples:
        for copy in range(decoding.n):
            turn = f"{decoding.seed or 0}/{example.conversation_id}/{example.index}/{copy}"
            own = torch.Generator().manual_seed(zlib.crc32(turn.encode()))  # it heeds 32 bits alone
            rows.append(torch.rand(1 + decoding.max_tokens, generator=own, dtype=torch.float64))
    return torch.stack(rows)


def _refuse_drawn_strategies(decoding: Decoding, policy: StrategyPolicy) -> None:
    if isinstance(decoding, DiverseDecoding) and policy.kind not in ("gold", "argmax"):
        what = (
            f"diverse beam search needs one strategy a context, and policy '{policy.kind}' draws one a reply"
        )
        raise UsageError(what, fix="use 'gold' or 'argmax'")


MOST_ROWS = 48
"""Replies of one search that are under way at once; more of them read ever longer shared caches."""


def _prompt_groups(
    backbone: Backbone, examples: Sequence[Example], decoding: Decoding
) -> list[tuple[Row | None, list[int]]]:
    """Examples decoded together: those of one row, or batches of sixteen for an encoder–decoder.

    `max_tokens` positions are left after every prompt, where the model has a last position.
    """
    room = decoding.max_tokens
    most = max(1, MOST_ROWS // decoding.n) if isinstance(decoding, DiverseDecoding) else sys.maxsize
    if isinstance(backbone, PairBackbone):
        numbers, size = list(range(len(examples))), min(16, most)
        return [(None, numbers[start : start + size]) for start in range(0, len(numbers), size)]
    positions = getattr(backbone.model.config, "max_position_embeddings", None) or sys.maxsize
    window = max(2, min(backbone.config.window, positions - room - 1))
    overlap = min(backbone.config.overlap, window - 1)
    groups: list[tuple[Row | None, list[int]]] = []
    begun: set[int] = set()
    for row in backbone.renderer.conversation_rows(examples, window, overlap):
        new = [n for n in dict.fromkeys(target.example for target in row.targets) if n not in begun]
        begun.update(new)
        # none are new where the row is the rest of a reply that is longer than the window
        groups.extend((row, new[start : start + most]) for start in range(0, len(new), most))
    return groups


def _stepper(
    backbone: Backbone,
    row: Row | None,
    numbers: list[int],
    examples: Sequence[Example],
    copies: int,
    voices: Voices | None = None,
) -> "Stepper":
    if row is None:
        assert isinstance(backbone, PairBackbone)
        return PairStepper(backbone, examples, copies, voices)
    assert isinstance(backbone, CausalBackbone)
    starts = {target.example: target.position for target in reversed(row.targets)}
    lengths = [starts[number] for number in numbers]
    return SharedPrefixStepper(backbone, row.ids, lengths, examples, copies, voices)


def _voice(
    backbone: Backbone, voices: Voices | None, context: Context, examples: Sequence[Example], copies: int
) -> Voice:
    if voices is None:
        return BareVoice(backbone)
    return voices(context.repeat(copies), [example for example in examples for _ in range(copies)])


class SharedPrefixStepper:
    """Decodes several prefixes of one sequence at once, from one pass over it, with one cache.

    All rows stay one sequence: a step appends one token for each, and a mask lets row i see its own prefix
    and its own earlier tokens (the columns it owns). Nothing is copied per row, so a conversation's turns
    cost little more together than one of them alone.
    """

    def __init__(
        self,
        backbone: CausalBackbone,
        ids: list[int],
        lengths: list[int],
        examples: Sequence[Example],
        copies: int,
        voices: Voices | None = None,
    ) -> None:
        self._backbone = backbone
        device, longest = backbone.device, max(lengths)
        self._lengths = torch.tensor(lengths, device=device).repeat_interleave(copies)  # (B,)
        self.prompts = [ids[:length] for length in lengths for _ in range(copies)]
        whole = torch.tensor([ids[:longest]], device=device)
        output = backbone.model.base_model(input_ids=whole, past_key_values=growing_cache(), use_cache=True)
        self._first = output.last_hidden_state[0, self._lengths - 1]  # (B, H)
        self._cache = output.past_key_values
        seen = torch.tensor(lengths, device=device)
        context = backbone.prefixes(output.last_hidden_state, whole, torch.zeros_like(seen), seen)
        self.voice = _voice(backbone, voices, context, examples, copies)
        self._visible = torch.arange(longest, device=device) < self._lengths[:, None]  # (B, T)
        self._said = 0

    def first(self) -> Tensor:
        """Scores of the first position, (B, V)."""
        return self.voice.scores(self._first)

    def next(self, tokens: Tensor) -> Tensor:
        """Scores after `tokens` (B,) were said, (B, V)."""
        own = torch.eye(len(tokens), dtype=torch.bool, device=tokens.device)
        self._visible = torch.cat([self._visible, own], dim=1)
        hidden = torch.zeros(self._visible.shape, device=tokens.device, dtype=self._first.dtype)
        hidden.masked_fill_(~self._visible, torch.finfo(hidden.dtype).min)
        output = self._backbone.model.base_model(
            input_ids=tokens[None],
            attention_mask=hidden[None, None],  # (1, 1, B, T)
            position_ids=(self._lengths + self._said)[None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._said += 1
        return self.voice.scores(output.last_hidden_state[0])

    def keep(self, rows: Tensor) -> None:
        """Reorder or drop rows: only what each may see changes, the cache stays as it is."""
        self._visible, self._lengths = self._visible[rows], self._lengths[rows]
        self.prompts = [self.prompts[row] for row in rows.tolist()]
        self.voice.keep(rows)


class PairStepper:
    """Decodes a batch of encoder–decoder examples; the contexts are encoded once."""

    def __init__(
        self,
        backbone: PairBackbone,
        examples: Sequence[Example],
        copies: int,
        voices: Voices | None = None,
    ) -> None:
        self._backbone = backbone
        batch = backbone.collate(backbone.rows(examples), examples)
        assert batch.source is not None
        assert batch.source_mask is not None
        self.prompts = [
            row[mask.bool()].tolist() for row, mask in zip(batch.source, batch.source_mask, strict=True)
        ]
        self.prompts = [prompt for prompt in self.prompts for _ in range(copies)]
        encoder = backbone.model.get_encoder()
        states = encoder(input_ids=batch.source, attention_mask=batch.source_mask).last_hidden_state
        rows = torch.arange(len(examples), device=states.device)
        context = backbone.sources(states, batch.source, batch.source_mask, rows)
        self.voice = _voice(backbone, voices, context, examples, copies)
        self._states = BaseModelOutput(last_hidden_state=states.repeat_interleave(copies, dim=0))
        self._source_mask: Tensor = batch.source_mask.repeat_interleave(copies, dim=0)
        self.start = batch.ids[0, 0]
        self._cache: Any = None

    def first(self) -> Tensor:
        """Scores of the first position, (B, V)."""
        return self.next(self.start.expand(len(self.prompts)))

    def next(self, tokens: Tensor) -> Tensor:
        """Scores after `tokens` (B,) were said, (B, V)."""
        output = self._backbone.model.base_model(
            attention_mask=self._source_mask,
            encoder_outputs=self._states,
            decoder_input_ids=tokens[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = output.past_key_values
        return self.voice.scores(output.last_hidden_state[:, -1])

    def keep(self, rows: Tensor) -> None:
        """Reorder or drop rows, in the cache too."""
        if rows.tolist() == list(range(len(self.prompts))):
            return
        states: Any = self._states.last_hidden_state
        self._states = BaseModelOutput(last_hidden_state=states[rows])
        self._source_mask = self._source_mask[rows]
        self._cache.reorder_cache(rows)
        self.prompts = [self.prompts[row] for row in rows.tolist()]
        self.voice.keep(rows)


def _decode(
    backbone: Backbone,
    stepper: Stepper,
    examples: Sequence[Example],
    decoding: Decoding,
    policy: StrategyPolicy,
    chance: Tensor,
) -> list[Reply]:
    """One reply per row of the stepper."""
    golds = [example.strategy for example in examples for _ in range(decoding.n)]
    strategies, beliefs, scores = _begin(backbone, stepper, golds, decoding, policy, chance[:, 0])
    if isinstance(decoding, DiverseDecoding):
        from hearten.lm.diverse import diverse_words  # it stands on this module

        labels = backbone.renderer.labels
        named = [backbone.renderer.strategy_id(s) for s in strategies if labels is not None and s is not None]
        said, logprob = diverse_words(backbone, stepper, scores, decoding, named)
    else:
        said, logprob = _words(backbone, stepper, scores, decoding, chance[:, 1:])
    tokenizer = backbone.renderer.tokenizer
    return [
        Reply(
            text=str(tokenizer.decode(words, skip_special_tokens=True)).strip(),
            strategy=strategy,
            probabilities=belief,
            score=mean,
        )
        for words, mean, strategy, belief in zip(said, logprob, strategies, beliefs, strict=True)
    ]


def _begin(
    backbone: Backbone,
    stepper: Stepper,
    golds: Sequence[Strategy | None],
    decoding: Decoding,
    policy: StrategyPolicy,
    chance: Tensor,
) -> tuple[Sequence[Strategy | None], Sequence[dict[str, float] | None], Tensor]:
    """Strategies, beliefs about them, and the scores of the first word, of every row."""
    voice, ids = stepper.voice, backbone.strategy_ids
    tokens = backbone.renderer.labels is not None  # the strategy is said before the words
    nothing = [None] * len(golds)
    if voice.labels is None:
        return nothing, nothing, stepper.first()
    first = stepper.first() if tokens else None
    logprobs = voice.beliefs()
    if logprobs is None:
        assert first is not None, "a system without strategy tokens has beliefs of its own"
        logprobs = first[:, ids].float().log_softmax(-1)  # (B, K)
    own = policy.kind in ("sampled", "argmax")
    how = policy.model_copy(update={"kind": "argmax"}) if own and voice.mixes else policy
    names = list(voice.labels)
    places = _choose(logprobs, how, decoding, names, golds, chance)
    voice.steer(None if own and voice.mixes else places)
    strategies = [names[place] for place in places.tolist()]
    beliefs = [
        {s.name: round(p, 5) for s, p in zip(names, row, strict=True)} for row in logprobs.exp().tolist()
    ]
    return strategies, beliefs, stepper.next(ids[places]) if tokens else stepper.first()


def _choose(
    logprobs: Tensor,
    policy: StrategyPolicy,
    decoding: Decoding,
    names: Sequence[Strategy],
    golds: Sequence[Strategy | None],
    chance: Tensor,
) -> Tensor:
    """The place of the chosen strategy in the label set, (B,)."""
    if policy.kind == "gold":
        order = {strategy.name: place for place, strategy in enumerate(names)}
        return torch.tensor([lookup(order, str(gold), "strategy") for gold in golds], device=logprobs.device)
    if policy.kind == "planner":
        raise UsageError("a planner chooses before decoding begins", fix="models.planner.decoding.generate")
    if policy.kind == "random":
        weights = _by_strategy(policy.distribution, names, 0.0 if policy.distribution else 1.0)
        return _pick(weights.expand(len(golds), -1), chance).to(logprobs.device)
    biased = logprobs + _by_strategy(policy.bias, names, 0.0).to(logprobs.device)
    if policy.kind == "argmax":
        return biased.argmax(-1)
    return _draw(biased, decoding, chance)


def _by_strategy(values: dict[str, float] | None, names: Sequence[Strategy], default: float) -> Tensor:
    """`values` in the label set's order, (K,); a name outside it is refused with the nearest."""
    table = {strategy.name: default for strategy in names}
    for name, value in (values or {}).items():
        lookup(table, name, "strategy")
        table[name] = value
    return torch.tensor(list(table.values()), dtype=torch.float64)


def _words(
    backbone: Backbone, stepper: Stepper, scores: Tensor, decoding: Decoding, chance: Tensor
) -> tuple[list[list[int]], list[float]]:
    """The words of every row until its end token, and their mean log-probability (the end's included)."""
    end, size = backbone.renderer.end_id, len(stepper.prompts)
    said: list[list[int]] = [[] for _ in range(size)]
    total, length_of = torch.zeros(size), torch.zeros(size)
    seen = torch.zeros_like(scores, dtype=torch.bool)
    for row, prompt in enumerate(stepper.prompts):
        seen[row, prompt] = True
    going = torch.ones(size, dtype=torch.bool, device=scores.device)
    for length in range(decoding.max_tokens):
        scores = scores.float().index_fill(-1, backbone.strategy_ids, float("-inf"))
        allowed = scores
        if length < decoding.min_tokens:
            allowed = scores.index_fill(-1, torch.tensor([end], device=scores.device), float("-inf"))
        tokens = _draw(_penalise(allowed, seen, decoding.repetition_penalty), decoding, chance[:, length])
        gained = scores.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
        total += torch.where(going, gained, 0.0).cpu()
        length_of += going.cpu()
        going = going & (tokens != end)
        for row in going.nonzero()[:, 0].tolist():
            said[row].append(int(tokens[row]))
        if not going.any():
            break
        seen[torch.arange(size), tokens] = True
        scores = stepper.next(tokens)
    return said, (total / length_of).tolist()


def _penalise(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Keskar et al. 2019: words already seen become less likely."""
    if penalty == 1.0:
        return scores
    return torch.where(seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)


def _draw(scores: Tensor, decoding: Decoding, chance: Tensor) -> Tensor:
    """One token per row, (B,): temperature, then top-k, then top-p (Holtzman et al. 2019).

    `chance` (B,) holds a uniform number for each row.
    """
    if decoding.temperature == 0:
        return scores.argmax(-1)
    count = min(decoding.top_k or scores.shape[-1], scores.shape[-1])
    top, places = (scores.float() / decoding.temperature).topk(count, dim=-1)  # sorted, (B, k)
    probabilities = top.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities.masked_fill(before >= decoding.top_p, 0.0)
    drawn = _pick(kept, chance).to(scores.device)
    return places.gather(-1, drawn[:, None])[:, 0]


def _pick(weights: Tensor, chance: Tensor) -> Tensor:
    """The place (B,) that a uniform number (B,) falls on when `weights` (B, K) share out [0, 1)."""
    edges = weights.cpu().double().cumsum(-1)
    place = torch.searchsorted(edges, (chance * edges[:, -1])[:, None], right=True)[:, 0]
    last = (weights.cpu() > 0).int().cumsum(-1).argmax(-1)  # rounding never passes the last that weighs
    return torch.minimum(place, last)
