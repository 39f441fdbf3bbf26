"""Five groups of text metrics against pycocoevalcap's three, on the same 10,000 pairs in the same run.

`python benchmarks/metrics.py` prints medians and their ratio. Ours: BLEU, ROUGE-L, CIDEr, Distinct and
F1. The peer: BLEU, ROUGE-L and CIDEr. Both start from texts, so tokenisation is in both times: the
peer's is NLTK's. Ours starts every round with empty caches. The pairs are supporter messages of ESConv,
each beside another one, where the corpus is found; else made-up sentences. Goal: a third of the peer's
time or less, with equal figures.
"""

import gzip
import json
import random
import statistics
import time
from collections.abc import Callable
from importlib import metadata

import nltk
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from hearten.core.places import find_corpus
from hearten.evaluate import score
from hearten.evaluate.text import punkt, tokenise

ITEMS, REPEATS = 10_000, 3
OURS = ["BLEU", "ROUGE-L", "CIDEr", "Distinct", "F1"]

Texts = list[str]


def messages() -> tuple[Texts, str]:
    """Lower-cased messages, and where they come from."""
    corpus = find_corpus("esconv/ESConv.json.gz")
    if corpus is not None:
        with gzip.open(corpus, "rt", encoding="utf-8") as stream:
            turns = [turn for talk in json.load(stream) for turn in talk["dialog"]]
        return [t["content"].strip().lower() for t in turns if t["speaker"] == "supporter"], "ESConv"
    draw = random.Random(13)
    words = [
        "i",
        "you",
        "feel",
        "can't",
        "sorry,",
        "that",
        "sounds",
        "hard.",
        "maybe",
        "talk?",
        "ok.",
        "really",
    ]
    return [
        " ".join(draw.choices(words, k=draw.randint(3, 35))) for _ in range(2 * ITEMS)
    ], "made-up sentences"


def pairs() -> tuple[Texts, Texts, str]:
    texts, source = messages()
    chosen = random.Random(13).sample(texts, min(len(texts), 2 * ITEMS))
    chosen += random.Random(14).choices(texts, k=2 * ITEMS - len(chosen))
    return chosen[:ITEMS], chosen[ITEMS:], source


def word_tokenize() -> Callable[[str], Texts]:
    """NLTK's own, or where punkt_tab is not installed the same classes with the same knowledge."""
    try:
        nltk.word_tokenize("a text.")
        return nltk.word_tokenize
    except LookupError:
        known = PunktParameters()
        known.abbrev_types = set(punkt.knowledge().abbreviations)
        known.collocations = set(punkt.knowledge().collocations)
        known.ortho_context.update(dict.fromkeys(punkt.knowledge().starters, 1 << 4))
        split, cut = PunktSentenceTokenizer(known), nltk.NLTKWordTokenizer()
        return lambda text: [word for sentence in split.tokenize(text) for word in cut.tokenize(sentence)]


def peer(hypotheses: Texts, references: Texts, cut: Callable[[str], Texts]) -> list[float]:
    res = {i: [" ".join(cut(text))] for i, text in enumerate(hypotheses)}
    gts = {i: [" ".join(cut(text))] for i, text in enumerate(references)}
    bleu, _ = Bleu(4).compute_score(gts, res, verbose=0)
    return [*bleu, Rouge().compute_score(gts, res)[0], Cider().compute_score(gts, res)[0]]


def ours(hypotheses: Texts, references: Texts) -> list[float | None]:
    for remembered in (punkt.ends_sentence, tokenise._inside, tokenise._end):
        remembered.cache_clear()
    found = score(hypotheses, references, preset="nlgeval", metrics=OURS).values
    return [found[name] for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")]


def timed(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    hypotheses, references, source = pairs()
    cut = word_tokenize()
    rounds = [
        (timed(lambda: ours(hypotheses, references)), timed(lambda: peer(hypotheses, references, cut)))
        for _ in range(REPEATS)
    ]
    mine, theirs = (statistics.median(r[side][0] for r in rounds) for side in (0, 1))
    apart = max(abs(a - b) for a, b in zip(rounds[0][0][1], rounds[0][1][1], strict=True))
    print(f"{ITEMS:,} pairs of {source}, median of {REPEATS} rounds, tokenisation included")
    print(f"hearten, {', '.join(OURS)}: {mine:.2f} s")
    versions = f"pycocoevalcap {metadata.version('pycocoevalcap')} and NLTK {metadata.version('nltk')}"
    print(f"{versions}, BLEU, ROUGE-L, CIDEr: {theirs:.2f} s")
    print(f"ratio {mine / theirs:.3f} (goal: at most 0.333); largest difference of a figure: {apart:.1e}")
    print("(our tokens are those of NLTK 3.9.1; NLTK 3.10 cuts about one message of two thousand otherwise)")


if __name__ == "__main__":
    main()
