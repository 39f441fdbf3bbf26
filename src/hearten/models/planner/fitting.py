"""Making a planner: one member of each kind from the training part, then choices on the validation part.

The temperature minimises the validation negative log-likelihood. The rule of the operating point
`macro-f1` is the best one for the beliefs held there (`rule`). The floor of the acceptable sets is split
conformal prediction's (Sadinle et al. 2019, least ambiguous sets) at nine in ten.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hearten.core.progress import Ticker, progress
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet
from hearten.models.planner.features import Reader, Session
from hearten.models.planner.members import Beliefs, Member, gold_of
from hearten.models.planner.network import Batch, Network, Networks, batches
from hearten.models.planner.planner import COVERAGE, Choice, Kind, Planner, PlannerConfig, sharpened
from hearten.models.planner.rule import best_rule, taking
from hearten.models.planner.trees import Trees
from hearten.models.planner.words import Words

Note = Callable[[dict[str, Any]], None]


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
    lessons = list(sessions)
    makers: dict[Kind, Callable[[], Member]] = {
        "networks": lambda: networks(sessions, held, len(labels), config, note, quiet),
        "trees": lambda: Trees.fit(lessons, len(labels), config.trees, config.seed),
        "words": lambda: Words.fit(lessons, len(labels), config.words),
    }
    members: dict[Kind, Member] = {}
    for kind in sorted(config.kinds):  # networks first
        members[kind] = makers[kind]()
        if kind == "networks" and config.drawn_history:
            lessons += drawn(Planner(reader, members, config), train)
        note({"kind": kind, **_reached(members[kind].beliefs(held), gold_of(held))})
    planner = Planner(reader, members, config)
    gold = np.array([labels.position(example.strategy or "") for example in valid])
    planner.choice = choose(planner.beliefs(valid), gold, labels)
    return planner


def drawn(first: Planner, train: Sequence[Example]) -> list[Session]:
    """The sessions of `train` with strategies drawn from what `first` believed at each turn."""
    beliefs = first.beliefs(train)
    chance = np.random.default_rng(first.config.seed).random((len(train), 1))
    places, names = (beliefs.cumsum(axis=1) > chance).argmax(axis=1), first.labels.names
    told = {(one.conversation_id, one.index): names[n] for one, n in zip(train, places, strict=True)}
    return [session for session, _ in first.reader.sessions(train, told)]


def networks(
    sessions: Sequence[Session],
    held: Sequence[Session],
    size: int,
    config: PlannerConfig,
    note: Note,
    quiet: bool,
) -> Networks:
    """`config.members` networks that differ by their seed; `held` is measured on, not learned from."""
    with progress("networks", config.members * config.epochs, quiet=quiet) as bar:
        return Networks(
            [_member(sessions, held, size, config, number, note, bar) for number in range(config.members)]
        )


def _member(
    sessions: Sequence[Session],
    held: Sequence[Session],
    size: int,
    config: PlannerConfig,
    number: int,
    note: Note,
    bar: Ticker,
) -> Network:
    """One network; its start, its order and its dropout depend on the seed and on `number` alone."""
    seed = config.seed + 1000 * number
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
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
        found = Networks([network]).beliefs(held)
        figures = {"member": number, "epoch": epoch + 1, "loss": loss, **_reached(found, gold_of(held))}
        note(figures)
        bar.advance(1, note=f"member {number + 1}, validation {figures['nll']:.4f}")
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


def _reached(beliefs: Beliefs, gold: NDArray[np.int64]) -> dict[str, float]:
    """Negative log-likelihood (nats), accuracy and macro-F1 of the likeliest strategies."""
    own, likeliest = beliefs[np.arange(len(gold)), gold], beliefs.argmax(axis=1)
    return {
        "nll": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "accuracy": float((likeliest == gold).mean()),
        "macro_f1_argmax": macro_f1(likeliest, gold),
    }


def choose(beliefs: Beliefs, gold: NDArray[np.int64], labels: LabelSet) -> Choice:
    """Temperature, rule and floor for (N, K) raw beliefs of validation turns."""
    temperature = _temperature(beliefs, gold)
    shares = sharpened(beliefs, temperature)
    gain, cost = best_rule(shares)
    own = shares[np.arange(len(gold)), gold]
    floor = float(np.quantile(own, 1 - min(1.0, COVERAGE * (1 + 1 / len(own))), method="lower"))
    return Choice(
        temperature=temperature,
        gain={name: round(float(value), 4) for name, value in zip(labels.names, gain, strict=True)},
        cost={name: round(float(value), 4) for name, value in zip(labels.names, cost, strict=True)},
        floor=floor,
        validation={
            **_reached(shares, gold),
            "macro_f1": macro_f1(taking(shares, gain, cost).argmax(axis=1), gold),
        },
    )


def _temperature(beliefs: Beliefs, gold: NDArray[np.int64]) -> float:
    grid = np.round(np.arange(0.6, 1.61, 0.02), 2)
    rows = np.arange(len(gold))
    losses = [-np.log(np.maximum(sharpened(beliefs, value)[rows, gold], 1e-12)).mean() for value in grid]
    return float(grid[int(np.argmin(losses))])


def macro_f1(chosen: NDArray[np.int64], gold: NDArray[np.int64]) -> float:
    """Macro-F1 over the strategies in gold."""
    places = np.unique(gold)
    right = np.array([((chosen == place) & (gold == place)).sum() for place in places])
    total = np.array([(chosen == place).sum() + (gold == place).sum() for place in places])
    return float((2 * right / total).mean())
