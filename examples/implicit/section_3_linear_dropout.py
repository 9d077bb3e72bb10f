"""Section 3, dropout in a linear model: inputs that are dropped are a ridge weighted by their second moments.

Theory (Wager, Wang and Liang 2013) holds exactly: the coefficient of Σ E[xⱼ²] wⱼ² is p/(1−p), it explains
all of the deviation, and training with it lands where dropout does. The unweighted ridge that the paper
estimates in deep nets explains half, and lands 0.2 to 2.5 times as far away as dropout itself had moved
the weights.

"Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, section 3.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cells import (
    BLUE,
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

import rfpcore
from rfpcore.implicit import ActivationRidge, Equations, GradientMatching, validate
from rfpcore.many import Model, fit_many
from rfpcore.many import Record as Recording
from rfpcore.optimizers import SGD, Cosine
from rfpcore.regularize import L2, Dropout


class Size(NamedTuple):
    """How large the study is."""

    rates: tuple[float, ...] = (0.1, 0.3, 0.5)
    seeds: int = 4
    steps: int = 10_000


FULL, QUICK = Size(), Size((0.3,), 2, 3_000)


def data_of(seed: int, n: int = 300, d: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns of unequal scales."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((n, 1))
    X = (0.6 * common + 0.8 * random.standard_normal((n, d))) * np.logspace(-0.5, 0.3, d)
    return X, X @ random.standard_normal(d) + random.standard_normal(n)


def linear(rate: float, seed: int, steps: int) -> Record:
    """Coefficients from masks at the trained weights and from the run's windows; retraining."""
    X, y = data_of(seed)
    plain = Model((), optimizer=SGD(0.02, schedule=Cosine(steps)), n_steps=steps, seed=seed)
    dropped = Model(
        (),
        optimizer=SGD(0.02, schedule=Cosine(steps)),
        regularization=Dropout(0.0, mask="row", inputs=rate),
        n_steps=steps,
        seed=seed,
    )
    recording = Recording(every=20, losses=False, metrics=False, thetas=True, intervals=True)
    one, data = fit_many(X, y, dropped, record=recording).results[0], rfpcore.Clusters(X, y)
    masks = Equations.dropout(one.net, one.theta, data, 0.0, inputs=rate, n_draws=4000, random_state=seed)
    windows = Equations.trajectory(one, 10, start=steps // 4)
    weighted = [GradientMatching([ActivationRidge(one.net, data)]).fit(own) for own in (masks, windows)]
    ridge = GradientMatching([L2(1)]).fit(masks)
    exact = rate / (1 - rate)
    held_out = data_of(seed + 1000)
    retrained = [
        validate(dropped, X, y, own, ablated=plain, held_out=held_out).runs for own in (weighted[0], ridge)
    ]
    shift = retrained[0]["none"].distance
    return {
        "masks": float(weighted[0].coef_[0]) / exact,
        "windows": float(weighted[1].coef_[0]) / exact,
        "explained": weighted[0].explained_,
        "ridge_explained": ridge.explained_,
        "apart": retrained[0]["estimated"].distance / shift,
        "ridge_apart": retrained[1]["estimated"].distance / shift,
    }


def study(size: Size, path: Path | None = None) -> list[Record]:
    cases = [{"rate": r, "seed": s, "steps": size.steps} for r in size.rates for s in range(size.seeds)]
    return cells(path, linear, cases)


def claims(records: list[Record]) -> list[Claim]:
    masks, windows = column(records, "masks"), column(records, "windows")
    explained, plain = column(records, "explained"), column(records, "ridge_explained")
    apart, ridge = column(records, "apart"), column(records, "ridge_apart")
    return [
        Claim(
            "dropout in linear models is a penalty by the rate and the second moments of the activations",
            f"coefficient over p/(1−p): {masks.min():.3f} to {masks.max():.3f} from masks, "
            f"{windows.min():.2f} to {windows.max():.2f} from windows; explains at least "
            f"{explained.min():.4f}",
            verdict(np.abs(masks - 1).max() < 0.02 and explained.min() > 0.99),
        ),
        Claim(
            "retraining with the estimated penalty recovers the weights",
            f"distance over dropout's own shift: at most {apart.max():.3f} with the weighted ridge, "
            f"{ridge.min():.2f} to {ridge.max():.2f} with the plain one, which explains {plain.min():.2f} to "
            f"{plain.max():.2f}",
            verdict(apart.max() < 0.1, ridge.max() < 0.1),
        ),
    ]


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    rates = each(records, "rate")
    panels = (
        ("Coefficient over p/(1−p)", (("masks", "masks", BLUE), ("windows", "windows of the run", ORANGE))),
        (
            "Share explained",
            (("explained", "weighted ridge", BLUE), ("ridge_explained", "plain ridge", GREY)),
        ),
        (
            "Retrained: distance over shift",
            (("apart", "weighted ridge", BLUE), ("ridge_apart", "plain ridge", GREY)),
        ),
    )
    for ax, (title, lines) in zip(axes, panels, strict=True):
        for name, label, colour in lines:
            own = [column(select(records, "linear", rate=rate), name) for rate in rates]
            ax.plot(rates, [one.mean() for one in own], color=colour, label=label)
            for rate, one in zip(rates, own, strict=True):
                ax.plot(np.full(len(one), rate), one, "o", ms=4, color=colour, alpha=0.5)
        ax.set(title=title, xlabel="rate p of the inputs")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    axes[1].set_ylim(0, 1.05)
    axes[2].set_ylim(0, None)
    tidy(figure)
    save(figure, path)


SCRIPT = Script("section_3_linear_dropout", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
