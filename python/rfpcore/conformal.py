"""Prediction intervals for clusters not seen yet, around any regressor, without a model of the errors.

Rows of one cluster are alike, so a row is no unit: whole clusters are left out, and a cluster counts once
however many rows it has.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from ._arrays import Array, as_floats, group_codes, require_finite, require_length, shown
from ._atomic import all_or_nothing
from ._frames import require_aligned
from ._limits import Limited, Limits, one_of, randomness, unchecked, whole
from ._options import fraction

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClusterConformal"]

Method = Literal["split", "cv+", "jackknife+"]
Floats = NDArray[np.float64]

CELLS = 1 << 22  # of a table of rows to predict by rows left out, at a time
ROUNDING = 1e-9  # of a sum of weights, in clusters


class ClusterConformal(Limited, RegressorMixin, BaseEstimator):
    """Intervals that hold the outcome of a random row of a new cluster with a known probability.

    The clusters and the new one have to be exchangeable, such as drawn at random from one population, and so
    have the rows of a cluster; nothing else is asked of data or regressor. With K clusters that measure
    errors, a row of a cluster of n rows weighs 1/n, and 1/(K + 1) of all weight lies at infinity [1]_.

    - "split" trains on some clusters and measures errors on the K others. The interval is the prediction
      plus and minus the weighted quantile at `level` of the absolute errors. A random row of a new cluster
      is in it with a probability of at least `level` ([1]_; one row a cluster: [2]_).
    - "jackknife+" leaves out each of the K clusters in turn. The probability is at least 2 · `level` − 1
      ([1]_, after [3]_), and mostly about `level`.
    - "cv+" leaves out folds of clusters, at the cost of `n_folds` fits and one. With folds of m clusters each
      the probability is at least 2 · `level` − 1 − (m − 1)/(K + m), by the argument of [3]_ for clusters.

    These probabilities are over data and new cluster together. They are not of each cluster: in one whose
    effect is extreme, all rows may lie outside. Where the clusters' own rows are observed, `MixedRegressor`
    gives much shorter intervals.

    Parameters
    ----------
    estimator : regressor
        Any of scikit-learn's kind, with one outcome; a copy is fitted. It gets the groups if its `fit` has an
        argument of this name.
    method : {"cv+", "jackknife+", "split"}, default="cv+"
    n_folds : int, default=10
        Folds of "cv+", at most as many as there are clusters.
    validation_fraction : float in (0, 1), default=0.5
        Share of the clusters on which "split" measures errors.
    random_state : int, RandomState or None, default=None
        Of folds or split. The estimator has its own.

    Attributes
    ----------
    estimator_ : regressor
        The estimator that `predict` takes: fitted on all rows, with "split" on the training clusters.
    estimators_ : list of regressors
        Those that measured errors, one a fold.
    errors_ : ndarray (M,)
        Absolute errors of the rows left out.
    n_clusters_ : int
        Clusters that measure errors, K.
    largest_level_ : float
        The largest level that so many clusters allow, K/(K + 1).

    References
    ----------
    .. [1] Lee, Barber and Willett (2023), "Distribution-free inference with hierarchical data", sections 3
       and 4 (hierarchical conformal prediction, hierarchical jackknife+).
    .. [2] Dunn, Wasserman and Ramdas (2023), "Distribution-free prediction sets for two-layer hierarchical
       models".
    .. [3] Barber, Candès, Ramdas and Tibshirani (2021), "Predictive inference with the jackknife+", theorems
       1 and 4.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from rfpcore.conformal import ClusterConformal
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(n_clusters=20, random_state=0)
    >>> model = ClusterConformal(LinearRegression(), method="jackknife+").fit(X, y, groups)
    >>> model.predict_interval(X[:3], level=0.9).shape, round(model.largest_level_, 3)
    ((3, 2), 0.952)
    """

    estimator_: Any
    estimators_: list[Any]
    errors_: Floats
    n_clusters_: int
    _fold_of_row: NDArray[np.intp]
    _weights: Floats
    _limits: ClassVar[Limits] = {
        "estimator": unchecked,
        "method": one_of(Method),
        "n_folds": whole(2),
        "validation_fraction": fraction,
        "random_state": randomness,
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: Method = "cv+",
        n_folds: int = 10,
        validation_fraction: float = 0.5,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.n_folds = n_folds
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @property
    def largest_level_(self) -> float:
        """The largest level that the clusters allow."""
        return self.n_clusters_ / (self.n_clusters_ + 1)

    @all_or_nothing
    def fit(self, X: Any, y: Any, groups: Any) -> "Self":
        """Fit the regressor, and measure its errors on clusters that it has not seen.

        Parameters
        ----------
        X : array or frame (N, n_features)
            As the estimator takes them.
        y : array (N,)
        groups : array (N,)
            The cluster of each row.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work.
        """
        given = self._checked()
        _require_regressor(self.estimator)
        require_aligned(X=X, y=y, groups=groups)
        n = _n_rows(X)
        outcomes = _outcomes(y, n)
        if groups is None:
            raise ValueError("groups is None; the cluster of each row is needed")
        labels, codes = group_codes(groups, n)
        folds = _folds(given, len(labels))
        fitted = [
            _fitted(self.estimator, X, outcomes, codes, np.flatnonzero(folds[codes] != fold))
            for fold in range(folds.max() + 1)
        ]
        self.estimators_ = fitted
        self.estimator_ = fitted[0]
        if given["method"] != "split":
            self.estimator_ = _fitted(self.estimator, X, outcomes, codes, np.arange(n))
        self._measure(X, outcomes, codes, folds)
        return self

    def _measure(self, X: Any, y: Floats, codes: NDArray[np.intp], folds: NDArray[np.intp]) -> None:
        """Errors of the rows that were left out, and their weights: a cluster's sum to 1."""
        rows, errors = [], []
        for fold, estimator in enumerate(self.estimators_):
            own = np.flatnonzero(folds[codes] == fold)
            rows.append(own)
            errors.append(np.abs(y[own] - _predicted(estimator, _take(X, own))))
        order = np.concatenate(rows)
        self.errors_ = np.concatenate(errors)
        self._fold_of_row = folds[codes][order]
        self._weights = 1.0 / np.bincount(codes)[codes[order]]
        self.n_clusters_ = len(np.unique(codes[order]))

    def predict(self, X: Any) -> Array:
        """Predict with `estimator_`.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (N,)
        """
        check_is_fitted(self)
        return _predicted(self.estimator_, X)

    def predict_interval(self, X: Any, *, level: float = 0.9) -> Array:
        """Intervals for the outcomes of rows of new clusters.

        Those of "cv+" and "jackknife+" need not hold the prediction, which is of another fit.

        Parameters
        ----------
        X : array or frame (N, n_features)
        level : float in (0, 1), default=0.9

        Returns
        -------
        interval : ndarray (N, 2)
            Lower and upper ends.

        Raises
        ------
        ValueError
            If there are too few clusters for the level: the interval would be the whole line.
        """
        check_is_fitted(self)
        level = fraction(level, "level")
        K = self.n_clusters_
        if level * (K + 1) > K + ROUNDING:
            needed = int(np.ceil(level / (1 - level) - ROUNDING))
            raise ValueError(
                f"level={level:g} needs at least {needed} clusters that measure errors; there are {K}, which "
                f"allow a level of {self.largest_level_:.4g}"
            )
        mass = level * (K + 1)
        each = np.stack([_predicted(estimator, X) for estimator in self.estimators_])
        if len(each) == 1:
            half = _quantiles(self.errors_[None], self._weights, mass)
            return np.column_stack([each[0] - half, each[0] + half])
        found = np.empty((each.shape[1], 2))
        size = max(1, CELLS // len(self.errors_))
        for start in range(0, len(found), size):
            part = slice(start, start + size)
            centre = each[self._fold_of_row, part].T
            found[part, 0] = -_quantiles(self.errors_ - centre, self._weights, mass)
            found[part, 1] = _quantiles(centre + self.errors_, self._weights, mass)
        return found


def _quantiles(values: Floats, weights: Floats, mass: float) -> Floats:
    """Of each row of values, the smallest up to which the weights reach a mass."""
    order = np.argsort(values, axis=1)
    reached = np.cumsum(weights[order], axis=1) >= mass - ROUNDING
    first = np.take_along_axis(order, reached.argmax(axis=1)[:, None], axis=1)
    found: Floats = np.take_along_axis(values, first, axis=1)[:, 0]
    return found


def _folds(given: dict[str, Any], n_clusters: int) -> NDArray[np.intp]:
    """(C,) the fold in which each cluster is left out; of "split" −1 for those that train."""
    if n_clusters < 2:
        raise ValueError(
            f"there is {n_clusters} cluster; at least 2 are needed, to train and to measure errors"
        )
    random = given["random_state"]
    shuffled = random.permutation(n_clusters)
    folds = np.full(n_clusters, -1, np.intp)
    if given["method"] == "split":
        count = min(max(1, round(given["validation_fraction"] * n_clusters)), n_clusters - 1)
        folds[shuffled[:count]] = 0
        return folds
    count = n_clusters if given["method"] == "jackknife+" else min(given["n_folds"], n_clusters)
    folds[shuffled] = np.arange(n_clusters) % count
    return folds


def _require_regressor(estimator: Any) -> None:
    if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
        raise TypeError(f"estimator={shown(estimator)}; a regressor with fit and predict is needed")
    if is_classifier(estimator):
        raise TypeError(f"estimator is a {type(estimator).__name__}; intervals need a regressor")


def _fitted(estimator: Any, X: Any, y: Floats, codes: NDArray[np.intp], rows: NDArray[np.intp]) -> Any:
    """A copy fitted to some rows."""
    more = {"groups": codes[rows]} if has_fit_parameter(estimator, "groups") else {}
    return clone(estimator).fit(_take(X, rows), y[rows], **more)


def _predicted(estimator: Any, X: Any) -> Floats:
    """Its predictions, finite, one a row."""
    values = as_floats(estimator.predict(X), "the predictions").astype(np.float64, copy=False)
    n = _n_rows(X)
    if values.shape not in ((n,), (n, 1)):
        raise ValueError(f"the predictions have shape {values.shape}; ({n},) is needed")
    require_finite(values, "the predictions", axis="row")
    return values.ravel()


def _outcomes(y: Any, n: int) -> Floats:
    values = as_floats(y, "y").astype(np.float64, copy=False)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"y has shape {values.shape}; ({n},), one outcome, is needed")
    require_length(values, "y", n)
    require_finite(values, "y")
    return values


def _n_rows(X: Any) -> int:
    """Rows of an array, a list or a frame."""
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) > 0:
        return int(shape[0])
    if shape is None and hasattr(X, "__len__") and not isinstance(X, str | bytes | dict | set):
        return len(X)
    raise TypeError(f"X is a {type(X).__name__}; an array or frame is needed")


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows, of the kind that X is."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "columns"):  # of polars
        return X[rows]
    return np.asarray(X)[rows]
