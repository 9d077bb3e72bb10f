"""Taylor series in an inner product: sums over many points, at many moves, from moments of the points.

f(z'm) = sum over multi-indices a of f^(|a|)(0) z^a m^a / a!, so that sums over G points at each of G moves
are a product of G x F with F x M numbers, F the multi-indices up to the degree, in place of one with G x G.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._replicates import pieces


class Monomials(NamedTuple):
    """All products of powers of q variables up to a degree, each made of one before it and one variable.

    Attributes
    ----------
    parent, variable : ndarrays (F,) of int
    factorial : ndarray (F,)
        a! of each multi-index a.
    starts : list of int
        Where the monomials of each degree start, and F.
    """

    parent: NDArray[np.intp]
    variable: NDArray[np.intp]
    factorial: Array
    starts: list[int]

    def __len__(self) -> int:
        return self.starts[-1]

    def of(self, points: Array) -> Array:
        """(F, n) the monomials of points (n, q)."""
        found = np.ones((len(self), len(points)))
        for start, stop in zip(self.starts[1:-1], self.starts[2:], strict=True):
            own = slice(start, stop)
            np.multiply(found[self.parent[own]], points.T[self.variable[own]], out=found[own])
        return found


def n_monomials(n_variables: int, degree: int) -> int:
    """How many there are up to a degree."""
    return math.comb(n_variables + degree, degree)


def make_monomials(n_variables: int, degree: int) -> Monomials:
    """All monomials of n variables up to a degree, by degree."""
    parent, variable, factorial, run, starts = [0], [0], [1.0], [0], [0, 1]
    for _ in range(degree):
        for before in range(starts[-2], starts[-1]):
            for j in range(variable[before], n_variables):
                again = run[before] + 1 if j == variable[before] else 1
                parent.append(before)
                variable.append(j)
                run.append(again)
                factorial.append(factorial[before] * again)
        starts.append(len(parent))
    return Monomials(np.array(parent), np.array(variable), np.array(factorial), starts)


def moments(monomials: Monomials, points: Array, values: Callable[[int, slice], Array], width: int) -> Array:
    """(F, M) sums over points (G, q) of each monomial times values(degree, points), (n, M)."""
    found = np.zeros((len(monomials), width))
    for part in pieces(len(points), len(monomials)):
        powers = monomials.of(points[part])
        for degree, start in enumerate(monomials.starts[:-1]):
            own = slice(start, monomials.starts[degree + 1])
            found[own] += powers[own] @ values(degree, part)
    return found


def series(monomials: Monomials, found: Array, moves: Array) -> Array:
    """(n, M) the sums of `moments` at each move (n, q)."""
    scaled = found / monomials.factorial[:, None]
    result = np.empty((len(moves), found.shape[1]))
    for part in pieces(len(moves), len(monomials)):
        result[part] = monomials.of(moves[part]).T @ scaled
    return result
