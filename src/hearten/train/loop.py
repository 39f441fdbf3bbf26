"""The one training loop. Read it from top to bottom.

Every system trains here: rows in, named losses weighted and averaged, AdamW with a warm-up and a linear
fall, validation by perplexity, the best state kept. Each step seeds its own randomness, so a run killed at
any moment and resumed arrives at the same numbers as one that was not. A budget in minutes shortens the
schedule instead of cutting it off.

It does not know what a system computes, where examples come from, or how a report looks.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

import torch
from safetensors.torch import load_file

from hearten.core.errors import Failure
from hearten.core.jsonl import Appender, cut_torn_line, read_json, read_lines, write_json, write_records
from hearten.core.progress import progress
from hearten.core.records import Example
from hearten.core.runfolder import RunFolder
from hearten.lm.backbone import autocast
from hearten.lm.render import Row
from hearten.models.system import System, write_tensors
from hearten.train.loader import Step, epoch
from hearten.train.recipe import Training


@dataclass(frozen=True, slots=True)
class Material:
    """What one run learns from and is chosen by."""

    train: tuple[Example, ...]
    valid: tuple[Example, ...]


@dataclass(slots=True)
class State:
    """Where a run stands; saved beside the weights."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    """Lowest validation perplexity so far."""
    validated: int = 0
    """The step after which the validation part was last scored."""
    balance: dict[str, Any] = field(default_factory=dict)
    """What the balance of the losses remembers."""


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
    steps, ends = _plan(system.rows(material.train), training, seed)
    total, per_epoch = len(steps), len(steps) / training.epochs
    every, valid_rows = max(1, round(per_epoch / training.validations)), system.rows(material.valid)

    optimizer = _optimizer(system, training)
    state = _resume(system, optimizer, run)
    started, saved = time.monotonic() - state.seconds, time.monotonic()

    before = 100 * _done(state, total, minutes)
    with Appender(run.metrics) as log, progress("training, %", 100, done=before, quiet=quiet) as bar:
        while (done := _done(state, total, minutes)) < 1:
            torch.manual_seed(seed * 1_000_003 + state.step)
            _set_rate(optimizer, training.learning_rate * _schedule(done, training.warmup))
            record = _one_step(system, steps[state.step], material.train, optimizer, training)

            state.step += 1
            state.seconds = time.monotonic() - started
            system.balance.observe(record["losses"], epoch_ends=state.step in ends)
            log.add(_now(state) | {"epoch": state.step / per_epoch} | record)
            gained = _done(state, total, minutes) - done
            bar.advance(100 * gained, note=f"step {state.step}, loss {record['loss']:.3f}")

            if state.step % every == 0 or state.step == total:
                _validate(system, valid_rows, material.valid, training, state, run, log)
            if time.monotonic() - saved > 60 * training.checkpoint_minutes:
                _save(system, optimizer, state, run)
                saved = time.monotonic()
        if state.validated < state.step:  # the minutes ended before the steps
            _validate(system, valid_rows, material.valid, training, state, run, log)
    _save(system, optimizer, state, run)
    system.load(run.model)
    return state


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


def _now(state: State) -> dict[str, object]:
    return {"step": state.step, "seconds": state.seconds}


def _done(state: State, total: int, minutes: float | None) -> float:
    """Share of the run that lies behind: of the steps, or of the minutes if these end first."""
    spent = 0.0 if minutes is None else state.seconds / (60 * minutes)
    return min(1.0, max(state.step / total, spent))


def _schedule(done: float, warmup: float) -> float:
    """Share of the full learning rate: a linear rise over `warmup`, then a linear fall to zero."""
    rise = 1.0 if warmup <= 0 else min(1.0, (done + 1e-3) / warmup)
    return rise * max(0.0, (1 - done) / (1 - warmup) if done > warmup else 1.0)


def _one_step(
    system: System,
    step: Step,
    examples: Sequence[Example],
    optimizer: torch.optim.Optimizer,
    training: Training,
) -> dict[str, Any]:
    """Gradients of all micro-batches, each weighted by its share of the targets, then one update."""
    system.train()
    began = time.monotonic()
    targets = [sum(len(row.targets) for row in micro) for micro in step]
    sums: dict[str, float] = {}
    for micro, count in zip(step, targets, strict=True):
        share = count / sum(targets)
        with autocast(system.backbone.device):
            losses = system.losses(system.collate(micro, examples))
            loss = system.objective(losses)
        (loss * share).backward()  # type: ignore[no-untyped-call]  # torch's own stub lacks it
        for name, value in (("loss", loss), *losses.items()):
            sums[name] = sums.get(name, 0.0) + share * float(value.detach())
    norm = float(torch.nn.utils.clip_grad_norm_(system.trainable().values(), training.clip))
    _refuse_nan(sums | {"gradient": norm})
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    weights = system.balance.weights()
    return {
        "loss": sums.pop("loss"),
        "losses": sums,
        **({"weights": weights} if set(weights.values()) != {1.0} else {}),
        "rate": optimizer.param_groups[0]["lr"],
        "gradient": norm,
        "tokens": sum(targets),
        "tokens_per_second": sum(targets) / (time.monotonic() - began),
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


def _validate(
    system: System,
    rows: Sequence[Row],
    examples: Sequence[Example],
    training: Training,
    state: State,
    run: RunFolder,
    log: Appender,
) -> None:
    """Perplexity on the validation part; the best weights so far are written to `model/`."""
    nll, tokens, right, named = 0.0, 0, 0, 0
    for likelihood, example in system.measure(rows, examples, training.micro_tokens):
        nll, tokens = nll + likelihood.nll, tokens + likelihood.tokens
        if likelihood.strategy_logprobs and example.strategy:
            guess = max(range(len(system.labels)), key=likelihood.strategy_logprobs.__getitem__)
            right, named = right + (guess == system.labels.position(example.strategy)), named + 1
    _refuse_nan({"validation": nll})
    perplexity = math.exp(min(nll / max(1, tokens), 700.0))  # beyond it a float cannot tell
    log.add(
        _now(state)
        | {"valid_perplexity": perplexity}
        | ({"valid_strategy_accuracy": right / named} if named else {})
    )
    state.validated = state.step
    if perplexity < state.best:
        state.best = perplexity
        system.save(run.model)


def _optimizer(system: System, training: Training) -> torch.optim.AdamW:
    """AdamW; no decay on vectors (biases, norms), as codes_zcj."""
    matrices = [p for p in system.trainable().values() if p.ndim > 1]
    vectors = [p for p in system.trainable().values() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": training.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=training.learning_rate)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW remembers of each parameter; `step` counts only the steps in which it had a gradient."""


def _save(system: System, optimizer: torch.optim.Optimizer, state: State, run: RunFolder) -> None:
    """Write weights and moments to one safetensors file, then where we stand; renamed when whole."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in system.trainable().items():
        moments = optimizer.state.get(parameter, {})
        tensors[f"weight/{name}"] = parameter
        tensors |= {f"{key}/{name}": moments[key] for key in MOMENTS if key in moments}
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    write_tensors(run.checkpoints / f"state-{state.step}.safetensors", tensors)
    state.balance = system.balance.remembered()
    write_json(run.checkpoints / "state.json", asdict(state) | {"best": _finite(state.best)})
    for old in run.checkpoints.glob("state-*.safetensors"):
        if old.name != f"state-{state.step}.safetensors":
            old.unlink()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@torch.no_grad()
def _resume(system: System, optimizer: torch.optim.Optimizer, run: RunFolder) -> State:
    """Put weights, moments and metrics back to the last checkpoint; a fresh state if there is none."""
    place = run.checkpoints / "state.json"
    if not place.is_file():
        run.metrics.unlink(missing_ok=True)
        return State()
    values = read_json(place)
    state = State(**values | {"best": math.inf if values["best"] is None else values["best"]})
    system.balance.remember(state.balance)
    tensors = load_file(run.checkpoints / f"state-{state.step}.safetensors")
    for name, parameter in system.trainable().items():
        parameter.copy_(tensors[f"weight/{name}"])
        moments = {key: tensors[f"{key}/{name}"] for key in MOMENTS if f"{key}/{name}" in tensors}
        if moments:
            optimizer.state[parameter] = {"step": torch.tensor(float(state.step)), **moments}
    cut_torn_line(run.metrics)
    kept = [record for _, record in read_lines(run.metrics) if record["step"] <= state.step]
    write_records(run.metrics, kept)
    return state
