"""What a callback sees during a fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..._arrays import Array

__all__ = ["FitState"]


@dataclass(frozen=True)
class FitState:
    """The state of a fit, as callbacks receive it after every 10 outer steps and after the last.

    A callback is any callable that takes a `FitState`; if it returns True, the fit ends there, as if
    `max_iter` had been reached. What it raises ends the fit and leaves the estimator as it was.

    Attributes
    ----------
    iteration : int
        Outer steps taken so far in this fit.
    max_iter : int
        Outer steps at most.
    loss : float
        The objective R_k at the start of the last step, over the clusters of that step.
    validation_score : float or None
        The last entry of `validation_scores_` so far; None without early stopping.
    theta : ndarray (P,)
        A copy of the parameters.
    inner_lr : float, ndarray (P,) or None
        The inner step in use; None if there is none (alpha = 1 and "auto").

    Examples
    --------
    >>> from rfpcore import RFPRegressor
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> seen = []
    >>> def watch(state):
    ...     seen.append(state.iteration)
    ...     return state.iteration >= 20
    >>> model = RFPRegressor(max_iter=100, random_state=0, callbacks=watch).fit(X, y, groups)
    >>> seen, model.n_iter_
    ([10, 20], 20)
    """

    iteration: int
    max_iter: int
    loss: float
    validation_score: float | None
    theta: Array
    inner_lr: float | Array | None
    _view: Callable[[Array, float | Array | None], Any]

    @property
    def estimator(self) -> Any:
        """A fitted estimator with the parameters of this moment, to predict, score or adapt with."""
        return self._view(self.theta, self.inner_lr)
