"""Penalties with parameters inside, such as the place of a kink or a power."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import as_floats, require_finite, shown
from ._checks import Floats
from ._penalty import Penalty

__all__ = ["NonLinear"]


class NonLinear(Penalty):
    """A penalty φ R(θ; s) whose shape s is estimated beside its coefficient φ, by nonlinear least squares.

    The coefficients are solved for at every shape that is tried (variable projection), so that a start is
    needed for the shape alone.

    Parameters
    ----------
    function : callable(theta (P,), shape (K,)) -> array (P,)
        ∇R in θ.
    start : float or array (K,)
        Of the shape.
    lower, upper : float or array (K,), optional
        Bounds of the shape.

    References
    ----------
    Golub and Pereyra (1973), "The differentiation of pseudo-inverses and nonlinear least squares problems
    whose variables separate".

    Examples
    --------
    A power of the parameters, of which neither the strength nor the power is known:

    >>> import numpy as np
    >>> from rfpcore.implicit import Equations, GradientMatching, NonLinear
    >>> thetas = np.random.default_rng(0).uniform(0.5, 2, (5, 20))
    >>> power = NonLinear(lambda theta, s: theta ** s[0], start=1.0, lower=0.1)
    >>> GradientMatching([power]).fit(Equations(thetas, 0.3 * thetas**1.7)).coef_.round(6)
    array([0.3, 1.7])
    """

    def __init__(
        self, function: Callable[[Any, Any], Any], start: Any, lower: Any = None, upper: Any = None
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"function={shown(function)} is a {type(function).__name__}; a callable is needed"
            )
        self.function = function
        self.start = _shape(start, "start")
        size = len(self.start)
        self.lower = np.full(size, -np.inf) if lower is None else _shape(lower, "lower", size)
        self.upper = np.full(size, np.inf) if upper is None else _shape(upper, "upper", size)
        inside = (self.lower < self.start) & (self.start < self.upper)
        if not inside.all():
            raise ValueError(
                f"start={self.start.tolist()} is not between "
                f"lower={self.lower.tolist()} and upper={self.upper.tolist()}"
            )

    @property
    def name(self) -> str:
        """Of its coefficient."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        return [self.name]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        return self.at(thetas, self.start)

    def at(self, thetas: Floats, shape: Floats) -> Floats:
        """The gradients (W, P, 1) of a shape."""
        found = np.array(
            [np.asarray(self.function(theta.copy(), shape.copy()), np.float64) for theta in thetas]
        )
        if found.shape != thetas.shape:
            raise ValueError(
                f"{self.name!r} gave gradients of shape {found.shape[1:]}; {thetas.shape[1:]} is needed"
            )
        return found[:, :, None]


def _shape(values: Any, name: str, size: int | None = None) -> Floats:
    found = np.atleast_1d(as_floats(values, name).astype(np.float64))
    if found.ndim != 1 or not len(found) or (size is not None and len(found) not in (1, size)):
        needed = "a number or (K,)" if size is None else f"a number or ({size},)"
        raise ValueError(f"{name} has shape {np.shape(values)}; {needed} is needed")
    require_finite(found, name, axis="index")
    return found if size is None else np.broadcast_to(found, size).copy()
