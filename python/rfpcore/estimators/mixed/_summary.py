"""A fitted mixed model as text, in the manner of lme4 and statsmodels."""

from typing import Any

import numpy as np
from scipy.special import ndtr

from ._networks import NetworkMean
from .results import number, table

_TITLES = {None: "regression", "poisson": "Poisson regression", "logistic": "logistic regression"}
KINDS = {
    "network": "network, trained on r'V^-1 r",
    "ordinary network": "network, ordinary training (the guard)",
    "gp": "Gaussian process",
    "trees": "boosted trees on V^-1 r",
    "linear": "linear",
    "regressor": "a regressor, in turns with the effects",
}


def summary_of(model: Any) -> str:
    """The table of `MixedRegressor.summary`."""
    own, drawn = model._memory.effects, model._memory.drawn
    n_rows, smallest, largest = model._memory.sizes
    facts = [
        ("Population's function", KINDS[model.mean_]),
        *_training(model._memory.unseen),
        ("Rows", str(n_rows)),
        ("Clusters", f"{model._memory.n_clusters} (of {smallest} to {largest} rows)"),
    ]
    if drawn is not None:
        facts.append(("Variances from", f"{drawn.n_clusters} clusters, {drawn.n_sampled} rows"))
    if own.structure.levels == 2:
        facts.append(("Groups within clusters", str(len(own.inner_labels))))
    facts += [
        (
            "Log-likelihood",
            f"{model.log_likelihood_:.3f}" + ("" if _is_linear(model) else " (clusters left out)"),
        ),
        ("Intraclass correlation", number(model.intraclass_correlation_)),
        ("R2 marginal, conditional", f"{model.r2_marginal_:.3f}, {model.r2_conditional_:.3f}"),
    ]
    test = model.no_effects_test_
    facts.append(("No cluster effects", f"LR = {test.statistic:.2f}, p = {test.p_value:.3g}"))
    if model.guard_ is not None:
        facts.append(("f better than ordinary training", f"t = {model.guard_:.2f}"))
    return table(
        f"Mixed-effects {_TITLES[model._memory.family]}",
        facts,
        [_variances(model), *_coefficients(model)],
        _notes(model),
    )


def _training(mean: Any) -> list[tuple[str, str]]:
    """How the networks were trained, where the function is theirs."""
    if not isinstance(mean, NetworkMean) or mean.n_iter is None or mean.weight_decay is None:
        return []
    return [("Steps, weight decay", f"{mean.n_iter}, {number(mean.weight_decay)}")]


def _is_linear(model: Any) -> bool:
    return model.coefficients_ is not None


def _variances(model: Any) -> tuple[list[str], list[list[str]]]:
    found = model.variance_components_
    rows = [
        [group, name, number(variance), number(error, 3), number(sd)]
        for group, name, variance, error, sd in zip(
            found.groups, found.names, found.variance, found.std_error, found.std_dev, strict=True
        )
    ]
    for level, correlation in found.correlations.items():
        names = [name for group, name in zip(found.groups, found.names, strict=True) if group == level]
        rows += [
            [level, f"correlation {names[j]}, {names[i]}", number(correlation[i, j]), "", ""]
            for i, j in zip(*np.tril_indices(len(correlation), -1), strict=True)
        ]
    return ["Random effects", "name", "variance", "std err", "std dev"], rows


def _coefficients(model: Any) -> list[tuple[list[str], list[list[str]]]]:
    if not _is_linear(model):
        return []
    rows = [
        [name, number(b, 6), number(error), number(z, 3), number(p, 3)]
        for name, b, error, z, p in coefficient_rows(model)
    ]
    return [(["Fixed effects", "coef", "std err", "z", "P>|z|"], rows)]


def coefficient_rows(model: Any) -> list[tuple[str, float, float, float, float]]:
    """Name, coefficient, standard error, z and p-value of the intercept and the columns of a linear model."""
    d = model.n_features_in_
    names = ["intercept", *model._names()]
    names += [f"mean of {name}" for name in model._names()] if len(model.coefficients_) > d + 1 else []
    rows = []
    for name, b, error in zip(names, model.coefficients_, model.coefficient_std_errors_, strict=True):
        z = b / error if error > 0 else np.nan
        p = 2 * float(ndtr(-abs(z))) if np.isfinite(z) else np.nan
        rows.append((name, float(b), float(error), float(z), p))
    return rows


def _notes(model: Any) -> list[str]:
    notes = []
    if model.variance_components_.is_singular:
        what = (
            "A variance is zero" if (model.variance_components_.variance == 0).any() else "A correlation is 1"
        )
        notes.append(f"{what} (a singular fit): a simpler structure of effects says the same.")
    if model.mean_ == "ordinary network":
        notes.append(
            "Ordinary training predicts clusters left out better: effects go with x. See cluster_means."
        )
    return notes
