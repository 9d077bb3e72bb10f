"""What the regressor and the classifier share: parameters, fit, adaptation."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ... import functional
from ..._arrays import F64, Array, cast
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors, object_of, only, tensor
from ..._frames import require_aligned
from ..._options import (
    MAX_STEPS,
    Activation,
    DType,
    Layers,
    OnDivergence,
    Order,
    at_least,
    boolean,
    check_inner_lr,
    integer,
)
from ...clusters import Clusters
from ...losses import Loss
from ...network import MLP
from ...optimizers import Schedule
from ...status import ClusterStatus
from .._network import NetworkEstimator
from .._warnings import warn_without_groups
from ..mixed import EffectsPrior, effects_prior
from . import _fit
from ._fit import Fit, Memory, StartingPoint
from ._folds import Choice, choose_steps
from ._inner_step import warn_if_harmful
from ._regularization import soften, training_loss
from ._settings import AUTO_STEPS, LIMITS, ScheduleName, Settings, Solver, check_settings
from ._sharded import Way, fit_shards
from ._shrinkage import STEPS, choose_kappa, moved, rows_of
from ._splits import ClusteredRows, split
from ._training import CHECK_EVERY
from .adapted import AdaptedClassifier, AdaptedRegressor

if TYPE_CHECKING:
    from typing_extensions import Self


LARGEST_LOG = 100.0  # of a variance over another

AdaptedT = TypeVar("AdaptedT", AdaptedRegressor, AdaptedClassifier)


class RFPBase(NetworkEstimator, Generic[AdaptedT]):
    """All but the outcomes: a subclass says what y is, which loss it has, and what predictions are."""

    inner_lr_: float | Array | None
    validation_scores_: NDArray[np.float64]
    best_iteration_: int
    effects_: EffectsPrior | None
    shrinkage_: float
    _memory: _fit.Memory
    _Adapted: type[AdaptedT]
    _has_inner_loop = True
    _added: ClassVar[Mapping[str, Any]] = {"standardize": False}
    _limits = LIMITS

    def __init__(
        self,
        *,
        standardize: bool = True,
        hidden_layer_sizes: Any = (64, 64),
        activation: Activation = "tanh",
        alpha: float = 0.5,
        inner_steps: int = 1,
        inner_lr: Any = "auto",
        inner_momentum: float = 0.0,
        adapt_layers: Layers = "all",
        order: Order = "exact",
        query_fraction: float | None = None,
        solver: Solver = "adam",
        learning_rate_init: float = 5e-3,
        learning_rate: ScheduleName | Schedule = "cosine",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        regularization: Any = None,
        max_iter: int | Literal["auto"] = "auto",
        batch_size: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 100,
        tol: float | None = None,
        on_divergence: OnDivergence = "raise",
        dtype: DType = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        warm_start: bool = False,
        callbacks: Any = None,
    ) -> None:
        self.standardize = standardize
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.inner_steps = inner_steps
        self.inner_lr = inner_lr
        self.inner_momentum = inner_momentum
        self.adapt_layers = adapt_layers
        self.order = order
        self.query_fraction = query_fraction
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.regularization = regularization
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.on_divergence = on_divergence
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.warm_start = warm_start
        self.callbacks = callbacks

    def _tasks(self) -> tuple[int | None, bool]:
        steps = self._checked()["max_iter"]
        return None if steps is None else -(-steps // CHECK_EVERY), True

    def _check_params(self) -> None:
        net = self.net_
        MLP(net.n_inputs, self.hidden_layer_sizes, net.n_outputs, self.activation)
        check_settings(self, self._checked(), training_loss(self), net.n_parameters)

    # Files.

    def _describe(self, tensors: Tensors) -> Document:
        memory = self._remembered("save")
        document = super()._describe(tensors)
        tensors |= {"first_moment": memory.first_moment, "second_moment": memory.second_moment}
        if self.inner_lr_ is not None:
            tensors["inner_lr"] = np.atleast_1d(np.asarray(self.inner_lr_, np.float64))
        prior = getattr(self, "effects_", None)
        if prior is not None:
            tensors |= {
                f"effects.{name}": getattr(prior, name) for name in ("x_mean", "x_scale", "parameters")
            }
            tensors["effects.y_scale"] = np.array([prior.y_scale])
            if prior.weight != 1:  # as in all files before there was one
                tensors["effects.weight"] = np.array([prior.weight])
            tensors["effects.n_clusters"] = np.array([prior.n_clusters], np.float64)
        return document | {"memory": {"n_steps": memory.n_steps, "batch_seed": memory.batch_seed}}

    def _restore(self, tensors: Tensors, document: Document) -> None:
        super()._restore(tensors, document)
        self.inner_lr_, n = None, self.net_.n_parameters
        if "inner_lr" in tensors:
            array = tensor(tensors, "inner_lr", None, dtype=F64)
            self.inner_lr_ = check_inner_lr(array[0] if array.shape == (1,) else array, n)
        if self._adapts_exactly:
            self.effects_ = _effects(tensors, self.n_features_in_)
        if "shrinkage_" in document["learnt"]:
            self.shrinkage_ = at_least(document["learnt"]["shrinkage_"], "shrinkage_", 0.0)
        own = object_of(document, "memory")
        only(own, "memory", {"n_steps", "batch_seed"})
        n_steps = integer(own["n_steps"], "n_steps", 0, MAX_STEPS)
        first, second = (
            tensor(tensors, name, n, dtype=self.theta_.dtype) for name in ("first_moment", "second_moment")
        )
        if second.min() < 0:
            raise ValueError(f"second_moment has {second.min()}; a mean of squares is not negative")
        self._memory = _fit.Memory(
            n_steps, first, second, integer(own["batch_seed"], "batch_seed", 0, 2**64 - 1)
        )

    # Fitting.

    def _fit(
        self,
        X: Any,
        y: Any,
        groups: Any,
        sample_weight: Any,
        *,
        incremental: bool = False,
        classes: Any = None,
    ) -> "Self":
        """`fit`, or with `incremental` one pass over the data."""
        goes_on = incremental and hasattr(self, "theta_")
        given = self._checked()
        if not (given["warm_start"] or goes_on):
            self._forget()
        rows = self._rows(
            X, y, groups, sample_weight, learn=not goes_on, weigh_anew=incremental, classes=classes
        )
        warn_without_groups(groups, len(rows.X), given["alpha"])
        if not incremental:  # a batch has no scale to go by
            self._warn_of_scales(rows.X, rows.y)
        fit = self._train(rows, given, incremental, goes_on)
        self._take(fit, goes_on)
        _fit.say(fit, look_at_inner_step=not incremental)
        return self

    def _train(self, rows: ClusteredRows, given: dict[str, Any], incremental: bool, goes_on: bool) -> Fit:
        """Outer steps, as many as `max_iter` says or clusters left out, or `incremental` one pass over them.

        With `goes_on` the outer optimizer goes on where the last `partial_fit` left it.
        """
        net = MLP(rows.X.shape[1], self.hidden_layer_sizes, self._n_network_outputs, self.activation)
        self._require_same(net, "partial_fit" if goes_on else "warm_start")
        settings = self._settings(net, given, given["max_iter"], incremental)
        if incremental and settings.early_stopping:
            raise ValueError("partial_fit takes one pass at a time; it has no use for early_stopping=True")
        if incremental and settings.learned_rate is not None:
            raise ValueError("partial_fit takes one pass at a time; inner_lr='learned' needs fit")
        random = settings.random_state
        init_seed, batch_seed = (int(seed) for seed in random.randint(2**31 - 1, size=2))
        share = settings.validation_fraction if settings.early_stopping else None
        data, held_out = split(rows, share, settings.query_fraction, random)
        start = (
            self._go_on()
            if goes_on
            else StartingPoint(
                self._first_theta(net, data.X.dtype, data.y, data.sample_weight, init_seed), batch_seed
            )
        )
        chosen = Choice(0)
        if not incremental and given["max_iter"] is None and share is None:
            chosen = self._steps(net, data, start, given)
            settings = self._settings(net, given, chosen.steps)
        fit = self._run(net, data, held_out, settings, start, 1 if incremental else None)
        if self._adapts_exactly and (not goes_on or self._effects_are_old(fit, data.n_clusters)):
            residual = data.y[:, 0] - chosen.predict(net, data, fit.theta)[:, 0]
            before = getattr(self, "effects_", None) if goes_on else None  # kept where this pass cannot tell
            self.effects_ = (
                effects_prior(data.X, residual, data.offsets, data.sample_weight, settings.n_threads)
                or before
            )
        return fit

    def _effects_are_old(self, fit: Fit, n_clusters: int) -> bool:
        """Whether `partial_fit` has come to 2, 8, 32, ... steps since `effects_` were estimated.

        After the first pass its residuals are those of a network that has learnt next to nothing. An estimate
        costs as much as some forty passes, so that it cannot be made after each. A pass over few clusters
        beside those of a fit knows less than the fit.
        """
        before, now = self._memory.n_steps, int(fit.training.trainer.n_steps)
        prior = getattr(self, "effects_", None)
        if hasattr(self, "shrinkage_") or (prior is not None and 2 * n_clusters < prior.n_clusters):
            return False
        return before.bit_length() // 2 < now.bit_length() // 2

    def _run(
        self,
        net: MLP,
        data: Clusters,
        held_out: Clusters | None,
        settings: Settings,
        start: StartingPoint,
        passes: int | None,
    ) -> Fit:
        """The outer loop, of which callbacks are told."""
        if self._watched is not None:
            settings = replace(settings, callbacks=(*settings.callbacks, self._watched))
            self._watched.begin_steps()
        fit = _fit.run(
            net,
            data,
            held_out,
            settings,
            start,
            passes=passes,
            view=lambda theta, inner_lr: self._moment(net, theta, inner_lr),
            name=type(self).__name__,
        )
        if self._watched is not None:
            self._watched.end_steps()
        return fit

    @all_or_nothing
    def fit_shards(self, shards: Any, *, scheduler: Any = None, cache_bytes: Any = None) -> "Self":
        """Minimize R_k over clusters that lie in Parquet files, one shard of them after the other.

        The objective, the optimizers, the standardization and the rules for stopping are those of `fit`; data
        are read as they are needed. Each outer step sums the shards' gradients in their order: the result has
        the same bits here and on any number of workers, where all use the same instructions.

        Parameters
        ----------
        shards : ParquetShards
            Of `rfpcore.sharded`: files of which each holds whole clusters, as `write_shards` makes them.
        scheduler : dask.distributed.Client, optional
            Whose workers take part: each keeps some shards from step to step, and those of one that is lost
            are read again by others. They have to see the files at the same paths. None: this process.
        cache_bytes : float, optional
            Bytes of shards that are kept from one step to the next, here or on each worker; the others are
            read again. None: 256 MiB here, 40 % of a worker's memory limit (1 GiB where it has none) there.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            Without pyarrow.
        ValueError, TypeError
            On misuse, before any work; and if a cluster has rows in two shards.
        DivergenceError
            If the loss of a cluster stops being finite and `on_divergence` is "raise".
        RuntimeError
            If no worker is left, or a shard was lost with its worker three times.

        Notes
        -----
        What differs from `fit`: with `batch_size` a step takes whole shards, in a new order each epoch, as
        many as have so many clusters on average, and an `inner_lr` that is "auto" or "learned" goes by
        these. Clusters are held out by their label and `random_state`; with `query_fraction` rows are drawn
        by these and by their order within the cluster: others than `fit` draws, as random. `max_iter="auto"`
        leaves out folds of clusters by their label, and takes up to 1130 steps of the work of two (of four
        with up to 100 clusters) to choose; one cluster alone is an error. A regressor's bias starts at the
        outcomes' mean for all losses but the Poisson one (the mean's logarithm). `effects_` and `shrinkage_`
        come of the first shard, `effects_` of 100 000 rows of it at most. `n_jobs` is of each worker, by
        default its threads.
        """
        given = self._checked()
        way = Way(shards, scheduler, cache_bytes)
        if not given["warm_start"]:
            self._forget()
        fit = fit_shards(self, way, given)
        self._take(fit, goes_on=False)
        return self

    @property
    def _adapts_exactly(self) -> bool:
        """Whether clusters' effects have a posterior in closed form."""
        return False

    def _settings(
        self, net: MLP, given: dict[str, Any], n_steps: int | None, endless: bool = False
    ) -> Settings:
        """What the outer loop has to know, for so many steps."""
        own = given | {"max_iter": n_steps}
        return check_settings(self, own, training_loss(self), net.n_parameters, endless=endless)

    def _steps(self, net: MLP, data: Clusters, start: StartingPoint, given: dict[str, Any]) -> Choice:
        """How many outer steps "auto" is: as clusters left out say, or after a warm start as before."""
        if hasattr(self, "theta_"):  # which has seen all clusters, so that none can be left out
            return Choice(min(self.n_iter_, AUTO_STEPS))

        def settings_of(steps: int) -> Settings:
            return self._settings(net, given, steps)

        found = choose_steps(self, net, start.theta, data, settings_of, start.batch_seed)
        if found.thetas is not None and found.folds is not None:
            settings = settings_of(found.steps)
            self.shrinkage_ = choose_kappa(net, found.thetas, data, found.folds, settings)
        return found

    def _go_on(self) -> StartingPoint:
        """Where the last `partial_fit` or `fit` ended."""
        memory = self._remembered("partial_fit")
        state = (memory.n_steps, self.theta_, memory.first_moment, memory.second_moment)
        return StartingPoint(self.theta_, memory.batch_seed, state, self.inner_lr_)

    def _first_theta(
        self, net: MLP, own: np.dtype[Any], y: Array, sample_weight: Array | None, seed: int
    ) -> Array:
        """The parameters to start from: those learnt so far (warm start), or random ones.

        `own` is the dtype of the features, `y` (N, columns) what the network is trained on.
        """
        dtype = own if self.dtype == "auto" else np.dtype(self.dtype)
        if hasattr(self, "theta_"):
            return cast(self.theta_, dtype, "theta_")
        given = self.random_state
        # An int seeds the network as it does in MLP.init, so that a fit can be redone with the functions.
        theta = net.init(given if isinstance(given, int | np.integer) else seed, dtype)
        net.unflatten(theta)[-1][1][:] = self._first_bias(y, sample_weight)
        return theta

    def _take(self, fit: Fit, goes_on: bool) -> None:
        """Set the learnt attributes."""
        training, patience = fit.training, fit.patience
        curve = np.asarray(training.loss_curve)
        self.net_, self.theta_, self.inner_lr_ = training.net, fit.theta, fit.inner_lr
        self.loss_curve_ = np.concatenate([self.loss_curve_, curve]) if goes_on else curve
        self.n_iter_ = len(self.loss_curve_)
        for name in ("validation_scores_", "best_iteration_"):
            self.__dict__.pop(name, None)  # of the fit before a warm start
        if patience.best_theta is not None:
            self.validation_scores_ = np.asarray(patience.scores)
            self.best_iteration_ = patience.best_iteration
        self._memory = fit.memory

    def _rows(
        self,
        X: Any,
        y: Any,
        groups: Any,
        sample_weight: Any,
        *,
        learn: bool,
        weigh_anew: bool = False,
        classes: Any = None,
    ) -> ClusteredRows:
        """The data as arrays; with `learn`, what there is to know of features and outcomes is kept.

        Classes weigh as the parameter says with `learn` or `weigh_anew`, else as it did in the fit.
        """
        self._require_y(y)
        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        features = self._features(X, learn)
        if learn:
            self._learn_targets(y if classes is None else classes)
        sample_weight = self._weigh(y, sample_weight, learn or weigh_anew)
        if learn:
            self._learn_scaling(features, y, sample_weight)
        return ClusteredRows(
            self._inputs(features), soften(self, self._encode_targets(y)), groups, sample_weight
        )

    def _view(self, net: MLP, theta: Array, inner_lr: float | Array | None) -> "Self":
        """A fitted estimator with these parameters."""
        view = copy.copy(self)
        view.net_, view.theta_, view.inner_lr_ = net, theta, inner_lr
        return view

    def _moment(self, net: MLP, theta: Array, inner_lr: float | Array | None) -> "Self":
        """The same in the middle of a fit, whose memory is not known yet."""
        view = self._view(net, theta, inner_lr)
        view.__dict__.pop("_memory", None)  # of an earlier fit
        return view

    def _remembered(self, method: str) -> Memory:
        """What a fit of its own leaves behind."""
        memory: Memory | None = getattr(self, "_memory", None)
        if memory is None:
            raise ValueError(
                f"{method} needs a fit of its own, and this {type(self).__name__} is one of Refits or of a "
                "moment within a fit: it predicts and adapts. theta_ are its parameters, and "
                "sklearn.base.clone(...).fit makes one that can be saved"
            )
        return memory

    # Use.

    def adapt(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        sample_weight: Any = None,
        inner_steps: int | None = STEPS,
        inner_lr: Any = "auto",
        *,
        shrink: bool = True,
    ) -> AdaptedT:
        """Adapt to clusters, seen in training or not.

        Ten gradient steps of a size that the curvature of these clusters allows predict better than those of
        training, which are there to regularize.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `fit`.
        inner_steps : int or None, default=10
            How many inner steps; None takes as many as in training.
        inner_lr : float, array (P,), "auto" or None, default="auto"
            None takes `inner_lr_`; "auto" chooses from the curvature of these clusters.
        shrink : bool, default=True
            Go n / (n + `shrinkage_`) of the way that the steps go, for a cluster of n rows, where that is
            known (`max_iter="auto"`): else a few rows' noise may cost more than they tell.

        Returns
        -------
        AdaptedRegressor or AdaptedClassifier
            Predicts with each cluster's own parameters.

        Warns
        -----
        InnerStepWarning
            If the step raises the loss of clusters that make up more than a tenth of these.
        """
        check_is_fitted(self)
        data = self._rows(X, y, groups, sample_weight, learn=False).clusters()
        thetas, status = self._adapt_by_gradient(data, inner_steps, inner_lr)
        if boolean(shrink, "shrink") and hasattr(self, "shrinkage_"):
            thetas = moved(self.theta_, thetas, rows_of(data), self.shrinkage_)
        return self._Adapted(self._view(self.net_, self.theta_, self.inner_lr_), thetas, status)

    def _auto_inner_lr(self, data: Clusters, loss: Loss) -> float | Array:
        """What the curvature of these clusters allows; where it allows anything, what training took."""
        try:
            return functional.auto_inner_lr(self.net_, self.theta_, data, loss, n_jobs=self.n_jobs)
        except ValueError:
            if self.inner_lr_ is None:
                raise
            return self.inner_lr_

    def _adapt_by_gradient(
        self, data: Clusters, inner_steps: int | None, inner_lr: Any
    ) -> tuple[Array, ClusterStatus]:
        """Each cluster's parameters after inner steps, and what the steps did."""
        loss = training_loss(self)
        if inner_lr is None:
            inner_lr = "auto" if self.inner_lr_ is None else self.inner_lr_
        if isinstance(inner_lr, str) and inner_lr == "auto":
            inner_lr = self._auto_inner_lr(data, loss)
        thetas, status = functional.adapt(
            self.net_,
            self.theta_,
            data,
            self.inner_steps if inner_steps is None else inner_steps,
            inner_lr,
            loss,
            self.n_jobs,
            inner_momentum=self.inner_momentum,
            adapt_layers=self.adapt_layers,
            on_divergence=self.on_divergence,
        )
        before, after = status.loss_before, status.loss_after
        warn_if_harmful(self.net_, self.theta_, data, loss, inner_lr, before, after)
        return thetas, status


def _effects(tensors: Tensors, d: int) -> EffectsPrior | None:
    """The covariance of clusters' effects, where there is one."""
    if "effects.parameters" not in tensors:
        return None
    parameters, x_mean, x_scale, y_scale = (
        tensor(tensors, f"effects.{name}", length, dtype=F64)
        for name, length in (("parameters", 5), ("x_mean", d), ("x_scale", d), ("y_scale", 1))
    )
    weight, count = (  # not in older files
        float(tensor(tensors, name, 1, dtype=F64)[0]) if name in tensors else default
        for name, default in (("effects.weight", 1.0), ("effects.n_clusters", 0.0))
    )
    if not ((x_scale > 0).all() and y_scale[0] > 0 and weight > 0):
        raise ValueError("the effects' scales are not above 0")
    if not (0 <= count < 2**53 and count.is_integer()):
        raise ValueError(f"the effects are of {count:g} clusters; a whole number is needed")
    if np.abs(parameters).max() > LARGEST_LOG:
        raise ValueError(f"the effects' parameters are {parameters}; logarithms of variances are needed")
    return EffectsPrior(x_mean, x_scale, float(y_scale[0]), parameters, weight, int(count))
