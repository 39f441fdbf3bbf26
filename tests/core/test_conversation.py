"""The one record that goes through every stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hearten.core.conversation import Conversation, Profile, Role, Survey, Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import dump_line, parse_record
from hearten.core.taxonomy import LABEL_SET_NAMES, label_set, labels


def told(*turns, **fields):
    return {"id": "c1", "turns": [dict(turn) for turn in turns], **fields}


HELLO = {"speaker": "seeker", "text": "Hello"}
ASK = {"speaker": "supporter", "text": "What happened?", "strategy": "Question"}


def refused(value):
    with pytest.raises(Failure) as error:
        parse_record(value, Conversation, where="f, line 1")
    return error.value


def test_a_strategy_name_becomes_a_strategy_of_the_conversations_own_set():
    one = Conversation.model_validate(told(HELLO, ASK))
    other = Conversation.model_validate(told(HELLO, {**ASK, "strategy": "cla"}, label_set="extes"))
    assert one.turns[1].strategy is label_set("esconv").find("Question")
    assert other.turns[1].strategy is label_set("extes").find("Clarification")


@pytest.mark.parametrize(
    ("turn", "what", "field"),
    [
        ({**HELLO, "strategy": "Question"}, "a seeker turn carries a strategy", "turns.1"),
        ({**ASK, "feedback": 4}, "a supporter turn carries feedback stars", "turns.1"),
        ({**HELLO, "text": " \n "}, "string should have at least 1 character", "turns.1.text"),
        ({**HELLO, "feedback": 6}, "less than or equal to 5", "turns.1.feedback"),
        ({**HELLO, "speaker": "therapist"}, "'seeker' or 'supporter'", "turns.1.speaker"),
    ],
)
def test_a_turn_that_cannot_be_is_refused_with_its_place(turn, what, field):
    error = refused(told(HELLO, turn))
    assert what in error.what
    assert error.where == f"f, line 1, field {field}"


def test_an_unknown_strategy_names_the_turn_and_the_nearest_one():
    error = refused(told(HELLO, {**ASK, "strategy": "Qestion"}))
    assert error.what == "unknown strategy 'Qestion' in label set 'esconv' (turn 2)"
    assert error.fix.startswith("did you mean 'Question'?")


def test_an_unknown_field_and_label_set_name_the_nearest_one():
    assert refused(told({**HELLO, "txet": "x"})).fix.startswith("did you mean 'text'?")
    assert refused(told(HELLO, label_set="escnov")).fix.startswith("did you mean 'esconv'?")


def test_records_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Turn(speaker=Role.SEEKER, text="Hello").text = "Bye"


def test_a_profile_takes_what_released_files_write():
    profile = Profile(problem="Sleep Problems", emotion="Anxiety", experience="Previous Experience")
    assert (profile.problem, profile.emotion, profile.experience) == ("sleep problems", "anxiety", "previous")


def test_a_survey_is_complete_with_the_seekers_four_answers():
    answers = {"initial_intensity": 5, "final_intensity": 2, "empathy": 4, "relevance": 4}
    assert Survey(**answers).complete
    assert not any(Survey(**{k: v for k, v in answers.items() if k != gone}).complete for gone in answers)


def test_stars_rate_the_last_two_supporter_turns_before_them():
    stars = {**HELLO, "feedback": 4}
    one = Conversation.model_validate(told(stars, ASK, stars, ASK, HELLO, ASK, stars))
    assert list(one.rated_turns()) == [(4, ()), (4, (1,)), (4, (3, 5))]
    assert [index for index, _ in one.supporter_turns()] == [1, 3, 5]


said = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(str.strip)


@st.composite
def conversations(draw):
    known = draw(st.sampled_from(LABEL_SET_NAMES))
    strategy = st.none() | st.sampled_from(label_set(known).names)
    seeker = st.fixed_dictionaries(
        {"speaker": st.just("seeker"), "text": said}, optional={"feedback": st.integers(1, 5)}
    )
    supporter = st.fixed_dictionaries({"speaker": st.just("supporter"), "text": said, "strategy": strategy})
    profile = {
        "problem": draw(st.none() | st.sampled_from(labels("problems").names)),
        "emotion": draw(st.none() | st.sampled_from(labels("emotions").names)),
        "situation": draw(st.none() | st.text(st.characters(codec="utf-8"))),
    }
    turns = draw(st.lists(seeker | supporter, max_size=6))
    return {"id": draw(said), "label_set": known, "profile": profile, "turns": turns}


@given(conversations())
def test_through_json_and_back_nothing_changes(value):
    one = Conversation.model_validate(value)
    again = Conversation.model_validate_json(dump_line(one))
    assert again == one
    assert [turn.text for turn in one.turns] == [turn["text"].strip() for turn in value["turns"]]
