"""Recipes: refused with the nearest name, or run; a run folder belongs to one of them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from hearten.cli import main
from hearten.core.config import build
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_records
from hearten.core.runfolder import RunFolder
from hearten.data.seeds import seed_conversations
from hearten.lm.decode import POLICIES
from hearten.models.catalogue import CATALOGUE
from hearten.models.systems import SYSTEMS
from hearten.models.systems.joint import JointConfig
from hearten.train.defaults import default_recipe
from hearten.train.recipe import Paper, parse_recipe, read_recipe, recipe_values
from hearten.train.run import start

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = [path for path in sorted(FOLDER.rglob("*.toml")) if path.parent.name != "base"]
NAMES = [f"{path.parent.name}/{path.stem}" for path in RECIPES]
SMALL = """
title = "small"
system = "joint"
[model]
balance = 0.5
[model.backbone]
name = "{model}"
[model.backbone.adapter]
rank = 2
[training]
epochs = 0.3
batch_tokens = 2048
validations = 1
"""


def refused(**values):
    with pytest.raises(UsageError) as error:
        parse_recipe({"title": "x", "system": "joint", **values}, where="r.toml")
    return error.value


@pytest.mark.parametrize(
    ("values", "what", "where", "fix"),
    [
        ({"trianing": {}}, "unknown key 'trianing'", "r.toml, key trianing", "'training'"),
        ({"training": {"epoch": 1}}, "unknown key 'epoch'", "r.toml, key training.epoch", "'epochs'"),
        ({"model": {"balence": 1}}, "unknown key 'balence'", "r.toml, [model], key balence", "'balance'"),
        (
            {"model": {"backbone": {"adapter": {"rnak": 1}}}},
            "unknown key 'rnak'", "r.toml, [model], key backbone.adapter.rnak", "'rank'",
        ),
        ({"system": "jiont"}, "unknown system 'jiont'", "", "'joint'"),
        ({"system": None}, "the recipe names no system", "r.toml", 'system = "joint"'),
        ({"protocol": "seed13-901"}, "unknown protocol 'seed13-901'", "", "'seed13-910'"),
        ({"training": {"epochs": 0}}, "greater than 0", "r.toml, key training.epochs", "got 0"),
        (
            {"system": "vanilla", "model": {"balance": 1}},
            "unknown key 'balance'", "r.toml, [model], key balance", "",
        ),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_refused_with_the_nearest_name(values, what, where, fix):
    error = refused(**values)
    assert what in error.what
    assert error.where == where
    assert fix in error.fix


def test_what_is_written_into_a_run_holds_the_systems_own_options():
    recipe = parse_recipe({"title": "x", "system": "joint", "model": {"balance": 0.5, "literal": True}})
    written = recipe.model_dump(mode="json")
    assert (written["model"]["balance"], written["model"]["literal"]) == (0.5, True)
    again = parse_recipe(json.loads(json.dumps(written)))
    assert again == recipe
    assert isinstance(again.model, JointConfig)


AGREED = {
    "vanilla", "joint", "transformer", "mt-transformer", "moel", "mime", "misc", "glhg", "fado", "kemi",
    "transesc", "multiesc", "admisc",
}  # fmt: skip
"""Every system that a row may name, built or not."""


def test_every_table_has_its_rows():
    rows = Counter(path.parent.name for path in RECIPES)
    printed = {"esconv-4": 6, "extes-6": 6, "extes-7": 3, "extes-8": 4, "admisc-4": 9, "admisc-6": 4}
    assert rows == {"esconv": 2, "muffin-1": 5, "bench": 15, **printed}


@pytest.mark.parametrize("backbone", [None, "embedded"])
@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_carries_its_papers_row(path, backbone):
    values = recipe_values(path, backbone=backbone)
    paper = build(Paper, values["paper"], where=str(path))
    assert values["title"]
    assert paper.row
    assert paper.table
    assert bool(paper.figures) != (path.parent.name == "bench")
    assert paper.figures or paper.asks
    system = values.get("system")
    assert system in AGREED or (system is None and paper.measure == "toxicity")
    if system in SYSTEMS:
        assert read_recipe(path, backbone=backbone).paper == paper


def training_of(path):
    """What is learned, whatever the backbone and for however long: rows that share it are tried once."""
    recipe = read_recipe(path, backbone="any").model_dump(mode="json")
    adapter, learn = recipe["model"]["backbone"]["adapter"], recipe["training"]["learn"]
    return json.dumps([recipe["system"], recipe["protocol"], adapter, learn], sort_keys=True)


def runs_on_the_seeds(path):
    """Whether the row's system is here and reads nothing that the seeds lack."""
    name = recipe_values(path).get("system")
    return name in SYSTEMS and not SYSTEMS[name].required(read_recipe(path).model)


TRIED = list({training_of(path): path for path in RECIPES if runs_on_the_seeds(path)}.values())


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Twelve of the project's own conversations as conversations.jsonl."""
    path = tmp_path_factory.mktemp("seeds") / "conversations.jsonl"
    write_records(path, seed_conversations()[:12])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("path", TRIED, ids=[f"{path.parent.name}/{path.stem}" for path in TRIED])
def test_every_recipe_runs_two_steps_on_the_seeds(tmp_path, monkeypatch, capsys, path, seeds, tiny_llama):
    monkeypatch.setattr("hearten.train.loop._plan", two_steps)
    monkeypatch.chdir(tmp_path)
    arguments = ["train", str(path), "--data", str(seeds), "--backbone", str(tiny_llama), "--quiet"]
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    said = capsys.readouterr()
    assert leaving.value.code == 0, said.err
    run = RunFolder.open(Path("runs") / path.stem)
    assert said.out == f"wrote {run.path}; next: hearten evaluate predict {run.path} --data {seeds}\n"
    steps = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [row["step"] for row in steps if "loss" in row] == [1, 2]
    assert (run.model / "system.safetensors").is_file()
    assert run.manifest.recipe["model"]["backbone"]["name"] == str(tiny_llama)
    assert run.manifest.inputs.keys() == {"conversations.jsonl"}


def two_steps(rows, training, seed):
    from hearten.train.loader import epoch

    sizes = {"micro_tokens": training.micro_tokens, "batch_tokens": 1024}
    return epoch(rows, seed=seed, number=0, **sizes)[:2], frozenset({2})


@pytest.fixture
def small(tmp_path, tiny_llama, monkeypatch):
    monkeypatch.setattr("hearten.train.loop._plan", two_steps)
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(model=tiny_llama), encoding="utf-8")
    return path


def test_a_run_folder_refuses_another_recipe_and_names_the_difference(tmp_path, small, seeds):
    start(small, seeds, tmp_path / "run", command="x", quiet=True)
    start(small, seeds, tmp_path / "run", command="the same again", quiet=True)
    small.write_text(small.read_text().replace("balance = 0.5", "balance = 0.7"))
    with pytest.raises(UsageError) as error:
        start(small, seeds, tmp_path / "run", command="x", quiet=True)
    assert "holds a run with another recipe (model.balance: 0.5, now 0.7)" in error.value.what
    small.write_text(small.read_text().replace("balance = 0.7", "balance = 0.5"))
    with pytest.raises(UsageError, match=r"another recipe \(seed: 13, now 14\)"):
        start(small, seeds, tmp_path / "run", command="x", seed=14, quiet=True)
    other = tmp_path / "conversations.jsonl"
    write_records(other, seed_conversations()[:14])
    with pytest.raises(UsageError, match=r"another data \(conversations.jsonl: "):
        start(small, other, tmp_path / "run", command="x", quiet=True)


def test_a_run_that_could_not_start_leaves_its_folder_free(tmp_path, small, seeds):
    with pytest.raises(UsageError, match="unknown backbone 'embeded'"):
        start(small, seeds, tmp_path / "run", command="x", backbone="embeded", quiet=True)
    start(small, seeds, tmp_path / "run", command="x", quiet=True)


def test_a_corpus_without_labels_is_refused_for_joint_alone(tmp_path, small):
    bare = [
        talk.model_copy(
            update={"turns": tuple(turn.model_copy(update={"strategy": None}) for turn in talk.turns)}
        )
        for talk in seed_conversations()[:6]
    ]
    data = tmp_path / "bare.jsonl"
    write_records(data, bare)
    with pytest.raises(Failure, match="have no strategy; 'joint' needs them"):
        start(small, data, tmp_path / "joint", command="x", quiet=True)
    small.write_text(small.read_text().replace('"joint"', '"vanilla"').replace("balance = 0.5", ""))
    start(small, data, tmp_path / "vanilla", command="x", quiet=True)


def test_broken_data_is_named_by_its_line(tmp_path, small, seeds):
    data = tmp_path / "broken.jsonl"
    lines = seeds.read_text(encoding="utf-8").splitlines()
    data.write_text("\n".join([*lines[:3], lines[3][:50]]), encoding="utf-8")
    with pytest.raises(Failure, match="broken JSON line") as error:
        start(small, data, tmp_path / "run", command="x", quiet=True)
    assert f"{data}, line 4" in error.value.where
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_system_needs_no_recipe_but_its_name(name, tiny_llama, tiny_blenderbot):
    if CATALOGUE[name].system is None:
        with pytest.raises(UsageError, match="is not trained"):
            default_recipe(name)
        return
    on_pairs = default_recipe(name, backbone=str(tiny_blenderbot))
    adapted = default_recipe(name, backbone=str(tiny_llama), seed=5)
    paper = CATALOGUE[name].paper
    assert {key: getattr(on_pairs.training, key) for key in paper.training} == paper.training
    assert {key: getattr(on_pairs.decoding, key) for key in paper.decoding} == paper.decoding
    assert adapted.seed == 5
    if paper.backbone != "scratch":
        assert on_pairs.model.backbone.adapter.kind == "full"
        assert adapted.model.backbone.adapter.kind == "lora"
    assert adapted.policy == POLICIES[CATALOGUE[name].policy]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no corpus"),
        (["--data", "x.jsonl"], "one recipe file or one --system"),
        (["a.toml", "--system", "joint", "--data", "x.jsonl"], "one recipe file or one --system"),
        (["--system", "jiont", "--data", "x.jsonl"], "unknown system 'jiont'"),
    ],
)
def test_a_training_that_is_not_told_what_to_do_says_so(capsys, arguments, said):
    with pytest.raises(SystemExit) as leaving:
        main(["train", *arguments])
    assert leaving.value.code == 2
    assert said in capsys.readouterr().err


def test_systems_are_listed(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["systems", "--json"])
    assert leaving.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(CATALOGUE)
    with pytest.raises(SystemExit):
        main(["systems"])
    table = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in table)
    assert len(table) == len(rows) + 3


def test_a_recipe_stands_on_another_table_by_table(tmp_path):
    (tmp_path / "low.toml").write_text(
        'seed = 1\n[model.backbone.adapter]\nkind = "lora"\nrank = 3\nalpha = 5\n'
    )
    (tmp_path / "mid.toml").write_text('base = "low.toml"\nseed = 2\n[model.backbone.adapter]\nrank = 4\n')
    top = tmp_path / "top.toml"
    top.write_text('base = "mid.toml"\ntitle = "t"\nsystem = "joint"\n[model.backbone]\nwindow = 512\n')
    recipe = read_recipe(top)
    found = recipe.model.backbone.adapter
    assert (recipe.seed, found.rank, found.alpha, recipe.model.backbone.window) == (2, 4, 5, 512)
    top.write_text(top.read_text() + '[model.backbone.adapter]\nkind = "full"\n')
    assert read_recipe(top).model.backbone.adapter.kind == "full", "another kind, other options"


def test_a_recipe_that_stands_on_itself_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    (tmp_path / "b.toml").write_text('base = "a.toml"\n')
    with pytest.raises(UsageError, match=r"a\.toml' stands on itself"):
        read_recipe(tmp_path / "a.toml")


def test_what_changes_on_the_embedded_model_stands_in_the_recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(
        'title = "t"\nsystem = "joint"\n'
        '[model.backbone]\nname = "blenderbot-small"\nadapter = { kind = "full" }\n'
        '[training]\nlearning_rate = 3e-5\n[embedded.model.backbone]\nadapter = { kind = "lora" }\n'
        "[embedded.training]\nlearning_rate = 1e-3\n"
    )
    paper, ours = read_recipe(path), read_recipe(path, backbone="embedded")
    assert (paper.model.backbone.name, paper.training.learning_rate) == ("blenderbot-small", 3e-5)
    assert (ours.model.backbone.name, ours.training.learning_rate) == ("embedded", 1e-3)
    assert ours.model.backbone.adapter.kind == "lora"
    elsewhere = read_recipe(path, backbone="my/folder")
    assert (elsewhere.model.backbone.name, elsewhere.training.learning_rate) == ("my/folder", 3e-5)
