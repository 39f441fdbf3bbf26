"""What the systems without a pretrained model stand on: a vocabulary of their own, and a small Transformer.

Shapes and sizes are those of the public code from which Transformer, MoEL and MIME come (300 wide, two
heads of 20, convolutions of width 3 as feed-forward, sinusoids, pre-norm). `literal` keeps its quirk of a
second ReLU behind the last convolution. Nothing is padded into a result: positions that are not there are
zeroed before every convolution.

The model speaks the library's encoder–decoder interface as far as `lm.decode` uses it, so training,
likelihoods and decoding are the ones every system has. Its "cache" is the ids said so far: at this size
reading them again is cheap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.errors import Failure
from hearten.core.records import Example
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, PairBackbone
from hearten.lm.render import Row
from hearten.models.system import SystemConfig

SPECIALS = ("<unk>", "<pad>", "<eos>", "<sos>", "<usr>", "<sys>", "<cls>")


class ScratchConfig(SystemConfig):
    """Sizes of the small Transformer; the defaults are the public code's README."""

    backbone: BackboneConfig = BackboneConfig(
        name="scratch", context_limit=256, reply_limit=64, adapter=AdapterConfig(kind="full")
    )
    width: int = 300
    layers: int = 1
    heads: int = 2
    depth: int = 40
    """Of all keys together, and of all values."""
    inner: int = 50
    dropout: float = 0.0
    smoothing: float = 0.1
    vocabulary: Literal["words", "subwords"] = "words"
    least: int = 2
    """How often a word must occur to be in the vocabulary."""
    subwords: int = 8000
    vectors: str = ""
    """A GloVe text file as wide as the model; empty starts from chance."""
    literal: bool = False
    tokenizer: str = ""
    """The vocabulary, as the tokenizers library writes it; filled in from the training examples."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """`states` (B, S, H) of the context; `memory`, what the decoder reads; `told` is the system's own."""

    states: Tensor
    memory: Tensor
    told: Any = None


def learn_tokenizer(texts: Sequence[str], config: ScratchConfig) -> str:
    """A vocabulary of lower-cased words, or of sub-words, learned from `texts`, as JSON."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    words = config.vocabulary == "words"
    inner = Tokenizer(models.WordLevel(unk_token="<unk>") if words else models.BPE(unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    if words:
        inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordLevelTrainer(min_frequency=config.least, special_tokens=list(SPECIALS))
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=config.subwords, special_tokens=list(SPECIALS), show_progress=False
        )
    inner.train_from_iterator(texts, trainer)
    return str(inner.to_str())


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Timing signal (length, width): sines, then cosines."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=device) * -(math.log(10_000) / max(1, half - 1)))
    angles = torch.arange(length, device=device)[:, None] * rates
    return functional.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, width - 2 * half))


class Attention(nn.Module):
    """Multi-head attention whose keys and values may be narrower than the model; no biases."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, depth, bias=False) for _ in range(3))
        self.out = nn.Linear(depth, width, bias=False)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """(B, T, H), (B, S, H), (B, 1 or T, S) → (B, T, H)."""

        def split(states: Tensor) -> Tensor:
            return states.reshape(*states.shape[:-1], self.heads, -1).transpose(1, 2)

        asked, keys, values = split(self.query(queries)), split(self.key(memory)), split(self.value(memory))
        found = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=mask[:, None])
        result: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return result


class Convolutions(nn.Module):
    """Two convolutions of width 3, a ReLU between (and, if `literal`, behind); `causal` looks back only."""

    def __init__(self, width: int, inner: int, *, causal: bool, literal: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(width, inner, 3), nn.Conv1d(inner, width, 3)
        self.sides, self.literal = ((2, 0) if causal else (1, 1)), literal

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """(B, T, H), (B, T, 1) → (B, T, H)."""
        middle = torch.relu(self._over(self.first, states * there))
        result: Tensor = self._over(self.second, middle * there)
        return torch.relu(result) if self.literal else result

    def _over(self, layer: nn.Module, states: Tensor) -> Tensor:
        found: Tensor = layer(functional.pad(states.transpose(1, 2), self.sides))
        return found.transpose(1, 2)


class Layer(nn.Module):
    """A pre-norm layer; with `crossed`, one that also attends to a memory and looks back only."""

    def __init__(self, config: ScratchConfig, *, crossed: bool) -> None:
        super().__init__()
        width = config.width
        self.attend = Attention(width, config.depth, config.heads)
        self.cross = Attention(width, config.depth, config.heads) if crossed else None
        self.feed = Convolutions(width, config.inner, causal=crossed, literal=config.literal)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if crossed else 2))
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, states: Tensor, mask: Tensor, memory: Tensor | None = None, seen: Tensor | None = None
    ) -> Tensor:
        """(B, T, H) with `mask` (B, 1 or T, T); `memory` (B, S, H) with `seen` (B, 1, S) → (B, T, H)."""
        there = mask.any(1).unsqueeze(-1).to(states.dtype)  # (B, T, 1)
        normed = self.norms[0](states)
        states = states + self.drop(self.attend(normed, normed, mask))
        if self.cross is not None:
            assert memory is not None
            assert seen is not None
            states = states + self.drop(self.cross(self.norms[1](states), memory, seen))
        fed: Tensor = states + self.drop(self.feed(self.norms[-1](states), there))
        return fed


class Encoder(nn.Module):
    """Layers over a context, and a last norm."""

    def __init__(self, config: ScratchConfig, *, fed: int | None = None) -> None:
        super().__init__()
        width = config.width
        self.enter = nn.Linear(fed or width, width, bias=False)
        self.layers = nn.ModuleList(Layer(config, crossed=False) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, S, fed), (B, S) → (B, S, H)."""
        states = self.enter(states)
        states = states + sinusoids(states.shape[1], states.shape[2], states.device)
        for layer in self.layers:
            states = layer(states, mask[:, None].bool())
        normed: Tensor = self.norm(states)
        return normed


class ScratchModel(nn.Module):
    """Embeddings, an encoder, a decoder and a generator, behind the interface of a library model."""

    def __init__(self, config: ScratchConfig, vocabulary: int, roles: tuple[int, int]) -> None:
        super().__init__()
        self.sizes, self.roles = config, roles
        self.config = SimpleNamespace(
            d_model=config.width, hidden_size=config.width, model_type="scratch", is_encoder_decoder=True
        )
        self.embedding = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        self.encoder = Encoder(config)
        self.enter = nn.Linear(config.width, config.width, bias=False)
        self.decoder = nn.ModuleList(Layer(config, crossed=True) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.generator = nn.Linear(config.width, vocabulary)

    @property
    def base_model(self) -> "ScratchModel":
        """The library's name for a model without its vocabulary scores."""
        return self

    def get_output_embeddings(self) -> nn.Module:
        """From states to vocabulary scores."""
        return self.generator

    def get_encoder(self) -> Any:
        """Ids and mask → an object whose `last_hidden_state` is what the decoder attends to."""
        return lambda input_ids, attention_mask: SimpleNamespace(
            last_hidden_state=self.encode(input_ids, attention_mask).memory
        )

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) → (B, T, H)."""
        vectors: Tensor = self.embedding(ids) * self.sizes.width**0.5
        return vectors

    def speakers(self, ids: Tensor) -> Tensor:
        """Whose turn each id stands in: the last speaker's token before it, (B, S); the first id's own."""
        named = (ids == self.roles[0]) | (ids == self.roles[1])
        places = torch.arange(ids.shape[1], device=ids.device) * named
        return ids.gather(1, places.cummax(dim=1).values)

    def encode(self, ids: Tensor, mask: Tensor, gold: Tensor | None = None) -> Encoded:
        """(B, S) → states of the context; `gold` (B,) is what training tells of the emotion, -1 unknown."""
        states = self.encoder(self.embed(ids) + self.embed(self.speakers(ids)), mask)
        return Encoded(states, states)

    def decode(self, memory: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
        """States (B, T, H) after each of `ids` (B, T)."""
        states, seen = self.begin(ids), mask[:, None].bool()
        for layer in self.decoder:
            states = layer(states, backwards(ids), memory, seen)
        normed: Tensor = self.norm(states)
        return normed

    def begin(self, ids: Tensor) -> Tensor:
        """Embedded, projected and timed: (B, T) → (B, T, H)."""
        states = self.enter(self.embed(ids))
        timed: Tensor = states + sinusoids(states.shape[1], states.shape[2], states.device)
        return timed

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Tensor | None = None,
        **_: Any,
    ) -> Any:
        """As the library's models; `past_key_values` are the ids that were said."""
        assert attention_mask is not None
        assert decoder_input_ids is not None
        if encoder_outputs is None:
            assert input_ids is not None
            encoded = self.encode(input_ids, attention_mask)
            memory, states = encoded.memory, encoded.states
        else:
            memory = states = encoder_outputs.last_hidden_state
        said = decoder_input_ids
        if past_key_values is not None:
            said = torch.cat([past_key_values, said], dim=1)
        return SimpleNamespace(
            last_hidden_state=self.decode(memory, attention_mask, said),
            encoder_last_hidden_state=states,
            past_key_values=said,
        )


def backwards(ids: Tensor) -> Tensor:
    """A mask (B, T, T) that lets every place see itself and what stands before it."""
    length = ids.shape[1]
    return torch.ones(length, length, dtype=torch.bool, device=ids.device).tril().expand(len(ids), -1, -1)


class ScratchBackbone(PairBackbone):
    """The small Transformer as a backbone; every context begins with the class token."""

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """One row per example."""
        start = int(self.renderer.tokenizer.get_vocab()["<cls>"])
        return [Row(row.ids, row.targets, source=[start, *row.source]) for row in super().rows(examples)]


def smoothed(logits: Tensor, gold: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy against `gold` (N,) with some of its mass spread evenly over all words."""
    if not len(gold):
        return logits.sum() * 0.0
    return functional.cross_entropy(logits.float(), gold, label_smoothing=smoothing)


@torch.no_grad()
def place_vectors(file: Path, embedding: nn.Embedding, vocabulary: dict[str, int]) -> int:
    """Copy the vectors of known words from a GloVe text file into an embedding; returns how many.

    Raises:
        Failure: no such file, or its vectors are not as wide as the embedding.
    """
    if not file.is_file():
        raise Failure(
            "no word vectors here", where=str(file), fix="name a GloVe text file, or leave it empty"
        )
    placed, width = 0, embedding.embedding_dim
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip("\n").split(" ")
            if len(values) != width:
                what = f"a vector of {len(values)} numbers; the model is {width} wide"
                raise Failure(what, where=f"{file}, line {number}", fix=f"model.width = {len(values)}")
            if word in vocabulary:
                vector = torch.tensor([float(value) for value in values])
                embedding.weight[vocabulary[word]] = vector
                placed += 1
    return placed
