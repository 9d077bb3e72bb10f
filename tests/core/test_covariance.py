"""Covariances of clusters against NumPy's dense formulas, written out."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rfpcore import _rfpcore

Array = NDArray[np.float64]


class Naive:
    """A problem, and V of each cluster by loops."""

    def __init__(
        self,
        sizes: list[int],
        widths: list[int],
        inner: list[int | None],
        d: int = 0,
        weights: bool = False,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        n = int(self.offsets[-1])
        self.columns = rng.standard_normal((n, sum(widths)))
        self.columns[:, :1] = 1.0
        self.terms: list[tuple[NDArray[np.int64], NDArray[np.int64] | None]] = []
        first = 0
        codes = {k: rng.integers(0, k, n) * 7 - 3 for k in inner if k}
        for width, groups in zip(widths, inner, strict=True):
            columns = np.arange(first, first + width, dtype=np.int64)
            self.terms.append((columns, codes[groups] if groups else None))
            first += width
        self.x = rng.standard_normal((n, d)) if d else None
        self.weights = rng.uniform(0.5, 2.0, n) if weights else None
        self.rng = rng

    def build(self, dense_rows: int = 512) -> _rfpcore.Covariance:
        return _rfpcore.Covariance(self.offsets, self.columns, self.terms, self.x, self.weights, dense_rows)

    def rows(self, c: int) -> slice:
        return slice(int(self.offsets[c]), int(self.offsets[c + 1]))

    def noise(self, c: int) -> Array:
        n = int(self.offsets[c + 1] - self.offsets[c])
        return np.ones(n) if self.weights is None else 1.0 / self.weights[self.rows(c)]

    def effects(self, c: int, matrices: list[Array], rbf: tuple[float, float] | None) -> Array:
        return between(self, self, self.rows(c), self.rows(c), matrices, rbf)

    def v(self, c: int, noise: float, matrices: list[Array], rbf: tuple[float, float] | None = None) -> Array:
        return np.diag(noise * self.noise(c)) + self.effects(c, matrices, rbf)


def between(
    a: Any, b: Any, rows: slice, others: slice, matrices: list[Array], rbf: tuple[float, float] | None
) -> Array:
    k = np.zeros((rows.stop - rows.start, others.stop - others.start))
    for (columns, codes), (_, new_codes), d in zip(a.terms, b.terms, matrices, strict=True):
        part = a.columns[rows][:, columns] @ d @ b.columns[others][:, columns].T
        if codes is not None:
            part = part * (codes[rows][:, None] == new_codes[others][None])
        k += part
    if rbf is not None:
        squares = ((a.x[rows][:, None] - b.x[others][None]) ** 2).sum(-1)
        k += rbf[0] * np.exp(-0.5 * squares / rbf[1] ** 2)
    return k


def positive(rng: np.random.Generator, q: int, rank: int | None = None) -> Array:
    root = rng.standard_normal((q, rank or q))
    return np.asarray(root @ root.T / q)


CASES: dict[str, dict[str, Any]] = {
    "intercept": {"sizes": [1, 2, 9, 40], "widths": [1], "inner": [None]},
    "slopes": {"sizes": [1, 3, 30, 100], "widths": [3], "inner": [None]},
    "weighted": {"sizes": [4, 30, 70], "widths": [2], "inner": [None], "weights": True},
    "two terms": {"sizes": [5, 60], "widths": [1, 2], "inner": [None, None]},
    "nested": {"sizes": [1, 6, 50, 90], "widths": [2, 1], "inner": [None, 8], "weights": True},
    "nested slopes": {"sizes": [5, 50, 120], "widths": [1, 2, 1], "inner": [None, 5, 5]},
    "crossed": {"sizes": [6, 80], "widths": [1, 1, 2], "inner": [None, 6, 4]},
    "inner alone": {"sizes": [6, 80], "widths": [2], "inner": [7]},
    "kernel": {"sizes": [1, 2, 9, 40, 70], "widths": [2], "inner": [None], "d": 2, "weights": True},
    "kernel alone": {"sizes": [1, 12], "widths": [], "inner": [], "d": 1},
    "kernel and nested": {"sizes": [1, 20, 45], "widths": [2, 1], "inner": [None, 4], "d": 3},
    "singular": {"sizes": [3, 60], "widths": [3], "inner": [None]},
    "nothing but noise": {"sizes": [1, 5], "widths": [1], "inner": [None]},
}


def case(name: str) -> tuple[Naive, float, list[Array], tuple[float, float] | None]:
    problem = Naive(**CASES[name], seed=len(name))
    matrices = [positive(problem.rng, len(columns)) for columns, _ in problem.terms]
    if name == "nothing but noise":
        matrices = [0.0 * d for d in matrices]
    if name == "singular":
        matrices = [positive(problem.rng, 3, 1)]
    return problem, 0.3, matrices, (0.7, 1.3) if problem.x is not None else None


@pytest.mark.parametrize("name", CASES)
def test_likelihood_parts_are_those_of_the_dense_formulas(name: str) -> None:
    problem, noise, matrices, rbf = case(name)
    factors = problem.build().factor(noise, matrices, rbf)
    b = problem.rng.standard_normal((len(problem.columns), 3))
    solved = factors.solve(b)
    a = problem.rng.standard_normal((len(problem.columns), 2))
    d_noise, d_matrices, d_rbf = factors.gradient(a)
    expected_noise, expected = 0.0, [np.zeros_like(d) for d in matrices]
    expected_rbf = np.zeros(2)
    for c in range(len(problem.offsets) - 1):
        rows = problem.rows(c)
        v = problem.v(c, noise, matrices, rbf)
        # Conditions of V are below 1e4: 1e-10 leaves room for both sides' rounding.
        assert factors.log_determinant[c] == pytest.approx(np.linalg.slogdet(v)[1], rel=1e-10, abs=1e-10)
        np.testing.assert_allclose(solved[rows], np.linalg.solve(v, b[rows]), rtol=1e-9, atol=1e-10)
        m = 0.5 * (np.linalg.inv(v) - a[rows] @ a[rows].T)
        expected_noise += float((np.diag(m) * problem.noise(c)).sum())
        for t, (columns, codes) in enumerate(problem.terms):
            same = 1.0 if codes is None else codes[rows][:, None] == codes[rows][None]
            z = problem.columns[rows][:, columns]
            expected[t] += z.T @ (m * same) @ z
        if rbf is not None:
            assert problem.x is not None
            squares = ((problem.x[rows][:, None] - problem.x[rows][None]) ** 2).sum(-1)
            k = np.exp(-0.5 * squares / rbf[1] ** 2)
            expected_rbf += [(m * k).sum(), (m * k * squares).sum() * rbf[0] / rbf[1] ** 3]
    assert d_noise == pytest.approx(expected_noise, rel=1e-9)
    for got, wanted in zip(d_matrices, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)
    assert (d_rbf is None) == (rbf is None)
    if d_rbf is not None:
        np.testing.assert_allclose(d_rbf, expected_rbf, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_posterior_is_that_of_the_dense_formulas(name: str) -> None:
    problem, noise, matrices, rbf = case(name)
    factors = problem.build().factor(noise, matrices, rbf)
    residual = problem.rng.standard_normal(len(problem.columns))
    # The first cluster has no new rows; the inner codes have some that were never seen.
    sizes = [0] + [c + 3 for c in range(1, len(problem.offsets) - 1)]
    new = Naive(**{**CASES[name], "sizes": sizes}, seed=99)
    inners = []
    for t, (columns, codes) in enumerate(new.terms):
        if codes is not None:
            codes = codes.copy()
            codes[::3] = 1000
            new.terms[t] = (columns, codes)
        inners.append(codes)
    mean, variance = factors.posterior(residual, (new.offsets, new.columns, inners, new.x), True)
    only_mean, none = factors.posterior(residual, (new.offsets, new.columns, inners, new.x))
    assert none is None
    np.testing.assert_array_equal(mean, only_mean)
    assert variance is not None
    for c in range(1, len(sizes)):
        rows, at = problem.rows(c), new.rows(c)
        v = problem.v(c, noise, matrices, rbf)
        k = between(problem, new, rows, at, matrices, rbf)
        prior = between(new, new, at, at, matrices, rbf)
        np.testing.assert_allclose(mean[at], k.T @ np.linalg.solve(v, residual[rows]), rtol=1e-9, atol=1e-10)
        covariance = prior - k.T @ np.linalg.solve(v, k)
        np.testing.assert_allclose(variance[at], np.diag(covariance), rtol=1e-8, atol=1e-10)


def inducing_rows(x: Array, most: int = 128) -> list[int]:
    """The row nearest to the mean, then always the one farthest from those chosen."""
    chosen = [int(((x - x.mean(0)) ** 2).sum(1).argmin())]
    nearest = np.full(len(x), np.inf)
    while len(chosen) < most:
        nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(1))
        if nearest.max() <= 0:
            break
        chosen.append(int(nearest.argmax()))
    return chosen


def correlations(a: Array, b: Array, length: float) -> Array:
    return np.asarray(np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / length**2))


def low_rank_kernel(
    x: Array, variance: float, length: float, new: Array | None = None
) -> tuple[Array, Array]:
    """The approximated kernel of rows and P; or covariances of new rows with them, and among themselves."""
    z = x[inducing_rows(x)]
    root = np.linalg.cholesky(correlations(z, z, length) + 1e-8 * np.eye(len(z)))
    p = np.linalg.solve(root, correlations(z, x, length)).T
    own = variance * (p @ p.T)
    if new is None:
        np.fill_diagonal(own, variance)
        return own, p
    q = np.linalg.solve(root, correlations(z, new, length)).T
    among = variance * (q @ q.T)
    np.fill_diagonal(among, variance)
    return variance * (q @ p.T), among


LARGE: dict[str, Any] = {
    "sizes": [30, 160, 200],
    "widths": [2, 1],
    "inner": [None, 5],
    "d": 2,
    "weights": True,
}


def large() -> tuple[Naive, list[Array]]:
    """Clusters of two forms: below 50 rows as they are, the others with a kernel over 128 inducing rows."""
    problem = Naive(**LARGE, seed=4)
    return problem, [positive(problem.rng, 2), positive(problem.rng, 1)]


def large_v(problem: Naive, c: int, noise: float, matrices: list[Array], rbf: tuple[float, float]) -> Array:
    rows = problem.rows(c)
    v = problem.v(c, noise, matrices)
    assert problem.x is not None
    x = problem.x[rows]
    return v + (low_rank_kernel(x, *rbf)[0] if len(x) > 50 else rbf[0] * correlations(x, x, rbf[1]))


def objective(
    problem: Naive, a: Array, noise: float, matrices: list[Array], rbf: tuple[float, float]
) -> float:
    total = 0.0
    for c in range(len(problem.offsets) - 1):
        v = large_v(problem, c, noise, matrices, rbf)
        part = a[problem.rows(c)]
        total += 0.5 * (np.linalg.slogdet(v)[1] - np.trace(part.T @ v @ part))
    return total


def test_inducing_rows_approximate_as_written() -> None:
    problem, matrices = large()
    factors = problem.build(50).factor(0.4, matrices, (0.8, 0.6))
    b = problem.rng.standard_normal((len(problem.columns), 2))
    solved = factors.solve(b)
    for c in range(3):
        v, rows = large_v(problem, c, 0.4, matrices, (0.8, 0.6)), problem.rows(c)
        assert factors.log_determinant[c] == pytest.approx(np.linalg.slogdet(v)[1], rel=1e-9)
        # The inducing rows' correlations have a condition of up to 1e8, of which both sides lose digits.
        np.testing.assert_allclose(solved[rows], np.linalg.solve(v, b[rows]), rtol=1e-7, atol=1e-8)


def test_gradient_with_inducing_rows_agrees_with_finite_differences() -> None:
    problem, matrices = large()
    noise, rbf = 0.4, (0.8, 0.6)
    a = problem.rng.standard_normal((len(problem.columns), 2))
    d_noise, d_matrices, d_rbf = problem.build(50).factor(noise, matrices, rbf).gradient(a)
    assert d_rbf is not None

    def slope(change: Any) -> float:
        # Errors of O(h^4) and of rounding, 1e-16 / h, both near 1e-11 of a value of some hundreds.
        h = 1e-3
        f = [objective(problem, a, *change(k * h)) for k in (-2, -1, 1, 2)]
        return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)

    assert d_noise == pytest.approx(slope(lambda e: (noise + e, matrices, rbf)), rel=1e-6)
    assert d_rbf[0] == pytest.approx(slope(lambda e: (noise, matrices, (rbf[0] + e, rbf[1]))), rel=1e-6)
    assert d_rbf[1] == pytest.approx(slope(lambda e: (noise, matrices, (rbf[0], rbf[1] + e))), rel=1e-6)
    direction = problem.rng.standard_normal((2, 2))
    direction = direction + direction.T
    along = slope(lambda e: (noise, [matrices[0] + e * direction, matrices[1]], rbf))
    assert float((d_matrices[0] * direction).sum()) == pytest.approx(along, rel=1e-6)
    inner = slope(lambda e: (noise, [matrices[0], matrices[1] + e], rbf))
    assert d_matrices[1][0, 0] == pytest.approx(inner, rel=1e-6)


def test_posterior_with_inducing_rows_is_as_written() -> None:
    problem, matrices = large()
    noise, rbf = 0.4, (0.8, 0.6)
    factors = problem.build(50).factor(noise, matrices, rbf)
    residual = problem.rng.standard_normal(len(problem.columns))
    new = Naive(**{**LARGE, "sizes": [4, 0, 9]}, seed=5)
    codes = new.terms[1][1]
    assert codes is not None
    assert new.x is not None
    assert problem.x is not None
    codes[-3:] = [500, 500, 501]
    mean, variance = factors.posterior(residual, (new.offsets, new.columns, [None, codes], new.x), True)
    assert variance is not None
    rows, at = problem.rows(2), new.rows(2)
    cross, among = low_rank_kernel(problem.x[rows], *rbf, new.x[at])
    k = between(problem, new, rows, at, matrices, None) + cross.T
    v = large_v(problem, 2, noise, matrices, rbf)
    np.testing.assert_allclose(mean[at], k.T @ np.linalg.solve(v, residual[rows]), rtol=1e-7, atol=1e-8)
    prior = between(new, new, at, at, matrices, None) + among
    covariance = prior - k.T @ np.linalg.solve(v, k)
    np.testing.assert_allclose(variance[at], np.diag(covariance), rtol=1e-7, atol=1e-8)


def test_one_thread_and_two_give_the_same_bits() -> None:
    for dense_rows in (512, 20):
        # Enough work that threads take part.
        problem = Naive([60] * 40 + [1, 2, 200], [2, 1], [None, 5], d=2, seed=1)
        matrices = [positive(problem.rng, 2), positive(problem.rng, 1)]
        covariance = problem.build(dense_rows)
        b = problem.rng.standard_normal((len(problem.columns), 2))
        codes = problem.terms[1][1]
        results = []
        for n_threads in (1, 2):
            factors = covariance.factor(0.3, matrices, (0.5, 0.8), n_threads)
            r = b[:, 0].copy()
            new = (problem.offsets, problem.columns, [None, codes], problem.x)
            moments = factors.posterior(r, new, True, n_threads)
            drawn = factors.draws(r, new, 2, 7, n_threads)
            solved, gradient = factors.solve(b, n_threads), factors.gradient(b, n_threads)
            y = np.full(len(r), 2.0)
            latent = covariance.laplace(r, y, "poisson", matrices, (0.5, 0.8), n_threads=n_threads)
            results.append(
                ((factors.log_determinant, solved, drawn, *latent[:3]), gradient, moments, latent[3])
            )
        one, two = results
        for a, c in zip(*((*x[0], *x[1][1], *x[2], *x[3][0]) for x in (one, two)), strict=True):
            np.testing.assert_array_equal(a, c)
        assert (one[1][0], one[1][2], one[3][1]) == (two[1][0], two[1][2], two[3][1])


@pytest.mark.parametrize("length", [1e-200, 1e-12, 1e12, 1e200])
@pytest.mark.parametrize("dense_rows", [10, 512])
def test_any_length_scale_and_equal_rows(length: float, dense_rows: int) -> None:
    problem = Naive([1, 20, 30], [1], [None], d=2, seed=2)
    assert problem.x is not None
    problem.x[5:15] = problem.x[5]
    problem.x[25:] = 1.0
    factors = problem.build(dense_rows).factor(0.5, [np.eye(1)], (0.9, length))
    b = problem.rng.standard_normal((51, 1))
    for c in range(3):
        v = problem.v(c, 0.5, [np.eye(1)])
        x = problem.x[problem.rows(c)]
        same = (x[:, None] == x[None]).all(-1) if length < 1 else np.ones_like(v)
        rows = problem.rows(c)
        # The jitter of inducing rows, 1e-8, counts where rows are equal.
        np.testing.assert_allclose(
            factors.solve(b)[rows], np.linalg.solve(v + 0.9 * same, b[rows]), rtol=1e-6, atol=1e-7
        )
    gradient = factors.gradient(b)
    assert gradient[2] is not None
    assert np.isfinite([gradient[0], *gradient[2]]).all()


def quadratic_forms(problem: Naive, precision: _rfpcore.Precision, y: Array) -> float:
    """Σ y'Ay of a network that predicts 0."""
    data = _rfpcore.ClusterData(y[:, None] * 0.0, y[:, None], problem.offsets, precision=precision)
    net = _rfpcore.Architecture(1, (1,), 1, "tanh")
    value = _rfpcore.value_and_grad(
        net, np.zeros(net.n_parameters), data, 1.0, _rfpcore.Inner(1, 0.1), "squared"
    )[0]
    return float(value) * len(y)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dense_rows", [30, 512])
def test_precision_is_the_inverse(name: str, dense_rows: int) -> None:
    problem, noise, matrices, rbf = case(name)
    factors = problem.build(dense_rows).factor(noise, matrices, rbf)
    for _ in range(3):
        y = problem.rng.standard_normal(len(problem.columns))
        expected = 2.5 * float(y @ factors.solve(y[:, None])[:, 0])
        assert quadratic_forms(problem, factors.precision(False, 2.5), y) == pytest.approx(expected, rel=1e-9)
    assert factors.precision(True).dtype == "float32"


def test_kernel_and_noise_agree_with_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    problem = Naive([40], [], [], d=2)
    assert problem.x is not None
    y = problem.rng.standard_normal(40)
    kernel = ConstantKernel(0.7) * RBF(1.3) + WhiteKernel(0.3)
    other = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(problem.x, y)
    value, gradient = other.log_marginal_likelihood(other.kernel_.theta, eval_gradient=True)
    factors = problem.build().factor(0.3, [], (0.7, 1.3))
    a = factors.solve(y[:, None])
    own = -0.5 * (factors.log_determinant[0] + y @ a[:, 0] + 40 * np.log(2 * np.pi))
    assert own == pytest.approx(value, rel=1e-10)
    d_noise, _, d_rbf = factors.gradient(a)
    assert d_rbf is not None
    # Its parameters are logarithms.
    np.testing.assert_allclose([-0.7 * d_rbf[0], -1.3 * d_rbf[1], -0.3 * d_noise], gradient, rtol=1e-9)
    new = problem.rng.standard_normal((7, 2))
    mean, deviation = other.predict(new, return_std=True)
    got = factors.posterior(y, (np.array([0, 7]), np.empty((7, 0)), [], new), True)
    assert got[1] is not None
    np.testing.assert_allclose(got[0], mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[1] + 0.3, deviation**2, rtol=1e-9)


@pytest.mark.parametrize("form", ["dense", "low rank", "inducing"])
def test_draws_have_the_moments_of_the_posterior(form: str) -> None:
    sizes = {"dense": [1, 20], "low rank": [1, 60], "inducing": [1, 60]}[form]
    problem = Naive(sizes, [2, 1], [None, 3], d=0 if form == "low rank" else 1, seed=3)
    matrices = [positive(problem.rng, 2), np.array([[0.8]])]
    rbf = None if form == "low rank" else (0.7, 0.5)
    factors = problem.build(40).factor(0.3, matrices, rbf)
    residual = problem.rng.standard_normal(sum(sizes))
    new = Naive([2, 4], [2, 1], [None, 3], d=0 if form == "low rank" else 1, seed=8)
    codes = new.terms[1][1]
    assert codes is not None
    codes[-2:] = [77, 77]
    where = (residual, (new.offsets, new.columns, [None, codes], new.x))
    mean, variance = factors.posterior(*where, True)
    assert variance is not None
    draws = factors.draws(*where, 20000, 5)
    # Five standard errors of 20000 draws.
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * np.sqrt(variance.max() / 20000))
    np.testing.assert_allclose(draws.var(0), variance, rtol=5 * np.sqrt(2 / 20000))
    np.testing.assert_array_equal(factors.draws(*where, 3, 5), draws[:3])
    assert (factors.draws(*where, 3, 6) != draws[:3]).all()
    if form != "inducing":
        rows, at = problem.rows(1), new.rows(1)
        k = between(problem, new, rows, at, matrices, rbf)
        posterior = between(new, new, at, at, matrices, rbf)
        posterior -= k.T @ np.linalg.solve(problem.v(1, 0.3, matrices, rbf), k)
        bound = 5 * np.sqrt(2) * posterior.diagonal().max() / np.sqrt(20000)
        np.testing.assert_allclose(np.cov(draws[:, at].T), posterior, atol=bound)


def test_effects_without_variance_are_drawn_as_nothing() -> None:
    for rbf in (None, (0.0, 1.0)):
        problem = Naive([5, 9], [1], [None], d=0 if rbf is None else 1)
        factors = problem.build().factor(0.5, [np.zeros((1, 1))], rbf)
        drawn = factors.draws(np.ones(14), (problem.offsets, problem.columns, [None], problem.x), 2, 0)
        np.testing.assert_array_equal(drawn, np.zeros((2, 14)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, [np.eye(2)], None), "noise variance must be above 0, got 0"),
        ((np.nan, [np.eye(2)], None), "noise variance must be above 0, got NaN"),
        ((1.0, [], None), "matrices has 0 elements, needs 1"),
        ((1.0, [np.eye(3)], None), "9 elements, needs 4"),
        ((1.0, [np.array([[1.0, 2.0], [2.0, 1.0]])], None), r"matrices\[0\] is not symmetric positive"),
        ((1.0, [np.array([[1.0, 0.5], [0.0, 1.0]])], None), r"matrices\[0\] is not symmetric positive"),
        ((1.0, [-np.eye(2)], None), r"matrices\[0\] is not symmetric positive"),
        ((1.0, [np.full((2, 2), np.nan)], None), "matrices has a non-finite value"),
        ((1.0, [np.eye(2)], (1.0, 1.0)), "needs the kernel's inputs"),
    ],
)
def test_variances_that_cannot_be_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Naive([4, 5], [2], [None]).build().factor(*arguments)


def test_structures_that_cannot_be_are_refused() -> None:
    columns, offsets = np.ones((4, 1)), np.array([0, 1, 4])
    term = (np.array([0]), None)
    for arguments, message in (
        ((np.array([0, 1, 1, 4]), columns, [term]), r"offsets\[2\] is 1"),
        ((np.array([0, 5]), columns, [term]), "has 4 elements, needs 5"),
        ((offsets, columns * np.nan, [term]), "columns has a non-finite value"),
        ((offsets, columns, [(np.array([1]), None)]), "the column of a term is 1; at most 0"),
        ((offsets, columns, [(np.array([0]), np.array([1, 2]))]), "has 2 elements, needs 4"),
        ((offsets, columns, [term], None, np.zeros(4)), "weights must be above 0, got 0"),
        ((offsets, columns, [term], np.ones((3, 1))), "has 3 elements, needs 4"),
    ):
        with pytest.raises(ValueError, match=message):
            _rfpcore.Covariance(*arguments)
    kernel = Naive([4], [1], [None], d=1).build()
    with pytest.raises(ValueError, match=r"needs rbf=\(variance, length\)"):
        kernel.factor(1.0, [np.eye(1)])
    with pytest.raises(ValueError, match="length of rbf must be above 0"):
        kernel.factor(1.0, [np.eye(1)], (1.0, 0.0))


def test_noise_below_rounding_names_the_cluster() -> None:
    problem = Naive([1, 30], [1], [None], d=1)
    with pytest.raises(ValueError, match=r"cluster 1 \(30 rows\) is not positive definite to rounding"):
        problem.build().factor(1e-30, [np.eye(1)], (1.0, 1e3))


def log_density(family: str, y: Array, f: Array) -> tuple[Array, Array, Array]:
    if family == "poisson":
        return y * f - np.exp(f), y - np.exp(f), np.exp(f)
    p = 1 / (1 + np.exp(-f))
    return y * f - np.logaddexp(0, f), y - p, p * (1 - p)


def naive_laplace(k: Array, eta: Array, y: Array, w: Array, family: str) -> tuple[float, Array]:
    """Newton's method with damping on u, in plain formulas."""
    u = np.zeros(len(y))
    for _ in range(60):
        _, slope, curvature = log_density(family, y, eta + u)
        b = w * curvature * u + w * slope
        target = k @ np.linalg.solve(np.eye(len(y)) + (w * curvature)[:, None] * k, b)
        change = target - u
        u = u + change * min(1.0, 2.0 / (1e-300 + abs(change).max()))
        if abs(change).max() < 1e-11:
            break
    value, slope, curvature = log_density(family, y, eta + u)
    determinant = np.linalg.slogdet(np.eye(len(y)) + k * (w * curvature))[1]
    return float((w * value).sum() - 0.5 * u @ (w * slope) - 0.5 * determinant), u


def outcomes(problem: Naive, family: str, weighted: bool) -> tuple[Array, Array, Array]:
    n = len(problem.columns)
    eta = 0.5 * problem.rng.standard_normal(n)
    w = problem.rng.integers(0, 4, n).astype(float) if weighted else np.ones(n)
    if family == "poisson":
        return eta, problem.rng.poisson(2.0, n).astype(float), w
    return eta, problem.rng.binomial(np.maximum(w, 1).astype(int), 0.6) / np.maximum(w, 1), w


def prior_of(problem: Naive, c: int, matrices: list[Array], rbf: Any, dense_rows: int) -> Array:
    rows = problem.rows(c)
    if rbf is None or rows.stop - rows.start <= dense_rows:
        return problem.effects(c, matrices, rbf)
    assert problem.x is not None
    return problem.effects(c, matrices, None) + low_rank_kernel(problem.x[rows], *rbf)[0]


LATENT = ("intercept", "nested", "crossed", "kernel", "kernel and nested", "singular")


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("family", ["logistic", "poisson"])
@pytest.mark.parametrize("dense_rows", [30, 512])
def test_laplace_is_newton_by_hand(name: str, family: str, dense_rows: int) -> None:
    problem, _, matrices, rbf = case(name)
    covariance = problem.build(dense_rows)
    eta, y, w = outcomes(problem, family, True)
    values, mode, d_eta, (d_matrices, d_rbf) = covariance.laplace(eta, y, family, matrices, rbf, w)

    def total(eta: Array, matrices: list[Array], rbf: Any) -> float:
        parts = (prior_of(problem, c, matrices, rbf, dense_rows) for c in range(len(values)))
        rows = [problem.rows(c) for c in range(len(values))]
        return sum(naive_laplace(k, eta[r], y[r], w[r], family)[0] for k, r in zip(parts, rows, strict=True))

    for c, value in enumerate(values):
        rows = problem.rows(c)
        k = prior_of(problem, c, matrices, rbf, dense_rows)
        expected, u = naive_laplace(k, eta[rows], y[rows], w[rows], family)
        assert value == pytest.approx(expected, rel=1e-8, abs=1e-10)
        np.testing.assert_allclose(mode[rows], u, rtol=1e-6, atol=1e-7)

    def slope(change: Any) -> float:
        # Fourth order: both errors are near 1e-9 of values of about a hundred.
        h = 2e-3
        f = [total(*change(k * h)) for k in (-2, -1, 1, 2)]
        return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)

    along = problem.rng.standard_normal(len(eta))
    expected = slope(lambda e: (eta + e * along, matrices, rbf))
    assert float(d_eta @ along) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for t, d in enumerate(d_matrices):
        # Upwards in the matrix's own directions, so that a singular one stays what it is.
        direction = matrices[t]
        moved = slope(lambda e, t=t: (eta, [m * (1 + e * (i == t)) for i, m in enumerate(matrices)], rbf))
        assert float((d * direction).sum()) == pytest.approx(moved, rel=1e-5, abs=1e-6)
    assert (d_rbf is None) == (rbf is None)
    if d_rbf is not None:
        in_variance = slope(lambda e: (eta, matrices, (rbf[0] + e, rbf[1])))
        in_length = slope(lambda e: (eta, matrices, (rbf[0], rbf[1] + e)))
        np.testing.assert_allclose(d_rbf, [in_variance, in_length], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("dense_rows", [30, 512])
def test_laplace_posterior_is_that_of_the_dense_formulas(name: str, dense_rows: int) -> None:
    problem, _, matrices, rbf = case(name)
    covariance = problem.build(dense_rows)
    eta, y, w = outcomes(problem, "poisson", True)
    _, mode, *_ = covariance.laplace(eta, y, "poisson", matrices, rbf, w)
    new = Naive(**{**CASES[name], "sizes": [3] * (len(problem.offsets) - 1)}, seed=31)
    inners = [codes for _, codes in new.terms]
    for codes in inners:
        if codes is not None:
            codes[::3] = 500
    arguments = (eta, y, "poisson", matrices, rbf, (new.offsets, new.columns, inners, new.x), w)
    mean, variance = covariance.laplace_posterior(*arguments, None, True)
    again, none = covariance.laplace_posterior(*arguments, mode)
    assert none is None
    np.testing.assert_allclose(again, mean, rtol=1e-7, atol=1e-9)
    assert variance is not None
    for c in range(len(problem.offsets) - 1):
        rows, at = problem.rows(c), new.rows(c)
        k = prior_of(problem, c, matrices, rbf, dense_rows)
        _, u = naive_laplace(k, eta[rows], y[rows], w[rows], "poisson")
        _, slope, curvature = log_density("poisson", y[rows], eta[rows] + u)
        is_low = rbf is not None and rows.stop - rows.start > dense_rows
        cross = between(problem, new, rows, at, matrices, None if is_low else rbf)
        prior = between(new, new, at, at, matrices, rbf).diagonal()
        if is_low:
            assert problem.x is not None
            assert new.x is not None
            cross = cross + low_rank_kernel(problem.x[rows], *rbf, new.x[at])[0].T
        np.testing.assert_allclose(mean[at], cross.T @ (w[rows] * slope), rtol=1e-6, atol=1e-7)
        root = np.sqrt(w[rows] * curvature)
        inner = np.linalg.solve(np.eye(len(k)) + root[:, None] * k * root, root[:, None] * cross)
        expected = prior - ((root[:, None] * cross) * inner).sum(0)
        np.testing.assert_allclose(variance[at], expected, rtol=1e-6, atol=1e-8)


def test_laplace_starts_from_any_mode_and_goes_far() -> None:
    problem = Naive([4, 40], [2], [None], seed=6)
    eta, y, _ = outcomes(problem, "poisson", False)
    matrices = [100.0 * np.eye(2)]
    covariance = problem.build()
    # Outcomes far from eta: the first full steps lead up to a rate of exp(40).
    values, mode, *_ = covariance.laplace(eta - 8.0, 50.0 * y, "poisson", matrices)
    for start in (mode, 1e3 * np.ones(44), -30.0 * np.ones(44)):
        again = covariance.laplace(eta - 8.0, 50.0 * y, "poisson", matrices, mode=start)
        np.testing.assert_allclose(again[0], values, rtol=1e-10)


def test_outcomes_that_cannot_be_are_refused() -> None:
    covariance = Naive([2, 3], [1], [None]).build()
    zero, d = np.zeros(5), [np.eye(1)]
    for arguments, message in (
        ((zero, zero + 2.0, "logistic", d), "y must be from 0 to 1 where the family is logistic, got 2"),
        ((zero, zero - 1.0, "poisson", d), "y must be at least 0 where the family is poisson, got -1"),
        ((zero, zero, "gamma", d), 'unknown family "gamma"; known are logistic, poisson'),
        ((zero[:4], zero, "poisson", d), "eta has 4 elements, needs 5"),
        ((zero, zero, "poisson", d, None, zero - 1.0), "weights must be at least 0, got -1"),
        ((zero + 1e3, zero, "poisson", d), "log-likelihood at eta of a cluster is not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            covariance.laplace(*arguments)


@pytest.mark.parametrize("dense_rows", [10, 512])
def test_many_new_rows_of_a_cluster_are_as_few_at_a_time(dense_rows: int) -> None:
    problem = Naive([20, 30], [1, 1], [None, 3], d=1)
    factors = problem.build(dense_rows).factor(0.4, [np.eye(1), np.eye(1)], (0.5, 1.0))
    residual = problem.rng.standard_normal(50)
    new = Naive([2300, 5], [1, 1], [None, 40], d=1, seed=3)
    codes = new.terms[1][1]
    assert codes is not None
    assert new.x is not None
    whole = factors.posterior(residual, (new.offsets, new.columns, [None, codes], new.x), True)
    for rows in (slice(0, 900), slice(900, 1800), slice(1800, 2300)):
        offsets = np.array([0, rows.stop - rows.start, rows.stop - rows.start])
        some = (offsets, new.columns[rows], [None, codes[rows]], new.x[rows])
        part = factors.posterior(residual, some, True)
        for a, b in zip(whole, part, strict=True):
            assert a is not None
            assert b is not None
            # Sums may be taken in other registers.
            np.testing.assert_allclose(a[rows], b, rtol=1e-10, atol=1e-12)
