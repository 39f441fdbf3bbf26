"""Predicting with a tiny trained run: what is written, resumed, refused."""

from pathlib import Path

import pytest

from hearten.core.errors import UsageError
from hearten.core.jsonl import read_records, write_records
from hearten.core.protocol import relabel
from hearten.core.records import LikelihoodRow, Prediction
from hearten.core.runfolder import RunFolder
from hearten.core.taxonomy import label_set
from hearten.evaluate.origin import open_origin
from hearten.evaluate.predict import Plan, predict
from hearten.lm.decode import policy_of

RECIPE = """
title = "tiny"
system = "joint"
[model.backbone]
window = 128
overlap = 32
adapter = { kind = "lora", rank = 2, alpha = 4 }
[training]
epochs = 1
batch_tokens = 512
micro_tokens = 512
[decoding]
max_tokens = 6
min_tokens = 1
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_llama, conversations) -> tuple[RunFolder, Path]:
    """A run trained for one small epoch, and its corpus."""
    from hearten.train.run import start

    folder = tmp_path_factory.mktemp("predict")
    (folder / "tiny.toml").write_text(RECIPE)
    write_records(folder / "talks.jsonl", conversations)
    run = start(
        folder / "tiny.toml",
        folder / "talks.jsonl",
        folder / "run",
        command="test",
        backbone=str(tiny_llama),
        quiet=True,
    )
    return run, folder / "talks.jsonl"


def test_every_test_turn_gets_a_likelihood_and_a_reply(trained, tmp_path: Path) -> None:
    run, data = trained
    target = RunFolder(tmp_path / "argmax")
    count = predict(run, target, Plan(data=data, policy=policy_of("argmax")), quiet=True)
    replies = list(read_records(target.predictions, Prediction))
    likely = list(read_records(target.likelihoods, LikelihoodRow))
    assert count == len(replies) == len(likely) > 0
    assert {(r.conversation_id, r.index) for r in replies} == {(r.conversation_id, r.index) for r in likely}
    for reply in replies:
        assert reply.strategy == max(reply.probabilities, key=reply.probabilities.get)
    assert open_origin(target.path).whole_test_part


def test_the_gold_policy_says_the_gold_strategy(trained, tmp_path: Path) -> None:
    run, data = trained
    target = RunFolder(tmp_path / "oracle")
    predict(run, target, Plan(data=data, policy=policy_of("gold")), quiet=True)
    assert all(r.strategy == r.gold_strategy for r in read_records(target.predictions, Prediction))


def test_a_stopped_prediction_goes_on_and_repeats_nothing(trained, tmp_path: Path) -> None:
    run, data = trained
    whole, stopped = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    plan = Plan(data=data, policy=policy_of("argmax"))
    predict(run, whole, plan, quiet=True)
    predict(run, stopped, plan, quiet=True)
    lines = stopped.predictions.read_text().splitlines(keepends=True)
    stopped.predictions.write_text("".join(lines[:-1]) + lines[-1][:20])  # as a kill leaves it
    predict(run, stopped, plan, quiet=True)
    assert stopped.predictions.read_text() == whole.predictions.read_text()


def test_fewer_replies_than_likelihoods_still_score_every_strategy(trained, tmp_path: Path) -> None:
    run, data = trained
    target = RunFolder(tmp_path / "quick")
    count = predict(run, target, Plan(data=data, policy=policy_of("argmax"), replies=0), quiet=True)
    origin = open_origin(target.path)
    assert origin.predictions == ()
    assert len(origin.beliefs) == count
    assert all(row.gold_strategy and row.probabilities for row in origin.beliefs)


def test_other_results_are_not_mixed_into_the_run(trained, tmp_path: Path) -> None:
    run, data = trained
    with pytest.raises(UsageError, match="not this run's own"):
        predict(run, run, Plan(data=data, policy=policy_of("gold")), quiet=True)
    with pytest.raises(UsageError, match="untrained"):
        predict(run, run, Plan(data=data, untrained=True), quiet=True)


def test_the_untrained_system_differs_from_the_trained(trained, tmp_path: Path) -> None:
    run, data = trained
    before, after = RunFolder(tmp_path / "before"), RunFolder(tmp_path / "after")
    predict(run, before, Plan(data=data, untrained=True, replies=0), quiet=True)
    predict(run, after, Plan(data=data, policy=policy_of("argmax"), replies=0), quiet=True)
    one, two = (sum(r.nll for r in read_records(f.likelihoods, LikelihoodRow)) for f in (before, after))
    assert one != two
    assert before.manifest.system == "joint-untrained"


def test_a_changed_corpus_is_refused(trained, tmp_path: Path, conversations) -> None:
    from hearten.core.errors import Failure

    run, data = trained
    changed = tmp_path / data.name
    write_records(changed, conversations[:-1])
    with pytest.raises(Failure, match="has changed since"):
        predict(run, RunFolder(tmp_path / "x"), Plan(data=changed, policy=policy_of("argmax")), quiet=True)


def test_another_corpus_is_answered_with_strategies_mapped(trained, tmp_path: Path, conversations) -> None:
    run, _ = trained
    other = tmp_path / "other.jsonl"
    talks = [relabel(talk, "extes").model_copy(update={"id": f"x{talk.id}"}) for talk in conversations]
    write_records(other, talks)
    with pytest.raises(UsageError, match="results of another corpus"):
        predict(run, run, Plan(data=other, transfer=True), quiet=True)
    target = RunFolder(tmp_path / "transfer")
    count = predict(run, target, Plan(data=other, transfer=True), quiet=True)
    rows = list(read_records(target.likelihoods, LikelihoodRow))
    assert count == len(rows) > 0
    esconv = set(label_set("esconv").names)
    assert {row.gold_strategy for row in rows} <= esconv
    assert all(set(row.probabilities) == esconv for row in rows)
    assert target.manifest.inputs.keys() == {"other.jsonl"}
    assert open_origin(target.path).whole_test_part
