"""Everything that can be measured of one run, each score with the statistics that test it.

Strategies, perplexity and the quick text metrics are computed from the run's files. The slow ones (METEOR,
embeddings, BERTScore) are taken from `scores.json`, where `hearten evaluate score` wrote them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hearten.core.errors import Failure
from hearten.core.jsonl import parse_record, read_json
from hearten.core.records import LikelihoodRow, Prediction, Score
from hearten.evaluate import perplexity, strategies
from hearten.evaluate.origin import Origin
from hearten.evaluate.signature import extended
from hearten.evaluate.significance import interval
from hearten.evaluate.statistics import ItemStatistics
from hearten.evaluate.text.score import score

Key = tuple[str, int]
TEXT = ("BLEU", "ROUGE-L", "CIDEr", "Distinct", "F1", "Length")
"""Groups of text metrics computed here: a second or two for a test part."""
NEITHER = ("Length",)
"""Scores of which more is neither better nor worse."""
LOWER_IS_BETTER = ("ppl", "preference-bias", "progress-distance", "toxicity")


@dataclass(frozen=True)
class Measure:
    """A score and, where they are known, the statistics behind it."""

    score: Score
    statistics: ItemStatistics | None = None
    keys: tuple[Key, ...] = ()
    """(conversation, position) of each row of the statistics."""

    @property
    def groups(self) -> list[str]:
        """(N,) the conversation of every row."""
        return [conversation for conversation, _ in self.keys]


@dataclass(frozen=True)
class Measures:
    """All measures of one run, by name, and what could not be measured."""

    origin: Origin
    by_name: dict[str, Measure]
    missing: tuple[str, ...]
    strategies: strategies.StrategyReport | None

    @property
    def scores(self) -> list[Score]:
        """Every score."""
        return [measure.score for measure in self.by_name.values()]


def measure(origin: Origin, *, preset: str = "nlgeval", resamples: int = 1000, seed: int = 13) -> Measures:
    """Score a run with everything its files allow; what they do not allow is said in `missing`.

    Raises:
        UsageError: unknown preset.
        Failure: a file's content does not fit.
    """
    found: dict[str, Measure] = {}
    missing: list[str] = []
    likely = perplexity.report(origin, resamples=resamples, seed=seed)
    if likely is None:
        missing.append("perplexity: the run has no likelihoods.jsonl (hearten evaluate predict writes it)")
    else:
        found |= _with(likely.scores, likely.statistics, origin.likelihoods)
    found |= _text(origin, preset, resamples, seed)
    chosen = _strategies(origin, missing, resamples, seed)
    if chosen is not None:
        found |= _with(chosen.scores, chosen.statistics, chosen.items)
    found |= {row.name: Measure(row) for row in written_scores(origin) if row.name not in found}
    return Measures(origin, found, tuple(missing), chosen)


def _text(origin: Origin, preset: str, resamples: int, seed: int) -> dict[str, Measure]:
    """The quick text metrics, with intervals where they are functions of sums over items."""
    items = origin.predictions
    if not items:
        return {}
    scores = score(
        [item.hypothesis for item in items], [item.reference for item in items], preset=preset, metrics=TEXT
    )
    known = {measured.name: measured.statistics for measured in scores.measured}
    keys = tuple((item.conversation_id, item.index) for item in items)
    found = {}
    for record in scores.records():
        statistics, ends = known[record.name], None
        if statistics is not None and record.value is not None:
            ends = interval(statistics.grouped(origin.groups), resamples=resamples, seed=seed)
        draws = f"bootstrap95,{resamples},seed{seed},by-conversation" if ends else None
        mark = extended(record.signature, protocol=origin.protocol, items=origin.split, interval=draws)
        signed = record.model_copy(update={"interval": ends, "signature": mark})
        found[record.name] = Measure(signed, statistics, keys if statistics else ())
    return found


def written_scores(origin: Origin) -> list[Score]:
    """The scores in a run's `scores.json`: a list of them, or an object whose `scores` is that list.

    Raises:
        Failure: an entry is not a score.
    """
    if origin.run is None or not origin.run.scores.is_file():
        return []
    value, where = read_json(origin.run.scores), str(origin.run.scores)
    rows = value.get("scores") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise Failure(
            "scores.json holds no list of scores", where=where, fix="hearten evaluate score writes it"
        )
    return [parse_record(row, Score, where=f"{where}, score {number}") for number, row in enumerate(rows, 1)]


def _strategies(
    origin: Origin, missing: list[str], resamples: int, seed: int
) -> strategies.StrategyReport | None:
    if not origin.predictions:
        missing.append("replies: there are no predictions (hearten evaluate predict makes them)")
    if not origin.beliefs:
        return None
    if not any(p.gold_strategy and (p.strategy or p.probabilities) for p in origin.beliefs):
        missing.append("strategies: the predictions carry none")
        return None
    return strategies.report(origin, resamples=resamples, seed=seed)


def _with(
    scores: Sequence[Score],
    statistics: dict[str, ItemStatistics],
    items: Sequence[Prediction | LikelihoodRow],
) -> dict[str, Measure]:
    keys = tuple((item.conversation_id, item.index) for item in items)
    return {score.name: Measure(score, statistics[score.name], keys) for score in scores}
