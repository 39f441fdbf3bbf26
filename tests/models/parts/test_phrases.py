"""Phrases: read once, laid out by example, taken from the right turns."""

import pytest
import torch

from hearten.core.conversation import Role, Turn
from hearten.models.parts.phrases import (
    PhraseTable,
    Reader,
    blocks,
    emotion_words,
    last_seeker_turn,
    seeker_blocks,
    sentences,
    situation_blocks,
)

HERE = torch.device("cpu")


def test_blocks_as_misc_writes_them():
    tails = {"xReact": ["sad", "none", "sad"], "xWant": ["to rest"], "oReact": [" "]}
    assert blocks(tails, 9) == ["[xReact] sad", "[xWant] to rest"]
    assert blocks(tails, 1) == ["[xReact] sad"]
    assert blocks(tails, 9, ("xWant",)) == ["[xWant] to rest"]
    assert blocks(None, 9) == []


def test_sentences_are_cut_after_their_stops():
    assert sentences(" I lost it. Why me? no idea; none ") == ["I lost it.", "Why me?", "no idea;", "none"]
    assert sentences("") == []


def test_what_is_said_of_an_example(annotated_turns):
    example = annotated_turns[1]
    turn = last_seeker_turn(example)
    assert turn is [one for one in example.context if one.speaker is Role.SEEKER][-1]
    assert seeker_blocks(example, 2) == [
        f"[{relation}] {tails[0]}" for relation, tails in list(turn.annotations["commonsense"].items())[:2]
    ]
    told = [one.annotations["emotion"]["label"] for one in example.context]
    assert emotion_words(example, 2) == told[-2:]
    assert emotion_words(example, 99, seeker_only=True) == told[::2]
    assert situation_blocks(example, 9) == sentences(example.profile.situation)
    first = example.context[0]
    known = first.model_copy(update={"annotations": first.annotations | {"situation": {"xReact": ["low"]}}})
    richer = example.model_copy(update={"context": (known, *example.context[1:])})
    assert situation_blocks(richer, 9) == ["[xReact] low"]


def test_nothing_is_said_of_bare_turns(supporter_turns):
    bare = supporter_turns[0]
    assert seeker_blocks(bare, 9) == []
    assert emotion_words(bare, 9) == []
    alone = bare.model_copy(update={"context": (Turn(speaker=Role.SUPPORTER, text="hi"),)})
    assert last_seeker_turn(alone) is None


def test_each_text_is_read_once_and_kept_for_the_next_run(encoder, monkeypatch):
    asked = []

    def counting(texts):
        asked.extend(texts)
        return encoder(texts)

    monkeypatch.setattr("hearten.models.parts.phrases.embed", counting)
    table = PhraseTable()
    table.remember(["b", "a", "b"])
    found = table([["a"], [], ["b", "c"]], HERE)
    assert sorted(asked) == ["a", "b", "c"]
    assert found.mask.tolist() == [[True, False], [False, False], [True, True]]
    assert torch.equal(found.states[2, 1], torch.from_numpy(encoder(["c"])[0]))
    assert found.states[1].abs().sum() == 0
    again = PhraseTable()
    again.remember(["a", "b"])
    assert sorted(asked) == ["a", "b", "c"], "the cache folder has them"
    assert torch.equal(again([["b"]], HERE).states, table([["b"]], HERE).states)
    assert table([], HERE).states.shape == (0, 1, 384)


@pytest.mark.usefixtures("encoder")
def test_a_reader_leaves_empty_places_empty():
    found = Reader(8)(PhraseTable()([["a", "b"], ["a"]], HERE))
    assert found.states.shape == (2, 2, 8)
    assert found.states[1, 1].abs().sum() == 0
    torch.testing.assert_close(found.states[0, 0], found.states[1, 0])
