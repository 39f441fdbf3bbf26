"""What sharing saves in alignment, each step against the plain way in the same run.

1. rating: three facets of K candidates, scored with everything shared computed once, against generating an
   answer for each of the 3·K prompts;
2. sampling: K diverse beams for every supporter turn of a conversation, as `align sample` does it, against
   group beam search of transformers 4.x on the same weights and contexts, one by one (measured by an
   interpreter of its own, `--peer PYTHON`; without one the peer is named as absent);
3. contrast: one gradient step over K candidates and the gold reply with the context computed once, against
   K + 1 separate passes: time, and the peak of memory above the loaded model (a process each).

Both ways compute in the same precision: bf16 where the processor multiplies it natively.

Run: python benchmarks/muffin.py [--quick] [--peer /path/to/venv4x/bin/python]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from hearten.align.contrast import ContrastTask, Lesson
from hearten.align.losses import Objective, contrast
from hearten.core.protocol import protocol, split
from hearten.core.rater import facet
from hearten.core.records import Example
from hearten.core.taxonomy import label_set
from hearten.data.seeds import find_training_corpus
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, autocast, fast_dtype
from hearten.lm.decode import POLICIES, DiverseDecoding
from hearten.lm.embedded import embedded_folder
from hearten.models.raters.language import LanguageRater, LanguageRaterConfig
from hearten.models.system import SystemConfig
from hearten.models.systems.vanilla import Vanilla
from training import tiny_model

K, ANSWER = 10, 8
"""Candidates a context; new ids of a generated answer (the released code's)."""
REPLIES = (
    "That sounds really hard, and I am sorry that you have to go through it alone.",
    "Have you been able to talk to anyone about how this makes you feel?",
    "You should just stop thinking about it and go outside for a while.",
    "I understand. When I lost my own job I also felt as if nobody would want me.",
    "It makes sense that you are tired after so many weeks without any sleep.",
    "What would help you most right now, an idea or somebody who listens?",
    "Many towns have a free line where people answer questions like this one.",
    "You have already done a lot: asking for help is not an easy thing to do.",
    "Maybe you could write down what you would like to tell your sister first.",
    "Thank you for telling me this. How long has it been going on?",
)


def clock(work: Callable[[], object], repeats: int, *, warm: bool = True) -> float:
    """Median seconds of `work`, after one round that is not counted (`warm`)."""
    if warm:
        work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def contexts(count: int, limit: int) -> list[Example]:
    """Training turns whose context is long enough to be worth sharing."""
    corpus = find_training_corpus()
    train = split(corpus.conversations, protocol("seed13-910"))["train"]
    return [one for one in train if 6 <= len(one.context) <= limit][: count * 7 : 7]


def conversation(turns: int) -> list[Example]:
    """The first so many supporter turns of a training conversation."""
    corpus = find_training_corpus()
    train = split(corpus.conversations, protocol("seed13-910"))["train"]
    return [one for one in train if one.conversation_id == train[0].conversation_id][:turns]


def rating(name: str, repeats: int) -> None:
    adapter = AdapterConfig(rank=16, alpha=16, modules="attention")
    rater = LanguageRater(LanguageRaterConfig(backbone=BackboneConfig(name=name, adapter=adapter))).eval()
    rater.backbone.fold()
    example = contexts(1, 12)[0]
    prompts = []
    for one in rater.facets:
        before = [*rater._instructions[one], *rater.context_ids(facet(one), example.context)]
        prompts += [[*before, *rater.reply_ids(reply)] for reply in REPLIES]

    @torch.no_grad()
    def plainly() -> None:
        for prompt in prompts:
            with autocast(rater.backbone.device):
                rater.backbone.model.generate(
                    torch.tensor([prompt]), max_new_tokens=ANSWER, do_sample=False, pad_token_id=0
                )

    ours = clock(lambda: rater.rate(example.context, REPLIES), repeats)
    peer = clock(plainly, 1, warm=False)  # ours has warmed the model already
    verdict(f"rating {len(prompts)} prompts of {sum(map(len, prompts)) // len(prompts)} ids", ours, peer, 8)


PEER = """
import json, sys, time, torch
from transformers import AutoModelForCausalLM
task = json.load(open(sys.argv[1]))
torch.set_num_threads(task["threads"])
model = AutoModelForCausalLM.from_pretrained(task["folder"], torch_dtype=getattr(torch, task["dtype"])).eval()
def run(prompt):
    with torch.no_grad():
        return model.generate(
            torch.tensor([prompt]), num_beams=task["k"], num_beam_groups=task["k"], diversity_penalty=1.0,
            num_return_sequences=task["k"], do_sample=False, no_repeat_ngram_size=3, min_new_tokens=10,
            max_new_tokens=40, pad_token_id=model.config.eos_token_id, use_cache=True)
run(task["prompts"][0])
began = time.perf_counter()
for prompt in task["prompts"]:
    run(prompt)
print(json.dumps((time.perf_counter() - began) / len(task["prompts"])))
"""


def sampling(name: str, folder: Path, peer: str | None, repeats: int) -> None:
    system = Vanilla(SystemConfig(backbone=BackboneConfig(name=name, adapter=AdapterConfig(kind="full"))),
                     label_set("esconv"))  # fmt: skip
    system.fold()
    some = conversation(12 if repeats > 1 else 2)
    decoding = DiverseDecoding(n=K, groups=K)
    ours = clock(lambda: system.generate(some, decoding, POLICIES["gold"]), repeats) / len(some)
    if not peer:
        print(f"sampling: {ours:8.2f} s a context; peer absent: --peer names a python with transformers 4.x")
        return
    render = system.backbone.renderer
    task = {
        "folder": str(folder),
        "k": K,
        "threads": torch.get_num_threads(),
        "dtype": str(fast_dtype(system.backbone.device)).removeprefix("torch."),
        "prompts": [render.context(one.context, one.profile) for one in some],
    }
    with tempfile.TemporaryDirectory() as place:
        Path(place, "task.json").write_text(json.dumps(task), encoding="utf-8")
        done = subprocess.run([peer, "-W", "ignore", "-c", PEER, str(Path(place, "task.json"))],
                              capture_output=True, text=True, cwd=place, check=False)  # fmt: skip
    if done.returncode:
        print(f"sampling: {ours:8.2f} s a context; the peer failed: {done.stderr.strip().splitlines()[-1:]}")
        return
    verdict(
        f"sampling {K} beams a context, {len(some)} contexts of a conversation",
        ours,
        json.loads(done.stdout.splitlines()[-1]),
        3,
    )


def resident(which: str) -> float:
    """MiB this process holds now (`VmRSS`) or held at most (`VmHWM`)."""
    told = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(told[which].split()[0]) / 1024


def step_of(name: str, way: str, layers: int | None) -> tuple[float, float]:
    """(seconds, MiB above the loaded model) of one gradient step, the `shared` or the `separate` way."""
    shape = BackboneConfig(name=name, adapter=AdapterConfig(layers=layers))
    torch.manual_seed(1)
    system = Vanilla(SystemConfig(backbone=shape), label_set("esconv"))
    system.backbone.settle()
    (gold, *_) = contexts(1, 14)
    options = (gold, *(gold.model_copy(update={"response": text}) for text in REPLIES))
    lesson = Lesson(options, tuple(k % 2 == 0 for k in range(len(REPLIES))))
    task = ContrastTask(system, [], Objective())

    def separate() -> torch.Tensor:
        scores = []
        for option in options:
            with autocast(system.backbone.device):
                logprobs = system.score(system.collate(system.rows([option]), [option]))
            scores.append(logprobs.mean())
        told = torch.tensor(lesson.helpful)
        return contrast(torch.stack(scores[1:]), told, Objective()) - scores[0]

    work = separate if way == "separate" else lambda: task.losses(lesson)[0]
    system.train()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak counts from now on
    before = resident("VmRSS")
    began = time.perf_counter()
    work().backward()
    first = time.perf_counter() - began
    memory = resident("VmHWM") - before
    system.zero_grad(set_to_none=True)
    began = time.perf_counter()
    work().backward()
    return min(first, time.perf_counter() - began), memory


def contrasting(name: str, layers: int | None) -> None:
    found = {}
    for way in ("shared", "separate"):
        arguments = [sys.executable, __file__, "--step", way, "--model", name]
        arguments += [] if layers is None else ["--layers", str(layers)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        found[way] = json.loads(done.stdout.splitlines()[-1])
    (ours, mine), (peer, theirs) = found["shared"], found["separate"]
    verdict(f"a contrast step over {K} + 1 replies", ours, peer, 3)
    share = mine / max(theirs, 1e-9)
    print(
        f"{'':>9} peak memory above the model {mine:.0f} MiB of {theirs:.0f} ({share:.2f}; goal: under 0.5)"
    )


def verdict(what: str, ours: float, peer: float, goal: int) -> None:
    print(f"{ours:8.3f} s  peer {peer:8.3f} s  ratio {peer / ours:5.2f}  {what} (goal: {goal})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: tiny model, one round")
    parser.add_argument(
        "--peer", default=os.environ.get("HEARTEN_PEER4"), help="a python with transformers 4.x"
    )
    parser.add_argument("--only", choices=["rating", "sampling", "contrast"], default=None)
    parser.add_argument(
        "--layers", type=int, default=None, help="contrast: adapt only so many of the last layers"
    )
    parser.add_argument("--step", choices=["shared", "separate"], help=argparse.SUPPRESS)
    parser.add_argument("--model", default="embedded", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        print(json.dumps(step_of(chosen.model, chosen.step, chosen.layers)))
        return
    print(f"load average {os.getloadavg()[0]:.1f}; {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as place:
        name = tiny_model(Path(place)) if chosen.quick else "embedded"
        folder = Path(name) if chosen.quick else embedded_folder()
        repeats = 1 if chosen.quick else 3
        steps: dict[str, Callable[[], None]] = {
            "rating": lambda: rating(name, repeats),
            "sampling": lambda: sampling(name, folder, chosen.peer, repeats),
            "contrast": lambda: contrasting(name, chosen.layers),
        }
        for step, run in steps.items():
            if chosen.only in (None, step):
                run()


if __name__ == "__main__":
    main()
