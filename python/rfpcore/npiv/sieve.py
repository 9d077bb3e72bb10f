"""Sieve two-stage least squares."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import SplineTransformer

from .._arrays import Array
from .._options import integer, random_source, real
from ._data import Rows, Scales, split
from ._file import Document, FileNPIV, Tensors, tensor

__all__ = ["SieveIV"]


def _knots(n_knots: int, column: Array) -> Array | None:
    """Quantiles of a column; None where it has hardly more values than knots."""
    if len(np.unique(column)) <= n_knots:
        return None
    return np.unique(np.percentile(column, 100 * np.linspace(0, 1, n_knots)))


class _Basis:
    """Cubic B-splines of every column, and the products of those of each pair of columns."""

    def __init__(self, knots: Sequence[Array | None]) -> None:
        self.knots = knots
        self._splines = [
            None
            if places is None
            else SplineTransformer(len(places), degree=3, knots=places[:, None], extrapolation="linear").fit(
                places[:, None]
            )
            for places in knots
        ]

    @classmethod
    def of(cls, n_knots: int, points: Array) -> "_Basis":
        """Knots at the quantiles of points (n, d)."""
        return cls([_knots(n_knots, column) for column in points.T])

    def __call__(self, points: Array) -> Array:
        """(n, number of functions); a column with fewer values than knots enters as it is and squared."""
        columns = [
            np.hstack([points[:, [j]], points[:, [j]] ** 2])
            if spline is None
            else spline.transform(points[:, [j]])[:, 1:]
            for j, spline in enumerate(self._splines)
        ]
        products = [
            (one[:, :, None] * other[:, None, :]).reshape(len(points), -1)
            for one, other in combinations(columns, 2)
        ]
        return np.hstack([*columns, *products])


class SieveIV(FileNPIV):
    """Two-stage least squares on spline bases of inputs and instruments [1]_, with a small ridge.

    Cubic B-splines of every column with knots at quantiles, and the products of each pair of columns. The
    instruments' basis has twice as many knots. The number of knots is chosen by the held-out error of the
    second stage.

    Parameters
    ----------
    n_knots : sequence of int, default=(3, 4, 6)
        Knots of the structural basis to choose from.
    ridge : float, default=1e-4
        Penalty of both stages, times the number of rows.
    validation_fraction : float in (0, 1), default=0.2
        Share of the rows (whole groups) held out for the choice.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    n_knots_ : int

    References
    ----------
    .. [1] Newey and Powell (2003), "Instrumental variable estimation of nonparametric models", Econometrica.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import SieveIV
    >>> z, u = np.random.default_rng(0).standard_normal((2, 500))
    >>> x = z + u
    >>> model = SieveIV(random_state=0).fit(x, np.sin(x) + u, Z=z)
    >>> bool(abs(model.predict([[1.0]])[0] - np.sin(1.0)) < 0.3)
    True
    """

    def __init__(
        self,
        *,
        n_knots: Sequence[int] = (3, 4, 6),
        ridge: float = 1e-4,
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.n_knots = n_knots
        self.ridge = ridge
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    n_knots_: int

    def _fit(self, rows: Rows) -> None:
        candidates = [integer(n, f"n_knots[{i}]", 2, 1000) for i, n in enumerate(self.n_knots)]
        if not candidates:
            raise ValueError("n_knots is empty; at least one number of knots is needed")
        ridge = real(self.ridge, "ridge", "a positive number")
        if ridge <= 0:
            raise ValueError(f"ridge={ridge}; a positive number is needed")
        self._scales = Scales.of(rows)
        scaled = self._scales.apply(rows)
        parts = split(rows, self.validation_fraction, random_source(self.random_state))
        fitted, held = (scaled.take(part) for part in parts)
        errors = []
        for n_knots in candidates:
            first, stage_two, _ = _two_stages(fitted, n_knots, ridge)
            values = stage_two.predict(first(held.instruments))
            errors.append(np.average((held.y - values) ** 2, weights=held.weights))
        self.n_knots_ = candidates[int(np.argmin(errors))]
        _, stage_two, self._basis = _two_stages(scaled, self.n_knots_, ridge)
        self._coefficients, self._intercept = stage_two.coef_, float(stage_two.intercept_)

    def _predict(self, inputs: Array) -> Array:
        basis = self._basis(self._scales.inputs.transform(inputs))
        values = basis @ self._coefficients + self._intercept
        return np.asarray(self._scales.y_mean + self._scales.y_scale * values)

    def _describe(self, tensors: Tensors) -> Document:
        tensors["coefficients"] = self._coefficients
        splines = {str(j): knots for j, knots in enumerate(self._basis.knots) if knots is not None}
        tensors |= {f"knots.{j}": knots for j, knots in splines.items()}
        return {"n_knots": self.n_knots_, "intercept": self._intercept, "splines": list(splines)}

    def _restore(self, tensors: Tensors, learnt: Document) -> None:
        self.n_knots_ = integer(learnt["n_knots"], "n_knots_", 2, 1000)
        self._intercept = real(learnt["intercept"], "the intercept")
        n_inputs, splines = self.n_features_in_ + self.n_covariates_, learnt["splines"]
        self._basis = _Basis(
            [tensor(tensors, f"knots.{j}", None) if str(j) in splines else None for j in range(n_inputs)]
        )
        width = self._basis(np.zeros((1, n_inputs))).shape[1]
        self._coefficients = tensor(tensors, "coefficients", width)


def _two_stages(rows: Rows, n_knots: int, ridge: float) -> Any:
    """E[basis | instruments] as a function, the second stage, and the structural basis."""
    basis, of_instruments = _Basis.of(n_knots, rows.inputs), _Basis.of(2 * n_knots, rows.instruments)
    stage_one = Ridge(ridge * rows.n).fit(of_instruments(rows.instruments), basis(rows.inputs), rows.weights)

    def first(instruments: Array) -> Array:
        return np.asarray(stage_one.predict(of_instruments(instruments)))

    stage_two = Ridge(ridge * rows.n).fit(first(rows.instruments), rows.y, rows.weights)
    return first, stage_two, basis
