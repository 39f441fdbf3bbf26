"""One face for decoder-only and encoder–decoder models."""

import pytest
import torch
from torch import nn

from hearten.core.errors import Failure, UsageError
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, CausalBackbone, PairBackbone, open_backbone

ESCONV = label_set("esconv")
FOUR = pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
CAUSAL = pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
PAIRS = pytest.mark.parametrize("tiny", ["blenderbot", "bart"], indirect=True)

pytestmark = pytest.mark.usefixtures("exact")


def opened(folder, labels=ESCONV, kind="full", **options):
    config = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind=kind, **options))
    torch.manual_seed(3)
    return open_backbone(config, labels).eval()


@torch.no_grad()
def scores(backbone, rows, examples):
    batch = backbone.collate(rows, examples)
    return backbone.logits(backbone.hidden(batch)), batch


@FOUR
def test_scores_are_the_librarys_own_at_the_targets(tiny, supporter_turns):
    backbone = opened(tiny)
    examples = supporter_turns[:5]
    found, batch = scores(backbone, backbone.rows(examples), examples)
    with torch.no_grad():
        if isinstance(backbone, PairBackbone):
            library = backbone.model(
                input_ids=batch.source, attention_mask=batch.source_mask, decoder_input_ids=batch.ids
            )
        else:
            library = backbone.model(input_ids=batch.ids, attention_mask=batch.mask)
    expected = library.logits[batch.target_rows, batch.target_places]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert found.shape == (len(batch.target_ids), len(backbone.renderer.tokenizer))
    assert torch.equal(batch.target_ids, batch.ids[batch.target_rows, batch.target_places + 1])


@FOUR
def test_padding_and_the_order_of_a_batch_change_nothing(tiny, supporter_turns):
    backbone = opened(tiny)
    rows = backbone.rows(supporter_turns)[:4]
    together, batch = scores(backbone, rows, supporter_turns)
    backwards, turned = scores(backbone, rows[::-1], supporter_turns)
    for number, row in enumerate(rows):
        alone, _ = scores(backbone, [row], supporter_turns)
        torch.testing.assert_close(together[batch.target_rows == number], alone, atol=1e-4, rtol=1e-4)
        place = len(rows) - 1 - number
        torch.testing.assert_close(backwards[turned.target_rows == place], alone, atol=1e-4, rtol=1e-4)
    assert batch.examples == turned.examples


def test_a_batch_names_the_examples_of_its_targets(tiny_llama, supporter_turns):
    backbone = opened(tiny_llama)
    rows = backbone.rows(supporter_turns)
    batch = backbone.collate([rows[3], rows[1]], supporter_turns)
    for place in range(len(batch.target_ids)):
        example = batch.examples[batch.example_of[place]]
        row = rows[3] if batch.target_rows[place] == 0 else rows[1]
        assert supporter_turns[row.targets[0].example].conversation_id == example.conversation_id
    assert int(batch.is_strategy.sum()) == len(batch.examples)


def test_a_strategy_starts_as_the_mean_of_its_names_words(tiny_llama):
    backbone = opened(tiny_llama)
    table = backbone.model.get_input_embeddings().weight
    for strategy, row in zip(ESCONV, backbone.renderer.strategy_ids, strict=True):
        words = backbone.renderer._ids(" " + strategy.name)
        torch.testing.assert_close(table[row], table[words].mean(0))


@FOUR
def test_full_fine_tuning_reaches_every_parameter(tiny, supporter_turns):
    backbone = opened(tiny)
    batch = backbone.collate(backbone.rows(supporter_turns[:6]), supporter_turns)
    nn.functional.cross_entropy(backbone.logits(backbone.hidden(batch)), batch.target_ids).backward()
    assert all(p.requires_grad for p in backbone.parameters())
    still = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not still


@CAUSAL
@pytest.mark.parametrize("labels", [ESCONV, None])
def test_lora_changes_adapters_and_strategy_rows_alone(tiny, labels, supporter_turns):
    backbone = opened(tiny, labels, kind="lora", rank=2)
    with torch.no_grad():
        for name, p in backbone.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)  # as after a step: at the start B is 0 and no gradient reaches A
    batch = backbone.collate(backbone.rows(supporter_turns[:6]), supporter_turns)
    nn.functional.cross_entropy(backbone.logits(backbone.hidden(batch)), batch.target_ids).backward()
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert all("lora_" in name or name.endswith(".rows") for name in trained)
    assert any(name.endswith(".rows") for name in trained) == (labels is not None)
    for name, p in backbone.named_parameters():
        assert (p.grad is not None) == (name in trained), name
        if name in trained:
            assert p.grad.abs().sum() > 0, name
    per_layer = 7 if backbone.model.config.model_type == "llama" else 4
    assert sum("lora_A" in name for name in trained) == 2 * per_layer, "every linear module of both layers"


@CAUSAL
def test_only_the_last_layers_learn_where_the_recipe_says_so(tiny, supporter_turns):
    backbone = opened(tiny, kind="lora", rank=2, layers=1)
    layer_inputs = []
    body = backbone.model.base_model
    first, second = body.layers if hasattr(body, "layers") else body.h
    first.register_forward_hook(lambda _m, _i, out: layer_inputs.append(out))
    batch = backbone.collate(backbone.rows(supporter_turns[:4]), supporter_turns)
    nn.functional.cross_entropy(backbone.logits(backbone.hidden(batch)), batch.target_ids).backward()
    out = layer_inputs[0][0] if isinstance(layer_inputs[0], tuple) else layer_inputs[0]
    assert not out.requires_grad, "nothing is remembered for a way back below the second layer"
    assert not any(p.requires_grad for p in first.parameters())
    assert all(p.grad is not None for p in second.parameters() if p.requires_grad)
    rows = next(p for name, p in backbone.named_parameters() if name.endswith(".rows"))
    assert rows.grad is not None
    assert rows.grad.abs().sum() > 0, "strategy rows learn through the output"


@PAIRS
def test_lora_on_an_encoder_decoder_is_refused_with_the_fix(tiny):
    with pytest.raises(UsageError) as error:
        opened(tiny, kind="lora")
    assert 'adapter.kind = "full"' in error.value.fix


def test_kinds_and_widths(tiny_llama, tiny_bart):
    causal, pair = opened(tiny_llama), opened(tiny_bart)
    assert isinstance(causal, CausalBackbone)
    assert isinstance(pair, PairBackbone)
    assert causal.width == pair.width == 32


def test_a_text_longer_than_the_model_has_positions_for_is_refused(tiny_gpt2, tiny_bart):
    with pytest.raises(UsageError, match="1024 positions") as error:
        open_backbone(BackboneConfig(name=str(tiny_gpt2), window=2000), None)
    assert error.value.fix == "window = 1024"
    with pytest.raises(UsageError, match="512 positions"):
        open_backbone(BackboneConfig(name=str(tiny_bart), context_limit=600), None)


def test_an_overlap_must_leave_room_in_the_window():
    with pytest.raises(ValueError, match="an overlap of 256 leaves no room in a window of 128"):
        BackboneConfig(window=128)


def test_an_unknown_backbone_and_one_that_is_not_here_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path))
    with pytest.raises(UsageError) as error:
        open_backbone(BackboneConfig(name="dialogpt-smal"), None)
    assert "did you mean 'dialogpt-small'?" in error.value.fix
    with pytest.raises(Failure) as error:
        open_backbone(BackboneConfig(name="dialogpt-small"), None)
    assert "MIT" in error.value.what
    assert error.value.where == str(tmp_path / "models" / "dialogpt-small")
    assert "hf download microsoft/DialoGPT-small" in error.value.fix
