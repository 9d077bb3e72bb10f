"""Offline policy evaluation: the Bellman equation as an instrumental-variables problem.

E[r | s, a] = E[Q(s, a) - γ (1 - done) Q(s', π(s')) | s, a]: the outcome is r, the instrument is (s, a), and
what the first stage follows has two terms. Least squares on Q(s, a) - γ Q(s', π(s')) directly would be
biased, since s' is random given (s, a).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._arrays import Array
from .._options import MAX_STEPS, integer, n_threads, real
from . import _fit
from ._bilevel import BilevelSolver, Problem, networks, settings
from ._data import columns, split_rows
from ._select import HeldOut, bandwidth
from ._transitions import Policy, Transitions, make_transitions
from .particles import MeanField

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["F2BMLDEvaluation", "FittedQEvaluation", "Policy", "Transitions", "make_transitions"]


class _Evaluation(BaseEstimator):
    """What both evaluations share: features of states and actions, and values of policies."""

    gamma: float
    _centre: Array
    _scale: Array
    _n_actions: int

    def _learn_features(self, steps: Transitions) -> None:
        self._centre, scale = steps.states.mean(axis=0), steps.states.std(axis=0)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._n_actions = steps.n_actions

    def _features(self, states: Array, actions: Any) -> Array:
        """Standardised states beside the action, one column each, in -1 and 1."""
        meant = np.asarray(actions)
        signs = np.where(meant[:, None] == np.arange(self._n_actions), 1.0, -1.0)
        if self._n_actions == 2:
            signs = signs[:, 1:]
        return np.hstack([(states - self._centre) / self._scale, signs])

    def _discount(self) -> float:
        gamma = real(self.gamma, "gamma", "a number in [0, 1)")
        if not 0 <= gamma < 1:
            raise ValueError(f"gamma={gamma}; a number in [0, 1) is needed")
        return gamma

    def q(self, states: Any, actions: Any) -> Array:
        """Q of the policy at states (n, d) and actions (n,)."""
        check_is_fitted(self)
        return self._q(self._features(columns(states, "states"), actions))

    def value(self, states: Any, policy: Policy) -> float:
        """Mean of Q(s, policy(s)) over initial states (n, d): the policy's value."""
        first = columns(states, "states")
        return float(self.q(first, policy(first)).mean())

    def _q(self, features: Array) -> Array:
        raise NotImplementedError


class F2BMLDEvaluation(_Evaluation):
    """Q of a policy by F²BMLD on the Bellman equation [1]_.

    Inside, Q is in units of the largest reward over 1 - gamma. λ and the checkpoint are chosen by the
    held-out error of the Bellman equation, as in `F2BMLD`, with whole episodes held out; then all steps are
    fitted again.

    Parameters
    ----------
    gamma : float in [0, 1), default=0.99
        Discount.
    solver, lambdas, n_particles, inner_steps, max_iter, batch_size, alpha, gamma_step, n_checkpoints
        As in `F2BMLD`; its `gamma` is `gamma_step` here.
    validation_fraction : float in (0, 1), default=0.2
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None

    Attributes
    ----------
    lambda_, best_step_ : float, int
        What was chosen.
    path_ : ndarray (n_checkpoints, P)
        Structural particles at each checkpoint of the last fit, for the spread of the training path.

    References
    ----------
    .. [1] Chen, Nitanda, Gretton and Suzuki (2025), "Towards a Unified Analysis of Neural Networks in
       Nonparametric Instrumental Variable Regression", experiments on offline reinforcement learning.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv.ope import F2BMLDEvaluation, make_transitions
    >>> s = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    >>> steps = make_transitions(s, np.zeros(200, int), np.ones(200), s, np.ones(200, bool), n_actions=1)
    >>> def policy(states):
    ...     return np.zeros(len(states), int)
    >>> model = F2BMLDEvaluation(gamma=0.5, max_iter=300, random_state=0).fit(steps, policy)
    >>> bool(abs(model.value(s, policy) - 1) < 0.1)  # every episode ends after one step of reward 1
    True
    """

    def __init__(
        self,
        *,
        gamma: float = 0.99,
        solver: BilevelSolver = "adam",
        lambdas: Sequence[float] = (0.1, 1.0, 10.0),
        n_particles: int | None = None,
        inner_steps: int = 10,
        max_iter: int | None = None,
        batch_size: int | None = 64,
        alpha: float | None = None,
        gamma_step: float | None = None,
        n_checkpoints: int = 40,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.gamma = gamma
        self.solver = solver
        self.lambdas = lambdas
        self.n_particles = n_particles
        self.inner_steps = inner_steps
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.alpha = alpha
        self.gamma_step = gamma_step
        self.n_checkpoints = n_checkpoints
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    lambda_: float
    best_step_: int
    path_: Array
    _network: MeanField

    def fit(self, transitions: Transitions, policy: Policy) -> "Self":
        """Estimate Q of `policy` from steps that any policy took."""
        discount = self._discount()
        self._learn_features(transitions)
        problem = self._problem(transitions, policy, discount).cast(np.float32)
        random = check_random_state(self.random_state)
        parts = split_rows(len(problem.y), transitions.episodes, self.validation_fraction, random)
        held_out = HeldOut(problem.z.astype(np.float64), None, parts, random)
        config = settings(
            self.get_params(deep=False)
            | {"gamma": self.gamma_step, "activation": "relu", "inner_warm_start": True, "shared_noise": True}
            | dict.fromkeys(("clip", "zeta1", "zeta2", "sigma1", "sigma2"))
        )
        lambdas = [real(lam, "lambdas", "positive numbers") for lam in self.lambdas]
        if not lambdas or min(lambdas) <= 0:
            raise ValueError(f"lambdas={self.lambdas!r}; at least one number, all above 0, is needed")
        threads = n_threads(self.n_jobs)
        fit = _fit.run(problem, config, lambdas, held_out, random, refit=True, n_threads=threads)
        self._network, _ = networks(problem, config)
        self.lambda_, self.best_step_, self.path_ = fit.lam, fit.step, fit.path.structural
        return self

    def _problem(self, steps: Transitions, policy: Policy, discount: float) -> Problem:
        """Two terms a row: Q(s, a), and -γ Q(s', π(s')) where the episode went on."""
        self._unit = max(float(np.abs(steps.rewards).max()), 1e-12) / (1 - discount)
        now = self._features(steps.states, steps.actions)
        then = self._features(steps.next_states, policy(steps.next_states))
        x = np.stack([now, then], axis=1).reshape(-1, now.shape[1])
        follows = np.where(steps.terminated, 0.0, -discount)
        coefficients = np.column_stack([np.ones(len(now)), follows]).ravel()
        return Problem(x, now, steps.rewards / self._unit, None, coefficients)

    def _q(self, features: Array) -> Array:
        return self._values(self.path_[-1], features)

    def _values(self, theta: Array, features: Array) -> Array:
        return np.asarray(self._unit * self._network.values(theta, features, n_jobs=self.n_jobs), np.float64)


class FittedQEvaluation(_Evaluation):
    """Fitted Q evaluation [1]_: Q(s, a) regressed on r + γ Q(s', π(s')), each time with the last Q.

    The baseline: ridge regression on Nyström features of a Gaussian kernel with the median distance as
    length.

    Parameters
    ----------
    gamma : float in [0, 1), default=0.99
        Discount.
    n_components : int, default=300
        Features.
    ridge : float, default=1e-5
        Penalty, times the number of steps.
    max_iter : int, default=2000
        Regressions at most.
    tol : float, default=1e-6
        Change of the targets, relative to their size, below which it ends.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    n_iter_ : int
        Regressions.

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
        ridge: float = 1e-5,
        max_iter: int = 2000,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.gamma = gamma
        self.n_components = n_components
        self.ridge = ridge
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    n_iter_: int

    def fit(self, transitions: Transitions, policy: Policy) -> "Self":
        """Estimate Q of `policy` from steps that any policy took."""
        discount = self._discount()
        ridge, tol = real(self.ridge, "ridge", "a positive number"), real(self.tol, "tol")
        if ridge <= 0:
            raise ValueError(f"ridge={ridge}; a positive number is needed")
        most = integer(self.max_iter, "max_iter", 1, MAX_STEPS)
        self._learn_features(transitions)
        now = self._features(transitions.states, transitions.actions)
        components = min(integer(self.n_components, "n_components", 1, MAX_STEPS), len(now))
        self._map = Nystroem(
            gamma=bandwidth(now), n_components=components, random_state=check_random_state(self.random_state)
        ).fit(now)
        features = self._basis(now)
        then = self._basis(self._features(transitions.next_states, policy(transitions.next_states)))
        then *= np.where(transitions.terminated, 0.0, discount)[:, None]
        gram = features.T @ features + ridge * len(now) * np.eye(features.shape[1])
        factor = cho_factor(gram)
        self._coefficients, targets = np.zeros(features.shape[1]), transitions.rewards
        for iteration in range(1, most + 1):
            self._coefficients = cho_solve(factor, features.T @ targets)
            new = transitions.rewards + then @ self._coefficients
            change = np.abs(new - targets).max()
            targets, self.n_iter_ = new, iteration
            if change <= tol * np.abs(targets).max():
                break
        return self

    def _basis(self, features: Array) -> Array:
        return np.hstack([np.ones((len(features), 1)), self._map.transform(features)])

    def _q(self, features: Array) -> Array:
        return np.asarray(self._basis(features) @ self._coefficients)
