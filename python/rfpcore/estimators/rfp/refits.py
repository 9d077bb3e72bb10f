"""Many fits of one regressor in one call of the kernel, each on clusters of its own."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ... import _rfpcore
from ..._arrays import Array, as_floats, require_finite, require_total, shown
from ..._dask import require_client, results_of, shares, threads_of_each
from ..._options import check_alpha, random_source
from ...clusters import Clusters
from ...exceptions import DivergenceError
from ...network import MLP
from .._dealt import held_out_clusters
from ._folds import choose_steps, first_thetas
from ._settings import Settings, check_settings
from ._training import CHECK_EVERY

if TYPE_CHECKING:
    from .regressor import RFPRegressor

__all__ = ["Refits", "refit_clusters", "why_not_refit"]

ADVICE = "a smaller inner_lr or on_divergence='skip' helps"


@dataclass(frozen=True, eq=False, repr=False)
class Refits:
    """What `refit_clusters` returns.

    Attributes
    ----------
    net : MLP
        The network of all fits.
    thetas : ndarray (R, P)
        The parameters of each fit.
    labels : ndarray (C,)
        The clusters, in the order of the columns of `counts`.
    n_iter, best_iteration : ndarray (R,) of int
        Outer steps taken, and those after which `thetas` were taken: fewer with early stopping.
    """

    net: MLP
    thetas: Array
    labels: Array
    n_iter: NDArray[np.int64]
    best_iteration: NDArray[np.int64]
    _template: "RFPRegressor"

    def __len__(self) -> int:
        return len(self.thetas)

    def __repr__(self) -> str:
        return f"Refits({len(self)} fits on {len(self.labels)} clusters, {self.net.n_parameters} parameters)"

    def __getitem__(self, index: int) -> "RFPRegressor":
        """The fitted regressor of one fit."""
        inner_lr = None if isinstance(self._template.inner_lr, str) else self._template.inner_lr
        return self._template._view(self.net, self.thetas[operator.index(index)], inner_lr)

    def __iter__(self) -> Iterator["RFPRegressor"]:
        return (self[index] for index in range(len(self)))

    def predict(self, X: Any) -> Array:
        """Predictions of every fit, each as `RFPRegressor.predict` gives them.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (R, N) or (R, N, n_outputs), as y was
        """
        template = self._template
        features = template._inputs(template._features(X))
        outputs = (self.net.predict(theta, features, n_jobs=template.n_jobs) for theta in self.thetas)
        return np.stack([template._predictions(output) for output in outputs])


def why_not_refit(estimator: Any) -> str | None:
    """Why `refit_clusters` cannot fit this estimator, or None if it can."""
    from .regressor import RFPRegressor

    if type(estimator) is not RFPRegressor:
        return f"it is a {type(estimator).__name__}, not an RFPRegressor"
    seed, chosen = estimator.random_state, isinstance(estimator.inner_lr, str)
    reasons = {
        f"inner_lr={estimator.inner_lr!r} looks at each fit while it runs": (
            chosen and check_alpha(estimator.alpha) < 1
        ),
        "query_fraction is set": estimator.query_fraction is not None,
        "callbacks are set": estimator.callbacks is not None,
        "tol is set without early_stopping": estimator.tol is not None and not estimator.early_stopping,
        "warm_start is set": bool(estimator.warm_start),
        "random_state is neither an int nor None": not (seed is None or isinstance(seed, int | np.integer)),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def refit_clusters(
    estimator: "RFPRegressor",
    X: Any,
    y: Any,
    groups: Any,
    counts: Any,
    sample_weight: Any = None,
    *,
    scheduler: Any = None,
) -> Refits:
    """Fit a regressor once for each row of `counts`, all fits in one call of the kernel.

    Fit r sees cluster c `counts[r, c]` times. Where these are 0 and 1, it has the same bits as
    `clone(estimator).fit` on the rows of the clusters that count, but for what is learnt once of all of them:
    with `standardize` means and standard deviations, with `max_iter="auto"` the number of steps. No data are
    copied, and the fits run beside each other, one a thread. A `random_state` of None is drawn once, so that
    all fits start alike.

    Parameters
    ----------
    estimator : RFPRegressor
        With a numeric `inner_lr` (or alpha = 1), without `query_fraction`, callbacks, `warm_start`, or `tol`
        without early stopping. With early stopping every fit holds out clusters of its own.
    X, y, groups, sample_weight
        As in `RFPRegressor.fit`.
    counts : array (R, C)
        How often each cluster counts in each fit, not negative; the clusters in sorted order of their labels.
        A frame whose columns are labels has to have them in this order.
    scheduler : dask.distributed.Client, optional
        Fit on its workers, in jobs of some fits each, with the same result, as `rfpcore.many.fit_many` does.
        `n_jobs` of the estimator is then of each job, by default 1.

    Returns
    -------
    Refits

    Raises
    ------
    ValueError, TypeError
        On misuse; the message says what was given and what is needed.
    DivergenceError
        If the loss of a cluster stops being finite in one of the fits, and `on_divergence` is "raise".

    Examples
    --------
    The jackknife over clusters:

    >>> import numpy as np
    >>> from rfpcore import RFPRegressor
    >>> from rfpcore.estimators import refit_clusters
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = RFPRegressor(hidden_layer_sizes=(8,), inner_lr=0.02, max_iter=20, random_state=0)
    >>> fits = refit_clusters(model, X, y, groups, counts=1 - np.eye(20))
    >>> fits, fits.predict(X).shape
    (Refits(20 fits on 20 clusters, 25 parameters), (20, 500))
    """
    reason = why_not_refit(estimator)
    if reason is not None:
        raise ValueError(f"these fits cannot be batched: {reason}")
    client = require_client(scheduler)
    template = clone(estimator)
    if template.random_state is None:
        template.random_state = int(random_source(None).randint(2**31 - 1))
    rows = template._rows(X, y, groups, sample_weight, learn=True)
    data = rows.clusters()
    _require_labels(counts, data.labels)
    checked = _counts(counts, data.n_clusters)
    net = MLP(data.X.shape[1], template.hidden_layer_sizes, template._n_network_outputs, template.activation)
    dtype = data.X.dtype if template.dtype == "auto" else np.dtype(template.dtype)
    theta = net.init(template.random_state, dtype)
    given = template._checked()
    batch_seed = int(given["random_state"].randint(2**31 - 1, size=2)[1])
    work = _Work(template, given, net, data, given["max_iter"], batch_seed)
    if work.max_iter is None and not template.early_stopping:
        steps = choose_steps(template, net, theta, data, work.settings_of, batch_seed).steps
        work = work._replace(max_iter=steps)
    held_out = _held_out(work.settings, checked)
    checked[held_out] = 0.0
    found = work.train(_Fits(first_thetas(template, net, theta, data, checked), checked, held_out), client)
    for index, fault in enumerate(found.faults):
        if fault is not None:
            where = f"fit {index} of {len(checked)}: "
            raise DivergenceError.of(fault, data.labels, lambda: ADVICE, where)
    return Refits(net, found.thetas, data.labels, found.n_iter, found.best_iteration, template)


def _require_labels(counts: Any, labels: Array) -> None:
    """ValueError where a frame's columns are the clusters in another order, or some of them and others."""
    columns, own = list(getattr(counts, "columns", ())), labels.tolist()
    others = set(columns) - set(own)
    if 0 < len(others) < len(columns) and columns != list(range(len(columns))):
        raise ValueError(
            f"the columns of counts name {shown(min(others, key=repr))}, which is no cluster; the clusters "
            f"are {own[:5]}"
        )
    if columns != own and sorted(map(str, columns)) == sorted(map(str, own)):
        raise ValueError(
            f"the columns of counts are the clusters in another order: {columns[:5]}, where "
            f"{own[:5]} is needed"
        )


def _counts(counts: Any, n_clusters: int) -> NDArray[np.float64]:
    array = as_floats(counts, "counts").astype(np.float64)
    if array.ndim != 2 or array.shape[1] != n_clusters or len(array) == 0:
        raise ValueError(
            f"counts has shape {array.shape}; there are {n_clusters} clusters, "
            f"so (n_fits, {n_clusters}) is needed"
        )
    require_finite(array, "counts")
    bad = np.flatnonzero((array < 0).any(axis=1) | ~(array > 0).any(axis=1))
    if len(bad):
        raise ValueError(
            f"counts must not be negative and have a positive one in each row, but row {bad[0]} is "
            f"{array[bad[0]].tolist()}"
        )
    for index, row in enumerate(array):
        require_total(row, f"counts[{index}]")
    return array.copy()


def _held_out(settings: Settings, counts: Array) -> NDArray[np.bool_]:
    """(R, C) the clusters that each fit holds out: as a fit on the clusters that count would draw them."""
    mask = np.zeros(counts.shape, bool)
    if not settings.early_stopping:
        return mask
    state = settings.random_state.get_state()
    for row, chosen in zip(counts, mask, strict=True):
        random = np.random.RandomState()
        random.set_state(state)
        present = np.flatnonzero(row)
        chosen[present[held_out_clusters(len(present), settings.validation_fraction, random)]] = True
    return mask


class _Fits(NamedTuple):
    """Where fits start (R, P), how often each sees the clusters (R, C), and those that it holds out."""

    thetas: Array
    counts: Array
    held_out: NDArray[np.bool_]

    def part(self, share: range) -> "_Fits":
        """Some of them."""
        return _Fits(*(each[share.start : share.stop] for each in self))


class _Found(NamedTuple):
    """Of each fit, as in `Refits`; and what ended it early, or None."""

    thetas: Array
    n_iter: NDArray[np.int64]
    best_iteration: NDArray[np.int64]
    faults: list[Any]


class _Work(NamedTuple):
    """What all fits share; settings hold objects of the kernel, and are made of it wherever it is."""

    template: "RFPRegressor"
    given: dict[str, Any]
    net: MLP
    data: Clusters
    max_iter: int | None
    seed: int

    @property
    def settings(self) -> Settings:
        return self.settings_of(self.max_iter)

    def settings_of(self, steps: int | None) -> Settings:
        """With this number of steps."""
        given = self.given | {"max_iter": steps}
        return check_settings(self.template, given, self.template._loss, self.net.n_parameters)

    def train(self, fits: _Fits, client: Any) -> _Found:
        """All fits: here, or in jobs of some each on a client's workers."""
        if client is None or len(fits.thetas) == 1:  # one fit has all threads here
            return _train(self, fits)
        jobs = [fits.part(share) for share in shares(client, len(fits.thetas))]
        one_thread = {"n_jobs": threads_of_each(client, self.template.n_jobs)}
        parts = results_of(client, _train, self._replace(given=self.given | one_thread), jobs)
        return _Found(
            np.concatenate([part.thetas for part in parts]),
            np.concatenate([part.n_iter for part in parts]),
            np.concatenate([part.best_iteration for part in parts]),
            [fault for part in parts for fault in part.faults],
        )


def _train(work: _Work, fits: _Fits) -> _Found:
    settings, (thetas, counts, held_out) = work.settings, fits
    inner_lr = 1.0 if settings.inner_lr is None else settings.inner_lr
    result = _rfpcore.refit(
        work.net._architecture,
        thetas,
        work.data.handle(work.net, settings.loss, thetas.dtype),
        counts,
        np.full(len(counts), settings.alpha),
        [settings.inner(work.net.n_parameters, inner_lr)] * len(counts),
        settings.loss,
        settings.optimizer,
        settings.max_iter,
        np.full(len(counts), work.seed, np.uint64),
        held_out if settings.early_stopping else None,
        settings.batch_size,
        CHECK_EVERY,
        settings.n_iter_no_change,
        settings.tol or 0.0,
        None,
        settings.skip_diverged,
        settings.n_threads,
    )
    return _Found(result[0], result[1].astype(np.int64), result[2].astype(np.int64), result[5])
