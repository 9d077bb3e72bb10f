"""What the ensembles share: parameters, fit, members."""

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors
from ..._limits import Limits, randomness, shown_progress, threads, unchecked, whole
from ..._options import boolean, shows
from ..._progress import make_progress
from ..._warn import warn
from ...exceptions import InterruptedWarning
from ...many import ModelResult
from .._callbacks import told
from .._network import FeatureEstimator
from .._saved import SavedEnsemble
from . import _training
from ._left_out import ErrorsLeftOut, left_out_of
from .estimators import MLPClassifier, MLPRegressor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EnsembleBase", "mean_and_spread"]

MemberT = TypeVar("MemberT", MLPClassifier, MLPRegressor)

# What all members have learnt alike, and the ensemble with them.
_COMMON = ("n_features_in_", "feature_names_in_", "classes_", "n_outputs_", "_y_ndim", "_fit_loss")


def mean_and_spread(each: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the first axis; neither sums nor squares overflow."""
    exponent = np.frexp(np.abs(each).max())[1] + 1
    small = np.ldexp(each, -exponent)
    return np.ldexp(small.mean(axis=0), exponent), np.ldexp(small.std(axis=0), exponent)


class EnsembleBase(SavedEnsemble, FeatureEstimator, Generic[MemberT]):
    """All but what predictions are."""

    estimators_: list[MemberT]
    estimator: MemberT | None
    _Member: type[MemberT]
    _left_out: ErrorsLeftOut | None = None
    _limits: ClassVar[Limits] = {
        "estimator": unchecked,
        "n_estimators": whole(),
        "bootstrap": boolean,
        "random_state": randomness,
        "n_jobs": threads,
        "verbose": shown_progress,
    }

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

    def _check_params(self) -> None:
        self._checked()

    def _tasks(self) -> tuple[int | None, bool]:
        return self._checked()["n_estimators"], False

    def _require_usable(self) -> None:
        self._check_params()
        for member in self.estimators_:
            member._require_usable()

    @all_or_nothing
    @told
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, scheduler: Any = None
    ) -> "Self":
        """Train the networks, as many at a time as there are threads.

        Parameters
        ----------
        X : array or frame (N, n_features)
        y : array (N,) or, of a regressor, (N, n_outputs)
        sample_weight : array (N,), optional
            Weights of the rows; a row of weight 0 is left out.
        groups : array (N,), optional
            The cluster of each row: `bootstrap` draws whole clusters, and a member's `early_stopping` holds
            them out.
        scheduler : dask.distributed.Client, optional
            Train on its workers, with the same result, as in `rfpcore.many.fit_many`.

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
        own, member = self._checked(), self._new_member()
        count, random = own["n_estimators"], own["random_state"]
        given = member._checked()
        data = member._learn(X, y, sample_weight, groups, random)
        seeds = random.randint(2**31 - 1, size=count).tolist()
        rows = data.resampled(count, random) if own["bootstrap"] else None
        sizes = [len(data.X)] * count if rows is None else [len(own_rows) for own_rows in rows]
        plans = [_training.plan(member, given, size) for size in sizes]
        results = self._train(member, data, plans, seeds, rows, scheduler)
        self._take_members(member, results, plans)
        self._left_out = None
        if rows is not None and self._measures_errors(member):
            self._left_out = left_out_of(dict(zip(results, self.estimators_, strict=True)), data, rows)
        if len(results) < count:
            warn(
                f"interrupted: {len(results)} of {count} networks are done, and make up the ensemble",
                InterruptedWarning,
            )
        _training.warn_unless_converged(plans[0], list(results.values()))
        return self

    def _measures_errors(self, member: MemberT) -> bool:
        """Whether intervals can be made of errors."""
        return False

    def _train(
        self,
        member: MemberT,
        data: _training.Data,
        plans: list[_training.Plan],
        seeds: list[int],
        rows: list[Array] | None,
        scheduler: Any,
    ) -> dict[int, ModelResult]:
        """A network for each seed, by its number; after Ctrl-C those that are done, if there are any."""
        verbose = shows(self.verbose)
        n_outputs = member._n_network_outputs
        net = plans[0].model.net(data.X.shape[1], n_outputs)
        theta = [member._first_theta(net, data, seed) for seed in seeds]
        models = [plan.with_seed(seed) for plan, seed in zip(plans, seeds, strict=True)]
        done: dict[int, ModelResult] = {}
        with make_progress(type(self).__name__, len(seeds), "networks", verbose) as progress:

            def finished(index: int, result: ModelResult) -> None:
                done[index] = result
                if self._watched is not None:
                    self._watched.network(index)
                progress.update(len(done), f"loss {result.loss_curve[-1]:.4g}")

            try:
                _training.train(data, models, theta, n_outputs, member.n_jobs, rows, finished, scheduler)
            except KeyboardInterrupt:
                if not done:
                    raise
        return {index: done[index] for index in sorted(done)}

    def _new_member(self) -> MemberT:
        """A network's estimator, unfitted, with the ensemble's number of threads."""
        if self.estimator is not None and not isinstance(self.estimator, self._Member):
            raise TypeError(
                f"estimator is a {type(self.estimator).__name__}; {self._Member.__name__} is needed"
            )
        member: MemberT = self._Member() if self.estimator is None else clone(self.estimator)
        member.n_jobs = self.n_jobs
        return member

    def _take_members(
        self, member: MemberT, results: dict[int, ModelResult], plans: list[_training.Plan]
    ) -> None:
        """Set the learnt attributes."""
        members = []
        for index, result in results.items():
            own = copy.copy(member)
            own.random_state = result.model.seed
            own._take(result, plans[index].epoch)
            members.append(own)
        self._adopt(members)

    def _restore(self, tensors: Tensors, document: Document) -> None:
        super()._restore(tensors, document)
        self._left_out = ErrorsLeftOut.of_file(tensors, len(self.estimators_))

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
        rows, n_jobs = self._features(X), self.n_jobs
        return np.stack(
            [own.net_.predict(own.theta_, own._inputs(rows), n_jobs=n_jobs) for own in self.estimators_]
        )
