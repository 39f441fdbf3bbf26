"""`hearten collect` on files, as a script would call it."""

import json
import subprocess
import sys

import pytest

from hearten.cli import main
from hearten.collect.study import load_study
from hearten.core.conversation import Conversation
from hearten.core.jsonl import read_records, write_records
from hearten.core.records import Rating


def talk(id, empathy=5, relevance=5, after=2):
    turns = []
    for _ in range(8):
        turns.append({"speaker": "seeker", "text": "I do not know how to tell her"})
        text = "That sounds hard, and you have carried it for long"
        turns.append({"speaker": "supporter", "text": text, "strategy": "Question"})
    survey = {"initial_intensity": 5, "final_intensity": after, "empathy": empathy, "relevance": relevance}
    return Conversation.model_validate({"id": id, "turns": turns, "survey": survey})


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "conversations.jsonl"
    write_records(path, [talk("good"), talk("cold", empathy=1, relevance=2), talk("turned", after=5)])
    return path


def run(capsys, *args):
    with pytest.raises(SystemExit) as end:
        main(["collect", *map(str, args)])
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err


def test_init_writes_a_file_that_loads_with_the_papers_values(tmp_path, capsys):
    path = tmp_path / "s.toml"
    code, out, _ = run(capsys, "init", "first-study", "--out", path)
    assert code == 0
    assert "hearten web --study" in out
    study = load_study(path)
    assert study == load_study(path).model_validate({"name": "first-study", "title": "First study"})
    code, _, err = run(capsys, "init", "first-study", "--out", path)
    assert (code, "is there already" in err) == (2, True)


def test_approve_counts_and_writes(corpus, tmp_path, capsys):
    out = tmp_path / "verdicts.jsonl"
    code, printed, _ = run(
        capsys, "approve", corpus, "--out", out, "--accepted", tmp_path / "kept.jsonl", "--json"
    )
    gates = json.loads(printed)["gates"]
    assert (code, gates["all"]) == (0, {"conversations": 3, "accepted": 2, "recheck_intensity": 1})
    assert [row.id for row in read_records(tmp_path / "kept.jsonl", Conversation)] == ["good", "turned"]
    assert "empathy 1 (at least 3)" in out.read_text()
    code, printed, _ = run(capsys, "approve", corpus)
    assert max(map(len, printed.splitlines())) <= 100


def test_calibrate_names_the_second_best(corpus, tmp_path, capsys):
    said = {"good": "yes", "cold": "no", "turned": "no"}
    path = tmp_path / "ratings.jsonl"
    votes = [Rating(item=k, rater=r, question="qualified", value=v) for r in "AB" for k, v in said.items()]
    write_records(path, votes)
    code, printed, _ = run(capsys, "calibrate", corpus, "--judgements", path)
    assert code == 0
    assert "←" in printed


def test_correct_shows_disputes_and_applies_decisions(corpus, tmp_path, capsys):
    votes, decisions, out = tmp_path / "v.jsonl", tmp_path / "d.jsonl", tmp_path / "out.jsonl"
    write_records(votes, [Rating(item="good#1", rater=r, question="strategy", value="Others") for r in "ABC"])
    decided = [Rating(item="good#1", rater="L", question="strategy", value="Information")]
    write_records(
        decisions, [*decided, Rating(item="turned", rater="L", question="final_intensity", value="1")]
    )
    options = ("--votes", votes, "--decisions", decisions, "--out", out, "--json")
    code, printed, _ = run(capsys, "correct", corpus, *options)
    result = json.loads(printed)
    assert (code, result["changed_conversations"], result["recheck_intensity"]) == (0, 2, ["turned"])
    assert result["to_leader"][0]["votes"] == {"Others": 3}
    good, _, turned = read_records(out, Conversation)
    assert (good.turns[1].strategy.name, turned.survey.final_intensity) == ("Information", 1)


def test_people_and_export_need_a_study_that_has_run(tmp_path, capsys):
    path = tmp_path / "s.toml"
    path.write_text('name = "pilot"\ntitle = "Pilot"\n')
    nowhere = f"sqlite:///{tmp_path / 'none.sqlite'}"
    code, _, err = run(capsys, "export", "--study", path, "--database", nowhere)
    assert (code, "no database" in err) == (2, True)


def test_several_processes_need_postgresql(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('name = "pilot"\ntitle = "Pilot"\n')
    command = [sys.executable, "-m", "hearten", "web", "--study", str(path), "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, "only on PostgreSQL" in done.stderr) == (2, True)
