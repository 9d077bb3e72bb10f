"""What the ordinary regressor and classifier share: parameters and fit."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._options import Activation, DType, random_source
from .._network import NetworkEstimator
from . import _training

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MLPBase"]


class MLPBase(NetworkEstimator):
    """All but the outcomes."""

    validation_scores_: NDArray[np.float64]
    best_iteration_: int

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

    def _check_params(self) -> None:
        _training.plan(self, 1)
        random_source(self.random_state)

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer (inputs, outputs), views of `theta_`."""
        return [W for W, _ in self.net_.unflatten(self.theta_)]

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer (outputs,), views of `theta_`."""
        return [b for _, b in self.net_.unflatten(self.theta_)]

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Self":
        """Train the network.

        Parameters
        ----------
        X : array or frame (N, n_features)
            Features, finite; of NumPy, pandas or polars.
        y : array (N,) or, of a regressor, (N, n_outputs)
            Class labels, numbers or strings; or outcomes, finite, and not negative for the Poisson loss.
        sample_weight : array (N,), optional
            Weights of the rows, none negative. A row of weight 0 is left out; rows held out count equally.

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
        if not self.warm_start:
            self._forget()
        random = random_source(self.random_state)
        data = _training.prepare(self, X, y, sample_weight, random)
        plan = _training.plan(self, len(data.X))
        given, drawn = self.random_state, int(random.randint(2**31 - 1))
        # An int seeds the network as it does in MLP.init and Model, so that a fit can be redone with those.
        seed = int(given) if isinstance(given, int | np.integer) else drawn
        net = plan.model.net(data.X.shape[1], self._n_network_outputs)
        theta = _training.start(self, net, data, seed)
        results = _training.train(self, data, [plan.with_seed(seed)], [theta])
        _training.store(self, results[0], plan.epoch)
        _training.warn_unless_converged(self, results)
        return self
