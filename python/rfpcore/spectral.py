"""Along which principal components of the data a network's first layer has moved.

With v_k the k-th principal component of the training features, sorted by variance, and ΔW the change of the
first layer's weights since the start, E_k = |ΔWᵀ v_k|² is the energy of the change in that direction, summed
over the units: Praturu (2026), "Regularization", section 5.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._arrays import Array, as_floats, matrix, require_finite
from ._options import MAX_BINS, integer

__all__ = [
    "PrincipalComponents",
    "component_energy",
    "cumulative_energy",
    "isotropic_energy",
    "principal_components",
]


class PrincipalComponents(NamedTuple):
    """What `principal_components` returns.

    Attributes
    ----------
    components : ndarray (d, d)
        Orthonormal rows v_k, from the largest variance to the smallest.
    variances : ndarray (d,)
        Variance of the features along each.
    """

    components: NDArray[np.float64]
    variances: NDArray[np.float64]


def principal_components(X: Any) -> PrincipalComponents:
    """All d directions of the features' space, by the variance of the rows along them.

    Unlike scikit-learn's PCA it gives as many directions as there are features, also where there are fewer
    rows: a change of weights can have energy where the data have no variance.

    Parameters
    ----------
    X : array (N, d)
        Training features.

    Returns
    -------
    PrincipalComponents
        Variances have the denominator N − 1. A component's sign is free, and so is the basis among
        components of equal variance.

    Examples
    --------
    >>> from rfpcore.spectral import principal_components
    >>> pcs = principal_components([[0.0, 0, 0], [2, 2, 0], [4, 4, 0]])
    >>> pcs.variances.round(6).tolist()
    [8.0, 0.0, 0.0]
    >>> abs(pcs.components[0]).round(3).tolist()
    [0.707, 0.707, 0.0]
    """
    rows = matrix(X).astype(np.float64, copy=False)
    if len(rows) < 2:
        raise ValueError(f"X has {len(rows)} row; at least 2 are needed for a variance")
    with np.errstate(over="ignore", invalid="ignore"):
        centred = rows - rows.mean(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = centred.T @ centred / (len(rows) - 1)
    _require_squares(covariance, rows, "X")
    variances, vectors = np.linalg.eigh(covariance)
    # Rounding makes variances that are zero slightly negative.
    return PrincipalComponents(vectors.T[::-1].copy(), np.maximum(variances[::-1], 0.0))


def component_energy(change: Any, components: Any) -> Array:
    """Energy E_k of a change of weights along each component.

    Parameters
    ----------
    change : array (..., d, units)
        W(t) − W(0) of the first layer, inputs by units as in `MLP.unflatten`; several at once in front.
    components : array (K, d)
        Orthonormal rows, such as those of `principal_components`.

    Returns
    -------
    energy : ndarray (..., K)
        With all K = d components it sums to the squared norm of the change.

    Examples
    --------
    >>> from rfpcore.spectral import component_energy
    >>> component_energy([[3.0, 0.0], [0.0, 4.0]], [[1, 0], [0, 1]])
    array([ 9., 16.])
    """
    weights = as_floats(change, "change").astype(np.float64, copy=False)
    basis = matrix(components, "components").astype(np.float64, copy=False)
    if weights.ndim < 2 or weights.shape[-2] != basis.shape[1]:
        raise ValueError(
            f"change has shape {weights.shape}; the components have {basis.shape[1]} features, "
            f"so (..., {basis.shape[1]}, units) is needed"
        )
    require_finite(weights, "change", axis="index")
    with np.errstate(over="ignore", invalid="ignore"):
        energy: Array = np.square(basis @ weights).sum(axis=-1)
    _require_squares(energy, weights, "change")
    return energy


def _require_squares(squares: Array, values: Array, name: str) -> None:
    """Squares of finite numbers need not be finite."""
    if not np.isfinite(squares).all():
        raise ValueError(
            f"{name} has values up to {np.abs(values).max():.3g} in size, whose squares are beyond 1.8e308"
        )


def cumulative_energy(energy: Any) -> Array:
    """Share of the energy in the first k components, for k = 1 to K.

    Parameters
    ----------
    energy : array (..., K)
        From `component_energy`.

    Returns
    -------
    share : ndarray (..., K)
        Rising to 1.

    Raises
    ------
    ValueError
        If there is no energy: before the first step nothing has moved, and the share has no value.

    Examples
    --------
    >>> from rfpcore.spectral import cumulative_energy
    >>> cumulative_energy([6.0, 3.0, 1.0])
    array([0.6, 0.9, 1. ])
    """
    values = as_floats(energy, "energy").astype(np.float64, copy=False)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"energy has shape {values.shape}; (..., K) is needed")
    require_finite(values, "energy", axis="index")
    if values.min() < 0:
        raise ValueError(f"energy is {values.min():g} at its lowest; it is a square, at least 0")
    with np.errstate(over="ignore"):
        total = values.sum(axis=-1, keepdims=True)
    if not np.isfinite(total).all():
        raise ValueError(f"energy is up to {values.max():.3g}; its sum is beyond 1.8e308")
    if (total == 0).any():
        first = np.argwhere(total[..., 0] == 0)[0].tolist()
        raise ValueError(f"energy is 0 in every component at {first or 'all'}: nothing has moved there yet")
    share: Array = np.cumsum(values, axis=-1) / total
    return share


def isotropic_energy(n_components: int) -> Array:
    """Cumulative share of a change that prefers no direction: k/K.

    Examples
    --------
    >>> from rfpcore.spectral import isotropic_energy
    >>> isotropic_energy(4)
    array([0.25, 0.5 , 0.75, 1.  ])
    """
    count = integer(n_components, "n_components", 1, MAX_BINS)
    return np.arange(1, count + 1) / count
