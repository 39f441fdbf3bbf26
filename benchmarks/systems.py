"""Supervised tokens per second of training: every system against plain Joint, on one backbone in one run.

`python benchmarks/systems.py` trains each system of the registry for a few optimiser steps on the embedded
model with low-rank adapters, each beside Joint, and prints medians and ratios, by the clock and by processor
seconds (which a busy machine disturbs less). The corpus gets made-up annotations of ordinary length,
because what is measured is the step, and phrases are read before it. The goal is that no system costs more
than twice Joint.

`--quick` takes one short step on a tiny random model: it shows that the script works, not a speed.
`--only NAME` measures one system against Joint.
"""

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hearten.core.conversation import Conversation, Role
from hearten.core.protocol import examples, protocol
from hearten.core.records import Example
from hearten.core.taxonomy import label_set
from hearten.data.seeds import find_training_corpus
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.models.fitting import make_optimizer, one_step
from hearten.models.systems import SYSTEMS
from hearten.train.loader import epoch
from hearten.train.loop import Material, SystemTask
from hearten.train.recipe import Training
from training import tiny_model

BATCH = 1024
"""Padded ids a step: one micro-batch, so that a round is short."""
FEELINGS = ("anxiety", "depression", "sadness", "anger", "none")
RELATIONS = ("xReact", "xIntent", "xNeed", "xWant", "xEffect", "xAttr", "oReact", "oEffect", "oWant")
TAILS = ("sad", "to rest", "to talk to a friend", "worried", "to find a job", "cries", "tired", "to help")


def with_annotations(talk: Conversation, chance: random.Random) -> Conversation:
    """The conversation with annotations of every kind, of ordinary size."""

    def found(speaker: Role) -> dict[str, Any]:
        feeling = chance.choice(FEELINGS)
        return {
            "emotion": {"label": feeling, "scores": {name: float(name == feeling) for name in FEELINGS}},
            "keywords": chance.sample(TAILS, 3),
            "vad": [chance.random() for _ in range(3)],
            "commonsense": {relation: chance.sample(TAILS, 3) for relation in RELATIONS},
            "cause": "losing the job" if speaker is Role.SEEKER and chance.random() < 0.5 else None,
            "distress": {
                "stressor": "work",
                "expectations": ["rest"],
                "affects": ["sad"],
                "responses": ["yes"],
            },
        }

    turns = tuple(turn.model_copy(update={"annotations": found(turn.speaker)}) for turn in talk.turns)
    return talk.model_copy(update={"turns": turns})


def worker(name: str, backbone: str, some: list[Example]) -> Callable[[], tuple[float, float]]:
    """A function that trains one step and tells supervised tokens per second of clock and of processor."""
    chosen = SYSTEMS[name]
    shape = BackboneConfig(name=backbone, adapter=AdapterConfig(layers=15))
    options = {} if chosen.paper.backbone == "scratch" else {"backbone": shape}
    system = chosen(chosen.fitted(chosen.config_class(**options), some), label_set("esconv"))
    system.prepare(some)
    training = Training(batch_tokens=BATCH)
    task = SystemTask(system, Material(tuple(some), tuple(some[:1])), training)
    optimizer = make_optimizer(task, training)
    steps = itertools.cycle(
        epoch(system.rows(some), seed=13, number=0, micro_tokens=BATCH, batch_tokens=BATCH)
    )

    def step() -> tuple[float, float]:
        clock, processor = time.perf_counter(), time.process_time()
        tokens = int(one_step(task, next(steps), optimizer, training.clip)["tokens"])
        return tokens / (time.perf_counter() - clock), tokens / (time.process_time() - processor)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: tiny model, one step")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="one system against Joint")
    chosen = parser.parse_args()
    corpus = find_training_corpus()
    chance = random.Random(13)
    talks = [with_annotations(talk, chance) for talk in corpus.conversations[: 4 if chosen.quick else 24]]
    some = [one for talk in talks for one in examples(talk, protocol("seed13-910"))]
    print(f"data: {corpus.format}, {len(some)} examples with made-up annotations; load average "
          f"{os.getloadavg()[0]:.1f}; {torch.get_num_threads()} threads")  # fmt: skip
    names = ["joint", *(name for name in SYSTEMS if name != "joint" and chosen.only in (None, name))]
    with tempfile.TemporaryDirectory() as folder:
        backbone = tiny_model(Path(folder)) if chosen.quick else "embedded"
        report(names, backbone, some, 1 if chosen.quick else chosen.repeats)


def report(names: list[str], backbone: str, some: list[Example], repeats: int) -> None:
    """Let the systems take turns, each beside Joint, and print what each reached."""
    joint = worker("joint", backbone, some)
    print("system          tokens/s   Joint beside it   share of Joint's speed: clock   processor")
    for name in names:
        step = joint if name == "joint" else worker(name, backbone, some)
        step()  # the first step warms up
        pairs = [(step(), joint()) for _ in range(repeats)]
        clock, processor = (
            statistics.median(own[place] / beside[place] for own, beside in pairs) for place in (0, 1)
        )
        own, beside = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
        print(f"{name:<15} {own:8.1f}   {beside:15.1f}   {clock:29.2f}   {processor:9.2f}", flush=True)
    print("goal: at least 0.50 for every system that stands on the backbone")


if __name__ == "__main__":
    main()
