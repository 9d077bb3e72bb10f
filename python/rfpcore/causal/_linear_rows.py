"""The rows of a linear comparison, checked, with their fixed effects and weights."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, group_codes, require_total, row_weights
from .._formula import is_formula, outcome_formula
from ._absorbed import FixedEffects, absorbed, listed
from ._columns import number_vector, read_columns
from ._complete import complete


class LinearRows(NamedTuple):
    """Covariates and dummies (N, K), of which `names` are the first, treatment, outcome, clusters."""

    X: Array
    names: list[str]
    d: Array
    y: Array
    labels: Array
    codes: NDArray[np.intp]
    fixed: FixedEffects | None
    n_dropped: int
    references: dict[str, str]


def read_rows(
    X: Any,
    y: Any,
    treatment: Any,
    groups: Any,
    covariates: Any,
    absorb: Any,
    sample_weight: Any,
    missing: str,
) -> LinearRows:
    """Check everything; rows of weight 0 are none."""
    effects = listed(_fixed_effects(X, y, absorb))
    given = {"y": y, "treatment": treatment, "groups": groups, "sample_weight": sample_weight} | effects
    whole = complete(X, given, covariates, missing)
    columns, rows, names, references, _ = read_columns(whole.X, whole.given, covariates)
    n, weight = len(rows), None
    labels, codes = group_codes(columns["groups"], n)
    d = number_vector(columns["treatment"], "treatment", n)
    outcome = number_vector(columns["y"], "y", n)
    levels = [group_codes(columns[name], n, name)[1] for name in effects]
    if columns["sample_weight"] is not None:
        weight = row_weights(columns["sample_weight"], n).astype(np.float64)
        require_total(weight, "sample_weight")
        keep = weight > 0
        present, codes = np.unique(codes[keep], return_inverse=True)
        rows, d, outcome, weight, labels = rows[keep], d[keep], outcome[keep], weight[keep], labels[present]
        levels = [own[keep] for own in levels]
    if len(labels) < 2:
        raise ValueError(f"there is {len(labels)} cluster; at least 2 are needed")
    if weight is None and not effects:
        return LinearRows(rows, names, d, outcome, labels, codes, None, whole.n_dropped, references)
    found = absorbed(levels, codes)
    weight = np.ones(n) if weight is None else weight / weight.mean()
    fixed = FixedEffects(found.group, weight)
    columns_of = np.column_stack([rows, found.dummies])
    return LinearRows(columns_of, names, d, outcome, labels, codes, fixed, whole.n_dropped, references)


def _fixed_effects(X: Any, y: Any, absorb: Any) -> Any:
    """`absorb`, or what is behind the "|" of a formula."""
    fixed = outcome_formula(X, y).fixed if is_formula(X, y) else ()
    if not fixed:
        return absorb
    if absorb is not None:
        raise ValueError(f"y={y!r} names the fixed effects; leave the argument `absorb` out")
    return list(fixed)
