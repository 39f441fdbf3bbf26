import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_records
from hearten.core.records import Prediction
from hearten.core.taxonomy import label_set
from hearten.evaluate.origin import Origin, infer_label_set, items_hash, open_origin
from hearten.evaluate.strategies import (
    accuracy,
    bias,
    macro,
    preferences,
    progress_distance,
    report,
    weighted,
)

NAMES = label_set("esconv").names


def prediction(
    gold: int | None,
    chosen: int | None,
    *,
    index: int = 1,
    total: int = 10,
    talk: str = "a",
    beliefs: dict | None = None,
) -> Prediction:
    return Prediction(
        conversation_id=talk,
        index=index,
        turns_total=total,
        context=("seeker: hello",),
        reference="gold",
        hypothesis="ours",
        gold_strategy=None if gold is None else NAMES[gold],
        strategy=None if chosen is None else NAMES[chosen],
        probabilities=beliefs,
    )


def origin(*predictions: Prediction) -> Origin:
    return Origin("test", predictions)


def scores(*predictions: Prediction) -> dict[str, float | None]:
    return {score.name: score.value for score in report(origin(*predictions), resamples=20).scores}


def flat(matrix: list[list[float]]) -> np.ndarray:
    return np.array(matrix, dtype=float).reshape(1, -1)


def test_averages_by_hand() -> None:
    # gold 0 three times (2 right, 1 as class 1), gold 1 once (right)
    matrix = flat([[2, 1], [0, 1]])
    both = np.array([True, True])
    assert accuracy(matrix)[0] == 3 / 4
    assert macro(0, both, matrix)[0] == pytest.approx((1 + 1 / 2) / 2)
    assert macro(1, both, matrix)[0] == pytest.approx((2 / 3 + 1) / 2)
    assert macro(2, both, matrix)[0] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert weighted(2, matrix)[0] == pytest.approx((3 * 4 / 5 + 1 * 2 / 3) / 4)


def test_preference_of_two_classes_by_hand() -> None:
    # class 0 is chosen instead of class 1 six times, the other way twice: odds 3 to 1, so 1.5 and 0.5 of 2
    matrix = np.array([[[5.0, 2.0], [6.0, 7.0]]])
    assert preferences(matrix)[0] == pytest.approx([1.5, 0.5])
    assert bias(matrix.reshape(1, -1))[0] == pytest.approx(0.5)


def test_preference_is_that_of_the_bradley_terry_model() -> None:
    strengths = np.array([2.0, 1.0, 0.5, 0.5])
    contests = 100 * strengths / (strengths + strengths[:, None])  # [gold, chosen]: how often chosen won
    assert preferences(contests[None], rounds=200)[0] == pytest.approx(strengths, abs=1e-6)
    assert preferences(contests[None])[0] == pytest.approx(strengths, abs=1e-3)


def test_bias_of_a_perfect_and_of_an_even_system_is_zero() -> None:
    assert bias(flat([[3, 0], [0, 4]]))[0] == 0
    assert bias(flat([[1, 2, 2], [2, 1, 2], [2, 2, 1]]))[0] == pytest.approx(0)


def test_bias_without_bound_is_undefined_and_says_so() -> None:
    found = report(origin(prediction(0, 0, index=1), prediction(1, 0, index=3)), resamples=20)
    score = next(score for score in found.scores if score.name == "preference-bias (used)")
    assert score.value is None
    assert "no bound" in (score.note or "")


def test_top_k_and_argmax_and_sampled() -> None:
    beliefs = {NAMES[0]: 0.5, NAMES[1]: 0.3, NAMES[2]: 0.2}
    found = scores(
        prediction(0, 1, index=1, beliefs=beliefs),
        prediction(1, 1, index=3, beliefs=beliefs),
        prediction(2, 1, index=5, beliefs=beliefs),
        prediction(2, 1, index=7, beliefs=beliefs),
    )
    assert [found[f"top-{k}"] for k in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert found["accuracy (used)"] == 0.25
    assert found["accuracy (argmax)"] == 0.25
    assert found["accuracy (sampled)"] == pytest.approx((0.5 + 0.3 + 0.2 + 0.2) / 4)


def test_argmax_is_not_printed_twice() -> None:
    beliefs = {NAMES[0]: 0.9, NAMES[1]: 0.1}
    found = scores(prediction(0, 0, beliefs=beliefs), prediction(1, 0, index=3, beliefs=beliefs))
    assert "accuracy (argmax)" not in found


def test_progress_by_hand() -> None:
    found = report(
        origin(
            prediction(0, 0, index=0, total=10),  # 1/10 → first interval
            prediction(1, 0, index=1, total=10),  # 2/10 → second interval
            prediction(1, 1, index=9, total=10),  # 10/10 → the end
        ),
        resamples=20,
    )
    assert found.gold_progress[0, 0] == 1
    assert found.gold_progress[1, 1] == found.choice_progress[1, 0] == 1
    assert np.isnan(found.gold_progress[2]).all()
    distance = next(score for score in found.scores if score.name.startswith("progress-distance"))
    assert distance.value == pytest.approx(1 / 3)  # one interval of three wholly different
    assert progress_distance(np.zeros((1, 2 * 6 * 8)))[0] != 0  # NaN where there is nothing


def test_items_without_a_strategy_are_counted_not_scored() -> None:
    found = report(
        origin(prediction(0, 0), prediction(None, 1, index=3), prediction(1, None, index=5)), resamples=20
    )
    assert (found.skipped, len(found.items)) == (2, 1)
    assert "skipped:2" in found.scores[0].signature


def test_every_score_is_signed() -> None:
    found = report(origin(prediction(0, 0), prediction(1, 0, index=3)), resamples=20)
    for score in found.scores:
        assert "protocol:unknown" in score.signature
        assert f"items:{items_hash(found.items)}" in score.signature


def test_label_sets_are_told_apart() -> None:
    assert infer_label_set([prediction(0, 1)]).name == "esconv"
    extes = prediction(0, 0).model_copy(update={"strategy": "Collaborative Planning", "gold_strategy": None})
    assert infer_label_set([extes]).name == "extes"
    with pytest.raises(Failure, match="unknown strategy 'Hugging'"):
        infer_label_set([prediction(0, 0).model_copy(update={"strategy": "Hugging"})])


def test_nothing_to_score_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no predictions"):
        report(origin())
    with pytest.raises(Failure, match="both a gold strategy and a predicted one"):
        report(origin(prediction(0, None)))
    path = tmp_path / "predictions.jsonl"
    write_records(path, [prediction(0, 0), prediction(1, 1)])
    with pytest.raises(Failure, match="occurs twice"):
        open_origin(path)


def test_a_negative_probability_is_named() -> None:
    bad = prediction(0, 0, talk="b", beliefs={NAMES[0]: -1.0, NAMES[1]: 2.0})
    with pytest.raises(Failure, match="probabilities") as error:
        report(origin(bad))
    assert "conversation 'b', turn 1" in str(error.value)


pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_agrees_with_scikit_learn(chosen: list[tuple[int, int]]) -> None:
    gold, ours = zip(*chosen, strict=True)
    found = scores(*(prediction(g, o, index=i, total=99) for i, (g, o) in enumerate(chosen)))
    assert found["accuracy (used)"] == pytest.approx(accuracy_score(gold, ours))
    for average in ("macro", "weighted"):
        expected = precision_recall_fscore_support(gold, ours, average=average, zero_division=0)
        for metric, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            assert found[f"{average}-{metric} (used)"] == pytest.approx(value), (average, metric)


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_bounds(chosen: list[tuple[int, int]]) -> None:
    found = scores(*(prediction(g, o, index=i, total=99) for i, (g, o) in enumerate(chosen)))
    for name, value in found.items():
        limit = (
            np.sqrt(7) + 1e-9 if name.startswith("preference") else 1 + 1e-9
        )  # one class takes all: √(K−1)
        assert value is None or 0 <= value <= limit, name


def test_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    lines = [prediction(i % 3, i % 2, index=i, total=30, talk=f"c{i % 4}") for i in range(12)]
    write_records(tmp_path / "a.jsonl", lines)
    write_records(tmp_path / "b.jsonl", reversed(lines))
    one, two = (report(open_origin(tmp_path / f"{name}.jsonl"), resamples=20).scores for name in "ab")
    assert json.dumps([s.model_dump() for s in one]) == json.dumps([s.model_dump() for s in two])
