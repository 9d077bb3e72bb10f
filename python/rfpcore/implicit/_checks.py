"""Arrays of equations, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import as_floats, has_entries, require_finite
from ..clusters import Clusters
from ..network import MLP

__all__ = [
    "Floats",
    "lines",
    "one_each",
    "per_equation",
    "points_of",
    "require_parameters",
    "row_shares",
    "shares_of",
]

Floats = NDArray[np.float64]


def lines(values: Any, name: str, size: int | None = None) -> Floats:
    """Finite vectors of parameters, one a line (E, P); a single one is one line."""
    found = np.atleast_2d(as_floats(values, name).astype(np.float64))
    if found.ndim != 2 or not found.size or (size is not None and found.shape[1] != size):
        needed = "P" if size is None else str(size)
        raise ValueError(f"{name} has shape {np.shape(values)}; ({needed},) or (E, {needed}) is needed")
    require_finite(found, name, axis="equation")
    return np.ascontiguousarray(found)


def per_equation(values: Any, name: str, count: int) -> Floats:
    """A finite number for each equation."""
    found = as_floats(values, name).astype(np.float64)
    if found.shape != (count,):
        raise ValueError(
            f"{name} has shape {found.shape}; there are {count} equations, so ({count},) is needed"
        )
    require_finite(found, name, axis="equation")
    return found


def points_of(values: Any, count: int, size: int) -> list[Floats]:
    """The parameters behind each equation, (W, P) each."""
    if not has_entries(values) or len(values) != count:
        got = f"has {len(values)} entries" if has_entries(values) else f"is a {type(values).__name__}"
        raise ValueError(f"thetas {got}; targets has {count} equations, so as many are needed")
    found = [lines(own, f"thetas[{i}]") for i, own in enumerate(values)]
    for i, own in enumerate(found):
        if own.shape[1] != size:
            raise ValueError(
                f"thetas[{i}] has shape {own.shape}; targets has {size} columns, so (W, {size}) is needed"
            )
    return found


def shares_of(values: Any, points: Sequence[Floats]) -> list[Floats]:
    """Weights within each equation, whose sum is 1."""
    if values is None:
        return [np.full(len(own), 1 / len(own)) for own in points]
    if not has_entries(values) or len(values) != len(points):
        raise ValueError(f"shares needs an array for each of the {len(points)} equations")
    found = []
    for i, (own, at) in enumerate(zip(values, points, strict=True)):
        share = as_floats(own, f"shares[{i}]").astype(np.float64)
        if share.shape != (len(at),):
            raise ValueError(
                f"shares[{i}] has shape {share.shape}; ({len(at)},), one for each of its thetas, is needed"
            )
        require_finite(share, f"shares[{i}]", axis="index")
        if share.min() < 0 or not 0 < share.sum() < np.inf:
            raise ValueError(
                f"shares[{i}] has the least {share.min():g} and the sum {share.sum():g}; "
                "none may be negative, nor all 0"
            )
        found.append(share / share.sum())
    return found


def one_each(data: Any, count: int) -> list[Clusters]:
    """As many data sets as there are endpoints."""
    several = list(data) if isinstance(data, list | tuple) else None
    if several is None or not all(isinstance(own, Clusters) for own in several):
        raise TypeError(f"data is a {type(data).__name__}; Clusters, or a list of them, is needed")
    if len(several) != count:
        raise ValueError(f"data has {len(several)} Clusters; there are {count} endpoints")
    return several


def row_shares(data: Clusters) -> Floats:
    """What each row counts in the mean loss (N,): they add up to 1."""
    weight = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight.astype(np.float64)
    clusters = data.sizes if data.cluster_weight is None else data.cluster_weight
    factor = clusters / clusters.sum() / np.add.reduceat(weight, data.offsets[:-1])
    found: Floats = weight * np.repeat(factor, data.sizes)
    return found


def require_parameters(net: MLP, thetas: Floats) -> Floats:
    """Parameters of the network; ValueError for another number of them."""
    if thetas.shape[1] != net.n_parameters:
        raise ValueError(
            f"the penalty's network has {net.n_parameters} parameters; the equations have {thetas.shape[1]}"
        )
    return thetas
