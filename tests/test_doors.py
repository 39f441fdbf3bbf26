"""The doors above the stages: the demonstration's steps and what the doctor looks for."""

import json
from pathlib import Path

import pytest

from hearten import doctor
from hearten.cli import COMMANDS, Verb, dispatch, main
from hearten.demo import steps


def test_every_step_of_the_demo_is_a_command_of_the_table(tmp_path: Path) -> None:
    for step in steps(tmp_path / "corpus.jsonl", tmp_path, 1.0, 2):
        entry = COMMANDS[step.args[0]]
        assert isinstance(entry, Verb) or step.args[1] in entry, step.title


def test_the_demo_measures_the_same_turns_before_and_after(tmp_path: Path) -> None:
    predictions = [
        s.args for s in steps(tmp_path / "c", tmp_path, 1.0, 7) if s.args[:2] == ["evaluate", "predict"]
    ]
    assert [args[-2:] for args in predictions] == [["--limit", "7"]] * 2
    assert "--untrained" in predictions[0]
    assert "--untrained" not in predictions[1]


def test_the_doctor_says_what_a_missing_piece_would_give(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = doctor.Piece("here", "nothing", "no way", lambda: "1.0")
    gone = doctor.Piece("gone", "better replies", "pip install gone", lambda: None)
    monkeypatch.setattr(doctor, "PIECES", (here, gone))
    doctor.doctor()
    told = capsys.readouterr().out
    assert "yes  here  1.0" in told
    assert "would give: better replies" in told
    assert "pip install gone" in told


def test_the_doctor_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["found"]
    assert set(found) == {piece.name for piece in doctor.PIECES}


@pytest.mark.parametrize("args", [["chat", "--json"], ["chat", "no-such-model", "--message", "hi"]])
def test_a_chat_that_cannot_start_is_a_usage_error(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code == 2
    assert "to do:" in capsys.readouterr().err
