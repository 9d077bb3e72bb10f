"""What clusters' effects are like, for estimators whose population's function is their own affair."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._blas import one_blas_thread
from ..._scaling import Scaling
from ._components import Floats, Structure
from ._effects import ClusterEffects
from ._model import effects_of
from ._problem import MixedProblem, estimate
from ._rows import Grouping, StandardUnits, centres, effect_data

__all__ = ["ClusterPosterior", "EffectsPrior", "effects_prior"]


@dataclass(frozen=True, eq=False)
class EffectsPrior:
    """The covariance of clusters' effects: an intercept, slopes about the cluster's mean, a smooth function.

    Attributes
    ----------
    x_mean, x_scale : ndarray (d,)
        What standard units of the columns are.
    y_scale : float
        And of the residuals.
    parameters : ndarray (5,)
        Logarithms of the variances of intercepts, slopes and smooth functions, of the latter's length, and of
        the noise's variance, in standard units; the noise is that of a row of the mean weight.
    weight : float
        The mean weight of the fit's rows, which rows without a weight are taken to have.
    n_clusters : int
        Of how many it was estimated; 0 where a file does not say.
    """

    x_mean: Floats
    x_scale: Floats
    y_scale: float
    parameters: Floats
    weight: float = 1.0
    n_clusters: int = 0

    @property
    def _structure(self) -> Structure:
        return _structure(len(self.x_mean))

    @property
    def _scales(self) -> StandardUnits:
        return StandardUnits(Scaling(self.x_mean, self.x_scale), 0.0, self.y_scale)

    def posterior(
        self, labels: Array, codes: NDArray[np.intp], X: Array, residual: Array, weights: Any, n_threads: int
    ) -> "ClusterPosterior":
        """The effects of clusters given residuals of some of their rows.

        Parameters
        ----------
        labels : ndarray (C,)
        codes : ndarray (N,)
            Each row's cluster.
        X, residual : ndarray (N, d), (N,)
        weights : ndarray (N,) or None
        n_threads : int
        """
        if weights is not None:
            X, residual, codes, weights = _used(weights, X, residual, codes, weights)
        scales, order = self._scales, np.argsort(codes, kind="stable")
        r = scales.outcomes(residual)[order]
        own = None if weights is None else _positive(weights)[order] / self.weight
        found = effects_of(
            self._structure,
            self.parameters,
            Grouping(labels, codes, None, []),
            scales.features(X)[order],
            own,
            np.zeros(len(self.x_mean)),
            None,
            n_threads,
        )
        return ClusterPosterior(scales, replace(found, residual=r))


@dataclass(frozen=True, eq=False)
class ClusterPosterior:
    """Effects of clusters of which some rows are known."""

    _scales: StandardUnits
    _effects: ClusterEffects

    def effect(self, X: Array, codes: NDArray[np.intp]) -> Floats:
        """The posterior mean at rows of clusters, in the residuals' units; 0 at codes of -1."""
        found, known = np.zeros(len(X)), codes >= 0
        if known.any():
            found[known] = self._effects.at(self._scales.features(X[known]), codes[known], None, False)[0]
        return self._scales.y_scale * found


LEAST = 1e-9  # of the largest weight: what is far below it has a noise that is no number


def _used(weights: Array, *columns: Array) -> list[Array]:
    """Columns without the rows of weight 0, which are to be as if they were not there."""
    used = weights > 0
    return list(columns) if used.all() else [column[used] for column in columns]


def _positive(weights: Array) -> Floats:
    own = weights.astype(np.float64)
    return np.asarray(np.maximum(own, LEAST * own.max()))


def _structure(d: int) -> Structure:
    return Structure(True, tuple(range(d)), "shared", True, tuple(range(d)))


@one_blas_thread
def effects_prior(
    X: Array, residual: Array, offsets: NDArray[np.int64], weights: Any, n_threads: int
) -> EffectsPrior | None:
    """The prior of the largest likelihood, from residuals of rows sorted by cluster.

    Returns
    -------
    prior : EffectsPrior or None
        None where effects and noise cannot be told apart: of one cluster, or clusters of one row.
    """
    sizes, shares, own, unit = np.diff(offsets), None, None, 1.0
    if weights is not None:
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        X, residual, cluster, weights = _used(weights, X, residual, cluster, weights)
        sizes = np.bincount(cluster, minlength=len(sizes))
        offsets = np.r_[0, np.cumsum(sizes)]
        shares = weights.astype(np.float64) / weights.max()
    spread = float(np.sqrt(np.average(np.square(residual, dtype=np.float64), weights=shares)))
    if len(sizes) < 2 or sizes.max() < 2 or not 0 < spread < np.inf:
        return None
    scales = StandardUnits(Scaling.plain(X.astype(np.float64), shares), 0.0, spread)
    Z, r = scales.features(X), scales.outcomes(residual)
    structure, codes = _structure(X.shape[1]), np.repeat(np.arange(len(sizes)), sizes)
    if weights is not None:  # the search begins at a noise of order 1, for rows of order 1
        own = _positive(weights)
        unit = float(own.mean())
        own /= unit
    data = effect_data(structure, Z, codes, offsets, centres(Z, codes, len(sizes)), None, own)
    problem = MixedProblem(Z, r, data, structure, np.zeros(len(sizes), np.intp), 0, n_threads)
    found = estimate(problem, np.zeros_like(r))
    return EffectsPrior(scales.x.level, scales.x.spread, spread, found.parameters, unit, len(sizes))
