"""Runs of F²BMLD in the kernel: settings, their numbers for each λ, and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _rfpcore
from .._arrays import Array
from .._dask import results_of, shares
from .._limits import Limits, not_negative, one_of, optional, whole
from .._options import boolean, positive
from .particles import MeanField, ParticleActivation

BilevelSolver = Literal["adam", "langevin"]

ADAM = (0.5, 0.9, 1e-8)
"""Moments' decays and epsilon of the solver "adam": those of the first author's public code."""

PRESETS: dict[str, dict[str, float | int]] = {
    "adam": {
        "n_particles": 50,
        "max_iter": 5000,
        "inner_lr": 5e-3,
        "learning_rate_init": 5e-3,
        "weight_decay_instrument": 1e-5,
        "weight_decay": 1e-5,
        "temperature_instrument": 0.0,
        "temperature": 0.0,
    },
    "langevin": {
        "n_particles": 100,
        "max_iter": 4000,
        "inner_lr": 0.3,
        "learning_rate_init": 0.3,
        "weight_decay_instrument": 3e-4,
        "weight_decay": 3e-4,
        "temperature_instrument": 3e-4,
        "temperature": 3e-4,
    },
}
"""What None stands for with each solver."""

LIMITS: Limits = {
    "solver": one_of(BilevelSolver),
    "n_particles": optional(whole()),
    "activation": one_of(ParticleActivation),
    "particle_bound": optional(positive),
    "inner_steps": whole(),
    "max_iter": optional(whole()),
    "batch_size": optional(whole()),
    "inner_lr": optional(positive),
    "learning_rate_init": optional(positive),
    "weight_decay_instrument": optional(not_negative),
    "weight_decay": optional(not_negative),
    "temperature_instrument": optional(not_negative),
    "temperature": optional(not_negative),
    "inner_warm_start": boolean,
    "shared_noise": boolean,
    "n_checkpoints": whole(),
}


@dataclass(frozen=True)
class BilevelSettings:
    """All of the algorithm's numbers but λ, checked."""

    solver: BilevelSolver
    n_particles: int
    activation: ParticleActivation
    particle_bound: float | None
    inner_steps: int
    max_iter: int
    batch_size: int | None
    inner_lr: float
    learning_rate_init: float
    weight_decay_instrument: float
    weight_decay: float
    temperature_instrument: float
    temperature: float
    inner_warm_start: bool
    shared_noise: bool
    n_checkpoints: int

    def rates(self, lam: float) -> list[float]:
        """The kernel's numbers for one λ: lambda, alpha, beta, gamma, zeta1, zeta2, sigma1, sigma2.

        In units of λ/(1 + λ), so that λ changes neither the speed nor the ridge of a step: the data part of
        the structural gradient is of order λ/(1 + λ), and the twin's loss has the curvature 1 + λ. Adam's
        steps have no scale.
        """
        share, langevin = lam / (1 + lam), self.solver == "langevin"
        alpha = self.inner_lr
        beta = alpha / (1 + lam) if langevin else alpha
        gamma = self.learning_rate_init / share if langevin else self.learning_rate_init
        zeta1, zeta2 = self.weight_decay_instrument, share * self.weight_decay
        sigma1, sigma2 = self.temperature_instrument, share * self.temperature
        return [lam, alpha, beta, gamma, zeta1, zeta2, sigma1, sigma2]

    @property
    def record_every(self) -> int:
        """Outer steps between checkpoints."""
        return max(1, self.max_iter // self.n_checkpoints)


def settings(values: Mapping[str, Any]) -> BilevelSettings:
    """Checked parameters, or those of a file, as settings; None stands for the solver's preset."""
    preset = PRESETS[values["solver"]]
    chosen: dict[str, Any] = {name: values[name] for name in LIMITS}
    return BilevelSettings(**chosen | {name: preset[name] for name in preset if chosen[name] is None})


class Path(NamedTuple):
    """What a run has left behind."""

    records: Array
    """(K, 5): outer steps, F1(x, z), F1(x, twin), F2(x, z), F2(x, twin)"""
    structural: Array
    """(K, P): structural particles at each record"""
    first: Array
    """(Q,): the first stage's particles at the last record"""
    twin: Array
    """(Q,): its twin's"""
    halvings: int
    """How often the steps were halved because numbers stopped being finite"""


class Problem(NamedTuple):
    """Rows in the kernel's form: the first stage follows the sum over terms of coefficient * h(x)."""

    x: Array
    """(n * terms, d)"""
    z: Array
    """(n, q)"""
    y: Array
    """(n,)"""
    weights: Array | None = None
    coefficients: Array | None = None
    """(n * terms,), None: all 1"""
    intercept: bool = False
    """Whether h has a constant beside the network, found by `intercepts`"""

    def cast(self, dtype: Any) -> "Problem":
        """The same in another dtype."""
        arrays = (None if part is None else np.ascontiguousarray(part, dtype) for part in self[:-1])
        return Problem(*arrays)._replace(intercept=self.intercept)  # type: ignore[arg-type]

    def targets(self, h: Array, rows: NDArray[np.intp] | slice = slice(None)) -> Array:
        """What the first stage follows, (K, n), from h at every point, (K, n * terms).

        The intercept, where there is one, is that of some rows.
        """
        values = h if self.coefficients is None else h * self.coefficients
        targets = np.asarray(values.reshape(len(h), len(self.y), -1).sum(axis=2))
        if self.intercept:
            targets = targets + np.outer(self.intercepts(h, rows), self._of_constant())
        return targets

    def intercepts(self, h: Array, rows: NDArray[np.intp] | slice = slice(None)) -> Array:
        """The constants b, (K,), at which y and what the first stage follows from h + b agree in the mean.

        The moment condition of the constant instrument, solved exactly. In the Bellman equation a constant
        has the small coefficient 1 - γ, and gradient steps hardly find it.
        """
        missing = self.y - self._replace(intercept=False).targets(h)
        weights = None if self.weights is None else self.weights[rows]
        mean = partial(np.average, axis=-1, weights=weights)
        return np.asarray(mean(missing[:, rows].astype(np.float64)) / mean(self._of_constant()[rows]))

    def _of_constant(self) -> Array:
        """What the first stage follows from h = 1, (n,)."""
        terms = np.ones(len(self.x)) if self.coefficients is None else self.coefficients
        return np.asarray(terms.reshape(len(self.y), -1).sum(axis=1, dtype=np.float64))


class Start(NamedTuple):
    """First particles of the structural network, the first stage and its twin."""

    structural: Array
    first: Array
    twin: Array


def networks(problem: Problem, config: BilevelSettings) -> tuple[MeanField, MeanField]:
    """The structural network, and the one on the instruments."""
    kind = (config.n_particles, config.activation, config.particle_bound)
    return MeanField(problem.x.shape[1], *kind), MeanField(problem.z.shape[1], *kind)


def first_particles(problem: Problem, config: BilevelSettings, random: np.random.RandomState) -> Start:
    """Random particles; the twin starts where the first stage does."""
    structural, instrumental = networks(problem, config)
    x, z = structural.init(random), instrumental.init(random)
    return Start(x, z, z)


def solve(
    problem: Problem,
    config: BilevelSettings,
    lambdas: Sequence[float],
    seeds: Sequence[int],
    rows: Sequence[NDArray[np.intp]],
    starts: Sequence[Start],
    n_threads: int,
    client: Any = None,
) -> list[Path]:
    """One run for each λ, seed, list of rows and start: in one call of the kernel, or jobs of a client."""
    if client is not None:
        parts = [slice(share.start, share.stop) for share in shares(client, len(seeds))]
        jobs = [tuple(each[part] for each in (lambdas, seeds, rows, starts)) for part in parts]
        found = results_of(client, _solve_some, (problem, config, n_threads), jobs)
        return [path for some in found for path in some]
    structural, instrumental = networks(problem, config)
    options = _rfpcore.BilevelOptions(
        structural._shape,
        instrumental._shape,
        config.inner_steps,
        config.max_iter,
        config.batch_size,
        config.inner_warm_start,
        config.shared_noise,
        config.record_every,
        ADAM if config.solver == "adam" else None,
    )
    dtype = problem.y.dtype
    paths = _rfpcore.solve_bilevel(
        _rfpcore.BilevelData(problem.x, problem.z, problem.y, problem.coefficients, problem.weights),
        options,
        np.array([config.rates(lam) for lam in lambdas]),
        [int(seed) for seed in seeds],
        np.concatenate(rows).astype(np.int64),
        np.cumsum([0, *map(len, rows)]),
        tuple(np.array(part, dtype) for part in zip(*starts, strict=True)),  # type: ignore[arg-type]
        n_threads,
    )
    return [Path(*path) for path in paths]


def _solve_some(shared: tuple[Problem, BilevelSettings, int], job: tuple[Any, ...]) -> list[Path]:
    problem, config, n_threads = shared
    lambdas, seeds, rows, starts = job
    return solve(problem, config, lambdas, seeds, rows, starts, n_threads)
