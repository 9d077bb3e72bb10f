"""A school never seen, after 0, 1, 5 and 20 of its pupils; shrinkage; variance components.

Simulated pupils: scores rise with hours of homework and level off; schools differ in level and in what an
hour brings. The upper panels predict one school that took no part in the fit. Below: each school's mean
residual against the posterior mean of its effect, which is nearer to zero the fewer its pupils; and the
estimated variances beside the true ones. The variance of slopes is that of an hour's points, times the
variance of hours within schools.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from rfpcore import MixedRegressor

LEVEL, SLOPE, NOISE = 12.0, 2.5, 10.0  # standard deviations: points, points an hour, points
KNOWN = (0, 1, 5, 20)
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
NEW = (15.0, -3.0)  # of the new school: level and slope beside the population's


class Pupils(NamedTuple):
    """Hours a week (N, 1), scores (N,) in points and schools (N,)."""

    X: np.ndarray
    y: np.ndarray
    schools: np.ndarray


def population(hours: np.ndarray) -> np.ndarray:
    """Points that hours of homework lead to, in a school without effect."""
    return 400 + 90 * (1 - np.exp(-hours / 4))


def draw_pupils(effects: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> Pupils:
    """Pupils of schools with these levels and slopes (C, 2)."""
    schools = np.repeat(np.arange(len(sizes)), sizes)
    mean = random.uniform(4, 8, len(sizes))
    hours = np.maximum(mean[schools] + 2.5 * random.standard_normal(len(schools)), 0.0)
    own = effects[schools, 0] + effects[schools, 1] * (hours - mean[schools])
    y = population(hours) + own + NOISE * random.standard_normal(len(hours))
    return Pupils(hours[:, None], y, schools)


def draw_schools(n_schools: int, random: np.random.Generator) -> Pupils:
    """Schools of 2 to 60 pupils."""
    effects = random.standard_normal((n_schools, 2)) * [LEVEL, SLOPE]
    sizes = np.round(np.exp(random.uniform(np.log(2), np.log(60), n_schools))).astype(int)
    return draw_pupils(effects, sizes, random)


def predictions(
    model: MixedRegressor, school: Pupils, n_known: int, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """At the grid, given a school's first pupils: the prediction, and the interval of a pupil's score."""
    if n_known == 0:
        return model.predict(grid), model.predict_interval(grid)
    adapted = model.adapt(school.X[:n_known], school.y[:n_known])
    return adapted.predict(grid), adapted.predict_interval(grid)


def draw_new_school(axes: Sequence[Any], model: MixedRegressor, school: Pupils) -> None:
    grid = np.linspace(0, 14, 141)[:, None]
    for ax, n_known in zip(axes, KNOWN, strict=True):
        mean, interval = predictions(model, school, n_known, grid)
        ax.fill_between(grid[:, 0], *interval.T, color=ORANGE, alpha=0.2, linewidth=0)
        ax.plot(grid, mean, color=ORANGE, label="this school")
        if n_known:
            ax.plot(grid, model.predict(grid), color=GREY, linestyle="--", linewidth=1, label="all schools")
        ax.scatter(school.X[n_known:], school.y[n_known:], s=14, facecolors="none", edgecolors=GREY)
        ax.scatter(school.X[:n_known], school.y[:n_known], s=26, color=BLUE, zorder=3)
        ax.set_title(f"{n_known} pupils known" if n_known != 1 else "1 pupil known", loc="left", fontsize=10)
        ax.set(xlabel="homework (hours a week)", xlim=(0, 14), ylim=(380, 560))
    axes[0].set_ylabel("score (points)")
    axes[-1].legend(frameon=False, fontsize=9, loc="lower right")
    for ax in axes[1:]:
        ax.tick_params(labelleft=False)


def shrinkage(model: MixedRegressor, pupils: Pupils) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each school: pupils, mean residual, and the posterior mean of its effect at its pupils."""
    f = model.predict(pupils.X)
    sizes = np.bincount(pupils.schools)
    raw = np.bincount(pupils.schools, pupils.y - f) / sizes
    effect = np.bincount(pupils.schools, model.predict(pupils.X, pupils.schools) - f) / sizes
    return sizes, raw, effect


def draw_shrinkage(ax: Any, sizes: np.ndarray, raw: np.ndarray, effect: np.ndarray) -> None:
    from matplotlib.colors import LogNorm

    limit = 1.1 * float(np.abs(raw).max())
    ax.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--")
    ax.axhline(0, color=GREY, linewidth=0.5)
    points = ax.scatter(raw, effect, c=sizes, cmap="viridis_r", norm=LogNorm(2, 60), s=22)
    bar = ax.figure.colorbar(points, ax=ax, ticks=[2, 5, 10, 20, 60], format="%d")
    bar.set_label("pupils in the school")
    bar.minorticks_off()
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    ax.set(xlabel="mean residual of the school (points)", ylabel="posterior mean (points)")
    ax.set_title("shrinkage: dashed, none", loc="left", fontsize=10)


def variances(model: MixedRegressor, pupils: Pupils) -> dict[str, tuple[float, float, float]]:
    """By component, in points squared: estimate, standard error, truth."""
    means = np.bincount(pupils.schools, pupils.X[:, 0]) / np.bincount(pupils.schools)
    within = float(np.var(pupils.X[:, 0] - means[pupils.schools]))
    found = model.variance_components_
    truth = {
        "intercept": (1.0, LEVEL**2),
        "x0": (within, within * SLOPE**2),
        "smooth": (1.0, 0.0),
        "": (1.0, NOISE**2),
    }
    label = {"intercept": "level", "x0": "slope", "smooth": "smooth", "": "noise"}
    result = {}
    for name, variance, error in zip(found.names, found.variance, found.std_error, strict=True):
        unit, true = truth[name]
        result[label[name]] = (unit * float(variance), unit * float(error), true)
    return result


def draw_variances(ax: Any, found: dict[str, tuple[float, float, float]]) -> None:
    estimate, error, truth = np.array(list(found.values())).T
    at = np.arange(len(found))
    ax.bar(at, estimate, width=0.6, color=BLUE, alpha=0.6, label="estimate ± standard error")
    ax.errorbar(at, estimate, np.nan_to_num(error), color="0.1", linestyle="none", capsize=4)
    ax.scatter(at, truth, marker="D", s=36, color=ORANGE, zorder=3, label="truth")
    ax.set_xticks(at, list(found))
    ax.set_ylim(bottom=0)
    ax.set_ylabel("variance (points²)")
    ax.legend(frameon=False, fontsize=9)
    ax.set_title("variance components", loc="left", fontsize=10)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="30 schools, a Gaussian process")
    parser.add_argument("--output", default="school.png")
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    pupils = draw_schools(30 if options.short else 100, random)
    school = draw_pupils(np.array([NEW]), np.array([60]), random)
    model = MixedRegressor(mean="gp" if options.short else "auto").fit(*pupils)
    print(model.summary())
    print("\nPupils of the new school that are known, and the error on its last 40 (points):")
    for n_known in KNOWN:
        mean, interval = predictions(model, school, n_known, school.X[20:])
        error = np.sqrt(np.mean((school.y[20:] - mean) ** 2))
        inside = np.mean((interval[:, 0] <= school.y[20:]) & (school.y[20:] <= interval[:, 1]))
        width = np.mean(interval[:, 1] - interval[:, 0])
        print(f"  {n_known:2}: {error:5.1f}; 95 % intervals {width:5.1f} wide hold {100 * inside:.0f} %")
    figure = plt.figure(figsize=(13, 8), layout="constrained")
    above, below = figure.subfigures(2, 1)
    draw_new_school(above.subplots(1, 4, sharey=True), model, school)
    left, right = below.subplots(1, 2)
    draw_shrinkage(left, *shrinkage(model, pupils))
    draw_variances(right, variances(model, pupils))
    figure.savefig(options.output, dpi=120)
    plt.close(figure)
    print(f"\nWrote {options.output}.")


if __name__ == "__main__":
    main()
