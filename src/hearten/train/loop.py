"""A system and its corpus as a task for the one training loop (`models/fitting.py`).

Rows in, named losses weighted by the system, validation by perplexity. It plans all steps of a run before
the first, so that a resumed run sees what it would have seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch import Tensor, nn

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
    """What `models.fitting.fit` asks of whatever learns, answered for a system.

    Args:
        system: what is trained.
        material: what it learns from and is chosen by.
        training: how rows are put into batches.
        ends: counts of steps at which an epoch ends; the balance of the losses looks at them.
    """

    def __init__(
        self, system: System, material: Material, training: Training, ends: frozenset[int] = frozenset()
    ) -> None:
        self._system, self._examples, self._valid = system, material.train, material.valid
        self._ends = ends
        self._micro_tokens = training.micro_tokens
        self._valid_rows = system.rows(material.valid)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The system's."""
        return self._system.trainable()

    def train(self) -> None:
        """Go into training mode."""
        self._system.train()

    def weight(self, micro: list[Row]) -> int:
        """Targets: a row counts by what it teaches."""
        return sum(len(row.targets) for row in micro)

    def losses(self, micro: list[Row]) -> tuple[Tensor, dict[str, Tensor]]:
        """The system's objective and its named losses."""
        with autocast(self._system.backbone.device):
            named = self._system.losses(self._system.collate(micro, self._examples))
            return self._system.objective(named), named

    def observe(self, losses: dict[str, float], step: int) -> dict[str, Any]:
        """Let the balance of the losses see them; tells the weights where these are not all 1."""
        weights = self._system.balance.weights()
        self._system.balance.observe(losses, epoch_ends=step in self._ends)
        return {"weights": weights} if set(weights.values()) != {1.0} else {}

    def remembered(self) -> dict[str, Any]:
        """What the balance of the losses remembers."""
        return self._system.balance.remembered()

    def remember(self, values: dict[str, Any]) -> None:
        """Give it back."""
        self._system.balance.remember(values)

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
    system.backbone.settle()
    steps, ends = _plan(system.rows(material.train), training, seed)
    task, per_epoch = SystemTask(system, material, training, ends), len(steps) / training.epochs
    return fit(task, steps, training, run, per_epoch=per_epoch, seed=seed, minutes=minutes, quiet=quiet)


def _plan(rows: Sequence[Row], training: Training, seed: int) -> tuple[list[Step], frozenset[int]]:
    """All steps of the run in order, and the counts of steps at which an epoch ends.

    The last epoch may be a part of one.
    """
    sizes = {"micro_tokens": training.micro_tokens, "batch_tokens": training.batch_tokens}
    epochs = [epoch(rows, seed=seed, number=n, **sizes) for n in range(math.ceil(training.epochs))]
    part = training.epochs - (len(epochs) - 1)
    last = epochs[-1][: max(1, round(part * len(epochs[-1])))]
    parts = (*epochs[:-1], last)
    return [step for each in parts for step in each], frozenset(accumulate(map(len, parts)))
