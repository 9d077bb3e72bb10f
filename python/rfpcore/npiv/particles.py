"""Mean-field networks of two layers as functions on NumPy arrays."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .. import _rfpcore
from .._arrays import Array, as_floats, cast, float_dtype, matrix, require_finite, require_length, vector
from .._frames import require_aligned
from .._limits import optional
from .._options import MAX_PARAMETERS, choice, integer, n_threads, positive, random_source

__all__ = ["MeanField"]

ParticleActivation = Literal["tanh", "relu"]


@dataclass(frozen=True)
class MeanField:
    """h(x) = 1/N sum_i w2_i a(w1_i' x + b_i), a network as the mean of N particles (w1, b, w2).

    It holds no parameters, only their layout: a particle is a column of `theta.reshape(n_inputs + 2,
    n_particles)`, whose rows are w1, then b, then w2.

    Parameters
    ----------
    n_inputs : int
    n_particles : int
        N.
    activation : {"relu", "tanh"}
    particle_bound : float, optional
        Smooth bound R of a particle's output: R tanh(w2 a(...) / R). None: no bound.

    References
    ----------
    Chen, Nitanda, Gretton and Suzuki (2025), "Towards a Unified Analysis of Neural Networks in Nonparametric
    Instrumental Variable Regression", assumption 1.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import MeanField
    >>> net = MeanField(1, 2, activation="relu")
    >>> theta = np.array([[1.0, 1.0], [0.0, -1.0], [2.0, 4.0]]).ravel()  # relu(x) + 2 relu(x - 1)
    >>> net.values(theta, [[0.5], [2.0]])
    array([0.5, 4. ])
    """

    n_inputs: int
    n_particles: int = 50
    activation: ParticleActivation = "relu"
    particle_bound: float | None = None
    _shape: _rfpcore.Particles = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        integer(self.n_inputs, "n_inputs", 1, MAX_PARAMETERS)
        integer(self.n_particles, "n_particles", 1, MAX_PARAMETERS)
        choice(self.activation, "activation", ParticleActivation)
        bound = optional(positive)(self.particle_bound, "particle_bound")
        shape = _rfpcore.Particles(self.n_inputs, self.n_particles, self.activation, bound)
        object.__setattr__(self, "_shape", shape)  # frozen: the one place that writes

    def __reduce__(self) -> tuple[Any, ...]:
        return MeanField, (self.n_inputs, self.n_particles, self.activation, self.particle_bound)

    @property
    def n_parameters(self) -> int:
        """(n_inputs + 2) * n_particles."""
        return self._shape.n_parameters

    def init(self, random_state: Any = None, dtype: Any = np.float64) -> Array:
        """Random particles: w1 ~ N(0, I / n_inputs), b and w2 ~ N(0, 1).

        Parameters
        ----------
        random_state : None, int or RandomState
        dtype : {float64, float32}

        Returns
        -------
        theta : ndarray (n_parameters,)
        """
        kind = float_dtype(dtype)
        theta = random_source(random_state).standard_normal((self.n_inputs + 2, self.n_particles))
        theta[: self.n_inputs] /= np.sqrt(self.n_inputs)
        return np.asarray(theta.ravel(), dtype=kind)

    def values(self, theta: Any, X: Any, n_jobs: int | None = None) -> Array:
        """H at every row.

        Parameters
        ----------
        theta : array (n_parameters,) or (K, n_parameters)
            One network or several; its dtype is the result's.
        X : array (n, n_inputs)
        n_jobs : int, optional

        Returns
        -------
        h : ndarray (n,) or (K, n)
        """
        networks = np.asarray(theta)
        single = networks.ndim == 1
        networks = matrix(networks[None] if single else networks, "theta")
        if networks.shape[1] != self.n_parameters:
            raise ValueError(f"theta has {networks.shape[1]} parameters; the network has {self.n_parameters}")
        rows = cast(matrix(X, "X", self.n_inputs), networks.dtype, "X")
        h: Array = _rfpcore.particle_values(self._shape, networks, rows, n_threads(n_jobs))
        return h[0] if single else h

    def gradient(self, theta: Any, X: Any, residual: Any) -> Array:
        """sum_b r_b (gradient of w2 a(w1' x_b + b) at each particle): what Wasserstein gradients are made of.

        Parameters
        ----------
        theta : array (n_parameters,)
        X : array (n, n_inputs)
        residual : array (n,)
            r; for the gradient of E[(h - t)^2] / 2 in the measure, (h - t) / n.

        Returns
        -------
        gradient : ndarray (n_parameters,)
            N times the Euclidean gradient of sum_b r_b h(x_b), r held fixed.
        """
        require_aligned(X=X, residual=residual)
        theta = vector(theta, "theta", self.n_parameters)
        rows = cast(matrix(X, "X", self.n_inputs), theta.dtype, "X")
        factors = as_floats(residual, "residual").ravel()
        require_length(factors, "residual", len(rows))
        require_finite(factors, "residual", axis="index")
        factors = np.ascontiguousarray(cast(factors, theta.dtype, "residual"))
        gradient: Array = _rfpcore.particle_gradient(self._shape, theta, rows, factors)
        return gradient
