"""Refinement: what is rewritten, how often, and what is never made worse."""

import pytest

from hearten.core.conversation import Conversation
from hearten.core.rater import facet, verdict
from hearten.core.records import FacetVerdict, Reply
from hearten.core.supporter import StreamingSupporter
from hearten.models.refine import BestOf, Refined, helpfulness

TALK = Conversation.model_validate(
    {"id": "t", "turns": [{"speaker": "seeker", "text": "I have not slept since the letter came."}]}
)


class Says:
    name = "says"

    def __init__(self, *texts):
        self.texts = texts

    def reply(self, conversation, *, strategy=None, n=1):
        return [Reply(text=text, strategy=strategy) for text in self.texts[:n]]


class Writes:
    name = "writes"

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def complete(self, messages, *, sampling=None, n=1):
        self.asked.append(messages[0].content)
        return [self.texts.pop(0)]


class Words:
    """Unhelpful on a facet when its first letter, doubled, stands in the reply."""

    name, facets = "words", ("empathy", "skill", "coherence")

    def rate(self, context, replies):
        return [tuple(self.one(name, reply) for name in self.facets) for reply in replies]

    def one(self, name, reply):
        if "??" in reply:
            return FacetVerdict(facet=name, label=None, helpful=None)
        share = 0.8 if name[0] * 2 in reply.split() else 0.1 + len(reply) / 1000
        bad, good = facet(name).unhelpful[0], next(c for c in facet(name).classes if facet(name).helpful(c))
        return verdict(name, dict.fromkeys(facet(name).classes, 0.0) | {bad: share, good: 1 - share})


def test_a_helpful_reply_is_given_as_it_is():
    writer = Writes()
    supporter = Refined(Says("fine"), Words(), writer)
    assert isinstance(supporter, StreamingSupporter)
    (reply,) = supporter.reply(TALK)
    assert reply.text == "fine"
    assert [one["helpful"] for one in reply.details["verdicts"]] == [True, True, True]
    assert "drafts" not in reply.details
    assert not writer.asked


def test_the_failing_facets_are_pointed_out():
    writer = Writes("ss still", "all good")
    (reply,) = Refined(Says("ss cc"), Words(), writer).reply(TALK)
    assert reply.text == "all good"
    assert reply.details["drafts"] == ["ss cc", "ss still"]
    assert facet("skill").advice in writer.asked[0]
    assert facet("coherence").advice in writer.asked[0]
    assert facet("empathy").advice not in writer.asked[0]
    assert facet("coherence").advice not in writer.asked[1], "mended by then"
    assert "I have not slept since the letter came." in writer.asked[0]
    assert "ss cc" in writer.asked[0]
    assert "ss still" in writer.asked[1]


def test_it_ends_after_so_many_rounds_and_keeps_the_best():
    writer = Writes("ss ee cc", "ss", "never asked")
    (reply,) = Refined(Says("ss cc"), Words(), writer, rounds=2).reply(TALK)
    assert reply.text == "ss", "a rewrite that fails more facets is not taken"
    assert len(writer.asked) == 2


def test_a_rewrite_that_is_no_better_is_not_taken():
    writer = Writes("ss " + "so many more words that help nobody " * 3, "ss too")
    (reply,) = Refined(Says("ss"), Words(), writer, rounds=1).reply(TALK)
    assert reply.text == "ss", "it fails on the same facet and is less likely to be helpful on the others"


@pytest.mark.parametrize("writer", [None, "empty"])
def test_without_a_usable_rewrite_the_reply_stays(writer):
    asked = Writes("", "") if writer else None
    (reply,) = Refined(Says("ss"), Words(), asked).reply(TALK)
    assert reply.text == "ss"
    assert reply.details["verdicts"][1]["helpful"] is False


def test_what_could_not_be_rated_is_left_alone():
    writer = Writes("x")
    (reply,) = Refined(Says("so??"), Words(), writer).reply(TALK)
    assert reply.text == "so??"
    assert not writer.asked


def test_the_best_of_several_by_hand():
    (reply,) = BestOf(Says("ss", "a long reply that is fine", "fine", "cc"), Words(), 4).reply(TALK)
    assert reply.text == "fine", "0.896^3 beats 0.875^3; the others have a factor of 0.2"
    assert helpfulness(Words().rate((), ["ss"])[0]) == pytest.approx(0.898 * 0.2 * 0.898)
    assert helpfulness(Words().rate((), ["??"])[0]) == pytest.approx(0.125)
    two = BestOf(Says("ss", "fine", "cc"), Words(), 3).reply(TALK, n=2)
    assert two[0].text == "fine"
    assert len(two) == 2


def test_silence_is_never_the_best():
    (reply,) = BestOf(Says(" ", "ss"), Words(), 2).reply(TALK)
    assert reply.text == "ss"
    (nothing,) = BestOf(Says("", ""), Words(), 2).reply(TALK)
    assert nothing.text == ""
