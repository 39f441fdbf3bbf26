"""The runner: every text asked once, what was there kept, a stop loses at most one batch."""

import json

import pytest

from hearten.annotate.run import annotate, beside, texts_of
from hearten.cli import main
from hearten.core.conversation import Conversation, Role
from hearten.core.jsonl import read_records, write_records
from hearten.knowledge.kinds import Annotator


def lengths(asked, *, batch=3, stop_after=None):
    """An annotator that counts letters and notes in `asked` what it was asked; may break down."""

    def answer(texts):
        if stop_after is not None and len(asked) >= stop_after:
            raise KeyboardInterrupt
        asked.extend(texts)
        return [{"length": len(text)} for text in texts]

    return Annotator("length", "letters", answer, batch)


def test_every_text_is_asked_once_and_stands_on_every_turn(conversations, tmp_path):
    asked: list[str] = []
    out = tmp_path / "out.jsonl"
    done = annotate(conversations, lengths(asked), out, cache=tmp_path, quiet=True)
    assert len(asked) == len(set(asked)) == done.texts
    for talk in read_records(out, Conversation):
        assert [turn.annotations["length"] for turn in talk.turns] == [len(turn.text) for turn in talk.turns]
    again = annotate(conversations, lengths(asked), out, cache=tmp_path, quiet=True)
    assert again.from_cache == again.texts == len(asked)


def test_only_the_chosen_turns_are_annotated(conversations, tmp_path):
    out = tmp_path / "out.jsonl"
    annotate(conversations[:2], lengths([]), out, who="seeker", cache=tmp_path, quiet=True)
    for talk in read_records(out, Conversation):
        assert all((turn.annotations is not None) == (turn.speaker is Role.SEEKER) for turn in talk.turns)


def test_a_stopped_run_goes_on_where_it_stopped(conversations, tmp_path):
    asked: list[str] = []
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        annotate(conversations, lengths(asked, stop_after=4), out, cache=tmp_path, quiet=True)
    assert not out.exists()
    first = list(asked)
    annotate(conversations, lengths(asked), out, cache=tmp_path, quiet=True)
    assert len(first) == 6  # two batches of three
    assert len(asked) == len(set(asked)) == len(texts_of(conversations, "all"))


def test_other_kinds_are_kept(conversations, tmp_path):
    out = tmp_path / "out.jsonl"
    annotate(conversations, lengths([]), out, cache=tmp_path, quiet=True)
    loud = Annotator("loud", "loud", lambda texts: [{"loud": text.upper()} for text in texts])
    annotate(conversations, loud, out, who="seeker", cache=tmp_path, quiet=True)
    for talk in read_records(out, Conversation):
        assert all("length" in (turn.annotations or {}) for turn in talk.turns)


def test_the_situation_is_asked_and_stands_on_the_first_turn(conversations, tmp_path):
    out = tmp_path / "out.jsonl"
    told = Annotator("length", "letters", lengths([]).answer, situation="situation")
    annotate(conversations[:1], told, out, who="seeker", cache=tmp_path, quiet=True)
    talk = next(read_records(out, Conversation))
    assert talk.turns[0].annotations["situation"] == len(talk.profile.situation)


def test_the_output_stands_beside_and_grows(tmp_path):
    assert beside(tmp_path / "esconv.jsonl").name == "esconv.annotated.jsonl"
    assert beside(tmp_path / "esconv.jsonl.gz").name == "esconv.annotated.jsonl"
    assert beside(tmp_path / "esconv.annotated.jsonl").name == "esconv.annotated.jsonl"


def test_the_command_line(conversations, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "talks.jsonl"
    write_records(file, conversations)
    with pytest.raises(SystemExit) as ended:
        main(["annotate", "keywords", str(file), "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["conversations"] == 12
    assert told["out"].endswith("talks.annotated.jsonl")
    with pytest.raises(SystemExit) as ended:
        main(["annotate", "keywords", str(file), "--turns", "seekr"])
    assert ended.value.code == 2
    assert "did you mean 'seeker'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["annotate", "keywords", str(file), "--out", str(file)])
    assert ended.value.code == 2
