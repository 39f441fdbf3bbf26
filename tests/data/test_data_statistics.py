"""Corpus tables: hand-worked arithmetic, the paper's figures where the corpus is here, Markdown and SVG."""

import json
import math

import corpora_made_up as made_up
import numpy as np
import pytest

from hearten.cli import main
from hearten.core.conversation import Conversation
from hearten.core.taxonomy import label_set
from hearten.data import read_corpus
from hearten.data.log_odds import marks, terms, z_scores
from hearten.data.statistics import published, statistics
from hearten.data.tables import markdown, sheets
from hearten.data.transitions import strategy_path, transitions


def supporter_only(*strategies):
    turns = [{"speaker": "supporter", "text": "Said.", "strategy": name} for name in strategies]
    return Conversation.model_validate({"id": "x", "turns": turns})


def test_adjacent_equal_strategies_are_merged_before_hops_are_counted():
    one = supporter_only("Question", "Question", "Information", "Question", "Information")
    assert strategy_path(one) == ["Qu", "In", "Qu", "In"]
    found = transitions([one], 3)
    assert [(row.chain, row.count, row.per_mille) for row in found] == [
        (("Qu", "In", "Qu"), 1, 500.0),
        (("In", "Qu", "In"), 1, 500.0),
    ]


def test_z_by_hand():
    # Monroe et al. 2008: y_i = (3, 1), y_j = (1, 3), background (4, 4) scaled to 8 in all: prior (4, 4)
    z = z_scores(np.array([3.0, 1.0]), np.array([1.0, 3.0]), np.array([4.0, 4.0]), prior_words=8)
    expected = (math.log(7 / 5) - math.log(5 / 7)) / math.sqrt(1 / 7 + 1 / 5)
    assert z == pytest.approx([expected, -expected])


def test_terms_are_words_and_pairs():
    assert terms("Are you OK?") == ["are", "you", "ok", "are you", "you ok"]


def test_a_marked_word_is_found():
    said = [("A", "maybe try this")] * 12 + [("B", "are you there")] * 12
    found = marks(said, top=3)
    assert "maybe" in [mark.term for mark in found["A"]]
    assert "are" in [mark.term for mark in found["B"]]
    assert all(mark.z > 0 for listed in found.values() for mark in listed)


def test_feedback_thirds_and_intensity(tmp_path):
    found = statistics(read_corpus(made_up.write_json(tmp_path / "x.json", [made_up.ESCONV_RECORD])))
    assert found["feedback_by_phase"] == {"second third": 4.0}  # turn 4 of 5: 3 * 3 // 5 = 1
    assert found["intensity_change"] == {"3": 1}
    assert found["overview"]["words per seeker utterance"] == 3.5  # 2 and 5 words


def test_a_corpus_without_labels_has_fewer_tables(tmp_path, capsys):
    path = made_up.write_lines(tmp_path / "x.jsonl", [made_up.CHAT_RECORD])
    found = statistics(read_corpus(path))
    assert found["strategies"] == {}
    assert [sheet.title for sheet in sheets(found)] == ["Overview"]
    with pytest.raises(SystemExit) as left:
        main(["data", "figures", str(path), "--out", str(tmp_path / "figures")])
    assert left.value.code == 1
    assert "neither strategies nor stars" in capsys.readouterr().err


@pytest.mark.parametrize("record", ["ESCONV_RECORD", "EXTES_RECORD"])
def test_stats_writes_tables_and_figures_for_any_label_set(tmp_path, record, capsys):
    path = made_up.write_json(tmp_path / "x.json", [getattr(made_up, record)])
    with pytest.raises(SystemExit) as left:
        main(["data", "stats", str(path), "--out", str(tmp_path / "out")])
    assert left.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
    assert (tmp_path / "out" / "stats.md").read_text().startswith("# ")
    assert json.loads((tmp_path / "out" / "stats.json").read_text())["overview"]["conversations"] == 1
    drawn = (tmp_path / "out" / "strategies-by-progress.svg").read_text()
    assert drawn.rstrip().endswith("</svg>")


def test_json_goes_to_standard_output_alone(tmp_path, capsys):
    path = made_up.write_json(tmp_path / "x.json", [made_up.ESCONV_RECORD])
    with pytest.raises(SystemExit):
        main(["data", "stats", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)["label_set"] == "esconv"


@pytest.mark.parametrize("source", ["esconv", "extes"])
def test_published_names_are_ours(source):
    names = label_set(source).names
    abbreviations = {strategy.abbreviation for strategy in label_set(source)}
    for table in published(source).values():
        assert set(table.get("strategies", {})) <= set(names)
        chains = table.get("transitions", {})
        assert {part for chain in chains for part in chain.split(" → ")} <= abbreviations


def test_published_sums():
    paper = published("esconv")["paper"]
    assert sum(paper["problems"].values()) == sum(paper["emotions"].values()) == 1053  # Table 3
    assert sum(paper["strategies"].values()) == 14855  # Table 3
    assert sum(paper["stars"].values()) == 6213  # Table 3
    assert sum(published("esconv")["readme"]["strategies"].values()) == 18376  # with Other 3,341, not 3,661
    assert sum(published("extes")["paper"]["strategies"].values()) == 97894  # the paper prints 97,893
    assert sum(published("extes")["paper"]["scenarios"].values()) == 11183  # its rows; the paper has 11,177


@pytest.fixture(scope="module")
def esconv(esconv_file):
    return statistics(read_corpus(esconv_file))


def test_esconv_against_the_fact_sheet(esconv):
    # esconv_platform.md C: mean 29.51 turns, 16.4 words; stars by thirds 4.07 / 4.31 / 4.49; intensity 4.06
    assert esconv["overview"]["utterances per conversation"] == 29.51
    assert esconv["overview"]["words per utterance"] == pytest.approx(16.4, abs=0.05)
    assert esconv["overview"]["mean intensity before"] == 4.06
    assert list(esconv["feedback_by_phase"].values()) == [4.07, 4.31, 4.49]
    # B: improvement of the 1,150 surveyed
    assert esconv["intensity_change"] == {"1": 417, "2": 433, "3": 193, "4": 107}
    assert esconv["stars"] == {"1": 73, "2": 179, "3": 1121, "4": 2315, "5": 3993}


def test_esconv_transitions_come_in_the_order_of_table_6(esconv):
    chains = [row["chain"] for row in esconv["transitions"]["3 hops"]]
    assert chains == list(published("esconv")["paper"]["transitions"])[:5]


def test_esconv_marks_include_the_examples_of_section_5_2(esconv):
    assert esconv["marks"]["Question"][0]["term"] == "are you"
    assert all(mark["z"] > 3 for listed in esconv["marks"].values() for mark in listed)  # "z-score > 3"


def test_markdown_has_the_papers_column(esconv):
    assert "| Question | 3,801 | 20.7% | 3,109 | 3,801 |" in markdown(esconv)
