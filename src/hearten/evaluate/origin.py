"""Where scored items come from: which predictions, under which protocol and split.

A path given to an evaluate command is a run folder or a bare `predictions.jsonl`. Both give the
predictions in one order (by conversation and position), the protocol, and the hash of the test part
recomputed from the items themselves, so that a run cannot claim a split that it was not predicted on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records, require_file
from hearten.core.records import LikelihoodRow, Prediction
from hearten.core.runfolder import Manifest, RunFolder
from hearten.core.taxonomy import LABEL_SET_NAMES, LabelSet, label_set

Item = TypeVar("Item", Prediction, LikelihoodRow)


@dataclass(frozen=True)
class Origin:
    """What was named on the command line, read."""

    name: str
    predictions: tuple[Prediction, ...]
    likelihoods: tuple[LikelihoodRow, ...] = ()
    run: RunFolder | None = None
    manifest: Manifest | None = None

    @property
    def protocol(self) -> str:
        """The named protocol; `unknown` for a bare file."""
        return self.manifest.protocol if self.manifest else "unknown"

    @cached_property
    def split(self) -> str:
        """Twelve hex digits that name exactly the items scored, as `Split.hash` does for a test part."""
        return items_hash(self.predictions or self.likelihoods)

    @property
    def whole_test_part(self) -> bool:
        """Whether the items are exactly the test part the run was made for."""
        return self.manifest is None or self.manifest.split_hash == self.split

    @cached_property
    def beliefs(self) -> tuple[Prediction, ...]:
        """What strategies are scored on: the predictions, or the likelihoods' beliefs where they are more."""
        believed = tuple(
            Prediction(
                conversation_id=row.conversation_id,
                index=row.index,
                turns_total=row.turns_total,
                context=(),
                reference="",
                hypothesis="",
                gold_strategy=row.gold_strategy,
                probabilities=row.probabilities,
            )
            for row in self.likelihoods
            if row.probabilities and row.turns_total
        )
        return believed if len(believed) > len(self.predictions) else self.predictions

    @property
    def keys(self) -> set[tuple[str, int]]:
        """(conversation, position) of every scored item."""
        return {(item.conversation_id, item.index) for item in self.predictions or self.likelihoods}

    @property
    def groups(self) -> list[str]:
        """(N,) the conversation of every prediction: what is resampled."""
        return [prediction.conversation_id for prediction in self.predictions]


def items_hash(items: Sequence[Prediction | LikelihoodRow]) -> str:
    """The hash of which (conversation, position) pairs there are, as `core.protocol.Split.hash`."""
    keys = sorted(f"{item.conversation_id}\t{item.index}" for item in items)
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]


def open_origin(path: Path, *, limit: int | None = None) -> Origin:
    """Read a run folder or a predictions file.

    A run folder may lack predictions or likelihoods (`need_predictions` refuses then); a bare file may not.

    Raises:
        UsageError: neither a run folder nor a file.
        Failure: a line does not fit, or an item occurs twice.
    """
    if not path.is_dir():
        return Origin(path.stem, _read(require_file(path), Prediction, limit))
    run = RunFolder.open(path)
    return Origin(
        name=path.resolve().name,
        predictions=_read(run.predictions, Prediction, limit),
        likelihoods=_read(run.likelihoods, LikelihoodRow, limit),
        run=run,
        manifest=run.manifest,
    )


def need_beliefs(origin: Origin) -> tuple[Prediction, ...]:
    """What the strategies of an origin are scored on.

    Raises:
        UsageError: there is nothing; with the command that makes it.
    """
    return origin.beliefs or need_predictions(origin).predictions


def need_predictions(origin: Origin) -> Origin:
    """The same origin, if it has predictions.

    Raises:
        UsageError: there are none; with the command that makes them.
    """
    if origin.predictions:
        return origin
    where = str(origin.run.predictions) if origin.run else origin.name
    raise UsageError("there are no predictions", where=where, fix="hearten evaluate predict RUN makes them")


def infer_label_set(predictions: Sequence[Prediction]) -> LabelSet:
    """The first label set that holds every strategy named in the predictions.

    Raises:
        Failure: none does; with the strategy that is in no set.
    """
    names = {p.gold_strategy for p in predictions} | {p.strategy for p in predictions}
    wanted = {name for name in names if name is not None}
    for known in (label_set(name) for name in LABEL_SET_NAMES):
        if wanted <= set(known.names):
            return known
    everywhere = {name for known in LABEL_SET_NAMES for name in label_set(known).names}
    unknown = sorted(wanted - everywhere)
    told = (
        f"unknown strategy '{unknown[0]}'" if unknown else "the strategies come from more than one label set"
    )
    raise Failure(told, fix=f"use the canonical names of one of: {', '.join(LABEL_SET_NAMES)}")


def _read(path: Path, kind: type[Item], limit: int | None) -> tuple[Item, ...]:
    """The file's records by conversation and position; empty when the file is not there."""
    if not path.is_file():
        return ()
    found: dict[tuple[str, int], Item] = {}
    for number, item in enumerate(read_records(path, kind), 1):
        key = (item.conversation_id, item.index)
        if key in found:
            told = f"turn {item.index} of conversation '{item.conversation_id}' occurs twice"
            raise Failure(told, where=f"{path}, record {number}", fix="keep one of the two")
        found[key] = item
    return tuple(found[key] for key in sorted(found))[:limit]
