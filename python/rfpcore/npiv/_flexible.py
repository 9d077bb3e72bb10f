"""What flexible estimators share: a linear part, not penalised, before and after what is."""

import numpy as np

from .._arrays import Array
from .._options import boolean
from ._data import Rows, Scales
from ._file import FileNPIV
from ._linear import Linear, LinearStage


class FlexibleNPIV(FileNPIV):
    """An estimator of what the linear part leaves of the outcome.

    The linear part is two-stage least squares; the estimator learns from its residuals, and two-stage least
    squares of what is left then is added: the moment conditions of the instruments and covariates themselves
    hold, as far as the instruments are strong, whatever the penalty has taken from the slope.
    """

    linear_part: bool
    _first: Linear
    _linear: Linear

    def _fit(self, rows: Rows) -> None:
        nothing = Linear.nothing(rows.inputs.shape[1])
        self._first = self._linear = nothing
        if not boolean(self.linear_part, "linear_part"):
            self._learn(rows)
            return
        scales = Scales.of(rows)
        standard = scales.apply(rows)
        stage = LinearStage(standard, np.ones(rows.n) if rows.weights is None else rows.weights)
        first = stage.fit(standard.y)
        left = scales.y_scale * (standard.y - first(standard.inputs))
        self._learn(rows._replace(y=left))
        last = stage.fit((left - self._flexible(rows.inputs)) / scales.y_scale)
        mean = Linear(scales.y_mean, nothing.slopes)
        self._first = first.times(scales.y_scale) + mean
        self._linear = self._first + last.times(scales.y_scale)

    def _predict(self, inputs: Array) -> Array:
        return self._linear(self._scales.inputs.transform(inputs)) + self._flexible(inputs)

    def _learn(self, rows: Rows) -> None:
        """Learn the rest, whose outcomes the rows hold, and set `_scales`."""
        raise NotImplementedError

    def _flexible(self, inputs: Array) -> Array:
        """The rest at checked inputs (n, d + c)."""
        raise NotImplementedError
