"""The regressor with alpha, inner steps, inner step and number of outer steps chosen on clusters left out."""

import itertools
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..._arrays import F64, Array, shown
from ..._atomic import all_or_nothing
from ..._dask import require_client, results_of
from ..._file_parts import Document, Tensors, object_of, only, tensor
from ..._frames import AlignedScore
from ..._limits import Check, Limited, Limits, seed, unchecked, whole
from ..._options import check_alpha, items, positive, real
from ...clusters import Clusters
from ...files import Saved, put, take
from ...network import MLP
from ._folds import checked_steps, deal, first_thetas, leave_out, share_of_folds
from ._settings import AUTO_STEPS, Settings, check_settings, named_schedule
from ._shrinkage import choose_kappa, losses_at, rows_of
from ._training import CHECK_EVERY
from .refits import why_not_refit
from .regressor import AdaptMethod, RFPRegressor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RFPRegressorCV"]

_CHOSEN = ("alpha", "inner_steps", "inner_lr", "max_iter")


def _each(limit: Check) -> Check:
    """A sequence of at least one number, each within a limit."""

    def of(values: Any, name: str) -> list[Any]:
        needed = "a sequence of at least one number"
        try:
            found = items(values, name, needed)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not found:
            raise ValueError(f"{name}={shown(values)}; {needed} is needed")
        return [limit(value, name) for value in found]

    return of


class RFPRegressorCV(Saved, Limited, AlignedScore, MultiOutputMixin, RegressorMixin, BaseEstimator):
    """`RFPRegressor` with its options chosen by cross-validation over clusters.

    Clusters are dealt to folds. For each combination of `alphas`, `inner_steps` and `inner_lrs` and each
    fold, a network is trained on the other folds' clusters, and the loss of its population parameters on the
    fold's clusters is looked at every 10 outer steps: what is chosen is what predicts a cluster never seen,
    and how long to train is chosen with it. All fits are one call of the kernel. The best combination is
    fitted once more to all clusters.

    Parameters
    ----------
    estimator : RFPRegressor, optional
        Everything else; its `max_iter` is the most outer steps tried. None: `RFPRegressor(inner_lr=0.05)`.
    alphas : sequence of float, default=(0.1, 0.2, 0.5, 1.0)
        Weights of the loss before adaptation. 1 is ordinary training, for which the inner loop does not
        matter.
    inner_steps : sequence of int, default=(1,)
        Inner steps k.
    inner_lrs : sequence of float, default=(0.02, 0.05, 0.1)
        Inner steps' sizes. Combinations that diverge are passed over.
    n_folds : int, default=5
        Folds of clusters.
    random_state : int, RandomState or None, default=0
        Deals clusters to folds; also the networks' seed unless the estimator has one. By default the same
        each time, so that a choice made again is the same.

    Attributes
    ----------
    best_estimator_ : RFPRegressor
        The fit to all clusters.
    best_params_ : dict
        Its alpha, inner_steps, inner_lr and max_iter.
    best_score_ : float
        Minus its mean loss on clusters left out, in standardised outcomes if the estimator's are. The best of
        many, so it flatters.
    cv_results_ : dict of ndarrays
        For each combination: "alpha", "inner_steps", "inner_lr"; "loss" (combinations, looks), the mean over
        clusters left out; "loss_error", the same of its standard error over folds. "iteration" (looks,) has
        the outer steps.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str (n_features_in_,)
        Their names, where X had any.

    Examples
    --------
    >>> from rfpcore.datasets import make_vee
    >>> from rfpcore.estimators import RFPRegressor, RFPRegressorCV
    >>> X, y, groups = make_vee(random_state=0)
    >>> base = RFPRegressor(hidden_layer_sizes=(16,), inner_lr=0.05, max_iter=200)
    >>> model = RFPRegressorCV(base, alphas=(0.1, 1.0), inner_lrs=(0.02, 0.05)).fit(X, y, groups)
    >>> len(model.cv_results_["alpha"]), model.cv_results_["iteration"][-1]  # ordinary training counts once
    (3, np.int64(200))
    >>> model.predict(X).shape
    (500,)
    """

    _limits: ClassVar[Limits] = {
        "estimator": unchecked,
        "alphas": _each(lambda value, name: check_alpha(value)),
        "inner_steps": _each(whole(0)),
        "inner_lrs": _each(positive),
        "n_folds": whole(2),
        "random_state": seed,
    }

    def __init__(
        self,
        estimator: RFPRegressor | None = None,
        *,
        alphas: Sequence[float] = (0.1, 0.2, 0.5, 1.0),
        inner_steps: Sequence[int] = (1,),
        inner_lrs: Sequence[float] = (0.02, 0.05, 0.1),
        n_folds: int = 5,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.alphas = alphas
        self.inner_steps = inner_steps
        self.inner_lrs = inner_lrs
        self.n_folds = n_folds
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None, *, scheduler: Any = None) -> "Self":
        """Choose and fit.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `RFPRegressor.fit`; groups are needed.
        scheduler : dask.distributed.Client, optional
            Try the combinations on its workers, each a job, with the same result, as
            `rfpcore.many.fit_many` does; the best one is fitted here. `n_jobs` of the estimator is, of a job,
            by default 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, or if every combination diverges.
        """
        if groups is None:
            raise ValueError("groups is None; clusters are left out to choose, so they are needed")
        given, client = self._checked(), require_client(scheduler)
        own = given["random_state"]
        base, grid = self._base(own), _combinations(given)
        template = clone(base)
        rows = template._rows(X, y, groups, sample_weight, learn=True)
        data = rows.clusters()
        folds = deal(data.n_clusters, self.n_folds, own)
        points = _Points.of(template, data, grid, folds)
        losses = _losses(points, _Tried(template, data, folds), grid, client)
        mean = np.tensordot(losses, share_of_folds(data, folds), axes=(1, 0))
        if not np.isfinite(mean).any():
            raise ValueError("every combination diverges in some fold; smaller inner_lrs are needed")
        steps = checked_steps(template.max_iter, CHECK_EVERY)
        self._keep_results(grid, losses, mean, steps)
        index, n_steps, kappa = _simplest(points, mean, steps)
        self.best_params_ = dict(zip(_CHOSEN, (*grid[index], n_steps), strict=True))
        self.best_score_ = -float(mean[index].min())
        # Trained for fewer steps, but along the schedule that was looked at.
        schedule = named_schedule(base.learning_rate, int(base.max_iter))
        best_estimator = clone(base).set_params(**self.best_params_, learning_rate=schedule)
        self.best_estimator_ = best_estimator.fit(X, y, groups, sample_weight)
        self.best_estimator_.shrinkage_ = kappa
        self.n_features_in_ = self.best_estimator_.n_features_in_
        return self

    @property
    def feature_names_in_(self) -> Array:
        """Names of the features."""
        names: Array = self.best_estimator_.feature_names_in_
        return names

    def _base(self, own: int) -> RFPRegressor:
        if not isinstance(self.estimator, RFPRegressor | None):
            raise TypeError(f"estimator is a {type(self.estimator).__name__}; RFPRegressor is needed")
        base = RFPRegressor(inner_lr=0.05) if self.estimator is None else clone(self.estimator)
        given = base.random_state
        base.set_params(random_state=own if given is None else seed(given, "the estimator's random_state"))
        if isinstance(base.inner_lr, str):
            base.set_params(inner_lr=0.05)  # replaced by those of the grid
        if base.max_iter == "auto":
            base.set_params(max_iter=AUTO_STEPS)
        reason = why_not_refit(base)
        if base.early_stopping:
            reason = "early_stopping is set, but the number of steps is chosen here"
        if reason is not None:
            raise ValueError(f"estimator={base!r} cannot be cross-validated in one batch: {reason}")
        return base

    def _keep_results(self, grid: Any, losses: Array, mean: Array, steps: Array) -> None:
        alpha, k, inner_lr = (np.array(values) for values in zip(*grid, strict=True))
        with np.errstate(invalid="ignore"):  # infinite where a fit diverged
            error = losses.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
        self.cv_results_ = {
            "alpha": alpha,
            "inner_steps": k,
            "inner_lr": inner_lr,
            "iteration": steps,
            "loss": mean,
            "loss_error": error,
        }

    def predict(self, X: Any) -> Array:
        """As `RFPRegressor.predict` of the best fit.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray
        """
        check_is_fitted(self)
        predicted: Array = self.best_estimator_.predict(X)
        return predicted

    def adapt(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        sample_weight: Any = None,
        *,
        method: AdaptMethod = "auto",
    ) -> Any:
        """As `RFPRegressor.adapt` of the best fit.

        Parameters
        ----------
        X, y, groups, sample_weight, method
            As there.

        Returns
        -------
        ExactlyAdaptedRegressor or AdaptedRegressor
        """
        check_is_fitted(self)
        return self.best_estimator_.adapt(X, y, groups, sample_weight, method=method)

    _entries = frozenset({"learnt", "best"})

    def _describe(self, tensors: Tensors) -> Document:
        tensors |= {f"results.{name}": values for name, values in self.cv_results_.items()}
        learnt = {"score": self.best_score_}
        return {"learnt": learnt, "best": put(self.best_estimator_, tensors, "best.")}

    def _restore(self, tensors: Tensors, document: Document) -> None:
        self.best_estimator_ = take(RFPRegressor, tensors, document["best"], "best", "best.")
        self.best_params_ = {name: getattr(self.best_estimator_, name) for name in _CHOSEN}
        learnt = object_of(document, "learnt")
        only(learnt, "learnt", {"score"})
        self.best_score_ = real(learnt["score"], "best_score_")
        n, looks = len(tensors["results.alpha"]), len(tensors["results.iteration"])
        self.cv_results_ = {
            name: tensor(tensors, f"results.{name}", length, dtype=np.dtype(kind))
            for name, length, kind in (
                ("alpha", n, np.float64),
                ("inner_steps", n, np.int64),
                ("inner_lr", n, np.float64),
                ("iteration", looks, np.int64),
            )
        }
        for name in ("loss", "loss_error"):  # infinite where a fit diverged
            self.cv_results_[name] = tensor(tensors, f"results.{name}", n, looks, nan=True, dtype=F64)
        self.n_features_in_ = self.best_estimator_.n_features_in_

    def _require_usable(self) -> None:
        self._base(self._checked()["random_state"])
        self.best_estimator_._require_usable()


def _combinations(given: dict[str, Any]) -> list[tuple[float, int, float]]:
    """Of the grid; ordinary training once, whatever the inner loop."""
    found: dict[tuple[float, ...], tuple[float, int, float]] = {}
    for alpha, k, inner_lr in itertools.product(given["alphas"], given["inner_steps"], given["inner_lrs"]):
        key = (alpha,) if alpha == 1 or k == 0 else (alpha, k, inner_lr)
        found.setdefault(key, (alpha, k, inner_lr))
    return list(found.values())


@dataclass(frozen=True)
class _Points:
    """Combinations of options on the same folds, from the same starts."""

    net: MLP
    starts: Array
    data: Clusters
    folds: NDArray[np.intp]
    settings: list[Settings]
    seed: int

    @classmethod
    def of(cls, template: RFPRegressor, data: Clusters, grid: Any, folds: NDArray[np.intp]) -> "_Points":
        widths, n_outputs = template.hidden_layer_sizes, template._n_network_outputs
        net = MLP(data.X.shape[1], widths, n_outputs, template.activation)
        dtype = data.X.dtype if template.dtype == "auto" else np.dtype(template.dtype)
        kept = 1.0 - (np.arange(folds.max() + 1)[:, None] == folds)
        starts = first_thetas(template, net, net.init(template.random_state, dtype), data, kept)
        settings = []
        for alpha, k, inner_lr in grid:
            point = clone(template).set_params(alpha=alpha, inner_steps=k, inner_lr=inner_lr)
            settings.append(check_settings(point, point._checked(), template._loss, net.n_parameters))
        seed = int(np.random.RandomState(template.random_state).randint(2**31 - 1, size=2)[1])
        return cls(net, starts, data, folds, settings, seed)

    def validate(self, settings: list[Settings], every: int) -> tuple[Array, NDArray[np.float64]]:
        """Parameters (settings, folds, P), and losses of clusters left out (settings, folds, looks)."""
        return leave_out(self.net, self.starts, self.data, self.folds, settings, self.seed, every)

    def by_cluster(self, thetas: Array) -> NDArray[np.float64]:
        """(C,) the loss of each cluster under the fit (folds, P) that left it out."""
        each = [losses_at(self.net, theta, self.data, self.settings[0]) for theta in thetas]
        return np.asarray(each)[self.folds, np.arange(self.data.n_clusters)]


class _Tried(NamedTuple):
    """What all combinations share."""

    template: RFPRegressor
    data: Clusters
    folds: NDArray[np.intp]


def _losses(points: _Points, tried: _Tried, grid: Any, client: Any) -> NDArray[np.float64]:
    """(combinations, folds, looks) losses of clusters left out: in one call, or each combination a job."""
    if client is None:
        return points.validate(points.settings, CHECK_EVERY)[1]
    template = copy(tried.template)  # with what it has learnt of the rows
    template.n_jobs = 1 if template.n_jobs is None else template.n_jobs
    return np.concatenate(results_of(client, _losses_of_one, tried._replace(template=template), grid))


def _losses_of_one(tried: _Tried, combination: Any) -> NDArray[np.float64]:
    points = _Points.of(tried.template, tried.data, [combination], tried.folds)
    return points.validate(points.settings, CHECK_EVERY)[1]


def _simplest(points: _Points, mean: Array, steps: Array) -> tuple[int, int, float]:
    """The combination to take, its steps, and how far its `adapt` should go.

    The best one, unless ordinary training, stopped in its own time, is within a standard error: that of the
    difference of both losses over clusters, as each cluster was left out of both.
    """
    best = int(np.argmin(mean.min(axis=1)))
    ordinary = next((i for i, s in enumerate(points.settings) if not s.adapts), best)
    found = {}
    for index in {best, ordinary}:
        n_steps = int(steps[np.argmin(mean[index])])
        thetas, _ = points.validate([replace(points.settings[index], max_iter=n_steps)], n_steps)
        found[index] = (n_steps, thetas[0])
    chosen = best
    if np.isfinite(mean[ordinary]).any():
        own, rival = (points.by_cluster(found[index][1]) for index in (ordinary, best))
        gain, error = _mean_and_error(own - rival, rows_of(points.data))
        chosen = best if gain > error else ordinary
    n_steps, thetas = found[chosen]
    return (
        chosen,
        n_steps,
        choose_kappa(points.net, thetas, points.data, points.folds, points.settings[chosen]),
    )


def _mean_and_error(values: Array, weight: Array) -> tuple[float, float]:
    """A weighted mean over clusters, and its standard error."""
    share = weight / weight.sum()
    mean = float(share @ values)
    return mean, float(np.sqrt(len(values) / (len(values) - 1) * np.sum((share * (values - mean)) ** 2)))
