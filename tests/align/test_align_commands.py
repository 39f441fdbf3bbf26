"""All of alignment through its doors, on a tiny model: facets, rater, candidates, verdicts, contrast."""

import json

import pytest
import torch

from hearten.cli import dispatch
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_lines, write_records
from hearten.core.records import Prediction
from hearten.core.runfolder import Manifest, RunFolder, file_hash
from hearten.core.taxonomy import label_set
from hearten.lm.backbone import AdapterConfig, BackboneConfig
from hearten.models.systems import SYSTEMS

pytestmark = [pytest.mark.usefixtures("exact"), pytest.mark.slow]


@pytest.fixture
def corpus(tmp_path, conversations):
    path = tmp_path / "talks.jsonl"
    write_records(path, conversations)
    return path


@pytest.fixture
def run(tmp_path, tiny_llama, corpus):
    """A run folder with a tiny Joint that nobody trained."""
    torch.manual_seed(11)
    shape = BackboneConfig(name=str(tiny_llama), adapter=AdapterConfig(rank=2))
    system = SYSTEMS["joint"](SYSTEMS["joint"].config_class(backbone=shape), label_set("esconv"))
    folder = RunFolder(tmp_path / "joint")
    system.save(folder.model)
    folder.write_manifest(
        Manifest(
            system="joint",
            recipe={"decoding": {"max_tokens": 5}},
            seed=13,
            command="hearten train",
            created="2026-01-01T00:00:00+00:00",
            revision="unknown",
            versions={},
            machine="here",
            inputs={"talks.jsonl": file_hash(corpus)},
            protocol="seed13-910",
            split_hash="abc",
        )
    )
    return folder.path


def hearten(*words):
    assert dispatch([str(word) for word in words]) == 0


def test_from_facets_to_an_aligned_run(
    tmp_path, corpus, run, tiny_llama, epitome_folder, mi_file, capsys, monkeypatch
):
    facets, rater = tmp_path / "facets", tmp_path / "rater"
    monkeypatch.setenv("HEARTEN_DATA", str(tmp_path / "nothing"))
    hearten("align", "facets", "build", "--corpus", corpus, "--out", facets, "--epitome", epitome_folder,
            "--mi", mi_file, "--pairs", 20)  # fmt: skip
    assert "next: hearten align rater train" in capsys.readouterr().out
    hearten("align", "rater", "train", facets, "--out", rater, "--backbone", tiny_llama, "--quiet")
    hearten("align", "rater", "evaluate", rater, facets, "--out", rater)
    shown = capsys.readouterr().out
    assert "paper, LLaMA tuned" in shown
    assert "calibration error" in shown
    assert max(len(line) for line in shown.splitlines() if not line.startswith("wrote")) <= 100
    assert (rater / "calibration.svg").is_file()

    candidates, verdicts, aligned = (tmp_path / name for name in ("c.jsonl", "v.jsonl", "muffin"))
    sampled = ["align", "sample", run, "--data", corpus, "--out", candidates, "--quiet"]
    sampled += ["--beams", 4, "--limit", 12]
    hearten(*sampled)
    before = candidates.read_bytes()
    hearten(*sampled)
    assert candidates.read_bytes() == before, "nothing is sampled twice"
    assert "12 of 12 contexts" in capsys.readouterr().out
    hearten("align", "rate", rater, candidates, "--data", corpus, "--out", verdicts, "--quiet")
    _mix(verdicts)
    learning = [
        "align",
        "contrast",
        run,
        "--candidates",
        candidates,
        "--verdicts",
        verdicts,
        "--data",
        corpus,
    ]
    hearten(*learning, "--out", aligned, "--quiet")
    assert "learned from" in capsys.readouterr().out
    assert RunFolder(aligned).manifest.recipe["align"]["objective"]["form"] == "pairs"
    assert json.loads((aligned / "contexts.json").read_text())["contexts"] > 0
    with pytest.raises(UsageError, match="its own folder"):
        hearten(*learning, "--out", run)

    ten = ["--data", corpus, "--part", "test", "--quiet", "--out"]
    for name, folder in (("before", run), ("after", aligned)):
        hearten("align", "sample", folder, "--beams", 3, "--limit", 4, *ten, tmp_path / name)
    assert "--part test" in capsys.readouterr().out
    hearten("align", "rate", rater, tmp_path / "before", *ten, tmp_path / "first")
    hearten(
        "align", "rate", rater, tmp_path / "after", *ten, tmp_path / "second", "--against", tmp_path / "first"
    )
    assert "on the 4 contexts both have" in capsys.readouterr().out
    with pytest.raises(UsageError, match="unknown part 'tset'"):
        hearten("align", "sample", run, "--data", corpus, "--part", "tset", "--out", tmp_path / "x")

    for folder in (run, aligned):
        write_records(folder / "predictions.jsonl", [prediction(k) for k in range(3)])
    capsys.readouterr()
    hearten("align", "rater", "rate", rater, run, aligned, "--json", "--quiet")
    found = json.loads(capsys.readouterr().out)
    assert (found["won"], found["lost"], found["p"]) == (0, 0, 1.0)
    hearten("align", "rater", "rate", rater, run, aligned, "--quiet")
    assert "on the 3 contexts both have" in capsys.readouterr().out


def _mix(verdicts):
    """Make every other candidate of a context unhelpful: a tiny rater finds them all alike."""
    rows = [row for _, row in read_lines(verdicts)]
    for row in rows:
        for number, each in enumerate(row["verdicts"]):
            each[0]["helpful"] = number % 2 == 0
            each[1]["helpful"] = each[2]["helpful"] = True
    write_records(verdicts, rows)


def prediction(number):
    return Prediction(
        conversation_id=f"c{number}",
        index=1,
        turns_total=4,
        context=("seeker: I cannot sleep.",),
        reference="Oh.",
        hypothesis=f"Reply {number}.",
    )


def test_another_corpus_is_refused(tmp_path, run, conversations):
    other = tmp_path / "other.jsonl"
    write_records(other, conversations[:5])
    with pytest.raises(Failure, match="not the corpus the run was trained on"):
        hearten("align", "sample", run, "--data", other, "--out", tmp_path / "c.jsonl")


def test_unknown_words_are_answered(tmp_path, run, corpus):
    with pytest.raises(UsageError, match="unknown variant 'mufin'"):
        hearten("align", "contrast", run, "--candidates", "c", "--verdicts", "v", "--data", corpus, "--out",
                tmp_path / "x", "--variant", "mufin")  # fmt: skip
    with pytest.raises(UsageError, match="unknown kind of rater 'languge'"):
        hearten("align", "rater", "train", tmp_path, "--out", tmp_path / "x", "--kind", "languge")
