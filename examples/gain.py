"""What RFP gains over ordinary training in the effect of a policy, and where it does not.

The doubly robust effect on the treated of `make_policy`, with controls modelled by RFP (alpha = .2) and by
the same network trained ordinarily (alpha = 1), for the default 150 outer steps and for 600. Draws the ratio
of the two root mean squared errors, below 1 where RFP is better, as the size of cluster effects, overlap and
the number of clusters vary.
"""

import argparse
import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from rfpcore import RFPRegressor
from rfpcore.causal import ClusterEffect
from rfpcore.datasets import make_policy
from rfpcore.exceptions import DesignWarning

BASE = {"n_clusters": 20, "cluster_scale": 0.5, "selection": 1.0}
PATHS = {
    "cluster_scale": ("standard deviation of cluster effects", (0.0, 0.25, 0.5, 1.0, 2.0)),
    "selection": ("selection: the larger, the less overlap", (0.0, 0.5, 1.0, 2.0)),
    "n_clusters": ("clusters", (10, 20, 40)),
}


def network(alpha: float, steps: int) -> RFPRegressor:
    return RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=(32, 32),
        alpha=alpha,
        inner_steps=1,
        inner_lr=0.05,
        max_iter=steps,
        dtype="float32",
    )


def errors(steps: int, draws: int, **setting: float) -> np.ndarray:
    """(draws, 2) squared errors of RFP and of ordinary training, on the same data sets that overlap."""
    found: list[list[float]] = []
    seed = 0
    while len(found) < draws:
        data = make_policy(random_state=seed, **setting)
        seed += 1
        y = (data.y - data.y.mean()) / data.y.std()
        truth = data.effect[data.treatment == 1].mean() / data.y.std()
        try:
            models = [
                ClusterEffect(outcome=network(alpha, steps), inference="cr1").fit(
                    data.X, y, data.treatment, data.groups
                )
                for alpha in (0.2, 1.0)
            ]
        except ValueError:
            continue
        found.append([(data.y.std() * (model.estimate_ - truth)) ** 2 for model in models])
    return np.array(found)


def ratio(squares: np.ndarray) -> tuple[float, float]:
    """RMSE of RFP over that of ordinary training, and its jackknife standard error over the draws."""
    n = len(squares)
    left = np.sqrt((squares.sum(axis=0) - squares) / (n - 1))
    without = left[:, 0] / left[:, 1]
    error = np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
    full = np.sqrt(squares.mean(axis=0))
    return float(full[0] / full[1]), float(error)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="3 draws, 10 and 20 steps")
    parser.add_argument("--output", default="gain.png")
    options = parser.parse_args(arguments)
    draws, lengths = (3, (10, 20)) if options.short else (100, (150, 600))
    warnings.simplefilter("ignore", DesignWarning)
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained", sharey=True)
    print(f"RMSE of RFP / RMSE of ordinary training (standard error), {draws} draws:")
    for ax, (name, (label, values)) in zip(axes, PATHS.items(), strict=True):
        for steps in lengths:
            found = [ratio(errors(steps, draws, **BASE | {name: value})) for value in values]
            means, spreads = zip(*found, strict=True)
            ax.errorbar(range(len(values)), means, spreads, marker="o", capsize=3, label=f"{steps} steps")
            shown = "  ".join(f"{v:g}: {m:.2f} ({s:.2f})" for v, (m, s) in zip(values, found, strict=True))
            print(f"{name:14} {steps:4} steps   {shown}", flush=True)
        ax.axhline(1, color="black", linewidth=0.8)
        ax.set_xticks(range(len(values)), [f"{value:g}" for value in values])
        ax.set(xlabel=label)
    axes[0].set_ylabel("RMSE of RFP / ordinary training")
    axes[0].legend(frameon=False)
    figure.savefig(options.output, dpi=150)
    plt.close(figure)
    print(f"\nWrote {options.output}.")


if __name__ == "__main__":
    main()
