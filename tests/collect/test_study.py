"""Study files, the tutorial's content, exams, surveys, attention and the removal of personal details."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.collect.attention import Attention
from hearten.collect.study import Pay, SeekerSurvey, Study, Training, load_study
from hearten.collect.surveys import SEEKER_AFTER, read_answers, seeker_before
from hearten.collect.training import attempts_left, draw_exam, mark, tutorial
from hearten.core.errors import UsageError
from hearten.core.pii import scrub
from hearten.core.taxonomy import label_set


def test_a_study_needs_only_a_name_and_a_title(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('name = "pilot"\ntitle = "Pilot"\n')
    study = load_study(path)
    assert (study.chat.end_turns, study.chat.end_minutes, study.chat.silence_minutes) == (10, 15, 3)
    assert len(study.seeker.problems) == 5  # the paper's five and seven
    assert len(study.seeker.emotions) == 7


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('titel = "x"', "did you mean 'title'"),
        ("[chat]\nend_turn = 3", "did you mean 'end_turns'"),
        ('[seeker]\nproblems = ["job crises"]', "job crisis"),
        ('supporter = "model"', "needs a model"),
        ("[ethics]\nminimum_age = 16", "greater than or equal to 18"),
        ('label_set = "esconf"', "esconv"),
        ('[judge]\nkind = "chat"\nsupporters = ["a"]', "two or three"),
    ],
)
def test_a_wrong_study_is_refused_with_the_way_out(tmp_path, line, says):
    path = tmp_path / "study.toml"
    path.write_text(f'name = "pilot"\ntitle = "Pilot"\n{line}\n')
    with pytest.raises(UsageError) as refusal:
        load_study(path)
    assert says in str(refusal.value)


def test_names_that_cannot_be_addresses_are_refused():
    with pytest.raises(ValueError, match="cannot be part of an address"):
        Study(name="My Study", title="x")


def test_the_tutorial_has_three_stages_and_every_strategy():
    school = tutorial("esconv")
    assert [task.stage for task in school.tasks if task.stage] == list(label_set("esconv").stages)
    assert [task.strategy for task in school.tasks if task.strategy] == list(label_set("esconv").names)
    assert all(school.definition_of(task) and task.example and task.quiz.why for task in school.tasks)


def test_the_right_answer_is_not_always_in_one_place():
    places = [question.right for task in tutorial("esconv").tasks for question in (task.quiz, task.exam)]
    assert max(places.count(place) for place in set(places)) < 0.75 * len(places)


def test_an_exam_is_the_same_for_one_seed_and_marks_by_share():
    rule, school = Training(), tutorial("esconv")
    exam = draw_exam(school, rule, "P1/1")
    assert exam == draw_exam(school, rule, "P1/1")
    assert exam != draw_exam(school, rule, "P1/2")
    answers = {task.key: str(task.exam.right) for task in exam}
    assert mark(exam, answers, rule).passed
    two_wrong = {**answers, **{task.key: "0" for task in exam[:2]}}
    assert mark(exam, two_wrong, rule).passed  # 9 of 11 is 82%
    three_wrong = {**answers, **{task.key: "0" for task in exam[:3]}}
    assert not mark(exam, three_wrong, rule).passed
    assert mark(exam, three_wrong, rule).wrong == tuple(task.key for task in exam[:3])


def test_attempts_are_limited_and_can_be_granted():
    assert [attempts_left(Training(), used, 0) for used in (0, 2, 3, 4)] == [3, 1, 0, 0]
    assert attempts_left(Training(), 3, 1) == 1


def test_pay_follows_figure_8():
    pay = Pay(base=2, currency="EUR")
    assert [pay.reward("seeker", status) for status in ("01", "02", "03")] == [2, 3, 20]
    assert [pay.reward("supporter", status) for status in ("00", "01", "02", "03")] == [2, 2, 20, 20]


GOOD = {
    "problem": "job crisis", "emotion": "fear", "initial_intensity": "4", "experience": "current",
    "situation": " ".join(["word"] * 20),
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, {}),
        ({"situation": " ".join(["word"] * 19)}, {"situation": "words"}),
        ({"situation": " ".join(["word"] * 80)}, {}),
        ({"situation": " ".join(["word"] * 81)}, {"situation": "words"}),
        ({"initial_intensity": "6"}, {"initial_intensity": "not_stars"}),
        ({"problem": "rain"}, {"problem": "not_listed"}),
        ({"emotion": ""}, {"emotion": "missing"}),
    ],
)
def test_the_seekers_survey(change, problem):
    assert read_answers(seeker_before(SeekerSurvey()), {**GOOD, **change})[1] == problem


def test_free_questions_may_stay_open():
    form = {"natural": "yes", "final_intensity": "2", "empathy": "5", "relevance": "5", "email": "no address"}
    answers, problems = read_answers(SEEKER_AFTER, form)
    assert problems == {"email": "not_email"}
    assert "seeker_question1" not in answers


def test_copied_repeated_and_perfunctory_messages_are_noticed():
    attention = Attention(tutorial("esconv").sentences())
    taught = "So nearly everything rests on you, and what they noticed was the one thing that slipped!"
    assert attention.flags(taught, []) == ("copied",)
    assert attention.flags("That must have been a hard evening for you.", []) == ()
    assert attention.flags("how are you", ["How are you?"]) == ("repeated",)
    assert attention.flags("yes", ["ok", "sure"]) == ("short",)
    assert attention.flags("yes", ["ok", "tell me more about that"]) == ()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail ana.b+x@mail.example.org now", "mail [email] now"),
        ("see https://example.org/me?x=1 there", "see [url] there"),
        ("call +44 20 7946 0958 or 5550104477", "call [phone] or [phone]"),
        ("my name is Ana Lind and I", "my name is [name] and I"),
        ("card 4111 1111 1111 1111", "card [card]"),
        ("I slept 8 hours, twice in 2020, at 7:30", "I slept 8 hours, twice in 2020, at 7:30"),
        ("ask @ana_lind", "ask [handle]"),
        ("server 192.168.10.4", "server [ip]"),
    ],
)
def test_personal_details_leave_a_placeholder(text, clean):
    assert scrub(text).text == clean


@given(st.text())
def test_scrubbing_twice_changes_nothing_more(text):
    once = scrub(text).text
    assert scrub(once).text == once
