"""Linear two-stage least squares, by linearmodels."""

from typing import Any

import numpy as np

from .._arrays import F64, Array
from .._file_parts import Document, Tensors, listed, tensor, text
from .._scaling import Scaling, basis_of, named, standardized
from .._warn import warn
from ..exceptions import InstrumentWarning
from ._base import BaseNPIV
from ._data import InstrumentedRows

__all__ = ["TwoStageLeastSquares"]


class TwoStageLeastSquares(BaseNPIV):
    """Linear two-stage least squares: the baseline, by `linearmodels.iv.IV2SLS`.

    Attributes
    ----------
    names_, coefficients_, covariance_ : list of str, ndarrays (K,) and (K, K)
        Of the coefficients: what there is of `results_` in a file.
    results_ : linearmodels.iv.results.IVResults
        Coefficients ("const", covariates "w0", …, endogenous "x0", …) with heteroskedasticity-robust standard
        errors, clustered where `fit` had groups. Columns are standardised inside, so that units and levels do
        not matter, and those that are linear in others are left out with an `InstrumentWarning`; coefficients
        are of the columns as given.

    Raises
    ------
    ImportError
        If the package `linearmodels` is not installed; the extra `rfpcore[iv]` installs it.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import TwoStageLeastSquares
    >>> z, u = np.random.default_rng(0).standard_normal((2, 1000))
    >>> x = z + u
    >>> model = TwoStageLeastSquares().fit(x, 2 * x + u, Z=z)
    >>> bool(abs(model.predict([[1.0]])[0] - 2) < 0.2)  # a regression has 2.5
    True
    """

    results_: Any
    names_: list[str]
    coefficients_: Array
    covariance_: Array

    def _fit(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        try:
            from ._standardised_iv import StandardisedIV
        except ImportError as error:
            raise ImportError(
                "TwoStageLeastSquares needs the package linearmodels: pip install 'rfpcore[iv]'"
            ) from error

        n_endogenous = rows.inputs.shape[1] - rows.n_covariates
        n_instruments = rows.instruments.shape[1] - rows.n_covariates
        x, w = rows.inputs[:, :n_endogenous], rows.inputs[:, n_endogenous:]
        z = rows.instruments[:, :n_instruments]
        new_w, new_z = _useful(w, x, z)
        model = StandardisedIV(
            rows.y,
            _frame(w, new_w, "w").assign(const=1.0)[["const", *(f"w{i}" for i in new_w)]],
            _frame(x, list(range(n_endogenous)), "x"),
            _frame(z, new_z, "z"),
            weights=rows.weights,
        )
        model.units = Scaling.plain(np.column_stack([w[:, new_w], x]))
        n_groups = 0 if rows.codes is None else len(np.unique(rows.codes))
        if n_groups == 1:
            raise ValueError("groups has 1 group; at least 2 are needed for clustered standard errors")
        clusters: dict[str, Any] = (
            {} if rows.codes is None else {"cov_type": "clustered", "clusters": rows.codes}
        )
        self.results_ = model.fit(**clusters)
        if not model.converted:
            raise RuntimeError("this version of linearmodels does not report results as rfpcore expects")
        self.names_ = [str(name) for name in self.results_.params.index]
        self.coefficients_ = self.results_.params.to_numpy(np.float64)
        self.covariance_ = self.results_.cov.to_numpy(np.float64)

    def _predict(self, inputs: Array) -> Array:
        n_covariates = self.n_covariates_
        n_endogenous = inputs.shape[1] - n_covariates
        names = [f"x{i}" for i in range(n_endogenous)] + [f"w{i}" for i in range(n_covariates)]
        found = dict(zip(self.names_, self.coefficients_, strict=True))
        return np.asarray(found["const"] + inputs @ np.array([found.get(name, 0.0) for name in names]))

    def __getattr__(self, name: str) -> Any:
        if name == "results_" and "names_" in vars(self):
            raise AttributeError(
                "results_ is an object of linearmodels, which a file does not hold; it has names_, "
                "coefficients_ and covariance_: fit again for the rest"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {"coefficients": self.coefficients_, "covariance": self.covariance_}
        return {"names": self.names_}

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        self.names_ = [text(name, "a name") for name in listed(learnt, "names")]
        known = {"const", *(f"x{i}" for i in range(self.n_features_in_))}
        if not known <= set(self.names_) <= known | {f"w{i}" for i in range(self.n_covariates_)}:
            raise ValueError(f"the coefficients are of {self.names_}; the data had other columns")
        k = len(self.names_)
        self.coefficients_ = tensor(tensors, "coefficients", k, dtype=F64)
        self.covariance_ = tensor(tensors, "covariance", k, k, nan=True, dtype=F64)


def _frame(values: Array, chosen: list[int], letter: str) -> Any:
    import pandas as pd

    return pd.DataFrame(standardized(values[:, chosen]), columns=[f"{letter}{i}" for i in chosen])


def _useful(w: Array, x: Array, z: Array) -> tuple[list[int], list[int]]:
    """Covariates and instruments that are not linear in what comes before; ValueError if too few are left."""
    new_w, new_x = _new_columns(w, x)
    new_z = _new_columns(w, z)[1]
    if len(new_x) < x.shape[1]:
        gone = min(set(range(x.shape[1])) - set(new_x))
        raise ValueError(
            f"column {gone} of X is a linear function of the constant, covariates and columns before"
        )
    if len(new_z) < x.shape[1]:
        raise ValueError(
            f"{len(new_z)} of {z.shape[1]} instruments say anything beyond the constant and the covariates, "
            f"but X has {x.shape[1]} columns: as many are needed"
        )
    _warn_of_redundant(new_w, w.shape[1], "covariates")
    _warn_of_redundant(new_z, z.shape[1], "Z")
    return new_w, new_z


def _new_columns(first: Array, then: Array) -> tuple[list[int], list[int]]:
    """Columns of either that are no linear functions of the constant and those before."""
    kept = basis_of(np.column_stack([first, then])).kept
    n = first.shape[1]
    return [i for i in kept if i < n], [i - n for i in kept if i >= n]


def _warn_of_redundant(kept: list[int], n: int, name: str) -> None:
    gone = sorted(set(range(n)) - set(kept))
    if gone:
        warn(
            f"left out of {name}: column{'s' if len(gone) > 1 else ''} {named(gone)}, linear in the constant "
            "(which is added), the covariates and the columns before",
            InstrumentWarning,
        )
