"""Kernel instrumental variables."""

from typing import Any, ClassVar, Literal

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular
from sklearn.metrics.pairwise import rbf_kernel

from .._arrays import Array
from .._file_parts import Document, Tensors, tensor
from .._limits import Limits, auto_or_bool, one_of, randomness
from .._options import positive
from ._background import interruptible
from ._data import InstrumentedRows, Scales
from ._flexible import FlexibleNPIV, LinearPart
from ._ridge import errors_left_out
from ._select import bandwidth, largest_as_good

__all__ = ["KernelIV"]

PENALTIES = 10.0 ** np.linspace(-10, -2, 50)
"""The grid of both penalties: that of the DFIV authors' KIV code."""

WIDE = 10.0 ** np.linspace(-10, 0, 61)
"""The grid of the second penalty for "one_se": it goes on above the end of the published one."""

MOST_ROWS = 30_000
"""More rows would need 20 GB and hours."""

Tuning = Literal["one_se", "published"]


class KernelIV(FlexibleNPIV):
    """Kernel instrumental variable regression [1]_: both stages kernel ridge regressions, in closed form.

    The rows are halved: one half learns E[features of X | Z], the other the structural function. Each penalty
    is chosen by the error of its stage on the other half (their algorithm 2). For the second that error is
    flat where the penalty is small, and its smallest value a matter of chance, while h is not flat at all: by
    default the largest penalty is taken whose error is within one standard error of the smallest, over both
    halves, the one that it is fitted on with each row left out in its turn. Inputs and
    instruments are standardised, kernels Gaussian with the median distance as length. Memory grows with the
    square of the rows, time with their cube: at most 30,000 are taken. Sample weights are not supported.

    Parameters
    ----------
    tuning : {"one_se", "published"}, default="one_se"
        Whether the second penalty is the largest within one standard error, or the one with the smallest
        error in [1e-10, 1e-2], as published.
    linear_part : {"auto"} or bool, default="auto"
        Whether to take two-stage least squares off the outcome first, and add that of what is left at the
        end: neither is penalised, so that the slope in X is not lost beside covariates. "auto": where
        covariates explain most of what a second stage sees of X, for a single X of two values, and for
        instruments of two (with d columns of X: d + 1) values, which tell no more than a line.
    random_state : int, RandomState or None, default=None
        Of the halving.

    Attributes
    ----------
    linear_part_ : bool
        Whether there is a linear part.
    penalties_ : tuple of float
        λ of stage one and ξ of stage two.

    References
    ----------
    .. [1] Singh, Sahani and Gretton (2019), "Kernel instrumental variable regression", NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import KernelIV
    >>> z, u = np.random.default_rng(0).standard_normal((2, 1000))
    >>> x = z + u
    >>> model = KernelIV(random_state=0).fit(x, np.sin(x) + u, Z=z)
    >>> bool(abs(model.predict([[1.0]])[0] - np.sin(1.0)) < 0.3)
    True
    """

    def __init__(
        self, *, tuning: Tuning = "one_se", linear_part: LinearPart = "auto", random_state: Any = None
    ) -> None:
        self.tuning = tuning
        self.linear_part = linear_part
        self.random_state = random_state

    penalties_: tuple[float, float]

    _limits: ClassVar[Limits] = {
        "tuning": one_of(Tuning),
        "linear_part": auto_or_bool,
        "random_state": randomness,
    }

    def _learn(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        if rows.weights is not None:
            raise ValueError("KernelIV takes no sample_weight")
        if rows.n < 4:
            raise ValueError(f"{rows.n} rows are given; KernelIV halves them and needs at least 4")
        if rows.n > MOST_ROWS:
            raise ValueError(
                f"{rows.n} rows are given; KernelIV takes at most {MOST_ROWS}, since memory grows with their "
                "square and time with their cube: give it some of the rows, or take F2BMLD or SieveIV"
            )
        order = given["random_state"].permutation(rows.n)
        self._scales = Scales.of(rows)
        scaled = self._scales.apply(rows)
        one, two = (scaled.take(part) for part in np.array_split(order, 2))
        self._gamma = bandwidth(scaled.inputs)
        self._points = one.inputs
        gammas = self._gamma, bandwidth(scaled.instruments)
        self._weights, self.penalties_ = interruptible(
            _solve, one, two, gammas, given["tuning"] == "published"
        )

    def _flexible(self, inputs: Array) -> Array:
        kernel = rbf_kernel(self._scales.inputs.apply(inputs), self._points, gamma=self._gamma)
        return self._scales.outcomes(kernel @ self._weights)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        # The function is a sum over the standardised inputs of one half of the rows: the file holds them.
        tensors |= {"points": self._points, "weights": self._weights}
        return {"gamma": self._gamma, "penalties": list(self.penalties_)}

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        n_inputs = self.n_features_in_ + self.n_covariates_
        self._points = tensor(tensors, "points", None, n_inputs)
        self._weights = tensor(tensors, "weights", len(self._points))
        self._gamma = positive(learnt["gamma"], "gamma")
        first, second = (positive(penalty, "a penalty") for penalty in learnt["penalties"])
        self.penalties_ = (first, second)


def _solve(
    one: InstrumentedRows, two: InstrumentedRows, gammas: tuple[float, float], published: bool
) -> tuple[Array, tuple[float, float]]:
    """The weights of the kernels at the first half's inputs, and the penalties that were chosen."""
    penalties = PENALTIES if published else WIDE
    kernel = rbf_kernel(one.inputs, gamma=gammas[0])
    lam, to_two, to_one = _FirstStage(one, two, kernel, *gammas).best()
    # α solves (W Wᵀ + m ξ K) α = W y with W = K Γ; with K = L Lᵀ and β = Lᵀ α it is an eigenproblem.
    root = cholesky(kernel + 1e-10 * len(kernel) * np.eye(len(kernel)), lower=True)
    features, features_one = root.T @ to_two, root.T @ to_one
    values, vectors = eigh(features @ features.T)
    right = vectors.T @ (features @ two.y)
    values = np.maximum(values, 0)
    inverses = 1 / (values[:, None] + two.n * penalties)
    candidates = vectors @ (right[:, None] * inverses)
    errors = (one.y[:, None] - features_one.T @ candidates) ** 2
    if published:
        best = int(errors.mean(axis=0).argmin())
    else:
        basis = (vectors.T @ features).T
        left_out = errors_left_out(two.y[:, None] - basis @ (right[:, None] * inverses), basis, inverses)
        best = largest_as_good(np.vstack([errors, left_out]))
    return solve_triangular(root.T, candidates[:, best]), (lam, float(penalties[best]))


class _FirstStage:
    """Kernel ridge regression of the features of X on Z in one half, judged on the other."""

    def __init__(
        self, one: InstrumentedRows, two: InstrumentedRows, kernel: Array, gamma_x: float, gamma_z: float
    ) -> None:
        self._n = one.n
        self._kernel = kernel
        self._cross = rbf_kernel(one.inputs, two.inputs, gamma=gamma_x)
        self._values, self._vectors = eigh(rbf_kernel(one.instruments, gamma=gamma_z))
        self._to_two = self._vectors.T @ rbf_kernel(one.instruments, two.instruments, gamma=gamma_z)

    def best(self) -> tuple[float, Array, Array]:
        """λ, and Γ = (K_ZZ + nλI)⁻¹ K_Z for the instruments of the second and of the first half."""
        values = np.maximum(self._values, 0)
        # ‖φ(x̃) − Φ γ‖² without its constant: −2 K_x̃X γ + γᵀ K_XX γ, all in the eigenvectors of K_ZZ.
        kernel = self._vectors.T @ self._kernel @ self._vectors
        linear = ((self._vectors.T @ self._cross) * self._to_two).sum(axis=1)
        square = kernel * (self._to_two @ self._to_two.T)
        inverses = 1.0 / (values + self._n * PENALTIES[:, None])
        errors = ((inverses @ square) * inverses).sum(axis=1) - 2 * inverses @ linear
        chosen = int(errors.argmin())
        inverse = inverses[chosen][:, None]
        to_one = self._vectors @ (inverse * values[:, None] * self._vectors.T)
        return float(PENALTIES[chosen]), self._vectors @ (inverse * self._to_two), to_one
