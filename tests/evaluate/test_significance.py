import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearten.core.errors import Failure
from hearten.evaluate.significance import (
    approximate_randomisation,
    bootstrap,
    interval,
    mcnemar,
    paired_bootstrap,
    percentile,
    sign_test,
    students_t,
)
from hearten.evaluate.statistics import ItemStatistics, mean_of, ratio


def scores(*values: float) -> ItemStatistics:
    return mean_of("mean", np.array(values))


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [
        (0, 5, 2 / 32),  # 2 · (1/2)^5
        (1, 6, 2 * (1 + 7) / 128),  # 2 · (C(7,0) + C(7,1)) / 2^7
        (4, 4, 1.0),
    ],
)
def test_sign_test_by_hand(wins: int, losses: int, expected: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(expected)
    assert sign_test(losses, wins) == pytest.approx(expected)


def test_sign_test_of_nothing_but_ties_is_undefined() -> None:
    assert np.isnan(sign_test(0, 0))


@pytest.mark.parametrize(
    ("win", "lose", "printed"),
    [  # every cell of Liu et al. 2021, Table 5; '‡' p < .05, '†' p < .1
        *[(71, 24, "‡"), (65, 25, "‡"), (75, 20, "‡"), (72, 21, "‡"), (73, 20, "‡")],
        *[(52, 35, "†"), (50, 34, ""), (54, 34, "‡"), (47, 39, ""), (51, 34, "†")],
        *[(53, 35, "†"), (54, 37, "†"), (47, 39, ""), (56, 36, "‡")],
    ],
)
def test_sign_test_gives_the_markers_of_esconv_table_5(win: int, lose: int, printed: str) -> None:
    p = sign_test(win, lose)
    assert ("‡" if p < 0.05 else "†" if p < 0.1 else "") == printed


def test_the_one_cell_of_esconv_table_5_that_the_exact_test_marks_differently() -> None:
    # Suggestion, Joint against Random: 48 to 27 is printed with † (p < .1); the exact test gives .02.
    assert sign_test(48, 27) == pytest.approx(0.0201, abs=5e-4)


def test_mcnemar_by_hand() -> None:
    first = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    second = np.array([1, 1, 0, 1, 1, 1, 1, 1, 1, 0])
    found = mcnemar(first, second)
    assert found.p == pytest.approx(2 * (1 + 7) / 128)  # 1 against 6 discordant
    assert (found.first, found.second) == (0.3, 0.8)


def test_students_t_by_hand() -> None:
    # differences 1, 1, 3, 3: mean 2, sd sqrt(4/3), t = 2 / (sd / 2) = 3.4641 with 3 degrees of freedom
    found = students_t(scores(0, 0, 0, 0), scores(1, 1, 3, 3))
    assert found.p == pytest.approx(0.0405, abs=1e-4)
    assert np.isnan(students_t(scores(1, 1), scores(2, 2)).p)


def test_same_system_is_never_different() -> None:
    one = scores(*np.random.default_rng(0).random(50))
    assert paired_bootstrap(one, one).p == 1.0
    assert approximate_randomisation(one, one).p == 1.0


def test_randomisation_is_close_to_the_exact_permutation_p() -> None:
    # five items all better by 1: of 2^5 swaps only none and all are as extreme, p = 2/32
    found = approximate_randomisation(scores(0, 0, 0, 0, 0), scores(1, 1, 1, 1, 1), trials=20_000)
    assert found.p == pytest.approx(2 / 32, abs=0.01)


def test_bootstrap_spread_is_the_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap(mean_of("mean", values), resamples=4000)[0]
    assert found.std() == pytest.approx(values.std() / 20, rel=0.05)
    low, high = interval(mean_of("mean", values)) or (np.nan, np.nan)
    assert low < values.mean() < high


def test_paired_bootstrap_agrees_with_t_on_normal_differences() -> None:
    draw = np.random.default_rng(2)
    base = draw.normal(size=300)
    one, two = mean_of("mean", base), mean_of("mean", base + draw.normal(0.1, 1, 300))
    assert paired_bootstrap(one, two, resamples=5000).p == pytest.approx(students_t(one, two).p, abs=0.02)


def test_grouped_keeps_the_value_and_loses_the_turns() -> None:
    rows = np.array([[1.0, 2.0], [0.0, 3.0], [4.0, 5.0]])
    one = ItemStatistics("ratio", rows, ratio)
    grouped = one.grouped(["a", "b", "a"])
    assert grouped.rows.tolist() == [[5.0, 7.0], [0.0, 3.0]]
    assert grouped.value == one.value


def test_unequal_items_are_refused() -> None:
    with pytest.raises(Failure, match="same items"):
        paired_bootstrap(scores(1, 2), scores(1))
    with pytest.raises(Failure, match="same items"):
        bootstrap(scores())


def test_interval_is_none_where_the_metric_is_mostly_undefined() -> None:
    assert percentile(np.array([np.nan, 1.0, 2.0])) is None


def test_a_metric_undefined_on_many_resamples_has_no_p() -> None:
    rows = np.zeros((4, 2))
    rows[0] = 1.0  # defined only where the first item is drawn
    sparse = ItemStatistics("sparse", rows, ratio)
    assert np.isnan(paired_bootstrap(sparse, sparse).p)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.randoms())
def test_value_does_not_depend_on_item_order(values: list[float], random: object) -> None:
    shuffled = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert scores(*values).value == pytest.approx(scores(*shuffled).value)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=20))
def test_p_values_are_probabilities(pairs: list[tuple[float, float]]) -> None:
    one, two = (scores(*column) for column in zip(*pairs, strict=True))
    for found in (paired_bootstrap(one, two, resamples=50), approximate_randomisation(one, two, trials=50)):
        assert 0 < found.p <= 1
