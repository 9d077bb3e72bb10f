"""Appendix B, how sure an estimate is: intervals that cover, and the paper's bound, which is far too wide.

Elastic nets with λ = (0.001, 0.01), a run each. Intervals from the run's own windows cover as they
should; those that take the parameters for independent observations do not. The bound of theorem 1 holds
in all runs, and is many times the error that is there.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, appendix B.1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cells import BLUE, GREY, ORANGE, Claim, Outcome, Record, Script, cells, run, save, tidy, verdict
from elastic import ADVISED, ROUTES, estimate, train

TRUE = (1e-3, 1e-2)


class Size(NamedTuple):
    """How large the study is."""

    runs: int = 240
    width: int = 50
    epochs: int = 200


FULL, QUICK = Size(), Size(12, 20, 40)
BLOCK = 12  # runs a cell


def block(first: int, runs: int, width: int, epochs: int) -> Record:
    """Estimates, intervals and bounds of some runs, by windows with both baselines."""
    design = ADVISED._replace(width=width, epochs=epochs)
    results = train(design, TRUE, list(range(first, first + runs)))
    found: Record = {}
    for route in ROUTES[1:]:
        fits = [estimate(one, route, design.delta) for one in results]
        naive = [estimate(one, route, design.delta, covariance="classical") for one in results]
        found[route] = {
            "coef": [one.coef_.tolist() for one in fits],
            "interval": [one.confidence_interval().tolist() for one in fits],
            "classical": [one.confidence_interval().tolist() for one in naive],
            "bound": [one.bound_(0.05) for one in fits],
            "effective": [one.effective_parameters_ for one in fits],
        }
    return found


def study(size: Size, path: Path | None = None) -> list[Record]:
    cases = [
        {"first": i, "runs": min(BLOCK, size.runs - i), "width": size.width, "epochs": size.epochs}
        for i in range(0, size.runs, BLOCK)
    ]
    return cells(path, block, cases)


def together(records: list[Record], route: str, name: str) -> np.ndarray:
    """One thing of all runs."""
    return np.array([value for one in records for value in one[route][name]])


def coverage(intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of runs whose interval holds the truth (2,), and its standard error."""
    inside = (intervals[:, :, 0] <= TRUE) & (np.array(TRUE) <= intervals[:, :, 1])
    share = inside.mean(axis=0)
    return share, np.sqrt(share * (1 - share) / len(inside))


def claims(records: list[Record]) -> list[Claim]:
    sampled, same = ROUTES[1:]
    share, error = coverage(together(records, sampled, "interval"))
    naive, _ = coverage(together(records, sampled, "classical"))
    coef = together(records, sampled, "coef")
    off = 100 * (coef.mean(axis=0) / TRUE - 1)
    exact = np.abs(together(records, same, "coef") / TRUE - 1).max()
    gap = np.linalg.norm(coef - TRUE, axis=1)
    bound, effective = together(records, sampled, "bound"), together(records, sampled, "effective")
    return [
        Claim(
            f"(ours) 95 % intervals from ten {sampled} cover",
            f"{len(coef)} runs: λ1 in {100 * share[0]:.1f} ± {100 * error[0]:.1f} %, λ2 in "
            f"{100 * share[1]:.1f} ± {100 * error[1]:.1f} %; mean error {off[0]:+.2f} and {off[1]:+.2f} %; "
            f"with parameters as independent observations {100 * naive[0]:.0f} and {100 * naive[1]:.0f} %",
            verdict(share.min() >= 0.9),
        ),
        Claim(
            "(ours) bare gradients of the very batches leave no noise",
            f"all runs within {exact:.0e} of the truth; what is left comes from parameters "
            "between two records, which intervals know nothing of",
            verdict(exact < 1e-3),
        ),
        Claim(
            "theorem 1 bounds the error, which falls with the effective number of parameters",
            f"{(gap > bound).sum()} of {len(gap)} runs beyond the bound, which is "
            f"{np.median(bound / gap):.0f} times the error (median); effective parameters: "
            f"{np.median(effective):.0f} of {records[0]['width'] * 12 + 1}",
            verdict((gap > bound).mean() <= 0.05, False),
        ),
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    route = ROUTES[1]
    intervals, naive = (together(records, route, name) for name in ("interval", "classical"))
    for ax, j in zip(axes[:2], range(2), strict=True):
        share = coverage(intervals)[0][j], coverage(naive)[0][j]
        for values, colour, label, shift in (
            (intervals, BLUE, "from windows", -0.15),
            (naive, ORANGE, "parameters as observations", 0.15),
        ):
            shown = values[:40, j] / TRUE[j]
            ax.vlines(np.arange(len(shown)) + shift, *shown.T, color=colour, label=label)
        ax.axhline(1, color="black", lw=0.8)
        ax.set(title=f"λ{j + 1}: {100 * share[0]:.0f} and {100 * share[1]:.0f} % cover", xlabel="run")
    axes[0].set_ylabel("95 % interval over truth")
    axes[0].legend(frameon=False, fontsize=8)
    error = np.linalg.norm(together(records, route, "coef") - TRUE, axis=1)
    axes[2].loglog(error, together(records, route, "bound"), "o", ms=3, color=BLUE)
    line = np.array([error.min(), together(records, route, "bound").max()])
    axes[2].loglog(line, line, color=GREY, lw=1)
    axes[2].set(title="Theorem 1", xlabel="actual error", ylabel="bound, 95 %")
    tidy(figure)
    save(figure, path)


SCRIPT = Script("appendix_b_bound", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
