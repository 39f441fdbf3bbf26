"""Which parameters of a pretrained decoder-only model learn: all of them, or a few that are added.

- `full`: everything.
- `lora`: a low-rank update of every linear layer (Hu et al. 2021), by peft.
- `adapter-v1`: prompts in the attention of each layer, behind a gate that starts at zero (Zhang et
  al. 2023), by peft.
- `adapter-v2`: such prompts, a scale and a bias on every linear layer, and the norms (Gao et al. 2023); ours.

Every adapter leaves the model's function as it was before the first step, and beside it the rows of the
strategy tokens learn. Only LoRA is a change of weights: the prompts are not, so a model that has them cannot
be written as GGUF (`unmergeable` says why).

It knows nothing about text, batches or losses. `[model.backbone.adapter]` of a recipe is an `AdapterConfig`.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import rotate_half
from transformers.pytorch_utils import Conv1D

from hearten.core.config import Config
from hearten.core.errors import UsageError
from hearten.lm.learned import learn_rows, merge_rows

OPTIONS: dict[str, tuple[str, ...]] = {
    "full": (),
    "lora": ("layers", "rank", "alpha", "dropout", "modules"),
    "adapter-v1": ("layers", "prompts"),
    "adapter-v2": ("layers", "prompts"),
}
"""Kind → the options it has; another kind's option is refused, not ignored."""


class AdapterConfig(Config):
    """How a pretrained model is tuned; see `OPTIONS` for what belongs to which kind."""

    kind: Literal["lora", "adapter-v1", "adapter-v2", "full"] = "lora"
    layers: Annotated[int, Field(ge=1)] | None = None
    """Adapt only so many of the last layers: no gradient goes below them, which saves a third of a step."""
    rank: Annotated[int, Field(ge=1)] = 16
    alpha: int = 32
    dropout: float = 0.0
    modules: Literal["all", "attention"] = "all"
    """Every linear layer, or the attention's query, key, value and output alone."""
    prompts: Annotated[int, Field(ge=1)] = 10
    """Learnt prompts in each adapted layer (10 in both papers)."""

    @model_validator(mode="after")
    def _options_of_the_kind(self) -> Self:
        for name, field in type(self).model_fields.items():
            if name not in ("kind", *OPTIONS[self.kind]) and getattr(self, name) != field.default:
                options = ", ".join(OPTIONS[self.kind]) or "none"
                raise UsageError(
                    f"'{name}' is no option of adapter '{self.kind}'", fix=f"its options: {options}"
                )
        return self


def adapt(model: Any, strategy_ids: Sequence[int], config: AdapterConfig) -> None:
    """Leave `model` fully trainable, or freeze it and put an adapter into it, in place.

    Args:
        model: a transformers model with its language head.
        strategy_ids: rows of the embedding that learn beside the adapter.
        config: which adapter.

    Raises:
        UsageError: this kind is not offered for this architecture.
    """
    if config.kind == "full":
        return
    if model.config.is_encoder_decoder:
        what = f"adapter '{config.kind}' is offered for decoder-only backbones"
        raise UsageError(what, fix='adapter.kind = "full"')
    layers = _layers(model)
    first = 0 if config.layers is None else max(0, len(layers) - config.layers)
    KINDS[config.kind](model, layers[first:], strategy_ids, config)
    if first:  # strategy rows then learn through the output alone
        layers[0].register_forward_pre_hook(_stop_gradient)


def unmergeable(model: Any) -> str:
    """What in the model's adapter cannot become plain weights, in a few words; empty where all can."""
    named = {name.rsplit(".", 1)[-1] for name, _ in model.named_parameters()}
    if named & {"gate", "adaption_gate"}:
        return "prompts inside its attention, which no change of weights can express"
    return ""


def fold(model: Any, dtype: torch.dtype) -> None:
    """Put into the weights what is a change of weights: the same function without the adapter's own steps.

    Prompts stay what they are. A folded model answers; it must not go on learning.

    Args:
        model: a transformers model, changed in place.
        dtype: what its linear layers compute in (`narrow`).
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    merge_rows(model)
    narrow(model.requires_grad_(False), dtype)


def narrow(model: Any, dtype: torch.dtype) -> None:
    """Keep frozen linear layers in `dtype`, what they compute in.

    Mixed precision would narrow them anew in every pass. A head tied to the embedding is parted from it.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.requires_grad:
            module.weight = nn.Parameter(module.weight.detach().to(dtype), requires_grad=False)


# --- LoRA (peft) --------------------------------------------------------------------------------------------


def _low_rank(model: Any, layers: nn.ModuleList, strategy_ids: Sequence[int], config: AdapterConfig) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    targets = [n for n in _linear_layers(model, layers) if config.modules == "all" or "attn" in n]
    recipe = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        fan_in_fan_out=isinstance(model.get_submodule(targets[0]), Conv1D),
    )
    inject_adapter_in_model(recipe, model)
    learn_rows(model, strategy_ids)


# --- LLaMA-Adapter (peft) -----------------------------------------------------------------------------------


def _prompts_v1(
    model: Any, layers: nn.ModuleList, strategy_ids: Sequence[int], config: AdapterConfig
) -> None:
    """One gate a layer, by peft, which wraps the attention modules in place."""
    from peft import AdaptionPromptConfig
    from peft.tuners.adaption_prompt import AdaptionPromptModel

    _require_llama(model, config)
    recipe = AdaptionPromptConfig(
        task_type="CAUSAL_LM", adapter_len=config.prompts, adapter_layers=len(layers)
    )
    AdaptionPromptModel(model, {"default": recipe}, "default")  # it freezes everything but its own
    learn_rows(model, strategy_ids)


# --- LLaMA-Adapter V2 ---------------------------------------------------------------------------------------


class ScaledLinear(nn.Module):
    """y = s ⊙ (W x + b) around a frozen linear layer (Gao et al. 2023, 3.1): at first s = 1, b = 0.

    Args:
        inner: the linear layer.
        size: how many features it gives.
    """

    def __init__(self, inner: nn.Module, size: int) -> None:
        super().__init__()
        self.inner = inner
        self.bias = nn.Parameter(torch.zeros(size))
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, features: Tensor) -> Tensor:
        """(…, in) → (…, size)."""
        linear: Tensor = self.inner(features)
        return (linear + self.bias) * self.scale


class PromptedAttention(nn.Module):
    """Attention that also hears learnt prompts: a softmax over them alone, times a gate per head.

    The gates start at zero (Zhang et al. 2023, section 3.2), so at first nothing is heard. A gate per head
    and no tanh, as in lit-llama, with which ExTES was tuned. The prompts stand at no position.

    Args:
        inner: the layer's own attention (LLaMA's modules and names).
        prompts: how many.
    """

    def __init__(self, inner: Any, prompts: int) -> None:
        super().__init__()
        self.inner = inner
        self.prompts = nn.Parameter(torch.randn(prompts, inner.config.hidden_size))
        self.gate = nn.Parameter(torch.zeros(inner.config.num_attention_heads))

    def forward(
        self, hidden_states: Tensor, position_embeddings: tuple[Tensor, Tensor], **others: Any
    ) -> tuple[Tensor, Any]:
        """What the layer's own attention answers for (B, T, H), and what the prompts add to it."""
        said, weights = self.inner(
            hidden_states=hidden_states, position_embeddings=position_embeddings, **others
        )
        return said + self._heard(hidden_states, position_embeddings), weights

    def _heard(self, hidden: Tensor, position_embeddings: tuple[Tensor, Tensor]) -> Tensor:
        """What the prompts say to each position, (B, T, H)."""
        inner, size = self.inner, len(hidden)
        cos, sin = (each[:, None] for each in position_embeddings)  # (B, 1, T, D)
        query = self._heads(inner.q_proj(hidden))  # (B, A, T, D)
        query = query * cos + rotate_half(query) * sin
        key = self._heads(inner.k_proj(self.prompts)[None]).expand(size, -1, -1, -1)  # (B, K, P, D)
        value = self._heads(inner.v_proj(self.prompts)[None]).expand(size, -1, -1, -1)
        heard = functional.scaled_dot_product_attention(
            query, key.to(query.dtype), value.to(query.dtype), scale=inner.scaling, enable_gqa=True
        )
        gated = (heard * self.gate[:, None, None].to(heard.dtype)).transpose(1, 2).flatten(2)  # (B, T, A·D)
        projected: Tensor = inner.o_proj(gated)
        constant: Tensor = inner.o_proj(gated.new_zeros(gated.shape[-1]))
        return projected - constant  # the layer's own attention has added its bias already

    def _heads(self, features: Tensor) -> Tensor:
        """(B, T, heads·D) → (B, heads, T, D)."""
        return features.view(*features.shape[:-1], -1, self.inner.head_dim).transpose(1, 2)


def _prompts_v2(
    model: Any, layers: nn.ModuleList, strategy_ids: Sequence[int], config: AdapterConfig
) -> None:
    """Scales and biases on every linear layer and the head, trained norms, gated prompts."""
    _require_llama(model, config)
    vocabulary = len(model.get_input_embeddings().weight)
    names = _linear_layers(model, layers)
    model.requires_grad_(False)
    learn_rows(model, strategy_ids)
    for name in names:
        linear = model.get_submodule(name)
        model.set_submodule(name, ScaledLinear(linear, linear.out_features))
    model.lm_head = ScaledLinear(model.lm_head, vocabulary)
    layer: Any
    for layer in layers:
        layer.self_attn = PromptedAttention(layer.self_attn, config.prompts)
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight.requires_grad_(True)
    model.base_model.norm.weight.requires_grad_(True)


Maker = Callable[[Any, nn.ModuleList, Sequence[int], AdapterConfig], None]
KINDS: dict[str, Maker] = {"lora": _low_rank, "adapter-v1": _prompts_v1, "adapter-v2": _prompts_v2}


# --- what they share ----------------------------------------------------------------------------------------


def _require_llama(model: Any, config: AdapterConfig) -> None:
    if model.config.model_type != "llama":
        what = f"adapter '{config.kind}' is offered for the LLaMA family, not for '{model.config.model_type}'"
        raise UsageError(what, fix='adapter.kind = "lora" or "full"')


def _layers(model: Any) -> nn.ModuleList:
    """The model's layers, lowest first: GPT-2 calls them `h`."""
    body = model.base_model
    layers: nn.ModuleList = body.layers if hasattr(body, "layers") else body.h
    return layers


def _linear_layers(model: Any, layers: nn.ModuleList) -> list[str]:
    """Names of all linear modules in `layers`; GPT-2's are `Conv1D`."""
    inside = {id(m) for layer in layers for m in layer.modules() if isinstance(m, nn.Linear | Conv1D)}
    return [name for name, module in model.named_modules() if id(module) in inside]


def _stop_gradient(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].detach(), *inputs[1:])
