"""Deep feature instrumental variables: closed-form ridge stages on features that networks learn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from .. import _rfpcore
from .._arrays import Array
from .._options import MAX_STEPS, integer, n_threads, real
from ..network import MLP
from ._base import BaseNPIV
from ._data import Rows, Scales

__all__ = ["DeepFeatureIV"]


class _Net:
    """A network of features, with its Adam, and the gradient of any linear function of its outputs."""

    def __init__(
        self,
        widths: tuple[int, ...],
        step: float,
        weight_decay: float,
        random: np.random.RandomState,
        threads: int,
    ) -> None:
        n_inputs, *hidden, n_features = widths
        self.net = MLP(n_inputs, tuple(hidden), n_features, "relu")
        self.theta = self.net.init(random, np.float32)
        self._architecture, self._threads = self.net._architecture, threads
        self._ordinary = _rfpcore.Inner(0, 1.0)
        self._step, self._weight_decay = step, weight_decay
        self._first, self._second = np.zeros((2, len(self.theta)), np.float32)
        self._steps = 0

    def features(self, x: Array) -> Array:
        """A column of ones, then max(0, outputs), (n, features + 1); x is float32."""
        self._outputs = _rfpcore.predict(self._architecture, self.theta, x, self._threads)
        return np.hstack([np.ones((len(x), 1), np.float32), np.maximum(self._outputs, 0)])

    def descend(self, x: Array, upstream: Array) -> None:
        """One Adam step, given the loss's gradient in what `features` returned last for x."""
        live = upstream[:, 1:] * (self._outputs > 0)
        # The gradient of mean |f − t|² with t = f − (n/2) v is Σ v·∂f: any vector–Jacobian product.
        targets = (self._outputs - np.float32(len(x) / 2) * live).astype(np.float32, copy=False)
        data = _rfpcore.ClusterData(x, targets, np.array([0, len(x)]))
        _, gradient = _rfpcore.value_and_grad(
            self._architecture, self.theta, data, 1.0, self._ordinary, "squared", False, self._threads
        )
        gradient = gradient + self._weight_decay * self.theta
        self._steps += 1
        self._first += 0.1 * (gradient - self._first)
        self._second += 0.001 * (gradient**2 - self._second)
        first = self._first / (1 - 0.9**self._steps)
        second = self._second / (1 - 0.999**self._steps)
        self.theta = (self.theta - self._step * first / (np.sqrt(second) + 1e-8)).astype(np.float32)


class _Ridge(NamedTuple):
    """Ridge regression of targets on features, with what its gradient needs."""

    coefficients: Array
    """(features, targets)"""
    factor: Any
    residual: Array
    """targets − fitted, (n, targets)"""

    @classmethod
    def of(cls, features: Array, targets: Array, penalty: float) -> "_Ridge":
        """Min |targets − features·B|² + penalty·|B|²."""
        gram = features.T @ features
        gram[np.diag_indices_from(gram)] += penalty
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
        coefficients = cho_solve(factor, features.T @ targets, check_finite=False)
        return cls(coefficients, factor, targets - features @ coefficients)

    def in_features(self) -> Array:
        """The loss's gradient in the features: by the envelope theorem, with the coefficients held fixed."""
        return -2 * self.residual @ self.coefficients.T

    def in_targets(self, features: Array, upstream: Array) -> Array:
        """What a gradient in the coefficients (features, targets) is in the targets they were fitted to."""
        return np.asarray(features @ cho_solve(self.factor, upstream, check_finite=False))


class DeepFeatureIV(BaseNPIV):
    """Deep feature instrumental variable regression [1]_.

    Stage one is a ridge regression of the features of X on those of (Z, W), stage two one of Y on what stage
    one predicts, each on one half of the rows and both in closed form. The instruments' features follow the
    gradient of stage one's error, the features of X that of stage two's error *through* stage one. With
    covariates, stage two regresses on all products of the features of X and of W, and those of W follow its
    error too.

    The published networks and settings, but for batch normalisation, which is left out: inputs and outcome
    are standardised instead. Sample weights are not supported.

    Parameters
    ----------
    hidden_X, hidden_Z, hidden_W : sequence of int
        Widths of the networks, the last the number of features: (16,), (128, 64, 32), (128, 32, 16).
    max_iter : int, default=100
        Rounds; each takes the steps below.
    steps_Z, steps_W : int, default=20
        Steps of the networks of Z and of W in a round, before one step of that of X.
    step : float, default=1e-3
        Adam's step.
    weight_decay_W : float, default=0.1
        Of the network of W, against sums of squares.
    penalty_1, penalty_2 : float, default=0.1
        Ridges of the two stages, times the rows of their halves.
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None

    Attributes
    ----------
    loss_curve_ : ndarray (max_iter,)
        Stage two's error after each round, in units of the variance of y.

    References
    ----------
    .. [1] Xu, Chen, Srinivasan, de Freitas, Doucet and Gretton (2021), "Learning deep features in
       instrumental variable regression", ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import DeepFeatureIV
    >>> z, u = np.random.default_rng(0).standard_normal((2, 400))
    >>> x = z + u
    >>> model = DeepFeatureIV(max_iter=20, random_state=0).fit(x, x + u, Z=z)
    >>> bool(abs(model.predict([[1.0]])[0] - 1.0) < 0.4)
    True
    """

    def __init__(
        self,
        *,
        hidden_X: Sequence[int] = (16,),
        hidden_Z: Sequence[int] = (128, 64, 32),
        hidden_W: Sequence[int] = (128, 32, 16),
        max_iter: int = 100,
        steps_Z: int = 20,
        steps_W: int = 20,
        step: float = 1e-3,
        weight_decay_W: float = 0.1,
        penalty_1: float = 0.1,
        penalty_2: float = 0.1,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.hidden_X = hidden_X
        self.hidden_Z = hidden_Z
        self.hidden_W = hidden_W
        self.max_iter = max_iter
        self.steps_Z = steps_Z
        self.steps_W = steps_W
        self.step = step
        self.weight_decay_W = weight_decay_W
        self.penalty_1 = penalty_1
        self.penalty_2 = penalty_2
        self.random_state = random_state
        self.n_jobs = n_jobs

    loss_curve_: NDArray[np.float64]

    def _fit(self, rows: Rows) -> None:
        if rows.weights is not None:
            raise ValueError("DeepFeatureIV takes no sample_weight")
        if rows.n < 4:
            raise ValueError(f"{rows.n} rows are given; DeepFeatureIV halves them and needs at least 4")
        rounds = integer(self.max_iter, "max_iter", 1, MAX_STEPS)
        random = check_random_state(self.random_state)
        self._scales = Scales.of(rows)
        scaled = self._scales.apply(rows)
        scaled = scaled._replace(
            inputs=scaled.inputs.astype(np.float32),
            y=scaled.y.astype(np.float32),
            instruments=scaled.instruments.astype(np.float32),
        )
        parts = np.array_split(random.permutation(rows.n), 2)
        self._stages = _Stages(self, [scaled.take(np.sort(part)) for part in parts], random)
        with threadpool_limits(1, user_api="blas"):  # the matrices are too small for more
            self.loss_curve_ = np.array([self._stages.round() for _ in range(rounds)])
            self._coefficients = self._stages.solve()

    def _predict(self, inputs: Array) -> Array:
        scaled = self._scales.inputs.transform(inputs).astype(np.float32)
        features = self._stages.structural_features(scaled)
        return np.asarray(self._scales.y_mean + self._scales.y_scale * (features @ self._coefficients))


class _Stages:
    """The two halves, the networks, and a round of their training."""

    def __init__(self, model: DeepFeatureIV, halves: list[Rows], random: np.random.RandomState) -> None:
        self._one, self._two = halves
        n_covariates = self._one.n_covariates
        self._n_endogenous = self._one.inputs.shape[1] - n_covariates
        step = _positive(model.step, "step")
        self._penalties = [
            _positive(getattr(model, f"penalty_{stage}"), f"penalty_{stage}") * half.n
            for stage, half in zip((1, 2), halves, strict=True)
        ]
        threads = n_threads(model.n_jobs)
        decay = real(model.weight_decay_W, "weight_decay_W", "a number of at least 0")

        def net(n_inputs: int, widths: Sequence[int], weight_decay: float = 0.0) -> _Net:
            return _Net((n_inputs, *widths), step, weight_decay, random, threads)

        self._net_x = net(self._n_endogenous, model.hidden_X)
        self._net_z = net(self._one.instruments.shape[1], model.hidden_Z)
        self._net_w = net(n_covariates, model.hidden_W, decay) if n_covariates else None
        self._steps_z = integer(model.steps_Z, "steps_Z", 1, MAX_STEPS)
        self._steps_w = integer(model.steps_W, "steps_W", 1, MAX_STEPS)

    def _endogenous(self, inputs: Array) -> Array:
        return np.ascontiguousarray(inputs[:, : self._n_endogenous])

    def _covariates(self, inputs: Array) -> Array:
        return np.ascontiguousarray(inputs[:, self._n_endogenous :])

    def _of_covariates(self, inputs: Array) -> Array:
        """(n, features of W), a column of ones without covariates."""
        if self._net_w is None:
            return np.ones((len(inputs), 1), np.float32)
        return self._net_w.features(self._covariates(inputs))

    def structural_features(self, inputs: Array) -> Array:
        """All products of the features of X and of W."""
        return _products(self._net_x.features(self._endogenous(inputs)), self._of_covariates(inputs))

    def _regress_features(self, of_x: Array) -> tuple[Array, _Ridge]:
        """Stage one: features of Z in the first half, and the regression of those of X on them."""
        of_z = self._net_z.features(self._one.instruments)
        return of_z, _Ridge.of(of_z, of_x, self._penalties[0])

    def _regress_outcome(self, predicted: Array, of_w: Array) -> tuple[_Ridge, Array]:
        """Stage two, and its gradient in the products, (n, features of X, features of W)."""
        ridge = _Ridge.of(_products(predicted, of_w), self._two.y[:, None], self._penalties[1])
        return ridge, ridge.in_features().reshape(self._two.n, predicted.shape[1], of_w.shape[1])

    def round(self) -> float:
        """Steps of all networks; stage two's error before the last of them."""
        of_x = self._net_x.features(self._endogenous(self._one.inputs))
        for _ in range(self._steps_z):
            _, first = self._regress_features(of_x)
            self._net_z.descend(self._one.instruments, first.in_features())
        of_z, first = self._regress_features(of_x)
        of_z_two = self._net_z.features(self._two.instruments)
        predicted = of_z_two @ first.coefficients
        if self._net_w is not None:
            for _ in range(self._steps_w):
                self._step_of_covariates(self._net_w, predicted)
        of_w = self._of_covariates(self._two.inputs)
        second, upstream = self._regress_outcome(predicted, of_w)
        in_coefficients = of_z_two.T @ (upstream @ of_w[:, :, None])[:, :, 0]
        self._net_x.descend(self._endogenous(self._one.inputs), first.in_targets(of_z, in_coefficients))
        return float((second.residual**2).mean())

    def _step_of_covariates(self, net: _Net, predicted: Array) -> None:
        of_w = self._of_covariates(self._two.inputs)
        _, upstream = self._regress_outcome(predicted, of_w)
        net.descend(self._covariates(self._two.inputs), (predicted[:, None, :] @ upstream)[:, 0])

    def solve(self) -> Array:
        """Stage two's coefficients (products,) at the networks as they are."""
        _, first = self._regress_features(self._net_x.features(self._endogenous(self._one.inputs)))
        predicted = self._net_z.features(self._two.instruments) @ first.coefficients
        of_w = self._of_covariates(self._two.inputs).astype(np.float64)
        return np.asarray(self._regress_outcome(predicted.astype(np.float64), of_w)[0].coefficients[:, 0])


def _products(one: Array, other: Array) -> Array:
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def _positive(value: Any, name: str) -> float:
    number = real(value, name, "a positive number")
    if number <= 0:
        raise ValueError(f"{name}={number}; a positive number is needed")
    return number
