"""A network of features with batch normalisation of one layer."""

from typing import NamedTuple

import numpy as np

from .. import _rfpcore
from .._arrays import Array
from ..network import MLP
from ._features import FeatureNet, pull_back, with_ones

EPSILON = 1e-5


class _Pass(NamedTuple):
    """What is kept of a pass through the network, (n, width) each."""

    linear: Array
    """Of the layer that is normalised."""
    normal: Array
    """Of mean 0 and variance 1."""
    scaled: Array
    """Times γ, plus β."""
    outputs: Array
    """Of the last layer, (n, features)."""


class NormedNet(FeatureNet):
    """Batch normalisation [1]_ of the last layer, which then is not rectified, or of the one before it.

    A layer's linear outputs a become γ (a - mean) / √(variance + 1e-5) + β. In training mean and variance are
    those of its rows at the parameters as they are, and the gradient goes through them; for other rows they
    stay fixed (`apply`, `folded`).

    References
    ----------
    .. [1] Ioffe and Szegedy (2015), "Batch normalization", ICML.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        step: float,
        weight_decay: float,
        random: np.random.RandomState,
        threads: int,
        last: bool,
    ) -> None:
        super().__init__(widths, step, weight_decay, random, threads)
        n_inputs, *hidden, width = widths if last else widths[:-1]
        self._body, self._last = MLP(n_inputs, tuple(hidden), width, "relu"), last
        body, head = np.split(self.theta, [self._body.n_parameters])
        self.theta = np.concatenate([body, np.repeat(np.array([1, 0], np.float32), width), head])

    def _parts(self) -> tuple[Array, Array, Array, Array]:
        """Parameters up to the layer; γ; β; weights (width + 1, features) of a layer after it, bias last."""
        n, width = self._body.n_parameters, self._body.n_outputs
        body, gamma, beta, head = np.split(self.theta, [n, n + width, n + 2 * width])
        return body, gamma, beta, head.reshape(-1 if self._last else width + 1, self.widths[-1])

    def _linear(self, x: Array) -> Array:
        return np.asarray(_rfpcore.predict(self._body._architecture, self._parts()[0], x, self._threads))

    def _after(self, linear: Array) -> _Pass:
        _, gamma, beta, head = self._parts()
        normal = (linear - self._mean) * self._over_deviation
        scaled = gamma * normal + beta
        outputs = scaled if self._last else np.maximum(scaled, 0) @ head[:-1] + head[-1]
        return _Pass(linear, normal, scaled, outputs)

    def _of(self, outputs: Array) -> Array:
        return with_ones(outputs if self._last else np.maximum(outputs, 0))

    def features(self, x: Array) -> Array:
        """A column of ones, then the features, normalised over these rows, (n, features + 1)."""
        linear = self._linear(x)
        self._mean = linear.mean(axis=0)
        self._over_deviation = 1 / np.sqrt(linear.var(axis=0) + linear.dtype.type(EPSILON))
        self._pass = self._after(linear)
        return self._of(self._pass.outputs)

    def apply(self, x: Array) -> Array:
        """The same of other rows, with the mean and variance of the last `features`."""
        return self._of(self._after(self._linear(x)).outputs)

    def gradient(self, x: Array, upstream: Array) -> Array:
        """The loss's gradient in theta, given that in what `features` returned last, for x."""
        body, gamma, _, head = self._parts()
        linear, normal, scaled, outputs = self._pass
        in_scaled, in_head = upstream[:, 1:].astype(linear.dtype, copy=False), head
        if not self._last:
            live = in_scaled * (outputs > 0)
            in_head = with_ones(np.maximum(scaled, 0)).T @ live
            in_head = np.roll(in_head, -1, axis=0)  # the bias, the weights of the ones, last
            in_scaled = (live @ head[:-1].T) * (scaled > 0)
        in_gamma, in_beta = (in_scaled * normal).sum(axis=0), in_scaled.sum(axis=0)
        n = linear.dtype.type(len(linear))
        in_linear = gamma * self._over_deviation * (in_scaled - in_beta / n - normal * (in_gamma / n))
        in_body = pull_back(self._body, body, x, linear, in_linear, self._threads)
        return np.concatenate([in_body, in_gamma, in_beta, in_head.ravel()])

    def folded(self) -> FeatureNet:
        """The plain network that `apply` is, where the last layer is rectified."""
        if self._last:
            raise ValueError("a last layer that is normalised is not rectified; a plain network's is")
        body, gamma, beta, head = self._parts()
        scale = gamma * self._over_deviation
        theta = np.concatenate([body, head.ravel()])
        weights, bias = self.net.unflatten(theta)[-2]
        weights *= scale
        bias[:] = (bias - self._mean) * scale + beta
        return FeatureNet.fixed(self.widths, theta, self._threads)
