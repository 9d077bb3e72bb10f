"""linearmodels' two-stage least squares on standardised columns, with results in units of the data."""

from typing import Any

from linearmodels.iv import IV2SLS

from .._scaling import Scaling


class StandardisedIV(IV2SLS):
    """Needs `units` before `fit`, which sets `converted`."""

    units: Scaling
    converted = False

    def _post_estimation(self, *args: Any) -> Any:
        found, change = super()._post_estimation(*args), self.units.change
        found["params"], found["cov"] = found["params"].copy(), found["cov"].copy()
        found["params"][:] = change @ found["params"].to_numpy()
        found["cov"].iloc[:, :] = change @ found["cov"].to_numpy() @ change.T
        self.converted = True
        return found
