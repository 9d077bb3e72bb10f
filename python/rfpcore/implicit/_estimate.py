"""One set of coefficients, from equations and penalties."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import least_squares

from ._checks import Floats
from ._least_squares import Constraint, Solution, listed, mixed_columns, solve
from ._penalty import Penalty, columns_of
from .equations import Equations
from .nonlinear import NonLinear
from .penalties import Quadratic

__all__ = ["Constraint", "Covariance", "Estimate", "Identified", "estimate"]

Covariance = Literal["group", "classical"]
Identified = Literal["required", "minimum_norm"]


@dataclass(frozen=True)
class Estimate:
    """Coefficients of one piece, and what is known of them."""

    names: list[str]
    coefficients: Floats
    covariance: Floats
    vif: Floats
    singular_values: Floats
    rank: int
    condition_number: float
    entangled: list[str]
    """The columns that the direction of the least singular value is made of."""
    n_groups: int
    unexplained: float
    total: float
    effective_parameters: float
    spread: float
    """σ²κ: the largest variance of the errors along the columns."""
    least_length: float
    """The least singular value of the columns as they are."""
    n_numbers: int

    def bound(self, delta: float, bias: float) -> float:
        """Of the coefficients' error, with probability 1 − delta."""
        if math.isnan(self.spread):
            return math.nan
        chance = self.rank * math.log(5) + math.log(1 / delta)
        reach = 2 * math.sqrt(2 * self.spread * chance) + bias * math.sqrt(self.n_numbers)
        return reach / self.least_length if self.least_length > 0 else math.inf


def estimate(penalties: Sequence[Penalty], equations: Equations, options: dict[str, Any]) -> Estimate:
    """Least squares with uncertainty, for one piece of the equations."""
    names = [name for one in penalties for name in one.names(equations.n_parameters)]
    quadratic = _quadratic(penalties, options["constraint"])
    root = np.sqrt(np.repeat(equations.weights, equations.n_parameters))
    target = equations.targets.ravel() * root
    _require_enough(len(target), names, options["identified"])
    shapes = _shapes(penalties, equations, root, target, options)
    design = _design(penalties, equations, shapes) * root[:, None]
    _require_columns(design, names)
    solution = solve(design, target, options["rtol"], options["constraint"], quadratic)
    if options["identified"] == "required":
        _require_identified(solution, names)
    unexplained = target - design @ solution.coefficients
    names, coefficients, design = _with_shapes(penalties, equations, shapes, (names, solution, design, root))
    free = _free(solution, options["constraint"], len(coefficients))
    covariance, spread = _covariance(design, unexplained, equations, options["covariance"], free)
    noise = float(unexplained @ unexplained) / len(target)
    return Estimate(
        names=names,
        coefficients=coefficients,
        covariance=covariance,
        vif=np.append(np.diag(solution.inverse), np.full(len(names) - len(solution.scales), np.nan)),
        singular_values=solution.singular_values,
        rank=solution.rank,
        condition_number=_condition(solution),
        entangled=mixed_columns(solution.null, names[: len(solution.scales)]),
        n_groups=len(np.unique(equations.groups)),
        unexplained=float(unexplained @ unexplained),
        total=float(target @ target),
        effective_parameters=equations.n_parameters * noise / spread if spread > 0 else math.nan,
        spread=spread,
        least_length=float(np.linalg.svd(design, compute_uv=False)[-1]),
        n_numbers=len(target),
    )


def _quadratic(penalties: Sequence[Penalty], constraint: str | None) -> Quadratic | None:
    """The one quadratic penalty, where there is no other; "psd" needs it."""
    only = penalties[0] if len(penalties) == 1 else None
    found = only if isinstance(only, Quadratic) else None
    if constraint == "psd" and (found is None or found.shape == "scalar"):
        raise ValueError(
            "constraint='psd' needs a single penalty Quadratic('symmetric') or Quadratic('diagonal')"
        )
    return found


def _require_enough(count: int, names: list[str], identified: str) -> None:
    if count < len(names) and identified == "required":
        raise ValueError(
            f"{count} equations (targets of E·P numbers) for {len(names)} coefficients, "
            f"{names[0]} to {names[-1]}: at least as many are needed, from more endpoints or windows"
        )


def _require_columns(design: Floats, names: list[str]) -> None:
    zero = [name for name, used in zip(names, (design != 0).any(axis=0), strict=True) if not used]
    if zero:
        raise ValueError(
            f"the gradient of {', '.join(zero)} is 0 at all parameters: nothing is said of it; leave it out"
        )


def _require_identified(solution: Solution, names: list[str]) -> None:
    if solution.rank < len(solution.scales):
        mixed = mixed_columns(solution.null, names)
        raise ValueError(
            f"the penalties {listed(mixed)} are not identified: their gradients depend on each other here "
            f"(rank {solution.rank} of {len(solution.scales)} columns); leave one out, add other endpoints "
            "or windows, or take identified='minimum_norm'"
        )


def _condition(solution: Solution) -> float:
    least = solution.singular_values[-1]
    short = len(solution.singular_values) < len(solution.scales)
    return math.inf if short or least == 0 else float(solution.singular_values[0] / least)


def _design(penalties: Sequence[Penalty], equations: Equations, shapes: list[Floats | None]) -> Floats:
    """(E·P, J): each penalty's gradients, averaged over the parameters behind an equation."""
    blocks = []
    for points, share in zip(equations.points, equations.shares, strict=True):
        columns = [
            one.at(points, shape)
            if isinstance(one, NonLinear) and shape is not None
            else columns_of(one, points)
            for one, shape in zip(penalties, shapes, strict=True)
        ]
        blocks.append(np.tensordot(share, np.concatenate(columns, axis=2), axes=1))
    return np.concatenate(blocks)


def _shapes(
    penalties: Sequence[Penalty], equations: Equations, root: Floats, target: Floats, options: dict[str, Any]
) -> list[Floats | None]:
    """The shape of each nonlinear penalty that leaves the least, None of the others."""
    bent = [one for one in penalties if isinstance(one, NonLinear)]
    if not bent:
        return [None] * len(penalties)
    if options["constraint"] == "psd":
        raise ValueError("constraint='psd' does not go together with NonLinear penalties")
    cuts = np.cumsum([len(one.start) for one in bent])[:-1]

    def spread(values: Floats) -> list[Floats | None]:
        parts = iter(np.split(values, cuts))
        return [next(parts) if isinstance(one, NonLinear) else None for one in penalties]

    def left_over(values: Floats) -> Floats:
        design = _design(penalties, equations, spread(values)) * root[:, None]
        found = solve(design, target, options["rtol"], options["constraint"], None)
        return target - design @ found.coefficients

    bounds = [np.concatenate([getattr(one, side) for one in bent]) for side in ("lower", "upper")]
    start = np.concatenate([one.start for one in bent])
    found = least_squares(left_over, start, bounds=bounds, xtol=1e-14, ftol=1e-14, gtol=1e-14, x_scale="jac")
    return spread(found.x)


def _with_shapes(
    penalties: Sequence[Penalty],
    equations: Equations,
    shapes: list[Floats | None],
    linear: tuple[list[str], Solution, Floats, Floats],
) -> tuple[list[str], Floats, Floats]:
    """Names, coefficients and design with those of the shapes behind the linear ones."""
    names, solution, design, root = linear
    more_names, more, columns = list(names), [solution.coefficients], [design]
    at = 0
    for one, shape in zip(penalties, shapes, strict=True):
        width = len(one.names(equations.n_parameters))
        if isinstance(one, NonLinear) and shape is not None:
            for k, value in enumerate(shape):
                step = 1e-6 * max(abs(value), 1e-3)
                ends = [
                    _design([one], equations, [shape + sign * step * np.eye(len(shape))[k]])
                    for sign in (1, -1)
                ]
                slope = (ends[0] - ends[1])[:, 0] / (2 * step)
                columns.append((solution.coefficients[at] * slope * root)[:, None])
                more_names.append(f"{one.name}: shape[{k}]")
            more.append(shape)
        at += width
    return more_names, np.concatenate(more), np.concatenate(columns, axis=1)


def _free(solution: Solution, constraint: str | None, count: int) -> Any:
    """Which coefficients the data decide, and no constraint."""
    free = np.ones(count, bool)
    if constraint == "nonneg":
        free[: len(solution.coefficients)] = solution.coefficients > 0
    elif constraint == "psd":
        free[:] = False
    return free


def _covariance(
    design: Floats, unexplained: Floats, equations: Equations, kind: str, free: Any
) -> tuple[Floats, float]:
    """Of the coefficients, and the errors' largest variance along an orthonormal basis of the columns."""
    count = design.shape[1]
    found = np.full((count, count), np.nan)
    groups, n_groups = np.unique(equations.groups, return_inverse=True)[1], len(np.unique(equations.groups))
    used = design[:, free]
    if not used.shape[1]:
        return found, math.nan
    basis, values, right = np.linalg.svd(used, full_matrices=False)
    kept = values > 1e-14 * values[0]
    basis, back = basis[:, kept], right[kept].T / values[kept]
    by_equation = (
        (basis * unexplained[:, None]).reshape(equations.n_equations, -1, basis.shape[1]).sum(axis=1)
    )
    scores = np.zeros((n_groups, basis.shape[1]))
    np.add.at(scores, groups, by_equation)
    middle = (
        scores.T @ scores * (n_groups / (n_groups - 1))
        if n_groups > 1
        else np.full((basis.shape[1],) * 2, np.nan)
    )
    spread = float(np.linalg.eigvalsh(middle)[-1]) if n_groups > 1 else math.nan
    if kind == "classical":
        spare = len(unexplained) - basis.shape[1]
        variance = float(unexplained @ unexplained) / spare if spare > 0 else math.nan
        middle = variance * np.eye(basis.shape[1])
    elif kind != "group":
        raise AssertionError(kind)
    found[np.ix_(free, free)] = back @ middle @ back.T
    return found, spread
