"""Figures 1 and 5 of Power and Ghosh (2025): whose neighbours one sees, and how soon all is extrapolation.

25 clusters of 25 rows whose means are drawn from a normal distribution (figure 5). As features are added,
test rows leave the hull of the training rows, clustered or not; and neighbours come to be of one's own
cluster, if clusters differ.
"""

import argparse
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from rfpcore.causal import NeighbourDisplay, in_hull, own_cluster_share
from rfpcore.datasets import make_policy

CLUSTERS, ROWS = 25, 25


def sample(dimension: int, clustered: bool, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of variance 2 in each feature: half of it between clusters, or none."""
    groups = np.repeat(np.arange(CLUSTERS), ROWS)
    means = random.standard_normal((CLUSTERS, dimension))[groups]
    if not clustered:
        means = random.standard_normal((len(groups), dimension))
    return means + random.standard_normal((len(groups), dimension)), groups


def curves(dimensions: Sequence[int], points: int) -> dict[str, np.ndarray]:
    """Of clustered and independent rows, by dimension: share in the hull, share of foreign neighbours."""
    found = {name: np.empty((2, len(dimensions))) for name in ("clusters", "independent rows")}
    for j, (name, clustered) in enumerate((("clusters", True), ("independent rows", False))):
        for i, dimension in enumerate(dimensions):
            random = np.random.default_rng([j, dimension])
            X, groups = sample(dimension, clustered, random)
            test, _ = sample(dimension, clustered, random)
            chosen = random.choice(len(test), points, replace=False)
            found[name][:, i] = in_hull(X, test[chosen]).mean(), 1 - own_cluster_share(X, groups).mean()
    return found


def figure_1(ax: plt.Axes) -> list[float]:
    """Neighbours within the control group, without and with the feature of the cluster."""
    data = make_policy(n_clusters=40, random_state=0)
    control = data.treatment == 0
    X = (data.X / data.X.std(axis=0))[control]
    display = NeighbourDisplay.from_features(
        {"features of rows": X[:, :2], "and of the cluster": X}, data.groups[control]
    )
    display.plot(ax)
    ax.set_title("Figure 1: control group", loc="left", fontsize=11)
    return [share.mean() for share in display.shares.values()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="three dimensions, 20 points")
    parser.add_argument("--output", default="figure_neighbours.png")
    options = parser.parse_args(arguments)
    dimensions = (1, 4, 8) if options.short else (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    without, with_feature = figure_1(axes[0])
    found = curves(dimensions, 20 if options.short else 150)
    for (name, (hull, others)), marker in zip(found.items(), "os", strict=True):
        axes[1].plot(dimensions, hull, marker=marker, label=name)
        axes[2].plot(dimensions, others, marker=marker, label=name)
    axes[1].set(xlabel="features", ylabel="test rows in the training hull", ylim=(-0.03, 1.03))
    axes[2].set(xlabel="features", ylabel="neighbours from another cluster", ylim=(-0.03, 1.03))
    for ax, title in zip(axes[1:], ("Figure 5a", "Figure 5b"), strict=True):
        ax.set_title(title, loc="left", fontsize=11)
        ax.legend(frameon=False)
    figure.savefig(options.output, dpi=150)
    plt.close(figure)
    print(
        f"Own-cluster neighbours of controls: {without:.2f}; with the cluster's feature {with_feature:.2f}."
    )
    print(f"{'features':>10}{'in hull':>10}{'independent':>13}{'other cluster':>15}{'independent':>13}")
    clusters, rows = found.values()
    for i, dimension in enumerate(dimensions):
        numbers = (clusters[0, i], rows[0, i], clusters[1, i], rows[1, i])
        print(
            f"{dimension:>10}"
            + "".join(f"{x:>{w}.2f}" for x, w in zip(numbers, (10, 13, 15, 13), strict=True))
        )
    print(f"\nWrote {options.output}.")


if __name__ == "__main__":
    main()
