"""From a covariance's parameters to what is reported: variances with errors, in the data's units."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ._components import LOWEST, Floats, Structure, Values, values, vanished
from ._likelihood import CovarianceEstimate
from ._rows import StandardUnits, to_units
from .results import VarianceComponents

NOTHING = LOWEST + 8.0  # of a variance's logarithm over the outcome's: below, it is reported as zero
DIFFERENCE = 1e-5
LEVELS = ("cluster", "group")


@dataclass(frozen=True)
class Line:
    """One variance: its level and name, and what it is of the values."""

    level: str
    name: str
    of: Callable[[Values], float]


def components(
    structure: Structure, found: CovarianceEstimate, scales: StandardUnits, names: list[str]
) -> VarianceComponents:
    """Variances of all parts."""
    lines = _lines(structure, scales, names)
    u, unit = found.parameters, scales.y_scale**2

    def all_of(parameters: Floats) -> Floats:
        own = _without_nothing(values(structure, parameters), structure)
        return unit * np.array([line.of(own) for line in lines])

    spread = _parameter_covariance(structure, found)
    slopes = np.array(
        [(all_of(u + e) - all_of(u - e)) / (2 * DIFFERENCE) for e in DIFFERENCE * np.eye(len(u))]
    )
    squares = np.einsum("il,ij,jl->l", slopes, np.nan_to_num(spread), slopes)
    variance = all_of(u)
    error = np.where((variance > 0) & (squares > 0), np.sqrt(np.maximum(squares, 0)), np.nan)
    smooth = values(structure, u).smooth
    return VarianceComponents(
        [line.level for line in lines],
        [line.name for line in lines],
        variance,
        error,
        _correlations(structure, values(structure, u), scales),
        None if smooth is None else smooth[1],
        bool(vanished(structure, u, NOTHING).any()),
    )


def _without_nothing(found: Values, structure: Structure) -> Values:
    """Variances below what data can tell as zeros."""
    least = float(np.exp(NOTHING))
    kept = [np.where(np.diag(D) > least, 1.0, 0.0) for D in found.matrices]
    matrices = [np.outer(own, own) * D for own, D in zip(kept, found.matrices, strict=True)]
    return found._replace(matrices=matrices, noise=found.noise if found.noise > least else 0.0)


def _lines(structure: Structure, scales: StandardUnits, names: list[str]) -> list[Line]:
    lines = []
    column_names = (["intercept"] if structure.intercept else []) + [names[j] for j in structure.slopes]
    A = to_units(structure, scales)
    for at, block in enumerate(structure.blocks):
        level = LEVELS[block.level]
        if len(block.columns) > 1 and not block.is_full:
            lines.append(
                Line(level, "slopes, of a standard deviation", _entry(at, np.eye(len(block.columns))[0]))
            )
            continue
        for i, column in enumerate(block.columns):
            own = A[np.ix_(block.columns, block.columns)]
            lines.append(Line(level, column_names[column], _entry(at, own[i])))
    if structure.smooth:
        lines.append(Line("cluster", "smooth", lambda found: found.smooth[0] if found.smooth else 0.0))
    noise = [] if structure.unit_noise else [Line("residual", "", lambda found: scales.weight * found.noise)]
    return [*lines, *noise]


def _entry(at: int, row: Floats) -> Callable[[Values], float]:
    return lambda found: float(row @ found.matrices[at] @ row)


def _correlations(structure: Structure, found: Values, scales: StandardUnits) -> dict[str, Floats]:
    result = {}
    for block, D in zip(structure.blocks, found.matrices, strict=True):
        if block.is_full and len(block.columns) > 1:
            own = to_units(structure, scales)[np.ix_(block.columns, block.columns)]
            D = own @ D @ own.T
            sd = np.sqrt(np.diag(D))
            with np.errstate(divide="ignore", invalid="ignore"):
                result[LEVELS[block.level]] = D / np.outer(sd, sd)
    return result


def _parameter_covariance(structure: Structure, found: CovarianceEstimate) -> Floats:
    """The inverse Hessian; NaN for parameters of variances that vanish."""
    n = len(found.parameters)
    covariance = np.full((n, n), np.nan)
    if found.hessian is None:
        return covariance
    free = np.ones(n, bool)
    free[-1] = not structure.unit_noise and found.parameters[-1] > NOTHING
    free[vanished(structure, found.parameters, NOTHING)] = False
    with suppress(np.linalg.LinAlgError):
        covariance[np.ix_(free, free)] = np.linalg.inv(found.hessian[np.ix_(free, free)])
    return covariance
