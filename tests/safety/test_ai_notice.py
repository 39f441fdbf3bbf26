import pytest

from hearten.safety import notice


@pytest.mark.parametrize(
    "text",
    [
        "are you a bot?",
        "r u human",
        "Am I talking to a real person?",
        "who are you?",
        "are you an AI",
        "is this a robot",
    ],
)
def test_a_question_about_the_machine_is_heard(text):
    assert notice.asks(text)


@pytest.mark.parametrize(
    "text", ["are you there?", "are you okay?", "you are a real friend", "he is a machine"]
)
def test_other_questions_are_not(text):
    assert not notice.asks(text)


def test_the_first_words_say_ai_not_therapy_and_where_to_call():
    assert all(word in notice.start("uk") for word in ("AI", "not therapy", "999", "findahelpline.com"))
    assert "under 18" in notice.start(minor=True)


def test_the_timer():
    assert not notice.due(3 * 3600 - 1)
    assert notice.due(3 * 3600)
    assert notice.due(60, every=60)
    assert "break" in notice.reminder(minor=True)
