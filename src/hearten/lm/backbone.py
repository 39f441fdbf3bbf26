"""A pretrained model behind one face, whether decoder-only or encoder–decoder.

A `Backbone` answers three questions: how examples become rows (`rows`), what the decoder's hidden states
are where something is to be predicted (`hidden`), and what the vocabulary scores are there (`logits`).
A system that fuses emotion or knowledge puts its layers between the last two and runs on any backbone.

Logits are computed only where there is something to learn: on a CPU that, and training a whole
conversation in one pass, is most of the speed.

`open_backbone("embedded")` works anywhere; published models (`blenderbot-small`, `dialogpt-small`, …) are
read from a local folder in the hub's layout, and a missing one says what to fetch and where to put it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.modeling_outputs import BaseModelOutput

from hearten.core.config import Config
from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.places import cache_folder
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.lm.adapters import AdapterConfig, adapt, fold, narrow
from hearten.lm.attention import implementation
from hearten.lm.context import Context
from hearten.lm.embedded import embedded_folder, quiet_libraries
from hearten.lm.hardware import native_bf16
from hearten.lm.render import Renderer, Row
from hearten.lm.tree import Branch, additive, flatten


@dataclass(frozen=True, slots=True)
class Published:
    """A published model: where it comes from and what it takes."""

    repository: str
    megabytes: int
    licence: str


PUBLISHED: dict[str, Published] = {
    "blenderbot-small": Published("facebook/blenderbot_small-90M", 350, "Apache-2.0"),
    "dialogpt-small": Published("microsoft/DialoGPT-small", 350, "MIT"),
    "dialogpt-medium": Published("microsoft/DialoGPT-medium", 860, "MIT"),
    "bart-base": Published("facebook/bart-base", 560, "Apache-2.0"),
    "open-llama-7b": Published("openlm-research/open_llama_7b", 13500, "Apache-2.0"),
}
"""Backbones of the four papers by short name."""


class BackboneConfig(Config):
    """Which pretrained model, and how text is cut for it."""

    name: str = "embedded"
    """`embedded`, a published short name, or a folder in Hugging Face layout."""
    situation: bool = False
    """Show the seeker's situation text; ESConv's supporters did not see it."""
    window: Annotated[int, Field(ge=2)] = 1024
    """Decoder-only: longest row in ids."""
    overlap: Annotated[int, Field(ge=1)] = 256
    """Decoder-only: context a later piece of a long conversation keeps."""
    context_limit: int = 160
    """Encoder–decoder: last ids of the context that are kept (codes_zcj)."""
    reply_limit: int = 41
    """Encoder–decoder: ids of a reply with its strategy and end token (codes_zcj)."""
    depth: Annotated[int, Field(ge=1)] | None = None
    """Decoder-only: keep only the first so many layers; a rater needs little of what the last ones know."""
    adapter: AdapterConfig = AdapterConfig()

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap >= self.window:
            what = f"an overlap of {self.overlap} leaves no room in a window of {self.window}"
            raise UsageError(what, fix=f"overlap = {self.window // 4}")
        return self


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded rows and the list of what is to be predicted in them.

    Shapes: `ids`, `mask` (B, T); `source`, `source_mask` (B, S) or None; the targets are flat (N,): the row
    and place whose hidden state predicts, the id to predict, whether it names a strategy, and the example
    (an index into `examples`) it belongs to. Where rows fork, `mask` (B, 1, T, T) is added to attention
    scores, and `positions` (B, T) tells how far each id stands from its row's start.
    """

    ids: Tensor
    mask: Tensor
    source: Tensor | None
    source_mask: Tensor | None
    target_rows: Tensor
    target_places: Tensor
    target_ids: Tensor
    is_strategy: Tensor
    example_of: Tensor
    examples: tuple[Example, ...]
    features: Any = None
    """What a system adds about the examples."""
    positions: Tensor | None = None


class Backbone(nn.Module, ABC):
    """A pretrained model with its renderer.

    Args:
        model: the transformers model (possibly wrapped by an adapter).
        renderer: text ↔ ids for its tokenizer.
        config: how text is cut.
    """

    def __init__(self, model: nn.Module, renderer: Renderer, config: BackboneConfig) -> None:
        super().__init__()
        self.model: Any = model
        self.renderer, self.config = renderer, config
        ids = torch.tensor(renderer.strategy_ids, dtype=torch.long)
        self.register_buffer("strategy_ids", ids, persistent=False)
        self.strategy_ids: Tensor

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device

    @property
    def width(self) -> int:
        """Size of a hidden state."""
        config = self.model.config
        return int(getattr(config, "hidden_size", None) or config.d_model)

    def fold(self) -> None:
        """Put the adapter into the weights, and those into the precision used here; no more learning."""
        fold(self.model, fast_dtype(self.device))

    def settle(self) -> None:
        """Keep what is frozen in the precision used here, before a run that saves only what it learns."""
        narrow(self.model, fast_dtype(self.device))

    @abstractmethod
    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """What the model is shown for `examples`; each target names its example by position."""

    @abstractmethod
    def options(self, options: Sequence[Example]) -> list[Row]:
        """Rows of alternative replies to one context, which is computed once for all of them.

        `options` differ in response and strategy alone; each target names its option by position.
        """

    @abstractmethod
    def read(self, batch: Batch) -> tuple[Tensor, Context]:
        """Decoder hidden states that predict the targets, (N, H), and the contexts before them."""

    def hidden(self, batch: Batch) -> Tensor:
        """Decoder hidden states that predict the targets, (N, H)."""
        return self.read(batch)[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores (…, V) of hidden states (…, H)."""
        scores: Tensor = self.model.get_output_embeddings()(hidden)
        bias = getattr(self.model, "final_logits_bias", None)
        return scores if bias is None else scores + bias.to(scores.dtype)

    def collate(self, rows: Sequence[Row], examples: Sequence[Example]) -> Batch:
        """Pad rows to one batch; `examples` is the sequence the rows were made from."""
        pad = int(self.renderer.tokenizer.pad_token_id or 0)
        ids, mask = _pad([row.ids for row in rows], pad, self.device)
        positions = None
        if any(row.forks for row in rows):
            mask, positions = _fork(rows, mask, self.model.dtype)
        source, source_mask = (
            _pad([row.source for row in rows], pad, self.device) if rows[0].source else (None, None)
        )
        flat = [(number, target) for number, row in enumerate(rows) for target in row.targets]
        used = sorted({target.example for _, target in flat})
        local = {example: number for number, example in enumerate(used)}

        def column(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=self.device)

        return Batch(
            ids=ids,
            mask=mask,
            source=source,
            source_mask=source_mask,
            target_rows=column([number for number, _ in flat]),
            target_places=column([rows[number].before(target.position) for number, target in flat]),
            target_ids=column([rows[number].ids[target.position] for number, target in flat]),
            is_strategy=column([target.is_strategy for _, target in flat]).bool(),
            example_of=column([local[target.example] for _, target in flat]),
            examples=tuple(examples[number] for number in used),
            positions=positions,
        )


class CausalBackbone(Backbone):
    """A decoder-only model: the context and every reply in one sequence."""

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """Rows that hold whole conversations wherever they fit."""
        return self.renderer.conversation_rows(examples, self.config.window, self.config.overlap)

    def options(self, options: Sequence[Example]) -> list[Row]:
        """One row: the context once, every reply a fork of it."""
        return [self.renderer.forked_row(options, self.config.window)]

    def read(self, batch: Batch) -> tuple[Tensor, Context]:
        """Decoder hidden states that predict the targets, (N, H), and the contexts before them."""
        output = self.model.base_model(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
        )
        states: Tensor = output.last_hidden_state  # (B, T, H)
        row, starts = first_targets(batch)
        context = self.prefixes(states, batch.ids, row, starts + 1)
        return states[batch.target_rows, batch.target_places], context

    def prefixes(self, states: Tensor, ids: Tensor, row: Tensor, lengths: Tensor) -> Context:
        """Contexts that are the first `lengths` (E,) places of `row` (E,) in `states` (B, T, H)."""
        visible = torch.arange(states.shape[1], device=ids.device) < lengths[:, None]
        return Context(states, ids == self.renderer.end_id, row, visible, causal=True)


class PairBackbone(Backbone):
    """An encoder–decoder model: the context to the encoder, the reply to the decoder."""

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example."""
        limits = (self.config.context_limit, self.config.reply_limit)
        return [self.renderer.pair_row(example, number, *limits) for number, example in enumerate(examples)]

    def options(self, options: Sequence[Example]) -> list[Row]:
        """One row a reply; `hidden` encodes their common context once."""
        return self.rows(options)

    def read(self, batch: Batch) -> tuple[Tensor, Context]:
        """Decoder hidden states that predict the targets, (N, H), and the contexts before them.

        Equal contexts are encoded once.
        """
        assert batch.source is not None
        assert batch.source_mask is not None
        both, place = torch.unique(
            torch.stack([batch.source, batch.source_mask], dim=-1), dim=0, return_inverse=True
        )
        encoded = self.model.get_encoder()(input_ids=both[..., 0], attention_mask=both[..., 1])
        read = encoded.last_hidden_state[place]
        output = self.model.base_model(
            encoder_outputs=BaseModelOutput(last_hidden_state=read),
            attention_mask=batch.source_mask,
            decoder_input_ids=batch.ids,
            decoder_attention_mask=batch.mask,
            use_cache=False,
        )
        states: Tensor = output.last_hidden_state  # (B, T, H)
        seen = (batch.source, batch.source_mask, first_targets(batch)[0])
        context = self.sources(read, *seen)
        return states[batch.target_rows, batch.target_places], context

    def sources(self, states: Tensor, ids: Tensor, mask: Tensor, row: Tensor) -> Context:
        """Contexts that are the whole of `row` (E,) in the encoder's `states` (B, S, H)."""
        return Context(states, ids == self.renderer.end_id, row, mask.bool()[row], causal=False)


def first_targets(batch: Batch) -> tuple[Tensor, Tensor]:
    """Of each example its row, and the place whose state predicts its first target there: both (E,)."""
    row = _least(batch.target_rows, batch.example_of, len(batch.examples))
    here = (
        batch.target_rows == row[batch.example_of]
    )  # the rest of a very long reply may stand in a later row
    return row, _least(batch.target_places[here], batch.example_of[here], len(batch.examples))


def _least(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """The smallest of each owner's `values`, (count,)."""
    return values.new_zeros(count).scatter_reduce(0, owners, values, "amin", include_self=False)


def open_backbone(config: BackboneConfig, labels: LabelSet | None) -> Backbone:
    """Load a pretrained model, add the strategy tokens of `labels` and the adapter.

    Raises:
        UsageError: unknown name; Failure: the model is not on this machine (says how to get it).
    """
    quiet_libraries()
    folder = model_folder(config.name)
    shape = AutoConfig.from_pretrained(folder, local_files_only=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    pairs = bool(shape.is_encoder_decoder)
    _require_positions(shape, config, pairs)
    style = "eos" if pairs else None
    renderer = Renderer(tokenizer, labels, style=style, situation=config.situation)
    loader = AutoModelForSeq2SeqLM if pairs else AutoModelForCausalLM
    attention = None if pairs else implementation(torch.device("cpu"))
    model = loader.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, attn_implementation=attention
    )
    if config.depth is not None and not pairs:
        _shorten(model, config.depth)
    _add_strategy_rows(model, renderer)
    adapt(model, renderer.strategy_ids, config.adapter)
    return (PairBackbone if pairs else CausalBackbone)(model, renderer, config)


def _require_positions(shape: Any, config: BackboneConfig, pairs: bool) -> None:
    """Refuse texts longer than the model has positions for."""
    key, wanted = ("context_limit", config.context_limit) if pairs else ("window", config.window)
    positions = getattr(shape, "max_position_embeddings", None)
    if positions is not None and wanted > positions:
        what = f"{key} = {wanted}, but '{config.name}' has {positions} positions"
        raise UsageError(what, where=f"key backbone.{key}", fix=f"{key} = {positions}")


def model_folder(name: str) -> Path:
    """Where the weights called `name` lie: the embedded model, a folder, or a published short name.

    Raises:
        UsageError: unknown name; Failure: known, but not on this machine.
    """
    if name == "embedded":
        return embedded_folder()
    if (Path(name) / "config.json").is_file():
        return Path(name)
    if name not in PUBLISHED:
        raise UsageError(f"unknown backbone '{name}'", fix=f"a model folder, or {nearest(name, BACKBONES)}")
    place = cache_folder("models") / name
    if (place / "config.json").is_file():
        return place
    model = PUBLISHED[name]
    raise Failure(
        f"'{name}' is not on this machine ({model.repository}, {model.megabytes} MB, {model.licence})",
        where=str(place),
        fix=f"hf download {model.repository} --local-dir {place}   ('embedded' runs without any download)",
    )


BACKBONES = ("embedded", *PUBLISHED)
"""Every short name `open_backbone` knows."""


@torch.no_grad()
def _add_strategy_rows(model: Any, renderer: Renderer) -> None:
    """Give each strategy token the mean embedding of its name's own tokens, a start that means something."""
    if renderer.labels is None:
        return
    known = len(model.get_input_embeddings().weight)
    needed = len(renderer.tokenizer)
    if needed > known:
        model.resize_token_embeddings(needed, mean_resizing=False)
    table = model.get_input_embeddings().weight
    for strategy, row in zip(renderer.labels, renderer.strategy_ids, strict=True):
        name = renderer.tokenizer(" " + strategy.name, add_special_tokens=False).input_ids
        table[row] = table[name].mean(dim=0)


def _shorten(model: Any, depth: int) -> None:
    """Drop all layers above the first `depth`."""
    name = "layers" if hasattr(model.base_model, "layers") else "h"
    setattr(model.base_model, name, getattr(model.base_model, name)[:depth])
    model.config.num_hidden_layers = min(depth, model.config.num_hidden_layers)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the processor multiplies it natively, else fp32 (bf16 would be slower there)."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if native_bf16() else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """Mixed precision where it pays (see `fast_dtype`), nothing otherwise."""
    dtype = fast_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def _fork(rows: Sequence[Row], mask: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What each id may see, as an additive mask (B, 1, T, T), and its position (B, T)."""
    size = mask.shape[1]
    visible = torch.eye(size, dtype=torch.bool).repeat(len(rows), 1, 1)  # padding sees itself alone
    positions = torch.zeros(len(rows), size, dtype=torch.long)
    for number, row in enumerate(rows):
        first = row.forks[0][0] if row.forks else len(row.ids)
        branches = [Branch(row.ids[:first]), *(Branch(row.ids[a:b], 0) for a, b in row.forks)]
        flat, length = flatten(branches), len(row.ids)
        visible[number, :length, :length] = flat.visible
        positions[number, :length] = torch.tensor(flat.positions)
    return additive(visible, dtype)[:, None].to(mask.device), positions.to(mask.device)


def _pad(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[number, : len(row)] = 1
    return ids.to(device), mask.to(device)
