"""Attention as two matrix products and a softmax, for processors that multiply bf16 natively.

torch's fused kernel for the CPU works at fp32's speed on such a processor, and slower still behind a mask;
plain products run at bf16's (`benchmarks/attention.py`). Key and value heads that several query heads share
are not repeated: the queries of a group are rows of one product. What it costs is memory, a score for every
pair of ids and head, which rows of a thousand ids can afford.

`implementation` says which attention a model is to be opened with.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from hearten.lm.hardware import native_bf16

NAME = "hearten_products"
"""How the library knows it."""


def products(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_others: Any,
) -> tuple[Tensor, None]:
    """softmax(q kᵀ s + mask) v, in the signature of the library's attention functions.

    Args:
        module: the layer's attention; tells whether it is in training.
        query: (B, A, T, D).
        key: (B, K, S, D), each of its heads for A/K of the query's.
        value: (B, K, S, D).
        attention_mask: added to the scores, (B or 1, 1, T, S); it tells what is causal.
        scaling: s; the root of D below one unless told.
        dropout: of the weights.

    Returns:
        What is heard, (B, T, A, D), and no weights.
    """
    batch, heads, length, size = query.shape
    shared, seen = key.shape[1], key.shape[2]
    scaled = query * (size**-0.5 if scaling is None else scaling)  # fewer numbers than the scores
    grouped = scaled.reshape(batch, shared, heads // shared * length, size)
    scores = (grouped @ key.transpose(-1, -2)).view(batch, heads, length, seen)
    if attention_mask is not None:
        scores = scores + attention_mask[..., :seen].to(scores.dtype)
    weights = functional.dropout(scores.softmax(-1).to(value.dtype), dropout, module.training)
    heard = weights.view(batch, shared, heads // shared * length, seen) @ value
    return heard.view(batch, heads, length, size).transpose(1, 2), None


AttentionInterface.register(NAME, products)
AttentionMaskInterface.register(NAME, eager_mask)


def implementation(device: torch.device) -> str | None:
    """The attention that is quickest on `device`; None leaves the choice to the library."""
    return NAME if device.type == "cpu" and native_bf16() else None
