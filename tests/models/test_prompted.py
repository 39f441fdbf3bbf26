"""A chat model as a supporter: zero-shot, shown exchanges, told a strategy."""

import pytest

from hearten.core.conversation import Conversation
from hearten.core.errors import UsageError
from hearten.core.taxonomy import label_set
from hearten.models.supporters import PromptedSupporter, exemplars, open_supporter

ESCONV = label_set("esconv")


class Listening:
    """A chat model that remembers what it was asked."""

    name = "listening"

    def __init__(self):
        self.asked = []

    def complete(self, messages, *, sampling, n=1):
        self.asked = list(messages)
        return ["I hear you."] * n

    def stream(self, messages, *, sampling):
        self.asked = list(messages)
        yield "I hear "
        yield "you."


TALK = Conversation.model_validate({"id": "t", "turns": [{"speaker": "seeker", "text": "I cannot sleep."}]})


def test_there_is_one_exchange_for_every_strategy():
    assert [one.strategy for one in exemplars()] == list(ESCONV.names)
    assert all(len(one.supporter.split()) < 30 for one in exemplars())


def test_zero_shot_shows_nothing():
    model = Listening()
    assert [reply.text for reply in PromptedSupporter(model).reply(TALK, n=2)] == ["I hear you."] * 2
    system, user = model.asked
    assert "They wrote" not in system.content
    assert (user.role, user.content) == ("user", "I cannot sleep.")


def test_exchanges_are_shown_and_a_strategy_stands_at_the_end():
    model = Listening()
    supporter = PromptedSupporter(model, shown=exemplars()[:3])
    supporter.reply(TALK)
    assert model.asked[0].content.count("You answered:") == 3
    forced = ESCONV.find("Reflection of feelings")
    (*_, last) = supporter.stream(TALK, strategy=forced)
    assert forced.definition in model.asked[-1].content
    assert (last.text, last.strategy) == ("I hear you.", forced)


@pytest.mark.parametrize(
    "name", ["few-shot:embedded", "few-shot:0:embedded", "few-shot:9:embedded", "few-shot:3:"]
)
def test_a_number_of_exchanges_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="how many examples"):
        open_supporter(name)


def test_the_number_of_exchanges_is_part_of_the_name(monkeypatch):
    monkeypatch.setattr("hearten.lm.chat.open_chat_model", lambda name, engine=None: Listening())
    supporter = open_supporter("few-shot:2:anything")
    supporter.reply(TALK)
    assert supporter._model.asked[0].content.count("You answered:") == 2
