"""The inner step of each parameter, learned along with the parameters."""

import numpy as np

from ... import _rfpcore
from ..._arrays import Array
from ...clusters import Clusters
from ...network import MLP
from ...optimizers import Adam
from ._settings import Settings


class LearnedStep:
    """Adam on the logarithms of the inner steps, so that they stay positive.

    Li, Zhou, Chen and Li (2017), "Meta-SGD", learn the steps as they are; logarithms move all by the same
    share.

    Parameters
    ----------
    first : float
        Where all steps begin.
    n_parameters : int
    rate : float
        Adam's step, in logarithms.
    """

    def __init__(self, first: float, n_parameters: int, rate: float) -> None:
        self.log = np.full(n_parameters, np.log(first))
        self.adam, self.n_steps = _rfpcore.Optimizer(Adam(rate)), 0
        self.moments: list[Array] = [np.zeros(n_parameters), np.zeros(n_parameters)]

    @property
    def inner_lr(self) -> Array:
        """(P,) the steps."""
        return np.asarray(np.exp(self.log))

    def update(self, gradient: Array) -> None:
        """Follow the objective's derivative in the steps, (P,)."""
        slope = gradient * self.inner_lr
        self.log, *self.moments = self.adam.step(self.n_steps, slope, self.log, *self.moments)
        self.n_steps += 1


def step_gradient(net: MLP, theta: Array, data: Clusters, settings: Settings, inner_lr: Array) -> Array:
    """dR_k / d inner_lr at these parameters, (P,), over all clusters.

    Raises
    ------
    _rfpcore.DivergenceError
    """
    found = settings.objective(
        net, theta, data, inner_lr, skip_diverged=settings.skip_diverged, inner_lr_gradient=True
    )
    gradient = found.inner_lr_gradient
    assert gradient is not None  # asked for
    return np.asarray(gradient, np.float64)
