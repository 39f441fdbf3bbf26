"""Making the emotion weights: the released table's format, F1 and thresholds by hand, and a small fit."""

import gzip

import numpy as np
import pytest

from hearten.core.errors import Failure
from hearten.knowledge import goemotions
from hearten.knowledge.emotion import EmbeddedDetector, open_detector, write


def test_comments_are_read_with_all_their_labels(tmp_path):
    file = tmp_path / "dev.tsv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write("so glad, and tired\t0,27\tabc\nno\t10\tdef\n")
    found = goemotions.read_comments(file)
    assert found.texts == ["so glad, and tired", "no"]
    assert found.gold.sum(1).tolist() == [2, 1]
    assert found.gold[0, 27] == found.gold[1, 10] == 1
    with gzip.open(file, "at") as stream:
        stream.write("no label\n")
    with pytest.raises(Failure, match="line 3"):
        goemotions.read_comments(file)


def test_f1_is_what_the_formula_says():
    gold = np.array([[1, 0], [1, 0], [0, 0]], dtype=np.float32)
    chosen = np.array([[1, 0], [0, 0], [1, 0]], dtype=bool)
    # first label: 1 right, 2 chosen, 2 gold → 2·1 / 4; second: neither given nor chosen → 0
    assert goemotions.f1(chosen, gold).tolist() == [0.5, 0.0]


def test_a_threshold_parts_the_items_of_a_label():
    answers = np.array([[0.2], [0.3], [0.6]], dtype=np.float32)
    gold = np.array([[0], [1], [1]], dtype=np.float32)
    assert 0.2 <= goemotions.thresholds(answers, gold)[0] < 0.3


def test_a_fit_learns_what_can_be_learned(tmp_path):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(600, 6)).astype(np.float32)
    gold = np.zeros((600, 28), dtype=np.float32)
    gold[:, :6] = inputs > 0.3
    settings = goemotions.FitSettings(
        layers=(6,), hidden=16, epochs=20, batch=32, dropout=0.0, learning_rate=0.02
    )
    weights = goemotions.fit((inputs[:400], gold[:400]), (inputs[400:], gold[400:]), settings)
    assert weights["inner"].dtype == np.float16
    answers = EmbeddedDetector(weights).score(inputs)
    found = goemotions.quality((answers[:400], gold[:400]), (answers[400:], gold[400:]))
    assert found.items == 200
    assert found.labels["admiration"] > 0.9
    assert found.labels["neutral"] == 0
    write(weights, tmp_path / "own.safetensors")
    assert np.array_equal(open_detector(str(tmp_path / "own.safetensors")).score(inputs), answers)
