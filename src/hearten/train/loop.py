"""A system and its corpus as a task for the one training loop (`models/fitting.py`).

Rows in, named losses weighted by the system, validation by perplexity. It plans all steps of a run before
the first, so that a resumed run sees what it would have seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hearten.core.records import Example
from hearten.core.runfolder import RunFolder
from hearten.lm.backbone import autocast
from hearten.lm.render import Row
from hearten.models.fitting import State, fit
from hearten.models.system import System, validation
from hearten.train.loader import Step, epoch
from hearten.train.recipe import Training


@dataclass(frozen=True, slots=True)
class Material:
    """What one run learns from and is chosen by."""

    train: tuple[Example, ...]
    valid: tuple[Example, ...]


class SystemTask:
    """What `models.fitting.fit` asks of whatever learns, answered for a system."""

    def __init__(self, system: System, material: Material, training: Training) -> None:
        self._system, self._examples, self._valid = system, material.train, material.valid
        self._micro_tokens = training.micro_tokens
        self._valid_rows = system.rows(material.valid)
        self.trainable = system.trainable
        self.train = system.train

    def weight(self, micro: list[Row]) -> int:
        """Targets: a row counts by what it teaches."""
        return sum(len(row.targets) for row in micro)

    def losses(self, micro: list[Row]) -> tuple[Tensor, dict[str, Tensor]]:
        """The system's objective and its named losses."""
        with autocast(self._system.backbone.device):
            named = self._system.losses(self._system.collate(micro, self._examples))
            return self._system.objective(named), named

    def validate(self) -> dict[str, float]:
        """Perplexity per token, and how often the likeliest strategy is the gold one."""
        return validation(self._system, self._valid_rows, self._valid, self._micro_tokens)

    def save(self, folder: Path) -> None:
        """Write the system's trained part."""
        self._system.save(folder)

    def load(self, folder: Path) -> None:
        """Read it back."""
        self._system.load(folder)


def train(
    system: System,
    material: Material,
    training: Training,
    run: RunFolder,
    *,
    seed: int,
    minutes: float | None = None,
    quiet: bool = False,
) -> State:
    """Train `system` into `run`, going on from its last checkpoint if there is one.

    Args:
        system: a freshly built system; its trainable parameters are changed in place.
        material: training and validation examples.
        training: how to train.
        run: where metrics, checkpoints and the best weights go.
        seed: of the order of the data and of dropout.
        minutes: stop after so long; the learning rate reaches zero then.
        quiet: no progress bar.

    Returns:
        The final state.

    Raises:
        Failure: the loss is not a number, or the disk is full.
    """
    system.prepare(material.train)
    steps, per_epoch = _plan(system.rows(material.train), training, seed)
    task = SystemTask(system, material, training)
    return fit(task, steps, training, run, per_epoch=per_epoch, seed=seed, minutes=minutes, quiet=quiet)


def _plan(rows: Sequence[Row], training: Training, seed: int) -> tuple[list[Step], float]:
    """All steps of the run in order, and how many make an epoch; the last epoch may be a part of one."""
    sizes = {"micro_tokens": training.micro_tokens, "batch_tokens": training.batch_tokens}
    epochs = [epoch(rows, seed=seed, number=n, **sizes) for n in range(math.ceil(training.epochs))]
    part = training.epochs - (len(epochs) - 1)
    last = epochs[-1][: max(1, round(part * len(epochs[-1])))]
    steps = [step for each in (*epochs[:-1], last) for step in each]
    return steps, len(steps) / training.epochs
