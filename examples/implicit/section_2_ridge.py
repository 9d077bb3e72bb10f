"""Section 2.1, the weight penalty of a linear model: λ of a ridge regression from its weights.

The paper's claim holds to rounding where the weights are the exact optimum. The last weights of
mini-batch descent are not, even as its rate falls to zero: at λ = 0.001 the endpoint is off by 2.5 times
λ. Windows of the same run halve that, and the bare gradients of the very batches leave nothing of it.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, section 2.1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cells import (
    BLUE,
    GREEN,
    ORANGE,
    Claim,
    Outcome,
    Record,
    Script,
    cells,
    each,
    run,
    save,
    select,
    tidy,
    verdict,
)

import rfpcore
from rfpcore.implicit import Equations, GradientMatching
from rfpcore.many import Model, fit_many
from rfpcore.many import Record as Recording
from rfpcore.optimizers import SGD, Cosine
from rfpcore.regularize import L2


class Size(NamedTuple):
    """How large the study is."""

    strengths: tuple[float, ...] = tuple(10.0**k for k in range(-6, 3))
    seeds: int = 20
    noisy: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    noisy_seeds: int = 5
    steps: int = 40_000


FULL, QUICK = Size(), Size((1e-4, 1.0), 3, (1e-2,), 2, 4_000)


def data_of(seed: int, n: int = 100, d: int = 10) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    return X, X @ random.standard_normal(d) + random.standard_normal(n)


def exact(strength: float, seed: int) -> Record:
    """Weights of the normal equations, and of full-batch descent until nothing moves."""
    X, y = data_of(seed)
    A = np.column_stack([X, np.ones(len(X))])
    theta = np.linalg.solve(2 * A.T @ A / len(A) + strength * np.eye(11), 2 * A.T @ y / len(A))
    model = Model(
        (), optimizer=SGD(0.1), regularization=L2(strength), batch_size=None, n_steps=1000, seed=seed
    )
    trained = fit_many(X, y, model).results[0].theta if strength < 10 else theta
    data, net = rfpcore.Clusters(X, y), rfpcore.MLP(10, ())
    found = [ridge_of(Equations.endpoint(net, own, data)) for own in (theta, trained)]
    return {"closed_form": found[0], "descent": found[1]}


def ridge_of(equations: Equations) -> float:
    """The one coefficient."""
    return float(GradientMatching([L2(1)]).fit(equations).coef_[0])


def noisy(strength: float, seed: int, steps: int) -> Record:
    """The end of mini-batch descent whose rate falls to zero, and its windows."""
    X, y = data_of(seed)
    model = Model(
        (),
        optimizer=SGD(0.02, schedule=Cosine(steps)),
        regularization=L2(strength),
        replacement=True,
        n_steps=steps,
        seed=seed,
    )
    recording = Recording(every=20, losses=False, metrics=False, thetas=True, gradients=True, intervals=True)
    one = fit_many(X, y, model, record=recording).results[0]
    end = Equations.endpoint(one.net, one.theta, rfpcore.Clusters(X, y))
    return {
        "endpoint": ridge_of(end),
        "windows": ridge_of(Equations.trajectory(one, 10, baseline="full")),
        "batches": ridge_of(Equations.trajectory(one, 10, baseline="batches")),
    }


def study(size: Size, path: Path | None = None) -> list[Record]:
    first = [{"strength": s, "seed": seed} for s in size.strengths for seed in range(size.seeds)]
    second = [
        {"strength": s, "seed": seed, "steps": size.steps}
        for s in size.noisy
        for seed in range(size.noisy_seeds)
    ]
    return cells(path, exact, first) + cells(path, noisy, second)


def errors(records: list[Record], cell: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Strengths, and the largest relative error over the seeds of each."""
    strengths = each(select(records, cell), "strength")
    worst = [max(abs(one[name] / s - 1) for one in select(records, cell, strength=s)) for s in strengths]
    return np.array(strengths), np.array(worst)


def claims(records: list[Record]) -> list[Claim]:
    strengths, closed = errors(records, "exact", "closed_form")
    _, descent = errors(records, "exact", "descent")
    _, end = errors(records, "noisy", "endpoint")
    noisy_strengths, windows = errors(records, "noisy", "windows")
    _, batches = errors(records, "noisy", "batches")
    usual = (strengths >= 1e-5) & (strengths < 10)
    absolute = (closed * strengths)[strengths <= 1].max()
    return [
        Claim(
            "gradient matching holds exactly when the coefficient is λ (ridge in a linear model)",
            f"closed form: off by at most {absolute:.0e} (λ ≤ 1), full-batch descent of 1000 steps by at "
            f"most {(descent * strengths)[usual].max():.0e}",
            verdict(absolute <= 1e-13),
        ),
        Claim(
            "(equation 2, assumed) trained weights are the optimum of loss + penalty: mini-batch descent",
            f"largest relative error at λ = {noisy_strengths[0]:g}: {end[0]:.2g} by the endpoint, "
            f"{windows[0]:.2g} by windows, {batches[0]:.0e} with the gradients of the same batches; at "
            f"λ = {noisy_strengths[-1]:g}: {end[-1]:.1g}, {windows[-1]:.1g}, {batches[-1]:.0e}",
            verdict(end.max() < 0.2),
        ),
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    panels: Any = [
        ("exact", {"closed_form": "closed form", "descent": "full batch, 1000 steps"}, "The exact optimum"),
        (
            "noisy",
            {"endpoint": "last weights", "windows": "ten windows", "batches": "windows, same batches"},
            "Mini-batch descent",
        ),
    ]
    for ax, (cell, names, title) in zip(axes, panels, strict=True):
        for (name, label), colour in zip(names.items(), (BLUE, ORANGE, GREEN), strict=False):
            strengths, worst = errors(records, cell, name)
            ax.loglog(strengths, np.maximum(worst, 1e-17), "o-", color=colour, label=label)
        ax.set(title=title, xlabel="true λ", ylabel="largest relative error over seeds")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    tidy(figure)
    save(figure, path)


SCRIPT = Script("section_2_ridge", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
