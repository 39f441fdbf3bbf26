"""How the shipped emotion weights were made, and how good they are: GoEmotions in, a small network out.

GoEmotions (Demszky et al. 2020; Apache-2.0, so weights made from it may ship): 43,410 / 5,426 / 5,427
Reddit comments with one or more of 28 labels. `fit` trains one hidden layer on frozen sentence vectors
with a binary cross-entropy per label and keeps the epoch that does best on the dev part; `quality` is the
macro-F1 of the published tables, with one threshold a label chosen on the dev part.

`hearten annotate fit --data FOLDER` makes the weights again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearten.core.config import Config
from hearten.core.conversation import Record
from hearten.core.errors import Failure
from hearten.core.jsonl import open_text, require_file
from hearten.core.taxonomy import labels
from hearten.knowledge.emotion import EmbeddedDetector, Floats
from hearten.knowledge.vectors import kept_vectors

PARTS = ("train", "dev", "test")
SINGLE_THRESHOLD = 0.3
"""One threshold for all labels, as the published BERT baseline uses (its released code)."""


class FitSettings(Config):
    """How the network is trained; chosen on the dev part."""

    layers: tuple[int, ...] = (0, 2, 4, 5, 6)
    hidden: int = 384
    dropout: float = 0.4
    epochs: int = 12
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Comments:
    """One part of GoEmotions."""

    texts: list[str]
    gold: Floats
    """(N, 28) 1 where a label was given."""


class Quality(Record):
    """How well a detector does on a part, thresholds chosen on the dev part."""

    items: int
    macro_f1: float
    """Mean F1 of the 28 labels, one threshold a label."""
    macro_f1_single: float
    """The same with one threshold for all, chosen on the dev part too."""
    micro_f1: float
    top1: float
    """Share of comments whose highest label is one of the gold ones."""
    labels: dict[str, float]
    """F1 by label."""


def read_comments(file: Path) -> Comments:
    """A `text, label numbers, id` table as released, plain or `.gz`.

    Raises:
        Failure: a line has no label number; with the line.
    """
    texts, rows = [], []
    count = len(labels("goemotions").names)
    with open_text(file) as stream:
        for number, line in enumerate(stream, 1):
            text, *rest = line.rstrip("\n").split("\t")
            try:
                chosen = [int(value) for value in rest[0].split(",")]
                row = np.zeros(count, dtype=np.float32)
                row[chosen] = 1
            except (IndexError, ValueError):
                raise Failure("no GoEmotions label in this line", where=f"{file}, line {number}") from None
            texts.append(text)
            rows.append(row)
    return Comments(texts, np.stack(rows))


def fit(
    train: tuple[Floats, Floats], dev: tuple[Floats, Floats], settings: FitSettings
) -> dict[str, NDArray[Any]]:
    """Weights of the epoch with the best dev macro-F1, as `EmbeddedDetector` reads them.

    Args:
        train: (N, 384 · layers) sentence vectors and (N, 28) gold.
        dev: the same of the dev part.
        settings: how to train.
    """
    import torch

    torch.manual_seed(settings.seed)
    centre, scale = train[0].mean(0), train[0].std(0) + 1e-6
    inputs, gold = (torch.from_numpy(part) for part in ((train[0] - centre) / scale, train[1]))
    model = torch.nn.Sequential(
        torch.nn.Dropout(settings.dropout),
        torch.nn.Linear(inputs.shape[1], settings.hidden),
        torch.nn.ReLU(),
        torch.nn.Dropout(settings.dropout),
        torch.nn.Linear(settings.hidden, gold.shape[1]),
    )
    steps = settings.epochs * -(-len(inputs) // settings.batch)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
    best: tuple[float, dict[str, NDArray[Any]]] = (-1.0, {})
    for _ in range(settings.epochs):
        _epoch(model.train(), inputs, gold, settings.batch, optimiser, schedule)
        weights = _weights(model, centre, scale, settings.layers)
        answers = EmbeddedDetector(weights).score(dev[0])
        macro = float(f1(answers > thresholds(answers, dev[1]), dev[1]).mean())
        best = max(best, (macro, weights), key=lambda pair: pair[0])
    return best[1]


def _epoch(model: Any, inputs: Any, gold: Any, size: int, optimiser: Any, schedule: Any) -> None:
    import torch

    for rows in torch.split(torch.randperm(len(inputs)), size):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs[rows]), gold[rows])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()


def _weights(model: Any, centre: Floats, scale: Floats, layers: Sequence[int]) -> dict[str, NDArray[Any]]:
    """What is saved: half precision where it is large."""
    inner, outer = model[1], model[4]
    large = {"inner": inner.weight.detach().numpy().T, "outer": outer.weight.detach().numpy().T}
    small = {"inner_bias": inner.bias, "outer_bias": outer.bias}
    return {
        "layers": np.asarray(layers, dtype=np.int32),
        "centre": centre.astype(np.float32),
        "scale": scale.astype(np.float32),
        **{name: np.ascontiguousarray(value.astype(np.float16)) for name, value in large.items()},
        **{name: value.detach().numpy().copy() for name, value in small.items()},
    }


def f1(chosen: NDArray[np.bool_], gold: Floats) -> Floats:
    """(28,) F1 of each label; 0 where it is neither given nor chosen."""
    right = (chosen * gold).sum(0)
    total = chosen.sum(0) + gold.sum(0)
    scores: Floats = np.divide(2 * right, total, out=np.zeros(gold.shape[1]), where=total > 0)
    return scores


def thresholds(answers: Floats, gold: Floats) -> Floats:
    """(28,) the threshold of each label with the highest F1 on these items."""
    grid = np.linspace(0.02, 0.9, 89, dtype=np.float32)
    scores = np.stack([f1(answers > value, gold) for value in grid])  # (grid, 28)
    chosen: Floats = grid[scores.argmax(0)]
    return chosen


def quality(dev: tuple[Floats, Floats], test: tuple[Floats, Floats]) -> Quality:
    """Figures on `test`; all thresholds come from `dev`. Each is (N, 28) answers and (N, 28) gold."""
    own = thresholds(*dev)
    grid = np.linspace(0.02, 0.9, 89)
    single = max(grid, key=lambda value: f1(dev[0] > value, dev[1]).mean())
    answers, gold = test
    chosen = answers > own
    scores = f1(chosen, gold)
    names = labels("goemotions").names
    return Quality(
        items=len(gold),
        macro_f1=round(float(scores.mean()), 4),
        macro_f1_single=round(float(f1(answers > single, gold).mean()), 4),
        micro_f1=round(float(2 * (chosen * gold).sum() / (chosen.sum() + gold.sum())), 4),
        top1=round(float(gold[np.arange(len(gold)), answers.argmax(1)].mean()), 4),
        labels={name: round(float(value), 3) for name, value in zip(names, scores, strict=True)},
    )


def train_and_measure(
    folder: Path, settings: FitSettings, *, quiet: bool = False
) -> tuple[dict[str, NDArray[Any]], Quality]:
    """Weights trained on the folder's train part, and their figures on its test part.

    Raises:
        UsageError: a part is missing.
    """
    parts = {}
    for name in PARTS:
        own = read_comments(require_file(folder / f"{name}.tsv.gz"))
        vectors = kept_vectors(f"goemotions-{name}", own.texts, settings.layers, quiet=quiet)
        parts[name] = vectors, own.gold
    weights = fit(parts["train"], parts["dev"], settings)
    detector = EmbeddedDetector(weights)
    answers = {name: (detector.score(parts[name][0]), parts[name][1]) for name in ("dev", "test")}
    return weights, quality(answers["dev"], answers["test"])
