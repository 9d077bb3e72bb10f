"""Whether the endpoint is a minimum of loss + estimated penalty."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from .._arrays import shown, vector
from .._options import MAX_STEPS, integer, positive
from ..clusters import Clusters
from ..functional import hvp
from ..losses import Loss
from ..network import MLP, require_net
from ._checks import Floats
from .matching import GradientMatching

__all__ = ["Curvature", "curvature_at"]


@dataclass(frozen=True)
class Curvature:
    """The least curvature of loss + penalty at a point.

    Parameters
    ----------
    smallest : float
        The least eigenvalue of the Hessian.
    is_minimum : bool
        Whether it is above 0, so that a stationary point is an isolated minimum (proposition A). For trained
        networks it mostly is not.
    n_products : int
        Hessian-vector products it took.
    """

    smallest: float
    is_minimum: bool
    n_products: int


def curvature_at(
    net: MLP,
    theta: Any,
    data: Clusters,
    penalty: GradientMatching | Callable[[Any], Any] | None = None,
    loss: Loss = "squared",
    *,
    tol: float = 1e-2,
    max_iter: int = 400,
    n_jobs: int | None = None,
) -> Curvature:
    """The least eigenvalue of the Hessian of loss + penalty, by Lanczos on Hessian-vector products [1]_.

    Parameters
    ----------
    net : MLP
    theta : array (P,)
    data, loss
        As in `value_and_grad`.
    penalty : fitted GradientMatching, or callable θ (P,) → ∇R (P,), optional
        Its Hessian is taken by central differences of its gradient, exact where that is linear.
    tol : float, default=0.01
        Of the eigenvalue, relative.
    max_iter : int, default=400
        Restarts of the iteration.
    n_jobs : int, optional

    Returns
    -------
    Curvature

    Raises
    ------
    ArithmeticError
        If the iteration has not come to an end.

    References
    ----------
    .. [1] arXiv:2605.05436, appendix A, proposition A.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> from rfpcore.implicit import curvature_at
    >>> data = rfpcore.Clusters([[1.0], [2.0]], [0.0, 0.0])
    >>> found = curvature_at(rfpcore.MLP(1, ()), np.zeros(2), data, lambda theta: 3 * theta)
    >>> round(found.smallest, 6), found.is_minimum
    (3.145898, True)
    """
    at = vector(theta, "theta", require_net(net).n_parameters).astype(np.float64)
    slope = _slope(penalty)
    share, most = positive(tol, "tol"), integer(max_iter, "max_iter", 1, MAX_STEPS)
    count = 0

    def product(direction: Floats) -> Floats:
        nonlocal count
        count += 1
        flat = np.ascontiguousarray(direction.ravel(), np.float64)
        found = hvp(net, at, flat, data, loss, n_jobs)
        return found if slope is None else found + _along(slope, at, flat)

    if len(at) < 4:  # too few for the iteration
        values = np.linalg.eigvalsh(np.array([product(line) for line in np.eye(len(at))]))
        return Curvature(float(values[0]), bool(values[0] > 0), count)
    operator = LinearOperator((len(at), len(at)), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(at))
    try:
        least = float(eigsh(operator, 1, which="SA", tol=share, maxiter=most, v0=start)[0][0])
    except ArpackNoConvergence as error:
        raise ArithmeticError(
            f"the least eigenvalue has not settled to {share:g} after {most} restarts ({count} products); "
            "a larger tol or max_iter helps"
        ) from error
    return Curvature(least, least > 0, count)


def _slope(penalty: Any) -> Callable[[Floats], Floats] | None:
    if penalty is None:
        return None
    if isinstance(penalty, GradientMatching):
        return penalty.gradient
    if callable(penalty):
        return lambda theta: np.asarray(penalty(theta), np.float64)
    raise TypeError(
        f"penalty={shown(penalty)} is a {type(penalty).__name__}; a GradientMatching or a callable is needed"
    )


def _along(slope: Callable[[Floats], Floats], at: Floats, direction: Floats) -> Floats:
    """The derivative of a gradient along a direction."""
    length = float(np.linalg.norm(direction))
    if length == 0:
        return np.zeros_like(at)
    step = 1e-4 * max(float(np.linalg.norm(at)), 1.0) / length
    return (slope(at + step * direction) - slope(at - step * direction)) / (2 * step)
