"""The engine on a tiny random model: many at once, kept prompt caches, cut-off replies, a locked port."""

import threading
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from hearten.core.chat import Sampling
from hearten.core.errors import Failure
from hearten.lm.engine import Engine, EngineConfig, TooLong
from hearten.lm.gguf_export import export_gguf

pytest.importorskip("xllamacpp")
GREEDY = Sampling(temperature=0, repetition_penalty=1.0, max_tokens=8)


@pytest.fixture(scope="module")
def gguf(tiny_llama, tmp_path_factory):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    return export_gguf(model, tokenizer, tmp_path_factory.mktemp("gguf") / "tiny.gguf", quantisation="f16")


@pytest.fixture(scope="module")
def engine(gguf):
    return Engine(gguf, EngineConfig(context=512, slots=2, threads=1, set_aside=64))


def conversation(number, length):
    """Ids that begin alike, as prompts with one system text do, and then differ."""
    return [5, 6, 7, 8, *(10 + (number * 31 + place * 7) % 200 for place in range(length))]


def last(engine, prompt, sampling=GREEDY):
    return list(engine.pieces(prompt, sampling, banned=[2]))[-1]


def test_the_last_piece_says_what_was_read_and_written(engine):
    pieces = list(engine.pieces(conversation(1, 40), GREEDY, banned=[2]))
    assert (pieces[-1].read, pieces[-1].written, pieces[-1].finish) == (44, 8, "length")
    assert all(piece.finish == "" and piece.read is None for piece in pieces[:-1])
    assert last(engine, conversation(1, 40)).cached >= 42


def test_a_conversation_keeps_its_prompt_cache_when_more_talk_than_there_are_slots(engine):
    for length in (40, 60, 80):
        for number in range(6):
            piece = last(engine, conversation(number, length))
            if length > 40:
                assert piece.cached >= length - 20, f"conversation {number} was read anew"


def test_several_are_answered_at_once_as_each_would_be_alone(engine):
    prompts = [conversation(number, 30 + number) for number in range(6)]
    alone = [engine.complete(prompt, GREEDY, banned=[2]) for prompt in prompts]
    together = [""] * len(prompts)

    def work(number):
        together[number] = "".join(engine.stream(prompts[number], GREEDY, banned=[2]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(a == b for a, b in zip(alone, together, strict=True)) >= 5, "batching may turn a near tie"


def test_a_reader_who_stops_ends_the_generation(engine):
    long = Sampling(temperature=0, max_tokens=400)
    with closing(engine.pieces(conversation(9, 20), GREEDY, banned=[2])) as pieces:
        next(pieces)
    start = time.perf_counter()
    list(engine.pieces(conversation(9, 20), long, banned=[2]))
    whole = time.perf_counter() - start
    start = time.perf_counter()
    with closing(engine.pieces(conversation(9, 20), long, banned=[2])) as pieces:
        for _ in range(3):
            next(pieces)
    assert time.perf_counter() - start < whole / 2


def test_what_does_not_fit_is_too_long_and_a_failure(engine):
    with pytest.raises(TooLong):
        list(engine.pieces([5] * 600, GREEDY))
    assert issubclass(TooLong, Failure)


def test_the_port_that_llama_cpp_opens_is_locked(engine):
    for path, body in (("/slots", None), ("/props", None), ("/completion", b'{"prompt": "x"}')):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(engine.address + path, data=body, timeout=10)
        assert error.value.code == 401, path


def test_what_all_prompts_begin_with_is_read_before_the_first_comes(gguf):
    engine = Engine(gguf, EngineConfig(context=256, slots=3, threads=1, set_aside=64))
    opening = [5, 6, 7, 8, *range(20, 40)]
    engine.warm(opening)
    told = [engine._ask({"prompt": [*opening, 60 + number], "max_tokens": 1}) for number in range(3)]
    assert [one["timings"]["cache_n"] for one in told] == [24, 24, 24]
    assert sorted(one["__verbose"]["id_slot"] for one in told) == [0, 1, 2]


def test_pieces_carry_the_ids_that_were_written(engine):
    pieces = list(engine.pieces(conversation(3, 30), GREEDY, banned=[2]))
    told = sum(len(piece.ids) for piece in pieces)
    assert 0 < told <= pieces[-1].written == 8, "a piece of a character waits for the next id"
