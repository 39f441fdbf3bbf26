"""Write a LLaMA-class model with its tokenizer as one GGUF file, for fast chat on a CPU.

Export merges the adapters, permutes the rotary projections into llama.cpp's layout and quantises the
matrices. The tokenizer must be a byte-level BPE (as the embedded model's and GPT-2's are): its vocabulary,
merges and the added strategy tokens go into the file.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hearten.core.errors import UsageError
from hearten.core.registry import lookup
from hearten.lm.adapters import unmergeable

QUANTISATIONS = {"q8_0": "Q8_0", "q4_1": "Q4_1", "f16": "F16"}
"""Name → GGML type of the matrices. `q8_0` is within rounding of the trained weights."""

NORMAL, CONTROL = 1, 3
"""GGUF token types."""


def export_gguf(model: Any, tokenizer: Any, path: Path, *, quantisation: str = "q8_0") -> Path:
    """Write `model` (a transformers LLaMA, adapters merged) and `tokenizer` to `path`, whole or not at all.

    Raises:
        UsageError: another architecture or kind of tokenizer, or an unknown quantisation.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    kind = GGMLQuantizationType[lookup(QUANTISATIONS, quantisation, "quantisation")]
    reason = refusal(model)
    if reason:
        what = f"a model with {reason} is not exported to GGUF"
        raise UsageError(what, fix="chat with the run folder: it answers through torch")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(beside, "llama")
    _write_shape(writer, model.config)
    _write_tokenizer(writer, tokenizer, model.config.vocab_size)
    for name, values in _tensors(model):
        if values.ndim == 1:
            writer.add_tensor(name, values.astype(np.float32))
        else:
            stored = (
                GGMLQuantizationType.Q8_0 if name == "token_embd.weight" and quantisation != "f16" else kind
            )
            writer.add_tensor(name, quants.quantize(values.astype(np.float32), stored), raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def refusal(model: Any) -> str:
    """What of `model` GGUF would lose or get wrong without a word, in a few words; empty where nothing."""
    config = model.config
    if config.model_type != "llama":
        return f"the architecture '{config.model_type}'"
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    unusual = {
        "attention_bias": bool(getattr(config, "attention_bias", False)),
        "mlp_bias": bool(getattr(config, "mlp_bias", False)),
        f"rope_type '{rope.get('rope_type')}'": rope.get("rope_type", "default") != "default",
        f"head_dim {head}": head * config.num_attention_heads != config.hidden_size,
    }
    return next((name for name, present in unusual.items() if present), "") or unmergeable(model)


def _write_shape(writer: Any, config: Any) -> None:
    heads = config.num_attention_heads
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    writer.add_name("hearten")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // heads)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _write_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    if described["model"]["type"] != "BPE" or "ByteLevel" not in json.dumps(described["pre_tokenizer"]):
        what = "only byte-level BPE tokenizers are exported to GGUF"
        raise UsageError(what, fix="chat with the run folder: it answers through torch")
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    special = {row["id"] for row in described["added_tokens"] if row["special"]}
    splits_digits = "Digits" in json.dumps(described["pre_tokenizer"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm" if splits_digits else "gpt-2")
    writer.add_token_list([by_id.get(number, f"<unused{number}>") for number in range(size)])
    writer.add_token_types([CONTROL if n in special or n not in by_id else NORMAL for n in range(size)])
    merges = described["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


PER_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""transformers' names inside a layer → GGUF's."""


def _tensors(model: Any) -> list[tuple[str, np.ndarray]]:
    """(GGUF name, values) of every weight, adapters merged."""
    config = model.config
    found = [
        ("token_embd.weight", _numpy(model.get_input_embeddings().weight)),
        ("output_norm.weight", _numpy(model.base_model.norm.weight)),
    ]
    if not config.tie_word_embeddings:
        found.append(("output.weight", _merged(model.get_output_embeddings())))
    for number, layer in enumerate(model.base_model.layers):
        for theirs, ours in PER_LAYER.items():
            values = _merged(layer.get_submodule(theirs))
            if ours in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads
                values = _permute(values, heads)
            found.append((f"blk.{number}.{ours}.weight", values))
    return found


def _permute(values: np.ndarray, heads: int) -> np.ndarray:
    """Rotary halves (transformers) → rotary pairs (llama.cpp), per head."""
    rows = values.shape[0]
    return values.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(values.shape)


def _merged(module: Any) -> np.ndarray:
    """A linear module's weight with its low-rank update added."""
    if hasattr(module, "get_delta_weight") and not module.merged:
        return _numpy(module.get_base_layer().weight + module.get_delta_weight("default"))
    return _numpy(module.weight)


def _numpy(tensor: Any) -> np.ndarray:
    values: np.ndarray = tensor.detach().float().cpu().numpy()
    return values
