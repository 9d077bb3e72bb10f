"""Figure 8 of Power and Ghosh (2025): two clusters that do not overlap, and MAML that ignores one of them.

MAML asks only that a step leads to each cluster, so the function it starts from need not fit either; with few
steps it fits one. Prints the errors of the population's function on the two clusters, and the larger over the
smaller.
"""

import argparse
import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from rfpcore import InnerStepWarning, RFPRegressor

METHODS = {"ordinary training": 1.0, "MAML": 0.0, "RFP": 0.5}


def two_clusters(random: np.random.Generator, n: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sin 2x on the left, cos x on the right, as in the authors' generator, without overlap."""
    x = np.concatenate([random.uniform(-3, -0.2, n), random.uniform(0.2, 3, n)])
    groups = np.repeat([0, 1], n)
    y = np.where(groups == 0, np.sin(2 * x), np.cos(x)) + 0.1 * random.standard_normal(2 * n)
    return x[:, None], y, groups


def fit(alpha: float, data: tuple[np.ndarray, ...], steps: int, seed: int) -> RFPRegressor:
    """In the paper's code: rectifiers, three inner steps of 0.01."""
    model = RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=(32, 32),
        activation="relu",
        alpha=alpha,
        inner_steps=3,
        inner_lr=0.01,
        max_iter=steps,
        random_state=seed,
    )
    return model.fit(*data)


def errors(draws: int, steps: int) -> dict[str, np.ndarray]:
    """(draws, 2) mean squared errors of the population's function on the two clusters, the smaller first."""
    found = {name: np.empty((draws, 2)) for name in METHODS}
    for seed in range(draws):
        data = X, y, groups = two_clusters(np.random.default_rng(seed))
        for name, alpha in METHODS.items():
            residual = (y - fit(alpha, data, steps, seed).predict(X)) ** 2
            found[name][seed] = sorted(residual[groups == c].mean() for c in (0, 1))
    return found


def draw(steps: int, path: str) -> None:
    data = X, y, groups = two_clusters(np.random.default_rng(0))
    grid = np.linspace(-3.2, 3.2, 300)[:, None]
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained", sharey=True)
    for ax, (name, alpha) in zip(axes, METHODS.items(), strict=True):
        for cluster, colour in ((0, "0.6"), (1, "0.1")):
            ax.scatter(X[groups == cluster], y[groups == cluster], s=8, color=colour)
        ax.plot(grid, fit(alpha, data, steps, 0).predict(grid), color="#d55e00", linewidth=2)
        ax.set_title(name, loc="left", fontsize=11)
        ax.set_ylim(-2.5, 2.5)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="two draws of 100 steps")
    parser.add_argument("--output", default="figure_two_clusters.png")
    options = parser.parse_args(arguments)
    draws, steps = (2, 100) if options.short else (12, 1000)
    warnings.simplefilter("ignore", InnerStepWarning)
    print(f"Squared error of the population's function, medians of {draws} draws, {steps} steps:")
    print(f"{'':20}{'better cluster':>16}{'worse cluster':>16}{'ratio':>8}")
    for name, rows in errors(draws, steps).items():
        better, worse = np.median(rows, axis=0)
        print(f"{name:20}{better:>16.3f}{worse:>16.3f}{np.median(rows[:, 1] / rows[:, 0]):>8.1f}")
    draw(steps, options.output)
    print(f"\nWrote {options.output}.")


if __name__ == "__main__":
    main()
