"""Figures 3 and 6 of Power and Ghosh (2025): clusters agree on a 'v', not on the tails.

A smoother narrow enough for the 'v' learns the clusters' own lines in the tails. Prints the squared error
against |x| in the middle and in the tails of a kernel smoother, ordinary training, MAML and RFP, means over
draws.
"""

import argparse
import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics.pairwise import rbf_kernel

from rfpcore import InnerStepWarning, RFPRegressor
from rfpcore.causal import TriadDisplay, triad
from rfpcore.datasets import make_vee


class KernelSmoother(RegressorMixin, BaseEstimator):
    """Nadaraya and Watson's weighted mean, the bandwidth chosen on rows left out, blind to clusters."""

    def fit(self, X: np.ndarray, y: np.ndarray, groups: object = None) -> "KernelSmoother":
        self.X_, self.y_ = X, y
        losses = {h: self._left_out(h) for h in (0.03, 0.05, 0.1, 0.2, 0.4, 0.8)}
        self.bandwidth_ = min(losses, key=lambda h: losses[h])
        return self

    def _left_out(self, bandwidth: float) -> float:
        weights = rbf_kernel(self.X_, gamma=0.5 / bandwidth**2)
        np.fill_diagonal(weights, 0.0)
        total = weights.sum(axis=1)
        mean = np.divide(weights @ self.y_, total, out=np.full(len(total), self.y_.mean()), where=total > 0)
        return float(np.mean((self.y_ - mean) ** 2))

    def predict(self, X: np.ndarray) -> np.ndarray:
        distance = -0.5 * ((X - self.X_.T) / self.bandwidth_) ** 2
        weights = np.exp(distance - distance.max(axis=1, keepdims=True))
        return weights @ self.y_ / weights.sum(axis=1)


def methods(steps: int, seed: int) -> dict[str, object]:
    options = {"max_iter": steps, "random_state": seed, "inner_steps": 1}
    options |= {"standardize": False, "learning_rate": "constant"}
    return {
        "kernel smoother": KernelSmoother(),
        "ordinary training": RFPRegressor(alpha=1.0, inner_lr=0.02, **options),
        "MAML": RFPRegressor(alpha=0.0, inner_lr=0.02, **options),
        "RFP": RFPRegressor(alpha=0.1, inner_lr=0.02, **options),
    }


def errors(draws: int, steps: int) -> dict[str, np.ndarray]:
    """Mean squared errors against |x| in the middle and in the tails, (draws, 2) for each method."""
    middle, tails = np.linspace(-1, 1, 200), np.r_[np.linspace(-4, -1.2, 200), np.linspace(1.2, 4, 200)]
    found: dict[str, list[list[float]]] = {name: [] for name in methods(steps, 0)}
    for seed in range(draws):
        data = make_vee(random_state=seed)
        for name, model in methods(steps, seed).items():
            model.fit(*data)
            parts = [np.mean((model.predict(x[:, None]) - np.abs(x)) ** 2) for x in (middle, tails)]
            found[name].append(parts)
    return {name: np.array(rows) for name, rows in found.items()}


def draw(steps: int, path: str) -> None:
    data = make_vee(random_state=0)
    fitted = {name: model.fit(*data) for name, model in methods(steps, 0).items()}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
    TriadDisplay.from_models({"kernel smoother": fitted["kernel smoother"]}, *data).plot(left)
    TriadDisplay.from_models({name: fitted[name] for name in ("RFP", "ordinary training")}, *data).plot(right)
    for axes, title in ((left, "A smoother learns the clusters"), (right, "What RFP learns")):
        axes.plot([-4.5, 0, 4.5], [4.5, 0, 4.5], color="0.4", linestyle="--", linewidth=1, label="truth, |x|")
        axes.set_title(title, loc="left", fontsize=11)
        axes.set(xlim=(-5, 5), ylim=(-1.5, 6.5))
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="two draws of 100 steps")
    parser.add_argument("--output", default="figure_triad.png")
    options = parser.parse_args(arguments)
    draws, steps = (2, 100) if options.short else (6, 2000)
    warnings.simplefilter("ignore", InnerStepWarning)  # MAML's curvature outgrows the step
    traits = triad(*make_vee(random_state=0))
    print("Shares: " + ", ".join(f"{name} {share:.2f}" for name, share in traits.items()) + ".")
    print(f"\nMean squared error against |x|, {draws} draws, {steps} steps (standard error):")
    print(f"{'':20}{'middle':>18}{'tails':>18}")
    for name, rows in errors(draws, steps).items():
        mean, spread = rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(draws)
        print(f"{name:20}" + "".join(f"{m:>10.3f} ({s:.3f})" for m, s in zip(mean, spread, strict=True)))
    draw(steps, options.output)
    print(f"\nWrote {options.output}.")


if __name__ == "__main__":
    main()
