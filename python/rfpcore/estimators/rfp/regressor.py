"""The regressor."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._frames import AlignedScore
from ..._options import Activation, DType, Layers, OnDivergence, Order, choice, n_threads
from ...losses import RegressionLoss
from ...optimizers import Schedule
from .._callbacks import told
from .._targets import NumberTargets, regression_loss
from ._base import RFPBase
from ._settings import ScheduleName, Solver
from ._shrinkage import STEPS
from .adapted import AdaptedRegressor, ExactlyAdaptedRegressor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RFPRegressor"]

AdaptMethod = Literal["auto", "exact", "gradient"]


class RFPRegressor(AlignedScore, NumberTargets, MultiOutputMixin, RegressorMixin, RFPBase[AdaptedRegressor]):
    """Neural-network regression on clustered data by regularized bi-level gradient descent [1]_.

    Minimizes R_k(theta) = 1/N sum_c n_c [alpha L_c(theta) + (1 - alpha) L_c(theta_c^k(theta))], where
    theta_c^k is theta after k steps of gradient descent on the loss L_c of cluster c: parameters that predict
    well, and from which few steps explain what is particular to a cluster. `predict` uses theta; `adapt`
    returns predictions with each cluster's own parameters.

    Features and outcomes are standardised inside, so their units do not matter; the losses that it reports
    are those of standardised outcomes.

    Parameters
    ----------
    loss : {"squared", "poisson", "huber", "quantile"}, default="squared"
        (y - f)^2; or e^f - y f for counts, with e^f the rate that `predict` returns. Summed over outputs.
        What `losses.huber` and `losses.quantile` take is in units of the standardised outcome.
    standardize : bool, default=True
        Train on features, and outcomes other than counts, less their means and over their standard
        deviations; predictions are in the outcomes' own units. What was learnt first stays in `partial_fit`
        (its first rows should be like those to come) and with `warm_start`.
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Widths of the hidden layers; () for a linear model.
    activation : {"identity", "tanh", "relu", "softplus", "silu", "gelu", "elu"}, default="tanh"
        Applied after every hidden layer.
    alpha : float in [0, 1], default=0.5
        Weight of the loss before adaptation: 1 is ordinary training, 0 is MAML.
    inner_steps : int, default=1
        Inner steps k: how far the parameters go towards each cluster before the loss is measured again. One
        is advised: with five, long training drifts where clusters are few.
    inner_lr : "auto", "learned", float or array (P,), default="auto"
        Inner step, common or one for each parameter. "auto" takes half of what the steepest cluster allows at
        the first parameters (2 over the largest curvature). Every 50 outer steps it looks whether that has
        come to raise the loss of clusters that make up more than a tenth, and if so, chooses a smaller one.
        It is a safe step, rarely the best: larger ones regularize more, and with `inner_steps=1` a step of
        several times its size often still lowers the loss of nearly all clusters. "learned" starts there and
        learns one step for each parameter along with theta [2]_: Adam at `learning_rate_init` on their
        logarithms, by the exact derivative over all clusters, at twice the cost of an outer step or more. R_k
        falls faster; the population's function need not be better for it.
    inner_momentum : float in [0, 1), default=0.0
        Heavy-ball momentum of the inner steps.
    adapt_layers : {"all", "last"}, default="all"
        "last" adapts the output layer only.
    order : {"exact", "first"}, default="exact"
        "first" leaves out the second derivatives (first-order MAML): cheaper, and not the gradient of R_k.
    query_fraction : float in (0, 1) or None, default=None
        Share of each cluster's rows that measure the loss while the others adapt, drawn once a fit (MAML's
        query and support sets; clusters of one row cannot be split). None: all rows do both, as in the paper.
    solver : {"adam", "adamw", "sgd"}, default="adam"
        Outer optimizer.
    learning_rate_init : float, default=0.005
        First outer step.
    learning_rate : {"constant", "cosine", "power"} or Schedule, default="cosine"
        Its schedule: "cosine" falls to 0 at `max_iter`, and in `partial_fit`, which has no end, is constant;
        "power" is
        learning_rate_init / sqrt(1 + 10 t / max_iter); or one of `rfpcore.optimizers`.
    momentum : float in [0, 1), default=0.9
        Of the solver "sgd".
    weight_decay : float, default=0.0
        Of all parameters: added to the gradient, or decoupled from it with "adamw".
    clip_norm : float or None, default=None
        Largest norm of the outer gradient.
    regularization : Regularization, term, sequence of terms or None, default=None
        Of `rfpcore.regularize`: L1 and L2 in all their forms, ClipNorm and MaxNorm. They act on the outer
        steps; `weight_decay` and `clip_norm` say the same as L2 and ClipNorm, and each may be said once.
    max_iter : int or "auto", default="auto"
        Outer steps of a fit. "auto" chooses among 10, 20, 40, ... and 500 by the loss of the population's
        function on clusters left out, five folds of them (of rows, where all are one cluster); with
        `early_stopping` it is 500, and with `warm_start` as many as before.
    batch_size : int or None, default=None
        Clusters an outer step; None takes all of them.
    early_stopping : bool, default=False
        Hold out clusters, stop when R_k on them no longer falls, and keep the best parameters.
    validation_fraction : float in (0, 1), default=0.1
        Share of the clusters held out, always whole ones and at least one.
    n_iter_no_change : int, default=100
        Outer steps without a gain of more than `tol` before the fit stops.
    tol : float or None, default=None
        The gain asked for. With early stopping None means 0; without it, None means to take all `max_iter`
        steps, and a number to stop when the training objective no longer falls by it.
    on_divergence : {"raise", "skip"}, default="raise"
        Of clusters whose loss stops being finite: raise `DivergenceError`, or warn and leave them out.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Of the computation; "auto" is that of X, float64 unless X is float32.
    random_state : int, RandomState or None, default=None
        Of the first parameters, mini-batches and splits. An int starts at `net_.init(random_state)`.
    n_jobs : int or None, default=None
        Threads; -1 for all cores, None for the default pool. The result does not depend on it.
    verbose : int, default=0
        1 shows progress on standard error, as a bar if `rich` is installed.
    warm_start : bool, default=False
        Let `fit` start from the parameters learnt before, with a fresh outer optimizer.
    callbacks : callable, sequence of callables or None, default=None
        Called with a `FitState` after every 10 outer steps and after the last; True ends the fit.

    Attributes
    ----------
    theta_ : ndarray (P,)
        The population's parameters.
    net_ : MLP
        The network: `net_.predict(theta_, X)` gives its linear outputs, of standardised features.
    x_scaling_, y_scaling_ : Scaling
        With `standardize`: `level` and `spread` of features and outcomes; `x_scaling_.apply(X)` are the
        standardised features. No y_scaling_ for counts.
    inner_lr_ : float, ndarray (P,) or None
        The inner step at the end. None if "auto" was never needed (alpha = 1): then `adapt` chooses.
    shrinkage_ : float
        With `max_iter="auto"` and clusters: how many rows weigh as much as the population in `adapt`, chosen
        on clusters left out.
    loss_curve_ : ndarray (n_iter_,)
        The objective R_k at the start of each outer step.
    n_iter_ : int
        Outer steps taken.
    validation_scores_ : ndarray
        With early stopping, minus R_k on the held-out clusters after every 10 outer steps and the last.
    best_iteration_ : int
        With early stopping, the outer steps after which `theta_` was taken.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str (n_features_in_,)
        Their names, where X had any.
    n_outputs_ : int
        Number of outcomes.

    References
    ----------
    .. [1] Power and Ghosh (2025), "Regularizing the Forward Pass", section 4.
    .. [2] Li, Zhou, Chen and Li (2017), "Meta-SGD: Learning to learn quickly for few-shot learning".

    Examples
    --------
    >>> from rfpcore import RFPRegressor
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = RFPRegressor(alpha=0.1, max_iter=200, random_state=0).fit(X, y, groups)
    >>> model.predict(X).shape, model.n_iter_, len(model.loss_curve_)
    ((500,), 200, 200)
    >>> model.adapt(X, y, groups)
    ExactlyAdaptedRegressor(20 clusters)
    """

    _Adapted = AdaptedRegressor
    _limits = RFPBase._limits | {"loss": regression_loss}

    def __init__(
        self,
        *,
        loss: RegressionLoss = "squared",
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
        super().__init__(
            standardize=standardize,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            alpha=alpha,
            inner_steps=inner_steps,
            inner_lr=inner_lr,
            inner_momentum=inner_momentum,
            adapt_layers=adapt_layers,
            order=order,
            query_fraction=query_fraction,
            solver=solver,
            learning_rate_init=learning_rate_init,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            regularization=regularization,
            max_iter=max_iter,
            batch_size=batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            on_divergence=on_divergence,
            dtype=dtype,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
            warm_start=warm_start,
            callbacks=callbacks,
        )
        self.loss = loss

    @all_or_nothing
    @told
    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> "Self":
        """Minimize R_k over the clusters.

        Parameters
        ----------
        X : array or frame (N, n_features)
            Features, finite; of NumPy, pandas or polars.
        y : array (N,) or (N, n_outputs)
            Outcomes, finite; for Poisson, not negative.
        groups : array (N,), optional
            The cluster of each row: labels of any hashable type, in any order. None: all rows form one.
        sample_weight : array (N,), optional
            Weights of the rows; a weight of 2 is the row twice.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work; the message says what was given and what is needed.
        DivergenceError
            If the loss of a cluster stops being finite and `on_divergence` is "raise".

        Warns
        -----
        InnerStepWarning
            If the inner step raises the loss of clusters that make up more than a tenth, or is a number
            beyond the limit of stability of a single one.
        ConvergenceWarning
            If early stopping or `tol` was asked for and `max_iter` came first.
        """
        return self._fit(X, y, groups, sample_weight)

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> "Self":
        """Take one pass over these clusters, going on where the last call or fit ended.

        One pass is one outer step, or with `batch_size` as many as see every cluster once. The outer
        optimizer keeps its state between calls. The parameters are those of `fit`.
        """
        return self._fit(X, y, groups, sample_weight, incremental=True)

    @property
    def _adapts_exactly(self) -> bool:
        return self._known.name == "squared" and self.n_outputs_ == 1

    def adapt(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        sample_weight: Any = None,
        inner_steps: int | None = STEPS,
        inner_lr: Any = "auto",
        *,
        method: AdaptMethod = "auto",
        shrink: bool = True,
    ) -> Any:
        """Adapt to clusters, seen in training or not.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `fit`. In the exact form rows without weights weigh as much as those of the fit on average.
        inner_steps : int or None, default=10
        inner_lr : float, array (P,), "auto" or None, default="auto"
        shrink : bool, default=True
            Of the gradient form: how many inner steps (None: as many as in training), how large (None:
            `inner_lr_`; "auto": as the curvature of these clusters allows), and whether to go only
            n / (n + `shrinkage_`) of the way for a cluster of n rows.
        method : {"auto", "exact", "gradient"}, default="auto"
            "exact" adds to the population's prediction the posterior mean of the cluster's effect, whose
            covariance (`effects_`) the fit has estimated on clusters left out (with `max_iter="auto"`; else
            on its own residuals: in `partial_fit` after 1, 2, 8, 32, ... steps, where the pass has at least
            half as many clusters as it was estimated of); "gradient" takes inner steps. "auto" is exact where
            the loss is squared and there is one outcome, unless `inner_steps` or `inner_lr` says something
            else than their defaults.

        Returns
        -------
        ExactlyAdaptedRegressor or AdaptedRegressor
            Predicts for each cluster.

        Warns
        -----
        InnerStepWarning
            If a gradient step raises the loss of clusters that make up more than a tenth of these.
        """
        check_is_fitted(self)
        choice(method, "method", AdaptMethod)
        prior = getattr(self, "effects_", None)
        if method == "exact" and prior is None:
            raise ValueError(
                "there is no covariance of clusters' effects for method='exact': it takes the squared loss, "
                "one outcome, and several clusters of two rows or more; 'gradient' works"
            )
        is_default = inner_steps == STEPS and isinstance(inner_lr, str) and inner_lr == "auto"
        if prior is None or method == "gradient" or (method == "auto" and not is_default):
            return super().adapt(X, y, groups, sample_weight, inner_steps, inner_lr, shrink=shrink)
        data = self._rows(X, y, groups, sample_weight, learn=False).clusters()
        data.handle(self.net_, self._loss, self.theta_.dtype)  # refuses outcomes of another width
        outputs = self.net_.predict(self.theta_, data.X, n_jobs=self.n_jobs)
        posterior = prior.posterior(
            data.labels,
            np.repeat(np.arange(data.n_clusters), data.sizes),
            data.X,
            data.y[:, 0].astype(np.float64) - outputs[:, 0],
            data.sample_weight,
            n_threads(self.n_jobs),
        )
        view = self._view(self.net_, self.theta_, self.inner_lr_)
        return ExactlyAdaptedRegressor(view, data.labels, posterior)

    def predict(self, X: Any) -> Array:
        """Predict with the population's parameters.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (N,) or (N, n_outputs), as y was in `fit`
        """
        return self._predictions(self._outputs(X))
