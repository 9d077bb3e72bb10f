"""Figures 1 and 2: the idea, in one parameter and in two.

Figure 1: at the optimum of loss + penalty their gradients are opposite and equal, so that the loss'
gradient says how strong the penalty is. Figure 2: beside the gradient flow an epoch of mini-batches is
pushed aside, and what pushes it is, over all orders of the batches, the gradient of a penalty, ε/4 times
the batches' squared gradients.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, sections 1 and 2, appendix
H.1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cells import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Claim,
    Outcome,
    Record,
    Script,
    cells,
    run,
    save,
    select,
    tidy,
    verdict,
)

import rfpcore
from rfpcore.implicit import BatchVariance, Equations, GradientMatching, SquaredGradient
from rfpcore.regularize import L2

LAMBDA = 1.0
NET = rfpcore.MLP(1, (1,), activation="identity", bias=False)
START = np.array([0.3, 2.4])


class Size(NamedTuple):
    """How large the study is."""

    rows: int = 16
    steps: int = 200
    """Epochs."""
    pairs: int = 8


FULL, QUICK = Size(), Size(8, 10, 2)


def one_parameter(rows: int) -> Record:
    """A slope with a ridge: the weight, both gradients there, and the coefficient."""
    random = np.random.default_rng(0)
    x = random.standard_normal(rows)
    y = 2 * x + 0.5 * random.standard_normal(rows)
    # mean (y − βx)² + λ/2 β²
    theta = 2 * np.mean(x * y) / (2 * np.mean(x**2) + LAMBDA)
    net = rfpcore.MLP(1, (), bias=False)
    equations = Equations.endpoint(net, [theta], rfpcore.Clusters(x[:, None], y))
    coefficient = GradientMatching([L2(1)]).fit(equations).coef_[0]
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "theta": float(theta),
        "slope": float(equations.targets[0, 0]),
        "coefficient": float(coefficient),
    }


def two_parameters(rows: int, steps: int, pairs: int, step: float = 0.04, size: int = 2) -> Record:
    """A network of two weights, f = v w x: flow, mini-batches, and the deviations of epochs from the flow."""
    random = np.random.default_rng(1)
    X = random.standard_normal((rows, 1))
    y = 1.5 * X[:, 0] + 0.8 * random.standard_normal(rows)
    data = rfpcore.Clusters(X, y)
    path = [START]
    for _ in range(8 * steps):
        path.append(path[-1] - step / 4 * rfpcore.gradient(NET, path[-1], data))
    noisy = [START]
    for _ in range(steps):
        for part in random.permutation(rows).reshape(-1, size):
            batch = rfpcore.Clusters(X[part], y[part])
            noisy.append(noisy[-1] - step * rfpcore.gradient(NET, noisy[-1], batch))
    points = np.array(noisy)[:: max(1, len(noisy) // 12)]
    equations = Equations.epochs(NET, points, data, size, step / 40, pairs=pairs, random_state=0)
    penalties = [SquaredGradient(NET, data), BatchVariance(NET, data, size)]

    def both(theta: np.ndarray) -> Any:
        return sum(one.gradients(theta[None])[0, :, 0] for one in penalties)

    fit = GradientMatching([both]).fit(equations)
    return {
        "X": X[:, 0].tolist(),
        "y": y.tolist(),
        "path": np.array(path).tolist(),
        "noisy": np.array(noisy).tolist(),
        "points": points.tolist(),
        "pushes": (-equations.targets).tolist(),
        "ratio": float(fit.coef_[0]) / (step / 40 / 4),
        "explained": fit.explained_,
    }


def study(size: Size, path: Path | None = None) -> list[Record]:
    second = {"rows": size.rows, "steps": size.steps, "pairs": size.pairs}
    return cells(path, one_parameter, [{"rows": 30}]) + cells(path, two_parameters, [second])


def claims(records: list[Record]) -> list[Claim]:
    (first,), (second,) = select(records, "one_parameter"), select(records, "two_parameters")
    return [
        Claim(
            "figure 1: at the regularized optimum the gradients are equal and opposite",
            f"estimated λ = {first['coefficient']:.12f} for a true {LAMBDA:g}",
            verdict(abs(first["coefficient"] - LAMBDA) < 1e-12),
        ),
        Claim(
            "figure 2: deviations from the flow carry the penalty of mini-batches",
            f"over orders and their reverses: {second['ratio']:.3f} of ε/4, explains "
            f"{second['explained']:.4f}",
            verdict(abs(second["ratio"] - 1) < 0.03),
        ),
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    _draw_one(axes[0], select(records, "one_parameter")[0])
    (second,) = select(records, "two_parameters")
    _draw_two(axes[1], second, faint=False)
    axes[1].set_title("Figure 2: flow and mini-batches")
    _draw_two(axes[2], second, faint=True)
    points, pushes = np.array(second["points"]), np.array(second["pushes"])
    axes[2].quiver(*points.T, *pushes.T, color=RED, angles="xy", width=0.006, label="mean push of an epoch")
    axes[2].set_title("What mini-batches add to the flow, on their way")
    for ax in axes:
        ax.legend(frameon=False, fontsize=8)
    tidy(figure)
    save(figure, path)


def _draw_one(ax: Any, one: Record) -> None:
    x, y, theta = np.array(one["x"]), np.array(one["y"]), one["theta"]
    beta = np.linspace(-0.5, 3.2, 200)
    loss = np.mean((y - np.outer(beta, x)) ** 2, axis=1)
    ridge = LAMBDA / 2 * beta**2
    for values, colour, label in (
        (loss, BLUE, "loss"),
        (ridge, ORANGE, "penalty"),
        (loss + ridge, GREY, "sum"),
    ):
        ax.plot(beta, values, color=colour, label=label)
    at_loss, at_ridge = np.mean((y - theta * x) ** 2), LAMBDA / 2 * theta**2
    reach = 0.6
    for height, sign, colour in ((at_loss, 1, BLUE), (at_ridge, -1, ORANGE)):
        ax.annotate(
            "",
            (theta + sign * reach, height),
            (theta, height),
            arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2},
        )
    ax.axvline(theta, color="black", ls=":", lw=0.8)
    ax.set(title="Figure 1: opposite and equal at the optimum", xlabel="weight")


def _draw_two(ax: Any, one: Record, faint: bool) -> None:
    path, noisy = np.array(one["path"]), np.array(one["noisy"])
    points = np.concatenate([path, noisy])
    low, high = points.min(axis=0) - 0.15, points.max(axis=0) + 0.15
    w, v = np.meshgrid(np.linspace(low[0], high[0], 80), np.linspace(low[1], high[1], 80))
    x, y = np.array(one["X"]), np.array(one["y"])
    loss = np.mean((y[:, None, None] - x[:, None, None] * w * v) ** 2, axis=0)
    ax.contour(
        w, v, loss, levels=np.quantile(loss, np.linspace(0, 0.9, 15)), colors=GREY, linewidths=0.4, alpha=0.7
    )
    ax.plot(*path.T, color=BLUE, lw=2, label="gradient flow")
    ax.plot(*noisy.T, color=ORANGE, lw=0.8, alpha=0.2 if faint else 1, label="mini-batches")
    ax.plot(*path[0], "o", color=GREEN)
    ax.set(xlabel="weight w", ylabel="weight v")


SCRIPT = Script("figures_1_2_idea", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
