"""Keywords, valence from a lexicon, clauses and causes, and the cache they all go through."""

import pytest

from hearten.core.errors import Failure
from hearten.knowledge.affect import affect, read_lexicon
from hearten.knowledge.cache import KnowledgeCache
from hearten.knowledge.cause import causes, clauses
from hearten.knowledge.keywords import Keywords, content_words


class Weeping:
    """A detector that finds sadness wherever a text says `lost`, and nothing elsewhere."""

    name = "weeping"
    labels = ("sadness", "none")

    def detect(self, texts):
        return [{"sadness": float("lost" in text), "none": float("lost" not in text)} for text in texts]

    def raw(self, texts):
        raise NotImplementedError


def test_function_words_carry_no_topic():
    assert content_words("I can't believe that my boss, again, shouted") == ["believe", "boss", "shouted"]


def test_rare_words_come_first():
    learned = Keywords.learn(["the exam and the exam", "my exam", "my landlord"])
    assert learned.choose(["The exam and my landlord"]) == [["landlord", "exam"]]
    assert Keywords().choose(["a landlord at an exam"], limit=1) == [["landlord"]]


def test_values_are_means_over_known_words(tmp_path):
    file = tmp_path / "lexicon.tsv"
    file.write_text("word\tvalence\tarousal\tdominance\nhappy\t0.9\t0.5\t0.7\nalone\t0.2\t0.3\t0.1\n")
    lexicon = read_lexicon(file)
    found = affect(["Happy but alone", "not happy", "hm"], lexicon)
    assert found[0] == pytest.approx([0.55, 0.4, 0.4])
    assert found[1] == pytest.approx([0.1, 0.5, 0.7])  # 1 − 0.9
    assert found[2] is None


def test_a_lexicon_line_that_is_none_is_named(tmp_path):
    file = tmp_path / "lexicon.csv"
    file.write_text("happy,0.9,0.5,0.7\nsad,0.1\n")
    with pytest.raises(Failure, match="line 2"):
        read_lexicon(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I cry because she left.", ["I cry", "because she left."]),
        ("It rains. I lost it, and he laughed.", ["It rains.", "I lost it,", "and he laughed."]),
        ("One only", ["One only"]),
    ],
)
def test_clauses_hold_every_word(text, expected):
    assert [part.rstrip(",") for part in clauses(text)] == [part.rstrip(",") for part in expected]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("It rains today. I lost my dog. We had tea.", "I lost my dog."),
        ("I feel so lost because she left. Bye.", "because she left."),
        ("I lost.", "I lost."),
        ("We had tea.", None),
    ],
)
def test_a_cause_is_said_or_is_missed_most(text, cause):
    assert causes([text], Weeping()) == [cause]


def test_answers_survive_and_models_do_not_share_them(tmp_path):
    KnowledgeCache("emotion", "model a", tmp_path).add(["hello", "bye"], [{"x": 1}, None])
    again = KnowledgeCache("emotion", "model a", tmp_path)
    assert again["hello"] == {"x": 1}
    assert again["bye"] is None
    assert "other" not in again
    assert "hello" not in KnowledgeCache("emotion", "model b", tmp_path)
    assert "hello" not in again.file.read_text()


def test_a_torn_line_costs_that_line_alone(tmp_path):
    first = KnowledgeCache("emotion", "m", tmp_path)
    first.add(["a", "b"], [1, 2])
    first.file.write_text(first.file.read_text()[:-4])
    again = KnowledgeCache("emotion", "m", tmp_path)
    assert "a" in again
    assert "b" not in again
    again.add(["b"], [3])
    assert len(KnowledgeCache("emotion", "m", tmp_path)) == 2
