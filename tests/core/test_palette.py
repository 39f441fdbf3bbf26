"""The scale's promises, measured: contrast on both pages, distance under four kinds of sight."""

from itertools import combinations

import numpy as np
import pytest

from hearten.core.palette import ACCENT, PALETTE, PAPER

SIGHT = {  # Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, two: str) -> float:
    low, high = sorted(float(linear(colour) @ XYZ[1]) for colour in (one, two))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    x, y, z = (
        np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in XYZ @ rgb / [0.95047, 1, 1.08883]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("paper", PAPER)
@pytest.mark.parametrize("colour", [*PALETTE, ACCENT])
def test_seen_on_both_pages(colour: str, paper: str) -> None:
    assert contrast(colour, paper) >= 3


@pytest.mark.parametrize("sight", SIGHT)
def test_told_apart(sight: str) -> None:
    seen = [lab(np.clip(np.array(SIGHT[sight]) @ linear(colour), 0, 1)) for colour in PALETTE]
    nearest = min(np.linalg.norm(one - two) for one, two in combinations(seen, 2))
    assert nearest >= 12  # CIE76, which is never far below CIEDE2000 here


def test_eight_different_steps() -> None:
    assert len(set(PALETTE)) == 8
