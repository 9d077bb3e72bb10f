"""Curves over the size of the model, the rows and the epochs, where theory is exact and where it is not.

Least squares and random features beside their exact risks, with the interpolation threshold; networks on
noisy digits over width and epochs, and with squared loss over width. `report/curves.md` holds what came out.

    python examples/descent/curves.py            # half a minute of processor time
    python examples/descent/curves.py --quick    # fewer points and seeds, to see whether everything runs
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ablation import BASE

from rfpcore.optimizers import Adam
from rfpcore.studies import (
    Curve,
    Descent,
    LeastSquares,
    LinearTarget,
    RandomFeatures,
    RiskMap,
    geometric,
    noisy_digits,
    theory,
)

LINEAR = LinearTarget(60, 120)
TALL = LinearTarget(150, 60)
FEATURES = LinearTarget(300, 100, noise=0.2)


def regressions(few: bool) -> dict[str, Curve]:
    """Least squares and random features, each beside theory."""
    step, seeds = (4, 20) if few else (1, 300)
    scales, beta = theory.two_scales(100, 20)
    slow = LinearTarget(160, 120, noise=0.1, scales=scales, coefficients=beta)
    widths = [10, 20, 30, 40, 48, 54, 57, 60, 63, 66, 72, 80, 90, 105, 120][::step]
    rows = [10, 20, 30, 40, 48, 54, 57, 60, 63, 66, 72, 80, 100, 125, 150][::step]
    units = [50, 100, 150, 200, 250, 300, 350, 400, 500, 700, 1000][::step]
    found = {
        "least squares": Descent(LINEAR, LeastSquares(), widths=widths, seeds=seeds).curve(),
        "least squares, rows": Descent(TALL, LeastSquares(), sizes=rows, seeds=seeds).curve(),
        "best ridge penalty": Descent(
            LINEAR, LeastSquares(penalty="optimal"), widths=widths, seeds=seeds
        ).curve(),
        "two scales, time": Descent(
            slow, LeastSquares(), epochs=geometric(1, 50_000, 16)[::step], seeds=max(seeds // 15, 2)
        ).curve(),
    }
    for name in ("relu", "erf"):
        study = Descent(FEATURES, RandomFeatures(activation=name), widths=units, seeds=max(seeds // 15, 2))
        found[f"random features, {name}"] = study.curve()
    study = Descent(
        LinearTarget(1000, 100, noise=0.2), RandomFeatures(300), sizes=units, seeds=max(seeds // 15, 2)
    )
    found["random features, rows"] = study.curve()
    return found


def networks(few: bool) -> tuple[RiskMap, Curve]:
    """Error over width and epochs, and squared loss over width, where P = nK may be read off."""
    points, seeds = (4, 2) if few else (12, 6)
    epochs = [3, 20, 45] if few else [3, 5, 9, 20, 45, 101, 200, 300]
    widths = geometric(3, 256, points)
    found = Descent(noisy_digits(), BASE, widths=widths, epochs=epochs, seeds=seeds).map("widths", "epochs")
    squared = replace(BASE, loss="squared", optimizer=Adam(0.003), batch_size=50, n_epochs=30 if few else 300)
    return found, Descent(noisy_digits(300), squared, widths=widths, seeds=seeds).curve()


def draw(folder: Path, curves: dict[str, Curve], found: RiskMap, squared: Curve) -> None:
    """Two figures."""
    fig, axs = plt.subplots(2, 4, figsize=(17, 7.5), layout="constrained")
    for ax, (name, curve) in zip(axs.flat, (curves | {"digits, squared loss": squared}).items(), strict=True):
        curve.plot(ax).set_title(name)
    fig.savefig(folder / "theory.png", dpi=90)
    fig, axs = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    found.plot(axs[0]).set_title("white: training error 1 %")
    for epochs, errors in zip(found.other_points, found.test_errors.T, strict=True):
        axs[1].plot(found.points, errors, "o-", ms=3, label=str(epochs))
    axs[1].set(xscale="log", xlabel="width", ylabel="test error")
    axs[1].legend(title="epochs", frameon=False, fontsize=7)
    fig.savefig(folder / "map.png", dpi=90)


def peak_of(errors: np.ndarray) -> tuple[int, int]:
    """Where a curve rises most from and to."""
    top = int((errors - np.minimum.accumulate(errors)).argmax())
    return int(errors[: top + 1].argmin()), top


def beside_theory(curves: dict[str, Curve]) -> list[str]:
    """How far simulations are from exact risks."""
    lines = [
        "Simulation against exact theory, in standard errors over seeds (z), at points ten or more from the "
        "threshold: nearer to it the risk has no variance, at it no mean, so that the heights of the peaks "
        "in the figure are chance. Seeds share their rows over the points of a curve, so that its points err "
        "together.",
        "",
        "| curve | seeds | points | largest z | threshold by training error | counted | largest median at |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, curve in curves.items():
        assert curve.theory is not None
        errors, gap = curve.test_errors, np.abs(curve.n_parameters - curve.n_targets)
        far = (gap >= 10) | (curve.axis == "epochs")
        deviation = errors.std(axis=0, ddof=1)[far] / np.sqrt(len(errors))
        z = (errors.mean(axis=0) - curve.theory)[far] / deviation
        thresholds = " | ".join(
            "none" if np.isnan(at) else f"{at:.0f}" for at in (curve.threshold, curve.expected_threshold)
        )
        top = curve.points[np.median(errors, axis=0).argmax()]
        lines.append(
            f"| {name} | {len(errors)} | {far.sum()} | {np.abs(z).max():.1f} | {thresholds} | {top} |"
        )
    return lines


def of_squares(curve: Curve) -> str:
    """Networks with squared loss, where P = nK is to be compared with the peak."""
    (rise, rise_error), (fall, fall_error) = curve.rise(), curve.fall()
    return (
        "Networks on 300 digits, a fifth of the labels wrong, squared loss: the error rises by "
        f"{rise:.3f} ({rise_error:.3f}) to width {curve.points[peak_of(curve.test_errors.mean(axis=0))[1]]} "
        f"and falls by {fall:.3f} ({fall_error:.3f}); parameters are as many as numbers to fit at width "
        f"{curve.expected_threshold:.0f}, training errors are below 1 % from {curve.threshold:g} on."
    )


def over_epochs(found: RiskMap) -> list[str]:
    """The map, a line for each number of epochs."""
    lines = [
        "Networks on 1000 digits, a fifth of the labels wrong. The longer they are trained, the smaller the "
        "network at the peak: it follows the line where training errors fall below 1 %.",
        "",
        "| epochs | valley at width | error | peak at | error | error at 256 | training error < 1 % from |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for epochs, errors, training in zip(
        found.other_points, found.test_errors.T, found.train_errors.T, strict=True
    ):
        first, last = peak_of(errors)
        cells = [f"{found.points[at]} | {errors[at]:.3f}" for at in (first, last)]
        fits = np.flatnonzero(training < found.level)
        cells += [f"{errors[-1]:.3f}", str(found.points[fits[0]]) if len(fits) else "none"]
        lines.append(f"| {epochs} | {' | '.join(cells)} |")
    return lines


def tell(folder: Path, curves: dict[str, Curve], found: RiskMap, squared: Curve, seconds: float) -> Path:
    """The page."""
    lines = [
        "# Curves over model size, sample size and epochs",
        "",
        f"Made by `python examples/descent/curves.py`, in {seconds:.0f} seconds of processor time. Risks are "
        "in excess of the noise; a line is the interpolation threshold by training error, a dotted one that "
        "of as many parameters as numbers to fit.",
        "",
        "![Least squares, random features, and networks with squared loss](theory.png)",
        "",
        *beside_theory(curves),
        "",
        of_squares(squared),
        "",
        "## Width and epochs",
        "",
        "![Error of networks over width and epochs](map.png)",
        "",
        *over_epochs(found),
    ]
    path = folder / "curves.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "report")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    curves, (found, squared) = regressions(options.quick), networks(options.quick)
    draw(options.out, curves, found, squared)
    print(tell(options.out, curves, found, squared, time.process_time() - began))


if __name__ == "__main__":
    main()
