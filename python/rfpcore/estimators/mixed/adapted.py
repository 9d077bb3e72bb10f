"""What `adapt` of the mixed models returns."""

from typing import Any

import numpy as np

from ..._arrays import Array, require_finite
from ..._frames import require_aligned
from ._model import FittedModel
from ._predictions import PredictsClasses, PredictsNumbers

__all__ = ["AdaptedMixedClassifier", "AdaptedMixedRegressor"]


class _AdaptedMixed:
    """The posterior of clusters, and how rows find theirs."""

    def __init__(self, estimator: Any, model: FittedModel) -> None:
        self.estimator = estimator
        self._memory = model

    @property
    def labels_(self) -> Array:
        """The clusters (C,)."""
        return self._memory.effects.labels

    @property
    def _estimator(self) -> Any:
        return self.estimator

    def __repr__(self) -> str:
        count = len(self.labels_)
        return f"{type(self).__name__}({count} cluster{'s' * (count > 1)})"

    def _rows(self, X: Any, groups: Any) -> tuple[Array, Any]:
        require_aligned(X=X, groups=groups)
        features = self.estimator._features(X)
        require_finite(features, "X")
        if groups is None:
            if len(self.labels_) > 1 or self._memory.effects.structure.levels > 1:
                raise ValueError(
                    f"groups is needed: which of the {len(self.labels_)} clusters each row belongs to"
                )
            groups = self.labels_[np.zeros(len(features), np.intp)]
        return features, groups


class AdaptedMixedRegressor(PredictsNumbers, _AdaptedMixed):
    """Predictions for clusters of which some rows are known; `MixedRegressor.adapt` makes it.

    Attributes
    ----------
    labels_ : ndarray (C,)
        The clusters.
    estimator : MixedRegressor
        The fitted estimator it comes from.

    Examples
    --------
    >>> from rfpcore import MixedRegressor
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = MixedRegressor(mean="gp").fit(X[:400], y[:400], groups[:400])
    >>> adapted = model.adapt(X[400:410], y[400:410], groups[400:410])
    >>> adapted
    AdaptedMixedRegressor(1 cluster)
    >>> adapted.predict_interval(X[410:412], groups[410:412], level=0.9).shape
    (2, 2)
    """

    def score(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> float:
        """R² of the predictions."""
        from sklearn.metrics import r2_score

        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        self.estimator._require_outcomes(y)
        return float(r2_score(y, self.predict(X, groups), sample_weight=sample_weight))


class AdaptedMixedClassifier(PredictsClasses, _AdaptedMixed):
    """Predictions for clusters of which some rows are known; `MixedClassifier.adapt` makes it.

    Attributes
    ----------
    labels_ : ndarray (C,)
        The clusters.
    estimator : MixedClassifier
        The fitted estimator it comes from.

    Examples
    --------
    >>> from rfpcore import MixedClassifier
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = MixedClassifier(mean="gp").fit(X[:400], y[:400] > 1, groups[:400])
    >>> model.adapt(X[400:410], y[400:410] > 1, groups[400:410]).predict_proba(X[410:412]).shape
    (2, 2)
    """

    def score(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> float:
        """Accuracy of the predictions."""
        from sklearn.metrics import accuracy_score

        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        self.estimator._require_outcomes(y)
        return float(accuracy_score(y, self.predict(X, groups), sample_weight=sample_weight))
