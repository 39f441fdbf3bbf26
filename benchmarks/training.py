"""Supervised tokens per second of training: hearten's loop against one example per row.

`python benchmarks/training.py` trains the embedded model with LoRA for a few optimiser steps in each of three
ways, taking turns in one run, and prints medians and ratios. The peers are rows of one example each, as the
released code has them: 16 drawn at random, padded to the longest, logits over every position (four rows at a
time, so that the memory of an ordinary machine holds them):

- released: the last 180 ids of context and a reply of at most 45, as DialoGPT in codes_zcj. It reads less
  context, so it is not the same task; its ratio is printed for honesty.
- equal context: everything that was said before, up to the window. The goal is a ratio of at least 3.

Supervised tokens per second of the processor are printed below: on a busy machine they tell more.

`--quick` takes fewer and shorter steps on a tiny random model: it shows that the script works, not a speed.
"""

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional

from hearten.core.protocol import protocol, split
from hearten.core.records import Example
from hearten.core.taxonomy import label_set
from hearten.data.seeds import find_training_corpus
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, autocast
from hearten.lm.render import Row
from hearten.models.fitting import make_optimizer, one_step
from hearten.models.system import SystemConfig
from hearten.models.systems.vanilla import Vanilla
from hearten.train.loader import epoch
from hearten.train.loop import Material, SystemTask
from hearten.train.recipe import Training

BATCH, CONTEXT, REPLY = 16, 180, 45
"""The released code's: examples per step (`--batch` changes it), ids of context, ids of reply."""
AT_ONCE = 4


def tiny_model(folder: Path) -> str:
    """A random LLaMA of the embedded model's vocabulary, two layers deep."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from hearten.lm.embedded import embedded_folder

    shape = LlamaConfig.from_pretrained(embedded_folder(), num_hidden_layers=2, hidden_size=48,
                                        intermediate_size=96, num_attention_heads=4, num_key_value_heads=2,
                                        head_dim=12)  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    AutoTokenizer.from_pretrained(embedded_folder()).save_pretrained(folder)
    return str(folder)


def peer_rows(
    system: Vanilla, examples: list[Example], size: int, context: int, reply: int
) -> Iterator[list[Row]]:
    """Endless random batches of one example per row."""
    chance = random.Random(13)
    while True:
        batch = []
        for example in chance.sample(examples, size):
            (row, *_) = system.rows([example])
            start = row.targets[0].position
            kept = row.ids[max(0, start - context) : start]
            ids = [*kept, *row.ids[start : start + reply]]
            targets = [t for t in row.targets if t.position < start + reply]
            moved = [type(t)(t.position - start + len(kept), 0, t.is_strategy) for t in targets]
            batch.append(Row(ids, moved))
        yield batch


def peer_step(
    system: Vanilla, rows: list[Row], examples: list[Example], optimizer: torch.optim.Optimizer
) -> int:
    """One step the plain way: every position through the vocabulary, loss where there is a target."""
    system.train()
    batch = system.collate(rows, examples)
    labels = torch.full_like(batch.ids, -100)
    labels[batch.target_rows, batch.target_places] = batch.target_ids
    for part in torch.arange(len(rows)).split(AT_ONCE):  # all padded to the longest of the sixteen
        with autocast(system.backbone.device):
            logits = system.backbone.model(input_ids=batch.ids[part], attention_mask=batch.mask[part]).logits
        gold = labels[part].flatten()
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), gold, ignore_index=-100, reduction="sum"
        )
        (loss / len(batch.target_ids)).backward()
    torch.nn.utils.clip_grad_norm_(system.trainable().values(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return len(batch.target_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: tiny model, few steps")
    parser.add_argument("--repeats", type=int, default=3, help="rounds at most")
    parser.add_argument("--minutes", type=float, default=5.0, help="no round that would end after so long")
    parser.add_argument("--batch", type=int, default=BATCH, help="the peers' examples per step")
    parser.add_argument("--layers", type=int, default=None, help="adapt only so many of the last layers")
    chosen = parser.parse_args()
    corpus = find_training_corpus()
    train = split(corpus.conversations, protocol("seed13-910"))["train"]
    print(f"data: {corpus.format}, {len(train)} training examples; load average {os.getloadavg()[0]:.1f}; "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        name = tiny_model(Path(folder)) if chosen.quick else "embedded"
        adapter = AdapterConfig(layers=chosen.layers)
        system = Vanilla(
            SystemConfig(backbone=BackboneConfig(name=name, adapter=adapter)), label_set("esconv")
        )
    some = list(train)[: BATCH + 4 if chosen.quick else 600]
    measure(system, some, rounds(1 if chosen.quick else chosen.repeats, chosen.minutes), chosen.batch)


def rounds(most: int, minutes: float) -> Iterator[int]:
    """Up to `most` numbers, the next only while one more round like the longest fits into `minutes`."""
    began = last = time.perf_counter()
    longest = 0.0
    for number in range(most):
        if last - began + longest > 60 * minutes:
            return
        yield number
        now = time.perf_counter()
        longest, last = max(longest, now - last), now


def measure(system: Vanilla, some: list[Example], turns: Iterator[int], size: int) -> None:
    """Let the three ways take turns, and print what each reached."""
    training = Training(batch_tokens=4096)
    task = SystemTask(system, Material(tuple(some), tuple(some[:1])), training)
    optimizer = make_optimizer(task, training)
    steps = itertools.cycle(epoch(system.rows(some), seed=13, number=0, micro_tokens=2048, batch_tokens=4096))
    window = system.backbone.config.window
    released = peer_rows(system, some, size, CONTEXT, REPLY)
    equal = peer_rows(system, some, size, window, window)

    def ours() -> int:
        return int(str(one_step(task, next(steps), optimizer, training.clip)["tokens"]))

    ways = {
        "hearten: whole conversations, bucketed, logits where there is loss": ours,
        f"equal context: one example a row, {size} at random": lambda: peer_step(
            system, next(equal), some, optimizer
        ),
        "released: the same with 180 + 45 ids": lambda: peer_step(system, next(released), some, optimizer),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    lean: dict[str, list[float]] = {way: [] for way in ways}
    for _ in turns:
        for way, work in ways.items():
            began, used = time.perf_counter(), time.process_time()
            tokens = work()
            speeds[way].append(tokens / (time.perf_counter() - began))
            lean[way].append(tokens / (time.process_time() - used))
    print(f"rounds: {len(next(iter(speeds.values())))}")
    for what, values in (("s", speeds), ("CPU s", lean)):
        medians = {way: statistics.median(each) for way, each in values.items()}
        first = next(iter(medians.values()))
        for way, value in medians.items():
            print(f"{value:8.1f} supervised tokens/{what}  ratio {first / value:5.2f}  {way}")
    print("goal: a ratio of at least 3 against equal context")


if __name__ == "__main__":
    main()
