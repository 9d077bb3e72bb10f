"""Fitted Q evaluation, the baseline."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem

from ..._arrays import F64, Array
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors, tensor
from ..._limits import Limits, randomness, whole
from ..._options import MAX_STEPS, below_one, integer, positive, real
from ..._warn import warn
from .._background import interruptible
from .._select import bandwidth
from ._base import Evaluation
from ._transitions import Policy, Transitions

if TYPE_CHECKING:
    from typing_extensions import Self


class FittedQEvaluation(Evaluation):
    """Fitted Q evaluation [1]_: Q(s, a) regressed on r + γ Q(s', π(s')), each time with the last Q.

    The baseline: ridge regression on Nyström features of a Gaussian kernel with the median distance as
    length.

    Parameters
    ----------
    gamma : float in [0, 1), default=0.99
        Discount.
    n_components : int, default=300
        Features.
    penalty : float, default=1e-5
        Ridge, times the number of steps.
    max_iter : int, default=2000
        Regressions at most.
    tol : float, default=1e-6
        Root mean square of the targets' change, relative to that of the targets, at which it ends.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    n_iter_ : int
        Regressions. The iteration need not converge; if it has not after `max_iter`, or its numbers are no
        longer finite, `fit` warns (`ConvergenceWarning`).

    References
    ----------
    .. [1] Le, Voloshin and Yue (2019), "Batch policy learning under constraints", ICML, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv.ope import FittedQEvaluation, make_transitions
    >>> s = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    >>> steps = make_transitions(s, np.zeros(200, int), np.ones(200), s, np.zeros(200, bool), n_actions=1)
    >>> def policy(states):
    ...     return np.zeros(len(states), int)
    >>> model = FittedQEvaluation(gamma=0.5, random_state=0).fit(steps, policy)
    >>> bool(abs(model.value(s, policy) - 2) < 0.01)  # 1 + 1/2 + 1/4 + ...
    True
    """

    def __init__(
        self,
        *,
        gamma: float = 0.99,
        n_components: int = 300,
        penalty: float = 1e-5,
        max_iter: int = 2000,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.gamma = gamma
        self.n_components = n_components
        self.penalty = penalty
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    n_iter_: int

    _limits: ClassVar[Limits] = {
        "gamma": below_one,
        "n_components": whole(),
        "penalty": positive,
        "max_iter": whole(),
        "tol": real,
        "random_state": randomness,
    }

    @all_or_nothing
    def fit(self, transitions: Transitions, policy: Policy) -> "Self":
        """Estimate Q of `policy` from steps that any policy took."""
        params = self._checked()
        self._learn_features(transitions)
        now = self._features(transitions.states, transitions.actions)
        components = min(params["n_components"], len(now))
        nystroem = Nystroem(
            gamma=bandwidth(now), n_components=components, random_state=params["random_state"]
        )
        self._map = interruptible(nystroem.fit, now)
        features = interruptible(self._basis, now)
        then = interruptible(self._basis, self._followed(transitions.next_states, policy))
        then *= np.where(transitions.terminated, 0.0, params["gamma"])[:, None]
        at_once, carried, size_of = interruptible(
            _regressions, features, then, transitions.rewards, params["penalty"]
        )
        self._coefficients, scale = at_once, np.sqrt(np.mean(transitions.rewards**2))
        with np.errstate(over="ignore", invalid="ignore"):  # what diverges is said below
            for self.n_iter_ in range(1, params["max_iter"] + 1):
                new = at_once + carried @ self._coefficients
                change, self._coefficients = new - self._coefficients, new
                if np.sqrt(change @ size_of @ change) <= params["tol"] * (
                    scale + np.sqrt(new @ size_of @ new)
                ):
                    return self
                if not np.isfinite(new).all():
                    break
        warn(
            f"fitted Q evaluation has not converged after {self.n_iter_} regressions",
            ConvergenceWarning,
        )
        return self

    def _basis(self, features: Array) -> Array:
        return np.hstack([np.ones((len(features), 1)), self._map.transform(features)])

    def _q(self, features: Array) -> Array:
        return np.asarray(self._basis(features) @ self._coefficients)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {"points": self._map.components_, "mixing": self._map.normalization_}
        tensors["coefficients"] = self._coefficients
        return {"n_iter": self.n_iter_, "kernel_gamma": self._map.gamma}

    def _restore_learnt(self, tensors: Tensors, learnt: Document, n_features: int) -> None:
        self.n_iter_ = integer(learnt["n_iter"], "n_iter_", 1, MAX_STEPS)
        points = tensor(tensors, "points", None, n_features, dtype=F64)
        n = len(points)
        self._map = Nystroem(gamma=positive(learnt["kernel_gamma"], "gamma"), n_components=max(n, 1))
        self._map.components_, self._map.n_features_in_ = points, n_features
        self._map.normalization_ = tensor(tensors, "mixing", n, n, dtype=F64)
        self._coefficients = tensor(tensors, "coefficients", 1 + n, dtype=F64)


def _regressions(features: Array, then: Array, rewards: Array, penalty: float) -> tuple[Array, Array, Array]:
    """Coefficients of the rewards, those of Q that follow from the last, and the size of what these carry.

    Targets are linear in the last coefficients, and so is what they are regressed to.
    """
    n = len(features)
    factor = cho_factor(features.T @ features + penalty * n * np.eye(features.shape[1]))
    return cho_solve(factor, features.T @ rewards), cho_solve(factor, features.T @ then), then.T @ then / n
