import pytest

from hearten.core.intervals import INTERVALS, NAMES, progress_interval
from hearten.core.palette import STEPS, strategy_color
from hearten.core.taxonomy import label_set


@pytest.mark.parametrize(
    ("turn", "total", "expected"),
    [  # Liu et al. 2021, section 4.3: [i/5, (i+1)/5) for i = 0..4, and {1}
        (1, 1, 5),
        (1, 5, 1),
        (1, 6, 0),
        (4, 5, 4),
        (5, 5, 5),
        (2, 10, 1),
        (29, 30, 4),
    ],
)
def test_interval_of_a_turn(turn: int, total: int, expected: int) -> None:
    assert progress_interval(turn, total) == expected


def test_every_turn_is_in_one_of_six() -> None:
    found = {progress_interval(k, 40) for k in range(1, 41)}
    assert found == set(range(INTERVALS))
    assert len(NAMES) == INTERVALS


@pytest.mark.parametrize("turn", [0, 6])
def test_a_turn_outside_is_refused(turn: int) -> None:
    with pytest.raises(ValueError, match="not one of 5"):
        progress_interval(turn, 5)


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#faf7f2", "#1c1a17"])
@pytest.mark.parametrize("colour", STEPS)
def test_colours_show_on_light_and_dark(colour: str, background: str) -> None:
    low, high = sorted((_luminance(colour), _luminance(background)))
    assert (high + 0.05) / (low + 0.05) >= 3


def test_each_esconv_strategy_has_its_own_colour() -> None:
    labels = label_set("esconv")
    assert len({strategy_color(labels, name) for name in labels.names}) == 8
