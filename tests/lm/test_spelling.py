"""Replies are said again in the ids in which they were written."""

import pytest

from hearten.core.chat import Piece
from hearten.core.conversation import Profile, Role, Turn
from hearten.lm.render import Renderer
from hearten.lm.spelling import Spellings


@pytest.fixture
def tiny_tokenizer(tiny_llama):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_llama)


def pieces(tokenizer, text, parts, end):
    """`text` written in the ids of `parts`, and the id that ends the turn."""
    ids = [one for part in parts for one in tokenizer(part, add_special_tokens=False).input_ids]
    return ids, [Piece(text=text), Piece(text="", finish="stop", ids=(*ids, end))]


def test_a_reply_is_spelt_as_it_was_written(tiny_tokenizer):
    renderer = Renderer(tiny_tokenizer, None)
    spellings = Spellings(tiny_tokenizer, renderer.end_id)
    renderer.spelt = spellings.find
    own, told = pieces(tiny_tokenizer, " so sad", [" ", "s", "o", " sad"], renderer.end_id)
    assert list(spellings.listen(told)) == told
    said = renderer.turn(Turn(speaker=Role.SUPPORTER, text="so sad"))
    assert said[len(renderer.open_turn(Role.SUPPORTER)) :][: len(own)] == own
    plain = Renderer(tiny_tokenizer, None)
    seeker = Turn(speaker=Role.SEEKER, text="so sad")
    assert renderer.context([seeker], Profile()) == plain.context([seeker], Profile())


def test_what_is_no_spelling_of_the_text_is_not_kept(tiny_tokenizer):
    spellings = Spellings(tiny_tokenizer, 0)
    ids = tiny_tokenizer("so sad", add_special_tokens=False).input_ids
    spellings.keep("so glad", ids)
    spellings.keep("", [])
    assert spellings.find("so glad") is None
    assert spellings.find("") is None


def test_only_the_last_ones_are_kept(tiny_tokenizer):
    spellings = Spellings(tiny_tokenizer, 0, remembered=2)
    for text in ("a", "b", "c"):
        spellings.keep(text, tiny_tokenizer(text, add_special_tokens=False).input_ids)
    assert spellings.find("a") is None
    assert spellings.find("c") is not None
