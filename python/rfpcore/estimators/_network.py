"""What every estimator of this package is: a network, its parameters, and what was learnt of the features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from .._arrays import (
    Array,
    as_floats,
    is_masked,
    matrix,
    require_eager,
    require_finite,
    require_no_times,
    row_weights,
    targets,
)
from .._frame_columns import is_frame
from .._limits import Limited
from .._scaling import Scaling
from ..losses import Known, Loss
from ..network import MLP
from ._callbacks import CallbackSupportMixin, Watched
from ._saved import SavedNetwork
from ._warnings import warn_of_scales

LEARNT = ("_memory", "_y_ndim", "_fit_loss", "_text_labels")

__all__ = ["FeatureEstimator", "NetworkEstimator"]


class FeatureEstimator(CallbackSupportMixin, Limited, BaseEstimator):
    """What has features: an estimator of one network or of several.

    Fitting works on a copy (`all_or_nothing`), so that whatever interrupts it leaves the estimator as it was.
    """

    n_jobs: int | None
    n_features_in_: int
    feature_names_in_: Array
    _watched: Watched | None = None
    """What tells callbacks of the fit that goes on."""

    def _tasks(self) -> tuple[int | None, bool]:
        """How many tasks callbacks are told of at most (None: not known), and whether they are in order."""
        return 0, True

    def _forget(self) -> None:
        """Drop what was learnt before."""
        self.__dict__ = {name: value for name, value in vars(self).items() if not _is_learnt(name)}

    def _require_y(self, y: Any) -> None:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")

    def _features(self, X: Any, learn: bool = False) -> Array:
        """X as an array, its width and column names checked; finiteness is checked later, by row."""
        _require_own_names(X)
        require_eager(X, "X")
        require_no_times(X, "X")
        if not any(hasattr(X, name) for name in ("__array__", "__len__", "shape")):
            raise TypeError(f"X is a {type(X).__name__}; an array or frame is needed")
        _require_no_text(X)
        if is_masked(X):
            X = as_floats(X, "X")  # NaN where it is masked
        try:
            array: Array = validate_data(
                self, X, reset=learn, dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
            )
        except OverflowError:  # Python's integers have no end
            raise ValueError("X holds an integer beyond 1.8e308, the largest float64") from None
        except TypeError:
            if is_frame(X):
                _require_numbers(X)  # which names the column
            raise
        return array


class NetworkEstimator(SavedNetwork, FeatureEstimator):
    """All but outcomes and training: a subclass says what y is, which loss it has, and how it is fitted."""

    net_: MLP
    theta_: Array
    loss_curve_: NDArray[np.float64]
    n_iter_: int
    standardize: bool
    x_scaling_: Scaling
    y_scaling_: Scaling
    _has_inner_loop = False  # and an optimizer's state to go on from

    @property
    def _known(self) -> Known:
        """The row loss, and what there is to know of it."""
        raise NotImplementedError

    @property
    def _loss(self) -> Loss:
        """The row loss, as the kernel takes it."""
        return self._known.text

    @property
    def _n_network_outputs(self) -> int:
        """Outputs of the network."""
        raise NotImplementedError

    def _check_params(self) -> None:
        """Refuse parameters that `fit` would refuse."""
        raise NotImplementedError

    def _require_same(self, net: MLP, method: str) -> None:
        """Refuse to go on with another architecture or loss: parameters mean something else there."""
        if not hasattr(self, "theta_"):
            return
        if self.net_ != net:
            raise ValueError(
                f"{method} goes on from {self.net_}, but data and parameters now make it {net}; fit anew"
            )
        if bool(self.standardize) != hasattr(self, "x_scaling_"):
            raise ValueError(
                f"{method} goes on from standardize={not self.standardize}, but it is {self.standardize} "
                "now; fit anew"
            )
        before = getattr(self, "_fit_loss", self._loss)
        if self._loss != before:
            raise ValueError(f"{method} goes on from loss={before!r}, but loss={self._loss!r} now; fit anew")

    def _require_usable(self) -> None:
        self._check_params()
        rows = np.array([[0.0], [1.0], [-1.0]]).repeat(self.net_.n_inputs, axis=1)
        with np.errstate(all="ignore"):
            outputs = self.net_.predict(self.theta_, rows, n_jobs=1)
            means = self._means(outputs)
        for values in (outputs, means):
            require_finite(values.ravel(), "the prediction at features of 0, 1 and -1", axis="index")

    def _means(self, outputs: Array) -> Array:
        """Means of the outcomes or probabilities of the classes, from the network's linear outputs."""
        raise NotImplementedError

    def _learn_targets(self, y: Any) -> None:
        """Set the attributes that describe y."""
        raise NotImplementedError

    def _encode_targets(self, y: Any) -> Array:
        """Outcomes as the kernel takes them."""
        raise NotImplementedError

    def _weigh(self, y: Any, sample_weight: Any, learn: bool) -> Any:
        """The rows' weights; of a classifier, times those of their classes."""
        return sample_weight

    def _learn_scaling(self, X: Array, y: Any, sample_weight: Any) -> None:
        """Learn levels and spreads, unless parameters are there that were learnt in other ones."""
        if not self.standardize or hasattr(self, "theta_"):
            return
        X = matrix(X, columns=getattr(self, "feature_names_in_", None))
        weights = None if sample_weight is None else row_weights(sample_weight, len(X))
        self.x_scaling_ = Scaling.of(X, weights)
        if self._known.kind.keeps_units:
            self.y_scaling_ = Scaling.of(targets(y, len(X)), weights)

    def _warn_of_scales(self, X: Array, y: Array) -> None:
        if not self.standardize:
            names = getattr(self, "feature_names_in_", None)
            warn_of_scales(X, y if self._known.kind.keeps_units else None, names)

    def _inputs(self, features: Array) -> Array:
        """Checked features as the network takes them."""
        scaling: Scaling | None = getattr(self, "x_scaling_", None)
        return features if scaling is None else scaling.apply(features)

    def _outputs(self, X: Any) -> Array:
        """Linear outputs of the network, (N, outputs)."""
        check_is_fitted(self)
        return self.net_.predict(self.theta_, self._inputs(self._features(X)), n_jobs=self.n_jobs)


def _require_own_names(X: Any) -> None:
    """ValueError where two columns of a frame have one name: none of them could be told from the other."""
    names: Any = getattr(X, "columns", None) if hasattr(X, "iloc") else None
    if hasattr(names, "duplicated") and names.duplicated().any():
        raise ValueError(
            f"X has several columns of the name {names[names.duplicated()][0]!r}; "
            "names of their own are needed"
        )


def _require_no_text(X: Any) -> None:
    """TypeError where X holds text, of which scikit-learn's conversion makes numbers where it has digits."""
    parts = (X[name] for name in X.columns) if is_frame(X) and hasattr(X, "dtypes") else (X,)
    if any(map(_holds_text, parts)):
        _require_numbers(X)


def _require_numbers(X: Any) -> None:
    """TypeError that says where X holds what is no number."""
    try:
        as_floats(X, "X")
    except TypeError as found:
        raise TypeError(
            f"{found}. rfpcore.formula.FormulaFeatures, or an encoder of scikit-learn, makes them of labels"
        ) from None


def _holds_text(values: Any) -> bool:
    """Whether any value is text; what is no array is refused elsewhere."""
    if getattr(getattr(values, "dtype", None), "kind", "O") in "biufcmM":
        return False
    try:
        array = np.asarray(values)
    except Exception:
        return False
    if array.dtype.kind == "O":
        return any(issubclass(kind, str | bytes) for kind in set(map(type, array.ravel().tolist())))
    return array.dtype.kind in "UST"


def _is_learnt(name: str) -> bool:
    """Whether an attribute was set by a fit."""
    return (name.endswith("_") and not name.startswith("__")) or name in LEARNT
