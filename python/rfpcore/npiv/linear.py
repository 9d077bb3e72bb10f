"""Linear two-stage least squares, by linearmodels."""

from typing import Any

import numpy as np

from .._arrays import Array
from ._base import BaseNPIV
from ._data import Rows

__all__ = ["TwoStageLeastSquares"]


class TwoStageLeastSquares(BaseNPIV):
    """Linear two-stage least squares: the baseline, by `linearmodels.iv.IV2SLS`.

    Attributes
    ----------
    results_ : linearmodels.iv.results.IVResults
        Coefficients ("const", covariates "w0", …, endogenous "x0", …) with heteroskedasticity-robust standard
        errors, clustered where `fit` had groups.

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

    def _fit(self, rows: Rows) -> None:
        try:
            from linearmodels.iv import IV2SLS
        except ImportError as error:
            raise ImportError(
                "TwoStageLeastSquares needs the package linearmodels: pip install 'rfpcore[iv]'"
            ) from error
        import pandas as pd

        n_endogenous = rows.inputs.shape[1] - rows.n_covariates
        n_instruments = rows.instruments.shape[1] - rows.n_covariates

        def frame(values: Array, letter: str) -> Any:
            return pd.DataFrame(values, columns=[f"{letter}{i}" for i in range(values.shape[1])])

        exogenous = frame(rows.inputs[:, n_endogenous:], "w")
        exogenous.insert(0, "const", 1.0)
        endogenous, instruments = rows.inputs[:, :n_endogenous], rows.instruments[:, :n_instruments]
        model = IV2SLS(
            rows.y, exogenous, frame(endogenous, "x"), frame(instruments, "z"), weights=rows.weights
        )
        clusters: dict[str, Any] = (
            {} if rows.codes is None else {"cov_type": "clustered", "clusters": rows.codes}
        )
        self.results_ = model.fit(**clusters)

    def _predict(self, inputs: Array) -> Array:
        n_covariates = self.n_covariates_
        n_endogenous = inputs.shape[1] - n_covariates
        names = [f"x{i}" for i in range(n_endogenous)] + [f"w{i}" for i in range(n_covariates)]
        coefficients = self.results_.params
        return np.asarray(coefficients["const"] + inputs @ coefficients[names].to_numpy())
