"""What the theorems of F²BMLD say, made visible: particles, λ, temperatures and the inner loop.

Four panels on a design with a known function, all rows in every step as in the slides: the spread of h over
training runs against the number of particles, against λ and against the temperatures, each beside the error
that is left without it; and the first stage's loss at a fixed structural network. Writes a figure and prints
its numbers.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from rfpcore.datasets import InstrumentData, make_iv_curve
from rfpcore.npiv import F2BMLD


class Errors(NamedTuple):
    """Means over the test grid."""

    spread: float
    """Variance over training runs on the same rows: what optimization adds."""
    error: float
    """Squared error of the mean of the runs: what remains without it."""


class Size(NamedTuple):
    """How large the study is."""

    rows: int
    steps: int
    runs: int
    particles: tuple[int, ...]
    lambdas: tuple[float, ...]
    temperatures: tuple[float, ...]


LAMBDAS = (0.03, 0.1, 0.3, 1, 3, 10, 30)
TEMPERATURES = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
NOISE_AND_PENALTIES = "temperature_instrument", "temperature", "weight_decay_instrument", "weight_decay"
FULL = Size(200, 1500, 16, (10, 30, 100, 300), LAMBDAS, TEMPERATURES)
SHORT = Size(150, 60, 3, (10, 100), (0.1, 10), (1e-4, 1e-2))


def errors(data: InstrumentData, size: Size, lam: float = 1.0, **options: Any) -> Errors:
    """Train several times on the same rows: only starts and noise differ."""
    # At the default steps of 0.3 relu oscillates when all rows are taken, which would hide the spread.
    fixed = {"solver": "langevin", "batch_size": None, "max_iter": size.steps, "n_checkpoints": 1}
    fixed |= {"inner_lr": 0.1, "learning_rate_init": 0.1}
    model = F2BMLD(lambdas=(lam,), **fixed, **options)
    values = np.array(
        [
            model.set_params(random_state=seed).fit(data.X, data.y, data.Z).predict(data.X_test)
            for seed in range(size.runs)
        ]
    )
    # The mean of the runs still has a share of their variance.
    spread = values.var(axis=0, ddof=1).mean()
    bias = ((values.mean(axis=0) - data.h_test) ** 2).mean() - spread / size.runs
    return Errors(float(spread), float(bias))


def inner_loop(data: InstrumentData, size: Size, temperature: float) -> np.ndarray:
    """F1(x, z) after each inner step, the structural network standing still."""
    model = F2BMLD(
        solver="langevin",
        lambdas=(1.0,),
        inner_steps=1,
        learning_rate_init=1e-9,
        temperature_instrument=temperature,
        temperature=0.0,
        batch_size=None,
        max_iter=200,
        n_checkpoints=200,
        refit=False,
        random_state=0,
    )
    fitted = model.fit(data.X, data.y, data.Z)
    return fitted._learnt.paths[0].records[:, 1]


def study(size: Size) -> dict[str, Any]:
    data = make_iv_curve(size.rows, random_state=0)
    return {
        "particles": {n: errors(data, size, n_particles=n) for n in size.particles},
        "lambda": {lam: errors(data, size, lam=lam) for lam in size.lambdas},
        "temperature": {
            s: errors(data, size, **dict.fromkeys(NOISE_AND_PENALTIES, s)) for s in size.temperatures
        },
        "inner": {s: inner_loop(data, size, s) for s in (0.0, 3e-4, 3e-3, 3e-2)},
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':>19}{'spread over runs':>18}{'error of their mean':>21}"]
    for name in ("particles", "lambda", "temperature"):
        lines += [f"{name:>11} {at:<7g}{e.spread:>18.2e}{e.error:>21.2e}" for at, e in found[name].items()]
    return "\n".join(lines)


def draw(found: dict[str, Any], path: str) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    titles = {
        "particles": ("Particles", "N of each network"),
        "lambda": ("λ", "λ"),
        "temperature": ("Temperatures and penalties", "σ1 = σ2 = ζ1 = ζ2"),
    }
    for ax, (name, (title, label)) in zip(axes.flat, titles.items(), strict=False):
        at = np.array(list(found[name]))
        ax.loglog(
            at, [e.spread for e in found[name].values()], "o-", color="#0072b2", label="spread over runs"
        )
        error = [max(e.error, 1e-6) for e in found[name].values()]
        ax.loglog(at, error, "s--", color="#d55e00", label="error of their mean")
        if name == "particles":
            last = found[name][at[-1]].spread
            ax.loglog(at, last * at[-1] / at, color="grey", linewidth=1, label="∝ 1/N")
        ax.set(xlabel=label, ylabel="mean over the test grid")
        ax.set_title(title, loc="left", fontsize=11)
        ax.legend(frameon=False)
    ax = axes.flat[3]
    for temperature, losses in found["inner"].items():
        ax.semilogy(np.arange(1, len(losses) + 1), losses, label=f"σ1 = {temperature:g}")
    ax.set(xlabel="inner steps", ylabel="F₁(x, z)")
    ax.set_title("Inner loop at a fixed structural network", loc="left", fontsize=11)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.25)
    ax.legend(frameon=False, ncols=2, loc="upper center")
    for ax in axes.flat:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few runs of few steps")
    parser.add_argument("--output", default="npiv_theory.png", help="the figure (default npiv_theory.png)")
    options = parser.parse_args(arguments)
    found = study(SHORT if options.short else FULL)
    print(table(found))
    draw(found, options.output)
    print(f"Wrote {options.output}.")


if __name__ == "__main__":
    main()
