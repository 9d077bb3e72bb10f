"""How far outcomes lie from predictions, in standard deviations of the model: by clusters left out."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ._components import Floats
from ._components import values as values_of
from ._problem import MixedProblem

GRID = np.linspace(0.0, 1.0, 201)
MOST = 0.9999  # of a level that the normal distribution is asked for
SHRINK = 30.0  # rows' worth of the normal distribution that is mixed in, per cluster ten


@dataclass(frozen=True, eq=False)
class Calibration:
    """Quantiles of |error| / standard deviation, at `GRID`.

    Attributes
    ----------
    new : ndarray (201,)
        Rows of clusters of which nothing is known.
    known : ndarray (201,)
        Rows of clusters of which others are observed.
    """

    new: Floats
    known: Floats

    @classmethod
    def normal(cls) -> "Calibration":
        """That of the normal distribution."""
        found = ndtri((1 + np.minimum(GRID, MOST)) / 2)
        return cls(found, found)

    def quantile(self, level: float, known: bool) -> float:
        """Standard deviations within which a share `level` of the errors lies."""
        return float(np.interp(level, GRID, self.known if known else self.new))


def calibrate(
    problem: MixedProblem, parameters: Floats, of_new: Floats, of_known: Floats, prior_variance: Floats
) -> Calibration:
    """From residuals of clusters left out, of the problem's sample.

    Those of rows of which no other of the cluster is known count with the variance of an effect not seen yet;
    the others less what the rest of the cluster says of them.
    """
    rows, effects, covariance = problem.sample
    found = values_of(problem.structure, parameters)
    factors = found.factors(covariance, problem.n_threads)
    r, sizes = of_known[rows], np.diff(effects.offsets)
    within = np.arange(len(r)) - np.repeat(effects.offsets[:-1], sizes)
    units = np.zeros((len(r), int(sizes.max()) + 1))
    units[np.arange(len(r)), within] = 1.0
    units[:, -1] = r
    solved = factors.solve(units, problem.n_threads)
    inverse, weighted = solved[np.arange(len(r)), within], solved[:, -1]
    known = weighted / np.sqrt(inverse)
    noise = found.noise / (1.0 if effects.weights is None else effects.weights)
    new = of_new[rows] / np.sqrt(prior_variance[rows] + noise)
    share = np.repeat(1.0 / sizes, sizes)
    several = np.repeat(sizes > 1, sizes)
    return Calibration(
        _quantiles(new, share),
        _quantiles(known[several], share[several]) if several.any() else _quantiles(known, share),
    )


def _quantiles(z: Floats, share: Floats) -> Floats:
    """Of |z|, each cluster counting once."""
    order = np.argsort(np.abs(z))
    size, weight = np.abs(z)[order], share[order]
    position = (np.cumsum(weight) - weight / 2) / weight.sum()
    empirical = np.interp(GRID, position, size)
    normal = Calibration.normal().new
    n_clusters = weight.sum()
    return np.asarray((n_clusters * empirical + SHRINK * normal) / (n_clusters + SHRINK))
