"""The estimator: against closed forms and least squares by other means."""

import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from rfpcore import MLP, DesignWarning
from rfpcore.implicit import Equations, GradientMatching, NonLinear, PerLayer, Quadratic
from rfpcore.many import Model
from rfpcore.regularize import L1, L2, Dropout, Regularization

P = 12


def penalized(coefficients, n_equations=6, noise=0.0, seed=0, scale=1.0):
    """Equations whose penalty is c₁ smoothed |θ| + c₂/2 |θ|², exactly or with noise."""
    random = np.random.default_rng(seed)
    thetas = scale * random.standard_normal((n_equations, 4, P))
    gradients = np.stack([np.clip(thetas / 0.3, -1, 1), thetas], axis=-1).mean(axis=1)
    targets = gradients @ np.asarray(coefficients) + noise * random.standard_normal((n_equations, P))
    return Equations(thetas, targets), gradients.reshape(-1, 2)


PENALTIES = [L1(1, smoothing=0.3), L2(1)]


def test_exact_equations_give_the_coefficients():
    equations, _ = penalized([0.3, -0.2])
    found = GradientMatching(PENALTIES).fit(equations)
    assert_allclose(found.coef_, [0.3, -0.2], atol=1e-14)
    assert found.names_ == ["L1", "L2"]
    assert_allclose(found.explained_, 1, atol=1e-14)
    assert (found.rank_, found.n_groups_) == (2, 6)


def test_strength_is_the_unit():
    equations, _ = penalized([0.3, 0.2])
    found = GradientMatching([L1(0.1, smoothing=0.3), L2(4.0)]).fit(equations)
    assert_allclose(found.coef_, [3.0, 0.05], atol=1e-13)
    assert_allclose([t.strength for t in found.regularization_], [0.3, 0.2])


def sandwich(design, residuals, groups):
    """The covariance by groups, from its formula."""
    bread = np.linalg.inv(design.T @ design)
    scores = np.array([design[groups == g].T @ residuals[groups == g] for g in np.unique(groups)])
    n = len(scores)
    return n / (n - 1) * bread @ scores.T @ scores @ bread


@pytest.mark.parametrize("groups", [None, ["a", "b", "a", "c", "c", "b"]])
def test_covariance_is_the_sandwich_over_groups(groups):
    equations, design = penalized([0.3, -0.2], noise=0.5)
    equations = Equations(equations.points, equations.targets, groups)
    found = GradientMatching(PENALTIES).fit(equations)
    coefficients, *_ = np.linalg.lstsq(design, equations.targets.ravel(), rcond=None)
    assert_allclose(found.coef_, coefficients, rtol=1e-12)
    by_number = np.repeat(np.arange(6) if groups is None else np.array(groups), P)
    expected = sandwich(design, equations.targets.ravel() - design @ coefficients, by_number)
    assert_allclose(found.covariance_, expected, rtol=1e-10)
    df = len(set(by_number)) - 1
    low, high = found.confidence_interval(0.9).T
    reach = stats.t(df).ppf(0.95) * np.sqrt(np.diag(expected))
    assert_allclose([low, high], [coefficients - reach, coefficients + reach], rtol=1e-9)


def test_weights_are_those_of_weighted_least_squares():
    equations, design = penalized([0.3, -0.2], noise=0.5)
    weights = np.array([1, 5, 0.1, 2, 1, 3.0])
    found = GradientMatching(PENALTIES).fit(Equations(equations.points, equations.targets, weights=weights))
    w = np.repeat(weights, P)
    normal = np.linalg.solve(design.T @ (w[:, None] * design), design.T @ (w * equations.targets.ravel()))
    assert_allclose(found.coef_, normal, rtol=1e-12)


def test_classical_covariance_is_that_of_least_squares():
    equations, design = penalized([0.3, -0.2], noise=0.5)
    found = GradientMatching(PENALTIES, covariance="classical").fit(equations)
    left = equations.targets.ravel() - design @ found.coef_
    expected = left @ left / (len(left) - 2) * np.linalg.inv(design.T @ design)
    assert_allclose(found.covariance_, expected, rtol=1e-10)


def test_coverage_of_the_intervals():
    """Independent errors: 95 % of the intervals hold the truth, within 4 standard errors of 400 draws."""
    held = []
    for seed in range(400):
        low, high = (
            GradientMatching(PENALTIES)
            .fit(penalized([0.3, 0.2], noise=0.5, seed=seed)[0])
            .confidence_interval()
            .T
        )
        held.append((low < [0.3, 0.2]) & (high > [0.3, 0.2]))
    share = np.mean(held, axis=0)
    # The sandwich of six groups of one design each is a little short; by simulation 92 to 95 %.
    assert (np.abs(share - 0.94) < 0.05).all()


def test_shares_weigh_the_parameters_of_an_equation():
    random = np.random.default_rng(0)
    thetas = [random.standard_normal((3, P)), random.standard_normal((2, P))]
    shares = [np.array([1.0, 2.0, 1.0]), np.array([1.0, 3.0])]
    targets = [0.4 * np.average(t, axis=0, weights=s) for t, s in zip(thetas, shares, strict=True)]
    found = GradientMatching([L2(1)]).fit(Equations(thetas, targets, shares=shares))
    assert_allclose(found.coef_, 0.4, rtol=1e-14)


def test_one_group_has_no_standard_errors():
    equations, _ = penalized([0.3, -0.2], noise=0.1, n_equations=1)
    found = GradientMatching(PENALTIES).fit(equations)
    assert np.isnan(found.std_error_).all()
    assert np.isnan(found.confidence_interval()).all()
    assert "One group" in found.summary()


def test_pieces_are_fits_of_their_own():
    one, _ = penalized([0.3, 0.2])
    two, _ = penalized([0.1, 0.5], seed=1)
    both = one + two
    both = Equations(both.points, both.targets, times=np.arange(12) * 10.0)
    found = GradientMatching(PENALTIES, n_pieces=2).fit(both)
    assert_allclose(found.coef_, [0.3, 0.2, 0.1, 0.5], atol=1e-13)
    assert found.names_[0] == "L1 [0 to 50]"
    assert found.names_[3] == "L2 [60 to 110]"
    assert_allclose(found.pieces_, [[0, 50], [60, 110]])


def test_not_negative():
    equations, _ = penalized([0.3, -0.2])
    found = GradientMatching(PENALTIES, constraint="nonneg").fit(equations)
    assert found.coef_[1] == 0
    assert np.isnan(found.std_error_[1])
    assert found.std_error_[0] > 0
    alone = GradientMatching([L1(1, smoothing=0.3)]).fit(equations)
    assert_allclose(found.coef_[0], alone.coef_[0], rtol=1e-12)


class TestQuadratic:
    @staticmethod
    def equations(matrix, count, seed=0):
        thetas = np.random.default_rng(seed).standard_normal((count, len(matrix)))
        return Equations(thetas, thetas @ matrix)

    def matrix(self, p, seed=0):
        half = np.random.default_rng(seed).standard_normal((p, p))
        return half + half.T

    @pytest.mark.parametrize("p", [1, 3, 5])
    def test_full_matrix(self, p):
        matrix = self.matrix(p)
        quadratic = Quadratic("symmetric")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            found = GradientMatching([quadratic]).fit(self.equations(matrix, p))
        assert_allclose(quadratic.matrix(found.coef_), matrix, atol=1e-10)

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    def test_rank_and_norm_below_as_many_endpoints_as_parameters(self, count):
        """rank = p(p+1)/2 − (p−m)(p−m+1)/2, and no solution is smaller in Frobenius norm."""
        p, matrix = 5, self.matrix(5)
        quadratic = Quadratic("symmetric")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            found = GradientMatching([quadratic], identified="minimum_norm").fit(
                self.equations(matrix, count)
            )
        assert found.rank_ == p * (p + 1) / 2 - (p - count) * (p - count + 1) / 2
        assert np.linalg.norm(quadratic.matrix(found.coef_)) <= np.linalg.norm(matrix)
        with pytest.raises(ValueError, match=r"are not identified.*rank|coefficients"):
            GradientMatching([quadratic]).fit(self.equations(matrix, count))

    def test_positive_semidefinite_is_the_nearest_in_the_equations(self):
        """Against a fine search by a Cholesky factor."""
        from scipy.optimize import minimize

        matrix = np.array([[1.0, 1.5], [1.5, 1.0]])  # one negative eigenvalue
        equations = self.equations(matrix, 4)
        quadratic = Quadratic("symmetric")
        found = quadratic.matrix(GradientMatching([quadratic], constraint="psd").fit(equations).coef_)
        thetas = np.concatenate(equations.points)

        def loss(z):
            factor = np.array([[z[0], 0], [z[1], z[2]]])
            return np.sum((thetas @ factor @ factor.T - equations.targets) ** 2)

        best = min((minimize(loss, start, tol=1e-14) for start in np.eye(3) + 0.3), key=lambda r: r.fun)
        factor = np.array([[best.x[0], 0], [best.x[1], best.x[2]]])
        assert_allclose(found, factor @ factor.T, atol=1e-5)
        assert np.linalg.eigvalsh(found)[0] > -1e-12

    def test_diagonal_and_scalar(self):
        thetas = np.random.default_rng(0).standard_normal((1, 4))
        targets = thetas * [1.0, -2.0, 3.0, 0.5]
        found = GradientMatching([Quadratic("diagonal")]).fit(Equations(thetas, targets))
        assert_allclose(found.coef_, [1.0, -2.0, 3.0, 0.5], rtol=1e-12)
        found = GradientMatching([Quadratic()]).fit(Equations(thetas, targets))
        assert_allclose(found.coef_, thetas[0] @ targets[0] / (thetas[0] @ thetas[0]), rtol=1e-12)

    def test_some_parameters(self):
        thetas = np.random.default_rng(0).standard_normal((3, 4))
        targets = np.zeros((3, 4))
        targets[:, [1, 3]] = thetas[:, [1, 3]] @ np.array([[2.0, 0.3], [0.3, 1.0]])
        quadratic = Quadratic("symmetric", indices=[1, 3])
        found = GradientMatching([quadratic]).fit(Equations(thetas, targets))
        assert found.names_ == ["Q[1,1]", "Q[1,3]", "Q[3,3]"]
        assert_allclose(quadratic.matrix(found.coef_), [[2.0, 0.3], [0.3, 1.0]], atol=1e-12)


def test_nonlinear_shape_with_its_standard_error():
    """The delta of the smoothed L1, against a grid; intervals of both hold the truth here."""
    random = np.random.default_rng(0)
    thetas = random.standard_normal((8, 30))
    targets = 0.4 * np.tanh(thetas / 0.7) + 0.05 * random.standard_normal(thetas.shape)
    penalty = NonLinear(lambda theta, s: np.tanh(theta / s[0]), start=0.3, lower=0.01, upper=10)
    found = GradientMatching([penalty]).fit(Equations(thetas, targets))
    assert found.names_ == ["<lambda>", "<lambda>: shape[0]"]

    def left(s):
        column = np.tanh(thetas / s).ravel()
        return np.sum((targets.ravel() - column * (column @ targets.ravel()) / (column @ column)) ** 2)

    grid = np.linspace(0.6, 0.8, 20001)
    assert_allclose(found.coef_[1], grid[np.argmin([left(s) for s in grid])], atol=2e-5)
    low, high = found.confidence_interval(0.99).T
    assert (low < [0.4, 0.7]).all()
    assert (high > [0.4, 0.7]).all()


def test_the_gradient_is_of_the_shape_that_was_estimated():
    thetas = np.random.default_rng(0).uniform(-3, 3, (5, 20))
    targets = 0.1 * thetas + 0.3 * np.cos(2.2 * thetas) + 0.2 * np.exp(-thetas / 0.9)
    penalties = [
        NonLinear(lambda theta, s: np.cos(s[0] * theta), start=2.0),
        L2(1),
        NonLinear(lambda theta, s: np.exp(-theta / s[0]), start=1.2, lower=0.1),
    ]
    found = GradientMatching(penalties).fit(Equations(thetas, targets))
    assert_allclose(found.coef_, [0.3, 0.1, 0.2, 2.2, 0.9], rtol=1e-4)
    assert_allclose(found.gradient(thetas), targets, rtol=1e-6)
    assert_allclose(found.gradient_on(thetas[0], None), targets[0], rtol=1e-6)


def test_coefficients_that_change_are_no_single_gradient():
    thetas = np.random.default_rng(0).standard_normal((4, 3))
    found = GradientMatching([L2(1)], n_pieces=2).fit(Equations(thetas, thetas))
    for ask in (lambda: found.gradient(thetas), lambda: found.gradient_on(thetas[0], None)):
        with pytest.raises(ValueError, match="n_pieces=2 gives coefficients that change"):
            ask()


def test_functions_and_layers():
    net = MLP(2, (3,), 1)
    thetas = np.random.default_rng(0).standard_normal((4, net.n_parameters))
    masks = [np.zeros(net.n_parameters) for _ in range(2)]
    for i, mask in enumerate(masks):
        net.unflatten(mask)[i][0][:] = 1

    def cubes(theta):
        return theta**3

    targets = 0.1 * masks[0] * thetas + 0.2 * masks[1] * thetas + 0.01 * thetas**3
    found = GradientMatching([PerLayer(L2(1, biases=False), net), cubes]).fit(Equations(thetas, targets))
    assert_allclose(found.coef_, [0.1, 0.2, 0.01], atol=1e-12)
    assert found.names_ == ["L2 (layer 0)", "L2 (layer 1)", "cubes"]
    assert_allclose(found.gradient(thetas), targets, atol=1e-12)
    assert_allclose(found.gradient(thetas[0]), targets[0], atol=1e-12)


def test_weights_without_biases_need_the_network():
    net = MLP(2, (3,), 1)
    thetas = np.random.default_rng(0).standard_normal((4, net.n_parameters))
    with pytest.raises(ValueError, match=r"needs the network: Equations\(\.\.\., net=net\)"):
        GradientMatching([L2(1, biases=False)]).fit(Equations(thetas, thetas))
    mask = np.zeros(net.n_parameters)
    for W, _ in net.unflatten(mask):
        W[:] = 1
    found = GradientMatching([L2(1, biases=False)]).fit(Equations(thetas, 0.3 * mask * thetas, net=net))
    assert_allclose(found.coef_, 0.3, rtol=1e-13)


def test_regularization_goes_into_a_model():
    found = GradientMatching(PENALTIES).fit(penalized([0.3, 0.2])[0])
    model = Model((4,), regularization=found.regularization_ + Dropout(0.1))
    assert model.terms.get(L2).strength == pytest.approx(0.2)
    assert isinstance(found.regularization_, Regularization)


def test_regularization_refuses_what_is_negative_or_no_term():
    with pytest.raises(ValueError, match=r"coefficient of L2 is -0\.2; a term has no negative strength"):
        GradientMatching(PENALTIES).fit(penalized([0.3, -0.2])[0]).regularization_  # noqa: B018
    with pytest.raises(ValueError, match="Quadratic is no term of a Model"):
        GradientMatching([Quadratic()]).fit(penalized([0.3, 0.2])[0]).regularization_  # noqa: B018
    noisy = GradientMatching(PENALTIES).fit(penalized([0.3, -0.001], noise=0.5)[0])
    assert noisy.regularization_.get(L2).strength >= 0  # not to be told from 0


def test_bound_holds_the_error_and_shrinks_with_confidence():
    errors, bounds = [], []
    for seed in range(100):
        found = GradientMatching(PENALTIES).fit(penalized([0.3, 0.2], noise=0.5, seed=seed)[0])
        errors.append(np.linalg.norm(found.coef_ - [0.3, 0.2]))
        bounds.append(found.bound_(0.05))
    assert np.mean(np.array(errors) > bounds) <= 0.05
    assert found.bound_(0.5) < found.bound_(0.05) < found.bound_(0.05, bias=0.1)


def test_effective_parameters_of_errors_that_go_together():
    """Errors drawn anew: P numbers are worth about P. One error for all numbers of an equation: far fewer."""
    apart, together = [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        thetas = 1 + 0.3 * random.standard_normal((12, 50))
        for found, error in (
            (apart, random.standard_normal((12, 50))),
            (together, random.standard_normal((12, 1))),
        ):
            equations = Equations(thetas, 0.2 * thetas + error)
            found.append(GradientMatching([L2(1)]).fit(equations).effective_parameters_)
    assert 35 < np.median(apart) < 80
    assert np.median(together) < 3


def test_frame_and_summary():
    found = GradientMatching(PENALTIES).fit(penalized([0.3, 0.2], noise=0.1)[0])
    frame = found.to_frame()
    assert frame.index.tolist() == ["L1", "L2"]
    assert_allclose(frame["coef"], found.coef_)
    t = found.coef_ / found.std_error_
    assert_allclose(frame["p_value"], 2 * stats.t(5).sf(np.abs(t)), rtol=1e-9)
    text = found.summary()
    for part in ("L1", "L2", "Share explained", "Groups", "Condition number", "Effective parameters"):
        assert part in text


class TestRefusals:
    def refuse(self, penalties, equations, message, kind=ValueError, **options):
        with pytest.raises(kind, match=message):
            GradientMatching(penalties, **options).fit(equations)

    def test_same_gradients_are_named(self):
        equations, _ = penalized([0.3, 0.2], scale=0.01)  # all |θ| below the kink of the first
        self.refuse([L1(1, smoothing=0.3), L2(1)], equations, "the penalties L1, L2 are not identified")
        self.refuse([L2(1), Quadratic(), L1(1)], equations, "the penalties L2, Q are not identified")

    def test_too_few_equations(self):
        equations, _ = penalized([0.3, 0.2], n_equations=1)
        self.refuse([Quadratic("symmetric")], equations, r"12 equations .* for 78 coefficients, Q\[0,0\] to")

    def test_no_gradient(self):
        equations = Equations(np.zeros((2, 3)), np.ones((2, 3)))
        self.refuse([L2(1)], equations, "the gradient of L2 is 0 at all parameters")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_gradients_that_are_not_finite(self, value):
        equations, _ = penalized([0.3, 0.2])
        self.refuse(
            [lambda theta: np.where(theta > 0, value, 1.0)],
            equations,
            "gradient of the penalty '<lambda>' is",
        )
        with pytest.raises(ValueError, match="targets"):
            Equations(np.ones((1, 3)), [[1.0, value, 1.0]])
        with pytest.raises(ValueError, match=r"thetas\[0\]"):
            Equations([[1.0, value, 1.0]], np.ones((1, 3)))

    @pytest.mark.parametrize(
        ("penalties", "kind", "message"),
        [
            ([], ValueError, "penalties is empty"),
            ("L2", TypeError, "a list of penalties is needed"),
            (5, TypeError, "a list of penalties is needed"),
            ([3.0], TypeError, r"penalties\[0\]=3\.0 is a float"),
            ([Dropout(0.1)], TypeError, r"Dropout\(rate=0\.1\) has no gradient of the parameters"),
            ([L2(0)], ValueError, "has the gradient 0; a strength such as 1 is needed"),
            ([lambda theta: theta[:2]], ValueError, r"gave a gradient of shape \(2,\); \(12,\) is needed"),
        ],
    )
    def test_no_penalties(self, penalties, kind, message):
        self.refuse(penalties, penalized([0.3, 0.2])[0], message, kind)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"constraint": "positive"}, "constraint='positive' is unknown"),
            ({"constraint": "psd"}, "constraint='psd' needs a single penalty Quadratic"),
            ({"covariance": "HC1"}, "covariance='HC1' is unknown"),
            ({"n_pieces": 7}, "n_pieces=7 of 6 equations"),
            ({"n_pieces": 0}, "n_pieces=0 is too small"),
            ({"identified": "maybe"}, "identified='maybe' is unknown"),
            ({"rtol": 1.0}, "rtol=1.0"),
        ],
    )
    def test_options(self, options, message):
        self.refuse(PENALTIES, penalized([0.3, 0.2])[0], message, **options)

    def test_equations(self):
        self.refuse(PENALTIES, np.ones((2, 3)), "equations is a ndarray; Equations are needed", TypeError)

    def test_not_fitted(self):
        for call in ("summary", "to_frame", "confidence_interval", "bound_"):
            with pytest.raises(ValueError, match="call fit"):
                getattr(GradientMatching(PENALTIES), call)()

    def test_nearly_the_same_gradients_warn(self):
        equations, _ = penalized([0.3, 0.2])

        def almost(theta):
            return theta + 1e-3 * theta**2

        with pytest.warns(DesignWarning, match=r"condition number [\d.e+]+\): L2, almost"):
            GradientMatching([L2(1), almost]).fit(equations)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((np.ones((2, 3)), np.ones((3, 3))), ValueError, "thetas has 2 entries; targets has 3 equations"),
        (
            (np.ones((2, 3)), np.ones((2, 4))),
            ValueError,
            r"thetas\[0\] has shape \(1, 3\); targets has 4 columns",
        ),
        ((5, np.ones((1, 4))), ValueError, "thetas is a int"),
        ((np.ones((2, 3)), np.ones((2, 3)), [1]), ValueError, "groups"),
        ((np.ones((2, 3)), np.ones((2, 3, 1))), ValueError, r"targets has shape \(2, 3, 1\)"),
    ],
)
def test_equations_that_do_not_fit(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Equations(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1.0, 0.0]}, "weights holds 0; positive numbers are needed"),
        ({"weights": [1.0]}, r"weights has shape \(1,\); there are 2 equations"),
        ({"times": [1.0, np.nan]}, "times"),
        ({"shares": [[1.0]]}, "shares needs an array for each of the 2 equations"),
        ({"shares": [[1.0, 1.0], [1.0]]}, r"shares\[0\] has shape \(2,\); \(1,\)"),
        ({"shares": [[-1.0], [1.0]]}, r"shares\[0\] has the least -1"),
        ({"net": MLP(1, ())}, "targets has 3 columns; the network has 2 parameters"),
    ],
)
def test_options_of_equations(options, message):
    with pytest.raises(ValueError, match=message):
        Equations(np.ones((2, 3)), np.ones((2, 3)), **options)


def test_equations_add_up():
    one, two = penalized([1, 2])[0], penalized([1, 2], seed=1)[0]
    both = one + two
    assert (both.n_equations, both.n_groups) == (12, 12)
    assert repr(both) == "Equations(12 equations of 12 parameters, 12 groups)"
    assert math.isclose(both.take([0]).targets[0, 0], one.targets[0, 0])
    with pytest.raises(ValueError, match="of 12 and of 3 parameters"):
        one + Equations(np.ones((2, 3)), np.ones((2, 3)))
