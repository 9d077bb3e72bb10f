"""Appendix A, proposition A: whether loss + estimated penalty has a minimum at the trained weights.

The paper finds its condition, a positive definite Hessian, "quite plausible". In trained networks it
mostly fails: the least eigenvalue is negative with dropout and without, and even after long full-batch
training with a ridge that is known. In a linear model with a ridge it holds.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, appendix A.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cells import BLUE, GREY, Claim, Outcome, Record, Script, cells, column, run, save, select, tidy, verdict

import rfpcore
from rfpcore.datasets import load_digits
from rfpcore.implicit import Equations, GradientMatching, curvature_at
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD
from rfpcore.regularize import L2, Dropout

FULL_BATCH: dict[str, Any] = {"batch_size": None, "n_steps": 2000, "optimizer": SGD(0.1)}
MINI_BATCH: dict[str, Any] = {"n_epochs": 60, "optimizer": SGD(0.05, momentum=0.9)}
NETS: dict[str, Model] = {
    "linear, ridge 0.01, full batch": Model((), "tanh", "softmax", regularization=L2(0.01), **FULL_BATCH),
    "relu 3×32, dropout 0.3": Model(
        (32, 32, 32), "relu", "softmax", regularization=Dropout(0.3, mask="row"), **MINI_BATCH
    ),
    "tanh 3×32, dropout 0.3": Model(
        (32, 32, 32), "tanh", "softmax", regularization=Dropout(0.3, mask="row"), **MINI_BATCH
    ),
    "relu 16, nothing": Model((16,), "relu", "softmax", **MINI_BATCH),
    "tanh 16, ridge 0.01, full batch": Model((16,), "tanh", "softmax", regularization=L2(0.01), **FULL_BATCH),
}


class Size(NamedTuple):
    """How large the study is."""

    nets: tuple[str, ...] = tuple(NETS)
    seeds: int = 5


FULL, QUICK = Size(), Size(tuple(NETS)[:3], 1)


def curvature(net: str, seed: int, n: int = 500) -> Record:
    """The ridge at the endpoint, and the least eigenvalue of the Hessian of loss + ridge."""
    images = load_digits()
    order = np.random.default_rng(seed).permutation(len(images.X))[:n]
    X, y = images.X[order].astype(np.float64), images.y[order]
    settings = {name: getattr(NETS[net], name) for name in Model.__dataclass_fields__}
    one = fit_many(X, y, Model(**settings | {"seed": seed})).results[0]
    data = rfpcore.Clusters(X, y)
    fit = GradientMatching([L2(1)]).fit(Equations.endpoint(one.net, one.theta, data, "softmax"))
    found = curvature_at(one.net, one.theta, data, fit, "softmax", max_iter=2000)
    return {
        "ridge": float(fit.coef_[0]),
        "explained": fit.explained_,
        "smallest": found.smallest,
        "n_products": found.n_products,
    }


def study(size: Size, path: Path | None = None) -> list[Record]:
    return cells(path, curvature, [{"net": net, "seed": s} for net in size.nets for s in range(size.seeds)])


def names(records: list[Record]) -> list[str]:
    return [name for name in NETS if select(records, "curvature", net=name)]


def claims(records: list[Record]) -> list[Claim]:
    parts, positive = [], []
    for name in names(records):
        least = column(select(records, "curvature", net=name), "smallest")
        parts.append(f"{name}: {least.min():.2g} to {least.max():.2g}")
        positive += [] if name.startswith("linear") else list(least > 0)
    return [
        Claim(
            "at trained weights the Hessian of loss + penalty is positive definite ('quite plausible')",
            f"in {sum(positive)} of {len(positive)} networks; least eigenvalues: " + "; ".join(parts),
            verdict(np.mean(positive) > 0.5),
        )
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for i, name in enumerate(names(records)):
        least = column(select(records, "curvature", net=name), "smallest")
        ax.plot(least, np.full(len(least), i), "o", color=BLUE, alpha=0.7)
    ax.set_yticks(range(len(names(records))), names(records))
    ax.axvline(0, color=GREY, lw=0.8)
    ax.set_xscale("symlog", linthresh=1e-4)
    ax.set(xlabel="least eigenvalue (a minimum needs it above 0)", xlim=(-1, 0.1))
    ax.set_ylim(-0.5, len(names(records)) - 0.5)
    tidy(figure)
    save(figure, path)


SCRIPT = Script("appendix_a_curvature", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
