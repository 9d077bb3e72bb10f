"""What all estimators share: `fit` checks and hands over rows, `predict` checks and asks back."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._arrays import Array, require_length
from .._atomic import all_or_nothing
from .._frames import AlignedScore, require_aligned
from .._limits import Limited
from ._data import InstrumentedRows, check_rows, columns, require_size
from ._file import SavedNPIV
from ._identify import require_identified
from ._names import Names, names_of, require_names
from ._strength import InstrumentStrength, instrument_strength

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseNPIV(SavedNPIV, Limited, AlignedScore, RegressorMixin, BaseEstimator):
    """An estimator of h in E[Y - h(X, W) | Z, W] = 0: endogenous X, instruments Z, covariates W."""

    n_features_in_: int
    n_covariates_: int
    instrument_strength_: InstrumentStrength
    _names: Names = None
    """Of the columns of X, and of the covariates: a frame's."""
    _covariate_names: Names = None

    @all_or_nothing
    def fit(
        self, X: Any, y: Any, Z: Any, covariates: Any = None, groups: Any = None, sample_weight: Any = None
    ) -> "Self":
        """Estimate the structural function.

        Parameters
        ----------
        X : array or frame (n, d) or (n,)
            Endogenous variables.
        y : array (n,)
            Outcome.
        Z : array or frame (n, q) or (n,)
            Instruments. Z equal to X is allowed: then this is ordinary regression, and a warning says so.
        covariates : array or frame (n, c) or (n,), optional
            Exogenous variables: they enter the structural function and serve as their own instruments.
        groups : array (n,), optional
            Clusters; whole ones are held out and resampled.
        sample_weight : array (n,), optional
            Weights of the rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work; the message says what was given and what is needed. So where no
            instrument is left beyond the covariates.

        Warns
        -----
        InstrumentWarning
            If Z equals X or holds a column of it, if a column of Z is given by the covariates, and where the
            instruments are weak or fewer than the columns of X; of `DeepFeatureIV` also where its second
            stage predicts rows that it has not seen worse than a linear one does.
        """
        rows = check_rows(X, y, Z, covariates, groups, sample_weight)
        given = self._checked()
        require_identified(rows)
        self.instrument_strength_ = instrument_strength(rows)
        self.instrument_strength_.warn()
        self._fit(rows, given)
        self._names, self._covariate_names = names_of(X), names_of(covariates)
        self.n_covariates_ = rows.n_covariates
        self.n_features_in_ = rows.inputs.shape[1] - rows.n_covariates
        return self

    def predict(self, X: Any, covariates: Any = None) -> Array:
        """The structural function.

        Parameters
        ----------
        X : array or frame (n, d) or (n,)
            Where this and the X of `fit` are frames, their columns have to be the same, in one order.
        covariates : array or frame (n, c) or (n,)
            Needed if, and only if, `fit` had covariates. As X.

        Returns
        -------
        h : ndarray (n,)
        """
        check_is_fitted(self)
        return self._at(self._inputs(X, covariates))

    def _at(self, inputs: Array) -> Array:
        """The structural function at checked inputs; ValueError where it overflows."""
        with np.errstate(all="ignore"):
            h = self._predict(inputs)
        bad = np.flatnonzero(~np.isfinite(h))
        if bad.size:
            raise ValueError(
                f"the structural function is not finite in {bad.size} of {len(h)} rows, the first {bad[0]}, "
                f"which holds values up to {np.abs(inputs[bad[0]]).max():.3g}: too far from those of fit"
            )
        return h

    def _inputs(self, X: Any, covariates: Any) -> Array:
        """Endogenous variables and covariates side by side, (n, d + c)."""
        require_aligned(X=X, covariates=covariates)
        require_names(X, "X", self._names)
        require_names(covariates, "covariates", self._covariate_names)
        inputs = columns(X, "X")
        _require_columns(inputs, "X", self.n_features_in_)
        require_size(inputs, "X", least=0.0)
        if covariates is None:
            if self.n_covariates_:
                raise ValueError(f"covariates are None; {self.n_covariates_} columns are needed, as in fit")
            return inputs
        controls = columns(covariates, "covariates")
        require_length(controls, "covariates", len(inputs))
        _require_columns(controls, "covariates", self.n_covariates_)
        require_size(controls, "covariates", least=0.0)
        return np.hstack([inputs, controls])

    def _fit(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        """Learn from checked rows, with checked parameters."""
        raise NotImplementedError

    def _predict(self, inputs: Array) -> Array:
        """The structural function at checked inputs (n, d + c)."""
        raise NotImplementedError


def _require_columns(array: Array, name: str, needed: int) -> None:
    if array.shape[1] != needed:
        raise ValueError(f"{name} has {array.shape[1]} columns; fit had {needed}")
