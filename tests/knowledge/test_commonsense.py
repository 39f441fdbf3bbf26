"""Commonsense: COMET on a tiny model, Event2Mind's votes by hand, a chat model asked."""

import json
from collections import Counter
from zipfile import ZipFile

import numpy as np
import pytest

from hearten.core.errors import Failure, UsageError
from hearten.knowledge import commonsense


class Parrot:
    """A chat model that answers with what it was asked, and remembers it."""

    name = "parrot"

    def __init__(self):
        self.heard = []

    def complete(self, messages, *, sampling=None, n=1):
        self.heard.append(messages)
        return ["Relieved, none; tired\nrelieved"]


def test_there_are_nine_relations_and_each_shot_has_them_all():
    names = commonsense.relation_names()
    assert len(names) == 9
    for shot in commonsense._table()["shots"]:
        assert set(shot) == {"event", *names}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["  To help. ", "to help", "none", "", "to  rest"], ["to help", "to rest"]),
        (["a", "b", "c", "d", "e", "f"], ["a", "b", "c", "d", "e"]),
    ],
)
def test_phrases_are_clean(said, expected):
    assert commonsense.phrases(said) == expected


def test_comet_asks_in_the_published_format(tiny_bart):
    comet = commonsense.open_commonsense(str(tiny_bart))
    assert comet.prompt(" I lost my job ", "xReact") == "I lost my job xReact"
    comet._generates = True  # a vocabulary with [GEN], as AI2's demo weights have
    assert comet.prompt("I lost my job", "xReact") == "I lost my job xReact [GEN]"


@pytest.mark.slow
def test_comet_answers_every_relation_and_padding_changes_nothing(tiny_bart):
    comet = commonsense.Comet(tiny_bart, beams=2)
    texts = ["I lost my job", "My sister would not answer, and now it is 2 o'clock."]
    together = comet.infer(texts)
    assert [set(row) for row in together] == [set(comet.relations)] * 2
    assert comet.infer(texts[:1])[0] == together[0]


def test_the_nearest_events_vote():
    # similarities 0.8 and 0.6 → weights 0.64 and 0.36; of the first, half wrote "sad" and half "none"
    events = {
        "PersonX loses a job": {"xReact": Counter({"sad": 1, "none": 1})},
        "PersonX misses a bus": {
            "xReact": Counter({"late": 3, "sad": 1}),
            "xIntent": Counter(["nan", "x's bus"]),
        },
    }
    found = commonsense.EventCommonsense(events)._vote(np.array([0.8, 0.6], dtype=np.float32))
    # sad: 0.64 / 2 + 0.36 / 4 = 0.41; late: 0.36 · 3 / 4 = 0.27; none is never said
    assert found["xReact"] == ["sad", "late"]
    assert found["xIntent"] == []


def test_events_are_read_as_people_wrote_them(tmp_path):
    archive = tmp_path / "event2mind.zip"
    rows = [
        "Source,Event,Xintent,Xemotion,Otheremotion,Xsent,Osent",
        'a,PersonX eats,"[""to be full""]","[""Full."", ""happy""]","[""none""]",,',
        'a,PersonX eats,"[""none""]","[""happy""]","[]",,',
    ]
    with ZipFile(archive, "w") as zipped:
        zipped.writestr("train.csv", "\n".join(rows))
    found = commonsense.read_events(archive)
    assert found == {
        "PersonX eats": {
            "xIntent": Counter({"to be full": 1, "none": 1}),
            "xReact": Counter({"happy": 2, "full": 1}),
            "oReact": Counter({"none": 1}),
        }
    }
    with ZipFile(archive, "w") as zipped:
        zipped.writestr("train.csv", "Event,Xintent,Xemotion\nPersonX eats,broken,[]")
    with pytest.raises(Failure, match="Xintent"):
        commonsense.read_events(archive)


def test_events_are_turned_to_the_first_person():
    assert commonsense._first_person("PersonX calls PersonY's ___") == "I calls someone's something"


def test_a_chat_model_is_asked_once_a_relation():
    model = Parrot()
    found = commonsense.open_commonsense("chat", model).infer(["I moved out."])
    assert len(model.heard) == 9
    assert found[0]["xReact"] == ["relieved", "tired"]
    assert model.heard[0][-1].content == "I moved out."
    assert "other people" in model.heard[0][0].content
    assert json.dumps(found)


def test_a_missing_model_says_what_to_get(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="COMET-BART"):
        commonsense.open_commonsense("evnts")
    monkeypatch.setenv("HEARTEN_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="data get event2mind"):
        commonsense.open_commonsense("events")
