"""What flexible estimators share: a linear part, not penalised, before and after what is."""

from typing import Any, Literal

import numpy as np

from .._arrays import Array
from ._base import BaseNPIV
from ._data import InstrumentedRows, Scales
from ._file import SavedFlexible
from ._linear import Linear, LinearStage, is_needed

LinearPart = Literal["auto"] | bool


class FlexibleNPIV(SavedFlexible, BaseNPIV):
    """An estimator of what the linear part leaves of the outcome.

    The linear part is two-stage least squares; the estimator learns from its residuals, and two-stage least
    squares of what is left then is added: the moment conditions of the instruments and covariates themselves
    hold, as far as the instruments are strong, whatever the penalty has taken from the slope.
    """

    linear_part: LinearPart
    _scales: Scales
    _first: Linear
    _linear: Linear

    @property
    def linear_part_(self) -> bool:
        """Whether there is a linear part."""
        return bool(self._linear.slopes.any())

    def _fit(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        nothing = Linear.nothing(rows.inputs.shape[1])
        self._first = self._linear = nothing
        scales = Scales.of(rows)
        standard = scales.apply(rows)
        if not self._has_linear_part(standard, given["linear_part"]):
            self._learn(rows, given)
            return
        stage = LinearStage(standard, np.ones(rows.n) if rows.weights is None else rows.weights)
        first = stage.fit(standard.y)
        left = scales.y_scale * (standard.y - first(standard.inputs))
        self._learn(rows._replace(y=left), given)
        last = stage.fit((left - self._flexible(rows.inputs)) / scales.y_scale)
        mean = Linear(scales.y_mean, nothing.slopes)
        self._first = first.times(scales.y_scale) + mean
        self._linear = self._first + last.times(scales.y_scale)

    def _has_linear_part(self, standard: InstrumentedRows, wanted: bool | None) -> bool:
        return is_needed(standard, self.instrument_strength_.f_linear) if wanted is None else wanted

    def _predict(self, inputs: Array) -> Array:
        return self._linear(self._scales.inputs.apply(inputs)) + self._flexible(inputs)

    def _learn(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        """Learn the rest, whose outcomes the rows hold, and set `_scales`."""
        raise NotImplementedError

    def _flexible(self, inputs: Array) -> Array:
        """The rest at checked inputs (n, d + c)."""
        raise NotImplementedError
