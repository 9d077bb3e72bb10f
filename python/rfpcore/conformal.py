"""Prediction intervals for clusters not seen yet, around any regressor, without a model of the errors.

Rows of one cluster are alike, so a row is no unit: whole clusters are left out, and a cluster counts once
however many rows it has.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ._arrays import F64, I64, Array
from ._atomic import all_or_nothing
from ._conformal import (
    ALL_ROWS,
    ConformalRows,
    Floats,
    deal,
    fitted_without,
    intervals_around,
    predicted,
    read_member,
    read_rows,
    require_level,
    require_regressor,
    take_rows,
    weighted_quantiles,
)
from ._dask import require_client
from ._file_parts import Document, Tensors, listed, object_of, only, tensor
from ._frames import require_aligned
from ._limits import Limited, Limits, one_of, randomness, unchecked, whole
from ._options import MAX_ROWS, fraction, integer
from .files import Saved, put

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClusterConformal"]

Method = Literal["split", "cv+", "jackknife+"]


class ClusterConformal(Saved, Limited, RegressorMixin, BaseEstimator):
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

    Clusters have no weights: a new one of unequal odds needs its own weight for the mass at infinity [4]_,
    and weights that stand for several clusters would claim more of them than there are.

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
    feature_names_in_ : ndarray of str
        Names of the features, where `estimator_` has any.
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
    .. [4] Tibshirani, Barber, Candès and Ramdas (2019), "Conformal prediction under covariate shift".

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
    def fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None, *, scheduler: Any = None) -> "Self":
        """Fit the regressor, and measure its errors on clusters that it has not seen.

        Parameters
        ----------
        X : array or frame (N, n_features)
            As the estimator takes them.
        y : array (N,)
        groups : array (N,)
            The cluster of each row.
        sample_weight : array (N,), optional
            Weights of the rows, such as how many people each stands for. The probability is then that of a
            row of the new cluster which is drawn in proportion to these weights; how they compare between
            clusters does not matter. They go to the estimator if its `fit` takes them; a row of weight 0 is
            left out.
        scheduler : dask.distributed.Client, optional
            The fits are jobs of its workers, each with the threads that the estimator takes.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work.
        """
        given, client = self._checked(), require_client(scheduler)
        require_regressor(self.estimator)
        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        data = read_rows(X, y, groups, sample_weight)
        folds = deal(given, int(data.codes.max()) + 1)
        of_row = folds[data.codes]
        each = list(range(folds.max() + 1))
        whole = [] if given["method"] == "split" else [ALL_ROWS]
        fitted = fitted_without(self.estimator, data, of_row, each + whole, client)
        self.estimators_ = fitted[: len(each)]
        self.estimator_ = fitted[-1]
        self._measure(data, of_row)
        return self

    def _measure(self, data: ConformalRows, of_row: NDArray[np.intp]) -> None:
        """Errors of the rows that were left out, and their weights: a cluster's sum to 1."""
        rows, errors = [], []
        for fold, estimator in enumerate(self.estimators_):
            own = np.flatnonzero(of_row == fold)
            rows.append(own)
            errors.append(np.abs(data.y[own] - predicted(estimator, take_rows(data.X, own))))
        order = np.concatenate(rows)
        self.errors_ = np.concatenate(errors)
        self._fold_of_row = of_row[order]
        codes, weight = data.codes, np.ones(len(of_row)) if data.weight is None else data.weight
        self._weights = weight[order] / np.bincount(codes, weight)[codes[order]]
        self.n_clusters_ = len(np.unique(codes[order]))

    _entries = frozenset({"learnt", "members", "whole"})

    def _describe(self, tensors: Tensors) -> Document:
        for estimator in self.estimators_:
            if not isinstance(estimator, Saved):
                raise ValueError(
                    f"estimators_ are of the class {type(estimator).__name__}, of another package, which a "
                    "file does not hold; those of rfpcore can be saved"
                )
        tensors |= {"errors": self.errors_, "weights": self._weights}
        tensors["folds"] = self._fold_of_row.astype(np.int64)
        members = [put(one, tensors, f"{i}.") for i, one in enumerate(self.estimators_)]
        whole = None if self.method == "split" else put(self.estimator_, tensors, "whole.")
        return {"learnt": {"n_clusters": self.n_clusters_}, "members": members, "whole": whole}

    def _restore(self, tensors: Tensors, document: Document) -> None:
        learnt = object_of(document, "learnt")
        only(learnt, "learnt", {"n_clusters"})
        K = self.n_clusters_ = integer(learnt["n_clusters"], "n_clusters", 1, MAX_ROWS)
        members = [
            read_member(tensors, own, f"member {i}", f"{i}.")
            for i, own in enumerate(listed(document, "members"))
        ]
        if not members or (document["whole"] is None) != (self.method == "split"):
            raise ValueError(
                f"there are {len(members)} members, and not what method={self.method!r} predicts"
            )
        self.estimators_ = members
        self.estimator_ = members[0]
        if self.method != "split":
            self.estimator_ = read_member(tensors, document["whole"], "whole", "whole.")
        self.errors_ = tensor(tensors, "errors", None, dtype=F64)
        n = len(self.errors_)
        self._weights = tensor(tensors, "weights", n, dtype=F64)
        self._fold_of_row = tensor(tensors, "folds", n, dtype=I64).astype(np.intp)
        if n == 0 or min(self.errors_.min(), self._weights.min()) < 0:
            raise ValueError(f"there are {n} errors and weights; some, and none below 0, are needed")
        if abs(self._weights.sum() - K) > 1e-6 * K:
            raise ValueError(f"the weights sum to {self._weights.sum()}; of {K} clusters they sum to {K}")
        if not np.isin(self._fold_of_row, range(len(members))).all():
            raise ValueError(f"folds have numbers that are none of the {len(members)} members")

    def _require_usable(self) -> None:
        self._checked()
        require_regressor(self.estimator)

    @property
    def feature_names_in_(self) -> Array:
        """Names of the features."""
        names: Array = self.estimator_.feature_names_in_
        return names

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
        return predicted(self.estimator_, X)

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
        require_level(level, K)
        mass = level * (K + 1)
        each = np.stack([predicted(estimator, X) for estimator in self.estimators_])
        if len(each) == 1:
            half = weighted_quantiles(self.errors_[None], self._weights, mass)
            return np.column_stack([each[0] - half, each[0] + half])
        return intervals_around(each, self._fold_of_row, self.errors_, self._weights, mass)
