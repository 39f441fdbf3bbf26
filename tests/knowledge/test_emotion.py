"""From GoEmotions' 28 labels to ESConv's seven and `none`, by our network and by a classifier of the hub."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hearten.core.errors import Failure, UsageError
from hearten.core.taxonomy import labels
from hearten.knowledge import emotion


def one_hot(**shares):
    names = labels("goemotions").names
    row = np.zeros((1, len(names)), dtype=np.float32)
    for name, value in shares.items():
        row[0, names.index(name)] = value
    return row


def test_the_table_maps_every_label():
    table = emotion.emotion_table()
    assert len(table["mapping"]) == 28
    assert set(table["mapping"].values()) == set(emotion.emotion_labels())
    assert len(emotion.emotion_labels()) == 8


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"annoyance": 0.3, "anger": 0.1}, {"anger": 1.0}),
        ({"remorse": 0.2, "neutral": 0.6}, {"shame": 0.25, "none": 0.75}),
        ({"grief": 0.2, "sadness": 0.2, "joy": 0.4}, {"sadness": 0.5, "none": 0.5}),
        ({"nervousness": 0.5}, {"anxiety": 1.0}),
    ],
)
def test_shares_are_sums_over_their_labels(shares, expected):
    found = dict(zip(emotion.emotion_labels(), emotion.to_esconv(one_hot(**shares))[0], strict=True))
    assert sum(found.values()) == pytest.approx(1, abs=1e-6)
    for name, value in found.items():
        assert value == pytest.approx(expected.get(name, 0), abs=1e-6)


def test_the_strongest_is_what_stands_out_from_its_prior():
    scores = dict.fromkeys(emotion.emotion_labels(), 0.0)
    scores |= {"anger": 0.2, "shame": 0.1, "none": 0.7}
    # 0.2 / 0.1186 = 1.7; 0.1 / 0.0166 = 6.0
    assert emotion.strongest(scores) == "shame"


def test_emotions_of_the_released_file_fall_on_the_seven():
    assert emotion.released_emotion("guilt") == "shame"
    assert emotion.released_emotion("anger") == "anger"


def test_the_network_is_what_its_numbers_say():
    # two inputs, two hidden units, by hand: hidden = relu((x - 1) / 2 @ W + b)
    outer = np.zeros((2, 28), dtype=np.float16)
    outer[0, 2] = 2.0  # anger listens to the first hidden unit
    weights = {
        "layers": np.array([6]),
        "centre": np.array([1.0, 1.0]),
        "scale": np.array([2.0, 2.0]),
        "inner": np.array([[1.0, 0.0], [1.0, -1.0]], dtype=np.float16),
        "inner_bias": np.array([0.5, 0.0]),
        "outer": outer,
        "outer_bias": np.full(28, -1.0),
    }
    found = emotion.EmbeddedDetector(weights).score(np.array([[3.0, 5.0]], dtype=np.float32))
    # (1, 2) → hidden (1 + 2 + 0.5, relu(-2)) = (3.5, 0) → anger logit 2 · 3.5 − 1 = 6
    assert found[0, 2] == pytest.approx(1 / (1 + np.exp(-6)), rel=1e-5)
    assert found[0, 0] == pytest.approx(1 / (1 + np.exp(1)), rel=1e-5)


def test_a_folder_of_the_hub_answers_in_our_order(classifier_folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["I am so angry.", "What did the letter say?", "ok"]
    detector = emotion.open_detector(str(classifier_folder))
    found = detector.raw(texts)
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval()
    for row, text in zip(found, texts, strict=True):  # one by one, so that no padding is involved
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        for place, name in enumerate(labels("goemotions").names):
            expected = logits[model.config.label2id[name]].sigmoid().item()
            assert row[place] == pytest.approx(expected, abs=1e-5)
    assert [sum(row.values()) for row in detector.detect(texts)] == pytest.approx([1, 1, 1], abs=1e-3)
    assert detector.detect([]) == []


def test_a_classifier_of_other_labels_is_refused(classifier_folder, tmp_path):
    folder = shutil.copytree(classifier_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = "hunger"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Failure, match="28 labels"):
        emotion.open_detector(str(folder))


def test_a_missing_detector_says_what_to_get():
    with pytest.raises(UsageError, match="embedded"):
        emotion.open_detector("embeded")


def test_the_shipped_network_is_small_and_reads_feelings(require):
    from hearten.lm import embed

    require("the sentence encoder", embed.available())
    detector = emotion.open_detector()
    found = detector.detect(
        [
            "I am so angry at my boss!",
            "Thank you so much, that was kind of you.",
            "I am really scared of tomorrow.",
        ]
    )
    assert max(found[0], key=found[0].get) == "anger"
    assert max(found[1], key=found[1].get) == "none"
    assert max(found[2], key=found[2].get) == "fear"
    size = Path(emotion.__file__).with_name(emotion.WEIGHTS).stat().st_size
    assert size < 2_000_000
