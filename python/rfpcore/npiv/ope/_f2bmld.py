"""F²BMLD on the Bellman equation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors, tensor
from ..._limits import Limits, positives, randomness, threads
from ..._options import MAX_STEPS, below_one, boolean, fraction, integer, positive
from .. import _fit
from .._bilevel import LIMITS, BilevelSolver, Problem, networks, settings
from .._data import split_rows
from .._select import HeldOut
from ..particles import MeanField
from ._base import TrainedEvaluation
from ._transitions import Policy, Transitions

if TYPE_CHECKING:
    from typing_extensions import Self


FIXED = {
    "activation": "relu",
    "particle_bound": None,
    "weight_decay_instrument": None,
    "weight_decay": None,
    "temperature_instrument": None,
    "temperature": None,
    "inner_warm_start": True,
    "shared_noise": True,
}
"""Settings of `F2BMLD` that an evaluation does not have."""


class F2BMLDEvaluation(TrainedEvaluation):
    """Q of a policy by F²BMLD on the Bellman equation [1]_.

    Inside, Q is in units of the largest reward over 1 - gamma. λ and the checkpoint are chosen by the
    held-out error of the Bellman equation, as in `F2BMLD`, with whole episodes held out; then all steps are
    fitted again.

    Parameters
    ----------
    gamma : float in [0, 1), default=0.99
        Discount.
    solver, lambdas, n_particles, inner_steps, max_iter, batch_size, inner_lr, learning_rate_init, \
n_checkpoints
        As in `F2BMLD`.
    fit_intercept : bool, default=True
        Add the constant to Q with which the Bellman equation holds in the mean, in closed form. Gradient
        steps alone, those of the paper, find it at a rate of (1 - gamma)².
    validation_fraction : float in (0, 1), default=0.2
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None

    Attributes
    ----------
    lambda_, best_step_ : float, int
        What was chosen.
    path_ : ndarray (about n_checkpoints, P + 1)
        Structural particles and the intercept at each checkpoint, on the rows not held out and at the λ that
        was chosen: to the end, also after `best_step_`. `path_values` has the value of the policy there.
    path_steps_ : ndarray (about n_checkpoints,)
        Outer steps at each checkpoint.

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
        inner_lr: float | None = None,
        learning_rate_init: float | None = None,
        fit_intercept: bool = True,
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
        self.inner_lr = inner_lr
        self.learning_rate_init = learning_rate_init
        self.fit_intercept = fit_intercept
        self.n_checkpoints = n_checkpoints
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    lambda_: float
    best_step_: int
    path_: Array
    path_steps_: NDArray[np.int64]
    _network: MeanField
    _parameters: Array

    _limits: ClassVar[Limits] = {name: limit for name, limit in LIMITS.items() if name not in FIXED} | {
        "gamma": below_one,
        "lambdas": positives,
        "fit_intercept": boolean,
        "validation_fraction": fraction,
        "random_state": randomness,
        "n_jobs": threads,
    }

    @all_or_nothing
    def fit(self, transitions: Transitions, policy: Policy) -> "Self":
        """Estimate Q of `policy` from steps that any policy took."""
        params = self._checked()
        problem = self._scaled(transitions, policy, params["gamma"], params["fit_intercept"])
        random, lambdas = params["random_state"], params["lambdas"]
        parts = split_rows(len(problem.y), transitions.episodes, params["validation_fraction"], random)
        held_out = HeldOut(problem.z.astype(np.float64), None, parts, random)
        config = settings(params | FIXED)
        fit = _fit.run(problem, config, lambdas, held_out, random, refit=True, n_threads=params["n_jobs"])
        self._network, _ = networks(problem, config)
        self.lambda_, self.best_step_ = fit.lam, fit.step
        self._parameters = self._with_intercepts(problem, fit.path.structural[-1:], fit.rows)[0]
        path = fit.paths[lambdas.index(fit.lam)]
        self.path_ = self._with_intercepts(problem, path.structural, held_out.fitted)
        self.path_steps_ = path.records[:, 0].astype(np.int64)
        return self

    def _scaled(self, steps: Transitions, policy: Policy, discount: float, intercept: bool) -> Problem:
        """The Bellman equation times (1 - γ)^(-1/2), between units of rewards and those of values.

        In units of values what the first stage follows is as small as 1 - γ, and lost in the noise of its
        steps; in those of rewards it is so large that the noise in it is.
        """
        problem = self._problem(steps, policy, discount)
        factor = np.float32((1 - discount) ** -0.5)
        assert problem.coefficients is not None  # both terms of the Bellman equation
        return problem._replace(
            y=problem.y * factor, coefficients=problem.coefficients * factor, intercept=intercept
        )

    def _with_intercepts(self, problem: Problem, particles: Array, rows: NDArray[np.intp]) -> Array:
        """Particles (K, P) and the intercept, beside them in a last column."""
        constants = np.zeros(len(particles))
        if problem.intercept:
            h = self._network.values(particles, problem.x, n_jobs=self.n_jobs)
            constants = problem.intercepts(h, rows)
        return np.column_stack([particles, constants.astype(np.float32)])

    def _q(self, features: Array) -> Array:
        return self._values(self._parameters, features)

    def _values(self, parameters: Array, features: Array) -> Array:
        h = self._network.values(np.ascontiguousarray(parameters[:-1]), features, n_jobs=self.n_jobs)
        return np.asarray(self._unit * (h + parameters[-1]), np.float64)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors["parameters"] = self._parameters
        learnt = {
            "n_particles": self._network.n_particles,
            "lambda": self.lambda_,
            "best_step": self.best_step_,
        }
        return super()._describe_learnt(tensors) | learnt

    def _restore_learnt(self, tensors: Tensors, learnt: Document, n_features: int) -> None:
        self._network = MeanField(n_features, learnt["n_particles"])
        self._restore_path(tensors, learnt, self._network.n_parameters + 1)
        self._parameters = tensor(tensors, "parameters", self._network.n_parameters + 1)
        self.lambda_ = positive(learnt["lambda"], "lambda_")
        self.best_step_ = integer(learnt["best_step"], "best_step_", 1, MAX_STEPS)
