"""Figure 5: which penalty dropout behaves like, by its rate, in deep relu and tanh networks.

The paper's scalar ridge, estimated at the last weights, explains 0.4 % of the squared gradient there, and
its mean rises with every rate in 2 of 18 settings: often it falls first, and in deep networks it falls
again. What masks add at trained weights is the Gauss–Newton penalty of the hidden units: it explains
about 0.9 in tanh and 0.6 in relu networks, with 1.1 times the coefficient p/(1−p) (from 0.5 to 1.7). It
is not exact as p falls to 0, since a unit is dropped as a whole then, too; with one relu layer it is
nearer the more units there are.

Digits of scikit-learn; `--mnist` takes MNIST. "Estimating implicit regularization in deep learning" (2026),
arXiv:2605.05436, section 3 and appendix H.4; Wei, Kakade and Ma (2020).
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
from rfpcore.datasets import load_digits, load_mnist
from rfpcore.implicit import DropoutCurvature, Equations, GradientMatching
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD
from rfpcore.regularize import L2, Dropout, EarlyStopping


class Size(NamedTuple):
    """How large the study is."""

    depths: tuple[int, ...] = (1, 3, 5)
    widths: tuple[int, ...] = (32, 64, 128)
    rates: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    seeds: int = 5
    shallow: tuple[int, ...] = (1, 2, 3)
    narrow: tuple[int, ...] = (24, 48, 96)
    masked: tuple[float, ...] = (0.05, 0.1, 0.3)
    draws: int = 500
    epochs: int = 60
    mnist: str | None = None


FULL = Size()
QUICK = Size((1,), (32,), (0.0, 0.3), 2, (1,), (24,), (0.05,), 60, 20)


def rows_of(seed: int, n: int, mnist: str | None) -> tuple[Any, Any, Any, Any]:
    """Images to train on, and 500 held out."""
    images = load_digits() if mnist is None else load_mnist(mnist)
    order = np.random.default_rng(seed).permutation(min(len(images.X), 60_000))
    X, y = images.X[order].astype(np.float64), images.y[order]
    return X[:n], y[:n], X[n : n + 500], y[n : n + 500]


def ridge(
    depth: int, width: int, rates: Sequence[float], seed: int, mnist: str | None, epochs: int
) -> Record:
    """The paper's estimate at the last weights, by rate: stopped early, and after a fixed number of steps."""
    X, y, *held_out = rows_of(seed, 1000, mnist)
    data = rfpcore.Clusters(X, y)
    found: Record = {}
    for name, lr, stopping in (
        ("stopped", 0.01, [EarlyStopping(10, every=-(-len(X) // 32))]),
        ("fixed", 0.05, []),
    ):
        models = [
            Model(
                (width,) * depth,
                "relu",
                "softmax",
                optimizer=SGD(lr, momentum=0.9),
                regularization=[Dropout(rate, mask="row"), *stopping],
                n_epochs=epochs if name == "fixed" else 3 * epochs,
                seed=seed,
            )
            for rate in rates
        ]
        runs = fit_many(X.astype(np.float32), y, models, held_out=tuple(held_out))
        fits = [
            GradientMatching([L2(1)]).fit(
                Equations.endpoint(one.net, one.theta.astype(np.float64), data, "softmax")
            )
            for one in runs
        ]
        found[name] = [float(one.coef_[0]) for one in fits]
        found[f"{name}_explained"] = [one.explained_ for one in fits]
    return found


def masks(
    activation: str, depth: int, width: int, seed: int, masked: Sequence[float], draws: int, mnist: str | None
) -> Record:
    """Trained at rate 0.3: what masks of other rates add there, by both penalties."""
    X, y, *_ = rows_of(seed, 500, mnist)
    model = Model(
        (width,) * depth,
        activation,
        "softmax",
        optimizer=SGD(0.05),
        regularization=Dropout(0.3, mask="row"),
        n_epochs=60,
        seed=seed,
    )
    one = fit_many(X, y, model).results[0]
    data = rfpcore.Clusters(X, y)
    gauss_newton = DropoutCurvature(one.net, data, "softmax").gradients(one.theta[None])[0, :, 0]
    found: Record = {"ratio": [], "explained": [], "ridge_explained": []}
    for rate in masked:
        equations = Equations.dropout(
            one.net, one.theta, data, rate, "softmax", n_draws=draws, random_state=seed
        )
        fit = GradientMatching([lambda theta: gauss_newton]).fit(equations)
        found["ratio"].append(float(fit.coef_[0]) / (rate / (1 - rate)))
        found["explained"].append(fit.explained_)
        found["ridge_explained"].append(GradientMatching([L2(1)]).fit(equations).explained_)
    return found


def study(size: Size, path: Path | None = None) -> list[Record]:
    first = [
        {
            "depth": depth,
            "width": width,
            "rates": list(size.rates),
            "seed": seed,
            "mnist": size.mnist,
            "epochs": size.epochs,
        }
        for depth in size.depths
        for width in size.widths
        for seed in range(size.seeds)
    ]
    second = [
        {
            "activation": activation,
            "depth": depth,
            "width": width,
            "seed": seed,
            "masked": list(size.masked),
            "draws": size.draws,
            "mnist": size.mnist,
        }
        for activation in ("relu", "tanh")
        for depth in size.shallow
        for width in size.narrow
        for seed in range(size.seeds)
    ]
    return cells(path, ridge, first) + cells(path, masks, second)


def stack(records: list[Record], name: str) -> np.ndarray:
    """One thing of all records, (records, rates)."""
    return np.array([one[name] for one in records])


def claims(records: list[Record]) -> list[Claim]:
    own = select(records, "ridge")
    rates = own[0]["rates"]
    text, monotone = [], []
    for name, label in (("stopped", "stopped early"), ("fixed", "fixed epochs")):
        means = [
            stack(select(own, "ridge", depth=d, width=w), name).mean(axis=0)
            for d in each(own, "depth")
            for w in each(own, "width")
        ]
        rising = float(np.mean(np.diff(stack(own, name), axis=1) > 0))
        monotone.append(all((np.diff(mean) > 0).all() for mean in means))
        several = sum((np.diff(mean) > 0).all() for mean in means)
        text.append(
            f"{label}: the mean rises with every rate in {several} of {len(means)} architectures, the single "
            f"estimate in {100 * rising:.0f} % of steps"
        )
    explained = np.concatenate(
        [stack(own, f"{name}_explained")[:, np.array(rates) > 0].ravel() for name in ("stopped", "fixed")]
    )
    return [
        Claim(
            "the estimated ridge increases monotonically with the dropout rate in all architectures",
            "; ".join(text),
            verdict(all(monotone)),
        ),
        Claim(
            "(implied) a scalar ridge summarizes what dropout does",
            f"the ridge explains {100 * np.median(explained):.2g} % of the squared gradient at the last "
            f"weights (median; at most {100 * explained.max():.2g} %)",
            verdict(np.median(explained) > 0.5),
        ),
        *_claims_of_masks(select(records, "masks")),
    ]


def _claims_of_masks(own: list[Record]) -> list[Claim]:
    found = []
    rates = own[0]["masked"]
    for activation in each(own, "activation"):
        one = select(own, "masks", activation=activation)
        parts = []
        for i, rate in enumerate(rates):
            ratio, explained = stack(one, "ratio")[:, i], stack(one, "explained")[:, i]
            parts.append(
                f"p = {rate:g}: {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f}) of p/(1−p), "
                f"explains {np.median(explained):.2f}"
            )
        plain = stack(one, "ridge_explained").max()
        small = np.median(stack(one, "ratio")[:, 0])
        found.append(
            Claim(
                f"(ours) masks add the Gauss–Newton penalty with p/(1−p), {activation}",
                "; ".join(parts) + f"; a ridge explains at most {plain:.2g}",
                verdict(abs(small - 1) < 0.2, False),
            )
        )
    return found


def draw(records: list[Record], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1)
    own = select(records, "ridge")
    depths = each(own, "depth")
    axes = np.ravel(above.subplots(1, 2 * len(depths)))
    for ax, (name, depth) in zip(axes, [(n, d) for n in ("stopped", "fixed") for d in depths], strict=True):
        for width, colour in zip(each(own, "width"), (BLUE, ORANGE, GREEN), strict=False):
            part = select(own, "ridge", depth=depth, width=width)
            values, rates = stack(part, name), part[0]["rates"]
            ax.errorbar(
                rates,
                values.mean(axis=0),
                values.std(axis=0) / np.sqrt(len(values)),
                color=colour,
                marker="o",
                ms=3,
                label=f"width {width}",
            )
        label = "stopped early" if name == "stopped" else "fixed epochs"
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(title=f"{depth} layer{'s' * (depth > 1)}, {label}", xlabel="dropout rate")
        ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes[0].set_ylabel("ridge at the last weights")
    axes[0].legend(frameon=False, fontsize=8)
    _draw_masks(below, select(records, "masks"))
    for part in (above, below):
        tidy(part)
    save(figure, path)


def _draw_masks(figure: Any, own: list[Record]) -> None:
    """Coefficient over p/(1−p), and shares explained, by depth."""
    axes = figure.subplots(1, 4)
    depths, rates = each(own, "depth"), own[0]["masked"]
    for pair, activation in zip((axes[:2], axes[2:]), each(own, "activation"), strict=True):
        for depth, colour in zip(depths, (BLUE, ORANGE, GREEN), strict=False):
            part = select(own, "masks", activation=activation, depth=depth)
            for ax, name in zip(pair, ("ratio", "explained"), strict=True):
                low, middle, high = np.quantile(stack(part, name), [0.1, 0.5, 0.9], axis=0)
                ax.plot(rates, middle, "o-", ms=3, color=colour, label=f"{depth} layer{'s' * (depth > 1)}")
                ax.fill_between(rates, low, high, color=colour, alpha=0.15, lw=0)
        part = select(own, "masks", activation=activation)
        plain = np.median(stack(part, "ridge_explained"), axis=0)
        pair[1].plot(rates, plain, "s--", ms=3, color=GREY, label="plain ridge")
        pair[0].axhline(1, color="black", ls="--", lw=0.8)
        pair[0].set(
            title=f"{activation}: Gauss–Newton over p/(1−p)", xlabel="rate p of the masks", xticks=rates
        )
        pair[1].set(
            title=f"{activation}: share explained",
            xlabel="rate p of the masks",
            xscale="log",
            ylim=(-0.05, 1.05),
        )
    axes[3].legend(*axes[1].get_legend_handles_labels(), frameon=False, fontsize=8, loc="center")


SCRIPT = Script("figure_5_dropout", __doc__, FULL, QUICK, study, claims, draw)


def main(arguments: Sequence[str] | None = None) -> Outcome:
    return run(SCRIPT, arguments)


if __name__ == "__main__":
    main()
