"""Steps of an environment, checked."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array, as_array, as_floats, group_codes, require_finite
from ..._frames import require_aligned
from ..._options import integer
from .._data import columns, require_size
from .._names import Names, names_of, require_order

Policy = Callable[[Array], Array]
"""From states (n, d) to actions (n,), integers from 0."""


def check_actions(values: Any, n: int, n_actions: int, name: str) -> NDArray[np.int64]:
    """Actions (n,), integers from 0 to n_actions - 1.

    Parameters
    ----------
    values : array (n,)
        Of integers, or of floats that are integers.
    n : int
        As many as there are states.
    n_actions : int
    name : str
        What they are called in a message.
    """
    actions = as_array(values, name)
    if actions.shape == (n, n_actions) and actions.ndim == 2:
        raise ValueError(
            f"{name} has shape {actions.shape}, as probabilities have; one action a state, ({n},), is "
            "needed: draw them, or take the most likely one (argmax)"
        )
    if actions.shape != (n,):
        given = "is None" if values is None else f"has shape {actions.shape}"
        raise ValueError(f"{name} {given}; one action a state, ({n},), is needed")
    if actions.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {actions.dtype}; integers from 0 to {n_actions - 1} are needed")
    bad = np.flatnonzero(~((actions >= 0) & (actions < n_actions) & (actions == np.floor(actions))))
    if bad.size:
        counted = " (are they counted from 1?)" if actions.min() >= 1 else ""
        raise ValueError(
            f"{name} holds {actions[bad[0]]} for state {bad[0]}, one of {bad.size} that are no action; "
            f"integers from 0 to {n_actions - 1} are needed{counted}"
        )
    return actions.astype(np.int64)


class Transitions(NamedTuple):
    """Steps of an environment, each array with a row a step; made by `make_transitions`."""

    states: Array
    """(n, d)"""
    actions: NDArray[np.int64]
    """(n,)"""
    rewards: Array
    """(n,)"""
    next_states: Array
    """(n, d)"""
    terminated: NDArray[np.bool_]
    """(n,) whether the episode truly ended: no value follows"""
    episodes: NDArray[np.intp] | None
    """(n,) whole episodes are held out"""
    n_actions: int
    names: Names = None
    """Of the columns of states, where they came as a frame"""


def make_transitions(
    states: Any,
    actions: Any,
    rewards: Any,
    next_states: Any,
    terminated: Any,
    episodes: Any = None,
    *,
    n_actions: int,
) -> Transitions:
    """Check the steps of an environment.

    Parameters
    ----------
    states, next_states : array (n, d)
    actions : array (n,)
        Integers from 0 to n_actions - 1: the actions that were meant.
    rewards : array (n,)
    terminated : array (n,) of bool
        True where the episode truly ended. An episode that was only cut short (truncated) goes on in
        principle: there it is False.
    episodes : array (n,), optional
        Episode of each step.
    n_actions : int

    Returns
    -------
    Transitions

    Raises
    ------
    ValueError, TypeError
        If an array has another length or holds what it must not; if the flags are missing.

    Examples
    --------
    >>> from rfpcore.npiv.ope import make_transitions
    >>> steps = make_transitions([[0.0], [1.0]], [0, 1], [1, 1], [[1.0], [2.0]], [False, True], n_actions=2)
    >>> steps.terminated
    array([False,  True])
    """
    # Next states are often the same frame a row on: their index is rightly another.
    require_aligned(states=states, actions=actions, rewards=rewards, terminated=terminated, episodes=episodes)
    require_order(next_states, "next_states", names_of(states), "states")
    before, after = columns(states, "states"), columns(next_states, "next_states")
    n = len(before)
    if after.shape != before.shape:
        raise ValueError(f"next_states has shape {after.shape}; states has {before.shape}")
    count = integer(n_actions, "n_actions", 1, 2**31)
    if terminated is None:
        raise ValueError(
            "terminated is None; a flag a step is needed: True where the episode ended, False where it was "
            "cut short"
        )
    ended = as_array(terminated, "terminated")
    if ended.dtype != np.bool_:
        raise TypeError(f"terminated has dtype {ended.dtype}; bool is needed")
    meant = as_array(actions, "actions")
    if meant.dtype.kind == "f":
        raise TypeError(f"actions has dtype {meant.dtype}; integers are needed")
    chosen, gains = check_actions(meant, n, count, "actions"), as_floats(rewards, "rewards")
    gains = gains.astype(np.float64)
    for array, name in ((ended, "terminated"), (gains, "rewards")):
        if array.shape != (n,):
            raise ValueError(f"{name} has shape {array.shape}; states has {n} rows, so ({n},) is needed")
    require_finite(gains, "rewards")
    for array, name in ((before, "states"), (after, "next_states"), (gains, "rewards")):
        require_size(array, name)
    codes = None
    if episodes is not None:
        codes = group_codes(episodes, n, "episodes")[1]
    return Transitions(before, chosen, gains, after, ended, codes, count, names_of(states))
