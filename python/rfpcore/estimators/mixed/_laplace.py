"""Outcomes that are no normal numbers: Laplace's approximation (Rasmussen and Williams 2006, 3.4 and 5.5.1).

With the mode u of the effects, g = d log p / d eta and W = -d^2 log p / d eta^2 there, and V = W^-1 + K: u =
K g, the working residual is V g = u + W^-1 g, and the posterior of the effects is that of normal outcomes
with this residual and noise W^-1. So everything else in this folder serves here as well.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit, gammaln, logit

from ... import _rfpcore
from ._components import EffectData, Floats, Structure, chain, values

FamilyName = Literal["logistic", "poisson"]

LEAST_WEIGHT = 1e-8
LARGEST_RATE = 50.0  # of a logarithm: beyond, a rate is no number of this world


class Slopes(NamedTuple):
    """Of rows' log-likelihoods in their linear predictors: value, first derivative, minus the second."""

    value: Floats
    first: Floats
    weight: Floats


def _logistic(y: Floats, eta: Floats) -> Slopes:
    p = expit(eta)
    return Slopes(y * eta - np.logaddexp(0.0, eta), y - p, p * (1 - p))


def _poisson(y: Floats, eta: Floats) -> Slopes:
    rate = np.exp(np.minimum(eta, LARGEST_RATE))
    return Slopes(y * eta - rate - gammaln(y + 1), y - rate, rate)


FAMILIES: dict[str, Callable[[Floats, Floats], Slopes]] = {"logistic": _logistic, "poisson": _poisson}


LINKS: dict[str, Callable[[float], float]] = {"logistic": lambda p: float(logit(p)), "poisson": math.log}


def level_of(family: FamilyName, y: Floats, weights: Floats | None) -> float:
    """The linear predictor of the mean outcome."""
    return LINKS[family](float(np.average(y, weights=weights)))


class Laplace(NamedTuple):
    """The log-likelihood, its derivatives in the linear predictors (N,) and the covariance's parameters."""

    log_likelihood: float
    of_eta: Floats
    of_parameters: Floats


@dataclass(frozen=True, eq=False)
class Mode:
    """The effects' mode at given variances, and the working model there.

    Attributes
    ----------
    effect : ndarray (N,)
    data : EffectData
        With the working weights W.
    working_residual : ndarray (N,)
        u + W^-1 g: its whitened form is g.
    """

    effect: Floats
    data: EffectData
    working_residual: Floats


@dataclass(frozen=True, eq=False)
class LaplaceModel:
    """Outcomes of clusters, whose linear predictors are given at each call.

    Attributes
    ----------
    structure : Structure
        With unit noise.
    data : EffectData
        Without weights.
    family : str
    y : ndarray (N,)
    weights : ndarray (N,) or None
        How often rows count.
    n_threads : int
    level : float
        What linear predictors are counted from.
    """

    structure: Structure
    data: EffectData
    family: FamilyName
    y: Floats
    weights: Floats | None
    n_threads: int
    level: float = 0.0

    @cached_property
    def covariance(self) -> _rfpcore.Covariance:
        """The effects' structure."""
        return self.structure.covariance(self.data)

    @cached_property
    def constant(self) -> float:
        """The log-likelihood's terms in y alone, which the kernel leaves out."""
        terms = -gammaln(self.y + 1) if self.family == "poisson" else np.zeros_like(self.y)
        return float(terms.sum() if self.weights is None else self.weights @ terms)

    def slopes(self, eta: Floats) -> Slopes:
        """Each row's, times its weight."""
        found = FAMILIES[self.family](self.y, eta + self.level)
        return found if self.weights is None else Slopes(*(self.weights * part for part in found))

    def likelihood(self, eta: Floats, u: Floats, start: Floats | None = None) -> tuple[Laplace, Floats]:
        """The log-likelihood at linear predictors and variances; the mode, whose search begins at `start`."""
        found = values(self.structure, u)
        of_clusters, mode, of_eta, gradient = self.covariance.laplace(
            np.ascontiguousarray(eta + self.level),
            self.y,
            self.family,
            found.matrices,
            found.smooth,
            self.weights,
            start,
            self.n_threads,
        )
        total = float(of_clusters.sum()) + self.constant
        return Laplace(total, of_eta, chain(self.structure, u, (0.0, *gradient))), mode

    def mode(self, eta: Floats, u: Floats) -> Mode:
        """Where the posterior of the effects is highest."""
        _, effect = self.likelihood(eta, u)
        slopes = self.slopes(eta + effect)
        weights = np.maximum(slopes.weight, LEAST_WEIGHT)
        return Mode(effect, self.data._replace(weights=weights), effect + slopes.first / weights)
