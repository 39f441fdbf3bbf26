"""Coefficients of agreement between raters: Cohen, Fleiss, Krippendorff, and plain per cent.

Data is a table (R, U), raters by units, of category codes with NaN where a rater did not answer. Cohen's
and Fleiss's kappa are statsmodels'; Krippendorff's alpha is written here after his own account (2011,
"Computing Krippendorff's Alpha-Reliability"), whose worked example is a test. All are None where they are
undefined, as when everybody always gives the same answer.
"""

import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Literal

import numpy as np
from statsmodels.stats import inter_rater

from hearten.evaluate.statistics import Array

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff(data: Array, level: Level = "nominal") -> float | None:
    """Alpha of (R, U) values, NaN where missing; units with fewer than two values do not count.

    1 is perfect agreement, 0 what chance gives; negative is systematic disagreement.
    """
    values = np.unique(data[~np.isnan(data)])
    together = coincidences(data, values)
    totals = together.sum(axis=1)
    pairable = float(totals.sum())
    apart = DISTANCES[level](values, totals)
    expected = float((np.outer(totals, totals) * apart).sum())
    if expected == 0:
        return None
    return 1 - (pairable - 1) * float((together * apart).sum()) / expected


def coincidences(data: Array, values: Array) -> Array:
    """(V, V) coincidence matrix: ordered pairs of values within units, weighted by 1 / (m − 1)."""
    matrix = np.zeros((len(values), len(values)))
    for column in data.T:
        given = column[~np.isnan(column)]
        if len(given) < 2:
            continue
        counts = (given[:, None] == values).sum(axis=0).astype(np.float64)
        matrix += (np.outer(counts, counts) - np.diag(counts)) / (len(given) - 1)
    return matrix


def _nominal(values: Array, _totals: Array) -> Array:
    return 1 - np.eye(len(values))


def _interval(values: Array, _totals: Array) -> Array:
    gaps: Array = values[:, None] - values
    return gaps**2


def _ordinal(_values: Array, totals: Array) -> Array:
    """(Σ_{g=c}^{k} n_g − (n_c + n_k) / 2)²: how many ratings lie between two ranks."""
    middle = np.cumsum(totals) - totals / 2
    gaps: Array = middle[:, None] - middle
    return gaps**2


DISTANCES: dict[Level, Callable[[Array, Array], Array]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
}


def cohen(first: Array, second: Array) -> float | None:
    """Cohen's kappa of two raters over the units that both answered, unweighted."""
    both = ~np.isnan(first) & ~np.isnan(second)
    one, two = first[both], second[both]
    values = np.unique(np.concatenate([one, two]))
    if len(values) < 2:
        return None
    table = ((one[:, None] == values)[:, :, None] & (two[:, None] == values)[:, None, :]).sum(axis=0)
    return _finite(inter_rater.cohens_kappa(table, return_results=False))


def mean_cohen(data: Array) -> float | None:
    """Mean of Cohen's kappa over all pairs of raters for whom it is defined."""
    found = [kappa for one, two in combinations(data, 2) if (kappa := cohen(one, two)) is not None]
    return float(np.mean(found)) if found else None


def fleiss(data: Array) -> tuple[float | None, int]:
    """(Fleiss's kappa, units used): it needs the same number of answers everywhere, so the commonest number
    of at least two is taken and other units are left out.
    """
    answers = (~np.isnan(data)).sum(axis=0)
    sizes = np.bincount(answers)
    sizes[:2] = 0
    if not sizes.any():
        return None, 0
    chosen = data[:, answers == sizes.argmax()]
    values = np.unique(chosen[~np.isnan(chosen)])
    table = (chosen[:, :, None] == values).sum(axis=0)  # (U, V)
    return (_finite(inter_rater.fleiss_kappa(table)) if len(values) > 1 else None), chosen.shape[1]


def observed(data: Array) -> float | None:
    """Share of pairs of answers to the same unit that are equal, units weighted alike."""
    shares = []
    for column in data.T:
        given = column[~np.isnan(column)]
        if len(given) > 1:
            shares.append(np.mean([one == two for one, two in combinations(given, 2)]))
    return float(np.mean(shares)) if shares else None


def words(kappa: float | None) -> str:
    """Landis and Koch's (1977) name for a kappa, which papers quote."""
    if kappa is None:
        return "undefined"
    names = ((0.0, "poor"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
    return next((name for limit, name in names if kappa <= limit), "almost perfect")


def _finite(value: float) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(value) if np.isfinite(value) else None
