"""What fits say about data that they take, but can hardly learn from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import Array
from .._warn import warn
from ..exceptions import GroupsWarning, ScaleWarning

__all__ = ["warn_of_scales", "warn_without_groups"]

HANDFUL = 10
"""Rows up to which nothing is said: of so few there may be one cluster, and no scale."""

# Held-out R² of the default estimators with a signal of order 1 falls below a half somewhere beyond these.
SMALL_Y, LARGE_Y = 1e-2, 300.0
SMALL_X, LARGE_X = 1e-3, 1e3


def warn_without_groups(groups: Any, n_rows: int, alpha: float) -> None:
    """`GroupsWarning` if all rows are one cluster because nobody said which is which."""
    if groups is None and alpha < 1 and n_rows > HANDFUL:
        warn(
            f"groups is None, so all {n_rows} rows are one cluster, the only one that alpha={alpha:g} adapts "
            "to. Pass groups to fit, or alpha=1 where there are no clusters. cross_val_score and the like "
            "hand groups on after sklearn.set_config(enable_metadata_routing=True) and "
            "estimator.set_fit_request(groups=True), as params={'groups': groups}",
            GroupsWarning,
        )


def warn_of_scales(X: Array, y: Array | None, names: Sequence[Any] | None = None) -> None:
    """`ScaleWarning` if a feature, or the outcome of the squared loss, is orders of magnitude from order 1.

    Parameters
    ----------
    X : array (N, d)
    y : array (N,) or (N, outputs), optional
        None where the loss is not that of the squares.
    names : sequence, optional
        Of the columns.
    """
    if len(X) <= HANDFUL or (y is not None and (y.ndim == 0 or len(y) != len(X))):  # refused elsewhere
        return
    with np.errstate(all="ignore"):
        size = np.sqrt(np.einsum("ij,ij->j", X, X, dtype=np.float64) / len(X))
        largest = np.abs(X).max(axis=0)
        spread = np.empty(0) if y is None else np.atleast_1d(y.std(axis=0, dtype=np.float64))
    # A rare dummy has a small mean square, and is of order 1 all the same.
    odd = np.flatnonzero((size > LARGE_X) | ((largest < SMALL_X) & (largest > 0)))
    if len(odd):
        first = odd[0]
        name = f"column {first}" if names is None else f"column {names[first]!r}"
        warn(
            f"{len(odd)} of {len(size)} columns of X are far from order 1; the first is {name}, with a root "
            f"mean square of {size[first]:.3g}. Networks hardly learn from such: scale X "
            "(StandardScaler in a pipeline)",
            ScaleWarning,
        )
    odd = np.flatnonzero((spread > LARGE_Y) | ((spread < SMALL_Y) & (spread > 0)))
    if len(odd):
        warn(
            f"y has a standard deviation of {spread[odd[0]]:.3g}, far from order 1. Networks hardly learn "
            "such: scale y (TransformedTargetRegressor(model, transformer=StandardScaler()))",
            ScaleWarning,
        )
