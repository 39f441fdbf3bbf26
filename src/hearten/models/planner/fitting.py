"""Making a planner: members that differ by their seed, then choices on the validation part.

The temperature minimises the validation negative log-likelihood. The biases of the operating point
`macro-f1` are searched coordinate by coordinate for the macro-F1 averaged over resampled validation
conversations, so that they do not chase the few turns of a rare strategy. The floor of the acceptable
sets is split conformal prediction's (Sadinle et al. 2019, least ambiguous sets) at nine in ten.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hearten.core.progress import Ticker, progress
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.models.planner.features import Reader, Session
from hearten.models.planner.network import Batch, Network, batches
from hearten.models.planner.planner import COVERAGE, Beliefs, Choice, Planner, PlannerConfig, sharpened

RESAMPLES = 24
STEPS = (0.4, 0.2, 0.1, 0.05)
"""How far a bias is moved at a time, coarse to fine."""
Note = Callable[[dict[str, float]], None]


def texts_of(examples: Sequence[Example]) -> list[str]:
    """The different texts in their contexts."""
    return list(dict.fromkeys(turn.text for example in examples for turn in example.context))


def fit(
    labels: LabelSet,
    train: Sequence[Example],
    valid: Sequence[Example],
    config: PlannerConfig,
    *,
    note: Note = lambda _: None,
    quiet: bool = False,
) -> Planner:
    """A planner trained on `train`, its choices made on `valid`; `note` is told each epoch's figures."""
    reader = Reader.learn(labels, texts_of(train), seed=config.seed, quiet=quiet)
    reader.remember(texts_of(train), quiet=quiet)
    reader.remember(texts_of(valid), quiet=quiet)
    sessions = [session for session, _ in reader.sessions(train)]
    held = [session for session, _ in reader.sessions(valid)]
    with progress("planner", config.members * config.epochs, quiet=quiet) as bar:
        members = [_member(sessions, held, config, number, note, bar) for number in range(config.members)]
    planner = Planner(reader, members, config)
    beliefs = planner.beliefs(valid)
    gold = np.array([labels.position(example.strategy or "") for example in valid])
    planner.choice = choose(beliefs, gold, [example.conversation_id for example in valid], labels)
    return planner


def _member(
    sessions: Sequence[Session],
    held: Sequence[Session],
    config: PlannerConfig,
    number: int,
    note: Note,
    bar: Ticker,
) -> Network:
    """One network; its start, its order and its dropout depend on the seed and on `number` alone."""
    seed = config.seed + 1000 * number
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    size = int(max(session.gold.max() for session in sessions)) + 1
    structure = torch.from_numpy(np.concatenate([session.structure for session in sessions]))
    network = Network(sessions[0].turns.shape[1], structure.shape[1], size, config.network)
    network.standardise(structure)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    total = config.epochs * -(-len(sessions) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=total, pct_start=0.2
    )
    for epoch in range(config.epochs):
        loss = _epoch(network.train(), sessions, config, chance, optimiser, schedule)
        figures = {"member": number, "epoch": epoch + 1, "loss": loss, **measure(network.eval(), held)}
        note(figures)
        bar.advance(1, note=f"member {number + 1}, validation {figures['valid_nll']:.4f}")
    return network


def _epoch(
    network: Network,
    sessions: Sequence[Session],
    config: PlannerConfig,
    chance: np.random.Generator,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """One pass; returns the mean loss of its batches."""
    losses = []
    for places in shuffled([len(session.turns) for session in sessions], config.batch, chance):
        batch = Batch([sessions[place] for place in places])
        loss = torch.nn.functional.cross_entropy(network(batch), batch.gold, label_smoothing=config.smoothing)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def shuffled(lengths: Sequence[int], size: int, chance: np.random.Generator) -> list[list[int]]:
    """Batches of nearly equal lengths, so that little is padding, in random order."""
    noisy = np.asarray(lengths) * chance.uniform(0.8, 1.25, len(lengths))
    found = list(batches((), size, order=np.argsort(noisy).tolist()))
    return [found[number] for number in chance.permutation(len(found))]


@torch.no_grad()
def measure(network: Network, sessions: Sequence[Session]) -> dict[str, float]:
    """Mean negative log-likelihood (nats) and accuracy on sessions."""
    nll, right, count = 0.0, 0, 0
    for places in batches(sessions, 64):
        batch = Batch([sessions[place] for place in places])
        scores = network(batch)
        nll += float(torch.nn.functional.cross_entropy(scores, batch.gold, reduction="sum"))
        right += int((scores.argmax(-1) == batch.gold).sum())
        count += len(batch.gold)
    return {"valid_nll": nll / count, "valid_accuracy": right / count}


def choose(beliefs: Beliefs, gold: NDArray[np.int64], talks: Sequence[str], labels: LabelSet) -> Choice:
    """Temperature, biases and floor for (N, K) raw beliefs of validation turns."""
    temperature = _temperature(beliefs, gold)
    shares = sharpened(beliefs, temperature)
    scores = np.log(np.maximum(shares, 1e-12))
    bias = biases(scores, gold, talks)
    own = shares[np.arange(len(gold)), gold]
    floor = float(np.quantile(own, 1 - min(1.0, COVERAGE * (1 + 1 / len(own))), method="lower"))
    return Choice(
        temperature=temperature,
        bias={name: round(float(value), 3) for name, value in zip(labels.names, bias, strict=True)},
        floor=floor,
        validation={
            "accuracy": float((shares.argmax(1) == gold).mean()),
            "macro_f1_argmax": macro_f1(shares.argmax(1), gold, np.ones((1, len(gold)))),
            "macro_f1": macro_f1((scores + bias).argmax(1), gold, np.ones((1, len(gold)))),
            "nll": float(-np.log(np.maximum(own, 1e-12)).mean()),
        },
    )


def _temperature(beliefs: Beliefs, gold: NDArray[np.int64]) -> float:
    grid = np.round(np.arange(0.6, 1.61, 0.02), 2)
    rows = np.arange(len(gold))
    losses = [-np.log(np.maximum(sharpened(beliefs, value)[rows, gold], 1e-12)).mean() for value in grid]
    return float(grid[int(np.argmin(losses))])


def biases(scores: Beliefs, gold: NDArray[np.int64], talks: Sequence[str], seed: int = 13) -> Beliefs:
    """(K,) what to add to log-probabilities for the highest macro-F1 over resampled conversations."""
    weights = resampled(talks, RESAMPLES, seed)

    def value(bias: Beliefs) -> float:
        return macro_f1((scores + bias).argmax(1), gold, weights)

    best: Beliefs = np.zeros(scores.shape[1])
    reached = value(best)
    for step in STEPS:
        moves = [sign * step * row for row in np.eye(len(best)) for sign in (1, -1)]
        before = -1.0
        while reached > before:  # until a round of moves brings nothing
            before = reached
            for move in moves:
                if value(best + move) > reached + 1e-6:
                    best, reached = best + move, value(best + move)
    centred: Beliefs = best - best.mean()
    return centred


def resampled(talks: Sequence[str], count: int, seed: int) -> Beliefs:
    """(R, N) how often each turn is drawn when conversations are drawn with replacement."""
    names, owner = np.unique(np.asarray(talks), return_inverse=True)
    chance = np.random.default_rng(seed)
    drawn = [
        np.bincount(chance.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(count)
    ]
    weights: Beliefs = np.stack(drawn).astype(np.float64)[:, owner]
    return weights


def macro_f1(chosen: NDArray[np.int64], gold: NDArray[np.int64], weights: Beliefs) -> float:
    """Macro-F1 over the strategies in gold, averaged over the rows of `weights` (R, N)."""
    found = []
    for place in np.unique(gold):
        right = weights @ ((chosen == place) & (gold == place))
        total = weights @ ((chosen == place).astype(float) + (gold == place))
        found.append(2 * right / np.maximum(total, 1e-12))
    return float(np.mean(found))
