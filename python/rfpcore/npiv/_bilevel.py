"""Runs of F²BMLD in the kernel: settings, their numbers for each λ, and what comes back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _rfpcore
from .._arrays import Array
from .._options import MAX_STEPS, boolean, choice, integer, real
from .particles import MeanField, ParticleActivation

BilevelSolver = Literal["adam", "langevin"]

ADAM = (0.5, 0.9, 1e-8)
"""Moments' decays and epsilon of the solver "adam": those of the first author's public code."""

PRESETS: dict[str, dict[str, float | int]] = {
    "adam": {"n_particles": 50, "max_iter": 5000, "step": 5e-3, "zeta": 1e-5, "sigma": 0.0},
    "langevin": {"n_particles": 100, "max_iter": 4000, "step": 0.3, "zeta": 3e-4, "sigma": 3e-4},
}
"""Defaults of each solver."""


@dataclass(frozen=True)
class Settings:
    """All of the algorithm's numbers but λ, checked."""

    solver: BilevelSolver
    n_particles: int
    activation: ParticleActivation
    clip: float | None
    inner_steps: int
    max_iter: int
    batch_size: int | None
    alpha: float
    gamma: float
    zeta1: float
    zeta2: float
    sigma1: float
    sigma2: float
    warm_start: bool
    shared: bool
    n_checkpoints: int

    def rates(self, lam: float) -> list[float]:
        """The kernel's numbers for one λ: lambda, alpha, beta, gamma, zeta1, zeta2, sigma1, sigma2.

        In units of λ/(1 + λ), so that λ changes neither the speed nor the ridge of a step: the data part of
        the structural gradient is of order λ/(1 + λ), and the twin's loss has the curvature 1 + λ. Adam's
        steps have no scale.
        """
        share = lam / (1 + lam)
        langevin = self.solver == "langevin"
        beta, gamma = (self.alpha / (1 + lam), self.gamma / share) if langevin else (self.alpha, self.gamma)
        zeta2, sigma2 = share * self.zeta2, share * self.sigma2
        return [lam, self.alpha, beta, gamma, self.zeta1, zeta2, self.sigma1, sigma2]

    @property
    def options(self) -> dict[str, Any]:
        """As the constructor's arguments, from which `settings` makes the same again."""
        options = asdict(self)
        options["inner_warm_start"] = options.pop("warm_start")
        options["shared_noise"] = options.pop("shared")
        return options

    @property
    def record_every(self) -> int:
        """Outer steps between checkpoints."""
        return max(1, self.max_iter // self.n_checkpoints)


def settings(options: dict[str, Any]) -> Settings:
    """The constructor's arguments as `Settings`; None stands for the solver's preset."""
    solver = choice(options["solver"], "solver", BilevelSolver)
    preset = PRESETS[solver]
    choice(options["activation"], "activation", ParticleActivation)

    def count(name: str, default: float | int | None = None) -> int:
        value = options[name] if default is None or options[name] is not None else default
        return integer(value, name, 1, MAX_STEPS)

    def number(name: str, default: float, positive: bool) -> float:
        needed = "a positive number" if positive else "a number of at least 0"
        value = real(default if options[name] is None else options[name], name, needed)
        if value < 0 or (positive and value == 0):
            raise ValueError(f"{name}={value}; {needed} is needed")
        return value

    return Settings(
        solver=solver,  # type: ignore[arg-type]
        n_particles=count("n_particles", preset["n_particles"]),
        activation=options["activation"],
        clip=None if options["clip"] is None else number("clip", 0, True),
        inner_steps=count("inner_steps"),
        max_iter=count("max_iter", preset["max_iter"]),
        batch_size=None if options["batch_size"] is None else count("batch_size"),
        alpha=number("alpha", preset["step"], True),
        gamma=number("gamma", preset["step"], True),
        zeta1=number("zeta1", preset["zeta"], False),
        zeta2=number("zeta2", preset["zeta"], False),
        sigma1=number("sigma1", preset["sigma"], False),
        sigma2=number("sigma2", preset["sigma"], False),
        warm_start=boolean(options["inner_warm_start"], "inner_warm_start"),
        shared=boolean(options["shared_noise"], "shared_noise"),
        n_checkpoints=count("n_checkpoints"),
    )


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


def networks(problem: Problem, config: Settings) -> tuple[MeanField, MeanField]:
    """The structural network, and the one on the instruments."""
    kind = (config.n_particles, config.activation, config.clip)
    return MeanField(problem.x.shape[1], *kind), MeanField(problem.z.shape[1], *kind)


def first_particles(problem: Problem, config: Settings, random: np.random.RandomState) -> Start:
    """Random particles; the twin starts where the first stage does."""
    structural, instrumental = networks(problem, config)
    x, z = structural.init(random), instrumental.init(random)
    return Start(x, z, z)


def solve(
    problem: Problem,
    config: Settings,
    lambdas: Sequence[float],
    seeds: Sequence[int],
    rows: Sequence[NDArray[np.intp]],
    starts: Sequence[Start],
    n_threads: int,
) -> list[Path]:
    """One run for each λ, seed, list of rows and start, in one call of the kernel."""
    structural, instrumental = networks(problem, config)
    options = _rfpcore.BilevelOptions(
        structural._shape,
        instrumental._shape,
        config.inner_steps,
        config.max_iter,
        config.batch_size,
        config.warm_start,
        config.shared,
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
