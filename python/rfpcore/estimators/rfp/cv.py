"""The regressor with alpha, inner steps, inner step and number of outer steps chosen on clusters left out."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from ... import _rfpcore
from ..._arrays import F64, Array, shown
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors, object_of, only, tensor
from ..._frames import AlignedScore
from ..._limits import Check, Limited, Limits, seed, unchecked, whole
from ..._options import check_alpha, integer, items, positive, real
from ...clusters import Clusters
from ...files import Saved, put, take
from ...network import MLP
from ._settings import Settings, check_settings
from ._training import CHECK_EVERY
from .adapted import AdaptedRegressor
from .refits import first_thetas, why_not_refit
from .regressor import RFPRegressor

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
        Minus its mean loss on clusters left out. The best of many, so it flatters.
    cv_results_ : dict of ndarrays
        For each combination: "alpha", "inner_steps", "inner_lr"; "loss" (combinations, looks), the mean over
        clusters left out; "loss_error", the same of its standard error over folds. "iteration" (looks,) has
        the outer steps.
    n_features_in_ : int
        Number of features.

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
    def fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> "Self":
        """Choose and fit.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `RFPRegressor.fit`; groups are needed.

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
        given = self._checked()
        own = given["random_state"]
        base, grid = self._base(own), _combinations(given)
        template = clone(base)
        rows = template._rows(X, y, groups, sample_weight, learn=True)
        data = rows.clusters()
        folds = _deal(data.n_clusters, self.n_folds, own)
        losses = _validate(template, data, grid, folds)
        weight = data.sizes if data.cluster_weight is None else data.cluster_weight
        share = np.bincount(folds, weight) / weight.sum()
        mean = np.tensordot(losses, share, axes=(1, 0))
        if not np.isfinite(mean).any():
            raise ValueError("every combination diverges in some fold; smaller inner_lrs are needed")
        best, look = np.unravel_index(int(np.argmin(mean)), mean.shape)
        steps = _validation_steps(template.max_iter)
        self._keep_results(grid, losses, mean, steps)
        alpha, k, inner_lr = grid[int(best)]
        self.best_params_ = dict(zip(_CHOSEN, (alpha, k, inner_lr, int(steps[look])), strict=True))
        self.best_score_ = -float(mean[best, look])
        self.best_estimator_ = clone(base).set_params(**self.best_params_).fit(X, y, groups, sample_weight)
        self.n_features_in_ = self.best_estimator_.n_features_in_
        return self

    def _base(self, own: int) -> RFPRegressor:
        if not isinstance(self.estimator, RFPRegressor | None):
            raise TypeError(f"estimator is a {type(self.estimator).__name__}; RFPRegressor is needed")
        base = RFPRegressor(inner_lr=0.05) if self.estimator is None else clone(self.estimator)
        given = base.random_state
        base.set_params(random_state=own if given is None else seed(given, "the estimator's random_state"))
        if isinstance(base.inner_lr, str):
            base.set_params(inner_lr=0.05)  # replaced by those of the grid
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

    def adapt(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> AdaptedRegressor:
        """As `RFPRegressor.adapt` of the best fit.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `fit`.

        Returns
        -------
        AdaptedRegressor
        """
        check_is_fitted(self)
        adapted: AdaptedRegressor = self.best_estimator_.adapt(X, y, groups, sample_weight)
        return adapted

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


def _validation_steps(max_iter: int) -> NDArray[np.int64]:
    """Outer steps after which held-out clusters are looked at."""
    steps = np.arange(CHECK_EVERY, max_iter + CHECK_EVERY, CHECK_EVERY)
    return np.minimum(steps, max_iter)


def _deal(n_clusters: int, n_folds: Any, seed: int) -> NDArray[np.intp]:
    """(C,) a fold for each cluster, equally many each."""
    if n_clusters < 2:
        raise ValueError(f"there is {n_clusters} cluster; to leave clusters out, at least 2 are needed")
    count = integer(n_folds, "n_folds", 2, n_clusters)
    random = np.random.default_rng(seed)
    order = random.permutation(n_clusters)
    folds = np.empty(n_clusters, np.intp)
    folds[order] = np.arange(n_clusters) % count
    return folds


def _validate(template: RFPRegressor, data: Clusters, grid: Any, folds: NDArray[np.intp]) -> Array:
    """(combinations, folds, looks) loss on the clusters of each fold; infinite from where a fit diverges."""
    net = MLP(data.X.shape[1], template.hidden_layer_sizes, template._n_network_outputs, template.activation)
    out = np.arange(folds.max() + 1)[:, None] == folds
    starts = first_thetas(template, net, data, 1.0 - out)
    settings: list[Settings] = []
    for alpha, k, inner_lr in grid:
        point = clone(template).set_params(alpha=alpha, inner_steps=k, inner_lr=inner_lr)
        settings.append(check_settings(point, point._checked(), template._loss, net.n_parameters))
    repeat = [s for s in settings for _ in out]
    held_out = np.tile(out, (len(grid), 1))
    batches = int(np.random.RandomState(template.random_state).randint(2**31 - 1, size=2)[1])
    first = settings[0]
    result = _rfpcore.refit(
        net._architecture,
        np.tile(starts, (len(grid), 1)),
        data.handle(net, first.loss, starts.dtype),
        1.0 - held_out,
        np.array([s.alpha for s in repeat]),
        [s.inner(net.n_parameters, 1.0 if s.inner_lr is None else s.inner_lr) for s in repeat],
        first.loss,
        first.optimizer,
        first.max_iter,
        np.full(len(repeat), batches, np.uint64),
        held_out,
        first.batch_size,
        CHECK_EVERY,
        first.max_iter,
        0.0,
        1.0,
        first.skip_diverged,
        first.n_threads,
    )
    losses = np.full((len(repeat), len(_validation_steps(first.max_iter))), np.inf)
    losses[:, : result[4].shape[1]] = np.nan_to_num(result[4], nan=np.inf, posinf=np.inf)
    return losses.reshape(len(grid), len(out), -1)
