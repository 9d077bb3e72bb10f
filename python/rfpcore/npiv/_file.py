"""Estimators with instruments in files: the parts that all share."""

from typing import Any

import numpy as np

from .._arrays import require_finite
from .._file_parts import Document, Tensors, listed, object_of, tensor
from .._options import MAX_PARAMETERS, integer, positive, real
from .._scaling import read_scaling
from ..files import Saved
from ._data import Scales
from ._linear import Linear
from ._names import names_of_file, names_to_file
from ._renamed import RENAMED
from ._strength import InstrumentStrength

__all__ = ["SavedFlexible", "SavedNPIV"]


class SavedNPIV(Saved):
    """An estimator with instruments."""

    _entries = frozenset({"columns", "learnt", "names", "covariate_names"})
    _renamed = RENAMED

    def _describe(self: Any, tensors: Tensors) -> Document:
        strength = self.instrument_strength_
        tensors["strength"] = np.stack([strength.r_squared, strength.f_linear, strength.f])
        columns = [self.n_features_in_, self.n_covariates_]
        document = {"columns": columns, "learnt": self._describe_learnt(tensors)}
        for key, names in (("names", self._names), ("covariate_names", self._covariate_names)):
            if names_to_file(names) is not None:
                document[key] = names
        return document

    def _restore(self: Any, tensors: Tensors, document: Document) -> None:
        n_features, n_covariates = listed(document, "columns")
        self.n_features_in_ = integer(n_features, "n_features_in_", 1, MAX_PARAMETERS)
        self.n_covariates_ = integer(n_covariates, "n_covariates_", 0, MAX_PARAMETERS)
        if "strength" in tensors:  # older files of most estimators have none
            self.instrument_strength_ = InstrumentStrength(*tensor(tensors, "strength", 3, n_features))
        self._names = names_of_file(document, "names", self.n_features_in_)
        self._covariate_names = names_of_file(document, "covariate_names", self.n_covariates_)
        self._checked()
        self._restore_learnt(tensors, object_of(document, "learnt"))

    def _describe_learnt(self, tensors: Tensors) -> Document:
        """What was learnt besides: arrays go to the tensors, the rest is returned in JSON's types."""
        raise NotImplementedError

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        """Take over what `_describe_learnt` has written, every part checked against the others."""
        raise NotImplementedError


class SavedFlexible(SavedNPIV):
    """One with a linear part, that works on standardised rows."""

    def _describe(self: Any, tensors: Tensors) -> Document:
        scales, linear = self._scales, self._linear
        for name in ("inputs", "instruments"):
            found = getattr(scales, name)
            tensors |= {f"{name}_mean": found.level, f"{name}_scale": found.spread}
        tensors["outcome"] = np.array([scales.y_mean, scales.y_scale])
        tensors["linear"] = np.r_[linear.intercept, linear.slopes]
        return super()._describe(tensors)

    def _restore(self: Any, tensors: Tensors, document: Document) -> None:
        n_inputs = sum(listed(document, "columns"))
        y_mean, y_scale = tensor(tensors, "outcome", 2)
        inputs = read_scaling(tensors, "inputs_mean", "inputs_scale", n_inputs)
        n_instruments = tensors["instruments_mean"].size
        instruments = read_scaling(tensors, "instruments_mean", "instruments_scale", n_instruments)
        y_mean, y_scale = real(y_mean, "the mean of y"), positive(y_scale, "the scale of y")
        self._scales = Scales(inputs, instruments, y_mean, y_scale)
        self._linear = Linear.nothing(n_inputs)  # older files have no linear part
        if "linear" in tensors:
            values = tensor(tensors, "linear", 1 + n_inputs)
            self._linear = Linear(float(values[0]), values[1:])
        super()._restore(tensors, document)

    def _require_usable(self: Any) -> None:
        """Refuse wrong parameters, and predictions that overflow."""
        self._checked()
        inputs = self._scales.inputs
        with np.errstate(all="ignore"):
            found = self._predict(inputs.undo(np.array([[0.0], [1.0], [-1.0]])))
        require_finite(found, "the prediction at the inputs' means, and one scale beside them", axis="index")
