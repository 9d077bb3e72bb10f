"""How much the instruments say about the endogenous variables, beyond the covariates."""

from dataclasses import dataclass

import numpy as np

from .._arrays import Array
from .._warn import warn
from ..exceptions import InstrumentWarning
from ._data import Rows
from ._select import HeldOut

WEAK = 10.0
"""Staiger and Stock's (1997) rule of thumb for a first-stage F."""

BY_CHANCE = 4.0
"""An F on the rows held out that has a chance of about 1 in 20 where the instruments say nothing."""


@dataclass(frozen=True)
class InstrumentStrength:
    """First-stage strength of each endogenous variable, by a split sample.

    A kernel regression of the variable on instruments and covariates, fitted on some rows, is one generated
    instrument for the rows held out; what one on the covariates alone predicts is taken off both.

    Attributes
    ----------
    r_squared : ndarray (d,)
        Squared partial correlation of the variable with its prediction, on rows held out; 0 where negative.
    f_held_out : ndarray (d,)
        First-stage F on the rows held out: (m - 2) r² / (1 - r²) with m rows.
    f : ndarray (d,)
        The same for as many rows as there are in all.

    References
    ----------
    Staiger and Stock (1997), "Instrumental variables regression with weak instruments", Econometrica; Angrist
    and Krueger (1995), "Split-sample instrumental variables estimates of the return to schooling".
    """

    r_squared: Array
    f_held_out: Array
    f: Array

    @property
    def is_weak(self) -> bool:
        """Whether an F is below 10, or on the rows held out below 4."""
        return bool(((self.f < WEAK) | (self.f_held_out < BY_CHANCE)).any())

    def warn(self) -> None:
        """InstrumentWarning, where weak."""
        if self.is_weak:
            worst = int(self.f.argmin())
            percent, held, full = 100 * self.r_squared[worst], self.f_held_out[worst], self.f[worst]
            warn(
                f"the instruments are weak: on rows held out they explain {percent:.2g} % of column {worst} "
                f"of X beyond the covariates, F = {held:.3g}, or {full:.3g} for all rows; at least "
                f"{BY_CHANCE:g} and {WEAK:g} are needed",
                InstrumentWarning,
            )


def instrument_strength(rows: Rows, held_out: HeldOut, random: np.random.RandomState) -> InstrumentStrength:
    """Measure it on a split of standardised rows."""
    n_endogenous = rows.inputs.shape[1] - rows.n_covariates
    endogenous = rows.inputs[:, :n_endogenous].T
    predicted = held_out.regress(endogenous)
    known = endogenous[:, held_out.held]
    if rows.n_covariates:
        controls = rows.inputs[:, n_endogenous:]
        parts = [held_out.fitted, held_out.held]
        base = HeldOut(controls, rows.weights, parts, random).regress(endogenous)
        known, predicted = known - base, predicted - base
    known, predicted = (values - values.mean(axis=1, keepdims=True) for values in (known, predicted))
    tiny = np.finfo(float).tiny
    scale = np.sqrt((known**2).sum(axis=1) * (predicted**2).sum(axis=1))
    r = np.clip((known * predicted).sum(axis=1) / np.maximum(scale, tiny), 0, 1 - 1e-9)
    m = len(held_out.held)
    f = max(m - 2, 0) * r**2 / (1 - r**2)
    return InstrumentStrength(r**2, f, f * rows.n / m)
