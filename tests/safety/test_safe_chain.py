import pytest

from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.records import Reply
from hearten.core.supporter import Supporter
from hearten.core.taxonomy import label_set
from hearten.safety import screen as screen_module
from hearten.safety.chain import ChainSettings, SafeSupporter

ESCONV = label_set("esconv")


@pytest.fixture(autouse=True)
def rules_alone(monkeypatch):
    monkeypatch.setattr(screen_module, "_classifier", lambda: None)


class Scripted:
    """Answers from a list and remembers what it was asked for."""

    name = "scripted"

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    def reply(self, conversation, *, strategy=None, n=1):
        self.asked.append(strategy)
        return [self.replies.pop(0) if len(self.replies) > 1 else self.replies[0] for _ in range(n)]


def talk(*texts):
    roles = (Role.SEEKER, Role.SUPPORTER)
    turns = tuple(Turn(speaker=roles[number % 2], text=text) for number, text in enumerate(texts))
    return Conversation(id="c", turns=turns)


def test_it_is_a_supporter_and_lets_a_good_reply_through():
    safe = SafeSupporter(Scripted(Reply(text="What happened then?")))
    assert isinstance(safe, Supporter)
    assert safe.reply(talk("my boss is rude"))[0].text == "What happened then?"


def test_the_care_path_leads_and_the_inner_supporter_is_not_asked():
    inner = Scripted(Reply(text="Tell me about football."))
    reply = SafeSupporter(inner, ChainSettings(region="us")).reply(talk("I want to kill myself"))[0]
    assert "988" in reply.text
    assert inner.asked == []
    assert reply.details["safety"]["care"] == "open"
    assert reply.details["safety"]["finding"]["crisis"] is True


def test_while_staying_both_speak():
    reply = SafeSupporter(Scripted(Reply(text="Football can be a rest."))).reply(
        talk("I want to kill myself", "…", "let's talk football")
    )[0]
    assert reply.text.startswith("Football can be a rest. ")
    assert len(reply.text) > len("Football can be a rest. ")


def test_a_bad_reply_is_asked_for_once_more_then_mended_then_replaced():
    bad = Reply(text="That is hard to carry. When I lost my job I cried.")
    worse = Reply(text="I promise.")
    again = SafeSupporter(Scripted(bad, Reply(text="What helps?")))
    assert again.reply(talk("hi"))[0].text == "What helps?"
    mended = SafeSupporter(Scripted(bad, worse))
    assert mended.reply(talk("hi"))[0].text == "That is hard to carry."
    replaced = SafeSupporter(Scripted(worse)).reply(talk("hi"))[0]
    assert replaced.text != "I promise."
    assert replaced.details["safety"]["output"]["kinds"] == ["promise"]


def test_a_forbidden_strategy_is_asked_again_with_the_next_best():
    chosen = Reply(
        text="I left once too.",
        strategy=ESCONV.find("Self-disclosure"),
        probabilities={"Self-disclosure": 0.6, "Question": 0.1, "Reflection of feelings": 0.3},
    )
    inner = Scripted(chosen, Reply(text="You feel alone.", strategy=ESCONV.find("Reflection of feelings")))
    safe = SafeSupporter(inner)
    assert safe.reply(talk("hi"))[0].text == "You feel alone."
    assert inner.asked == [None, ESCONV.find("Reflection of feelings")]
    safe.reply(talk("hi"), strategy=ESCONV.find("Self-disclosure"))
    assert inner.asked[-1] is None


def test_asked_whether_it_is_human_it_tells_the_truth():
    reply = SafeSupporter(Scripted(Reply(text="Yes I'm human."))).reply(talk("are you a real person?"))[0]
    assert "AI" in reply.text


def test_counts_hold_numbers_only():
    safe = SafeSupporter(Scripted(Reply(text="ok then")))
    safe.reply(talk("I want to kill myself"))
    assert all("kill" not in key for key in safe.counts)
    assert safe.counts["finding:active-ideation"] == 1


def test_n_replies_are_all_screened():
    replies = SafeSupporter(Scripted(Reply(text="I love you."))).reply(talk("hi"), n=3)
    assert len(replies) == 3
    assert all("love" not in reply.text for reply in replies)
