"""The one training loop. Read it from top to bottom.

Whatever learns by gradient learns here: a system from its corpus, a rater from labelled replies, a system
from its own rated replies. A `Task` says what is trained, what a micro-batch loses and how well it does on
what it does not learn from; the loop brings AdamW with a warm-up and a linear fall, the budget, the metrics,
the best state and the resume. Each step seeds its own randomness, so a run killed at any moment and resumed
arrives at the same numbers as one that was not. A budget in minutes shortens the schedule instead of cutting
it off.

It does not know what a task computes, where examples come from, or how a report looks.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from hearten.core.config import Config
from hearten.core.errors import Failure
from hearten.core.jsonl import Appender, cut_torn_line, read_json, read_lines, write_json, write_records
from hearten.core.progress import progress
from hearten.core.runfolder import RunFolder
from hearten.models.system import write_tensors

M = TypeVar("M", contravariant=True)


class Fitting(Config):
    """How the loop runs. Learning rate and schedule of full fine-tuning: codes_zcj; of LoRA: ours."""

    epochs: float = Field(default=2.0, gt=0)
    learning_rate: float = Field(default=5e-4, gt=0)
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of all steps in which the learning rate rises to its maximum; then it falls linearly to 0."""
    weight_decay: float = 0.01
    clip: float = 1.0
    validations: float = Field(default=4.0, gt=0)
    """How often per epoch the validation part is scored."""
    checkpoint_minutes: float = 5.0
    """How often the state is saved for a resume."""
    clock: Literal["wall", "processor"] = "wall"
    """What a budget of minutes is read off: the clock, or the time of the processor (all threads together),
    which other work on the machine does not shorten. Systems are compared by the second."""


class Task(Protocol[M]):
    """What is learned."""

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        ...

    def weight(self, micro: M) -> int:
        """How much a micro-batch counts within its step: its targets, items or pairs."""
        ...

    def losses(self, micro: M) -> tuple[Tensor, dict[str, Tensor]]:
        """What is minimised, and its parts by name (scalars); called in training mode."""
        ...

    def observe(self, losses: dict[str, float], step: int) -> dict[str, Any]:
        """Look at the losses of a step just made (`step` are behind); tells what else to log."""
        ...

    def remembered(self) -> dict[str, Any]:
        """What a resumed run must know besides weights and moments: plain numbers."""
        ...

    def remember(self, values: dict[str, Any]) -> None:
        """Take up what `remembered` told."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on the validation part; the first one chooses the best state (lower is better)."""
        ...

    def train(self) -> object:
        """Go into training mode."""
        ...

    def save(self, folder: Path) -> None:
        """Write what was trained, so that `load` finds it."""
        ...

    def load(self, folder: Path) -> None:
        """Read back what `save` wrote."""
        ...


class Memoryless:
    """The part of a task that has nothing to remember between steps."""

    def observe(self, losses: dict[str, float], step: int) -> dict[str, Any]:
        """Nothing to see."""
        return {}

    def remembered(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def remember(self, values: dict[str, Any]) -> None:
        """Nothing to take up."""


@dataclass(slots=True)
class State:
    """Where a run stands; saved beside the weights."""

    step: int = 0
    seconds: float = 0.0
    """By the clock on the wall, over all sessions."""
    processor: float = 0.0
    """Seconds of the processor, all threads together."""
    best: float = math.inf
    """Lowest validation figure so far."""
    validated: int = 0
    """The step after which the validation part was last scored."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the task remembers between steps."""


def linear(done: float, warmup: float) -> float:
    """Share of the full learning rate: a linear rise over `warmup`, then a linear fall to zero."""
    rise = 1.0 if warmup <= 0 else min(1.0, (done + 1e-3) / warmup)
    return rise * max(0.0, (1 - done) / (1 - warmup) if done > warmup else 1.0)


def fit(
    task: Task[M],
    steps: Sequence[Sequence[M]],
    fitting: Fitting,
    run: RunFolder,
    *,
    per_epoch: float,
    seed: int,
    minutes: float | None = None,
    pause: float | None = None,
    quiet: bool = False,
    schedule: Callable[[float, float], float] = linear,
) -> State:
    """Train `task` into `run`, going on from its last checkpoint if there is one; answers where it stands.

    Args:
        task: freshly built; changed in place, and at the end left with the best weights.
        steps: every optimiser step's micro-batches, in order; alike at every start.
        fitting: how to train.
        run: where metrics, checkpoints and the best weights go.
        per_epoch: how many steps make an epoch.
        seed: of dropout.
        minutes: stop after so long; the learning rate reaches zero then.
        pause: save and return after so many minutes of this call; the next call goes on.
        quiet: no progress bar.
        schedule: (share done, warm-up) → share of the learning rate.

    Raises:
        Failure: the loss is not a number, or the disk is full.
    """
    total, every = len(steps), max(1, round(per_epoch / fitting.validations))
    optimizer = make_optimizer(task, fitting)
    state = _resume(task, optimizer, run)
    began = saved = time.monotonic()
    started, busy = began - state.seconds, time.process_time() - state.processor
    before = 100 * done_share(state, total, minutes, fitting.clock)
    with Appender(run.metrics) as log, progress("training, %", 100, done=before, quiet=quiet) as bar:
        while (done := done_share(state, total, minutes, fitting.clock)) < 1:
            torch.manual_seed(seed * 1_000_003 + state.step)
            _set_rate(optimizer, fitting.learning_rate * schedule(done, fitting.warmup))
            record = one_step(task, steps[state.step], optimizer, fitting.clip)
            state.step, state.seconds = state.step + 1, time.monotonic() - started
            state.processor = time.process_time() - busy
            record |= task.observe(record["losses"], state.step)
            log.add(_now(state) | {"epoch": state.step / per_epoch} | record)
            gained = done_share(state, total, minutes, fitting.clock) - done
            bar.advance(100 * gained, note=f"step {state.step}, loss {record['loss']:.3f}")
            if state.step % every == 0 or state.step == total:
                _validate(task, state, run, log)
            if time.monotonic() - saved > 60 * fitting.checkpoint_minutes:
                _save(task, optimizer, state, run)
                saved = time.monotonic()
            if pause is not None and time.monotonic() - began > 60 * pause and state.step < total:
                _save(task, optimizer, state, run)
                return state
        if state.validated < state.step:  # the minutes ended before the steps
            _validate(task, state, run, log)
    _save(task, optimizer, state, run)
    task.load(run.model)
    return state


def _now(state: State) -> dict[str, object]:
    return {"step": state.step, "seconds": state.seconds, "processor_seconds": round(state.processor, 2)}


def done_share(state: State, total: int, minutes: float | None, clock: str = "wall") -> float:
    """Share of the run that lies behind: of the steps, or of the minutes of `clock` if these end first."""
    seconds = state.processor if clock == "processor" else state.seconds
    spent = 0.0 if minutes is None else seconds / (60 * minutes)
    return min(1.0, max(state.step / total, spent))


def one_step(
    task: Task[M], step: Sequence[M], optimizer: torch.optim.Optimizer, clip: float
) -> dict[str, Any]:
    """Gradients of all micro-batches, each weighted by its share of the step, then one update."""
    task.train()
    began = time.monotonic()
    weights = [task.weight(micro) for micro in step]
    sums: dict[str, float] = {}
    for micro, weight in zip(step, weights, strict=True):
        share = weight / sum(weights)
        loss, named = task.losses(micro)
        (loss * share).backward()  # type: ignore[no-untyped-call]  # torch's own stub lacks it
        for name, value in (("loss", loss), *named.items()):
            sums[name] = sums.get(name, 0.0) + share * float(value.detach())
    norm = float(torch.nn.utils.clip_grad_norm_(task.trainable().values(), clip))
    _refuse_nan(sums | {"gradient": norm})
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        "loss": sums.pop("loss"),
        "losses": sums,
        "rate": optimizer.param_groups[0]["lr"],
        "gradient": norm,
        "tokens": sum(weights),
        "tokens_per_second": sum(weights) / (time.monotonic() - began),
    }


def _refuse_nan(values: dict[str, float]) -> None:
    """Stop before a number that is none reaches the weights."""
    for name, value in values.items():
        if not math.isfinite(value):
            what = "the gradient" if name == "gradient" else f"the loss '{name}'"
            raise Failure(
                f"{what} became {value}",
                fix="lower training.learning_rate; a new start resumes from the last whole checkpoint",
            )


def _validate(task: Task[M], state: State, run: RunFolder, log: Appender) -> None:
    """Score the validation part; the best weights so far are written to `model/`."""
    figures = task.validate()
    _refuse_nan({"validation": next(iter(figures.values()))})
    log.add(_now(state) | figures)
    state.validated = state.step
    if next(iter(figures.values())) < state.best:
        state.best = next(iter(figures.values()))
        task.save(run.model)


def make_optimizer(task: Task[M], fitting: Fitting) -> torch.optim.AdamW:
    """AdamW; no decay on vectors (biases, norms), as codes_zcj."""
    matrices = [p for p in task.trainable().values() if p.ndim > 1]
    vectors = [p for p in task.trainable().values() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": fitting.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=fitting.learning_rate)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW remembers of each parameter; `step` counts only the steps in which it had a gradient."""


def _save(task: Task[M], optimizer: torch.optim.Optimizer, state: State, run: RunFolder) -> None:
    """Write weights and moments to one safetensors file, then where we stand; renamed when whole."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in task.trainable().items():
        moments = optimizer.state.get(parameter, {})
        tensors[f"weight/{name}"] = parameter
        tensors |= {f"{key}/{name}": moments[key] for key in MOMENTS if key in moments}
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    write_tensors(run.checkpoints / f"state-{state.step}.safetensors", tensors)
    state.memory = task.remembered()
    write_json(run.checkpoints / "state.json", asdict(state) | {"best": _finite(state.best)})
    for old in run.checkpoints.glob("state-*.safetensors"):
        if old.name != f"state-{state.step}.safetensors":
            old.unlink()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@torch.no_grad()
def _resume(task: Task[M], optimizer: torch.optim.Optimizer, run: RunFolder) -> State:
    """Put weights, moments and metrics back to the last checkpoint; a fresh state if there is none."""
    place = run.checkpoints / "state.json"
    if not place.is_file():
        run.metrics.unlink(missing_ok=True)
        return State()
    values = read_json(place)
    state = State(**values | {"best": math.inf if values["best"] is None else values["best"]})
    task.remember(state.memory)
    tensors = load_file(run.checkpoints / f"state-{state.step}.safetensors")
    for name, parameter in task.trainable().items():
        parameter.copy_(tensors[f"weight/{name}"])
        moments = {key: tensors[f"{key}/{name}"] for key in MOMENTS if f"{key}/{name}" in tensors}
        if moments:
            optimizer.state[parameter] = {"step": torch.tensor(float(state.step)), **moments}
    cut_torn_line(run.metrics)
    kept = [record for _, record in read_lines(run.metrics) if record["step"] <= state.step]
    write_records(run.metrics, kept)
    return state
