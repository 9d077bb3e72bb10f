"""Several networks on the same rows, fitted in one call: their mean, and how far they are apart."""

import copy
import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._arrays import Array
from .._options import MAX_STEPS, boolean, integer
from .._progress import make_progress
from ..exceptions import InterruptedWarning
from ..many import ModelResult
from . import _plain_fit
from ._network import FileEstimator
from .mlp import MLPClassifier, MLPRegressor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EnsembleClassifier", "EnsembleRegressor"]

MemberT = TypeVar("MemberT", MLPClassifier, MLPRegressor)

# What all members have learnt alike, and the ensemble with them.
_COMMON = ("n_features_in_", "feature_names_in_", "classes_", "n_outputs_", "_y_ndim")


class EnsembleBase(FileEstimator, Generic[MemberT]):
    """What the regressor and the classifier share."""

    estimators_: list[MemberT]
    estimator: MemberT | None
    _Member: type[MemberT]

    def __init__(
        self,
        estimator: MemberT | None = None,
        n_estimators: int = 10,
        *,
        bootstrap: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Self":
        """Train the networks, as many at a time as there are threads.

        Parameters
        ----------
        X : array or frame (N, n_features)
        y : array (N,) or, of a regressor, (N, n_outputs)
        sample_weight : array (N,), optional
            Weights of the rows; a row of weight 0 is left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work; the message says what was given and what is needed.
        DivergenceError
            If the loss of a network stops being finite.

        Warns
        -----
        InterruptedWarning
            On Ctrl-C after some of the networks are done: `estimators_` has those. Before, the
            KeyboardInterrupt is passed on and the ensemble stays as it was.
        ConvergenceWarning
            If early stopping was asked for and `max_iter` came first.
        """
        member = self._new_member()
        count = integer(self.n_estimators, "n_estimators", 1, MAX_STEPS)
        random = check_random_state(self.random_state)
        data = _plain_fit.prepare(member, X, y, sample_weight, random)
        plan = _plain_fit.plan(member, len(data.X))
        net = plan.model.net(data.X.shape[1], member._n_network_outputs)
        seeds = random.randint(2**31 - 1, size=count).tolist()
        theta = [_plain_fit.start(member, net, data, seed) for seed in seeds]
        rows = None
        if boolean(self.bootstrap, "bootstrap"):
            rows = list(random.randint(len(data.X), size=(count, len(data.X))))
        done: dict[int, ModelResult] = {}
        with make_progress(type(self).__name__, count, "networks", bool(self.verbose)) as progress:

            def finished(index: int, result: ModelResult) -> None:
                done[index] = result
                progress.update(len(done), f"loss {result.loss_curve[-1]:.4g}")

            try:
                models = [plan.with_seed(seed) for seed in seeds]
                _plain_fit.train(member, data, models, theta, rows, finished)
            except KeyboardInterrupt:
                if not done:
                    raise
        results = [done[index] for index in sorted(done)]
        self._take(member, results, plan.epoch)
        if len(done) < count:
            warnings.warn(
                f"interrupted: {len(done)} of {count} networks are done, and make up the ensemble",
                InterruptedWarning,
                stacklevel=2,
            )
        _plain_fit.warn_unless_converged(member, results, stacklevel=2)
        return self

    def _new_member(self) -> MemberT:
        """A network's estimator, unfitted, with the ensemble's number of threads."""
        if self.estimator is not None and not isinstance(self.estimator, self._Member):
            raise TypeError(
                f"estimator is a {type(self.estimator).__name__}; {self._Member.__name__} is needed"
            )
        member: MemberT = self._Member() if self.estimator is None else clone(self.estimator)
        member.n_jobs = self.n_jobs
        return member

    def _take(self, member: MemberT, results: list[ModelResult], epoch: int) -> None:
        """Set the learnt attributes."""
        members = []
        for result in results:
            own = copy.copy(member)
            own.random_state = result.model.seed
            _plain_fit.store(own, result, epoch)
            members.append(own)
        self._adopt(members)

    def _adopt(self, members: list[MemberT]) -> None:
        """Be the ensemble of these fitted members."""
        self.estimators_ = members
        for name in _COMMON:
            self.__dict__.pop(name, None)
            if hasattr(members[0], name):
                setattr(self, name, getattr(members[0], name))

    @property
    def n_iter_(self) -> int:
        """The most epochs that a network has taken."""
        return max(member.n_iter_ for member in self.estimators_)

    def _each(self, X: Any) -> Array:
        """Linear outputs of every network, (M, N, outputs)."""
        check_is_fitted(self)
        rows = self._features(X)
        return np.stack([own.net_.predict(own.theta_, rows, n_jobs=self.n_jobs) for own in self.estimators_])


class EnsembleRegressor(MultiOutputMixin, RegressorMixin, EnsembleBase[MLPRegressor]):
    """The mean of several `MLPRegressor`, and their spread.

    The networks differ in their seeds: first parameters, batches, masks and noise. With `bootstrap` they
    also differ in their rows, drawn with replacement, without copying any. The spread says how much of the
    prediction is the seed's, or the sample's, doing; it is no standard error of the mean.

    Parameters
    ----------
    estimator : MLPRegressor, optional
        What to fit; its own random_state and n_jobs do not matter. None: with all defaults.
    n_estimators : int, default=10
        Number of networks.
    bootstrap : bool, default=False
        Give each network rows of its own, drawn with replacement.
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
        return np.stack([self.estimators_[0]._predictions(outputs) for outputs in self._each(X)])

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
        each = self.predict_each(X)
        return (each.mean(axis=0), each.std(axis=0)) if return_std else each.mean(axis=0)


class EnsembleClassifier(ClassifierMixin, EnsembleBase[MLPClassifier]):
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
        each = self.predict_proba_each(X)
        return (each.mean(axis=0), each.std(axis=0)) if return_std else each.mean(axis=0)

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
