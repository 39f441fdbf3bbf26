"""How toxic is a corpus, or what a run says? ExTES's Table 7 for anything, with intervals.

The six attributes are Perspective's; each is the mean over all utterances of a score from 0 to 1, lower is
better. The default scorer runs here, on this machine (`safety.toxblock`); Google's Perspective API, which the
paper used, can be asked too (`perspective`) until the service ends. Scores of two scorers are never
comparable: the scorer's name is in every signature.

`hearten evaluate toxicity CORPUS|RUN` prints it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records, require_file
from hearten.core.progress import progress
from hearten.core.records import Prediction, Score
from hearten.core.registry import lookup
from hearten.evaluate.origin import need_predictions, open_origin
from hearten.evaluate.signature import signature
from hearten.evaluate.significance import interval
from hearten.evaluate.statistics import Array, mean_of
from hearten.evaluate.tables import Table

ATTRIBUTES = ("toxicity", "severe_toxicity", "identity_attack", "insult", "profanity", "threat")
"""Perspective's production attributes, in the order of ExTES's Table 7."""
EXTES_TABLE_7: dict[str, tuple[float, ...]] = {
    "ExTES": (0.0501, 0.0016, 0.0047, 0.0219, 0.0251, 0.0073),
    "ESConv": (0.0760, 0.0036, 0.0095, 0.0183, 0.0401, 0.0098),
    "LoRA-Responses": (0.0358, 0.0016, 0.0048, 0.0137, 0.0222, 0.0078),
}
"""Zheng et al. 2023, measured with Perspective: history, not a yardstick for another scorer."""
CHUNK = 2048


class ToxicityScorer(Protocol):
    """Scores texts on some of the six attributes."""

    name: str
    attributes: tuple[str, ...]

    def score(self, texts: Sequence[str]) -> Array:
        """(N, A) from 0 to 1, in the order of `attributes`; NaN where a text could not be scored."""
        ...


@dataclass(frozen=True)
class Said:
    """One utterance, whose it is and from which conversation."""

    text: str
    column: str
    """`seeker`, `supporter`, `replies` or `references`."""
    conversation: str
    turn: int


@dataclass(frozen=True)
class ToxicityReport:
    """Means by column, and the utterances that stand out."""

    scorer: str
    scores: tuple[Score, ...]
    utterances: dict[str, int]
    """Column → how many utterances."""
    highest: tuple[tuple[Said, str, float], ...]
    """(utterance, attribute, score), for reading: the scorer is often wrong about these."""


def scorer(name: str, ledger: Path | None = None) -> ToxicityScorer:
    """`local` or `perspective`.

    Raises:
        UsageError: unknown, not installed, or without the key it needs.
    """
    from hearten.evaluate.perspective import Perspective
    from hearten.safety.toxblock import ToxBlock

    makers: dict[str, Callable[[], ToxicityScorer]] = {
        "local": ToxBlock,
        "perspective": lambda: Perspective.from_environment(ledger=ledger),
    }
    return lookup(makers, name, "toxicity scorer")()


def read_utterances(path: Path, *, limit: int | None = None) -> list[Said]:
    """Everything said in a run (replies and references) or in a file of conversations or predictions.

    Raises:
        UsageError: the file is of another kind.
        Failure: a line does not fit.
    """
    if path.is_dir():
        return list(_of_predictions(need_predictions(open_origin(path)).predictions))[:limit]
    head = _first_line(path)
    if "turns" in head:
        return list(_of_conversations(read_records(path, Conversation)))[:limit]
    if "hypothesis" in head:
        return list(_of_predictions(read_records(path, Prediction)))[:limit]
    raise UsageError(
        "neither conversations nor predictions",
        where=str(path),
        fix="hearten data convert makes conversations.jsonl",
    )


def report(
    said: Sequence[Said],
    judge: ToxicityScorer,
    *,
    resamples: int = 1000,
    seed: int = 13,
    quiet: bool = False,
    show: int = 5,
) -> ToxicityReport:
    """Score utterances and average them by column.

    Raises:
        Failure: there is nothing to score.
    """
    if not said:
        raise Failure("there is no utterance to score")
    values = score_all([one.text for one in said], judge, quiet=quiet)
    columns = list(dict.fromkeys(one.column for one in said))
    chosen = {column: np.array([one.column == column for one in said]) for column in columns}
    if len(columns) > 1 and "replies" not in columns:
        chosen = {"all": np.ones(len(said), dtype=bool), **chosen}
    scores: list[Score] = []
    for column, rows in chosen.items():
        groups = [one.conversation for one, here in zip(said, rows, strict=True) if here]
        scores += _column(column, values[rows], groups, judge, resamples, seed)
    counts = {column: int(rows.sum()) for column, rows in chosen.items()}
    return ToxicityReport(judge.name, tuple(scores), counts, tuple(_highest(said, values, judge, show)))


def score_all(texts: Sequence[str], judge: ToxicityScorer, *, quiet: bool = False) -> Array:
    """(N, 6) in the order of ATTRIBUTES, NaN where the scorer has none; equal texts are scored once."""
    different = list(dict.fromkeys(texts))
    found = np.full((len(different), len(ATTRIBUTES)), np.nan)
    places = [ATTRIBUTES.index(name) for name in judge.attributes]
    with progress("scoring", len(different), quiet=quiet) as bar:
        for start in range(0, len(different), CHUNK):
            chunk = different[start : start + CHUNK]
            found[start : start + len(chunk), places] = judge.score(chunk)
            bar.advance(len(chunk))
    row = {text: number for number, text in enumerate(different)}
    return found[[row[text] for text in texts]]


def _column(
    column: str, values: Array, groups: Sequence[str], judge: ToxicityScorer, resamples: int, seed: int
) -> Iterator[Score]:
    for place, attribute in enumerate(ATTRIBUTES):
        if attribute not in judge.attributes:
            continue
        statistic = mean_of(attribute, values[:, place])
        defined = bool(np.isfinite(statistic.value))
        yield Score(
            name=f"{attribute} ({column})",
            value=statistic.value if defined else None,
            items=int(np.isfinite(values[:, place]).sum()),
            interval=interval(statistic.grouped(groups), resamples=resamples, seed=seed) if defined else None,
            signature=signature(
                metric=attribute,
                scorer=judge.name,
                average="utterances",
                of=column,
                interval=f"bootstrap95,{resamples},seed{seed},by-conversation",
            ),
            note=None if defined else "no utterance could be scored",
        )


def _highest(
    said: Sequence[Said], values: Array, judge: ToxicityScorer, count: int
) -> Iterator[tuple[Said, str, float]]:
    first = ATTRIBUTES.index("toxicity")
    if "toxicity" not in judge.attributes:
        return
    ranked = np.argsort(-np.nan_to_num(values[:, first], nan=-1.0), kind="stable")
    for place in ranked[:count]:
        yield said[place], "toxicity", float(values[place, first])


def table(found: ToxicityReport) -> Table:
    """Attributes down, columns across, as Table 7; below, what the paper printed."""
    by_name = {score.name: score for score in found.scores}
    columns = tuple(found.utterances)
    rows = tuple(
        (name, *(_cell(by_name.get(f"{name} ({column})")) for column in columns)) for name in ATTRIBUTES
    )
    heads = tuple(f"{column} (n {found.utterances[column]:,})" for column in columns)
    note = f"Mean over utterances, 0 to 1, with 95% interval; lower is better. Scorer: {found.scorer}."
    return Table("Toxicity", ("attribute", *heads), rows, note)


def paper_table() -> Table:
    """ExTES's Table 7."""
    rows = tuple(
        (name, *(f"{EXTES_TABLE_7[c][i]:.4f}" for c in EXTES_TABLE_7)) for i, name in enumerate(ATTRIBUTES)
    )
    note = "Measured with Perspective, so not comparable with another scorer's numbers."
    return Table("ExTES, Table 7", ("attribute", *EXTES_TABLE_7), rows, note)


def _cell(score: Score | None) -> str:
    if score is None or score.value is None:
        return "–"
    ends = "" if score.interval is None else f" [{score.interval[0]:.4f}, {score.interval[1]:.4f}]"
    return f"{score.value:.4f}{ends}"


def as_dict(found: ToxicityReport) -> dict[str, Any]:
    """The report as one JSON object; where the highest stand, not what they say."""
    return {
        "scorer": found.scorer,
        "utterances": found.utterances,
        "scores": [score.model_dump() for score in found.scores],
        "highest": [
            {"conversation": said.conversation, "turn": said.turn, "attribute": attribute, "score": value}
            for said, attribute, value in found.highest
        ],
    }


def _of_conversations(conversations: Iterator[Conversation]) -> Iterator[Said]:
    for conversation in conversations:
        for number, turn in enumerate(conversation.turns):
            column = "supporter" if turn.speaker is Role.SUPPORTER else "seeker"
            yield Said(turn.text, column, conversation.id, number)


def _of_predictions(predictions: Iterator[Prediction] | Sequence[Prediction]) -> Iterator[Said]:
    for one in predictions:
        yield Said(one.hypothesis, "replies", one.conversation_id, one.index)
        yield Said(one.reference, "references", one.conversation_id, one.index)


def _first_line(path: Path) -> dict[str, Any]:
    from hearten.core.jsonl import read_lines

    _, value = next(read_lines(require_file(path)), (0, None))
    return value if isinstance(value, dict) else {}
