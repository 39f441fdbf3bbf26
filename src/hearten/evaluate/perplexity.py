"""Perplexity from stored sums, under each definition the papers print.

Per token is exp(Σ nll / Σ tokens); per word divides by whitespace words of the reference, so that models
with other tokenizers compare; the utterance mean, mean of exp(nll / tokens), is what ESConv's Table 4
prints (its README corrects 16.03 to 18.61 per token). With the strategy token or without, and which
strategy the model was fed, stand in the signature. Rows are made in evaluation mode only; nothing here can
run a model.

`hearten evaluate report RUN` and `compare` print it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hearten.core.errors import Failure
from hearten.core.records import LikelihoodRow, Score
from hearten.evaluate.origin import Origin
from hearten.evaluate.signature import signature
from hearten.evaluate.significance import interval
from hearten.evaluate.statistics import Array, ItemStatistics, mean_of, ratio


@dataclass(frozen=True)
class PerplexityReport:
    """Every perplexity of one run."""

    scores: tuple[Score, ...]
    statistics: dict[str, ItemStatistics]
    groups: list[str]
    """(N,) the conversation of every row."""


def report(origin: Origin, *, resamples: int = 1000, seed: int = 13) -> PerplexityReport | None:
    """Every perplexity a run's `likelihoods.jsonl` gives; None when it has none.

    Raises:
        Failure: rows come from more than one tokenizer or were fed differently.
    """
    rows = origin.likelihoods
    if not rows:
        return None
    tokenizer = _one([row.tokenizer for row in rows], "tokenizer")
    fed = _one([row.strategy_fed for row in rows], "strategy fed")
    statistics = perplexities(rows)
    groups = [row.conversation_id for row in rows]

    def score(name: str, statistic: ItemStatistics) -> Score:
        return Score(
            name=name,
            value=statistic.value,
            items=len(rows),
            interval=interval(statistic.grouped(groups), resamples=resamples, seed=seed),
            signature=signature(
                metric=name,
                # words do not depend on the tokenizer, and so neither does the signature
                tokenizer=None if name.startswith("ppl-word") else tokenizer,
                end_token="counted",
                strategy_token="counted" if name.endswith("strategy") else "not-counted",
                strategy_fed=fed,
                mode="eval",
                protocol=origin.protocol,
                items=origin.split,
                interval=f"bootstrap95,{resamples},seed{seed},by-conversation",
            ),
        )

    scores = tuple(score(name, statistic) for name, statistic in statistics.items())
    return PerplexityReport(scores, statistics, groups)


def perplexities(rows: Sequence[LikelihoodRow]) -> dict[str, ItemStatistics]:
    """Name → statistics of `ppl-token`, `ppl-word`, `ppl-utterance`; `…-with-strategy` where rows know it."""
    nll, tokens, words = (
        np.array(column, dtype=np.float64) for column in zip(*map(_sums, rows), strict=True)
    )
    found = _three("", nll, tokens, words)
    if all(row.strategy_nll is not None for row in rows):
        with_strategy = nll + np.array([row.strategy_nll for row in rows], dtype=np.float64)
        found |= _three("-with-strategy", with_strategy, tokens + 1, words)
    return found


def _three(suffix: str, nll: Array, tokens: Array, words: Array) -> dict[str, ItemStatistics]:
    utterance = mean_of(f"ppl-utterance{suffix}", np.exp(nll / tokens))
    return {
        f"ppl-token{suffix}": ItemStatistics(
            f"ppl-token{suffix}", np.column_stack([nll, tokens]), _exp_ratio
        ),
        f"ppl-word{suffix}": ItemStatistics(f"ppl-word{suffix}", np.column_stack([nll, words]), _exp_ratio),
        utterance.metric: utterance,
    }


def _exp_ratio(sums: Array) -> Array:
    return np.exp(ratio(sums))


def _sums(row: LikelihoodRow) -> tuple[float, int, int]:
    return row.nll, row.tokens, row.words


def _one(values: Sequence[str], what: str) -> str:
    found = sorted(set(values))
    if len(found) == 1:
        return found[0]
    raise Failure(f"likelihoods of more than one {what}: {', '.join(found)}", fix="predict the run again")
