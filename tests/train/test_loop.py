"""The one loop: schedule by hand, resume to the same numbers, refusals that keep what was written."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from hearten.core.errors import Failure
from hearten.core.jsonl import read_json, read_lines
from hearten.core.runfolder import RunFolder
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.models import fitting
from hearten.models.fitting import State, done_share, linear
from hearten.models.systems import SYSTEMS
from hearten.train import loop
from hearten.train.loop import Material, _plan, train
from hearten.train.recipe import Training

pytestmark = pytest.mark.usefixtures("exact")

SIX = Training(
    epochs=2, learning_rate=3e-3, batch_tokens=400, micro_tokens=200, validations=1, checkpoint_minutes=0
)


@pytest.fixture
def material(supporter_turns):
    talks = list(dict.fromkeys(one.conversation_id for one in supporter_turns))
    chosen = {name: number for number, name in enumerate(talks)}
    parts = [[], []]
    for one in supporter_turns:
        if chosen[one.conversation_id] < 5:
            parts[chosen[one.conversation_id] == 4].append(one)
    return Material(tuple(parts[0]), tuple(parts[1]))


def built(folder, name="joint", dropout=0.1, **options):
    torch.manual_seed(13)
    shape = BackboneConfig(name=str(folder), adapter=AdapterConfig(rank=2, dropout=dropout))
    system = SYSTEMS[name]
    return system(system.config_class(backbone=shape, **options), label_set("esconv"))


def metrics(run):
    timed = ("seconds", "processor_seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in timed} for _, row in read_lines(run.metrics)]


class Stop(Exception):
    pass


def test_the_schedule_by_hand():
    # a rise over a tenth, then a straight fall to zero at the end
    assert linear(0.05, 0.1) == pytest.approx(0.051 / 0.1)
    assert linear(0.1, 0.1) == 1.0
    assert linear(0.55, 0.1) == pytest.approx(0.5)
    assert linear(1.0, 0.1) == 0.0
    assert linear(0.0, 0.0) == 1.0
    assert linear(0.25, 0.0) == 0.75
    assert 0 < linear(0.0, 0.1) < 0.02, "the first step moves a little"


def test_a_run_is_done_by_steps_or_by_minutes():
    assert done_share(State(step=3), 6, None) == 0.5
    assert done_share(State(step=3, seconds=90), 6, 2) == 0.75
    assert done_share(State(step=3, seconds=6), 6, 2) == 0.5
    assert done_share(State(step=3, seconds=90, processor=30), 6, 2, "processor") == 0.5
    assert done_share(State(step=1, seconds=90, processor=30), 6, 2, "processor") == 0.25


@pytest.mark.parametrize(("epochs", "expected"), [(1.0, 1.0), (2.0, 2.0), (0.5, 0.5), (1.5, 1.5)])
def test_the_plan_is_whole_epochs_and_a_part_of_the_last(tiny_llama, material, epochs, expected):
    rows = built(tiny_llama).rows(material.train)
    wanted = SIX.model_copy(update={"epochs": epochs})
    steps, ends = _plan(rows, wanted, seed=1)
    seen = [id(row) for step in steps for micro in step for row in micro]
    assert max(map(seen.count, seen)) == math.ceil(expected)
    if epochs == int(epochs):
        assert sorted(seen) == sorted([id(row) for row in rows] * int(epochs)), "each epoch is whole"
    assert len(ends) == math.ceil(epochs)
    assert max(ends) == len(steps)


def test_epochs_of_unequal_length_are_all_trained(tiny_llama, material, monkeypatch, tmp_path):
    real = loop.epoch

    def uneven(rows, *, number, **sizes):
        steps = real(rows, number=number, **sizes)
        return steps if number == 0 else [[micro for step in steps for micro in step]]

    monkeypatch.setattr(loop, "epoch", uneven)
    run = RunFolder(tmp_path)
    first = len(
        uneven(built(tiny_llama).rows(material.train), number=0, seed=1, micro_tokens=200, batch_tokens=400)
    )
    state = train(built(tiny_llama), material, SIX, run, seed=1, quiet=True)
    assert state.step == first + 1


@pytest.mark.parametrize(
    ("stop_at", "options"),
    [(1, {}), (3, {}), (5, {"balancing": {"kind": "dwa", "period": 2, "temperature": 0.1}})],
)
def test_a_run_that_was_stopped_arrives_at_the_same_numbers(
    tmp_path, tiny_llama, material, monkeypatch, stop_at, options
):
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    total = train(built(tiny_llama, **options), material, SIX, whole, seed=13, quiet=True).step
    assert total >= 6
    real, count = fitting.one_step, iter(range(100))

    def stopping(*args):
        if next(count) == stop_at:
            raise Stop
        return real(*args)

    monkeypatch.setattr(fitting, "one_step", stopping)
    with pytest.raises(Stop):
        train(built(tiny_llama, **options), material, SIX, broken, seed=13, quiet=True)
    with broken.metrics.open("a") as stream:
        stream.write('{"step": 4, "torn')  # what a kill may leave
    monkeypatch.setattr(fitting, "one_step", real)
    train(built(tiny_llama, **options), material, SIX, broken, seed=13, quiet=True)
    assert metrics(broken) == metrics(whole)
    assert any("weights" in row for row in metrics(whole)) == bool(options), "dynamic weights did move"
    name = f"state-{total}.safetensors"
    one, other = (load_file(run.checkpoints / name) for run in (whole, broken))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one), "weights and both moments, bit by bit"
    best, best_again = (load_file(run.model / "system.safetensors") for run in (whole, broken))
    assert all(torch.equal(best[key], best_again[key]) for key in best)


def test_running_a_finished_run_again_changes_nothing(tmp_path, tiny_llama, material):
    run = RunFolder(tmp_path)
    train(built(tiny_llama), material, SIX, run, seed=13, quiet=True)
    before = metrics(run)
    train(built(tiny_llama), material, SIX, run, seed=13, quiet=True)
    assert metrics(run) == before


def test_each_validation_is_logged_once_and_the_best_weights_are_kept(tmp_path, tiny_llama, material):
    run = RunFolder(tmp_path)
    system = built(tiny_llama)
    often = SIX.model_copy(update={"validations": 2.0})
    state = train(system, material, often, run, seed=13, quiet=True)
    scored = [row for row in metrics(run) if "valid_perplexity" in row]
    steps = [row["step"] for row in scored]
    assert steps == sorted(set(steps))
    assert steps[-1] == state.step
    assert state.best == min(row["valid_perplexity"] for row in scored)
    total = sum(one.nll for one, _ in system.measure(system.rows(material.valid), material.valid))
    tokens = sum(one.tokens for one, _ in system.measure(system.rows(material.valid), material.valid))
    assert math.exp(total / tokens) == pytest.approx(state.best, rel=1e-4), (
        "the best weights are back in place"
    )
    assert all(0 <= row["valid_strategy_accuracy"] <= 1 for row in scored)


def test_metrics_say_what_a_step_was(tmp_path, tiny_llama, material):
    run = RunFolder(tmp_path)
    system = built(tiny_llama)
    state = train(system, material, SIX, run, seed=13, quiet=True)
    steps = [row for row in metrics(run) if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, state.step + 1))
    assert steps[-1]["epoch"] == pytest.approx(2.0)
    targets = sum(len(row.targets) for row in system.rows(material.train))
    assert sum(row["tokens"] for row in steps) == 2 * targets
    for number, row in enumerate(steps):
        assert row["rate"] == pytest.approx(SIX.learning_rate * linear(number / state.step, SIX.warmup))
        assert row["loss"] == pytest.approx(row["losses"]["strategy"] + row["losses"]["response"], rel=1e-5)


def test_accumulating_micro_batches_is_one_large_batch(tmp_path, tiny_llama, material):
    results = []
    for name, micro in (("one", 4000), ("many", 1)):
        one_step = SIX.model_copy(update={"epochs": 1, "batch_tokens": 100_000, "micro_tokens": micro})
        run = RunFolder(tmp_path / name)
        system = built(tiny_llama, "vanilla", dropout=0.0)
        train(system, material, one_step, run, seed=13, quiet=True)
        results.append((metrics(run)[0], system.trainable()))
    (one, weights), (many, others) = results
    assert one["step"] == many["step"] == 1
    assert one["loss"] == pytest.approx(many["loss"], rel=1e-5)
    assert one["gradient"] == pytest.approx(many["gradient"], rel=1e-4)
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_nan_is_a_failure_and_never_reaches_the_weights(tmp_path, tiny_llama, material, monkeypatch, where):
    run, system = RunFolder(tmp_path), built(tiny_llama)
    real, count = system.objective, iter(range(100))

    def poisoned(losses):
        loss = real(losses)
        if next(count) < 4:
            return loss
        if where == "loss":
            return loss * math.nan
        loss.register_hook(lambda gradient: gradient * math.nan)
        return loss * 1.0

    monkeypatch.setattr(system, "objective", poisoned)
    with pytest.raises(Failure, match=f"{where}.* became nan") as error:
        train(system, material, SIX, run, seed=13, quiet=True)
    assert "training.learning_rate" in error.value.fix
    state = read_json(run.checkpoints / "state.json")
    assert state["step"] >= 1
    saved = load_file(run.checkpoints / f"state-{state['step']}.safetensors")
    assert all(bool(value.isfinite().all()) for value in saved.values())
    assert all(bool(value.isfinite().all()) for value in system.trainable().values())
    assert [row["step"] for row in metrics(run) if "loss" in row] == list(range(1, state["step"] + 1))


def test_a_validation_that_is_no_number_is_a_failure(tmp_path, tiny_llama, material, monkeypatch):
    system = built(tiny_llama)
    real = system.likelihoods
    monkeypatch.setattr(
        system,
        "likelihoods",
        lambda batch: [type(o)(math.nan, o.tokens, o.strategy_logprobs) for o in real(batch)],
    )
    with pytest.raises(Failure, match="'validation' became nan"):
        train(system, material, SIX, RunFolder(tmp_path), seed=13, quiet=True)


def test_minutes_end_a_run_with_a_validated_model(tmp_path, tiny_llama, material, monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            self.now += 1.0
            return self.now

        def process_time(self):
            return 0.0

    monkeypatch.setattr(fitting, "time", Clock())
    run = RunFolder(tmp_path)
    endless = SIX.model_copy(update={"epochs": 50, "validations": 0.02})
    state = train(built(tiny_llama), material, endless, run, seed=13, minutes=0.5, quiet=True)
    assert 3 <= state.step < 20
    assert 28 <= state.seconds <= 40
    rows = metrics(run)
    assert "valid_perplexity" in rows[-1]
    assert (run.model / "system.safetensors").is_file()
    rates = [row["rate"] for row in rows if "rate" in row]
    assert rates[-1] < 0.2 * max(rates), "the schedule was shortened, not cut off"


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from conftest import told
from hearten.core.protocol import examples, protocol
from hearten.core.runfolder import RunFolder
from hearten.core.taxonomy import label_set
from hearten.lm import backbone
from hearten.models import fitting
from hearten.models.systems import SYSTEMS
from hearten.train import loop
from hearten.train.recipe import Training

backbone.fast_dtype = lambda device: torch.float32
turns = [[*examples(told(n, 6), protocol("seed13-910"))] for n in range(6)]
material = loop.Material(tuple(e for t in turns[:5] for e in t), tuple(turns[5]))
torch.manual_seed(13)
shape = backbone.BackboneConfig(name={model!r}, adapter=backbone.AdapterConfig(rank=2, dropout=0.1))
system = SYSTEMS["joint"](SYSTEMS["joint"].config_class(backbone=shape), label_set("esconv"))
training = Training(epochs=4, learning_rate=3e-3, batch_tokens=200, micro_tokens=200, validations=1,
                    checkpoint_minutes=0)
if sys.argv[2] == "slowly":
    import time
    real = fitting.one_step
    fitting.one_step = lambda *args: time.sleep(0.2) or real(*args)
print(loop.train(system, material, training, RunFolder(Path(sys.argv[1])), seed=13, quiet=True).step)
"""


@pytest.mark.slow
def test_a_run_killed_without_warning_arrives_at_the_same_numbers(tmp_path, tiny_llama):
    tests = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    script = tmp_path / "run.py"
    script.write_text(KILLED.format(tests=tests, model=str(tiny_llama)), encoding="utf-8")
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")

    def command(run, pace):
        return [sys.executable, str(script), str(run.path), pace]

    done = subprocess.run(command(whole, "fast"), capture_output=True, text=True, check=True)
    total = int(done.stdout)
    process = subprocess.Popen(command(broken, "slowly"))
    deadline = time.monotonic() + 120
    state = broken.checkpoints / "state.json"
    while not (state.is_file() and json.loads(state.read_text())["step"] >= 3):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it must still be running"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert json.loads(state.read_text())["step"] < total
    subprocess.run(command(broken, "fast"), capture_output=True, check=True)
    assert metrics(broken) == metrics(whole)
    one, other = (load_file(run.checkpoints / f"state-{total}.safetensors") for run in (whole, broken))
    assert all(torch.equal(one[key], other[key]) for key in one)
