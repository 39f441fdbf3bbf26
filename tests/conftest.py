"""What many tests need: a way to say that a machine lacks something (which CI is not allowed to say), tiny
random models in the hub's layout, and conversations to feed them.

The models are real classes with real tokenizers, so that loading, padding, caching and saving are the
library's own; only the weights are small and random. Nothing is fetched.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from browsing import axe_file, chromium
from hearten.core.conversation import Conversation
from hearten.core.protocol import examples, protocol
from hearten.core.taxonomy import label_set
from hearten.lm.embed import available
from hearten.lm.waiting import sleep_soon

sleep_soon()  # before any test imports torch


@pytest.fixture
def require() -> Callable[[str, object], None]:
    """`require(name, present)` skips the test where a tool is missing; with CI=true it fails instead."""

    def check(name: str, present: object) -> None:
        if present:
            return
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing, and in CI nothing may be skipped")
        pytest.skip(f"{name} is not on this machine")

    return check


@pytest.fixture
def browser(require):
    """Chromium, with axe at hand; see `browsing.Walker`."""
    require("Chromium", chromium())
    require("axe-core (npm install axe-core)", axe_file())
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])


@pytest.fixture
def sentence_encoder(require):
    """The sentence encoder's weights."""
    require("the sentence encoder", available())


SENTENCES = (
    "I have not slept since the letter came.",
    "What did the letter say?",
    "It sounds as if you carry this alone.",
    "My sister would not answer, and now it is 2 o'clock.",
    "You asked for help today; that counts.",
    "Thank you, I feel a little lighter.",
    "Would a walk before dinner do you good?",
    "Many towns have a free line for such questions.",
)


def told(number: int, turns: int = 6, label_set_name: str = "esconv") -> Conversation:
    """A made-up conversation of alternating turns, the seeker first, every strategy in its round."""
    names = label_set(label_set_name).names
    rows = []
    for place in range(turns):
        text = SENTENCES[(number * 3 + place) % len(SENTENCES)]
        if place % 2 == 0:
            rows.append({"speaker": "seeker", "text": text})
        else:
            strategy = names[(number + place // 2) % len(names)]
            rows.append({"speaker": "supporter", "text": text, "strategy": strategy})
    profile = {"situation": f"A letter came, number {number}."}
    record = {"id": f"c{number:03d}", "label_set": label_set_name, "profile": profile, "turns": rows}
    return Conversation.model_validate(record)


@pytest.fixture(scope="session")
def conversations():
    """Twelve made-up conversations of four to ten turns."""
    return tuple(told(number, turns=4 + 2 * (number % 4)) for number in range(12))


@pytest.fixture(scope="session")
def supporter_turns(conversations):
    """Their examples under `seed13-910`."""
    return tuple(one for talk in conversations for one in examples(talk, protocol("seed13-910")))


@pytest.fixture
def exact(monkeypatch):
    """No mixed precision: what is equal in arithmetic is then equal to six digits."""
    import torch

    monkeypatch.setattr("hearten.lm.backbone.fast_dtype", lambda device: torch.float32)


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level(specials, **named):
    """A byte-level BPE that splits digits, trained on the sentences above."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([*SENTENCES, "user\n", "assistant\n", "system\n"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, clean_up_tokenization_spaces=False, **named)


def saved(folder: Path, model, tokenizer) -> Path:
    from hearten.lm.embedded import quiet_libraries

    quiet_libraries()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def seeded():
    import torch

    torch.set_num_threads(1)  # tiny matrices: threads only wait for each other
    torch.manual_seed(7)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory) -> Path:
    """Two layers, 32 wide, 4 heads on 2 key–value heads, ChatML: the embedded model's family."""
    from transformers import LlamaConfig, LlamaForCausalLM

    seeded()
    tokenizer = byte_level(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=CHATML,
    )
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return saved(tmp_path_factory.mktemp("llama"), LlamaForCausalLM(shape), tokenizer)


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory) -> Path:
    """DialoGPT's layout: one special token that begins, ends and pads; 1,024 positions."""
    from transformers import GPT2Config, GPT2LMHeadModel

    seeded()
    end = "<|endoftext|>"
    tokenizer = byte_level([end], bos_token=end, eos_token=end, unk_token=end)
    shape = GPT2Config(
        vocab_size=len(tokenizer), n_positions=1024, n_embd=32, n_layer=2, n_head=4,
        initializer_range=0.2, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return saved(tmp_path_factory.mktemp("gpt2"), GPT2LMHeadModel(shape), tokenizer)


@pytest.fixture(scope="session")
def tiny_blenderbot(tmp_path_factory) -> Path:
    """BlenderBot-small with its own tokenizer class over single letters."""
    from transformers import (
        BlenderbotSmallConfig,
        BlenderbotSmallForConditionalGeneration,
        BlenderbotSmallTokenizer,
    )

    seeded()
    folder = tmp_path_factory.mktemp("blenderbot")
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = [
        "__null__",
        "__start__",
        "__end__",
        "__unk__",
        "__newln__",
        *letters,
        *(f"{c}@@" for c in letters),
    ]
    (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\n")
    tokenizer = BlenderbotSmallTokenizer(folder / "vocab.json", folder / "merges.txt")
    shape = BlenderbotSmallConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=64,
        decoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=512,
        init_std=0.2, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return saved(folder, BlenderbotSmallForConditionalGeneration(shape), tokenizer)


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory) -> Path:
    """BART with a byte-level BPE and its own special tokens."""
    from transformers import BartConfig, BartForConditionalGeneration

    seeded()
    tokenizer = byte_level(
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip
    shape = BartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=64,
        decoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=512,
        init_std=0.2, bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2,
        forced_eos_token_id=None,
    )  # fmt: skip
    return saved(tmp_path_factory.mktemp("bart"), BartForConditionalGeneration(shape), tokenizer)


@pytest.fixture
def tiny(request):
    """The folder of the tiny model that the parameter names: llama, gpt2, blenderbot or bart."""
    return request.getfixturevalue(f"tiny_{request.param}")
