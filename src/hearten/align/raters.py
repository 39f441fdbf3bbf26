"""Training a rater from facet data: a language model's adapter, or a small head on sentence vectors.

A row of training holds one facet's instruction and as many of its labelled replies as fit, so that the
instruction is read once for all of them; an optimiser step gathers rows of all facets. The loop is the one of
`models/fitting.py`. The light rater is fitted at once and is the floor that the other must clear.
"""

import math
import platform
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from hearten.align.facets import read_part
from hearten.align.records import FacetItem
from hearten.core.config import Config
from hearten.core.errors import Failure, UsageError
from hearten.core.rater import facet
from hearten.core.runfolder import Manifest, RunFolder, file_hash, git_revision, now, versions
from hearten.lm.backbone import autocast
from hearten.models.fitting import Fitting, Memoryless, State, fit
from hearten.models.raters.language import LanguageRater, LanguageRaterConfig, Question, rows_of


class RaterTraining(Fitting):
    """How a language rater learns, on a CPU. The released code: 12 epochs, 128 items a step, 3e-4."""

    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: float = 0.05
    weight_decay: float = 0.0
    validations: float = 2.0
    checkpoint_minutes: float = 3.0
    batch_items: Annotated[int, Field(ge=1)] = 16
    """Replies per optimiser step, of all facets together."""
    row_tokens: Annotated[int, Field(ge=64)] = 768
    """Ids of replies and contexts behind one instruction: bounds the memory."""
    balance: Annotated[float, Field(ge=0, le=1)] = 0.25
    """A class weighs its frequency to the power of minus this; 0 weighs every reply alike."""
    valid_items: int | None = 150
    """Validate on so many items, a third of each facet; None takes all."""


class RaterConfig(Config):
    """A language rater and how it is trained."""

    rater: LanguageRaterConfig = LanguageRaterConfig()
    training: RaterTraining = RaterTraining()
    seed: int = 13


class Packed(NamedTuple):
    """Items of one facet that share a row."""

    facet: str
    items: tuple[FacetItem, ...]


class RaterTask(Memoryless):
    """What `models.fitting.fit` asks of whatever learns, answered for a language rater."""

    def __init__(self, rater: LanguageRater, items: Sequence[FacetItem], valid: Sequence[FacetItem]) -> None:
        self._rater, self._valid = rater, valid
        self._weights: dict[tuple[str, str], float] = {}
        self.trainable, self.train = rater.trainable, rater.train
        self.save, self.load = rater.save, rater.load

    def weigh(self, items: Sequence[FacetItem], power: float) -> None:
        """Class weights ∝ frequency^-power, scaled to mean 1 over the items of each facet."""
        counts = Counter((item.facet, item.label) for item in items)
        for name in {name for name, _ in counts}:
            mine = {key: count for key, count in counts.items() if key[0] == name}
            scale = sum(mine.values()) / sum(count ** (1 - power) for count in mine.values())
            self._weights |= {key: scale * count**-power for key, count in mine.items()}

    def weight(self, micro: Packed) -> int:
        """Items."""
        return len(micro.items)

    def losses(self, micro: Packed) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted mean of -log P(class) over the items, named by facet."""
        found = self._loglikelihoods(micro)
        weights = [self._weights.get((micro.facet, item.label), 1.0) for item in micro.items]
        loss = -(found * torch.tensor(weights, device=found.device)).mean()
        return loss, {micro.facet: loss}

    def _loglikelihoods(self, micro: Packed) -> Tensor:
        classes = facet(micro.facet).classes
        asked = [Question(item.context, (item.reply,)) for item in micro.items]
        labels = [classes.index(item.label) for item in micro.items]
        with autocast(self._rater.backbone.device):
            return self._rater.loglikelihoods(micro.facet, asked, labels)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean over facets of -log P(class), then each facet's."""
        self._rater.eval()
        sums: defaultdict[str, list[float]] = defaultdict(list)
        for row in packed(self._rater, self._valid, 768):
            sums[row.facet] += self._loglikelihoods(row).tolist()
        means = {f"valid_{name}": -sum(found) / len(found) for name, found in sorted(sums.items())}
        return {"valid_nll": sum(means.values()) / max(1, len(means))} | means


def packed(rater: LanguageRater, items: Sequence[FacetItem], limit: int) -> list[Packed]:
    """Items in rows of one facet each, in their order."""
    rows = []
    for name in rater.facets:
        mine = [item for item in items if item.facet == name]
        asked = [Question(item.context, (item.reply,)) for item in mine]
        rows += [Packed(name, tuple(mine[n] for n in row)) for row in rows_of(rater, name, asked, limit)]
    return rows


def plan(
    rater: LanguageRater, items: Sequence[FacetItem], training: RaterTraining, seed: int
) -> list[list[Packed]]:
    """Every optimiser step of the run; the order depends on the seed and the epoch alone."""
    steps: list[list[Packed]] = []
    for number in range(math.ceil(training.epochs)):
        chance = random.Random(f"{seed}/{number}")
        order = list(items)
        chance.shuffle(order)
        rows = packed(rater, order, training.row_tokens)
        chance.shuffle(rows)
        steps += _gather(rows, training.batch_items)
    return steps[: max(1, round(len(steps) * training.epochs / math.ceil(training.epochs)))]


def _gather(rows: Sequence[Packed], size: int) -> list[list[Packed]]:
    steps: list[list[Packed]] = [[]]
    for row in rows:
        if steps[-1] and sum(len(one.items) for one in steps[-1]) + len(row.items) > size:
            steps.append([])
        steps[-1].append(row)
    return steps


def train_rater(
    config: RaterConfig,
    data: Path,
    out: Path,
    *,
    command: str,
    minutes: float | None = None,
    pause: float | None = None,
    limit: int | None = None,
    quiet: bool = False,
) -> State:
    """Train a language rater on `data` (a folder of `align facets build`) into the run folder `out`.

    Raises:
        UsageError: classes that do not tokenise apart, or `out` holds another run; Failure: no data.
    """
    items, valid = read_part(data, "train")[:limit], read_part(data, "valid")
    if not items or not valid:
        raise Failure("no labelled replies to train on", where=str(data), fix="hearten align facets build")
    torch.manual_seed(config.seed)
    rater = LanguageRater(config.rater)
    rater.backbone.settle()
    run = RunFolder(out)
    _claim(run, config, data, command)
    training = config.training
    task = RaterTask(rater, items, even(valid, training.valid_items))
    task.weigh(items, training.balance)
    steps = plan(rater, items, training, config.seed)
    per_epoch = len(steps) / training.epochs
    return fit(
        task,
        steps,
        training,
        run,
        per_epoch=per_epoch,
        seed=config.seed,
        minutes=minutes,
        pause=pause,
        quiet=quiet,
    )


def even(items: Sequence[FacetItem], count: int | None) -> list[FacetItem]:
    """The first items of every facet, `count` in all."""
    if count is None:
        return list(items)
    names = sorted({item.facet for item in items})
    each = max(1, count // max(1, len(names)))
    return [one for name in names for one in [item for item in items if item.facet == name][:each]]


def _claim(run: RunFolder, config: RaterConfig, data: Path, command: str) -> None:
    """Write the manifest, or make sure that the one there is this run's."""
    recipe = config.model_dump(mode="json")
    inputs = {f"{part}.jsonl": file_hash(data / f"{part}.jsonl") for part in ("train", "valid", "test")}
    if run.manifest_file.is_file():
        there = run.manifest
        if (there.recipe, there.inputs) != (recipe, inputs):
            what = f"'{run.path}' holds a rater with another configuration or other data"
            raise UsageError(what, fix="choose another --out, or remove that folder")
        return
    run.write_manifest(
        Manifest(
            system="rater",
            recipe=recipe,
            seed=config.seed,
            command=command,
            created=now(),
            revision=git_revision(),
            versions=versions(),
            machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
            inputs=inputs,
            protocol="facets-811",
            split_hash=inputs["test.jsonl"][:12],
        )
    )


def trainable_count(module: nn.Module) -> int:
    """How many numbers training changes."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
