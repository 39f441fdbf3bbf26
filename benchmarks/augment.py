"""How quickly a grown corpus is read, checked and kept: 2,000 scripted replies, good, broken, cut, copied.

`python benchmarks/augment.py [CONVERSATIONS]` grows them with the real command's own parts (a `scripted:`
model, the ledger on the disk, every check, near-duplicates against the seeds and each other), prints the
seconds (of the clock, and of the processor, which a busy machine does not stretch) and proves that every
reply is accounted for. The goal is 2,000 in under 60 s on two cores.

The peer, in the same process: near-duplicates by comparing with every conversation known, exactly, in place
of the MinHash index. Both must name the same duplicates.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "augment"))

import replies_made_up as made_up

from hearten.augment.asking import seed_of
from hearten.augment.checks import local_scorer
from hearten.augment.plan import Plan
from hearten.augment.reading import read
from hearten.augment.records import CorpusFolder, Request
from hearten.augment.resemblance import Index, hashes, jaccard
from hearten.augment.run import Nursery, seeds_of
from hearten.core.conversation import Conversation
from hearten.core.jsonl import read_records, write_records
from hearten.core.shingles import NEAR
from hearten.lm.chat import open_chat_model

COMPARED, ROUNDS = 800, 3
Way = Callable[[list[Conversation]], list[str]]
SCENE = 'of the type "Breakups or Divorce"'


def script(path: Path, plan: Plan) -> None:
    """A reply for every attempt of every conversation the plan can ask for."""
    seeds = seeds_of(plan)
    numbers = range(1, round(plan.wanted * plan.surplus) + 1)
    names = [f"r1-{number:05d}.a{attempt}" for number in numbers for attempt in range(1, plan.attempts + 1)]
    asked = [seed_of(plan.seed, name) for name in names]
    write_records(path, ({"seed": seed, "reply": made_up.respond(SCENE, seed, seeds)} for seed in asked))


def grow(folder: Path, conversations: int) -> None:
    """Time one run and check its books."""
    plan = Plan(model=f"scripted:{folder / 'script.jsonl'}", rounds=(conversations,), surplus=1.0)
    script(folder / "script.jsonl", plan)
    model = open_chat_model(plan.model)
    place = CorpusFolder(folder / "grown")
    start, worked = time.perf_counter(), time.process_time()
    found = Nursery(place, plan, lambda name: model, quiet=True).grow()
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    answered = [line.id for line in read_records(place.requests, Request) if line.status == "answered"]
    used = [name for _, one in place.grown() for name in one.provenance.requests]
    assert sorted(used) == sorted(answered), "a reply is not accounted for"
    judged = found.accepted + found.rejected
    print(f"{judged:,} conversations of {len(answered):,} replies, {judged / seconds:.0f} a second")
    print(f"{seconds:.1f} s of the clock, {processor:.1f} s of the processor")
    print(f"accepted {found.accepted:,}, rejected {found.rejected:,}: {dict(found.reasons.most_common())}")
    print(f"every reply accounted for; toxicity scored: {local_scorer() is not None}")


def nearest_by_index(talks: list[Conversation]) -> list[str]:
    """Ours."""
    index = Index()
    found = []
    for talk in talks:
        near = index.nearest(talk)
        found.append(near.id if near else "")
        index.add(talk)
    return found


def nearest_by_all(talks: list[Conversation]) -> list[str]:
    """The peer: every known conversation, exactly."""
    known = []
    found = []
    for talk in talks:
        own = hashes(talk)
        best = max(((jaccard(own, other), name) for name, other in known), default=(0.0, ""))
        found.append(best[1] if best[0] >= NEAR else "")
        known.append((talk.id, own))
    return found


def compare() -> None:
    """Medians of both on the same conversations, one in twenty a near copy."""
    draw = random.Random(13)
    texts = [made_up.good(draw, "Academic Stress") for _ in range(COMPARED)]
    for place in range(19, COMPARED, 20):
        texts[place] = json.loads(json.dumps(texts[place - 7]))
        texts[place]["content"][2]["User"] += " Anyway."
    talks = [read(json.dumps(text)).conversation(f"t{n}", "Academic Stress") for n, text in enumerate(texts)]
    times: dict[str, list[float]] = {"index": [], "all": []}
    answers: dict[str, list[str]] = {}
    ways: dict[str, Callable[[list[Conversation]], list[str]]] = {
        "index": nearest_by_index,
        "all": nearest_by_all,
    }
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            answers[name] = way(talks)
            times[name].append(time.process_time() - start)
    assert answers["index"] == answers["all"], "the index missed a duplicate"
    ours, theirs = (statistics.median(times[name]) for name in ("index", "all"))
    copies = sum(map(bool, answers["index"]))
    print(f"near-duplicates among {COMPARED:,}: {copies}, the same by both ways")
    print(f"index {ours:.2f} s, all pairs {theirs:.2f} s, ratio of medians {theirs / ours:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        grow(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
    compare()
