"""Deep feature instrumental variables on the Bellman equation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors
from ..._limits import Limits, randomness, threads, whole
from ..._options import below_one, positive
from ...network import MLP
from .._bilevel import Problem
from .._features import FeatureNet, widths_of
from .._ridge import Ridge
from ._base import TrainedEvaluation
from ._transitions import Policy, Transitions

if TYPE_CHECKING:
    from typing_extensions import Self


class DeepFeatureEvaluation(TrainedEvaluation):
    """Q of a policy by deep feature instrumental variables on the Bellman equation [1]_.

    Q is linear in features φ that a network learns. Stage one is a ridge regression of φ(s, a) - γ φ(s',
    π(s')) on features of (s, a) that another network learns, stage two one of r on what stage one predicts,
    both in closed form. In each round both stages get a mini-batch of their own, drawn from all rows; the
    instruments' network follows the gradient of stage one's error, that of Q the gradient of stage two's
    error *through* stage one. The coefficients at a checkpoint are fitted on all rows, one half a stage.

    The published networks and batches. There the network of Q takes steps of 1e-4 for 100000 and more rounds;
    the defaults are for a minute.

    Parameters
    ----------
    gamma : float in [0, 1), default=0.99
        Discount.
    hidden_layer_sizes, hidden_layer_sizes_instrument : sequence of int, default=(50, 50)
        Widths of the networks of Q and of the instruments, the last the number of features.
    max_iter : int, default=5000
        Rounds.
    batch_size : int, default=1024
        Rows of each stage in a round; at most half of all.
    inner_steps : int, default=1
        Steps of the instruments' network in a round.
    learning_rate_init, inner_lr : float, default=1e-3
        Adam's steps for the network of Q and that of the instruments.
    penalty_instrument, penalty : float, default=1e-5
        Ridges of stage one and of stage two, times the rows.
    n_checkpoints : int, default=20
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None

    Attributes
    ----------
    path_ : ndarray (about n_checkpoints, P)
        The parameters of the network of Q at each checkpoint, then the coefficients of its features.
        `path_values` has the value of the policy there.
    path_steps_ : ndarray (about n_checkpoints,)
        Rounds at each checkpoint.

    References
    ----------
    .. [1] Chen, Xu, Gulcehre, Le Paine, Gretton, de Freitas and Doucet (2022), "On instrumental variable
       regression for deep offline policy evaluation", JMLR 23.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv.ope import DeepFeatureEvaluation, make_transitions
    >>> s = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    >>> steps = make_transitions(s, np.zeros(200, int), np.ones(200), s, np.zeros(200, bool), n_actions=1)
    >>> def policy(states):
    ...     return np.zeros(len(states), int)
    >>> model = DeepFeatureEvaluation(gamma=0.5, max_iter=20, random_state=0).fit(steps, policy)
    >>> bool(abs(model.value(s, policy) - 2) < 0.01)  # 1 + 1/2 + 1/4 + ...
    True
    """

    def __init__(
        self,
        *,
        gamma: float = 0.99,
        hidden_layer_sizes: Sequence[int] = (50, 50),
        hidden_layer_sizes_instrument: Sequence[int] = (50, 50),
        max_iter: int = 5000,
        batch_size: int = 1024,
        inner_steps: int = 1,
        learning_rate_init: float = 1e-3,
        inner_lr: float = 1e-3,
        penalty_instrument: float = 1e-5,
        penalty: float = 1e-5,
        n_checkpoints: int = 20,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.gamma = gamma
        self.hidden_layer_sizes = hidden_layer_sizes
        self.hidden_layer_sizes_instrument = hidden_layer_sizes_instrument
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.inner_steps = inner_steps
        self.learning_rate_init = learning_rate_init
        self.inner_lr = inner_lr
        self.penalty_instrument = penalty_instrument
        self.penalty = penalty
        self.n_checkpoints = n_checkpoints
        self.random_state = random_state
        self.n_jobs = n_jobs

    path_: Array
    path_steps_: NDArray[np.int64]
    _net: MLP

    _limits: ClassVar[Limits] = {
        "gamma": below_one,
        "hidden_layer_sizes": widths_of,
        "hidden_layer_sizes_instrument": widths_of,
        "max_iter": whole(),
        "batch_size": whole(2),
        "inner_steps": whole(),
        "learning_rate_init": positive,
        "inner_lr": positive,
        "penalty_instrument": positive,
        "penalty": positive,
        "n_checkpoints": whole(),
        "random_state": randomness,
        "n_jobs": threads,
    }

    @all_or_nothing
    def fit(self, transitions: Transitions, policy: Policy) -> "Self":
        """Estimate Q of `policy` from steps that any policy took."""
        params = self._checked()
        problem = self._problem(transitions, policy, params["gamma"])
        n = len(problem.y)
        if n < 4:
            raise ValueError(f"{n} steps are given; DeepFeatureEvaluation halves them and needs at least 4")
        rounds, random = params["max_iter"], params["random_state"]
        every = max(1, rounds // params["n_checkpoints"])
        batch = min(params["batch_size"], n // 2)
        stages = _BellmanStages(params, problem, random)
        halves = np.array_split(random.permutation(n), 2)
        path, steps = [], []
        with threadpool_limits(1, user_api="blas"):  # the matrices are too small for more
            for done in range(1, rounds + 1):
                rows = random.randint(n, size=2 * batch)
                stages.round(rows[:batch], rows[batch:])
                if done % every == 0 or done == rounds:
                    path.append(np.concatenate([stages.net.theta, stages.solve(*halves)]))
                    steps.append(done)
        self._net, self.path_, self.path_steps_ = stages.net.net, np.array(path), np.array(steps)
        return self

    def _q(self, features: Array) -> Array:
        return self._values(self.path_[-1], features)

    def _values(self, parameters: Array, features: Array) -> Array:
        theta, coefficients = np.split(parameters, [self._net.n_parameters])
        outputs = self._net.predict(theta.astype(np.float32), features, self.n_jobs)
        return np.asarray(self._unit * (coefficients[0] + np.maximum(outputs, 0) @ coefficients[1:]))

    def _describe_learnt(self, tensors: Tensors) -> Document:
        widths = [*self._net.hidden_layer_sizes, self._net.n_outputs]
        return super()._describe_learnt(tensors) | {"widths": widths}

    def _restore_learnt(self, tensors: Tensors, learnt: Document, n_features: int) -> None:
        *hidden, n_outputs = widths_of(learnt["widths"], "widths")
        self._net = MLP(n_features, tuple(hidden), n_outputs, "relu")
        self._restore_path(tensors, learnt, self._net.n_parameters + n_outputs + 1)


class _BellmanStages:
    """The networks, and a round of their training."""

    def __init__(self, params: Mapping[str, Any], problem: Problem, random: np.random.RandomState) -> None:
        assert problem.coefficients is not None  # both terms of the Bellman equation
        self._z, self._y = problem.z, problem.y.astype(np.float64)[:, None]
        self._x = problem.x.reshape(len(self._z), 2, -1)
        self._signs = problem.coefficients.astype(np.float64).reshape(-1, 2, 1)
        self._penalties = params["penalty_instrument"], params["penalty"]
        self._inner_steps = params["inner_steps"]

        def net(widths: tuple[int, ...], step: float) -> FeatureNet:
            return FeatureNet((self._z.shape[1], *widths), step, 0.0, random, params["n_jobs"])

        self.net = net(params["hidden_layer_sizes"], params["learning_rate_init"])
        self._instrument = net(params["hidden_layer_sizes_instrument"], params["inner_lr"])

    def _terms(self, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        """Inputs of both terms, (2 rows, d), and φ(s, a) - γ φ(s', π(s')), (rows, features)."""
        x = self._x[rows].reshape(2 * len(rows), -1)
        of_x = self.net.features(x).reshape(len(rows), 2, -1)
        return x, (of_x * self._signs[rows]).sum(axis=1)

    def _of_instruments(self, rows: NDArray[np.intp]) -> Array:
        return self._instrument.features(self._z[rows]).astype(np.float64)

    def _regress_terms(self, rows: NDArray[np.intp], terms: Array) -> tuple[Array, Ridge]:
        of_z = self._of_instruments(rows)
        return of_z, Ridge.of(of_z, terms, self._penalties[0] * len(rows))

    def _regress_reward(self, rows: NDArray[np.intp], predicted: Array) -> Ridge:
        return Ridge.of(predicted, self._y[rows], self._penalties[1] * len(rows))

    def round(self, one: NDArray[np.intp], two: NDArray[np.intp]) -> None:
        """Steps of both networks, given the rows of each stage."""
        x, terms = self._terms(one)
        for _ in range(self._inner_steps):
            _, first = self._regress_terms(one, terms)
            self._instrument.descend(self._z[one], first.in_features())
        of_z, first = self._regress_terms(one, terms)
        of_z_two = self._of_instruments(two)
        second = self._regress_reward(two, of_z_two @ first.coefficients)
        upstream = first.in_targets(of_z, of_z_two.T @ second.in_features())
        in_features = (upstream[:, None, :] * self._signs[one]).reshape(len(x), -1)
        self.net.descend(x, in_features)

    def solve(self, one: NDArray[np.intp], two: NDArray[np.intp]) -> Array:
        """Stage two's coefficients (features,) at the networks as they are."""
        _, first = self._regress_terms(one, self._terms(one)[1])
        predicted = self._of_instruments(two) @ first.coefficients
        return np.asarray(self._regress_reward(two, predicted).coefficients[:, 0])
