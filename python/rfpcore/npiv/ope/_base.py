"""What evaluations share: features of states and actions, the Bellman equation, and values of policies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..._arrays import F64, I64, Array
from ..._file_parts import Document, Tensors, object_of, tensor
from ..._frames import require_aligned
from ..._limits import Limited
from ..._options import MAX_PARAMETERS, MAX_STEPS, integer, positive
from ...files import Saved
from .._bilevel import Problem
from .._data import columns
from .._names import Names, names_of_file, names_to_file, require_names
from ._transitions import Policy, Transitions, check_actions


class Evaluation(Saved, Limited, BaseEstimator):
    """An estimate of Q of a policy."""

    gamma: float
    _centre: Array
    _scale: Array
    _n_actions: int
    _names: Names = None

    def _learn_features(self, steps: Transitions) -> None:
        if not isinstance(steps, Transitions):
            raise TypeError(f"transitions is a {type(steps).__name__}; what make_transitions gives is needed")
        self._names = steps.names
        self._centre, scale = steps.states.mean(axis=0), steps.states.std(axis=0)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._n_actions = steps.n_actions

    def _features(self, states: Array, actions: Any, name: str = "actions") -> Array:
        """Standardised states beside the action, one column each, in -1 and 1."""
        if states.shape[1] != len(self._centre):
            raise ValueError(f"states has {states.shape[1]} columns; fit had {len(self._centre)}")
        meant = check_actions(actions, len(states), self._n_actions, name)
        signs = np.where(meant[:, None] == np.arange(self._n_actions), 1.0, -1.0)
        if self._n_actions == 2:
            signs = signs[:, 1:]
        return np.hstack([(states - self._centre) / self._scale, signs])

    def _followed(self, states: Array, policy: Policy) -> Array:
        """Features of states and of what the policy does there."""
        if not callable(policy):
            raise TypeError(
                f"policy is a {type(policy).__name__}; a function from states to actions is needed"
            )
        return self._features(states, policy(states), "what the policy returns")

    def q(self, states: Any, actions: Any) -> Array:
        """Q of the policy at states (n, d) and actions (n,)."""
        check_is_fitted(self)
        require_aligned(states=states, actions=actions)
        return self._at(self._features(self._states(states), actions))

    def value(self, states: Any, policy: Policy) -> float:
        """Mean of Q(s, policy(s)) over initial states (n, d): the policy's value."""
        check_is_fitted(self)
        return float(self._at(self._followed(self._states(states), policy)).mean())

    def _states(self, states: Any) -> Array:
        """As an array, its columns those of fit."""
        require_names(states, "states", self._names)
        return columns(states, "states")

    def _at(self, features: Array) -> Array:
        """Q at features; ValueError where it is not finite."""
        with np.errstate(all="ignore"):
            return _finite(self._q(features), features)

    def _q(self, features: Array) -> Array:
        raise NotImplementedError

    def _describe(self, tensors: Tensors) -> Document:
        tensors |= {"centre": self._centre, "scale": self._scale}
        own = {"n_actions": self._n_actions, "names": names_to_file(self._names)}
        return {"learnt": own | self._describe_learnt(tensors)}

    def _restore(self, tensors: Tensors, document: Document) -> None:
        learnt = object_of(document, "learnt")
        self._centre = tensor(tensors, "centre", None, dtype=F64)
        self._scale = tensor(tensors, "scale", len(self._centre), dtype=F64)
        self._n_actions = integer(learnt["n_actions"], "n_actions", 1, MAX_PARAMETERS)
        if not len(self._centre) or self._scale.min() <= 0:
            raise ValueError("there are no states, or one of a scale that is not positive")
        self._names = names_of_file(learnt, "names", len(self._centre))
        self._restore_learnt(tensors, learnt, self._n_features())

    def _require_usable(self) -> None:
        self._checked()
        states = self._centre + np.array([[0.0], [1.0], [-1.0]]) * self._scale
        self._at(self._features(states, np.zeros(3, int)))

    def _n_features(self) -> int:
        return len(self._centre) + (1 if self._n_actions == 2 else self._n_actions)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        """What was learnt besides: arrays go to the tensors, the rest is returned in JSON's types."""
        raise NotImplementedError

    def _restore_learnt(self, tensors: Tensors, learnt: Document, n_features: int) -> None:
        """Take over what `_describe_learnt` has written, every part checked against the others."""
        raise NotImplementedError


class TrainedEvaluation(Evaluation):
    """An estimate that is trained step by step, from the Bellman equation as instrumental variables."""

    path_: Array
    path_steps_: NDArray[np.int64]
    _unit: float

    def path_values(self, states: Any, policy: Policy) -> Array:
        """`value` at each checkpoint of training, (n_checkpoints,), from initial states (n, d)."""
        check_is_fitted(self)
        features = self._followed(self._states(states), policy)
        with np.errstate(all="ignore"):
            each = [_finite(self._values(parameters, features), features) for parameters in self.path_]
        return np.array([values.mean() for values in each])

    def _values(self, parameters: Array, features: Array) -> Array:
        raise NotImplementedError

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {"path": self.path_, "path_steps": self.path_steps_.astype(np.int64)}
        return {"unit": self._unit}

    def _restore_path(self, tensors: Tensors, learnt: Document, width: int) -> None:
        """The path, of so many parameters."""
        self._unit = positive(learnt["unit"], "the unit of Q")
        self.path_ = tensor(tensors, "path", None, width)
        self.path_steps_ = tensor(tensors, "path_steps", len(self.path_), dtype=I64)
        if not len(self.path_) or self.path_steps_[0] < 1 or (np.diff(self.path_steps_) <= 0).any():
            raise ValueError(f"path_steps are not one or more rising numbers from 1 to {MAX_STEPS}")

    def _problem(self, steps: Transitions, policy: Policy, discount: float) -> Problem:
        """Two terms a row: Q(s, a), and -γ Q(s', π(s')) where the episode went on.

        Q is in units of the largest reward over 1 - γ.
        """
        self._learn_features(steps)
        self._unit = max(float(np.abs(steps.rewards).max()), 1e-12) / (1 - discount)
        now = self._features(steps.states, steps.actions)
        then = self._followed(steps.next_states, policy)
        x = np.stack([now, then], axis=1).reshape(-1, now.shape[1])
        follows = np.where(steps.terminated, 0.0, -discount)
        coefficients = np.column_stack([np.ones(len(now)), follows]).ravel()
        return Problem(x, now, steps.rewards / self._unit, None, coefficients).cast(np.float32)


def _finite(values: Array, features: Array) -> Array:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"Q is not finite at {bad.size} of {len(values)} states, the first {bad[0]}, which is up to "
            f"{np.abs(features[bad[0]]).max():.3g} standard deviations from the mean of those of fit: too "
            "far, or the fit has diverged"
        )
    return values
