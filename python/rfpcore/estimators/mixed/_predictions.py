"""What fitted and adapted mixed models predict, in one place: both have a `_predict`."""

from typing import Any

import numpy as np

from ..._arrays import Array
from ..._options import boolean, fraction
from .._known import Unknown


class PredictsNumbers:
    """Numbers and counts; goes before what has `_predict` and `_estimator`."""

    def predict(
        self: Any, X: Any, groups: Any = None, *, unknown: Unknown = "raise", return_std: bool = False
    ) -> Any:
        """Predict the population's function, or that of known clusters.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array (N,) or (N, 2), optional
            Clusters of the fit, or those adapted to: f and the posterior mean of the cluster's effect. None:
            f, or after `adapt` the one cluster there is.
        unknown : {"raise", "population"}
            Of rows of other clusters: an error, or f.
        return_std : bool, default=False
            The standard deviation of what is predicted, too: of f, or of the cluster's function given its
            rows (with the prior variance of the effect in a cluster that is not known).

        Returns
        -------
        y : ndarray (N,), or with `return_std` a tuple of two
        """
        return_std = boolean(return_std, "return_std")
        # The mean of a count depends on the effect's variance.
        else_wanted = "none" if self._estimator.loss == "squared" else "of outcomes"
        found = self._predict(X, groups, unknown, "all" if return_std else else_wanted)
        return (found.outcome, found.std) if return_std else found.outcome

    def predict_interval(
        self: Any, X: Any, groups: Any = None, *, level: float = 0.95, unknown: Unknown = "raise"
    ) -> Array:
        """Intervals for new outcomes, calibrated on clusters left out.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array, optional
            As in `predict`. None: a row of a cluster never seen, or after `adapt` of the one cluster.
        level : float in (0, 1), default=0.95
        unknown : {"raise", "population"}

        Returns
        -------
        interval : ndarray (N, 2)
        """
        level, loss = fraction(level, "level"), self._estimator.loss
        if loss != "squared":
            raise ValueError(f"intervals of new outcomes are for loss='squared'; this model has {loss!r}")
        interval: Array = self._predict(X, groups, unknown, "of outcomes").interval(level)
        return interval


class PredictsClasses:
    """Two classes; goes before what has `_predict` and `_estimator`."""

    def predict_proba(self: Any, X: Any, groups: Any = None, *, unknown: Unknown = "raise") -> Array:
        """Probabilities of the classes, over what is not known of the clusters' effects.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array (N,) or (N, 2), optional
            Clusters of the fit, or those adapted to. None: of a cluster never seen, or after `adapt` of the
            one cluster there is.
        unknown : {"raise", "population"}

        Returns
        -------
        p : ndarray (N, 2)
        """
        second = self._predict(X, groups, unknown, "of outcomes").outcome
        return np.column_stack([1 - second, second])

    def predict(self: Any, X: Any, groups: Any = None, *, unknown: Unknown = "raise") -> Array:
        """The more probable class, (N,)."""
        likely = self.predict_proba(X, groups, unknown=unknown)[:, 1] > 0.5
        found: Array = self._estimator.classes_[likely.astype(np.intp)]
        return found
