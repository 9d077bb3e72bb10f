"""Where a fit stands against what the theorems ask for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array
from ._bilevel import BilevelSettings
from ._strength import InstrumentStrength


@dataclass(frozen=True)
class Condition:
    """One condition of the theory, or a check of the data."""

    name: str
    holds: bool
    detail: str
    """The numbers."""


@dataclass(frozen=True)
class Diagnosis:
    """What `F2BMLD.diagnose` returns: `print` it.

    Attributes
    ----------
    conditions : tuple of Condition
    errors : ndarray (n_lambdas, n_checkpoints)
        Held-out stage-two errors in units of the variance of y.
    lambdas : tuple of float
    history : dict of ndarray
        Losses at each checkpoint of the last fit.
    """

    conditions: tuple[Condition, ...]
    errors: Array
    lambdas: tuple[float, ...]
    history: dict[str, Array]

    @property
    def violated(self) -> tuple[str, ...]:
        """Names of the conditions that do not hold."""
        return tuple(condition.name for condition in self.conditions if not condition.holds)

    def __str__(self) -> str:
        lines = (f"{'ok' if c.holds else 'NO':3} {c.name}: {c.detail}" for c in self.conditions)
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Held-out error of every λ, and the bilevel gap, against outer steps.

        Parameters
        ----------
        axes : two matplotlib Axes, optional
            None makes a figure.

        Returns
        -------
        axes : the two Axes
        """
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
        steps = self.history["step"]
        for lam, error in zip(self.lambdas, self.errors, strict=True):
            every = steps[0] if len(steps) else 1
            axes[0].plot(every * np.arange(1, len(error) + 1), error, label=f"λ = {lam:g}")
        axes[0].set(xlabel="outer steps", ylabel="held-out stage-two error / var(y)")
        axes[0].legend(frameon=False)
        axes[1].plot(steps, self.history["bilevel_gap"], color="black")
        axes[1].axhline(0, color="grey", linewidth=0.8)
        axes[1].set(xlabel="outer steps", ylabel="bilevel gap F₁(x, z̃) − F₁(x, z)")
        return axes


def conditions(
    config: BilevelSettings, rates: dict[str, float], strength: InstrumentStrength, history: dict[str, Array]
) -> tuple[Condition, ...]:
    """The slides' conditions with the numbers of a fit: propositions 2 and theorem 3."""
    lam, alpha, beta, gamma = (rates[name] for name in ("lambda", "alpha", "beta", "gamma"))
    zeta1, zeta2, sigma1, sigma2 = (rates[name] for name in ("zeta1", "zeta2", "sigma1", "sigma2"))

    def at_most(name: str, value: float, bound: float, formula: str) -> Condition:
        return Condition(name, value <= bound, f"{value:.3g} against {formula} = {bound:.3g}")

    infinity = float("inf")
    found = [
        at_most("step alpha", alpha, 1 / zeta1 if zeta1 else infinity, "1/ζ1"),
        at_most("step beta", beta, 1 / (lam * zeta2) if zeta2 else infinity, "1/(λζ2)"),
        at_most("step gamma", gamma, 1 / zeta2 if zeta2 else infinity, "1/ζ2"),
        Condition(
            "bounded particles",
            config.particle_bound is not None,
            "assumption 1 needs particle_bound, the bound R of a particle's output"
            if config.particle_bound is None
            else f"R = {config.particle_bound:g}",
        ),
        Condition(
            "penalties",
            zeta1 > 0 and zeta2 > 0,
            f"ζ1 = {zeta1:.3g}, ζ2 = {zeta2:.3g}; both must be positive",
        ),
        _temperature(config, lam, sigma1 * sigma2),
    ]
    gap = float(history["bilevel_gap"][-1])
    found.append(
        Condition(
            "bilevel gap",
            gap >= -1e-3,
            f"F1(x, twin) - F1(x, z) = {gap:.3g} at the end; below 0 the first stage lags behind its twin",
        )
    )
    weakest = float(strength.f.min())
    found.append(Condition("instruments", not strength.is_weak, f"smallest first-stage F {weakest:.3g}"))
    return tuple(found)


def _temperature(config: BilevelSettings, lam: float, product: float) -> Condition:
    """Theorem 3: σ1σ2𝔠 ≥ 4R³λ for a slack 𝔠 that enters its bound squared."""
    if config.solver == "adam" or product == 0:
        return Condition("temperature", False, "without noise theorem 3 says nothing")
    if config.particle_bound is None:
        return Condition("temperature", False, "without particle_bound theorem 3's R is infinite")
    slack = 4 * config.particle_bound**3 * lam / product
    return Condition(
        "temperature",
        slack <= 1,
        f"σ1σ2 = {product:.3g} needs a slack of 4R³λ/(σ1σ2) = {slack:.3g}; the bound is of use below about 1",
    )
