"""`hearten reproduce` on a made-up table with a tiny model: what runs, is shared, is named and skipped."""

import json
from pathlib import Path

import pytest

from hearten.cli import main
from hearten.core.errors import UsageError
from hearten.core.jsonl import write_records
from hearten.core.locks import Taken, alone
from hearten.core.runfolder import RunFolder
from hearten.data.seeds import seed_conversations
from hearten.lm.decode import POLICIES
from hearten.reproduce import bench as logic
from hearten.reproduce import rows as recipes
from hearten.reproduce.bench import Bench, Budget, Cost, Outcome, cost_of
from hearten.reproduce.rows import rows_of, tables
from hearten.reproduce.table import result_table

BASE = """
protocol = "seed13-910"
[model.backbone]
name = "{model}"
window = 256
overlap = 64
adapter = {{ kind = "lora", rank = 2, alpha = 4 }}
[training]
epochs = 0.2
batch_tokens = 1024
validations = 1
valid_examples = 1
[decoding]
max_tokens = 4
min_tokens = 1
[paper]
table = "Made-up Table 1"
"""
ROWS = {
    "vanilla": 'system = "vanilla"\n[paper]\nline = 1\nfigures = {"ppl-utterance" = 15.5, "BLEU-2" = 5.13}',
    "joint": 'system = "joint"\n[paper]\nline = 2\nfigures = {"BLEU-2" = 5.0, "accuracy" = 30.0}',
    "oracle": 'system = "joint"\n[policy]\nkind = "gold"\n[paper]\nline = 3\nfigures = {"BLEU-2" = 5.52}',
    "unbuilt": 'system = "nobody"\n[paper]\nline = 4\nfigures = {"BLEU-2" = 5.23}',
    "elsewhere": 'system = "joint"\n[paper]\nline = 5\ntested_on = "extes"\nfigures = {"BLEU-2" = 6.3}',
    "far": 'system = "joint"\nmodel.backbone.name = "dialogpt-small"\n[paper]\nline = 6\nfigures.x = 1',
    "corpus": '[paper]\nline = 7\nmeasure = "toxicity"\nfigures = {"toxicity" = 7.6}',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_llama) -> Path:
    """A folder of recipes with one table, and a corpus for it."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "made-1").mkdir()
    (folder / "base").mkdir()
    (folder / "base" / "tiny.toml").write_text(BASE.format(model=tiny_llama))
    for name, text in ROWS.items():
        head, _, paper = text.partition("[paper]")
        text = f'base = "../base/tiny.toml"\ntitle = "the {name} row"\n{head}[paper]\nrow = "{name}"{paper}\n'
        (folder / "made-1" / f"{name}.toml").write_text(text)
    write_records(folder / "esconv.jsonl", seed_conversations()[:14])
    write_records(folder / "extes.jsonl", seed_conversations()[14:28])
    return folder


@pytest.fixture(autouse=True)
def found(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(recipes, "recipes_folder", lambda: folder)
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path / "cache"))


class Calm:
    """A scorer of toxicity that finds a tenth everywhere."""

    name, attributes = "calm", ("toxicity",)

    def score(self, texts):
        import numpy as np

        return np.full((len(texts), 1), 0.1)


@pytest.fixture(scope="module")
def outcomes(folder, tmp_path_factory) -> dict[str, Outcome]:
    """The whole table, run once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "recipes_folder", lambda: folder)
        patch.setattr(logic.toxicity, "scorer", lambda name: Calm())
        patch.setenv("HEARTEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {one.row: one for one in bench(folder, tmp_path_factory.mktemp("out")).run(rows_of("made-1"))}


def bench(folder, out, **budget) -> Bench:
    data = {name: folder / f"{name}.jsonl" for name in ("esconv", "extes")}
    return Bench(out, Budget(**{"limit": 1, **budget}), data, quiet=True)


def test_every_row_runs_or_says_why_not(outcomes):
    assert {name: one.status for name, one in outcomes.items()} == {
        "vanilla": "done", "joint": "done", "oracle": "done", "unbuilt": "skipped", "elsewhere": "done",
        "far": "skipped", "corpus": "done",
    }  # fmt: skip
    assert outcomes["unbuilt"].reason == "the system 'nobody' is not built yet"
    assert "hf download microsoft/DialoGPT-small" in outcomes["far"].reason
    assert set(outcomes["vanilla"].ours) == {"ppl-utterance", "BLEU-2"}
    assert outcomes["joint"].ours["accuracy"].name == "accuracy (argmax)"
    assert outcomes["corpus"].ours["toxicity"].value == pytest.approx(0.1)


def test_rows_that_learn_the_same_share_one_training(outcomes):
    assert outcomes["joint"].trained == outcomes["oracle"].trained == outcomes["elsewhere"].trained
    assert outcomes["joint"].trained != outcomes["vanilla"].trained
    assert len({outcomes[name].answered for name in ("joint", "oracle", "elsewhere")}) == 3
    assert RunFolder(Path(outcomes["oracle"].answered)).manifest.recipe["policy"]["kind"] == "gold"


def test_what_a_number_does_not_compare_with_is_said(outcomes):
    assert "oracle strategy: replies are given the gold one" in outcomes["oracle"].caveats
    assert any("another corpus than it learned from" in told for told in outcomes["elsewhere"].caveats)
    assert any("test conversations scored: 1;" in told for told in outcomes["joint"].caveats)
    assert not any("backbone" in told for told in outcomes["vanilla"].caveats)
    assert not any("oracle" in told for told in outcomes["vanilla"].caveats)


def test_a_table_shows_paper_over_ours_in_a_hundred_columns(outcomes, capsys):
    from hearten.evaluate.tables import show

    show([result_table("Made-up Table 1", list(outcomes.values()))])
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    lines = said.splitlines()
    place = next(number for number, line in enumerate(lines) if "the vanilla row" in line)
    assert lines[place].split()[3:] == ["paper", "15.50", "5.13", "–", "–", "–"]
    assert "ours" in lines[place + 1]
    assert "not run: the unbuilt row: the system 'nobody' is not built yet" in said


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(folder, tmp_path, monkeypatch):
    rows = rows_of("made-1", only=["joint"])
    first = bench(folder, tmp_path).run_row(rows[0])
    monkeypatch.setattr(logic, "start", refuse)
    monkeypatch.setattr(logic, "predict", refuse)
    assert bench(folder, tmp_path).run_row(rows[0]) == first


def refuse(*_, **__):
    raise AssertionError("done once is enough")


@pytest.mark.slow
def test_a_part_that_another_process_holds_is_left_and_come_back_to(folder, tmp_path):
    (row,) = rows_of("made-1", only=["joint"])
    done = bench(folder, tmp_path).run_row(row)
    with alone(Path(done.trained) / ".lock", wait=False):
        assert bench(folder, tmp_path).run_row(row).status == "busy"
        with pytest.raises(Taken), alone(Path(done.trained) / ".lock", wait=False):
            pass
    (again,) = bench(folder, tmp_path).run([row])
    assert again == done


def test_busy_rows_are_waited_for_at_the_end(folder, tmp_path, monkeypatch):
    rows, asked = rows_of("made-1", only=["vanilla", "joint"]), []

    def run_row(self, row, *, wait=False):
        asked.append((row.name, wait))
        status = "busy" if row.name == "vanilla" and not wait else "done"
        return Outcome(row=row.name, title=row.title, status=status, paper={})

    monkeypatch.setattr(Bench, "run_row", run_row)
    assert [one.row for one in bench(folder, tmp_path).run(rows)] == ["joint", "vanilla"]
    assert asked == [("vanilla", False), ("joint", False), ("vanilla", True)]


def test_the_seeds_stand_in_for_a_corpus_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARTEN_DATA", str(tmp_path / "nothing"))
    corpus = Bench(tmp_path, Budget(), quiet=True).corpus("extes")
    assert corpus.path.name == "seeds.jsonl"
    assert "87 seeds stand in for extes" in corpus.stand_in


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["made-2"], "did you mean 'made-1'?"),
        ([], "one of: made-1"),
        (["made-1", "--row", "vanila"], "did you mean 'vanilla'?"),
        (["made-1", "--data", "x.jsonl"], "--data esconv=x.jsonl"),
        (["made-1", "--data", "escnv=x.jsonl"], "did you mean 'esconv'?"),
    ],
)
def test_a_wrong_command_says_what_is_right(args, told, capsys):
    with pytest.raises(SystemExit) as left:
        main(["reproduce", *args])
    assert left.value.code == 2
    assert told in capsys.readouterr().err


def test_a_table_of_which_nothing_runs_is_a_failure(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["reproduce", "made-1", "--row", "unbuilt", "--out", str(tmp_path), "--json", "--quiet"])
    said = capsys.readouterr()
    assert left.value.code == 1
    assert json.loads(said.out)["rows"][0]["reason"] == "the system 'nobody' is not built yet"
    assert json.loads((tmp_path / "table.json").read_text())["table"] == "made-1"


def test_lists_name_tables_rows_and_what_is_missing(capsys):
    for args, told in ((["--list"], "Made-up Table 1"), (["made-1", "--list"], "system not built yet")):
        with pytest.raises(SystemExit) as left:
            main(["reproduce", *args, "--backbone", "published"])
        assert left.value.code == 0
        assert told in capsys.readouterr().out


def test_a_row_without_its_paper_is_refused(folder, tmp_path, monkeypatch):
    (tmp_path / "bad-1").mkdir()
    (tmp_path / "bad-1" / "a.toml").write_text('title = "a"\nsystem = "joint"\n')
    monkeypatch.setattr(recipes, "recipes_folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=r"a title and a \[paper\]"):
        rows_of("bad-1")


def test_another_policy_answers_anew_from_the_same_training(folder, tmp_path):
    made = []
    for policy in (None, POLICIES["gold"]):
        bench_ = Bench(
            tmp_path, Budget(limit=1), {"esconv": folder / "esconv.jsonl"}, policy=policy, quiet=True
        )
        made += bench_.run(rows_of("made-1", only=["joint"]))
    first, second = made
    assert first.trained == second.trained
    assert first.answered != second.answered
    assert RunFolder(Path(second.answered)).manifest.recipe["policy"]["kind"] == "gold"
    assert "oracle strategy: replies are given the gold one" in second.caveats


def test_what_no_paper_printed_stands_in_one_line_with_its_cost(outcomes):
    ours = outcomes["vanilla"].ours
    asked = outcomes["vanilla"].model_copy(update={"paper": {}, "asked": ("BLEU-2", "accuracy")})
    table = result_table("The bench", [asked])
    assert table.columns == ("", "", "B-2", "ACC", "min", "steps", "tokens")
    cost = asked.cost
    (row,) = table.rows
    assert (row[0], *row[2:4]) == ("the vanilla row", f"{100 * ours['BLEU-2'].value:.2f}", "–")
    assert row[4:] == (f"{cost.minutes:.0f}", str(cost.steps), f"{cost.tokens:,}")


def test_the_cost_of_a_training_is_read_from_its_curves(tmp_path):
    run = RunFolder(tmp_path)
    assert cost_of(run) is None
    lines = [
        {"step": 1, "epoch": 0.1, "seconds": 30.0, "tokens": 100},
        {"step": 1, "seconds": 40.0, "valid_perplexity": 9.0},
        {"step": 2, "epoch": 0.2, "seconds": 75.0, "processor_seconds": 90.0, "tokens": 50},
        {"step": 2, "seconds": 90.0, "valid_perplexity": 12.0},
    ]
    run.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert cost_of(run) == Cost(minutes=1.5, steps=2, epochs=0.2, tokens=150, best=9.0)


def test_the_bench_has_every_system(monkeypatch):
    monkeypatch.undo()
    from hearten.models.systems import SYSTEMS

    rows = rows_of("bench", "embedded")
    assert {row.system for row in rows} == set(SYSTEMS)
    assert not any(row.paper.figures for row in rows)
    assert {row.values["protocol"] for row in rows} == {"seed13-910"}


def test_the_projects_own_tables_are_read_in_the_papers_order(monkeypatch):
    monkeypatch.undo()
    papers = {"esconv-4", "extes-6", "extes-7", "extes-8", "admisc-4", "admisc-6", "muffin-1"}
    assert set(tables()) == {*papers, "bench"}
    for table in tables():
        for backbone in ("published", "embedded"):
            rows = rows_of(table, backbone)
            assert [row.paper.line for row in rows] == list(range(1, len(rows) + 1))
    assert [row.name for row in rows_of("esconv-4", only=None)[:3]] == [
        "dialogpt-vanilla",
        "dialogpt-joint",
        "dialogpt-oracle",
    ]
