"""What fitted and adapted mixed models predict, in one place.

Both have `_rows(X, groups)`, which checks and completes them, a `_memory` and an `_estimator`.
"""

from typing import Any

import numpy as np

from ..._arrays import Array
from ..._limits import seed
from ..._options import MAX_STEPS, boolean, choice, fraction, integer
from .._known import Unknown
from ._moments import Prediction, Variances


class _Predicts:
    """Whatever the outcomes."""

    def _predict(self: Any, X: Any, groups: Any, unknown: Unknown, variances: Variances) -> Prediction:
        choice(unknown, "unknown", Unknown)
        features, groups = self._rows(X, groups)
        found: Prediction = self._memory.at(features, groups, unknown, variances)
        return found

    def sample_effects(
        self: Any, X: Any, groups: Any = None, *, n_samples: int = 1, random_state: Any = 0
    ) -> Array:
        """Joint draws of the clusters' effects, given what is known of the clusters.

        Added to `predict(X)` they are draws of the clusters' functions: for what depends on several rows at
        once, such as a cluster's total, a ranking of clusters, or the best x in a cluster. (Where `mean_` is
        "ordinary network", `predict(X)` is not the f beside which effects are.) The population's function and
        the variances are taken as they were estimated.

        Parameters
        ----------
        X : array or frame (N, n_features)
        groups : array (N,) or (N, 2), optional
            As in `predict`: known clusters, or after `adapt` those adapted to. None: after `adapt` the one
            cluster there is.
        n_samples : int >= 1, default=1
        random_state : int, RandomState or None, default=0

        Returns
        -------
        effects : ndarray (N, n_samples)
            In the units of y; of counts and classes on the scale of the link, in Laplace's approximation.

        Raises
        ------
        ValueError, TypeError
            On misuse, and for clusters of which nothing is known.
        """
        n_samples = integer(n_samples, "n_samples", 1, MAX_STEPS)
        random = seed(random_state, "random_state")
        features, groups = self._rows(X, groups)
        if groups is None:
            raise ValueError("groups is None; effects are those of clusters: each row's is needed")
        draws: Array = self._memory.draws(features, groups, n_samples, random)
        return draws


class PredictsNumbers(_Predicts):
    """Numbers and counts; goes before the rest of an estimator."""

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
        found = self._predict(X, groups, unknown, "all" if return_std else "of means")
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
            Of rows of the mean weight, after a fit with weights.
        """
        level = fraction(level, "level")
        found = self._predict(X, groups, unknown, "of outcomes")
        if found.family is not None:
            raise ValueError(
                f"intervals of new outcomes are for loss='squared'; this model has {found.family!r}"
            )
        interval: Array = found.interval(level)
        return interval


class PredictsClasses(_Predicts):
    """Two classes; goes before the rest of an estimator."""

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
