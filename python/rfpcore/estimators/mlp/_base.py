"""What the ordinary regressor and classifier share: parameters and fit."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from ..._arrays import Array, cast, targets
from ..._atomic import all_or_nothing
from ..._frames import require_aligned
from ..._options import Activation, DType
from ...many import ModelResult
from ...network import MLP
from ...regularize import BatchNorm, Regularization
from .._callbacks import told
from .._network import NetworkEstimator
from . import _training

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MLPBase"]


class MLPBase(NetworkEstimator):
    """All but the outcomes."""

    validation_scores_: NDArray[np.float64]
    best_iteration_: int
    _limits = _training.LIMITS

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Activation = "relu",
        *,
        solver: str = "adam",
        regularization: Any = None,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        dtype: DType = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
        warm_start: bool = False,
        standardize: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.regularization = regularization
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.standardize = standardize

    def _check_params(self) -> None:
        _training.plan(self, self._checked(), 1)

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer (inputs, outputs), views of `theta_`."""
        return [W for W, _ in self.net_.unflatten(self.theta_)]

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer (outputs,), views of `theta_`."""
        return [b for _, b in self.net_.unflatten(self.theta_)]

    @all_or_nothing
    @told
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> "Self":
        """Train the network.

        Parameters
        ----------
        X : array or frame (N, n_features)
            Features, finite; of NumPy, pandas or polars.
        y : array (N,) or, of a regressor, (N, n_outputs)
            Class labels, numbers or strings; or outcomes, finite, and not negative for the Poisson loss.
        sample_weight : array (N,), optional
            Weights of the rows, none negative. A row of weight 0 is left out; rows held out count equally.
        groups : array (N,), optional
            The cluster of each row. `early_stopping` then holds out whole clusters, `validation_fraction` of
            them, whatever their classes; nothing else looks at it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work; the message says what was given and what is needed.
        DivergenceError
            If the loss stops being finite.
        KeyboardInterrupt
            On Ctrl-C; the estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If early stopping was asked for and `max_iter` came first.
        """
        given = self._checked()
        if not given["warm_start"]:
            self._forget()
        random = given["random_state"]
        data = self._learn(X, y, sample_weight, groups, random)
        plan = _training.plan(self, given, len(data.X))
        seed, drawn = self.random_state, int(random.randint(2**31 - 1))
        # An int seeds the network as it does in MLP.init and Model, so that a fit can be redone with those.
        seed = int(seed) if isinstance(seed, int | np.integer) else drawn
        n_outputs = self._n_network_outputs
        theta = self._first_theta(plan.model.net(data.X.shape[1], n_outputs), data, seed)
        results = _training.train(data, [plan.with_seed(seed)], [theta], n_outputs, self.n_jobs)
        self._take(results[0], plan.epoch)
        _training.warn_unless_converged(plan, results)
        return self

    def _learn(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, random: np.random.RandomState
    ) -> _training.Data:
        """Learn features and outcomes, and hold rows out where `early_stopping` asks for it.

        The parameters are checked before.
        """
        self._require_y(y)
        require_aligned(X=X, y=y, sample_weight=sample_weight, groups=groups)
        features = self._features(X, learn=True)
        self._learn_targets(y)
        sample_weight = self._weigh(y, sample_weight, learn=True)
        self._learn_scaling(features, y, sample_weight)
        features = self._inputs(features)
        outcomes = targets(self._encode_targets(y), len(features))
        if self.dtype != "auto":
            features = cast(features, np.dtype(self.dtype), "X")
        self._warn_of_scales(features, outcomes)
        data = _training.used_rows(features, outcomes, sample_weight, groups)
        if not self.early_stopping:
            return data
        return data.hold_out(float(self.validation_fraction), is_classifier(self), random)

    def _first_theta(self, net: MLP, data: _training.Data, seed: int) -> Array:
        """Parameters to start from: those learnt so far (warm start), or the seed's."""
        self._require_same(net, "warm_start")
        if hasattr(self, "theta_"):
            if Regularization.of(self.regularization).get(BatchNorm) is not None:
                raise ValueError(
                    "warm_start with BatchNorm is not possible: a fitted network has its normalization "
                    "folded in"
                )
            return cast(self.theta_, data.X.dtype, "theta_")
        theta = net.init(seed, data.X.dtype)
        net.unflatten(theta)[-1][1][:] = self._first_bias(data.y, data.weights)
        return theta

    def _take(self, result: ModelResult, epoch: int) -> None:
        """Set the learnt attributes."""
        self.net_, self.theta_ = result.net, result.parameters()
        self.loss_curve_ = result.loss_curve
        self.n_iter_ = len(result.loss_curve)
        for name in ("validation_scores_", "best_iteration_"):
            self.__dict__.pop(name, None)  # of the fit before a warm start
        if len(result.validation_losses):
            self.validation_scores_ = -result.validation_losses
            self.best_iteration_ = result.best_step // epoch
