"""What `adapt` returns: predictions with each cluster's own parameters."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ..._arrays import Array, cast, group_codes, matrix
from ..._frames import require_aligned
from ..._options import choice, n_threads
from ...status import ClusterStatus
from .._known import Unknown, known_codes
from ..mixed import ClusterPosterior

__all__ = ["AdaptedClassifier", "AdaptedRegressor", "ExactlyAdaptedRegressor"]


class _Clusters:
    """Clusters that were adapted to, and how rows find theirs."""

    estimator: Any  # of a module that imports this one
    labels_: Array

    def _codes(self, groups: Any, n_rows: int, unknown: Unknown) -> NDArray[np.intp]:
        """Each row's index in `labels_`; one past the end for the population's parameters."""
        choice(unknown, "unknown", Unknown)
        if groups is None:
            if len(self.labels_) > 1:
                raise ValueError(
                    f"groups is needed: which of the {len(self.labels_)} clusters each row belongs to"
                )
            return np.zeros(n_rows, np.intp)
        labels, codes = group_codes(groups, n_rows)
        found = known_codes(labels, codes, self.labels_, unknown, "{} adapted clusters")
        return np.where(found < 0, len(self.labels_), found)


class _PredictsNumbers:
    """Goes before what has `predict` and `estimator`."""

    def score(
        self: Any, X: Any, y: Any, groups: Any = None, sample_weight: Any = None, unknown: Unknown = "raise"
    ) -> float:
        """R² of the predictions."""
        from sklearn.metrics import r2_score

        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        self.estimator._require_outcomes(y)
        return float(r2_score(y, self.predict(X, groups, unknown), sample_weight=sample_weight))


class _Adapted(_Clusters):
    """The clusters' parameters."""

    def __init__(self, estimator: Any, thetas: Array, status: ClusterStatus) -> None:
        self.estimator = estimator
        self.thetas_ = thetas
        self.labels_ = status.labels
        self.status_ = status

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.labels_)} clusters, {self.status_.n_diverged} diverged)"

    def _outputs(self, X: Any, groups: Any, unknown: Unknown) -> Array:
        """Linear outputs (N, outputs), each row's with its cluster's parameters."""
        require_aligned(X=X, groups=groups)
        net, thetas = self.estimator.net_, self.thetas_
        rows = cast(matrix(self.estimator._inputs(self.estimator._features(X))), thetas.dtype, "X")
        codes = self._codes(groups, len(rows), unknown)
        order = np.argsort(codes, kind="stable")
        used, sizes = np.unique(codes, return_counts=True)
        own = thetas[used[used < len(thetas)]]
        if used[-1] == len(thetas):
            own = np.vstack([own, self.estimator.theta_])
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        threads = n_threads(self.estimator.n_jobs)
        outputs = np.empty((len(rows), net.n_outputs), thetas.dtype)
        outputs[order] = _rfpcore.predict_each(net._architecture, own, rows[order], offsets, threads)
        return outputs


class AdaptedRegressor(_PredictsNumbers, _Adapted):
    """Predictions of a regressor adapted to clusters; `RFPRegressor.adapt` makes it.

    Attributes
    ----------
    thetas_ : ndarray (C, P)
        Each cluster's parameters, in the order of `labels_`: theta_c^k, or as much of the way there as its
        number of rows warrants.
    labels_ : ndarray (C,)
        The clusters.
    status_ : ClusterStatus
        Their losses before and after the inner steps, and which of them diverged.
    estimator : RFPRegressor
        The fitted estimator they come from.

    Examples
    --------
    >>> from rfpcore import RFPRegressor
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = RFPRegressor(alpha=0.1, max_iter=50, random_state=0).fit(X, y, groups)
    >>> adapted = model.adapt(X, y, groups, inner_steps=5)
    >>> adapted
    AdaptedRegressor(20 clusters, 0 diverged)
    >>> adapted.score(X, y, groups) > model.score(X, y)
    True
    """

    def predict(self, X: Any, groups: Any = None, unknown: Unknown = "raise") -> Array:
        """Predict with the parameters of each row's cluster.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array (N,), optional
            The cluster of each row; None where there is only one.
        unknown : {"raise", "population"}
            Of rows of other clusters: an error, or the population's parameters.

        Returns
        -------
        y : ndarray (N,) or (N, n_outputs)
        """
        predicted: Array = self.estimator._predictions(self._outputs(X, groups, unknown))
        return predicted


class ExactlyAdaptedRegressor(_PredictsNumbers, _Clusters):
    """Predictions of a regressor beside the exact effects of clusters; `RFPRegressor.adapt` makes it.

    A cluster's prediction is the population's and the posterior mean of its effect, whose covariance the fit
    has estimated on clusters left out: what the inner steps go towards.

    Attributes
    ----------
    labels_ : ndarray (C,)
        The clusters.
    estimator : RFPRegressor
        The fitted estimator they come from.

    Examples
    --------
    >>> from rfpcore import RFPRegressor
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = RFPRegressor(alpha=0.1, max_iter=50, random_state=0).fit(X, y, groups)
    >>> adapted = model.adapt(X, y, groups)
    >>> adapted
    ExactlyAdaptedRegressor(20 clusters)
    >>> adapted.score(X, y, groups) > model.score(X, y)
    True
    """

    def __init__(self, estimator: Any, labels: Array, posterior: ClusterPosterior) -> None:
        self.estimator = estimator
        self.labels_ = labels
        self._posterior = posterior

    def __repr__(self) -> str:
        count = len(self.labels_)
        return f"{type(self).__name__}({count} cluster{'s' * (count > 1)})"

    def predict(self, X: Any, groups: Any = None, unknown: Unknown = "raise") -> Array:
        """Predict beside each row's cluster's effect.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array (N,), optional
            The cluster of each row; None where there is only one.
        unknown : {"raise", "population"}
            Of rows of other clusters: an error, or the population's prediction.

        Returns
        -------
        y : ndarray (N,) or (N, 1), as y was in `fit`
        """
        require_aligned(X=X, groups=groups)
        model = self.estimator
        rows = matrix(model._inputs(model._features(X)))
        codes = self._codes(groups, len(rows), unknown)
        codes = np.where(codes < len(self.labels_), codes, -1)
        outputs = model.net_.predict(model.theta_, rows, n_jobs=model.n_jobs).astype(np.float64)
        outputs[:, 0] += self._posterior.effect(rows, codes)
        predicted: Array = model._predictions(outputs)
        return predicted


class AdaptedClassifier(_Adapted):
    """Predictions of a classifier adapted to clusters; `RFPClassifier.adapt` makes it.

    Attributes
    ----------
    thetas_ : ndarray (C, P)
        Each cluster's parameters, in the order of `labels_`: theta_c^k, or as much of the way there as its
        number of rows warrants.
    labels_ : ndarray (C,)
        The clusters.
    status_ : ClusterStatus
        Their losses before and after the inner steps, and which of them diverged.
    estimator : RFPClassifier
        The fitted estimator they come from.

    Examples
    --------
    >>> from rfpcore import RFPClassifier
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = RFPClassifier(max_iter=50, random_state=0).fit(X, y > 1, groups)
    >>> adapted = model.adapt(X, y > 1, groups)
    >>> adapted.predict_proba(X[:3], groups[:3]).shape
    (3, 2)
    """

    def decision_function(self, X: Any, groups: Any = None, unknown: Unknown = "raise") -> Array:
        """Logits, as `RFPClassifier.decision_function`."""
        logits: Array = self.estimator._decisions(self._outputs(X, groups, unknown))
        return logits

    def predict_proba(self, X: Any, groups: Any = None, unknown: Unknown = "raise") -> Array:
        """Probabilities of the classes (N, n_classes)."""
        probabilities: Array = self.estimator._probabilities(self._outputs(X, groups, unknown))
        return probabilities

    def predict(self, X: Any, groups: Any = None, unknown: Unknown = "raise") -> Array:
        """Predict the class with the parameters of each row's cluster.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array (N,), optional
            The cluster of each row; None where there is only one.
        unknown : {"raise", "population"}
            Of rows of other clusters: an error, or the population's parameters.

        Returns
        -------
        y : ndarray (N,)
        """
        predicted: Array = self.estimator._predictions(self._outputs(X, groups, unknown))
        return predicted

    def score(
        self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None, unknown: Unknown = "raise"
    ) -> float:
        """Accuracy of the predictions."""
        from sklearn.metrics import accuracy_score

        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        self.estimator._require_outcomes(y)
        return float(accuracy_score(y, self.predict(X, groups, unknown), sample_weight=sample_weight))
