"""`hearten data check`: exact counts on the real ESConv, repeats, hints, warnings."""

import json

import corpora_made_up as made_up
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.cli import main
from hearten.core.conversation import Conversation
from hearten.core.shingles import shingles
from hearten.data import read_corpus
from hearten.data.check import check
from hearten.data.duplicates import exact_duplicates, likeness
from hearten.data.pii import find, mask


def conversation(name: str, *texts: str) -> Conversation:
    roles = ("seeker", "supporter")
    turns = [{"speaker": roles[n % 2], "text": text} for n, text in enumerate(texts)]
    return Conversation.model_validate({"id": name, "turns": turns})


# Counted on ESConv.json by the project's fact sheet and by the released README (strategies, problems).
ESCONV_COUNTS = {
    "conversations": 1300,
    "utterances": 38365,
    "supporter_utterances": 18376,
    "seeker_utterances": 19989,
    "stars": 7681,
    "complete_seeker_surveys": 1150,
    "duplicates": 0,
    "strategies": {
        "Question": 3801,
        "Restatement or Paraphrasing": 1089,
        "Reflection of feelings": 1436,
        "Self-disclosure": 1713,
        "Affirmation and Reassurance": 2827,
        "Providing Suggestions": 2954,
        "Information": 1215,
        "Others": 3341,
    },
}


@pytest.fixture(scope="module")
def esconv_report(esconv_file):
    return check(read_corpus(esconv_file))


@pytest.mark.parametrize("key", ESCONV_COUNTS)
def test_counts_of_the_real_esconv(esconv_report, key):
    assert esconv_report[key] == ESCONV_COUNTS[key]


def test_the_seed_13_split_of_esconv_shares_two_situations(esconv_report):
    # FIELD.md 1b: "Two test situations recur in train; no duplicated dialogue."
    assert esconv_report["leaks"]["situations"] == 2
    assert esconv_report["leaks"]["conversations"] == 0
    assert not esconv_report["leaks"]["leaky"]


def test_the_command_prints_one_json_object(tmp_path, capsys):
    path = made_up.write_json(tmp_path / "x.json", [made_up.ESCONV_RECORD])
    with pytest.raises(SystemExit) as left:
        main(["data", "check", str(path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert left.value.code == 0
    assert report["format"] == "esconv"
    assert report["strategies"]["Question"] == 1
    assert "not_checked" in report["leaks"]


def test_the_table_names_the_licence_and_the_next_command(tmp_path, capsys):
    path = made_up.write_json(tmp_path / "x.json", [made_up.ESCONV_RECORD])
    with pytest.raises(SystemExit):
        main(["data", "check", str(path)])
    out = capsys.readouterr().out
    assert "CC BY-NC 4.0" in out
    assert "Next: hearten data stats" in out.splitlines()[-1]
    assert max(len(line) for line in out.splitlines() if "x.json" not in line) <= 100


def test_exact_duplicates_ignore_case_and_punctuation():
    found = exact_duplicates([conversation("a", "Hello.", "Well?"), conversation("b", "hello", "Well")])
    assert [(pair.first, pair.second) for pair in found] == [("a", "b")]


def test_jaccard_by_hand():
    # shingles of a: {one two three, two three four}; of b: {one two three, two three five}: 1 shared of 3
    pair = likeness([conversation("a", "one two three four"), conversation("b", "one two three five")]).near[
        0
    ]
    assert pair.similarity == pytest.approx(1 / 3, abs=1e-4)


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=12), min_size=2, max_size=6))
def test_the_matrix_product_counts_what_sets_count(texts):
    made = [conversation(str(n), " ".join(words)) for n, words in enumerate(texts)]
    sets = {one.id: shingles(one) for one in made}
    for pair in likeness(made, near=0.0001).near:
        a, b = sets[pair.first], sets[pair.second]
        assert pair.similarity == pytest.approx(len(a & b) / len(a | b), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to anna.k@example.org please", "emails"),
        ("see https://example.org/help now", "urls"),
        ("look at example.com", "urls"),
        ("call 555-123-4567 tonight", "phone_numbers"),
        ("my number is +441632960961", "phone_numbers"),
        ("I am @quiet_reader there", "handles"),
    ],
)
def test_hints_of_personal_data(text, kind):
    found = list(find(text))
    assert [name for name, _ in found] == [kind]
    assert "*" in found[0][1]


@pytest.mark.parametrize(
    "text", ["I slept 5 hours, 3-4 times", "at 10.30 on 2020-11-03", "and/or", "90.5%", "$1,000"]
)
def test_no_hint_where_there_is_none(text):
    assert list(find(text)) == []


def test_masks_hide_all_but_first_characters():
    assert mask("anna@x.org") == "a***@x.o**"


def test_warnings_name_what_looks_wrong(tmp_path):
    lines = [
        {"id": "one", "turns": [{"speaker": "seeker", "text": "Hello"}]},
        {"id": "one", "turns": [{"speaker": "supporter", "text": "Hi", "strategy": "Others"}]},
    ]
    report = check(read_corpus(made_up.write_lines(tmp_path / "x.jsonl", lines)))
    assert any("share their id" in warning for warning in report["warnings"])
    assert any("only one speaker" in warning for warning in report["warnings"])
