"""A system learns from its own replies that a rater told apart (Muffin 2024, section 4.2).

For each context the gold reply and all candidates are scored in one pass that reads the context once
(`Backbone.options`, `System.score`). The candidates' scores make the contrast, the gold reply's words the
generation loss. Any system will do, any of the variants of `losses.py`, and the one training loop.

A context teaches nothing when its candidates are all helpful, all unhelpful or all alike; such contexts are
counted by reason and left out. A tenth of the conversations validates.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from hearten.align.losses import Objective, contrast, gaps, preference, scores_of
from hearten.align.records import CandidateSet, RatedSet
from hearten.align.sampling import refuse_other_context
from hearten.core.config import Config
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_json
from hearten.core.rater import aggregate
from hearten.core.records import Candidate, Example, FacetVerdict
from hearten.core.runfolder import RunFolder, file_hash, git_revision, now
from hearten.lm.backbone import autocast
from hearten.models.fitting import Fitting, Memoryless, State, fit, linear
from hearten.models.system import System


class ContrastTraining(Fitting):
    """One epoch, as the paper; the learning rate is for low-rank adapters (the paper's, full: 3e-5)."""

    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    warmup: float = 0.05
    weight_decay: float = 0.001
    validations: float = 2.0
    batch_contexts: Annotated[int, Field(ge=1)] = 8
    """Contexts per optimiser step."""
    valid_contexts: Annotated[int, Field(ge=1)] = 40
    """At most so many contexts validate."""
    released_schedule: bool = False
    """The released code's rate: max · min(t^-0.5, t · 2400^-1.5), which never exceeds 2% of its maximum."""


class ContrastConfig(Config):
    """What is learned and how."""

    objective: Objective = Objective()
    training: ContrastTraining = ContrastTraining()
    facets: tuple[str, ...] = ()
    """Only these facets tell helpful from unhelpful (Table 3); empty: all."""
    seed: int = 13


@dataclass(frozen=True, slots=True)
class Lesson:
    """One context with candidates of both kinds."""

    options: tuple[Example, ...]
    """The gold reply, then the candidates."""
    helpful: tuple[bool, ...]
    """Of the candidates."""


def lessons(
    examples: Sequence[Example],
    sampled: Sequence[CandidateSet],
    rated: Sequence[RatedSet],
    facets: Sequence[str] = (),
) -> tuple[list[Lesson], Counter[str]]:
    """What can be learned from, and how many contexts were left out for which reason.

    Raises:
        Failure: candidates or verdicts that do not belong to these contexts.
    """
    by_turn = {(one.conversation_id, one.index): one for one in examples}
    verdicts = {(one.conversation_id, one.index): one for one in rated}
    skipped: Counter[str] = Counter()
    found: list[Lesson] = []
    for each in sampled:
        key = (each.conversation_id, each.index)
        if key not in by_turn:
            what = f"turn {each.index} of '{each.conversation_id}' is no training turn of this corpus"
            raise Failure(what, where="candidates", fix="use the corpus and protocol they were sampled from")
        if key not in verdicts:
            skipped["not rated"] += 1
            continue
        refuse_other_context(by_turn[key], each.context, "candidates")
        refuse_other_context(by_turn[key], verdicts[key].context, "verdicts")
        lesson = _lesson(by_turn[key], each, verdicts[key], facets)
        if isinstance(lesson, str):
            skipped[lesson] += 1
        else:
            found.append(lesson)
    return found, skipped


def _lesson(example: Example, sampled: CandidateSet, rated: RatedSet, facets: Sequence[str]) -> Lesson | str:
    """The lesson of one context, or why there is none."""
    if len(rated.verdicts) != len(sampled.candidates):
        what = f"{len(rated.verdicts)} verdicts for {len(sampled.candidates)} candidates"
        raise Failure(
            what, where=f"turn {example.index} of '{example.conversation_id}'", fix="rate them again"
        )
    kept: dict[str, tuple[Candidate, bool]] = {}
    for candidate, verdict in zip(sampled.candidates, rated.verdicts, strict=True):
        answer = aggregate(_chosen(verdict, facets))
        if answer is not None and candidate.text.strip():
            kept.setdefault(" ".join(candidate.text.casefold().split()), (candidate, answer))
    labels = {answer for _, answer in kept.values()}
    if not kept:
        return "no candidate could be rated"
    if len(kept) == 1:
        return "all candidates alike"
    if len(labels) == 1:
        return "all candidates helpful" if True in labels else "all candidates unhelpful"
    options = [example.model_copy(update={"response": one.text}) for one, _ in kept.values()]
    return Lesson((example, *options), tuple(answer for _, answer in kept.values()))


def _chosen(verdicts: Sequence[FacetVerdict], facets: Sequence[str]) -> list[FacetVerdict]:
    return [one for one in verdicts if not facets or one.facet in facets]


class ContrastTask(Memoryless):
    """What `models.fitting.fit` asks of whatever learns, answered for a system and its lessons."""

    def __init__(self, system: System, valid: Sequence[Lesson], objective: Objective) -> None:
        self._system, self._valid, self._objective = system, valid, objective
        self._references: dict[int, Tensor] = {}
        self.trainable, self.train = system.trainable, system.train
        self.save, self.load = system.save, system.load

    @torch.no_grad()
    def refer(self, lessons: Sequence[Lesson]) -> None:
        """Keep how the system scores the candidates now: DPO's reference."""
        self._system.eval()
        for lesson in lessons:
            self._references[id(lesson)] = self._scores(lesson)[0]

    def weight(self, micro: Lesson) -> int:
        """Every context counts alike."""
        return 1

    def losses(self, micro: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of `contrast` and `generation`; without a weight no candidate is read."""
        if not self._objective.weight:
            _, generation = self._scores(Lesson(micro.options[:1], ()))
            return self._objective.generation * generation, {"generation": generation}
        return self._weighed(micro, *self._scores(micro))

    def _weighed(self, micro: Lesson, scores: Tensor, generation: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        told = torch.tensor(micro.helpful, device=scores.device)
        if self._objective.method == "contrast":
            apart = contrast(scores, told, self._objective)
        else:
            apart = preference(scores, told, self._objective, self._references.get(id(micro)))
        total = self._objective.weight * apart + self._objective.generation * generation
        return total, {"contrast": apart, "generation": generation}

    def _scores(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """Scores of the candidates (K,), and the mean negative log-likelihood of the gold reply's tokens."""
        system = self._system
        with autocast(system.backbone.device):
            batch = system.collate(system.backbone.options(lesson.options), lesson.options)
            logprobs = system.score(batch)
        gold = batch.example_of == 0
        scores = scores_of(logprobs[~gold], batch.example_of[~gold] - 1, len(lesson.helpful), self._objective)
        return scores, -logprobs[gold].mean()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean objective on the held-out contexts, and the share of pairs in the right order."""
        self._system.eval()
        totals: list[float] = []
        right: list[float] = []
        for lesson in self._valid:
            scores, generation = self._scores(lesson)
            totals.append(float(self._weighed(lesson, scores, generation)[0]))
            found = gaps(scores, torch.tensor(lesson.helpful, device=scores.device))
            right.append(float((found > 0).float().mean()))
        return {
            "valid_objective": sum(totals) / max(1, len(totals)),
            "valid_ordered": sum(right) / max(1, len(right)),
        }


def learn(
    system: System,
    found: Sequence[Lesson],
    config: ContrastConfig,
    run: RunFolder,
    *,
    minutes: float | None = None,
    pause: float | None = None,
    quiet: bool = False,
) -> State:
    """Train `system` (already trained on the corpus) on `found` into `run`; resumes.

    Raises:
        Failure: too few lessons to train and validate on.
    """
    training = config.training
    system.backbone.settle()
    train, valid = held_out(found, config.seed, training.valid_contexts)
    task = ContrastTask(system, valid, config.objective)
    if config.objective.method == "dpo":
        task.refer([*train, *valid])
    steps = plan(train, training, config.seed)
    rate = _released_rate(len(steps)) if training.released_schedule else linear
    return fit(
        task,
        steps,
        training,
        run,
        per_epoch=len(steps) / training.epochs,
        seed=config.seed,
        minutes=minutes,
        pause=pause,
        quiet=quiet,
        schedule=rate,
    )


def held_out(found: Sequence[Lesson], seed: int, most: int) -> tuple[list[Lesson], list[Lesson]]:
    """Lessons to learn from, and those of a tenth of the conversations to validate on."""
    talks = sorted({lesson.options[0].conversation_id for lesson in found})
    random.Random(f"contrast/{seed}").shuffle(talks)
    apart = set(talks[: max(1, len(talks) // 10)])
    train = [lesson for lesson in found if lesson.options[0].conversation_id not in apart]
    valid = [lesson for lesson in found if lesson.options[0].conversation_id in apart][:most]
    if not train or not valid:
        what = f"{len(found)} contexts with both helpful and unhelpful candidates are too few"
        raise Failure(what, fix="sample and rate more contexts, of at least two conversations")
    return train, valid


def plan(found: Sequence[Lesson], training: ContrastTraining, seed: int) -> list[list[Lesson]]:
    """Every optimiser step of the run, in an order the seed fixes."""
    steps: list[list[Lesson]] = []
    whole = int(training.epochs)
    for number in range(whole + (training.epochs > whole)):
        order = list(found)
        random.Random(f"{seed}/{number}").shuffle(order)
        size = training.batch_contexts
        epoch = [order[start : start + size] for start in range(0, len(order), size)]
        part = min(1.0, training.epochs - number)
        steps += epoch[: max(1, round(part * len(epoch)))]
    return steps


def _released_rate(total: int) -> Callable[[float, float], float]:
    def rate(done: float, _warmup: float) -> float:
        step = round(done * total) + 1
        return float(min(step**-0.5, step * 2400**-1.5))

    return rate


def claim(
    source: RunFolder, target: RunFolder, config: ContrastConfig, command: str, inputs: Sequence[Path]
) -> None:
    """Give `target` the manifest of `source` with what is learned now, or make sure it already has it.

    Raises:
        UsageError: `target` holds another run, or is the run that it would learn from.
    """
    if target.path.resolve() == source.path.resolve():
        raise UsageError("a run cannot be aligned into its own folder", fix="choose another --out")
    there = source.manifest
    files = {path.name: file_hash(path) for path in inputs}
    recipe = {
        **there.recipe,
        "align": {**config.model_dump(mode="json"), "base": str(source.path), "files": files},
    }
    update = {"system": f"{there.system}-muffin", "recipe": recipe, "command": command, "seed": config.seed}
    wanted = there.model_copy(update=update | {"created": now(), "revision": git_revision()})
    if not target.manifest_file.is_file():
        target.write_manifest(wanted)
    elif target.manifest.recipe != wanted.recipe:
        raise UsageError(
            f"'{target.path}' holds another run", fix="choose another --out, or remove that folder"
        )


def write_counts(path: Path, used: int, skipped: Counter[str]) -> None:
    """Say beside the run what was learned from and what was not."""
    write_json(path, {"contexts": used, "left_out": dict(sorted(skipped.items()))})
