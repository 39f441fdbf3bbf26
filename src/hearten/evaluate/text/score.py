"""`score(hypotheses, references)`: every text metric of a set of pairs, each with its signature.

    from hearten.evaluate import score
    scores = score(replies, gold, preset="nlgeval")
    scores.values["BLEU-2"], scores.signatures["BLEU-2"], scores.per_item["BLEU-2"][0]

It takes texts, never paths, and refuses what looks like a mistake: the same call that reads files in
one place and texts in another has cost others weeks. One reference a hypothesis, as in every paper of
this field. An empty hypothesis is an item like any other: it scores 0 and is counted. Figures are in
the scale of the preset and the signature names it; `records` and `statistics`, which other stages read,
are always fractions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.records import Score
from hearten.core.registry import lookup
from hearten.evaluate.signature import signature
from hearten.evaluate.statistics import Array, ItemStatistics
from hearten.evaluate.text import tokenise
from hearten.evaluate.text.groups import MEASURES, Measured, Unavailable, Work
from hearten.evaluate.text.presets import PRESETS, Preset
from hearten.evaluate.text.vectors import WordVectors


@dataclass(frozen=True, eq=False)
class Scores:
    """What `score` found."""

    preset: Preset
    items: int
    empty_hypotheses: int
    empty_references: int
    mean_length: tuple[float, float]
    """Tokens a hypothesis and a reference, on average."""
    measured: tuple[Measured, ...]
    skipped: dict[str, str]
    """Group of metrics to the reason it is missing."""
    notes: dict[str, str]

    @property
    def signature(self) -> str:
        """What all figures share."""
        return signature(preset=self.preset.name, **self._shared(self.preset.scale), items=self.items)

    @cached_property
    def values(self) -> dict[str, float | None]:
        """Corpus figures in the preset's scale; None where undefined."""
        return {m.name: None if m.value is None else m.value * self._factor(m.name) for m in self.measured}

    @cached_property
    def signatures(self) -> dict[str, str]:
        """The signature of each figure in `values`."""
        return {m.name: self._sign(m, self.preset.scale) for m in self.measured}

    @cached_property
    def per_item(self) -> dict[str, Array]:
        """Figures of the items, (N,) each, in the preset's scale; Distinct has none."""
        return {m.name: m.items * self._factor(m.name) for m in self.measured if m.items is not None}

    def statistics(self, metric: str) -> ItemStatistics:
        """What a bootstrap of one metric needs; figures made from it are fractions.

        Raises:
            UsageError: the metric was not computed, or is not a function of sums over items.
        """
        known = {m.name: m.statistics for m in self.measured if m.statistics is not None}
        if metric not in known:
            computed = any(m.name == metric for m in self.measured)
            why = "is not a function of sums over items" if computed else "was not computed"
            raise UsageError(f"'{metric}' {why}", fix=nearest(metric, known))
        return known[metric]

    def records(self) -> list[Score]:
        """The figures as `core.records.Score`, always fractions: what `scores.json` of a run holds."""
        return [
            Score(
                name=m.name,
                value=m.value,
                signature=self._sign(m, 1.0),
                items=self.items,
                note=m.note or None,
            )
            for m in self.measured
        ]

    def as_dict(self, *, items: bool = False) -> dict[str, Any]:
        """One JSON object: signature, counts, `scores`, `signatures`, and `per_item` if asked for."""
        value: dict[str, Any] = {
            "signature": self.signature,
            "preset": self.preset.name,
            "items": self.items,
            "empty_hypotheses": self.empty_hypotheses,
            "empty_references": self.empty_references,
            "mean_length": {"hypotheses": self.mean_length[0], "references": self.mean_length[1]},
            "scores": self.values,
            "signatures": self.signatures,
            "skipped": self.skipped,
            "notes": self.notes,
        }
        if items:
            value["per_item"] = {name: figures.tolist() for name, figures in self.per_item.items()}
        return value

    def _factor(self, name: str) -> float:
        return 1.0 if name == "Length" else self.preset.scale

    def _shared(self, scale: float) -> dict[str, str]:
        return {"tok": tokenise.NAME, "case": "lower", "refs": "1", "scale": f"{scale:g}"}

    def _sign(self, measured: Measured, scale: float) -> str:
        recipe = self.preset.name if _group(measured.name) in self.preset.defines else "clean"
        shared = self._shared(1.0 if measured.name == "Length" else scale)
        return signature(metric=measured.name, preset=recipe, **{**shared, **measured.choices})


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    preset: str = "nlgeval",
    metrics: Iterable[str] | None = None,
    vectors: Path | WordVectors | None = None,
    bert_model: Path | None = None,
    quiet: bool = True,
) -> Scores:
    """Score hypotheses against one reference each.

    Args:
        hypotheses: the texts to score.
        references: as many gold texts.
        preset: `nlgeval`, `zcj` or `clean`.
        metrics: groups of metrics (see `presets.GROUPS`); None takes all that can be computed here.
        vectors: word vectors, or a file of them; None takes those in the cache.
        bert_model: a local model folder for BERTScore.
        quiet: show no progress.

    Raises:
        UsageError: a single string or a path where texts are meant, an unknown preset or metric.
        Failure: different numbers of texts, no texts, or a metric asked for that cannot be computed here.
    """
    texts = _texts(hypotheses, "hypotheses"), _texts(references, "references")
    _check_counts(*texts)
    recipe = lookup(PRESETS, preset, "preset")
    work = Work(*texts, recipe, Path(vectors) if isinstance(vectors, str) else vectors, bert_model, quiet)
    measured, skipped = _measure(work, None if metrics is None else _groups(metrics))
    tokens = work.tokens
    empty = [sum(not row for row in side) for side in tokens]
    lengths = [sum(map(len, side)) / len(side) for side in tokens]
    return Scores(
        recipe, len(texts[0]), empty[0], empty[1], (lengths[0], lengths[1]), measured, skipped, work.notes
    )


def _measure(work: Work, asked: list[str] | None) -> tuple[tuple[Measured, ...], dict[str, str]]:
    """All groups, or those asked for; only the former may be skipped."""
    measured: list[Measured] = []
    skipped: dict[str, str] = {}
    for group in MEASURES if asked is None else asked:
        try:
            measured += MEASURES[group](work)
        except Unavailable as error:
            if asked is not None:
                raise Failure(f"{group} cannot be computed here", fix=error.what) from None
            skipped[group] = error.what
    return tuple(measured), skipped


def _groups(metrics: Iterable[str]) -> list[str]:
    """Names as a person writes them, to groups in the order of the table."""
    if isinstance(metrics, str):
        metrics = metrics.split(",")
    folded = {group.casefold(): group for group in MEASURES}
    chosen = set()
    for name in metrics:
        group = folded.get(name.strip().casefold()) or _group(name.strip())
        if group not in MEASURES:
            raise UsageError(f"unknown metric '{name.strip()}'", fix=nearest(name.strip(), MEASURES))
        chosen.add(group)
    return [group for group in MEASURES if group in chosen]


def _group(metric: str) -> str:
    """The group that computes a metric: BLEU-2 is of BLEU, Extrema of Embedding."""
    if metric in ("Average", "Extrema", "Greedy"):
        return "Embedding"
    return next((g for g in ("BLEU", "Distinct") if metric.startswith(f"{g}-")), metric)


def _texts(given: Sequence[str], what: str) -> list[str]:
    """The texts as a list, or a refusal of what is not a sequence of texts."""
    fix = "score() takes texts; hearten.evaluate.text.files.read_texts(path) reads a file"
    if isinstance(given, str | bytes | Path):
        raise UsageError(f"{what} is one {type(given).__name__}, not a sequence of texts", fix=fix)
    texts = list(given)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            kind = type(text).__name__
            raise UsageError(
                f"{what} holds a {kind} where a text is meant", where=f"item {position}", fix=fix
            )
    if 0 < len(texts) <= 3 and all(_is_file(text) for text in texts):
        raise UsageError(f"{what} holds names of files, not texts", where=texts[0], fix=fix)
    return texts


def _is_file(text: str) -> bool:
    try:
        return 0 < len(text) < 1024 and "\n" not in text and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _check_counts(hypotheses: list[str], references: list[str]) -> None:
    if len(hypotheses) != len(references):
        raise Failure(
            f"{len(hypotheses)} hypotheses but {len(references)} references",
            fix="line i of one must answer line i of the other; an empty reply is an empty line",
        )
    if not hypotheses:
        raise Failure("there is nothing to score: no items")
