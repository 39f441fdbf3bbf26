"""Run folders made of nothing, for whatever reads one."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hearten.core.jsonl import write_records
from hearten.core.records import LikelihoodRow, Prediction
from hearten.core.runfolder import Manifest, RunFolder
from hearten.core.taxonomy import label_set
from hearten.evaluate.origin import items_hash

NAMES = label_set("esconv").names
MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run(name, right=…, talks=…, …)` writes a run folder and returns it."""

    def make(name: str, **options: object) -> Path:
        return write_run(tmp_path / name, **options)  # type: ignore[arg-type]

    return make


def write_run(
    folder: Path,
    *,
    right: float = 0.5,
    talks: int = 12,
    protocol: str = "seed13-910",
    tokenizer: str = "toy",
    likelihoods: bool = True,
    predictions: bool = True,
    metrics: bool = True,
) -> Path:
    """A run whose system is right with the given probability, and the less surprised for it."""
    draw, place = random.Random(0), RunFolder(folder)
    items, rows = [], []
    for talk in range(talks):
        for index in range(1, 20, 2):
            gold = draw.randrange(8)
            chosen = gold if draw.random() < right else (gold + draw.randrange(1, 8)) % 8
            items.append(prediction(f"c{talk:02d}", index, NAMES[gold], NAMES[chosen]))
            rows.append(likelihood(f"c{talk:02d}", index, (3 - right) * 5 + draw.random(), tokenizer))
    if predictions:
        write_records(place.predictions, items)
    if likelihoods:
        write_records(place.likelihoods, rows)
    if metrics:
        write_records(place.metrics, curve())
    place.write_manifest(manifest(protocol, items_hash(items)))
    return folder


def prediction(talk: str, index: int, gold: str, chosen: str) -> Prediction:
    return Prediction(
        conversation_id=talk,
        index=index,
        turns_total=20,
        context=("seeker: hello", "supporter: hi there"),
        reference="that sounds hard for you",
        hypothesis="I see that this is hard",
        gold_strategy=gold,
        strategy=chosen,
    )


def likelihood(talk: str, index: int, nll: float, tokenizer: str) -> LikelihoodRow:
    return LikelihoodRow(
        conversation_id=talk,
        index=index,
        nll=nll,
        tokens=5,
        words=4,
        strategy_fed="gold",
        tokenizer=tokenizer,
    )


def curve() -> list[dict[str, object]]:
    steps = [
        {
            "step": step,
            "loss": 3 - step / 100,
            "losses": {"response": 2 - step / 100},
            "lr": 1e-4,
            "seconds": step,
        }
        for step in range(10, 110, 10)
    ]
    return [*steps, {"step": 50, "valid_perplexity": 20.0}, {"step": 100, "valid_perplexity": 15.0}]


def manifest(protocol: str, split: str) -> Manifest:
    return Manifest(
        system="joint",
        recipe={"backbone": "toy"},
        seed=13,
        command="hearten train toy.toml",
        created="2026-01-01T00:00:00+00:00",
        revision="unknown",
        versions={"python": "3"},
        machine="test",
        inputs={"corpus.json": "0" * 64},
        protocol=protocol,
        split_hash=split,
    )
