"""Figure 7: the matrix of early stopping from bootstrap replicates of one data set.

Rows drawn anew give each replicate a matrix of its own, and an error of 0.2 to 6 times the matrix is left
however many there are and however large the data: it falls only as the noise grows, as the paper's panel
F says. Keeping X and flipping the signs of the residuals (the wild bootstrap) leaves every replicate the
same matrix: exact from p replicates on, at any noise.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, appendix F.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cells import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Claim,
    Outcome,
    Record,
    Script,
    cells,
    column,
    each,
    run,
    save,
    select,
    tidy,
    verdict,
)
from ols import Problem, descend, design, distance, endpoints, implied, matrix_of, outcomes


class Size(NamedTuple):
    """How large the study is."""

    pools: int = 10
    steps: tuple[int, ...] = (30, 100, 300, 1000)
    noises: tuple[float, ...] = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
    rows: tuple[int, ...] = (50, 100, 400, 1600)
    counts: tuple[int, ...] = (1, 5, 9, 10, 11, 13, 20, 50, 100)


FULL, QUICK = Size(), Size(3, (100,), (0.1, 1.0, 10.0), (100,), (9, 10, 100))


def replicates(
    kind: str, X: np.ndarray, y: np.ndarray, count: int, random: np.random.Generator
) -> list[Problem]:
    """Data sets made of one: rows drawn again, or residuals of least squares with new signs."""
    if kind == "rows":
        drawn = [random.integers(len(X), size=len(X)) for _ in range(count)]
        return [Problem(X[own], y[own]) for own in drawn]
    if kind == "wild":
        fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
        return [Problem(X, fitted + random.choice([-1, 1], len(y)) * (y - fitted)) for _ in range(count)]
    raise AssertionError(kind)


def bootstrap(kind: str, steps: int, noise: float, rows: int, pool: int, counts: Sequence[int]) -> Record:
    """Errors of the full matrix by the number of replicates, each with its own loss' gradient."""
    random = np.random.default_rng([7, steps, int(1000 * noise), rows, pool])
    X = design(rows, 10, random)
    several = replicates(kind, X, outcomes(X, random, noise), max(counts), random)
    equations = endpoints(descend(several, steps), several)
    true = implied(X, steps)
    errors = [distance(matrix_of(equations.take(np.arange(m))), true) for m in counts]
    positive = distance(matrix_of(equations, constraint="psd"), true)
    return {"errors": errors, "psd": positive}


def study(size: Size, path: Path | None = None) -> list[Record]:
    settings = {(k, 1.0, 100) for k in size.steps}
    settings |= {(100, noise, 100) for noise in size.noises}
    settings |= {(100, 1.0, n) for n in size.rows}
    names = ("steps", "noise", "rows")
    cases = [
        dict(zip(names, values, strict=True)) | {"kind": kind, "pool": pool, "counts": list(size.counts)}
        for values in sorted(settings)
        for kind in ("rows", "wild")
        for pool in range(size.pools)
    ]
    return cells(path, bootstrap, cases)


def errors_of(records: list[Record], kind: str, steps: int, noise: float, rows: int) -> np.ndarray:
    """Errors (pools, counts)."""
    found = select(records, "bootstrap", kind=kind, steps=steps, noise=noise, rows=rows)
    return np.array([one["errors"] for one in found])


def floor(records: list[Record], kind: str, steps: int = 100, noise: float = 1.0, rows: int = 100) -> float:
    """The median error that is left with all replicates."""
    return float(np.median(errors_of(records, kind, steps, noise, rows)[:, -1]))


def claims(records: list[Record]) -> list[Claim]:
    noises, steps, rows = (each(records, name) for name in ("noise", "steps", "rows"))
    by_noise = [floor(records, "rows", noise=v) for v in noises]
    by_steps = [floor(records, "rows", steps=k) for k in steps]
    by_rows = [floor(records, "rows", rows=n) for n in rows]
    counts = np.array(records[0]["counts"])
    wild = np.array(
        [one["errors"] for one in select(records, "bootstrap", kind="wild") if one["steps"] <= 300]
    )
    psd = [
        np.median(column(select(records, "bootstrap", kind="rows", steps=k, noise=1.0, rows=100), "psd"))
        for k in steps
    ]
    listed = ", ".join
    return [
        Claim(
            "replicates of one data set recover the matrix, but for a floor from misspecification",
            f"floor at m = {counts[-1]}, noise 1: "
            + listed(f"k = {k}: {v:.2g}" for k, v in zip(steps, by_steps, strict=True))
            + "; above 1 it is worse than zero (kept positive semidefinite: "
            + listed(f"{v:.2g}" for v in psd)
            + ")",
            verdict(max(by_steps) < 0.3),
        ),
        Claim(
            "recovery is gated on the noise (panel F)",
            "floor at k = 100: "
            + listed(f"σ = {s:g}: {v:.2g}" for s, v in zip(noises, by_noise, strict=True))
            + "; more rows do not help: "
            + listed(f"n = {n}: {v:.2g}" for n, v in zip(rows, by_rows, strict=True)),
            verdict(by_noise[-1] < floor(records, "rows")),
        ),
        Claim(
            "(ours) signs of the residuals instead of rows: every replicate has the same matrix",
            f"at most {wild[:, counts >= 10].max():.0e} off from m = 10 on, at every noise and k ≤ 300",
            verdict(wild[:, counts >= 10].max() < 1e-8),
        ),
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    counts = np.array(records[0]["counts"])
    for kind, colour, label in (("rows", ORANGE, "rows drawn again"), ("wild", BLUE, "signs of residuals")):
        errors = errors_of(records, kind, 100, 1.0, 100)
        axes[0].loglog(counts, np.median(errors, axis=0), "o-", ms=3, color=colour, label=label)
        axes[0].fill_between(counts, errors.min(axis=0), errors.max(axis=0), color=colour, alpha=0.2, lw=0)
        noises = each(records, "noise")
        axes[1].loglog(
            noises, [floor(records, kind, noise=v) for v in noises], "o-", ms=3, color=colour, label=label
        )
    panel = axes[2]
    for name, colour, label in (("steps", GREEN, "k, 100 rows"), ("rows", GREY, "rows, k = 100")):
        values = each(records, name)
        found = [floor(records, "rows", **{name: v}) for v in values]
        panel.loglog(values, found, "o-", ms=3, color=colour, label=label)
    axes[0].set(title="k = 100, noise 1", xlabel="replicates m", ylabel="relative error of Q")
    axes[1].set(title="k = 100, all replicates", xlabel="noise σ")
    panel.set(title="Rows drawn again, noise 1: the floor", xlabel="steps k, or rows n", ylim=(0.1, 20))
    axes[1].sharey(axes[0])
    for ax in axes:
        ax.axhline(1, color=GREY, lw=0.8, ls=":")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    tidy(figure)
    save(figure, path)


SCRIPT = Script("figure_7_bootstrap", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
