"""Penalties of the parameters alone."""

import itertools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import as_array, shown, vector
from .._options import MAX_LAYERS, choice, integer
from ..network import MLP, require_net
from ..regularize import L1, L2
from ._checks import Floats, require_parameters
from ._penalty import Penalty, term_gradient

__all__ = ["NuclearNorm", "PathNorm", "PerLayer", "Proximal", "Quadratic"]

Shape = Literal["scalar", "diagonal", "symmetric"]


class Quadratic(Penalty):
    """½ θ′Qθ with an unknown Q: one coefficient, one a parameter, or a full symmetric matrix.

    Parameters
    ----------
    shape : {"scalar", "diagonal", "symmetric"}, default="scalar"
        Q = φ·1, diag φ, or any symmetric matrix. The coefficients of a symmetric one are its upper triangle
        row by row, those off the diagonal times √2, so that their sum of squares is the matrix' Frobenius
        norm; `matrix` puts it together.
    indices : array of int, optional
        The parameters it acts on; None: all.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.implicit import Quadratic
    >>> Quadratic("symmetric").names(2)
    ['Q[0,0]', 'Q[0,1]', 'Q[1,1]']
    >>> Quadratic("symmetric").matrix(np.array([1.0, np.sqrt(8), 3.0])).round(9).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """

    def __init__(self, shape: Shape = "scalar", indices: Any = None) -> None:
        self.shape = choice(shape, "shape", Shape)
        self.indices = None if indices is None else _indices(indices)

    def _at(self, n_parameters: int) -> NDArray[np.int64]:
        if self.indices is None:
            return np.arange(n_parameters)
        if self.indices.max() >= n_parameters:
            raise ValueError(f"indices holds {self.indices.max()}; there are {n_parameters} parameters")
        return self.indices

    def _pairs(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows, columns = np.triu_indices(count)
        return rows, columns

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        at = self._at(n_parameters)
        if self.shape == "scalar":
            return ["Q"]
        if self.shape == "diagonal":
            return [f"Q[{i},{i}]" for i in at]
        return [f"Q[{at[i]},{at[j]}]" for i, j in zip(*self._pairs(len(at)), strict=True)]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        at = self._at(thetas.shape[1])
        own = thetas[:, at]
        if self.shape == "scalar":
            local = own[:, :, None]
        elif self.shape == "diagonal":
            local = own[:, :, None] * np.eye(len(at))
        else:
            local = self._symmetric(own)
        found = np.zeros((len(thetas), thetas.shape[1], local.shape[2]))
        found[:, at] = local
        return found

    def _symmetric(self, own: Floats) -> Floats:
        """Of Qᵢⱼ off the diagonal, times √2: θⱼ/√2 in line i, θᵢ/√2 in line j."""
        rows, columns = self._pairs(own.shape[1])
        found = np.zeros((*own.shape, len(rows)))
        scale, each = np.where(rows == columns, 0.5, np.sqrt(0.5)), np.arange(len(rows))
        found[:, rows, each] += scale * own[:, columns]
        found[:, columns, each] += scale * own[:, rows]
        return found

    def coefficients(self, matrix: Floats) -> Floats:
        """The coefficients of a symmetric Q (p, p): the inverse of `matrix`."""
        if self.shape == "diagonal":
            return np.diag(matrix).copy()
        rows, columns = self._pairs(len(matrix))
        found: Floats = np.where(rows == columns, 1.0, np.sqrt(2)) * matrix[rows, columns]
        return found

    def matrix(self, coefficients: Any) -> Floats:
        """Q (p, p) of the coefficients of a "symmetric" or "diagonal" one."""
        given = np.asarray(coefficients, np.float64)
        if self.shape == "diagonal":
            return np.diag(given)
        count = round((np.sqrt(8 * given.size + 1) - 1) / 2)
        if self.shape == "scalar" or count * (count + 1) // 2 != given.size:
            raise ValueError(f"{given.size} coefficients of a {self.shape} Q are no matrix")
        rows, columns = self._pairs(count)
        found = np.zeros((count, count))
        found[rows, columns] = np.where(rows == columns, given, given / np.sqrt(2))
        return found + np.triu(found, 1).T


def _indices(values: Any) -> NDArray[np.int64]:
    found = as_array(values, "indices")
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu":
        raise ValueError(f"indices has shape {found.shape} and dtype {found.dtype}; integers are needed")
    if found.min() < 0 or len(np.unique(found)) != len(found):
        raise ValueError("indices must be different and not negative")
    return found.astype(np.int64)


class PerLayer(Penalty):
    """A term with a coefficient for each layer.

    Parameters
    ----------
    term : L1 or L2 of `rfpcore.regularize`
    net : MLP

    Examples
    --------
    >>> import rfpcore
    >>> from rfpcore.implicit import PerLayer
    >>> from rfpcore.regularize import L2
    >>> PerLayer(L2(1, biases=False), rfpcore.MLP(2, (3,), 1)).names(13)
    ['L2 (layer 0)', 'L2 (layer 1)']
    """

    def __init__(self, term: L1 | L2, net: MLP) -> None:
        if not isinstance(term, L1 | L2):
            raise TypeError(f"term={shown(term)} is a {type(term).__name__}; L1 or L2 is needed")
        self.term, self.net = term, require_net(net)

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        return [f"{type(self.term).__name__} (layer {i})" for i in range(len(self.net.layer_shapes))]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        whole = term_gradient(self.term, require_parameters(self.net, thetas))
        masks = np.zeros((len(self.net.layer_shapes), thetas.shape[1]))
        for i, mask in enumerate(masks):
            W, b = self.net.unflatten(mask)[i]
            W[:] = 1
            b[:] = float(self.term.biases)
        return whole[:, :, None] * masks.T


class Proximal(Penalty):
    """½ |θ − θ₀|²: a pull to a point, such as the start.

    Parameters
    ----------
    center : array (P,)
        θ₀.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.implicit import Proximal
    >>> Proximal([1.0, 0.0]).gradients(np.array([[3.0, 4.0]]))[0, :, 0]
    array([2., 4.])
    """

    def __init__(self, center: Any) -> None:
        self.center = vector(center, "center", np.size(np.asarray(center, object))).astype(np.float64)

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        return ["Proximal"]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        if thetas.shape[1] != len(self.center):
            raise ValueError(
                f"center has {len(self.center)} numbers; the equations have {thetas.shape[1]} parameters"
            )
        return (thetas - self.center)[:, :, None]


class NuclearNorm(Penalty):
    """The sum of the singular values of a layer's weights, whose gradient is UV′.

    Parameters
    ----------
    net : MLP
    layer : int, default=0
        Counted from the inputs.
    """

    def __init__(self, net: MLP, layer: int = 0) -> None:
        self.net = require_net(net)
        self.layer = integer(layer, "layer", 0, min(MAX_LAYERS, len(net.layer_shapes) - 1))

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        return [f"NuclearNorm (layer {self.layer})"]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        found = np.zeros_like(require_parameters(self.net, thetas))
        for at, theta in zip(found, thetas, strict=True):
            left, _, right = np.linalg.svd(self.net.unflatten(theta)[self.layer][0], full_matrices=False)
            self.net.unflatten(at)[self.layer][0][:] = left @ right
        return found[:, :, None]


class PathNorm(Penalty):
    """½ Σ over paths of the product of their squared weights [1]_; biases play no part.

    Parameters
    ----------
    net : MLP

    References
    ----------
    .. [1] Neyshabur, Salakhutdinov and Srebro (2015), "Path-SGD", equation 4.
    """

    def __init__(self, net: MLP) -> None:
        self.net = require_net(net)

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        return ["PathNorm"]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        found = np.zeros_like(require_parameters(self.net, thetas))
        for at, theta in zip(found, thetas, strict=True):
            weights = [W for W, _ in self.net.unflatten(theta)]
            squares = [W**2 for W in weights]
            ahead = list(itertools.accumulate(squares, lambda v, S: v @ S, initial=np.ones(len(squares[0]))))
            behind = list(
                itertools.accumulate(
                    reversed(squares), lambda v, S: S @ v, initial=np.ones(squares[-1].shape[1])
                )
            )[::-1]
            for i, (W, (into, _)) in enumerate(zip(weights, self.net.unflatten(at), strict=True)):
                into[:] = W * np.outer(ahead[i], behind[i + 1])
        return found[:, :, None]
