"""Rewrites on a test part: counted by round, resumed, and one combination of models a ledger."""

import pytest

from hearten.align.refining import by_rewrites, refine
from hearten.core.errors import Failure
from hearten.core.rater import facet, verdict
from hearten.core.records import Reply
from hearten.models.refine import Refined


class Says:
    """Tells the seeker what to do, and keeps count."""

    name = "says"

    def __init__(self):
        self.asked = []

    def reply(self, conversation, *, strategy=None, n=1):
        self.asked.append(conversation)
        return [Reply(text="you must")] * n


class Writes:
    """Rewrites to one text after the other."""

    name = "writes"

    def __init__(self, *texts):
        self.texts = list(texts)

    def complete(self, messages, *, sampling=None, n=1):
        return [self.texts.pop(0)]


class Strict:
    name, facets = "strict", ("skill",)

    def rate(self, context, replies):
        good, bad = "Other", facet("skill").unhelpful[0]
        return [
            (
                verdict(
                    "skill",
                    dict.fromkeys(facet("skill").classes, 0.0) | {bad if "must" in one else good: 1.0},
                ),
            )
            for one in replies
        ]


def test_the_share_after_every_rewrite_by_hand(tmp_path, supporter_turns):
    turns, says = supporter_turns[:3], Says()
    writer = Writes("I see", "you must, must", "That is hard", "must", "must")
    refined = Refined(says, Strict(), writer, rounds=2)
    ledger = tmp_path / "refined.jsonl"
    found = refine(says, refined, turns, ledger, by="a", quiet=True)
    assert [one.replies for one in found] == [
        ("you must", "I see"),
        ("you must", "you must", "That is hard"),
        ("you must", "you must", "you must"),
    ]
    assert [table.helpful for table in by_rewrites(found, 2)] == [
        0.0,
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    ]
    assert says.asked[0].turns == turns[0].context
    with ledger.open("a") as stream:
        stream.write('{"conversation_id": "torn')
    assert refine(says, refined, turns, ledger, by="a", quiet=True) == found
    assert len(says.asked) == 3, "nothing is answered twice"
    with pytest.raises(Failure, match="replies of 'a'"):
        refine(says, refined, turns, ledger, by="b", quiet=True)
    other = turns[0].model_copy(update={"context": turns[1].context})
    with pytest.raises(Failure, match="another context"):
        refine(says, refined, [other], ledger, by="a", quiet=True)
