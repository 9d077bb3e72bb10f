"""Linear two-stage least squares, by linearmodels."""

from typing import Any

import numpy as np

from .._arrays import Array
from ._base import BaseNPIV
from ._data import Rows
from ._strength import orthonormal, residual, standardised

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

    def _require_rank(self, rows: Rows) -> None:
        """ValueError where the equations have no solution, or more than one."""
        d, q = rows.n_endogenous, rows.n_instruments
        controls, instruments = rows.inputs[:, d:], rows.instruments[:, :q]
        base = np.ones((rows.n, 1))
        groups = ((controls, "covariates"), (rows.inputs[:, :d], "X"))
        for part, name in groups:
            for column, values in enumerate(part.T):
                if _explained(values, base):
                    what = (
                        "is constant; the constant is added"
                        if np.ptp(values) == 0
                        else (
                            "is a combination of the constant (which is added) and the columns before it"
                            + (" and of the covariates" if name == "X" and rows.n_covariates else "")
                        )
                    )
                    raise ValueError(f"column {column} of {name} {what}: leave it out")
                base = np.column_stack([base, values])
        outside = np.column_stack([np.ones(rows.n), controls])
        rank = 0
        for values in instruments.T:
            if not _explained(values, outside):
                outside, rank = np.column_stack([outside, values]), rank + 1
        if rank < d:
            raise ValueError(
                f"Z has {rank} instruments beyond the covariates for {d} columns of X; at least as many are "
                "needed"
            )

    def _fit(self, rows: Rows) -> None:
        try:
            from linearmodels.iv import IV2SLS
        except ImportError as error:
            raise ImportError(
                "TwoStageLeastSquares needs the package linearmodels: pip install 'rfpcore[iv]'"
            ) from error
        import pandas as pd

        self._require_rank(rows)
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


def _explained(values: Array, base: Array) -> bool:
    """Whether columns explain another one, all of any size."""
    scaled = standardised(np.column_stack([base[:, 1:], values]))
    vectors = orthonormal(np.column_stack([np.ones(len(values)), scaled[:, :-1]]))
    left = residual(vectors, scaled[:, -1:])
    return bool(np.linalg.norm(left) <= 1e-7 * np.sqrt(len(values)))
