"""Replies become conversations, however they come out; what cannot be mended is complained of."""

import json
import random

import pytest
import replies_made_up as made_up
from hypothesis import given
from hypothesis import strategies as st

from hearten.augment.checks import Checker, local_scorer
from hearten.augment.plan import Bounds
from hearten.augment.reading import complaints, read, strategy
from hearten.core.conversation import Conversation
from hearten.core.extes import layout
from hearten.core.jsonl import read_records
from hearten.core.places import seeds_file
from hearten.core.taxonomy import label_set

SCENE = "Breakups or Divorce"


@pytest.fixture(scope="module")
def seeds():
    return list(read_records(seeds_file(), Conversation))


def told(reading):
    return [(turn["speaker"], turn["text"], turn.get("strategy")) for turn in reading.turns]


def as_written(conversation):
    return [
        (turn.speaker, " ".join(turn.text.split()), turn.strategy.name if turn.strategy else None)
        for turn in conversation.turns
    ]


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        lambda talk: json.dumps(talk, ensure_ascii=False, indent=2),
        repr,
        lambda talk: f"Here you are.\n```json\n{json.dumps(talk)}\n```\nShall I go on?",
        lambda talk: json.dumps(talk)[:-2],
        lambda talk: json.dumps(talk)[:-2] + ",]}",
        lambda talk: json.dumps(talk, ensure_ascii=False).replace('\\"', '"'),
        lambda talk: json.dumps({"result": {"dialogue": talk}}),
        lambda talk: json.dumps([talk]),
    ],
    ids=["json", "pretty", "python", "fenced", "unclosed", "comma", "unescaped", "wrapped", "list"],
)
def test_every_seed_is_read_back_word_for_word(seeds, write):
    for seed in seeds:
        assert told(read(write(layout(seed)))) == as_written(seed), seed.id


def test_a_cut_reply_keeps_its_whole_turns_and_no_half_one(seeds):
    for seed in seeds[:20]:
        text = json.dumps(layout(seed))
        for share in (0.4, 0.7, 0.95):
            found = read(text[: int(len(text) * share)])
            assert found.cut
            assert told(found) == as_written(seed)[: len(found.turns)], seed.id


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    read(text)


KEYS = st.sampled_from(["content", "User", "AI", "AI Strategy", "scene", "x"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_any_json_is_read_without_an_error_and_what_is_readable_is_a_conversation(value):
    found = read(json.dumps(value))
    if not found.unreadable:
        assert len(found.conversation("x", SCENE).turns) >= 2


def test_half_an_emoji_can_still_be_written():
    found = read('{"content": [{"User": "ok \\ud83d"}, {"AI Strategy": "Others", "AI": "Good."}]}')
    assert found.conversation("x", SCENE).model_dump_json().encode()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Clarification", "Clarification"),
        ("reframe negative thoughts", "Reframe Negative Thoughts"),
        ("Avoid judgment and criticism", "Avoid Judgment And Criticism"),
        ("11. Reframe Negative Thoughts", "Reframe Negative Thoughts"),
        ("Emotional Validations", "Emotional Validation"),
        ("AI Strategy: Offer Hope", "Offer Hope"),
        ("Promote Selfcare Practices", "Promote Self-Care Practices"),
        ("Cognitive Unhooking", ""),
        ("", ""),
    ],
)
def test_a_strategy_gets_its_name(name, found):
    assert strategy(name)[0] == found


def test_a_greeting_without_a_strategy_is_others_and_says_so():
    assert strategy("", end=True) == ("Others", ("a greeting or goodbye without a strategy is Others",))


def test_a_seed_holds_every_strategy_name_as_it_is_read():
    assert [strategy(name)[0] for name in label_set("extes").names] == list(label_set("extes").names)


@pytest.fixture(scope="module")
def checker():
    return Checker(Bounds(), local_scorer())


@pytest.mark.parametrize("kind", made_up.KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_reply_comes_out_as_it_should(kind, seed, checker, require):
    wanted = made_up.KINDS[kind]
    if kind == "abusive":
        require("tox-block", local_scorer())
    reading = read(made_up.reply(kind, SCENE, seed))
    wrong = list(complaints(reading, 8))
    if wanted.outcome == "again":
        assert wrong
        return
    assert not wrong
    talk = reading.conversation("x", SCENE)
    checks = [*checker.of_reading(reading, SCENE), *checker.of_conversation(talk), *checker.toxicity([talk])]
    rejected = [check.check for check in checks if not check.passed]
    assert rejected == ([] if wanted.outcome == "accepted" else [wanted.outcome])
    if wanted.remark:
        assert wanted.remark in [check.check for check in checks if check.passed and check.reason]


def test_the_made_up_replies_differ():
    draw = random.Random(1)
    texts = {made_up.as_json(made_up.good(draw, SCENE)) for _ in range(50)}
    assert len(texts) == 50
