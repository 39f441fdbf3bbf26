"""Places in a conversation, by hand and by property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.core.palette import PALETTE, strategy_colour, strategy_dash
from hearten.core.progress_intervals import interval, phase, shares


@pytest.mark.parametrize(
    ("index", "total", "expected"),
    [(0, 10, 0), (1, 10, 1), (3, 10, 2), (8, 10, 4), (9, 10, 5), (0, 1, 5), (2, 3, 5), (0, 3, 1)],
)
def test_intervals_of_esconv_section_5_2(index, total, expected):
    # k = index + 1; k/L in [i/5, (i+1)/5) is i, and k = L is 5
    assert interval(index, total) == expected


@given(st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total - 1), st.just(total))))
def test_parts_never_go_back_and_end_at_the_end(place):
    index, total = place
    assert 0 <= phase(index, total, 4) <= 3
    assert phase(total - 1, total, 4) == 3
    assert (interval(index, total) == 5) == (index == total - 1)
    if index:
        assert interval(index - 1, total) <= interval(index, total)


@pytest.mark.parametrize("where", [interval, lambda i, t: phase(i, t, 4)])
def test_a_place_outside_is_refused(where):
    with pytest.raises(ValueError, match="utterance 5 of 5"):
        where(5, 5)


def test_shares_by_hand():
    found = shares([(0, "a"), (0, "a"), (0, "b"), (1, "b")], ["a", "b"], parts=3)
    assert found == [{"a": 2 / 3, "b": 1 / 3}, {"a": 0, "b": 1}, {"a": 0, "b": 0}]


def test_sixteen_strategies_look_different():
    looks = {(strategy_colour(n), strategy_dash(n)) for n in range(16)}
    assert len(PALETTE) == 8
    assert len(looks) == 16
