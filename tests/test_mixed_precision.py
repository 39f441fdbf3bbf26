"""What a processor with native bf16 does: plain-product attention, a growing cache, folded weights, and that
every way of learning and answering stays near full precision.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import DynamicCache

from hearten.align.contrast import ContrastTask, Lesson
from hearten.align.losses import Objective
from hearten.align.raters import RaterTask, packed
from hearten.align.records import FacetItem, seeker
from hearten.core.rater import facet
from hearten.core.taxonomy import label_set
from hearten.lm import attention, backbone
from hearten.lm.adapters import AdapterConfig
from hearten.lm.attention import products
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.decode import POLICIES, Decoding, DiverseDecoding
from hearten.lm.growing import ROOM, growing_cache
from hearten.models.raters.language import LanguageRater, LanguageRaterConfig
from hearten.models.systems import SYSTEMS

TINY = pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)


@pytest.fixture(params=["exact", "mixed"])
def precision(request, monkeypatch):
    """One run in full precision, one as if this processor multiplied bf16 natively."""
    mixed = request.param == "mixed"
    dtype = torch.bfloat16 if mixed else torch.float32
    monkeypatch.setattr(backbone, "fast_dtype", lambda device: dtype)
    monkeypatch.setattr(attention, "native_bf16", lambda: mixed)
    return request.param


@pytest.mark.parametrize(("heads", "shared", "length", "seen"), [(4, 4, 5, 5), (6, 2, 5, 9), (3, 1, 1, 7)])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_products_are_the_library_s_attention(heads, shared, length, seen, scaling):
    torch.manual_seed(heads)
    query = torch.randn(2, heads, length, 8, requires_grad=True)
    key, value = (torch.randn(2, shared, seen, 8, requires_grad=True) for _ in range(2))
    mask = torch.zeros(1, 1, length, seen).masked_fill(
        ~torch.ones(length, seen).tril(seen - length).bool(), torch.finfo(torch.float32).min
    )
    found, _ = products(nn.Module().eval(), query, key, value, mask, scaling=scaling)
    wanted = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(found, wanted)
    weight = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad((one * weight).sum(), (query, key, value)) for one in (found, wanted))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_weights_are_dropped_in_training_alone():
    query, key, value = (torch.ones(1, 1, 1, 4), torch.ones(1, 1, 4, 4), torch.eye(4)[None, None])
    layer = nn.Module()
    assert products(layer.eval(), query, key, value, None, dropout=0.9)[0].tolist() == [[[[0.25] * 4]]]
    torch.manual_seed(0)
    heard = products(layer.train(), query, key, value, None, dropout=0.5)[0].flatten().tolist()
    assert set(heard) <= {0.0, 0.5}


def test_only_a_processor_with_native_bf16_gets_products(monkeypatch):
    for native, name in ((True, attention.NAME), (False, None)):
        monkeypatch.setattr(attention, "native_bf16", lambda native=native: native)
        assert attention.implementation(torch.device("cpu")) == name
    monkeypatch.setattr(attention, "native_bf16", lambda: True)
    assert attention.implementation(torch.device("cuda")) is None


def opened(folder):
    torch.manual_seed(3)
    return open_backbone(BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="full")), None).eval()


@TINY
@torch.no_grad()
def test_a_growing_cache_holds_what_the_library_s_holds(tiny):
    model = opened(tiny).model.base_model
    grown, library = growing_cache(), DynamicCache()
    for ids in ([5, 6, 7, 8], [9], [10, 11], list(range(12, 12 + ROOM)), [3]):  # the fourth needs more room
        both = [
            model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True).last_hidden_state
            for cache in (grown, library)
        ]
        assert torch.equal(*both)
    for cache in (grown, library):
        cache.crop(-ROOM)
    after = [
        model(input_ids=torch.tensor([[4, 2]]), past_key_values=c).last_hidden_state for c in (grown, library)
    ]
    assert torch.equal(*after)
    assert grown.get_seq_length() == library.get_seq_length()


def system_of(folder):
    torch.manual_seed(11)
    shape = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="lora", rank=2))
    return SYSTEMS["joint"](SYSTEMS["joint"].config_class(backbone=shape), label_set("esconv"))


@pytest.mark.parametrize("tiny", ["llama"], indirect=True)
def test_a_folded_model_computes_in_what_the_machine_multiplies(tiny, precision):
    system = system_of(tiny)
    system.fold()
    held = {module.weight.dtype for module in system.modules() if isinstance(module, nn.Linear)}
    assert held == {torch.bfloat16 if precision == "mixed" else torch.float32}
    assert system.backbone.model.get_input_embeddings().weight.dtype == torch.float32


@TINY
def test_settling_changes_nothing_that_learns(tiny, precision, supporter_turns):
    loose, settled = system_of(tiny), system_of(tiny)
    settled.backbone.settle()
    for system in (loose, settled):
        with backbone.autocast(system.backbone.device):
            system.losses(system.collate(system.rows(supporter_turns[:4]), supporter_turns))[
                "response"
            ].backward()
    for name, parameter in settled.trainable().items():
        other = loose.trainable()[name]
        assert parameter.dtype == torch.float32
        torch.testing.assert_close(parameter.grad, other.grad, atol=0, rtol=0)


@TINY
def test_every_way_of_answering_runs(tiny, precision, supporter_turns):
    system, shown = system_of(tiny), supporter_turns[:5]
    learned = [one.nll for one, _ in system.measure(system.rows(shown), shown)]
    system.fold()
    folded = [one.nll for one, _ in system.measure(system.rows(shown), shown)]
    assert folded == pytest.approx(learned, rel=0.02)
    for decoding in (Decoding(max_tokens=5), DiverseDecoding(n=4, groups=2, max_tokens=5)):
        found = system.generate(shown, decoding, POLICIES["gold"])
        assert [len(replies) for replies in found] == [decoding.n] * len(shown)


@TINY
def test_a_rater_learns_and_judges(tiny, precision):
    torch.manual_seed(4)
    shape = BackboneConfig(name=str(tiny), adapter=AdapterConfig(rank=2, modules="attention"))
    rater = LanguageRater(LanguageRaterConfig(backbone=shape))
    items = [
        FacetItem(
            id=f"{name}/{label}",
            facet=name,
            context=(seeker("I cannot sleep."),),
            reply=text,
            label=label,
            source="made",
            group="one",
        )
        for name in rater.facets
        for text, label in zip(("Why is that?", "Just sleep!"), facet(name).classes, strict=False)
    ]
    rater.backbone.settle()
    task = RaterTask(rater, items, items)
    task.train()
    for micro in packed(rater, items, 768):
        loss, _ = task.losses(micro)
        loss.backward()
        assert loss.dtype == torch.float32
    assert all(float(p.grad.abs().sum()) > 0 for n, p in rater.trainable().items() if "lora_B" in n)
    likelihood = task.validate()["valid_nll"]
    rater.backbone.fold()
    assert task.validate()["valid_nll"] == pytest.approx(likelihood, rel=0.02)
    for row in rater.rate((seeker("I cannot sleep."),), ["Why?", "Do it."]):
        assert all(sum(one.probabilities.values()) == pytest.approx(1, abs=1e-4) for one in row)


@TINY
def test_a_contrast_step_learns(tiny, precision, supporter_turns):
    system, one = system_of(tiny), supporter_turns[3]
    options = (one, *(one.model_copy(update={"response": text}) for text in ("I see.", "You must go.")))
    system.backbone.settle()
    task = ContrastTask(system, [], Objective())
    task.train()
    loss, _ = task.losses(Lesson(options, (True, False)))
    loss.backward()
    assert loss.dtype == torch.float32
    assert any(float(p.grad.abs().sum()) > 0 for p in system.trainable().values())
