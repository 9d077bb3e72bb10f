"""Several networks on the same rows, fitted in one call: their mean, and how far they are apart."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ..._arrays import Array
from ..._frames import AlignedScore
from ..._options import boolean, fraction
from ...losses import read
from .._targets import require_labels
from ._ensemble import EnsembleBase, mean_and_spread
from .estimators import MLPClassifier, MLPRegressor

__all__ = ["EnsembleClassifier", "EnsembleRegressor"]


class EnsembleRegressor(AlignedScore, MultiOutputMixin, RegressorMixin, EnsembleBase[MLPRegressor]):
    """The mean of several `MLPRegressor`, and their spread.

    The networks differ in their seeds: first parameters, batches, masks and noise. With `bootstrap` they
    also differ in their rows, drawn with replacement, without copying any. The spread says how much of the
    prediction is the seed's, or the sample's, doing; it is no standard error of the mean. Of a bootstrap
    `predict_interval` has intervals for outcomes.

    Parameters
    ----------
    estimator : MLPRegressor, optional
        What to fit; its own random_state and n_jobs do not matter. None: with all defaults.
    n_estimators : int, default=10
        Number of networks.
    bootstrap : bool, default=False
        Give each network rows of its own, drawn with replacement; whole clusters where `fit` has groups.
    random_state : int, RandomState or None, default=None
        Of the seeds and the rows.
    n_jobs : int or None, default=None
        Threads; a network is trained on one of them.
    verbose : int, default=0
        1 shows progress on standard error, as a bar if `rich` is installed.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
        The fitted networks.
    n_iter_ : int
        The most epochs that one has taken.
    n_features_in_, feature_names_in_, n_outputs_
        As in `MLPRegressor`.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell (2017), "Simple and scalable predictive uncertainty estimation
    using deep ensembles"; Breiman (1996), "Bagging predictors".

    .. [1] Kim, Xu and Barber (2020), "Predictive inference is free with the jackknife+-after-bootstrap".

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore import EnsembleRegressor, MLPRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> network = MLPRegressor(hidden_layer_sizes=(16,), activation="tanh", learning_rate_init=0.01)
    >>> model = EnsembleRegressor(network, 5, random_state=0).fit(X, X[:, 0] ** 2)
    >>> mean, std = model.predict([[0.0], [3.0]], return_std=True)
    >>> bool(std[1] > std[0])  # the networks agree where there are data
    True
    """

    _Member = MLPRegressor

    def predict_each(self, X: Any) -> Array:
        """Predictions of every network.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (M, N) or (M, N, n_outputs)
        """
        each = self._each(X)
        pairs = zip(self.estimators_, each, strict=True)
        return np.stack([own._predictions(outputs) for own, outputs in pairs])

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the mean of the networks' predictions.

        Parameters
        ----------
        X : array or frame (N, n_features)
        return_std : bool, default=False
            Also the standard deviation over the networks, with the denominator M.

        Returns
        -------
        y : ndarray (N,) or (N, n_outputs), as y was in `fit`; with `return_std` a pair of them
        """
        mean, std = mean_and_spread(self.predict_each(X))
        return (mean, std) if boolean(return_std, "return_std") else mean

    def predict_interval(self, X: Any, *, level: float = 0.9) -> Array:
        """Intervals for the outcomes of new rows, or of rows of new clusters where `fit` had groups.

        Jackknife+ after bootstrap (Kim, Xu and Barber, 2020): the error of a row is that of the mean of the
        networks that have not drawn it, or its cluster; a cluster counts once, as in `ClusterConformal`. A
        random row of a new cluster is inside with a probability of about `level`. Of at least 2 · `level` − 1
        where clusters are exchangeable, the number of networks is random, and nothing else is learnt from all
        rows (`standardize`, `early_stopping`).

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
            If the ensemble is no bootstrap, of counts, or of several outcomes; or if there are too few rows
            or clusters for the level.
        """
        check_is_fitted(self)
        share = fraction(level, "level")
        if read(self._fit_loss).name == "poisson":
            raise ValueError(
                "there are no intervals for counts: their errors grow with their mean, and one width for all "
                "rows would be wrong for most of them"
            )
        if self.n_outputs_ > 1:
            raise ValueError(f"there are no intervals for {self.n_outputs_} outcomes; one is needed")
        if self._left_out is None:
            raise ValueError(
                "intervals need errors of rows that networks have not drawn: fit with bootstrap=True, and "
                "with so many networks that not all draw each row, or cluster"
            )
        each = self.predict_each(X)
        return self._left_out.intervals(each.reshape(len(each), -1), share, "rows or clusters")

    def _measures_errors(self, member: MLPRegressor) -> bool:
        return member._known.name != "poisson" and member.n_outputs_ == 1


class EnsembleClassifier(AlignedScore, ClassifierMixin, EnsembleBase[MLPClassifier]):
    """The mean of the probabilities of several `MLPClassifier`, and their spread.

    Parameters
    ----------
    estimator : MLPClassifier, optional
        What to fit; its own random_state and n_jobs do not matter. None: with all defaults.
    n_estimators, bootstrap, random_state, n_jobs, verbose
        As in `EnsembleRegressor`.

    Attributes
    ----------
    estimators_ : list of MLPClassifier
        The fitted networks.
    classes_ : ndarray (n_classes,)
    n_iter_, n_features_in_, feature_names_in_
        As in `EnsembleRegressor`.

    Examples
    --------
    >>> from rfpcore import EnsembleClassifier, MLPClassifier
    >>> from rfpcore.datasets import make_noisy_moons
    >>> X, y, y_clean = make_noisy_moons(random_state=0)
    >>> model = EnsembleClassifier(MLPClassifier((16,)), 5, bootstrap=True, random_state=0).fit(X, y)
    >>> model.predict_proba_each(X).shape
    (5, 250, 2)
    """

    classes_: Array
    _Member = MLPClassifier

    def _require_outcomes(self, y: Any) -> None:
        require_labels(y)

    def predict_proba_each(self, X: Any) -> Array:
        """Probabilities of every network.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        probabilities : ndarray (M, N, n_classes)
        """
        return np.stack([self.estimators_[0]._probabilities(outputs) for outputs in self._each(X)])

    def predict_proba(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the networks' probabilities, in the order of `classes_`.

        Parameters
        ----------
        X : array or frame (N, n_features)
        return_std : bool, default=False
            Also the standard deviation over the networks, with the denominator M.

        Returns
        -------
        probabilities : ndarray (N, n_classes); with `return_std` a pair of them
        """
        mean, std = mean_and_spread(self.predict_proba_each(X))
        return (mean, std) if boolean(return_std, "return_std") else mean

    def predict(self, X: Any) -> Array:
        """Predict the class whose mean probability is the largest.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (N,) of class labels
        """
        best = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels
