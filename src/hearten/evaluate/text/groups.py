"""From tokens to figures: one function a group of metrics, each saying how its figures were made.

`Work` holds the tokens and counts that the groups share. A `Measured` carries the corpus figure as a
fraction, the figures of the items, the statistics a bootstrap needs, and the choices that make up its
signature. A group that lacks something on this machine says so by raising `Unavailable`; `score`
decides what that means.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from hearten.core.errors import Failure
from hearten.evaluate.statistics import Array, ItemStatistics, mean_of
from hearten.evaluate.text import bertscore, bleu, cider, distinct, embedding, meteor, overlap, rouge
from hearten.evaluate.text import vectors as word_vectors
from hearten.evaluate.text.ngrams import Pairs, Tokens, encode
from hearten.evaluate.text.presets import Preset
from hearten.evaluate.text.tokenise import tokenise_all
from hearten.evaluate.text.vectors import WordVectors


class Unavailable(Failure):
    """A metric that cannot be computed on this machine, with the reason."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric of one set of pairs."""

    name: str
    value: float | None
    """As a fraction (length in tokens, CIDEr from 0 to 10); None where undefined."""
    choices: dict[str, str]
    """Parts of the signature that are the metric's own."""
    items: Array | None = None
    """(N,)"""
    statistics: ItemStatistics | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Work:
    """The pairs to score and the options that touch them."""

    hypotheses: list[str]
    references: list[str]
    preset: Preset
    vectors: Path | WordVectors | None = None
    bert_model: Path | None = None
    quiet: bool = True
    notes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def tokens(self) -> tuple[Tokens, Tokens]:
        """Tokens of the hypotheses and of the references."""
        return tokenise_all(self.hypotheses), tokenise_all(self.references)

    @cached_property
    def pairs(self) -> Pairs:
        """The same, counted."""
        return encode(*self.tokens)


def _mean(name: str, items: Array, **choices: str) -> Measured:
    """A metric whose corpus figure is the mean over items."""
    kept = mean_of(name, items)
    return Measured(name, kept.value, {**choices, "avg": "item"}, items, kept)


def _bleu(work: Work) -> list[Measured]:
    rows = []
    for n in range(1, bleu.ORDERS + 1):
        kept = bleu.statistics(work.pairs, n, work.preset.smoothing)
        items = bleu.items(kept, work.preset.smoothing)
        value = float(kept.value) if kept.rows[:, -2].any() else 0.0
        rows.append(
            Measured(kept.metric, value, {"smooth": work.preset.smoothing, "avg": "corpus"}, items, kept)
        )
    return rows


def _rouge(work: Work) -> list[Measured]:
    return [_mean("ROUGE-L", rouge.items(work.pairs), beta=str(rouge.BETA))]


def _cider(work: Work) -> list[Measured]:
    measured = _mean("CIDEr", cider.items(work.pairs), variant="cider-d", df="references", sigma="6")
    note = "one pair only: every weight is ln 1 = 0" if work.pairs.items == 1 else ""
    return [
        Measured(measured.name, measured.value, measured.choices, measured.items, measured.statistics, note)
    ]


def _meteor_nltk(work: Work) -> list[Measured]:
    synonyms = meteor.wordnet()
    stages = "exact+stem+wordnet" if synonyms else "exact+stem"
    items = meteor.nltk_items(*work.tokens, synonyms)
    return [_mean("METEOR-nltk", items, match=stages, parameters="0.9,3,0.5")]


def _meteor_jar(work: Work) -> list[Measured]:
    reason = meteor.missing_parts() or meteor.too_long(*work.tokens)
    if reason:
        raise Unavailable(reason)
    try:
        items, value = meteor.jar_items(*work.tokens, quiet=work.quiet)
    except Failure as error:
        raise Unavailable(error.what) from None
    empty = np.array([not row for row in work.tokens[0]])
    choices = {"options": "en,norm", "avg": "corpus"}
    return [Measured("METEOR-1.5", value, choices, np.where(empty, 0.0, items))]


def _embedding(work: Work) -> list[Measured]:
    vectors = work.vectors
    if not isinstance(vectors, WordVectors):
        if vectors is None and not word_vectors.default_path().is_file():
            raise Unavailable("no word vectors; hearten evaluate vectors fetches them, or --vectors FILE")
        vectors = word_vectors.load(vectors)
    found = embedding.items(*work.tokens, vectors, quiet=work.quiet)
    work.notes["vectors"] = (
        f"{vectors.label}: {found.coverage:.1%} of all tokens have a vector, the rest the mean"
    )
    named = {"Average": found.average, "Extrema": found.extrema, "Greedy": found.greedy}
    return [_mean(name, items, vectors=vectors.label, oov="mean") for name, items in named.items()]


def _distinct(work: Work) -> list[Measured]:
    rows = work.tokens[0]
    counted = {"clean": False, "released": True}
    own = "released" if work.preset.forget_last else "clean"
    found = []
    for variant, forget_last in sorted(counted.items(), key=lambda entry: entry[0] != own):
        for n in (1, 2, 3):
            name = f"Distinct-{n}" if variant == own else f"Distinct-{n}-{variant}"
            value = distinct.distinct(rows, n, forget_last=forget_last)
            found.append(Measured(name, value, {"variant": variant, "avg": "corpus"}))
    size = f"{distinct.CHUNK}"
    for n in (1, 2, 3):
        value = distinct.distinct_in_chunks(rows, n)
        found.append(
            Measured(f"Distinct-{n}-chunks", value, {"variant": "clean", "avg": f"chunks-of-{size}"})
        )
    return found


def _f1(work: Work) -> list[Measured]:
    return [_mean("F1", overlap.f1(work.pairs), ngram="1")]


def _length(work: Work) -> list[Measured]:
    return [_mean("Length", overlap.length(work.pairs), unit="tokens")]


def _bertscore(work: Work) -> list[Measured]:
    reason = bertscore.missing_parts(work.bert_model)
    if reason or work.bert_model is None:
        raise Unavailable(reason)
    items = bertscore.items(work.hypotheses, work.references, work.bert_model)
    layer = str(bertscore.layer_of(work.bert_model))
    return [_mean("BERTScore", items, model=work.bert_model.name, layer=layer, tok="model", case="model")]


MEASURES: dict[str, Callable[[Work], list[Measured]]] = {
    "BLEU": _bleu,
    "ROUGE-L": _rouge,
    "CIDEr": _cider,
    "METEOR-nltk": _meteor_nltk,
    "METEOR-1.5": _meteor_jar,
    "Embedding": _embedding,
    "Distinct": _distinct,
    "F1": _f1,
    "Length": _length,
    "BERTScore": _bertscore,
}
"""group → what computes it; the order is the order of the table"""
