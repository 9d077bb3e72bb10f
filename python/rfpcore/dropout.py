"""The gradient that training with dropout sees on average, at given parameters."""

from typing import Any

import numpy as np

from . import _rfpcore
from ._arrays import Array, vector
from ._options import MAX_DRAWS, integer, n_threads
from .clusters import Clusters, require_kinds
from .losses import Loss, kernel_name
from .network import MLP
from .regularize import Dropout

__all__ = ["dropout_gradient"]


def dropout_gradient(
    net: MLP,
    theta: Any,
    data: Clusters,
    rate: Any,
    n_draws: int = 200,
    loss: Loss = "squared",
    random_state: Any = None,
    inputs: float = 0.0,
    n_jobs: int | None = None,
) -> tuple[Array, Array]:
    """Mean over draws of dropout masks of the gradient of the mean loss, and its standard error.

    Each row has a mask of its own in each hidden layer, as with `Dropout(rate, mask="row")` in training: a
    unit is kept with probability 1 − rate and multiplied by 1/(1 − rate), after its activation. The sums over
    draws are taken in float64.

    Parameters
    ----------
    net, theta, data, loss, n_jobs
        As in `gradient`, with one theta (P,). Rows and clusters count as there.
    rate : float or sequence of float
        Probability of dropping a hidden unit, in [0, 1): one for all hidden layers, or one for each.
    n_draws : int, at least 2
        Draws of masks of all rows.
    random_state : None, int or numpy.random.Generator
        Source of the masks; an int gives the same ones every time.
    inputs : float in [0, 1)
        Probability of dropping an input.

    Returns
    -------
    mean, std_error : ndarrays (P,)
        Of theta's dtype; the same bits for any number of threads. The standard error falls with the root of
        `n_draws`.

    Raises
    ------
    ValueError, TypeError
        On misuse, or where a gradient is not finite.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout", section 4.

    Examples
    --------
    In a linear model with squared loss, dropped inputs are a ridge in expectation: the derivative of the
    weight's penalty p/(1 − p) w² x² is 2 · 1 · 3 · 4 = 24 here.

    >>> import rfpcore
    >>> net, data = rfpcore.MLP(1, ()), rfpcore.Clusters([[2.0]], [6.0])
    >>> rfpcore.gradient(net, [3.0, 0.0], data)
    array([0., 0.])
    >>> mean, error = rfpcore.dropout_gradient(
    ...     net, [3.0, 0.0], data, 0.0, inputs=0.5, n_draws=4000, random_state=0
    ... )
    >>> bool(abs(mean[0] - 24) < 4 * error[0]), bool(error[0] < 1)
    (True, True)
    """
    require_kinds(net, data)
    theta = vector(theta, "theta", net.n_parameters)
    n_hidden = len(net.hidden_layer_sizes)
    dropout = Dropout(rate, "row", inputs)
    rates = dropout.rates(n_hidden)
    if n_hidden == 0 and dropout.rate != 0.0 and dropout.rate != ():
        raise ValueError(f"rate={rate}, but the network has no hidden layers; `inputs` drops its inputs")
    seed = _seed(random_state)
    draws, threads = integer(n_draws, "n_draws", 2, MAX_DRAWS), n_threads(n_jobs)
    handle = data.handle(net, loss, theta.dtype, split=False)
    mean, error = _rfpcore.dropout_gradient(
        net._architecture, theta, handle, kernel_name(loss), rates, dropout.inputs, draws, seed, threads
    )
    return mean, error


def _seed(random_state: Any) -> int:
    if random_state is None or isinstance(random_state, np.random.Generator):
        return int(np.random.default_rng(random_state).integers(2**63))
    return integer(random_state, "random_state", 0, 2**64 - 1)
