"""Networks of features with their Adam, ridge regressions on features, and the gradients between them."""

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .. import _rfpcore
from .._arrays import Array
from .._options import real
from ..network import MLP


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


class Ridge(NamedTuple):
    """Ridge regression of targets on features, with what its gradient needs."""

    coefficients: Array
    """(features, targets)"""
    factor: Any
    residual: Array
    """targets − fitted, (n, targets)"""

    @classmethod
    def of(cls, features: Array, targets: Array, penalty: float) -> "Ridge":
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


def products(one: Array, other: Array) -> Array:
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def positive(value: Any, name: str) -> float:
    number = real(value, name, "a positive number")
    if number <= 0:
        raise ValueError(f"{name}={number}; a positive number is needed")
    return number
