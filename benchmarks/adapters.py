"""What each kind of adapter costs and gives on equal steps: trainable parameters, time, memory, perplexity.

`python benchmarks/adapters.py` tunes the embedded model on ESConv (Joint: a strategy before every reply)
with LoRA, LLaMA-Adapter V1 and V2, each in a process of its own, for the same optimiser steps over the same
rows in the same order, and prints a table. Perplexity is per token over the replies of the same validation
conversations, the gold strategy fed. Seconds of the processor hardly depend on what else the machine does.
Memory is what the process held at its highest above what it held when
the model was loaded. Each kind takes its own rate (`RATES`): LoRA that of our recipes, V2 lit-llama's, and
V1, which has V2's prompts and gates, the same.

`--quick` takes a tiny random model and two steps: it shows that the script works, nothing else.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 16, "alpha": 32},
    "lora-15": {"rank": 16, "alpha": 32, "layers": 15},
    "adapter-v1": {},
    "adapter-v2": {},
}
"""Name → options of the adapter; `lora-15` adapts the last 15 layers alone, as our recipes do."""
RATES = {"lora": 1e-3, "lora-15": 1e-3, "adapter-v1": 9e-3, "adapter-v2": 9e-3}
WARMUP = 0.1


def memory() -> float:
    """The highest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def task_of(name: str, model: str, valid: int) -> tuple[Any, Any, list[Any]]:
    """A system with this adapter as a task for the loop, its settings, and its steps in order."""
    import torch

    from hearten.core.protocol import protocol, split
    from hearten.core.taxonomy import label_set
    from hearten.data.seeds import find_training_corpus
    from hearten.lm.adapters import AdapterConfig
    from hearten.lm.backbone import BackboneConfig
    from hearten.models.systems.joint import Joint, JointConfig
    from hearten.train.loader import epoch
    from hearten.train.loop import Material, SystemTask
    from hearten.train.recipe import Training

    corpus = find_training_corpus()
    parts = split(corpus.conversations, protocol("seed13-910"))
    torch.manual_seed(13)
    adapter = AdapterConfig(kind=name.removesuffix("-15"), **OPTIONS[name])
    system = Joint(
        JointConfig(backbone=BackboneConfig(name=model, adapter=adapter)), label_set(corpus.label_set)
    )
    names = list(dict.fromkeys(example.conversation_id for example in parts["valid"]))[:valid]
    chosen = tuple(example for example in parts["valid"] if example.conversation_id in names)
    learned = parts["train"][:3000]
    sizes = {"micro_tokens": 1024, "batch_tokens": 1024}
    training = Training(learning_rate=RATES[name], warmup=WARMUP, **sizes)
    steps = epoch(system.rows(learned), seed=13, number=0, **sizes)
    return SystemTask(system, Material(learned, chosen), training), training, steps


def measure(name: str, model: str, count: int, valid: int) -> dict[str, Any]:
    """Tune one kind for `count` steps and score `valid` validation conversations before and after."""
    import torch

    from hearten.models.fitting import linear, make_optimizer, one_step

    task, training, steps = task_of(name, model, valid)
    loaded = memory()
    before = task.validate()
    optimizer = make_optimizer(task, training)
    wall, cpu, tokens = 0.0, 0.0, 0
    for number, step in enumerate(steps[:count]):
        torch.manual_seed(number)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * linear((number + 0.5) / count, WARMUP)
        began, used = time.perf_counter(), time.process_time()
        record = one_step(task, step, optimizer, training.clip)
        wall += time.perf_counter() - began
        cpu += time.process_time() - used
        tokens += int(str(record["tokens"]))
    after = task.validate()
    return {
        "kind": name,
        "trainable": sum(parameter.numel() for parameter in task.trainable().values()),
        "seconds a step": wall / count,
        "of the processor": cpu / count,
        "tokens/CPU s": tokens / cpu,
        "memory, MiB": memory() - loaded,
        "perplexity before": before["valid_perplexity"],
        "after": after["valid_perplexity"],
        "strategy accuracy": 100 * after.get("valid_strategy_accuracy", math.nan),
    }


def apart(name: str, chosen: argparse.Namespace, model: str) -> dict[str, Any]:
    """Measure one kind in a process of its own, so that its memory is its own."""
    numbers = ["--steps", str(chosen.steps), "--valid", str(chosen.valid)]
    command = [sys.executable, __file__, "--only", name, "--model", model, *numbers]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(rows: Iterable[dict[str, Any]]) -> None:
    """Print each row of a Markdown table as it comes."""
    for number, row in enumerate(rows):
        if number == 0:
            print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        cells = (
            f"{v:,}" if isinstance(v, int) else f"{v:.2f}" if isinstance(v, float) else v
            for v in row.values()
        )
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: tiny model, two steps")
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps of 1,024 padded ids")
    parser.add_argument("--valid", type=int, default=6, help="validation conversations")
    parser.add_argument("--kind", action="append", choices=list(OPTIONS), help="only this; may be repeated")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--model", default="embedded", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(measure(chosen.only, chosen.model, chosen.steps, chosen.valid)))
        return
    print(f"load average {os.getloadavg()[0]:.1f}; {chosen.steps} steps")
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model
        if chosen.quick:
            from training import tiny_model

            model, chosen.steps, chosen.valid = tiny_model(Path(folder)), 2, 1
        show(apart(name, chosen, model) for name in chosen.kind or OPTIONS)


if __name__ == "__main__":
    main()
