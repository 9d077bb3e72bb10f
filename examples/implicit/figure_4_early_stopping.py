"""Figure 4: the penalty of early stopping in least squares, as a matrix, a diagonal and a number.

With p parameters a full matrix comes out exactly from m ≥ p endpoints of the same step, and not from p −
1 (A, B, D): a cliff, not a smooth decay. With steps that differ a floor is left, as high as they differ.
A diagonal from one endpoint always solves the equations, but gives the weights back only where S + diag q
is positive definite (C), in 78 to 100 % of data sets. A single number is the Rayleigh quotient of the
matrix at the weights (E), which falls exponentially and is 1/(εk) for the first few steps only.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, section 3 and appendix H.3.
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
from ols import Problem, descend, design, distance, endpoints, fit, implied, matrix_of, outcomes

from rfpcore.implicit import Quadratic

COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 50, 100)
FINE = 1e-3  # the step of panel E: over four decades of k before rounding sets in


class Size(NamedTuple):
    """How large the study is."""

    pools: int = 20
    steps: tuple[int, ...] = (10, 100, 1000)
    spreads: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    data_sets: int = 200
    diagonal_steps: tuple[int, ...] = (10, 100, 300, 1000, 3000)
    counts: tuple[int, ...] = COUNTS
    longest: int = 100_000


FULL, QUICK = Size(), Size(2, (10, 100), (0.03,), 20, (100,), (1, 5, 9, 10, 11, 20), 10_000)


def matrix(steps: int, pool: int, counts: Sequence[int], p: int = 10, n: int = 100) -> Record:
    """Errors of the full matrix by the number of endpoints, all at the same step and on the same X."""
    random = np.random.default_rng([1, steps, pool])
    X = design(n, p, random)
    problems = [Problem(X, outcomes(X, random)) for _ in range(max(counts))]
    equations = endpoints(descend(problems, steps), problems)
    true = implied(X, steps)
    fits = [fit(equations.take(np.arange(m)), Quadratic("symmetric")) for m in counts]
    errors = [distance(Quadratic("symmetric").matrix(one.coef_), true) for one in fits]
    return {"errors": errors, "ranks": [one.rank_ for one in fits]}


def variable(spread: float, pool: int, counts: Sequence[int], p: int = 10, n: int = 100) -> Record:
    """The same with endpoints of 300·exp(spread·N) steps, against the pool's median matrix."""
    random = np.random.default_rng([2, int(1e6 * spread), pool])
    X = design(n, p, random)
    problems = [Problem(X, outcomes(X, random)) for _ in range(max(counts))]
    steps = np.maximum(1, np.round(300 * np.exp(spread * random.standard_normal(max(counts))))).astype(int)
    thetas = np.concatenate([descend([one], int(k)) for one, k in zip(problems, steps, strict=True)])
    equations = endpoints(thetas, problems)
    true = np.median([implied(X, int(k)) for k in steps], axis=0)
    return {"errors": [distance(matrix_of(equations.take(np.arange(m))), true) for m in counts]}


def diagonal(steps: int, data_sets: int, p: int = 10, n: int = 100) -> Record:
    """One endpoint and a diagonal: whether it solves, is a minimum, and gives the weights back."""
    random = np.random.default_rng([3, steps])
    positive, negative, unsolved, apart, far = [], [], [], [], []
    for _ in range(data_sets):
        X = design(n, p, random)
        problem = Problem(X, outcomes(X, random))
        theta = descend([problem], steps)
        equations = endpoints(theta, [problem])
        q = fit(equations, Quadratic("diagonal")).coef_
        H = X.T @ X / n + np.diag(q)
        unsolved.append(np.abs(q * theta[0] - equations.targets[0]).max())
        positive.append(bool(np.linalg.eigvalsh(H)[0] > 0))
        negative.append(float(np.mean(q < 0)))
        far.append(distance(np.diag(q), implied(X, steps)))
        if positive[-1]:
            retrained = np.linalg.solve(H, X.T @ problem.y / n)  # where training without stopping ends
            apart.append(float(np.linalg.norm(retrained - theta[0]) / np.linalg.norm(theta[0])))
    return {
        "positive": float(np.mean(positive)),
        "negative": float(np.mean(negative)),
        "unsolved": float(np.max(unsolved)),
        "retrained": float(np.median(apart)),
        "retrained_worst": float(np.max(apart)),
        "far": float(np.median(far)),
    }


def scalar(longest: int, epsilon: float, p: int = 10, n: int = 100) -> Record:
    """One coefficient along a single descent, and the Rayleigh quotient of Q_k at the weights."""
    random = np.random.default_rng(4)
    X = design(n, p, random)
    problem = Problem(X, outcomes(X, random))
    steps = np.unique(np.round(np.logspace(0, np.log10(longest), 41)).astype(int))
    theta, found, quotient = np.zeros(p), [], []
    for before, k in zip([0, *steps[:-1]], steps, strict=True):
        theta = descend([problem], int(k - before), epsilon, theta)[0]
        found.append(float(fit(endpoints(theta[None], [problem]), Quadratic("scalar")).coef_[0]))
        quotient.append(float(theta @ implied(X, int(k), epsilon) @ theta / (theta @ theta)))
    return {"steps": steps.tolist(), "found": found, "quotient": quotient}


def study(size: Size, path: Path | None = None) -> list[Record]:
    counts = list(size.counts)
    pools = range(size.pools)
    several = [{"steps": k, "pool": i, "counts": counts} for k in size.steps for i in pools]
    spread = [{"spread": v, "pool": i, "counts": counts} for v in size.spreads for i in pools]
    single = [{"steps": k, "data_sets": size.data_sets} for k in size.diagonal_steps]
    return (
        cells(path, matrix, several)
        + cells(path, variable, spread)
        + cells(path, diagonal, single)
        + cells(path, scalar, [{"longest": size.longest, "epsilon": FINE}])
    )


def by_count(records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of endpoints, and the errors (pools, counts)."""
    return np.array(records[0]["counts"]), np.array([one["errors"] for one in records])


def claims(records: list[Record]) -> list[Claim]:
    return [*_claims_of_matrices(records), *_claims_of_one(records)]


def _claims_of_matrices(records: list[Record]) -> list[Claim]:
    counts, errors = by_count([one for one in select(records, "matrix") if one["steps"] <= 500])
    below, from_p = errors[:, counts == 9], errors[:, counts >= 10]
    spread = each(select(records, "variable"), "spread")
    floors = [
        (v, float(np.median(by_count(select(records, "variable", spread=v))[1][:, -1]))) for v in spread
    ]
    return [
        Claim(
            "4B: endpoints on several data sets recover the full matrix exactly",
            f"p = 10, k ≤ 500: at most {from_p.max():.0e} off from m = 10 on, {below.min():.2g} to "
            f"{below.max():.2g} at m = 9: a cliff at m = p, not at the count of unknowns over p (6)",
            verdict(from_p.max() <= 1e-11 and below.min() >= 0.1),
        ),
        Claim(
            "4D: with endpoints stopped at steps of their own the error decays smoothly; their spread is a "
            "mild approximation",
            f"error left at m = {counts[-1]} by the coefficient of variation of k: "
            + ", ".join(f"{v:g}: {floor:.2g}" for v, floor in floors),
            verdict(max(floor for _, floor in floors) < 0.3, False),
        ),
    ]


def _claims_of_one(records: list[Record]) -> list[Claim]:
    single = select(records, "diagonal")
    (path,) = select(records, "scalar")
    steps, found, quotient = (np.array(path[name]) for name in ("steps", "found", "quotient"))
    used = quotient >= 1e-8
    off = np.abs(found / quotient - 1)[used].max()
    early = np.abs(found * path["epsilon"] * steps - 1)
    last = steps[early <= 0.05].max() if (early <= 0.05).any() else 0
    share = ", ".join(f"{one['steps']}: {100 * one['positive']:.0f} %" for one in single)
    return [
        Claim(
            "4C: a diagonal penalty from a single endpoint gives exactly the weights of early stopping back",
            f"solves the equations to {column(single, 'unsolved').max():.0e} in all data sets; S + diag q is "
            f"positive definite in (k: share) {share}, and there training returns the weights (median "
            f"{column(single, 'retrained').max():.0e}); elsewhere the loss has no minimum",
            verdict(column(single, "retrained").max() < 1e-10, column(single, "positive").min() > 0.999),
        ),
        Claim(
            "4E: a single ridge coefficient decays with training, an extremely tight match to theory",
            f"it is the Rayleigh quotient of Q_k to {off:.0e} (down to 1e-8); 1/(εk) within 5 % up to "
            f"k = {last} of {steps[used].max()}; the end falls exponentially",
            verdict(off < 1e-6, False),
        ),
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    _draw_matrices(above)
    axes = below.subplots(1, 3)
    for steps, colour in zip(each(select(records, "matrix"), "steps"), (BLUE, ORANGE, GREEN), strict=False):
        counts, errors = by_count(select(records, "matrix", steps=steps))
        axes[0].loglog(counts, np.median(errors, axis=0), "o-", ms=3, color=colour, label=f"k = {steps}")
    axes[0].loglog(counts[counts < 10], np.sqrt((10 - counts[counts < 10]) / 10), ":", color=GREY)
    axes[0].axvline(10, color=GREY, lw=0.8)
    axes[0].set(title="B  same step: exact from m = p", xlabel="endpoints m", ylabel="relative error of Q")
    for spread in each(select(records, "variable"), "spread"):
        counts, errors = by_count(select(records, "variable", spread=spread))
        axes[1].loglog(counts, np.median(errors, axis=0), "o-", ms=3, label=f"spread of k {spread:g}")
    axes[1].set(title="D  steps of their own: a floor", xlabel="endpoints m")
    (trace,) = select(records, "scalar")
    steps = np.array(trace["steps"])
    axes[2].loglog(steps, trace["quotient"], color=GREY, lw=4, alpha=0.4, label="Rayleigh quotient of Q_k")
    axes[2].loglog(steps, np.abs(trace["found"]), "o", ms=3, color=BLUE, label="estimated ridge")
    axes[2].loglog(steps, 1 / (trace["epsilon"] * steps), ":", color=ORANGE, label="1/(εk)")
    axes[2].set(title="E  one coefficient", xlabel="steps k", ylim=(1e-12, None))
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    tidy(below)
    save(figure, path)


def _draw_matrices(figure: object) -> None:
    """A and C: Q by formula, from ten endpoints, and the diagonal from one."""
    random = np.random.default_rng(5)
    X = design(100, 10, random)
    problems = [Problem(X, outcomes(X, random)) for _ in range(10)]
    equations = endpoints(descend(problems, 100), problems)
    shown = {
        "A  Q, by the formula": implied(X, 100),
        "nine endpoints": matrix_of(equations.take(range(9))),
        "ten endpoints": matrix_of(equations),
        "C  diagonal, one endpoint": matrix_of(equations.take([0]), "diagonal"),
    }
    axes = figure.subplots(1, 4)
    limit = np.abs(shown["A  Q, by the formula"]).max()
    for ax, (title, values) in zip(axes, shown.items(), strict=True):
        image = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(title=title, xticks=[], yticks=[])
        ax.title.set_fontsize(10)
    figure.colorbar(image, ax=list(axes), shrink=0.8)


SCRIPT = Script("figure_4_early_stopping", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
