"""Every kind of adapter: changes nothing at first, learns everywhere, comes back, and says what it cannot."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hearten.core.errors import UsageError
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig, PromptedAttention, ScaledLinear, unmergeable
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.decode import Decoding, StrategyPolicy, generate
from hearten.lm.gguf_export import export_gguf
from hearten.models.systems.joint import Joint, JointConfig

ESCONV = label_set("esconv")
ADDED = ("lora", "adapter-v1", "adapter-v2")
KINDS = pytest.mark.parametrize("kind", ADDED)
PROMPTS = pytest.mark.parametrize("kind", ["adapter-v1", "adapter-v2"])

pytestmark = pytest.mark.usefixtures("exact")


def opened(folder, kind, labels=ESCONV, **options):
    torch.manual_seed(3)
    config = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind=kind, **options))
    return open_backbone(config, labels).eval()


@torch.no_grad()
def stir(module):
    """As after some steps: nothing that learns is zero any more."""
    torch.manual_seed(5)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@torch.no_grad()
def scores(backbone, examples, rows=None):
    batch = backbone.collate(rows or backbone.rows(examples), examples)
    return backbone.logits(backbone.hidden(batch))


@KINDS
@pytest.mark.parametrize("labels", [ESCONV, None])
def test_before_the_first_step_the_model_is_what_it_was(tiny_llama, supporter_turns, kind, labels):
    plain = scores(opened(tiny_llama, "full", labels), supporter_turns[:4])
    adapted = scores(opened(tiny_llama, kind, labels), supporter_turns[:4])
    torch.testing.assert_close(adapted, plain, atol=1e-5, rtol=1e-5)


@KINDS
@pytest.mark.parametrize("labels", [ESCONV, None])
def test_the_gradient_reaches_what_learns_and_nothing_else(tiny_llama, supporter_turns, kind, labels):
    backbone = stir(opened(tiny_llama, kind, labels))
    batch = backbone.collate(backbone.rows(supporter_turns[:6]), supporter_turns)
    functional.cross_entropy(backbone.logits(backbone.hidden(batch)), batch.target_ids).backward()
    learning = {name for name, p in backbone.named_parameters() if p.requires_grad}
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == (name in learning), name
        if name in learning:
            assert parameter.grad.abs().sum() > 0, name
    assert any(name.endswith(".rows") for name in learning) == (labels is not None)


def test_what_learns_is_counted_by_hand(tiny_llama):
    # 2 layers, width 32, 4 heads on 2 key-value heads of 8, feed-forward 64, vocabulary 384 + 8 strategies
    def learnt(kind, **options):
        backbone = opened(tiny_llama, kind, **options)
        return sum(p.numel() for p in backbone.parameters() if p.requires_grad)

    rows, vocabulary = 8 * 32, len(opened(tiny_llama, "full").renderer.tokenizer)
    outputs = 32 + 16 + 16 + 32 + 64 + 64 + 32  # q, k, v, o, gate, up, down
    inputs = 32 + 32 + 32 + 32 + 32 + 32 + 64
    assert learnt("lora", rank=3) == rows + 2 * 3 * (inputs + outputs)
    assert learnt("adapter-v1", prompts=5) == rows + 2 * (5 * 32 + 1)
    v2 = 5 * 32 + 4 + 2 * outputs + 2 * 32  # prompts, a gate per head, scales and biases, two norms
    assert learnt("adapter-v2", prompts=5) == rows + 2 * v2 + 2 * vocabulary + 32  # the head, the last norm
    assert learnt("adapter-v2", prompts=5, layers=1) == rows + v2 + 2 * vocabulary + 32


@PROMPTS
def test_at_first_the_gate_alone_can_open(tiny_llama, supporter_turns, kind):
    backbone = opened(tiny_llama, kind)
    batch = backbone.collate(backbone.rows(supporter_turns[:4]), supporter_turns)
    functional.cross_entropy(backbone.logits(backbone.hidden(batch)), batch.target_ids).backward()
    for name, parameter in backbone.named_parameters():
        if name.endswith("gate"):
            assert parameter.abs().sum() == 0
            assert parameter.grad.abs().sum() > 0
        if name.endswith(("prompts", "adaption_prompt")):
            assert parameter.grad.abs().sum() == 0


@KINDS
def test_padding_and_neighbours_change_nothing(tiny_llama, supporter_turns, kind):
    backbone = stir(opened(tiny_llama, kind))
    rows = backbone.rows(supporter_turns)[:3]
    together = scores(backbone, supporter_turns, rows)
    alone = torch.cat([scores(backbone, supporter_turns, [row]) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@KINDS
def test_decoding_from_the_cache_says_what_a_whole_pass_says(tiny_llama, supporter_turns, kind):
    backbone = stir(opened(tiny_llama, kind))
    decoding = Decoding(temperature=0, repetition_penalty=1, min_tokens=0, max_tokens=4)
    examples = supporter_turns[:2]
    for example, (reply,) in zip(
        examples, generate(backbone, examples, decoding, StrategyPolicy(kind="gold")), strict=True
    ):
        renderer = backbone.renderer
        ids = [*renderer.context(example.context, example.profile), renderer.strategy_id(example.strategy)]
        said = []
        for _ in range(4):
            with torch.no_grad():
                body = backbone.model.base_model(input_ids=torch.tensor([ids + said]), use_cache=False)
            row = backbone.logits(body.last_hidden_state[0, -1])
            row[backbone.strategy_ids] = float("-inf")
            said.append(int(row.argmax()))
            if said[-1] == renderer.end_id:
                break
        assert reply.text == renderer.tokenizer.decode(said, skip_special_tokens=True).strip()


@pytest.mark.parametrize("kind", [*ADDED, "full"])
def test_what_is_saved_comes_back(tiny_llama, supporter_turns, tmp_path, kind):
    def built():
        shape = BackboneConfig(name=str(tiny_llama), adapter=AdapterConfig(kind=kind))
        return Joint(JointConfig(backbone=shape), ESCONV).eval()

    first, second = stir(built()), built()
    first.save(tmp_path)
    before = scores(second.backbone, supporter_turns[:3])
    second.load(tmp_path)
    learnt = scores(first.backbone, supporter_turns[:3])
    torch.testing.assert_close(scores(second.backbone, supporter_turns[:3]), learnt)
    assert not torch.allclose(before, learnt)


@PROMPTS
def test_the_last_layers_alone(tiny_llama, supporter_turns, kind):
    backbone = opened(tiny_llama, kind, layers=1)
    first, second = backbone.model.base_model.layers
    assert not any(p.requires_grad for p in first.parameters())
    assert any(p.requires_grad for p in second.parameters())
    outputs = []
    first.register_forward_hook(lambda _m, _i, out: outputs.append(out))
    batch = backbone.collate(backbone.rows(supporter_turns[:2]), supporter_turns)
    backbone.hidden(batch)
    out = outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]
    assert not out.requires_grad


def test_scaled_linear_by_hand():
    inner = nn.Linear(2, 2, bias=False)
    layer = ScaledLinear(inner, 2)
    with torch.no_grad():
        inner.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        layer.bias.copy_(torch.tensor([1.0, -1.0]))
        layer.scale.copy_(torch.tensor([2.0, 0.5]))
    # W x = (1·3 + 2·1, 1) = (5, 1); plus b: (6, 0); times s: (12, 0)
    torch.testing.assert_close(layer(torch.tensor([3.0, 1.0])), torch.tensor([12.0, 0.0]))


@torch.no_grad()
def test_prompts_are_heard_as_the_paper_says(tiny_llama):
    # S = [softmax over prompts · g; softmax over words]: projected, head by head
    attention = stir(opened(tiny_llama, "adapter-v2", prompts=3)).model.base_model.layers[1].self_attn
    assert isinstance(attention, PromptedAttention)
    inner, hidden = attention.inner, torch.randn(1, 5, 32)
    still = (torch.ones(1, 5, 8), torch.zeros(1, 5, 8))  # no rotation
    query = inner.q_proj(hidden)[0].reshape(5, 4, 8)
    key, value = (each(attention.prompts).reshape(3, 2, 8) for each in (inner.k_proj, inner.v_proj))
    heads = []
    for head in range(4):
        weights = (query[:, head] @ key[:, head // 2].T / 8**0.5).softmax(-1) * attention.gate[head]
        heads.append(weights @ value[:, head // 2])
    heard = torch.cat(heads, -1)
    projection = inner.o_proj
    expected = heard @ projection.inner.weight.T * projection.scale  # its bias is added once, with the words
    found = attention._heard(hidden, still)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_our_prompts_and_pefts_are_the_same_function(tiny_llama, supporter_turns):
    theirs, ours = opened(tiny_llama, "adapter-v1"), opened(tiny_llama, "adapter-v2")
    for one, other in zip(theirs.model.base_model.layers, ours.model.base_model.layers, strict=True):
        one.self_attn.adaption_gate.fill_(0.7)
        other.self_attn.gate.fill_(0.7)
        other.self_attn.prompts.copy_(one.self_attn.adaption_prompt[0])
    found = scores(ours, supporter_turns[:4])
    torch.testing.assert_close(found, scores(theirs, supporter_turns[:4]), atol=1e-4, rtol=1e-4)


@PROMPTS
def test_prompts_are_not_written_as_gguf_and_the_reason_is_said(tiny_llama, tmp_path, kind):
    backbone = opened(tiny_llama, kind)
    with pytest.raises(UsageError, match="prompts inside its attention") as error:
        export_gguf(backbone.model, backbone.renderer.tokenizer, tmp_path / "model.gguf")
    assert "torch" in error.value.fix
    assert not list(tmp_path.iterdir())


def test_low_rank_updates_become_weights(tiny_llama):
    assert unmergeable(opened(tiny_llama, "lora").model) == ""


@KINDS
@pytest.mark.parametrize("labels", [ESCONV, None])
def test_a_folded_adapter_is_the_same_function(tiny_llama, supporter_turns, kind, labels):
    backbone = stir(opened(tiny_llama, kind, labels))
    before = scores(backbone, supporter_turns[:4])
    backbone.fold()
    torch.testing.assert_close(scores(backbone, supporter_turns[:4]), before, atol=1e-4, rtol=1e-4)


def test_a_folded_model_is_exported_as_an_unfolded_one(tiny_llama, tmp_path):
    files = []
    for folded in (False, True):
        backbone = stir(opened(tiny_llama, "lora"))
        if folded:
            backbone.fold()
        files.append(tmp_path / f"{folded}.gguf")
        export_gguf(backbone.model, backbone.renderer.tokenizer, files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("tiny", ["gpt2"], indirect=True)
@PROMPTS
def test_prompts_are_for_the_llama_family(tiny, kind):
    with pytest.raises(UsageError, match="not for 'gpt2'") as error:
        opened(tiny, kind)
    assert '"lora"' in error.value.fix


@KINDS
def test_an_encoder_decoder_is_refused_with_the_fix(tiny_bart, kind):
    with pytest.raises(UsageError, match="decoder-only") as error:
        opened(tiny_bart, kind)
    assert 'adapter.kind = "full"' in error.value.fix


@pytest.mark.parametrize(
    ("kind", "option"), [("full", "layers"), ("full", "rank"), ("lora", "prompts"), ("adapter-v2", "rank")]
)
def test_an_option_of_another_kind_is_refused_not_ignored(kind, option):
    with pytest.raises(ValueError, match=f"'{option}' is no option of adapter '{kind}'"):
        AdapterConfig(kind=kind, **{option: 3})


@pytest.mark.parametrize(("tiny", "per_layer"), [("llama", 4), ("gpt2", 2)], indirect=["tiny"])
def test_low_rank_updates_of_the_attention_alone(tiny, per_layer):
    backbone = opened(tiny, "lora", modules="attention")
    found = [name for name, _ in backbone.named_parameters() if "lora_A" in name]
    assert len(found) == 2 * per_layer
    assert all("attn" in name for name in found)
