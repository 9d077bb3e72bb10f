"""Predictions at rows with their variances, and outcomes' means and intervals from these."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, stdtrit

from ..._arrays import require_finite
from ._components import Floats
from ._laplace import FamilyName

Variances = Literal["none", "of means", "of outcomes", "all"]
"""Which are wanted: that on which outcomes' means depend; of the clusters' effects and the noise; or of the
population's function too.
"""

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
WIDE = 4.0  # a variance beyond which a logistic function is steep between two nodes
LOGITS = np.arange(-36.0, 37.0)
LOGIT_WEIGHTS = expit(LOGITS) * expit(-LOGITS)


def mean_outcome(family: FamilyName | None, eta: Floats, variance: Floats) -> Floats:
    """The mean of the inverse link over a normal linear predictor."""
    if family is None:
        return eta
    if family == "poisson":
        with np.errstate(over="ignore"):
            found = np.exp(eta + variance / 2)
        require_finite(found, "the mean exp(f + variance / 2)")
        return np.asarray(found)
    if family == "logistic":
        return _mean_probability(eta, variance)
    raise AssertionError(family)


def _mean_probability(eta: Floats, variance: Floats) -> Floats:
    """The mean of a probability over a normal logit.

    By Gauss and Hermite's nodes, or where it is wide as the mean of a normal probability over a logistic
    variable, which is smooth there.
    """
    at = eta[:, None] + np.sqrt(variance)[:, None] * NODES
    found = np.asarray(expit(at) @ NODE_WEIGHTS / NODE_WEIGHTS.sum())
    wide = variance > WIDE
    if wide.any():
        away = (eta[wide, None] - LOGITS) / np.sqrt(variance[wide])[:, None]
        found[wide] = ndtr(away) @ LOGIT_WEIGHTS / LOGIT_WEIGHTS.sum()
    return found


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions at rows, and their uncertainty in the data's units.

    Attributes
    ----------
    mean : ndarray (N,)
    of_function, of_effect, noise : ndarray (N,)
        Variances of the population's function, of the cluster's effect, of a new outcome around both; zeros
        unless they were wanted.
    quantile : callable
        Of errors of new outcomes in standard deviations, by level and whether the row's cluster is known.
    is_known : ndarray (N,) of bool
    family : str or None
        Of outcomes that are no normal numbers: all else is on the scale of its link.
    """

    mean: Floats
    of_function: Floats
    of_effect: Floats
    noise: Floats
    quantile: Any
    is_known: NDArray[np.bool_]

    @property
    def std(self) -> Floats:
        """Of what is predicted: with groups the cluster's function, else the population's.

        Of a rate that of a lognormal number; of a probability none is given.
        """
        variance = self.of_function + self.of_effect * self.is_grouped
        if self.family == "poisson":
            return self.outcome * np.sqrt(np.expm1(variance))
        return np.sqrt(variance)

    is_grouped: bool = False
    family: FamilyName | None = None
    degrees: int = 1

    @property
    def outcome(self) -> Floats:
        """The mean of outcomes: over clusters where none is known, else over what is not known of them."""
        return mean_outcome(self.family, self.mean, self.of_effect * (self.family is not None))

    def interval(self, level: float) -> Floats:
        """Of new outcomes (N, 2)."""
        # Variances are those of residuals left out, with the error of the function in them.
        half = np.sqrt(self.of_effect + self.noise)
        known, new = self.quantile(level, True), self.quantile(level, False)
        half = half * np.where(self.is_known, known, new)
        return np.column_stack([self.mean - half, self.mean + half])

    def band(self, level: float) -> Floats:
        """Of the population's function (N, 2)."""
        half = float(stdtrit(self.degrees, (1 + level) / 2)) * np.sqrt(self.of_function)
        ends = (
            mean_outcome(self.family, self.mean + sign * half, self.of_effect * (self.family is not None))
            for sign in (-1, 1)
        )
        return np.column_stack(list(ends))
