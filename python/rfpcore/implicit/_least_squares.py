"""Linear least squares of gradients: normalised columns, singular values, constraints."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ._checks import Floats
from .penalties import Quadratic

__all__ = ["Constraint", "Solution", "listed", "mixed_columns", "solve"]

Constraint = Literal["nonneg", "psd"]

_CYCLES = 20_000
_SETTLED = 1e-12


@dataclass(frozen=True)
class Solution:
    """Of min |D φ − y|², whose columns were brought to length 1 before the decomposition.

    `coefficients` (J,) are of D itself, `scales` (J,) the lengths of its columns; `inverse` (J, J) is the
    (pseudo)inverse of Z'Z for the normalised Z.
    """

    coefficients: Floats
    scales: Floats
    singular_values: Floats
    rank: int
    inverse: Floats
    null: Floats
    """The direction of the smallest singular value (J,), of the normalised columns."""


def solve(
    design: Floats, target: Floats, rtol: float, constraint: str | None, quadratic: Quadratic | None
) -> Solution:
    """The least-squares solution, of least norm where columns depend on each other.

    Parameters
    ----------
    design, target : (n, J), (n,)
    rtol : float
        Singular values below so large a share of the largest count as zero.
    constraint : {None, "nonneg", "psd"}
    quadratic : Quadratic, with "psd"
    """
    scales = np.linalg.norm(design, axis=0)
    # A symmetric matrix keeps one scale: its solution of least norm is the one of least Frobenius norm.
    if quadratic is not None and quadratic.shape == "symmetric":
        scales = np.full_like(scales, scales.max())
    used = np.where(scales > 0, scales, 1.0)
    Z = design / used
    left, values, right = np.linalg.svd(Z, full_matrices=False)
    rank = int((values > rtol * values[0]).sum()) if values[0] > 0 else 0
    kept = right[:rank]
    free = kept.T @ ((left.T @ target)[:rank] / values[:rank])
    if constraint is None:
        found = free
    elif constraint == "nonneg":
        found = nnls(Z, target)[0]
    elif constraint == "psd":
        assert quadratic is not None
        found = _positive_semidefinite(Z, target, free, quadratic)
    else:
        raise AssertionError(constraint)
    inverse = (kept.T / values[:rank] ** 2) @ kept
    return Solution(found / used, used, values, rank, inverse, right[-1])


def _positive_semidefinite(Z: Floats, target: Floats, start: Floats, quadratic: Quadratic) -> Floats:
    """Accelerated projected gradient (Beck and Teboulle 2009) onto the positive semidefinite matrices."""
    gram, moment = Z.T @ Z, Z.T @ target
    step = 1 / np.linalg.eigvalsh(gram)[-1]
    now = ahead = _projected(start, quadratic)
    momentum = 1.0
    for _ in range(_CYCLES):
        after = _projected(ahead - step * (gram @ ahead - moment), quadratic)
        if (ahead - after) @ (after - now) > 0:  # overshot: start the acceleration again
            momentum, ahead = 1.0, after
        else:
            faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead, momentum = after + (momentum - 1) / faster * (after - now), faster
        settled = np.linalg.norm(after - now) <= _SETTLED * max(float(np.linalg.norm(after)), 1e-300)
        now = after
        if settled:
            break
    return now


def _projected(coefficients: Floats, quadratic: Quadratic) -> Floats:
    """The nearest positive semidefinite matrix' coefficients; of equal norms as both are Frobenius'."""
    matrix = quadratic.matrix(coefficients)
    values, vectors = np.linalg.eigh(matrix)
    if values[0] >= 0:
        return coefficients
    return quadratic.coefficients((vectors * np.maximum(values, 0)) @ vectors.T)


def mixed_columns(null: NDArray[np.float64], names: list[str]) -> list[str]:
    """The columns that a direction without length is made of."""
    large = np.abs(null) > 0.1 * np.abs(null).max()
    return [name for name, take in zip(names, large, strict=True) if take]


def listed(names: list[str]) -> str:
    """Names one after the other; of many the first six, and how many more."""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
