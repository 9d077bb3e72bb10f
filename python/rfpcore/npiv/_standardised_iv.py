"""linearmodels' two-stage least squares on standardised columns, with results in units of the data."""

from typing import Any, NamedTuple

import numpy as np
from linearmodels.iv import IV2SLS

from .._arrays import Array
from .._scaling import level_and_spread


class Units(NamedTuple):
    """Of columns that were standardised: they say how coefficients become those of the data."""

    level: Array
    spread: Array

    @classmethod
    def of(cls, columns: Array) -> "Units":
        """Those of columns (N, d)."""
        each = [level_and_spread(column) for column in columns.T]
        return cls(*np.array(each).reshape(-1, 2).T)

    @property
    def change(self) -> Array:
        """(1 + d, 1 + d) from coefficients of a constant and standardised columns to those of the data."""
        matrix = np.diag(np.r_[1.0, 1 / self.spread])
        matrix[0, 1:] = -self.level / self.spread
        return matrix


class StandardisedIV(IV2SLS):
    """Needs `units` before `fit`, which sets `converted`."""

    units: Units
    converted = False

    def _post_estimation(self, *args: Any) -> Any:
        found, change = super()._post_estimation(*args), self.units.change
        found["params"], found["cov"] = found["params"].copy(), found["cov"].copy()
        found["params"][:] = change @ found["params"].to_numpy()
        found["cov"].iloc[:, :] = change @ found["cov"].to_numpy() @ change.T
        self.converted = True
        return found
