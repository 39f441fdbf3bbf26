"""What is written reads back the same, in every format; splits and exports through the command line."""

import csv
import json

import corpora_made_up as made_up
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearten.cli import main
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure, UsageError
from hearten.core.protocol import examples, protocol
from hearten.core.taxonomy import label_set, labels, scenarios
from hearten.data import read_corpus
from hearten.data.formats.esconv import to_record
from hearten.data.splitting import as_split, write_split
from hearten.data.writing import WRITABLE, write_corpus

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
STARS = st.integers(1, 5)


def optional(strategy):
    return st.none() | strategy


@st.composite
def turns(draw, names):
    if draw(st.booleans()):
        turn = {"speaker": "seeker", "feedback": draw(optional(STARS))}
    else:
        turn = {"speaker": "supporter", "strategy": draw(optional(st.sampled_from(names)))}
    return {**turn, "text": draw(TEXTS)}


@st.composite
def conversations(draw, annotated=True):
    known = draw(st.sampled_from(["esconv", "extes", "multiesc"])) if annotated else "esconv"
    said = draw(st.lists(turns(label_set(known).names), min_size=1, max_size=5))
    if annotated:
        said[0]["annotations"] = draw(
            optional(st.dictionaries(WORDS, st.integers() | TEXTS, min_size=1, max_size=2))
        )
    profile = {
        "problem": draw(optional(st.sampled_from(labels("problems").names))),
        "emotion": draw(optional(st.sampled_from(labels("emotions").names))),
        "experience": draw(optional(st.sampled_from(labels("experiences").names))),
        "situation": draw(optional(TEXTS)),
        "scenario": draw(optional(st.sampled_from([s.name for s in scenarios()]))) if annotated else None,
    }
    survey = {
        key: draw(optional(STARS)) for key in ("initial_intensity", "final_intensity", "empathy", "relevance")
    }
    survey["detail"] = draw(optional(st.integers(0, 5)))
    survey["answers"] = draw(
        optional(st.dictionaries(st.just("seeker_question1"), st.just("") | TEXTS, min_size=1))
    )
    return {"label_set": known, "profile": profile, "survey": survey, "turns": said}


def made(drafts, **more):
    return [
        Conversation.model_validate({"id": f"esconv-{n:04d}", "source": "esconv", **draft, **more})
        for n, draft in enumerate(drafts)
    ]


@pytest.mark.parametrize("format", [name for name in WRITABLE if name != "esconv"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drafts=st.lists(conversations(), min_size=1, max_size=3))
def test_round_trip_keeps_everything(tmp_path, format, drafts):
    before = made(drafts)
    write_corpus(before, format, tmp_path / format)
    after = read_corpus(tmp_path / format)
    assert after.format == format
    assert list(after.conversations) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drafts=st.lists(conversations(annotated=False), min_size=1, max_size=3))
def test_esconv_round_trip(tmp_path, drafts):
    before = made(drafts)
    write_corpus(before, "esconv", tmp_path / "x.json")
    after = read_corpus(tmp_path / "x.json")
    assert list(after.conversations) == before


def test_the_released_layout_comes_back_key_by_key(tmp_path):
    record = made_up.ESCONV_RECORD
    first = read_corpus(made_up.write_json(tmp_path / "x.json", [record])).conversations[0]
    written = to_record(first)
    cleaned = [{**turn, "content": " ".join(turn["content"].split())} for turn in record["dialog"]]
    assert written == {**record, "dialog": cleaned}
    assert list(written) == list(record)


def test_the_real_esconv_comes_back_key_by_key(esconv_file):
    import gzip

    released = json.loads(gzip.decompress(esconv_file.read_bytes()))
    written = [to_record(conversation) for conversation in read_corpus(esconv_file).conversations]
    for before, after in zip(released, written, strict=True):
        dialog = [{**turn, "content": " ".join(turn["content"].split())} for turn in before["dialog"]]
        assert after == {**before, "dialog": dialog}


def test_export_says_what_the_layout_cannot_hold(tmp_path, capsys):
    source = made_up.write_json(tmp_path / "x.json", [made_up.EXTES_RECORD])
    with pytest.raises(SystemExit):
        main(["data", "export", str(source), "--format", "esconv", "--out", str(tmp_path / "y.json")])
    captured = capsys.readouterr()
    assert "no place for" in captured.err
    assert "scenarios" in captured.err
    assert "Next:" in captured.out


def test_csv_has_one_row_a_turn(tmp_path):
    corpus = read_corpus(made_up.write_json(tmp_path / "x.json", [made_up.ESCONV_RECORD]))
    write_corpus(corpus.conversations, "csv", tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["strategy"] for row in rows] == ["", "Question", "Others", "", "Self-disclosure"]


def test_convokit_folder_holds_what_convokit_loads(tmp_path):
    corpus = read_corpus(made_up.write_json(tmp_path / "x.json", [made_up.ESCONV_RECORD]))
    write_corpus(corpus.conversations, "convokit", tmp_path / "kit")
    # the five files of convokit.cornell.edu/documentation/data_format.html
    names = {"utterances.jsonl", "speakers.json", "conversations.json", "corpus.json", "index.json"}
    assert {path.name for path in (tmp_path / "kit").iterdir()} == names
    rows = [json.loads(line) for line in (tmp_path / "kit" / "utterances.jsonl").read_text().splitlines()]
    assert [row["reply-to"] for row in rows] == [None, *(row["id"] for row in rows[:-1])]
    assert {row["conversation_id"] for row in rows} == {rows[0]["id"]}


def test_an_unwritable_format_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot write the format 'extes'"):
        write_corpus([], "extes", tmp_path / "x")


def corpus_of(tmp_path, count=20):
    records = [{**made_up.ESCONV_RECORD, "situation": f"Situation {n}."} for n in range(count)]
    return read_corpus(made_up.write_json(tmp_path / "many.json", records))


def test_split_writes_three_parts_and_their_hash(tmp_path):
    summary = write_split(corpus_of(tmp_path), "seed13-910", tmp_path / "split")
    assert summary["records"] == {"train": 14, "valid": 3, "test": 3}
    stored = json.loads((tmp_path / "split" / "split.json").read_text())
    assert stored["hash"] == summary["hash"]
    parts = [read_corpus(tmp_path / "split" / f"{part}.jsonl") for part in ("train", "valid", "test")]
    assert len({one.id for part in parts for one in part.conversations}) == 20


def test_a_leaky_split_is_refused_unless_allowed(tmp_path):
    corpus = corpus_of(tmp_path)
    with pytest.raises(Failure, match="leaks"):
        write_split(corpus, "misc-windows10", tmp_path / "split")
    assert not (tmp_path / "split").exists()
    summary = write_split(corpus, "misc-windows10", tmp_path / "split", allow_leaks=True)
    assert summary["holds"] == "examples"


def test_written_conversations_are_what_the_protocol_splits(tmp_path):
    how = protocol("multiesc-merged")
    before = corpus_of(tmp_path).conversations[0]
    once = as_split(before, how)
    assert as_split(once, how) == once
    assert examples(once, how) == examples(before, how)


def test_the_split_of_esconv_is_the_published_one(esconv_file, tmp_path):
    summary = write_split(read_corpus(esconv_file), "seed13-910", tmp_path)
    # blenderbot_vanilla_joint.md: train 12,271, valid 2,621, test 2,801 examples of 910/195/195 conversations
    assert summary["records"] == {"train": 910, "valid": 195, "test": 195}
    assert summary["examples"] == {"train": 12271, "valid": 2621, "test": 2801}
