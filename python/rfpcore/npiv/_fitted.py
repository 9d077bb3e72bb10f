"""What a fit of F²BMLD can tell without its data: values, history, diagnosis, and the file it goes to."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._arrays import Array
from .._file_parts import Document, Tensors, object_of, tensor
from .._limits import check
from .._options import MAX_STEPS, integer, positive
from ._bilevel import LIMITS, BilevelSettings, settings
from ._data import InstrumentedRows
from ._diagnose import Diagnosis, conditions
from ._fit import BilevelFit
from ._flexible import FlexibleNPIV
from ._renamed import renamed
from ._strength import InstrumentStrength
from .particles import MeanField

_NUMBERS = ("lambda", "alpha", "beta", "gamma", "zeta1", "zeta2", "sigma1", "sigma2")
_LOSSES = ("step", "first_stage", "twin_first_stage", "second_stage", "twin_second_stage")


class FittedBilevel(FlexibleNPIV):
    """The part of `F2BMLD` that needs no data."""

    network_: MeanField
    theta_: Array
    lambda_: float
    best_step_: int
    errors_: Array
    n_halvings_: int
    instrument_strength_: InstrumentStrength
    lambdas: Sequence[float]
    n_jobs: int | None
    _config: BilevelSettings
    _records: Array
    _learnt: BilevelFit | None  # None where it was read from a file
    _rows: InstrumentedRows

    @property
    def history_(self) -> dict[str, Array]:
        """Losses of the last fit at each checkpoint."""
        history = dict(zip(_LOSSES, self._records.T, strict=True))
        history["bilevel_gap"] = history["twin_first_stage"] - history["first_stage"]
        return history

    @property
    def rates_(self) -> dict[str, float]:
        """The slides' numbers for the chosen λ."""
        return dict(zip(_NUMBERS, self._config.rates(self.lambda_), strict=True))

    def diagnose(self) -> Diagnosis:
        """Say where the fit stands against what the theorems ask for, and how strong the instruments are.

        Returns
        -------
        Diagnosis
            To be printed; its `plot` shows the held-out error of every λ and the bilevel gap.
        """
        check_is_fitted(self)
        found = conditions(self._config, self.rates_, self.instrument_strength_, self.history_)
        return Diagnosis(found, self.errors_, tuple(float(lam) for lam in self.lambdas), self.history_)

    def _flexible(self, inputs: Array) -> Array:
        return self._values(self.theta_, inputs)

    def _values(self, theta: Array, inputs: Array) -> Array:
        """The structural function of one network (P,) or several (K, P), in the units of y."""
        scaled = self._scales.inputs.apply(inputs)
        h = self.network_.values(theta, scaled, n_jobs=self.n_jobs).astype(np.float64)
        return self._scales.outcomes(h)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {
            "theta": self.theta_,
            "errors": self.errors_,
            "records": self._records,
        }
        return {
            "settings": asdict(self._config),
            "lambda": self.lambda_,
            "best_step": self.best_step_,
            "n_halvings": self.n_halvings_,
        }

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        self._config = config = settings(check(renamed(object_of(learnt, "settings")), LIMITS))
        n_inputs = self.n_features_in_ + self.n_covariates_
        self.network_ = MeanField(n_inputs, config.n_particles, config.activation, config.particle_bound)
        self.theta_ = tensor(tensors, "theta", self.network_.n_parameters)
        self.errors_ = tensor(tensors, "errors", None, None, nan=True)  # NaN where a run has ended early
        self._records = tensor(tensors, "records", None, len(_LOSSES))
        self.lambda_ = positive(learnt["lambda"], "lambda")
        self.best_step_ = integer(learnt["best_step"], "best_step_", 1, MAX_STEPS)
        self.n_halvings_ = integer(learnt["n_halvings"], "n_halvings_", 0, MAX_STEPS)
        self._learnt = None
