"""Scores: every estimate is a signed sum of weighted means, so that its influence function is known.

An estimate is sum_j sign_j * sum_i w_ij v_ij / sum_i w_ij. With nuisances held fixed, the influence of row i
is sum_j sign_j * w_ij (v_ij - mean_j) / sum_i w_ij.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array

Estimand = Literal["att", "ate"]
EstimationMethod = Literal["aipw", "regression", "ipw"]


class WeightedMean(NamedTuple):
    """One weighted mean: its sign, the weights (N,) and the values (N,)."""

    sign: float
    weight: Array
    value: Array


def terms(
    estimand: str,
    method: str,
    y: Array,
    treated: NDArray[np.bool_],
    weight: Array,
    m0: Array,
    m1: Array,
    p: Array,
) -> list[WeightedMean]:
    """The weighted means of a score, for outcome models m0, m1 and a propensity p, each (N,).

    The doubly robust ATT is that of Sant'Anna and Zhao (2020, section 2) with their normalised weights, which
    on outcomes in differences is their estimator; the ATE is the augmented inverse probability weighting of
    Robins, Rotnitzky and Zhao (1994) with each arm's weights normalised (Hajek). "regression" leaves the
    weights out, "ipw" the models.
    """
    one, none = treated.astype(np.float64), (~treated).astype(np.float64)
    if method == "ipw":
        m0 = m1 = np.zeros(len(y))
    if estimand == "att":
        result = [WeightedMean(1.0, weight * one, y - m0)]
        if method != "regression":
            result.append(WeightedMean(-1.0, weight * none * p / (1 - p), y - m0))
        return result
    result = [] if method == "ipw" else [WeightedMean(1.0, weight, m1 - m0)]
    if method != "regression":
        result += [
            WeightedMean(1.0, weight * one / p, y - m1),
            WeightedMean(-1.0, weight * none / (1 - p), y - m0),
        ]
    return result


def value(parts: Sequence[WeightedMean]) -> float:
    """The estimate; NaN where a mean has no weight."""
    total = 0.0
    for part in parts:
        weight = part.weight.sum()
        total += part.sign * float(part.weight @ part.value / weight) if weight > 0 else np.nan
    return total


def influence(parts: Sequence[WeightedMean], codes: NDArray[np.intp], n_clusters: int) -> Array:
    """Sum of the rows' influence in each cluster, (G,): it sums to 0, and estimates move by it."""
    rows = np.zeros(len(codes))
    for part in parts:
        weight = part.weight.sum()
        if weight == 0:
            return np.full(n_clusters, np.nan)
        rows += part.sign * part.weight * (part.value - part.weight @ part.value / weight) / weight
    return np.bincount(codes, rows, n_clusters)


def leave_one_out(parts: Sequence[WeightedMean], codes: NDArray[np.intp], n_clusters: int) -> Array:
    """The estimate without each cluster, nuisances held fixed, (G,)."""
    total = np.zeros(n_clusters)
    for part in parts:
        weight = np.bincount(codes, part.weight, n_clusters)
        moment = np.bincount(codes, part.weight * part.value, n_clusters)
        with np.errstate(invalid="ignore", divide="ignore"):
            total += part.sign * (moment.sum() - moment) / (weight.sum() - weight)
    return total
