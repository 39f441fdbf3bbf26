"""Calibration by hand: bins of equal size, the gap between belief and what came."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from hearten.cli import main
from hearten.core.errors import Failure
from hearten.core.jsonl import write_records
from hearten.core.records import Prediction
from hearten.core.taxonomy import label_set
from hearten.evaluate import calibration, plots
from hearten.evaluate.origin import open_origin

NAMES = label_set("esconv").names


def item(number, belief, gold):
    rest = (1 - belief) / 7
    return Prediction(
        conversation_id=f"c{number // 4}", index=1 + number % 4, turns_total=9, context=(), reference="",
        hypothesis="", gold_strategy=gold, strategy=NAMES[0],
        probabilities={name: belief if name == NAMES[0] else rest for name in NAMES},
    )  # fmt: skip


@pytest.fixture
def predictions(tmp_path):
    """Eight turns: belief 0.4 right twice in four, belief 0.8 right three times in four."""
    rows = [item(n, 0.4, NAMES[0] if n < 2 else NAMES[1]) for n in range(4)]
    rows += [item(n, 0.8, NAMES[0] if n < 7 else NAMES[2]) for n in range(4, 8)]
    write_records(tmp_path / "predictions.jsonl", rows)
    return tmp_path / "predictions.jsonl"


def test_the_error_is_the_mean_gap(predictions):
    found = calibration.report(open_origin(predictions), bins=2, resamples=50)
    scores = {score.name: score.value for score in found.scores}
    # (4 · |0.5 − 0.4| + 4 · |0.75 − 0.8|) / 8
    assert scores["ece"] == pytest.approx(0.075)
    right = (1 - 0.8) ** 2 + 7 * (0.2 / 7) ** 2
    wrong = 0.8**2 + (1 - 0.2 / 7) ** 2 + 6 * (0.2 / 7) ** 2
    low_right = (1 - 0.4) ** 2 + 7 * (0.6 / 7) ** 2
    low_wrong = 0.4**2 + (1 - 0.6 / 7) ** 2 + 6 * (0.6 / 7) ** 2
    assert scores["brier"] == pytest.approx((3 * right + wrong + 2 * low_right + 2 * low_wrong) / 8)
    expected = -(3 * np.log(0.8) + np.log(0.2 / 7) + 2 * np.log(0.4) + 2 * np.log(0.6 / 7)) / 8
    assert scores["mean nll"] == pytest.approx(expected)
    assert [(one.items, one.confidence, one.accuracy) for one in found.bins] == [
        (4, pytest.approx(0.4), 0.5),
        (4, pytest.approx(0.8), 0.75),
    ]


def test_bins_hold_equal_numbers():
    placed = calibration.place(np.random.default_rng(0).uniform(size=100), 10)
    assert np.bincount(placed).tolist() == [10] * 10


def test_beliefs_are_needed(tmp_path):
    rows = [item(0, 0.5, NAMES[0]).model_copy(update={"probabilities": None})]
    write_records(tmp_path / "p.jsonl", rows)
    with pytest.raises(Failure, match="probabilities"):
        calibration.report(open_origin(tmp_path / "p.jsonl"))


def test_the_command_prints_and_draws(predictions, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "calibration", str(predictions), "--json", "--resamples", "50"])
    assert ended.value.code == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)["scores"]} == {
        "ece",
        "brier",
        "mean nll",
    }
    with pytest.raises(SystemExit):
        main(
            [
                "evaluate",
                "calibration",
                str(predictions),
                "--resamples",
                "50",
                "--out",
                str(tmp_path / "c.svg"),
            ]
        )
    assert ElementTree.parse(tmp_path / "c.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "aria-label" in plots.calibration([(0.4, 0.5, 4)])
