"""Which techniques of a composition make a difference, from the values of all 2^k subsets of k techniques.

Plain formulas over all subsets, no sampling. Values are taken seed by seed, so that what all subsets of a
seed share drops out, and every figure has a standard error over seeds. Choose beforehand what is valued, such
as the error at one width or its difference between two; a maximum over widths is biased upward.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, as_array, as_floats, require_finite, shown
from .._options import items

__all__ = ["ShapleyValues", "WalshAnova", "shapley_values", "subsets", "walsh_anova"]

MAX_TECHNIQUES = 16
_MAX_SIZE = 1e100  # of values: their squares are finite


@dataclass(frozen=True)
class ShapleyValues:
    """What `shapley_values` returns.

    Attributes
    ----------
    names : tuple of str, (k,)
        Techniques.
    values : ndarray (k,)
        What each adds to the value, the mean over all orders in which they can be added and over seeds.
    std_errors : ndarray (k,)
        Standard errors over seeds.
    by_seed : ndarray (seeds, k)
        The same of each seed.
    total : float
        Value with all techniques minus value with none: the sum of `values`.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    std_errors: NDArray[np.float64]
    by_seed: NDArray[np.float64]
    total: float


@dataclass(frozen=True)
class WalshAnova:
    """What `walsh_anova` returns; columns as in `subsets`.

    Attributes
    ----------
    names : tuple of str, (k,)
        Techniques.
    effects : ndarray (2^k,)
        Of one technique: the mean value with it minus the mean without it. Of a pair: how much more it does
        together than one by one, v(ij) − v(i) − v(j) + v(none), as a mean over the others; and so on. In
        column 0 the mean of all values.
    std_errors : ndarray (2^k,)
        Standard errors over seeds.
    shares : ndarray (2^k,)
        Of the variance over subsets, by effect, with the seed noise taken off each; they sum to 1 and single
        ones may be slightly negative. In column 0 nothing. All are 0 where noise is all there is.
    noise_share : float
        Of the variance over subsets of the mean values, what is seed noise, from 0 to 1.
    """

    names: tuple[str, ...]
    effects: NDArray[np.float64]
    std_errors: NDArray[np.float64]
    shares: NDArray[np.float64]
    noise_share: float

    @property
    def shares_by_order(self) -> NDArray[np.float64]:
        """Shares of main effects, pairs, triples, …, (k,)."""
        return np.bincount(_sizes(len(self.names)), self.shares)[1:].astype(np.float64)

    def column(self, *names: str) -> int:
        """The column of a subset.

        Parameters
        ----------
        *names : str
            Its techniques.

        Examples
        --------
        >>> from rfpcore.studies.attribution import walsh_anova
        >>> anova = walsh_anova([[0, 1, 1, 3], [0, 1, 1, 2]], ["dropout", "norm"])
        >>> anova.effects[anova.column("norm", "dropout")].item()
        0.5
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(f"{shown(unknown[0])} is unknown; the techniques are {', '.join(self.names)}")
        if len(set(names)) < len(names):
            raise ValueError(f"names are {shown(names)}; each technique once is needed")
        return sum(1 << self.names.index(name) for name in names)


def subsets(names: Any) -> list[frozenset[str]]:
    """All subsets in the order of the columns: subset b has technique i where bit i of b is 1.

    Parameters
    ----------
    names : sequence of str, (k,)
        Techniques, at most 16.

    Examples
    --------
    >>> from rfpcore.studies.attribution import subsets
    >>> [sorted(subset) for subset in subsets(["dropout", "norm"])]
    [[], ['dropout'], ['norm'], ['dropout', 'norm']]
    """
    known = _names(names)
    return [
        frozenset(name for i, name in enumerate(known) if column >> i & 1)
        for column in range(1 << len(known))
    ]


def shapley_values(values: Any, names: Any = None) -> ShapleyValues:
    """Shapley value of each technique [1]_, with its standard error over seeds.

    Parameters
    ----------
    values : array (seeds, 2^k), or mapping of frozenset to (seeds,)
        Value of each subset for each seed, in the order of `subsets`; or of every subset by its techniques.
    names : sequence of str, (k,), optional
        Techniques. None: those of the mapping, sorted; of an array "0", "1", ….

    Returns
    -------
    ShapleyValues

    Raises
    ------
    ValueError
        For one seed, subsets that are missing, or a number of columns that is no power of 2.

    References
    ----------
    .. [1] Shapley (1953), "A value for n-person games".

    Examples
    --------
    >>> from rfpcore.studies.attribution import shapley_values
    >>> found = shapley_values([[0, 1, 1, 3], [0, 1, 1, 2]], ["dropout", "norm"])
    >>> found.values, found.std_errors, found.total
    (array([1.25, 1.25]), array([0.25, 0.25]), 2.5)
    """
    known, rows = _values(values, names)
    k = len(known)
    sizes = _sizes(k)
    has = (np.arange(1 << k)[:, None] >> np.arange(k)) & 1 == 1  # (2^k, k)
    joining = np.array([factorial(s) * factorial(k - 1 - s) / factorial(k) for s in range(k)])
    weights = np.where(
        has, joining[np.maximum(sizes - 1, 0)][:, None], -joining[np.minimum(sizes, k - 1)][:, None]
    )
    # Against the value with none, so that what a seed adds to all subsets costs no digits.
    by_seed = (rows - rows[:, :1]) @ weights
    return ShapleyValues(
        known, by_seed.mean(axis=0), _std_error(by_seed), by_seed, float((rows[:, -1] - rows[:, 0]).mean())
    )


def walsh_anova(values: Any, names: Any = None) -> WalshAnova:
    """Analysis of variance of the full factorial of techniques, by the Walsh transform [1]_.

    With c_A = 2^−k Σ_b (−1)^|A∩b| v(b), the effect of A is (−2)^|A| c_A, and the variance of v over subsets
    is Σ c_A² over A other than the empty set. A squared coefficient of the mean over seeds is too large by
    its squared standard error, which is taken off.

    Parameters
    ----------
    values, names
        As in `shapley_values`.

    Returns
    -------
    WalshAnova

    References
    ----------
    .. [1] Box, Hunter and Hunter (2005), "Statistics for experimenters", chapter 5.

    Examples
    --------
    >>> from rfpcore.studies.attribution import walsh_anova
    >>> anova = walsh_anova([[0, 1, 1, 3], [0, 1, 1, 2]], ["dropout", "norm"])
    >>> anova.effects, anova.shares_by_order.round(2)
    (array([1.125, 1.25 , 1.25 , 0.5  ]), array([1., 0.]))
    """
    known, rows = _values(values, names)
    coefficients = _walsh(rows)
    mean, error = coefficients.mean(axis=0), _std_error(coefficients)
    scale = np.power(-2.0, _sizes(len(known)))
    size = float(np.abs(rows).max()) or 1.0  # squares of small numbers would vanish
    squares, noise = np.square(mean / size), np.square(error / size)
    squares[0] = noise[0] = 0.0
    total, taken = float(squares.sum()), float(noise.sum())
    real = total > taken
    shares = (squares - noise) / (total - taken) if real else np.zeros_like(squares)
    noise_share = taken / total if real else float(taken > 0)
    return WalshAnova(known, mean * scale, error * np.abs(scale), shares, noise_share)


def _walsh(rows: Array) -> Array:
    """2^−k Σ_b (−1)^|A∩b| v(b) of each row, by k passes of sums and differences."""
    found = rows
    for bit in range(rows.shape[1].bit_length() - 1):
        pairs = found.reshape(len(rows), -1, 2, 1 << bit)
        without, having = pairs[:, :, 0], pairs[:, :, 1]
        found = np.stack([without + having, without - having], axis=2).reshape(rows.shape) / 2
    return found


def _sizes(k: int) -> NDArray[np.intp]:
    """How many techniques each subset has, (2^k,)."""
    return np.array([column.bit_count() for column in range(1 << k)], np.intp)


def _std_error(by_seed: Array) -> Array:
    return np.asarray(by_seed.std(axis=0, ddof=1) / np.sqrt(len(by_seed)))


def _names(names: Any) -> tuple[str, ...]:
    """Techniques, at least one, each once."""
    listed = items(names, "names", "a sequence of str")
    for i, name in enumerate(listed):
        if not isinstance(name, str):
            raise TypeError(f"names[{i}]={shown(name)} is a {type(name).__name__}; a str is needed")
    if not 1 <= len(listed) <= MAX_TECHNIQUES:
        raise ValueError(f"there are {len(listed)} techniques; 1 to {MAX_TECHNIQUES} are possible")
    if len(set(listed)) < len(listed):
        raise ValueError(f"names are {shown(listed)}; each technique once is needed")
    return tuple(listed)


def _values(values: Any, names: Any) -> tuple[tuple[str, ...], Array]:
    """Names (k,) and finite values (S, 2^k) in the order of `subsets`, float64."""
    known = None if names is None else _names(names)
    if isinstance(values, Mapping):
        known = known or _names_of(values)
        values = _columns(values, known)
    rows = as_floats(values, "values").astype(np.float64, copy=False)
    if rows.ndim != 2:
        raise ValueError(f"values has shape {rows.shape}; (seeds, 2^k) is needed")
    k = rows.shape[1].bit_length() - 1
    if not 1 <= k <= MAX_TECHNIQUES or rows.shape[1] != 1 << k:
        raise ValueError(
            f"values has {rows.shape[1]} columns; 2^k, one for each subset of k techniques, is needed, "
            f"for k from 1 to {MAX_TECHNIQUES}"
        )
    known = known or tuple(map(str, range(k)))
    if len(known) != k:
        raise ValueError(f"there are {len(known)} names; values has {rows.shape[1]} = 2^{k} columns")
    if len(rows) < 2:
        raise ValueError(f"values has {len(rows)} seeds; at least 2 are needed for standard errors")
    require_finite(rows, "values")
    if np.abs(rows).max() > _MAX_SIZE:
        raise ValueError(f"values is up to {np.abs(rows).max():.3g}; at most {_MAX_SIZE:g} is possible")
    return known, np.ascontiguousarray(rows)  # the same bits from a mapping


def _names_of(values: Mapping[Any, Any]) -> tuple[str, ...]:
    """The techniques that a mapping's keys hold, sorted."""
    for key in values:
        if not isinstance(key, frozenset) or not all(isinstance(name, str) for name in key):
            raise TypeError(f"values has the key {shown(key)}; frozensets of str are needed")
    return _names(sorted(frozenset().union(*values)))


def _columns(values: Mapping[Any, Any], names: tuple[str, ...]) -> Array:
    """Values of a mapping (S, 2^k) in the order of `subsets`; each subset must be there."""
    wanted = subsets(names)
    missing = [subset for subset in wanted if subset not in values]
    if missing:
        raise ValueError(
            f"values lacks {len(missing)} of {len(wanted)} subsets of {', '.join(names)}; "
            f"the first is {sorted(missing[0])}"
        )
    if len(values) > len(wanted):
        extra = next(key for key in values if key not in set(wanted))
        raise ValueError(f"values has the key {shown(extra)}, which is no subset of {', '.join(names)}")
    columns = [as_floats(values[subset], f"values[{sorted(subset)}]") for subset in wanted]
    shapes = sorted({column.shape for column in columns})
    if len(shapes) > 1 or len(shapes[0]) != 1:
        raise ValueError(f"values has entries of the shapes {shown(shapes)}; (seeds,) of all is needed")
    return as_array(columns, "values").T
