"""Sieve two-stage least squares."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import SplineTransformer

from .._arrays import Array
from .._file_parts import Document, Tensors, tensor
from .._limits import Limits, auto_or_bool, randomness, wholes
from .._options import boolean, fraction, integer, positive, real
from ._background import interruptible
from ._data import InstrumentedRows, Scales
from ._flexible import FlexibleNPIV, LinearPart

__all__ = ["SieveIV"]

FEW = 3
"""Columns up to which products are tried by default: those of more are too many functions."""

DRAWS = 2
"""How often the rows are parted: one draw alone decides between numbers of knots by chance."""


def _knots(n_knots: int, column: Array) -> Array | None:
    """Quantiles of a column; None where it has hardly more values than knots."""
    if len(np.unique(column)) <= n_knots:
        return None
    return np.unique(np.percentile(column, 100 * np.linspace(0, 1, n_knots)))


class _Basis:
    """Cubic B-splines of every column and, with interactions, the products of those of each pair."""

    def __init__(self, knots: Sequence[Array | None], interactions: bool) -> None:
        self.knots = knots
        self.interactions = interactions
        self._splines = [
            None
            if places is None
            else SplineTransformer(len(places), degree=3, knots=places[:, None], extrapolation="linear").fit(
                places[:, None]
            )
            for places in knots
        ]

    @classmethod
    def of(cls, n_knots: int, interactions: bool, points: Array) -> "_Basis":
        """Knots at the quantiles of points (n, d)."""
        return cls([_knots(n_knots, column) for column in points.T], interactions)

    def __call__(self, points: Array) -> Array:
        """(n, number of functions); a column with fewer values than knots enters as it is and squared."""
        columns = [
            np.hstack([points[:, [j]], points[:, [j]] ** 2])
            if spline is None
            else spline.transform(points[:, [j]])[:, 1:]
            for j, spline in enumerate(self._splines)
        ]
        if not self.interactions:
            return np.hstack(columns)
        products = [
            (one[:, :, None] * other[:, None, :]).reshape(len(points), -1)
            for one, other in combinations(columns, 2)
        ]
        return np.hstack([*columns, *products])


class SieveIV(FlexibleNPIV):
    """Two-stage least squares on spline bases of inputs and instruments [1]_, with a small ridge.

    Cubic B-splines of every column with knots at quantiles and, where wanted, the products of each pair. The
    instruments' basis has twice as many knots. The number of knots, and whether there are products, is
    chosen by the error of the second stage on rows left out, each in its turn.

    Parameters
    ----------
    n_knots : sequence of int, default=(3, 4, 6)
        Knots of the structural basis to choose from.
    interactions : {"auto"} or bool, default="auto"
        Whether the products of columns are in the bases; without, h is a sum of functions of one column
        each. "auto": as the error on rows left out says, but none with more than three columns of X and
        covariates.
    penalty : float, default=1e-4
        Ridge of both stages, times the number of rows.
    validation_fraction : float in (0, 1), default=0.2
        Share of the rows (whole groups) left out at a time for the choice: 1 / 0.2 = 5 parts, drawn twice.
    linear_part : {"auto"} or bool, default="auto"
        Whether to take two-stage least squares off the outcome first, and add that of what is left at the
        end: neither is penalised, so that the slope in X is not lost beside covariates. "auto": where
        covariates explain most of what a second stage sees of X, for a single X of two values, and for
        instruments of two (with d columns of X: d + 1) values, which tell no more than a line.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    linear_part_ : bool
        Whether there is a linear part.
    n_knots_ : int
    interactions_ : bool

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
        interactions: Literal["auto"] | bool = "auto",
        penalty: float = 1e-4,
        validation_fraction: float = 0.2,
        linear_part: LinearPart = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_knots = n_knots
        self.interactions = interactions
        self.penalty = penalty
        self.validation_fraction = validation_fraction
        self.linear_part = linear_part
        self.random_state = random_state

    n_knots_: int
    interactions_: bool

    _limits: ClassVar[Limits] = {
        "n_knots": wholes(2, 1000),
        "interactions": auto_or_bool,
        "penalty": positive,
        "validation_fraction": fraction,
        "linear_part": auto_or_bool,
        "random_state": randomness,
    }

    def _learn(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        self._scales = Scales.of(rows)
        scaled = self._scales.apply(rows)
        folds = _folds(rows, given["validation_fraction"], given["random_state"])
        tried = _products(given["interactions"], scaled.inputs.shape[1])
        bases = list(product(given["n_knots"], tried))
        errors = [_left_out(scaled, folds, *basis, given["penalty"]) for basis in bases]
        self.n_knots_, self.interactions_ = bases[int(np.argmin(errors))]
        _, stage_two, self._basis = interruptible(
            _two_stages, scaled, self.n_knots_, self.interactions_, given["penalty"]
        )
        self._coefficients, self._intercept = stage_two.coef_, float(stage_two.intercept_)

    def _flexible(self, inputs: Array) -> Array:
        basis = self._basis(self._scales.inputs.apply(inputs))
        values = basis @ self._coefficients + self._intercept
        return self._scales.outcomes(values)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors["coefficients"] = self._coefficients
        splines = {str(j): knots for j, knots in enumerate(self._basis.knots) if knots is not None}
        tensors |= {f"knots.{j}": knots for j, knots in splines.items()}
        return {
            "n_knots": self.n_knots_,
            "intercept": self._intercept,
            "splines": list(splines),
            "interactions": self.interactions_,
        }

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        self.n_knots_ = integer(learnt["n_knots"], "n_knots_", 2, 1000)
        self._intercept = real(learnt["intercept"], "the intercept")
        n_inputs, splines = self.n_features_in_ + self.n_covariates_, learnt["splines"]
        # Files from before there was a choice have products.
        self.interactions_ = boolean(learnt.get("interactions", True), "interactions_")
        self._basis = _Basis(
            [tensor(tensors, f"knots.{j}", None) if str(j) in splines else None for j in range(n_inputs)],
            self.interactions_,
        )
        width = self._basis(np.zeros((1, n_inputs))).shape[1]
        self._coefficients = tensor(tensors, "coefficients", width)


def _products(wanted: bool | None, n_columns: int) -> tuple[bool, ...]:
    """Whether the bases have products: what is to be tried."""
    if wanted is not None:
        return (wanted,)
    return (True, False) if 1 < n_columns <= FEW else (False,)


def _folds(rows: InstrumentedRows, share: float, random: np.random.RandomState) -> list[NDArray[np.intp]]:
    """The part (0, 1, …) of each row, whole groups in one, drawn `DRAWS` times."""
    units = np.arange(rows.n) if rows.codes is None else rows.codes
    n_units = int(units.max()) + 1
    if n_units < 2:
        raise ValueError(f"groups has {n_units} group; at least 2 are needed to hold one out")
    n_parts = min(max(2, round(1 / share)), n_units)
    parts = np.arange(n_units) % n_parts
    return [random.permutation(parts)[units] for _ in range(DRAWS)]


def _left_out(
    rows: InstrumentedRows, folds: list[NDArray[np.intp]], n_knots: int, interactions: bool, ridge: float
) -> float:
    """Mean squared error in stage two of each row, fitted without the rows of its part, over all draws."""
    squares = np.zeros(rows.n)
    for parts in folds:
        for part in range(int(parts.max()) + 1):
            held = np.flatnonzero(parts == part)
            others = rows.take(np.flatnonzero(parts != part))
            first, stage_two, _ = interruptible(_two_stages, others, n_knots, interactions, ridge)
            squares[held] += (rows.y[held] - stage_two.predict(first(rows.instruments[held]))) ** 2
    return float(np.average(squares, weights=rows.weights))


def _two_stages(rows: InstrumentedRows, n_knots: int, interactions: bool, ridge: float) -> Any:
    """E[basis | instruments] as a function, the second stage, and the structural basis."""
    basis = _Basis.of(n_knots, interactions, rows.inputs)
    of_instruments = _Basis.of(2 * n_knots, interactions, rows.instruments)
    stage_one = Ridge(ridge * rows.n).fit(of_instruments(rows.instruments), basis(rows.inputs), rows.weights)

    def first(instruments: Array) -> Array:
        return np.asarray(stage_one.predict(of_instruments(instruments)))

    stage_two = Ridge(ridge * rows.n).fit(first(rows.instruments), rows.y, rows.weights)
    return first, stage_two, basis
