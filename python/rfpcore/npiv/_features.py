"""Networks of features with their Adam, and gradients through them."""

from typing import Any

import numpy as np

from .. import _rfpcore
from .._arrays import Array
from .._options import MAX_LAYERS, MAX_PARAMETERS, integer, items
from ..exceptions import DivergenceError
from ..network import MLP
from ..optimizers import Adam
from ..regularize import L2


class FeatureNet:
    """A network of features, with its Adam, and the gradient of any linear function of its outputs."""

    def __init__(
        self,
        widths: tuple[int, ...],
        step: float,
        weight_decay: float,
        random: np.random.RandomState,
        threads: int,
    ) -> None:
        self.widths = widths
        n_inputs, *hidden, n_features = widths
        self.net = MLP(n_inputs, tuple(hidden), n_features, "relu")
        self.theta = self.net.init(random, np.float32)
        self._threads = threads
        self._step, self._adam = step, _rfpcore.Optimizer(Adam(step), [L2(weight_decay)])
        self._moments: list[Array] = []  # of every parameter, from the first step on
        self._steps = 0

    @classmethod
    def fixed(cls, widths: tuple[int, ...], theta: Array, threads: int) -> "FeatureNet":
        """One with these parameters, not to be trained."""
        net = cls(widths, 1.0, 0.0, np.random.RandomState(0), threads)
        net.theta = theta
        return net

    def features(self, x: Array) -> Array:
        """A column of ones, then max(0, outputs), (n, features + 1); x and the parameters are float32."""
        self._outputs = _rfpcore.predict(self.net._architecture, self.theta, x, self._threads)
        return with_ones(np.maximum(self._outputs, 0))

    def apply(self, x: Array) -> Array:
        """The same, of rows that are not trained on."""
        outputs = _rfpcore.predict(self.net._architecture, self.theta, x, self._threads)
        return with_ones(np.maximum(outputs, 0))

    def gradient(self, x: Array, upstream: Array) -> Array:
        """The loss's gradient in theta, given that in what `features` returned last, for x."""
        live = upstream[:, 1:] * (self._outputs > 0)
        return pull_back(self.net, self.theta, x, self._outputs, live, self._threads)

    def descend(self, x: Array, upstream: Array) -> None:
        """One Adam step, given the loss's gradient in what `features` returned last for x."""
        with np.errstate(all="ignore"):  # what overflows is an error below
            gradient = self.gradient(x, upstream).astype(np.float32, copy=False)
        moments = self._moments or [np.zeros_like(self.theta), np.zeros_like(self.theta)]
        self.theta, *self._moments = self._adam.step(self._steps, gradient, self.theta, *moments)
        self._steps += 1
        if not np.isfinite(self.theta).all():
            raise DivergenceError(
                f"the parameters of a network of features are not finite after {self._steps} steps of "
                f"{self._step:g}; a smaller learning_rate_init is needed",
                step=self._steps,
            )

    def folded(self) -> "FeatureNet":
        """The network for prediction: itself."""
        return self


def with_ones(features: Array) -> Array:
    """A column of ones before them."""
    return np.hstack([np.ones((len(features), 1), features.dtype), features])


def pull_back(net: MLP, theta: Array, x: Array, outputs: Array, upstream: Array, threads: int) -> Array:
    """The gradient in theta of a loss whose gradient in the outputs at x is given, both (n, outputs)."""
    # The gradient of mean |f − t|² with t = f − (n/2) v is Σ v·∂f: any vector–Jacobian product.
    targets = (outputs - x.dtype.type(len(x) / 2) * upstream).astype(x.dtype, copy=False)
    data = _rfpcore.ClusterData(x, targets, np.array([0, len(x)]))
    ordinary = _rfpcore.Inner(0, 1.0)
    try:
        _, gradient = _rfpcore.value_and_grad(
            net._architecture, theta, data, 1.0, ordinary, "squared", False, threads
        )
    except _rfpcore.DivergenceError:
        raise DivergenceError(
            "the gradient of a network of features overflows; a smaller learning_rate_init is needed"
        ) from None
    return np.asarray(gradient)


def widths_of(value: Any, name: str) -> tuple[int, ...]:
    """Widths of a network's layers, the last the number of features."""
    widths = items(value, name, "a sequence of integers")
    if not 0 < len(widths) <= MAX_LAYERS:
        raise ValueError(f"{name} has {len(widths)} layers; 1 to {MAX_LAYERS} are possible")
    return tuple(integer(width, f"{name}[{i}]", 1, MAX_PARAMETERS) for i, width in enumerate(widths))


class StructuralFeatures:
    """The features that h is linear in: all products of those of X and of W."""

    def __init__(self, of_x: FeatureNet, of_w: FeatureNet | None) -> None:
        self.net_x, self.net_w = of_x, of_w

    def endogenous(self, inputs: Array) -> Array:
        return np.ascontiguousarray(inputs[:, : self.net_x.net.n_inputs])

    def covariates(self, inputs: Array) -> Array:
        return np.ascontiguousarray(inputs[:, self.net_x.net.n_inputs :])

    def of_covariates(self, inputs: Array) -> Array:
        """(n, features of W), a column of ones without covariates."""
        if self.net_w is None:
            return np.ones((len(inputs), 1), np.float32)
        return self.net_w.features(self.covariates(inputs))

    def features(self, inputs: Array) -> Array:
        """(n, products)."""
        return products(self.net_x.features(self.endogenous(inputs)), self.of_covariates(inputs))

    def folded(self) -> "StructuralFeatures":
        """Those for prediction, with what was normalised over rows fixed as it is."""
        return StructuralFeatures(self.net_x.folded(), None if self.net_w is None else self.net_w.folded())


def products(one: Array, other: Array) -> Array:
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)
