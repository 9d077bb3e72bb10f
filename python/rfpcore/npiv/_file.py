"""Estimators with instruments on disk: the parts that all share, in the form of `rfpcore.persistence`."""

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .. import _files, persistence
from .._arrays import F64, require_finite
from .._file_parts import Document, Tensors, listed, object_of, only, require_used, tensor
from .._options import MAX_PARAMETERS, file_path, integer, positive, real
from ._base import BaseNPIV
from ._data import Scales
from ._linear import Linear
from ._renamed import renamed
from ._strength import InstrumentStrength

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Document", "FileNPIV", "Tensors", "tensor"]


class FileNPIV(BaseNPIV):
    """An estimator with instruments that can be saved."""

    _scales: Scales
    _linear: Linear

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to a file: safetensors with JSON metadata, nothing executable.

        Parameters
        ----------
        path : str or path
            Replaced if it is there. A random_state that is no int is not kept.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        ValueError
            If a parameter is of a kind that JSON cannot hold or that `fit` would refuse, or something else
            than a regular file is at the path.
        """
        check_is_fitted(self)
        place = file_path(path)
        self._require_usable()
        tensors = scales_to_tensors(self._scales)
        strength, linear = self.instrument_strength_, self._linear
        tensors["strength"] = np.stack([strength.r_squared, strength.f_linear, strength.f])
        tensors["linear"] = np.r_[linear.intercept, linear.slopes]
        document = {
            "class": type(self).__name__,
            "params": persistence.params_to_json(self.get_params(deep=False), tensors, ""),
            "columns": [self.n_features_in_, self.n_covariates_],
            "learnt": self._describe(tensors),
        }
        _files.write(place, tensors, document)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Self":
        """Read an estimator that `save` wrote.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        estimator
            Fitted; it predicts as the one saved, to the bit.

        Raises
        ------
        ValueError
            If the file is truncated, of another format version, of another class or inconsistent.
        """
        return persistence.read(cls, path, _restore)

    def _require_usable(self) -> None:
        """Refuse wrong parameters, and predictions that overflow."""
        self._checked()
        inputs = self._scales.inputs
        with np.errstate(all="ignore"):
            found = self._predict(inputs.mean_ + np.array([[0.0], [1.0], [-1.0]]) * inputs.scale_)
        require_finite(found, "the prediction at the inputs' means, and one scale beside them", axis="index")

    def _describe(self, tensors: Tensors) -> Document:
        """What was learnt: arrays go to the tensors, the rest is returned in JSON's types."""
        raise NotImplementedError

    def _restore(self, tensors: Tensors, learnt: Document) -> None:
        """Take over what `_describe` has written, every part checked against the others."""
        raise NotImplementedError


def _restore(cls: Any, tensors: Tensors, document: Document) -> Any:
    only(document, "the file", {"class", "params", "columns", "learnt", "format_version", "digests"})
    estimator = cls(**renamed(persistence.params_from_json(document)))
    n_features, n_covariates = listed(document, "columns")
    estimator.n_features_in_ = integer(n_features, "n_features_in_", 1, MAX_PARAMETERS)
    estimator.n_covariates_ = integer(n_covariates, "n_covariates_", 0, MAX_PARAMETERS)
    left = dict(tensors)
    estimator._scales = scales_from_tensors(left, n_features + n_covariates)
    estimator._linear = _linear(left, n_features + n_covariates)
    if "strength" in left:  # older files of most estimators have none
        estimator.instrument_strength_ = InstrumentStrength(*tensor(left, "strength", 3, n_features))
    estimator._checked()
    estimator._restore(left, object_of(document, "learnt"))
    require_used(left)
    estimator._require_usable()
    return estimator


def _linear(tensors: Tensors, n_inputs: int) -> Linear:
    """The linear part; older files have none."""
    if "linear" not in tensors:
        return Linear.nothing(n_inputs)
    values = tensor(tensors, "linear", 1 + n_inputs)
    return Linear(float(values[0]), values[1:])


def scales_to_tensors(scales: Scales) -> Tensors:
    """Means and scales of inputs, instruments and outcome."""
    return {
        "inputs_mean": scales.inputs.mean_,
        "inputs_scale": scales.inputs.scale_,
        "instruments_mean": scales.instruments.mean_,
        "instruments_scale": scales.instruments.scale_,
        "outcome": np.array([scales.y_mean, scales.y_scale]),
    }


def scales_from_tensors(tensors: Tensors, n_inputs: int) -> Scales:
    """The same, back."""
    y_mean, y_scale = tensor(tensors, "outcome", 2)
    inputs = _scaler(tensors, "inputs", n_inputs)
    instruments = _scaler(tensors, "instruments", tensors["instruments_mean"].size)
    return Scales(inputs, instruments, real(y_mean, "the mean of y"), positive(y_scale, "the scale of y"))


def _scaler(tensors: Tensors, name: str, length: int) -> StandardScaler:
    scaler = StandardScaler()
    scaler.mean_ = tensor(tensors, f"{name}_mean", length, dtype=F64)
    scaler.scale_ = tensor(tensors, f"{name}_scale", length, dtype=F64)
    if (scaler.scale_ <= 0).any():
        raise ValueError(f"{name}_scale has {scaler.scale_.min()}; positive numbers are needed")
    scaler.var_, scaler.n_features_in_ = scaler.scale_**2, length
    return scaler
