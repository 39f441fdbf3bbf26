"""`hearten planner train · predict`, and what `evaluate strategies` says of it, on made-up vectors."""

import json
import zlib

import numpy as np
import pytest

from hearten.cli import main
from hearten.core.jsonl import read_records, write_records
from hearten.core.records import Prediction
from hearten.models.planner import features
from hearten.models.planner.network import NetworkConfig
from hearten.models.planner.planner import PlannerConfig


def made_up(texts, layers=(6,), **_):
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=384 * len(layers)) for text in texts]
    return np.asarray(rows, dtype=np.float32)


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return ended.value.code


@pytest.fixture
def trained(conversations, tmp_path, monkeypatch):
    """A corpus file and a planner's run folder."""
    monkeypatch.setattr(features, "embed", made_up)
    monkeypatch.setattr(
        features, "kept_vectors", lambda name, texts, layers, quiet=False: made_up(texts, layers)
    )
    data, out, config = tmp_path / "talks.jsonl", tmp_path / "planner", tmp_path / "small.toml"
    write_records(data, conversations)
    config.write_text("members = 1\nepochs = 1\n[network]\ninner = 8\nlast = 8\nstructure = 8\n")
    words = ["planner", "train", "--data", str(data), "--out", str(out), "--config", str(config), "--quiet"]
    assert run(*words) == 0
    return data, out


def test_a_run_folder_says_what_was_trained(trained, capsys):
    data, out = trained
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["system"] == "planner"
    assert manifest["recipe"]["members"] == 1
    noted = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("kind", "epoch") for row in noted] == ["epoch", "networks", "trees", "words"]
    assert run("planner", "train", "--data", str(data), "--out", str(out)) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_it_is_also_a_system_to_train(trained, tmp_path, monkeypatch):
    data, _ = trained
    small = PlannerConfig(members=1, epochs=1, network=NetworkConfig(inner=8, last=8, structure=8))
    monkeypatch.setattr("hearten.models.planner.planner.PlannerConfig", lambda: small)
    words = ["train", "--system", "planner", "--data", str(data), "--out", str(tmp_path / "other"), "--quiet"]
    assert run(*words) == 0
    assert (tmp_path / "other" / "model" / "planner.safetensors").is_file()


@pytest.mark.parametrize(("history", "point"), [("gold", "accuracy"), ("own", "macro-f1")])
def test_predictions_are_scored_like_any_systems(trained, tmp_path, capsys, history, point):
    data, out = trained
    target = tmp_path / "predicted"
    told = ["--history", history, "--point", point, "--out", str(target), "--quiet"]
    assert run("planner", "predict", str(out), "--data", str(data), *told) == 0
    rows = list(read_records(target / "predictions.jsonl", Prediction))
    assert {row.conversation_id for row in rows} == {row.conversation_id for row in rows if row.probabilities}
    assert min(row.index for row in rows) == 1
    assert json.loads((target / "run.json").read_text())["recipe"]["history"] == history
    capsys.readouterr()
    assert run("evaluate", "strategies", str(target), "--json", "--resamples", "20") == 0
    scored = json.loads(capsys.readouterr().out)
    assert any(score["name"] == "accuracy (used)" for score in scored["scores"])


def test_a_wrong_word_is_answered_with_the_right_ones(trained, capsys):
    data, out = trained
    assert run("planner", "predict", str(out), "--data", str(data), "--point", "macro") == 2
    assert "macro-f1" in capsys.readouterr().err
    assert run("planner", "predict", str(data.parent / "none"), "--data", str(data)) == 2
