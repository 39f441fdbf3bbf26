"""Knowledge in a chat: the same annotations as in a corpus, each text asked once, gaps left out."""

import pytest

from hearten.annotate.run import annotate
from hearten.core.conversation import Conversation, Profile, Role, Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import read_records
from hearten.knowledge import live
from hearten.knowledge.kinds import Annotator
from hearten.knowledge.live import LiveKnowledge, Remembered, open_live


class Counting:
    """Answers with the number of letters, and counts what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        return [{"letters": len(text)} for text in texts]


def talk(*said, situation=None):
    turns = tuple(
        Turn(speaker=Role.SUPPORTER if number % 2 else Role.SEEKER, text=text)
        for number, text in enumerate(said)
    )
    return Conversation(id="live", turns=turns, profile=Profile(situation=situation))


@pytest.fixture
def answerer():
    return Counting()


def annotator(answerer):
    return Annotator("letters", "letters", answerer, situation="about")


def test_a_text_is_asked_once_however_long_the_talk(answerer):
    knowledge = LiveKnowledge([Remembered(annotator(answerer), "seeker")])
    for length in (1, 3, 5):
        said = ("alone", "since when?", "a year", "and now?", "alone")[:length]
        found = knowledge.annotated(talk(*said, situation="lost work"))
    assert answerer.asked == ["alone", "lost work", "a year"]
    assert [turn.annotations for turn in found.turns] == [
        {"letters": 5, "about": 9}, None, {"letters": 6}, None, {"letters": 5},
    ]  # fmt: skip


def test_a_chat_carries_what_the_corpus_carries(answerer, tmp_path):
    said = talk("alone", "since when?", "a year", situation="lost work")
    annotate([said], annotator(answerer), tmp_path / "out.jsonl", who="seeker", cache=tmp_path, quiet=True)
    (written,) = read_records(tmp_path / "out.jsonl", Conversation)
    assert LiveKnowledge([Remembered(annotator(answerer), "seeker")]).annotated(said) == written


def test_only_the_latest_texts_are_remembered(answerer, monkeypatch):
    monkeypatch.setattr(live, "KEPT", 2)
    one = Remembered(annotator(answerer), "all")
    for said in (("a", "b", "c"), ("b",), ("a",)):
        one.on(talk(*said))
    assert answerer.asked == ["a", "b", "c", "a"]


def test_what_is_not_here_is_named_and_left_out(answerer, monkeypatch, capsys):
    def absent():
        raise Failure("the graph is not here", fix="get it")

    sources = {"distress": ("seeker", absent), "letters": ("all", lambda: annotator(answerer))}
    monkeypatch.setattr(live, "SOURCES", sources)
    knowledge = open_live({"distress", "letters", "keywords"})
    assert "replies go without distress: the graph is not here" in capsys.readouterr().err
    assert knowledge.annotated(talk("hm")).turns[0].annotations == {"letters": 2}
