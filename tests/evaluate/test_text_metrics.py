"""The figures: golden tables made with the published programs, hand-worked values, and properties."""

import importlib
import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearten.core.errors import HeartenError
from hearten.evaluate import score
from hearten.evaluate.text import bleu, cider, distinct, embedding, meteor, overlap, rouge, vectors
from hearten.evaluate.text.ngrams import encode

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "text_scores.json").read_text(encoding="utf-8"))
HYPOTHESES, REFERENCES = ([pair[side] for pair in GOLDEN["pairs"]] for side in (0, 1))
QUICK = ["BLEU", "ROUGE-L", "CIDEr", "METEOR-nltk", "Distinct", "F1", "Length"]
WORDS = st.lists(st.sampled_from(list("abcdef")), max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8)


def peer(name):
    """The program whose figures ours must equal; only outside CI may it be missing."""
    return importlib.import_module(name) if os.environ.get("CI") == "true" else pytest.importorskip(name)


def split(texts):
    return [text.split() for text in texts]


@pytest.mark.parametrize("metric", [name for name in GOLDEN["nlgeval"] if name != "METEOR-1.5"])
def test_nlgeval_golden(metric):
    found, expected = score(HYPOTHESES, REFERENCES, metrics=[metric]), GOLDEN["nlgeval"][metric]
    assert found.values[metric] == pytest.approx(expected["corpus"], abs=1e-12)
    assert found.per_item[metric] == pytest.approx(expected["items"], abs=1e-9)


@pytest.mark.parametrize("metric", list(GOLDEN["zcj"]))
def test_zcj_golden(metric):
    found, expected = score(HYPOTHESES, REFERENCES, preset="zcj", metrics=[metric]), GOLDEN["zcj"][metric]
    assert found.values[metric] == pytest.approx(100 * expected["corpus"], abs=1e-9)
    assert found.per_item[metric] == pytest.approx(100 * np.array(expected["items"]), abs=1e-9)


@pytest.mark.slow
def test_meteor_of_the_jar_golden():
    if meteor.missing_parts():
        pytest.skip(meteor.missing_parts())
    found, expected = score(HYPOTHESES, REFERENCES, metrics=["METEOR-1.5"]), GOLDEN["nlgeval"]["METEOR-1.5"]
    assert found.values["METEOR-1.5"] == pytest.approx(expected["corpus"], abs=1e-9)
    assert found.per_item["METEOR-1.5"] == pytest.approx(expected["items"], abs=1e-9)


def test_against_pycocoevalcap_on_random_pairs():
    peer("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    draw = random.Random(7)
    texts = [" ".join(draw.choices("abcdefghij", k=draw.randint(1, 15))) for _ in range(2000)]
    hypotheses, references = texts[:1000], texts[1000:]
    pairs = encode(split(hypotheses), split(references))
    res = {i: [text] for i, text in enumerate(hypotheses)}
    gts = {i: [text] for i, text in enumerate(references)}
    corpus, items = Bleu(4).compute_score(gts, res, verbose=0)
    for n in range(1, 5):
        kept = bleu.statistics(pairs, n, "epsilon")
        assert kept.value == pytest.approx(corpus[n - 1], abs=1e-12)
        assert bleu.items(kept, "epsilon") == pytest.approx(items[n - 1], abs=1e-9)
    for ours, theirs in ((rouge, Rouge()), (cider, Cider())):
        assert ours.items(pairs) == pytest.approx(theirs.compute_score(gts, res)[1], abs=1e-9)


@pytest.mark.parametrize(
    ("smoothing", "n", "expected"),
    [
        # 'the cat sat' for 'the cat sat down': p1 = p2 = p3 = 1, p4 undefined; brevity exp(1 - 4/3)
        ("none", 3, math.exp(-1 / 3)),
        ("none", 4, 0.0),
        ("method3", 4, math.exp(-1 / 3) * 0.5**0.25),
        ("epsilon", 4, math.exp(-1 / 3) * 1e-6**0.25),
    ],
)
def test_bleu_by_hand(smoothing, n, expected):
    pairs = encode(split(["the cat sat"]), split(["the cat sat down"]))
    assert bleu.statistics(pairs, n, smoothing).value == pytest.approx(expected, rel=1e-6)


def test_item_bleu_adds_one_above_order_one():
    # 'a b' for 'a c': p1 = 1/2, p2 = (0 + 1)/(1 + 1); no brevity penalty: sqrt(1/4)  (Lin and Och 2004)
    pairs = encode(split(["a b"]), split(["a c"]))
    assert bleu.items(bleu.statistics(pairs, 2, "none"), "none") == pytest.approx([0.5])


def test_rouge_by_hand():
    # common 'a c': P = 2/3, R = 2/4; F = 2.44 · P · R / (R + 1.44 · P)
    pairs = encode(split(["a x c"]), split(["a b c d"]))
    assert rouge.items(pairs) == pytest.approx([2.44 * (2 / 3) * 0.5 / (0.5 + 1.44 * 2 / 3)])


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_longest_common_subsequence_equals_the_table(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == two else max(table[i][j + 1], table[i + 1][j])
    assert rouge.longest_common(first, second) == table[-1][-1]


def test_distinct_by_hand():
    rows = split(["a b a", "a c", ""])
    assert distinct.distinct(rows, 1) == 3 / 5
    assert distinct.distinct(rows, 2) == 3 / 3
    assert distinct.distinct(rows, 1, forget_last=True) == 2 / 3  # a b, a: the code released with ESConv
    assert distinct.distinct(rows, 2, forget_last=True) == 1 / 1
    assert distinct.distinct([[]], 1) is None


def test_distinct_in_chunks_averages_and_drops_a_short_rest():
    rows = [["a"], ["a"], ["b"], ["c"], ["a"], ["a"], ["a"]]
    assert distinct.distinct_in_chunks(rows, 1, size=2) == pytest.approx((0.5 + 1.0 + 0.5 + 1.0) / 4)
    assert distinct.distinct_in_chunks(rows, 1, size=3) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_f1_and_length_by_hand():
    pairs = encode(split(["a a b", ""]), split(["a b c d", "x"]))
    assert overlap.f1(pairs) == pytest.approx([2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4), 0.0])
    assert overlap.length(pairs).tolist() == [3.0, 0.0]


def test_meteor_nltk_by_hand():
    # 'walked' and 'walking' share a stem: 3 matches in 2 chunks, P = 3/3, R = 3/4
    mean = 0.75 / (0.9 + 0.1 * 0.75)
    found = meteor.nltk_items([["walked", "we", "go"]], [["we", "go", "very", "walking"]])
    assert found == pytest.approx([mean * (1 - 0.5 * (2 / 3) ** 3)])


def test_meteor_nltk_looks_up_synonyms_of_stems():
    found = meteor.nltk_items(
        [["big"]], [["large"]], lambda word: frozenset({"larg"} if word == "big" else ())
    )
    assert found == pytest.approx([0.5])


@pytest.fixture
def plane():
    words = ["east", "west", "north", "zero"]
    matrix = np.array([[1, 0], [-1, 0], [0, 1], [0, 0]], dtype=np.float32)
    return vectors.WordVectors("plane", words, matrix, matrix.mean(axis=0))


def test_embedding_metrics_by_hand(plane):
    found = embedding.items(split(["east north", "east", ""]), split(["east", "unknown", "east"]), plane)
    assert found.average == pytest.approx([math.sqrt(0.5), 0.0, 0.0])
    # 'east north': per dimension M = 1, m = 0 gives 0, so the text's extrema vanish (nlg-eval's rule)
    assert found.extrema == pytest.approx([0.0, 0.0, 0.0])
    assert found.greedy == pytest.approx([((1 + 0) / 2 + 1) / 2, 0.0, 0.0])  # 'unknown' is the mean, (0, ¼)
    assert found.coverage == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("column", "expected"), [((0.5, -0.2), 0.5), ((0.5, -0.5), -0.5), ((0.2, 0.1), 0.2), ((0.3, 0.0), 0.0)]
)
def test_extrema_rule(column, expected):
    words = np.array(column, dtype=np.float32)[:, None]
    assert embedding._extreme(words) == pytest.approx([expected])


def test_greedy_in_blocks_equals_greedy_at_once(plane, monkeypatch):
    rows = split(["east north west east"]), split(["north north east"])
    at_once = embedding.items(*rows, plane).greedy
    monkeypatch.setattr(embedding, "BLOCK", 2)
    assert embedding.items(*rows, plane).greedy == pytest.approx(at_once)


@given(PAIRS, st.sampled_from(["nlgeval", "zcj", "clean"]), st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_of_items_does_not_matter(pairs, preset, draw):
    shuffled = draw.sample(pairs, len(pairs))
    corpus_wide = [name for name in QUICK if name != "Distinct"]
    first, second = (
        score(*zip(*rows, strict=True), preset=preset, metrics=corpus_wide) for rows in (pairs, shuffled)
    )
    assert first.values == pytest.approx(second.values, abs=1e-9)


@given(PAIRS, st.sampled_from(["nlgeval", "clean"]))
@settings(max_examples=60, deadline=None)
def test_figures_are_bounded(pairs, preset):
    found = score(*zip(*pairs, strict=True), preset=preset, metrics=QUICK)
    top = {"CIDEr": 10.0, "Length": math.inf}
    for name, value in found.values.items():
        assert value is None or 0 <= value <= top.get(name, 1.0) + 1e-9
    for name, values in found.per_item.items():
        assert len(values) == len(pairs)
        assert values.min() >= 0
        assert values.max() <= top.get(name, 1.0) + 1e-9


@pytest.mark.parametrize(("preset", "one"), [("nlgeval", 1), ("zcj", 100), ("clean", 1)])
def test_identical_text_scores_one(preset, one, plane):
    texts = ["east north west east north .", "north is north , west is west ."]
    found = score(texts, texts, preset=preset, metrics=[*QUICK, "Embedding"], vectors=plane)
    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "F1", "Average", "Greedy"):
        assert found.values[name] == pytest.approx(one, rel=1e-6)
    assert found.values["CIDEr"] == pytest.approx(10 * one)


@pytest.mark.parametrize("preset", ["nlgeval", "zcj", "clean"])
def test_empty_texts_score_zero_and_are_counted(preset, plane):
    found = score(
        ["", "  ", "east"], ["east", "", ""], preset=preset, metrics=[*QUICK, "Embedding"], vectors=plane
    )
    assert (found.empty_hypotheses, found.empty_references) == (2, 2)
    for name, values in found.per_item.items():
        assert values.tolist()[:2] == [0.0, 0.0], name
    assert all(value is None or math.isfinite(value) for value in found.values.values())


@given(PAIRS, st.sampled_from(["nlgeval", "zcj", "clean"]))
@settings(max_examples=30, deadline=None)
def test_statistics_give_the_figure_back(pairs, preset):
    found = score(
        *zip(*pairs, strict=True), preset=preset, metrics=["BLEU", "ROUGE-L", "CIDEr", "F1", "Length"]
    )
    for record in found.records():
        assert found.statistics(record.name).value == pytest.approx(record.value, abs=1e-12)


def test_a_resample_of_the_statistics_is_the_figure_of_the_resample():
    counts = np.zeros(len(HYPOTHESES))
    chosen = [0, 0, 2, 5, 7]
    np.add.at(counts, chosen, 1)
    kept = score(HYPOTHESES, REFERENCES, metrics=["BLEU"]).statistics("BLEU-2")
    again = score([HYPOTHESES[i] for i in chosen], [REFERENCES[i] for i in chosen], metrics=["BLEU"])
    assert kept.combine((counts @ kept.rows)[None])[0] == pytest.approx(again.values["BLEU-2"])


def test_distinct_offers_no_statistics():
    found = score(["a b"], ["a"], metrics=["Distinct"])
    with pytest.raises(HeartenError, match="not a function of sums"):
        found.statistics("Distinct-1")
