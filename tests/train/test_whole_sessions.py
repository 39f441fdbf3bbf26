"""Whole sessions as one text (ExTES's DialoGPT): every turn is learned, only replies are measured."""

import pytest

from hearten.core.conversation import Role
from hearten.core.errors import Failure
from hearten.core.jsonl import write_records
from hearten.core.protocol import examples, protocol, split, with_whole_sessions
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.models.system import SystemConfig
from hearten.models.systems import SYSTEMS
from hearten.models.systems.joint import JointConfig
from hearten.train.recipe import parse_recipe
from hearten.train.run import read_split

SEED13 = protocol("seed13-910")
FULL = AdapterConfig(kind="full")


def system(name, folder):
    config = JointConfig if name == "joint" else SystemConfig
    return SYSTEMS[name](config(backbone=BackboneConfig(name=str(folder), adapter=FULL)), label_set("esconv"))


def test_in_train_everybody_is_learned_and_elsewhere_nothing_changes(conversations):
    parts = split(conversations, SEED13)
    whole = with_whole_sessions(parts, conversations)
    assert whole["valid"] == parts["valid"]
    assert whole["test"] == parts["test"]
    assert whole.hash == parts.hash
    replies = [one for one in whole["train"] if one.speaker is Role.SUPPORTER]
    assert {(e.conversation_id, e.index) for e in replies} == {
        (e.conversation_id, e.index) for e in parts["train"]
    }
    asked = [one for one in whole["train"] if one.speaker is Role.SEEKER]
    assert asked
    assert all(one.strategy is None for one in asked)


@pytest.mark.parametrize("tiny", ["gpt2", "llama"], indirect=True)
@pytest.mark.parametrize("name", ["vanilla", "joint"])
def test_the_row_is_the_same_text_with_more_to_learn(tiny, conversations, name):
    talk = conversations[3]
    learner = system(name, tiny)
    some, all_turns = examples(talk, SEED13), examples(talk, SEED13, tuple(Role))
    (replies,), (session,) = learner.rows(some), learner.rows(all_turns)
    assert replies.ids == session.ids[: len(replies.ids)]
    gained = {t.position for t in session.targets} - {t.position for t in replies.targets}
    assert {t.position for t in replies.targets} <= {t.position for t in session.targets}
    renderer, owners = (
        learner.backbone.renderer,
        {t.position: all_turns[t.example] for t in session.targets},
    )
    assert gained
    assert all(owners[position].speaker is Role.SEEKER for position in gained)
    # the words of every later turn and its end are learned once, a strategy before a supporter's alone
    for number, example in enumerate(all_turns):
        ids = [session.ids[t.position] for t in session.targets if t.example == number]
        named = [renderer.strategy_id(example.strategy)] if name == "joint" and example.strategy else []
        assert ids == [*named, *renderer._ids(example.response), renderer.end_id]
    losses = learner.losses(learner.collate([session], all_turns))
    assert all(bool(value.isfinite()) for value in losses.values())


def test_dialogpts_session_is_one_text_without_roles(tiny_gpt2, conversations):
    talk = conversations[2]
    learner = system("vanilla", tiny_gpt2)
    (row,) = learner.rows(examples(talk, SEED13, tuple(Role)))
    text = learner.backbone.renderer.tokenizer.decode(row.ids)
    assert text == "".join(f"{turn.text}<|endoftext|>" for turn in talk.turns)


def test_a_recipe_asks_for_it_and_windows_refuse_it(tmp_path, conversations):
    path = tmp_path / "conversations.jsonl"
    write_records(path, conversations)
    values = {"title": "x", "system": "vanilla", "training": {"learn": "session"}}
    learned = read_split(parse_recipe(values), path)["train"]
    assert {one.speaker for one in learned} == set(Role)
    windows = {**values, "protocol": "misc-windows10", "allow_leaks": True}
    with pytest.raises(Failure, match="'misc-windows10' splits windows"):
        read_split(parse_recipe(windows), path)
