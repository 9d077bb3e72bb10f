"""The network: widths, activation, and the layout of its flat parameter vector."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _rfpcore
from ._arrays import Array, as_floats, cast, float_dtype, matrix, vector
from ._options import MAX_PARAMETERS, Activation, boolean, choice, integer, layer_sizes, n_threads

__all__ = ["MLP"]


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron with linear outputs; it holds no parameters, only their layout.

    The parameters of all layers lie in one vector `theta`: for each layer W (inputs, outputs) row by row,
    then b (outputs,), unless the network has no biases.

    Parameters
    ----------
    n_inputs : int
        Number of features.
    hidden_layer_sizes : sequence of int
        Widths of the hidden layers; empty for a linear model.
    n_outputs : int
        Number of outputs; with the softmax loss, of classes.
    activation : {"identity", "tanh", "relu", "softplus", "silu", "gelu", "elu"}
        Applied after every layer but the last. "gelu" is the exact one, by the error function.
    bias : bool, default=True
        Whether layers add biases. Without, each layer is its W alone.

    Examples
    --------
    >>> import rfpcore
    >>> net = rfpcore.MLP(3, (8,), 2)
    >>> net.n_parameters
    50
    >>> theta = net.init(random_state=0)
    >>> [(W.shape, b.shape) for W, b in net.unflatten(theta)]
    [((3, 8), (8,)), ((8, 2), (2,))]
    >>> rfpcore.MLP(3, (8,), 2, bias=False).n_parameters
    40
    """

    n_inputs: int
    hidden_layer_sizes: Sequence[int] = (64, 64)
    n_outputs: int = 1
    activation: Activation = "tanh"
    bias: bool = True
    n_parameters: int = field(init=False, repr=False, compare=False)
    _architecture: _rfpcore.Architecture = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)  # frozen: the one place that writes

        store("n_inputs", integer(self.n_inputs, "n_inputs", 1, MAX_PARAMETERS))
        store("hidden_layer_sizes", layer_sizes(self.hidden_layer_sizes))
        store("n_outputs", integer(self.n_outputs, "n_outputs", 1, MAX_PARAMETERS))
        choice(self.activation, "activation", Activation)
        store("bias", boolean(self.bias, "bias"))
        count = sum((n_in + self.bias) * n_out for n_in, n_out in self.layer_shapes)
        if count > MAX_PARAMETERS:
            raise ValueError(
                f"the network would have {count} parameters; at most {MAX_PARAMETERS} are possible"
            )
        store("n_parameters", count)
        architecture = _rfpcore.Architecture(
            self.n_inputs, self.hidden_layer_sizes, self.n_outputs, self.activation, self.bias
        )
        store("_architecture", architecture)

    def __repr__(self) -> str:
        names = [
            "n_inputs",
            "hidden_layer_sizes",
            "n_outputs",
            "activation",
            *([] if self.bias else ["bias"]),
        ]
        return f"MLP({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return MLP, (self.n_inputs, self.hidden_layer_sizes, self.n_outputs, self.activation, self.bias)

    @property
    def layer_shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every layer, first to last."""
        widths = [self.n_inputs, *self.hidden_layer_sizes, self.n_outputs]
        return list(itertools.pairwise(widths))

    def init(self, random_state: Any = None, dtype: Any = np.float64) -> Array:
        """Random parameters: W ~ N(0, 1 / inputs of the layer), b = 0 where there are biases.

        Parameters
        ----------
        random_state : None, int, numpy.random.Generator or numpy.random.RandomState
            Source of the draws; an int gives the same parameters every time.
        dtype : {float64, float32}
            The float32 parameters of a seed are its float64 ones, rounded.

        Returns
        -------
        theta : ndarray (P,)

        Examples
        --------
        >>> import rfpcore
        >>> rfpcore.MLP(2, (), 1).init(random_state=0).round(3)
        array([ 0.089, -0.093,  0.   ])
        """
        kind = float_dtype(dtype)
        if isinstance(random_state, np.random.Generator | np.random.RandomState):
            random: np.random.Generator | np.random.RandomState = random_state
        else:
            seed = None if random_state is None else integer(random_state, "random_state", 0, 2**64 - 1)
            random = np.random.default_rng(seed)
        theta = np.zeros(self.n_parameters)
        for W, _ in self.unflatten(theta):
            W[:] = random.standard_normal(W.shape) / np.sqrt(W.shape[0])
        return theta.astype(kind, copy=False)

    def unflatten(self, theta: Any) -> list[tuple[Array, Array]]:
        """The layers' weights and biases as views: writing to one writes to `theta`.

        Parameters
        ----------
        theta : ndarray (P,)

        Returns
        -------
        layers : list of (W (inputs, outputs), b (outputs,))
            Without biases b is empty, (0,).
        """
        theta = as_floats(theta, "theta")
        if theta.shape != (self.n_parameters,):
            raise ValueError(
                f"theta has shape {theta.shape}; the network has {self.n_parameters} parameters, "
                f"so ({self.n_parameters},) is needed"
            )
        layers, at = [], 0
        for n_in, n_out in self.layer_shapes:
            end = at + n_in * n_out
            next_layer = end + n_out if self.bias else end
            layers.append((theta[at:end].reshape(n_in, n_out), theta[end:next_layer]))
            at = next_layer
        return layers

    def predict(self, theta: Any, X: Any, n_jobs: int | None = None) -> Array:
        """Linear outputs f(theta, x) of every row.

        They are logits for the logistic and the softmax loss, and log rates for the Poisson loss.

        Parameters
        ----------
        theta : array (P,)
            Its dtype is the result's.
        X : array or frame (N, n_inputs)
        n_jobs : int, optional
            Threads; -1 for all cores.

        Returns
        -------
        outputs : ndarray (N, n_outputs)

        Examples
        --------
        >>> import numpy as np, rfpcore
        >>> rfpcore.MLP(2, (), 1).predict(np.array([1.0, 2.0, 0.5]), [[1, 1], [0, 3]])
        array([[3.5],
               [6.5]])
        """
        theta = vector(theta, "theta", self.n_parameters)
        rows = cast(matrix(X, "X", self.n_inputs), theta.dtype, "X")
        outputs: Array = _rfpcore.predict(self._architecture, theta, rows, n_threads(n_jobs))
        return outputs


def require_net(net: Any) -> MLP:
    """The network; TypeError for anything else."""
    if not isinstance(net, MLP):
        raise TypeError(f"net is a {type(net).__name__}; an rfpcore.MLP is needed")
    return net
