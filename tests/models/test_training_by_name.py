"""`hearten train --system NAME` from the command line to predictions, and what it refuses before any work."""

import json

import pytest

from hearten.cli import COMMANDS, main
from hearten.core.jsonl import write_records
from hearten.core.runfolder import RunFolder
from hearten.models.systems import SYSTEMS
from hearten.models.systems.admisc import AdmiscConfig

pytestmark = pytest.mark.usefixtures("encoder")


def run(*arguments):
    with pytest.raises(SystemExit) as leaving:
        main([str(one) for one in arguments])
    return leaving.value.code


@pytest.fixture
def corpus(tmp_path, annotated_talks):
    write_records(tmp_path / "annotated.jsonl", annotated_talks)
    return tmp_path / "annotated.jsonl"


@pytest.fixture
def bare(tmp_path, conversations):
    write_records(tmp_path / "bare.jsonl", conversations)
    return tmp_path / "bare.jsonl"


@pytest.mark.parametrize("name", sorted(name for name, system in SYSTEMS.items() if system.needs))
def test_a_corpus_without_annotations_is_refused_with_the_command_that_adds_them(
    name, bare, capsys, tiny_llama
):
    assert (
        run("train", "--system", name, "--data", bare, "--backbone", tiny_llama, "--out", bare.parent / "r")
        == 1
    )
    said = capsys.readouterr().err
    kind = min(SYSTEMS[name].needs)
    assert f"'{name}' needs '{kind}', which 10 of 10 conversations lack" in said
    assert f"hearten annotate {kind} {bare}" in said
    assert not (bare.parent / "r").exists()


def test_every_kind_that_is_needed_can_be_made():
    kinds = set().union(*(system.needs for system in SYSTEMS.values()))
    assert kinds <= set(COMMANDS["annotate"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["admisc", "multiesc", "mime"])
def test_from_a_name_to_predictions(name, tmp_path, corpus, capsys, tiny_llama):
    out = tmp_path / "run"
    told = ("--system", name, "--data", corpus, "--out", out, "--minutes", "0.05", "--quiet")
    assert run("train", *told, "--backbone", tiny_llama) == 0, capsys.readouterr().err
    assert run("evaluate", "predict", out, "--data", corpus, "--quiet") == 0, capsys.readouterr().err
    folder = RunFolder.open(out)
    assert folder.manifest.system == name
    predictions = [json.loads(line) for line in folder.predictions.read_text().splitlines()]
    likelihoods = [json.loads(line) for line in folder.likelihoods.read_text().splitlines()]
    assert len(predictions) == len(likelihoods) > 0
    fed = {"admisc": "predicted", "multiesc": "gold", "mime": "none"}[name]
    assert {row["strategy_fed"] for row in likelihoods} == {fed}
    assert all((row.get("strategy") is None) == (name == "mime") for row in predictions)


def test_a_run_keeps_the_options_of_its_system(corpus, capsys, tmp_path, tiny_llama):
    recipe = tmp_path / "ablated.toml"
    recipe.write_text(
        f'title = "x"\nsystem = "admisc"\n[model]\nwithout = ["f"]\nfeatures = ["emotion"]\n'
        f'[model.backbone]\nname = "{tiny_llama}"\n'
    )
    out = tmp_path / "run"
    assert run("train", recipe, "--data", corpus, "--out", out, "--minutes", "0.05", "--quiet") == 0
    kept = AdmiscConfig.model_validate(RunFolder.open(out).manifest.recipe["model"])
    assert (kept.without, kept.features, kept.balancing.kind) == (("f",), ("emotion",), "fixed")
