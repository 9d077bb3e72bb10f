"""Least squares of an outcome on an intercept, covariates and a treatment, of which the treatment matters."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._scaling import EPS, REDUNDANT, Basis, basis_of, centred
from ._absorbed import FixedEffects

NEAR = 1e-4  # of a direction's square outside a cluster, below which it is worked out from those rows


@dataclass(frozen=True, eq=False)
class Partialled:
    """The regression in an orthonormal basis, so that units and levels of the columns do not matter.

    Attributes
    ----------
    vectors : ndarray (N, K)
        Basis of the intercept and the covariates, then of what the treatment adds to them.
    y : ndarray (N,)
        The outcome, scaled, less the covariates' part.
    unit : float
        Of coefficients and errors here, in those of the data.
    noise : float
        An error below this, here, is rounding.
    codes : ndarray (N,) of int
        The cluster of each row.
    n_clusters : int
    """

    vectors: Array
    y: Array
    unit: float
    noise: float
    codes: NDArray[np.intp]
    n_clusters: int

    @property
    def d(self) -> Array:
        """(N,) the treatment less the covariates' part, of length 1."""
        return np.asarray(self.vectors[:, -1])

    @property
    def estimate(self) -> float:
        """The coefficient of the treatment."""
        return float(self.d @ self.y)

    @property
    def correction(self) -> float:
        """Stata's factor of CR1: G / (G - 1) * (N - 1) / (N - K)."""
        g, (n, k) = self.n_clusters, self.vectors.shape
        return float(g / (g - 1) * (n - 1) / (n - k))

    @cached_property
    def rows(self) -> list[NDArray[np.intp]]:
        """The rows of each cluster."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.codes, minlength=self.n_clusters))[:-1])

    def by_cluster(self, rows: Array) -> Array:
        """Sums of rows (N, ...) in each cluster."""
        return np.stack([rows[own].sum(axis=0) for own in self.rows])

    def scores(self) -> Array:
        """(G,) what each cluster's residuals add to the estimate; they sum to 0."""
        return self.by_cluster(self.d * (self.y - self.estimate * self.d))

    def leverage(self) -> Array:
        """(G,) share of each cluster in what varies in the treatment beyond the covariates."""
        return self.by_cluster(self.d**2)

    @cached_property
    def rests_on(self) -> NDArray[np.bool_]:
        """(G,) whether the coefficient has no value without the cluster."""
        found = np.zeros(self.n_clusters, bool)
        # A direction can lie inside a cluster only if the squares of all directions there sum to 1.
        for g in np.flatnonzero(self.by_cluster((self.vectors**2).sum(axis=1)) > 1 - NEAR):
            found[g] = np.isnan(self._without_one(self.rows[g]))
        return found

    def without(self) -> Array:
        """(G,) the coefficient without each cluster; NaN where there is none.

        Where other columns become redundant, the normal equations' generalized inverse gives the coefficient
        as dropping them does.
        """
        return np.array([self._without_one(own) for own in self.rows])

    def _without_one(self, own: NDArray[np.intp]) -> float:
        """From the normal equations I - W'W of the cluster's rows W, by their singular vectors.

        A direction that is nearly all inside the cluster is worked out from the rows outside.
        """
        right = -self.vectors[own].T @ self.y[own]
        right[-1] += self.estimate
        _, s, across = np.linalg.svd(self.vectors[own], full_matrices=False)
        near = 1 - s**2 < NEAR
        far, inside = across[~near], s[~near] ** 2
        value = right[-1] + float(far[:, -1] @ ((far @ right) * inside / (1 - inside)))
        if not near.any():
            return float(value)
        value -= float(across[near, -1] @ (across[near] @ right))
        outside = self.vectors @ across[near].T
        outside[own] = 0.0
        along, s, turned = np.linalg.svd(outside, full_matrices=False)
        lost, treatment = s <= REDUNDANT, (turned @ across[near])[:, -1]
        if (np.abs(treatment[lost]) > np.sqrt(REDUNDANT)).any():
            return np.nan
        parts = (along[:, ~lost].T @ self.y) / s[~lost]
        return float(value + treatment[~lost] @ parts)


def partialled(
    X: Array,
    d: Array,
    y: Array,
    codes: NDArray[np.intp],
    n_clusters: int,
    within: FixedEffects | None = None,
) -> tuple[Partialled, list[int]]:
    """The regression, and the columns of X that are of no use to it: they say nothing new.

    With `within`, weighted, and of what is left of all columns when groups' means are taken off. ValueError
    where the treatment says nothing new, or no row is left for the residuals.
    """
    root = None if within is None else within.root
    basis = basis_of(np.column_stack([X, d]), within, root)
    if not basis.kept or basis.kept[-1] != X.shape[1]:
        what = "covariates" if within is None else "covariates and the fixed effects"
        raise ValueError(f"the treatment is a linear function of the {what}: its coefficient has no value")
    n, k = basis.vectors.shape
    if n <= k:
        raise ValueError(
            f"there are {n} rows for {k} coefficients (intercept, covariates and treatment); least squares "
            "needs more rows than that"
        )
    values, exponent, level = centred(y)
    rest = values if within is None else within(values)
    for _ in range(2):  # the second time takes off what rounding left
        rest = rest - basis.vectors[:, :-1] @ (basis.vectors[:, :-1].T @ rest)
    noise = 8 * EPS * np.sqrt(n) * float(np.abs(values).max() + np.abs(level))
    if root is not None:
        noise *= float(root.max())
    model = Partialled(basis.vectors, rest, _unit(basis, int(exponent)), noise, codes, n_clusters)
    dropped = sorted(set(range(X.shape[1])) - set(basis.kept))
    return model, dropped


def _unit(basis: Basis, exponent: int) -> float:
    """Units of y over units of the treatment, a number that a double can hold."""
    with np.errstate(over="ignore", under="ignore"):
        unit = float(np.ldexp(1 / basis.length, exponent - basis.exponent))
    if not np.finfo(np.float64).tiny < unit < np.finfo(np.float64).max / 1e16:
        raise ValueError(
            f"y over the treatment is of order 2**{exponent - basis.exponent}, beyond what numbers can hold; "
            "give them in other units"
        )
    return unit
