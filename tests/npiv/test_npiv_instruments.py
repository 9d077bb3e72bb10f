"""Instruments and covariates: what is no instrument, how strong they are, and slopes that covariates hide."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore.datasets import make_demand
from rfpcore.npiv import F2BMLD, DeepFeatureIV, InstrumentWarning, KernelIV, ProximalF2BMLD, SieveIV
from rfpcore.npiv._bands import bands
from rfpcore.npiv._data import check_rows
from rfpcore.npiv._linear import LinearStage
from rfpcore.npiv._strength import instrument_strength
from rfpcore.npiv.kernel import MOST_ROWS

FAST = {"max_iter": 40, "n_checkpoints": 4, "random_state": 0}
ESTIMATORS = [
    F2BMLD(**FAST),
    KernelIV(random_state=0),
    SieveIV(n_knots=(3,), random_state=0),
    DeepFeatureIV(
        max_iter=1,
        hidden_layer_sizes_instrument=(4,),
        hidden_layer_sizes_covariates=(4,),
        inner_steps=1,
        inner_steps_covariates=1,
        random_state=0,
    ),
]
NAMES = [type(model).__name__ for model in ESTIMATORS]


def design(n=400, strength=0.8, c=4, seed=0):
    """y = 0.5 x + effects of w + u, where u moves x the other way: X, y, Z, W."""
    random = np.random.default_rng(seed)
    W = random.standard_normal((n, c))
    z = (W[:, 0] + random.standard_normal(n) > 0).astype(float)
    v = random.standard_normal(n)
    x = strength * z + W.sum(axis=1) / 2 + v
    y = 0.5 * x + W[:, 0] - W[:, 1] - 0.5 * v + 0.5 * random.standard_normal(n)
    return x, y, z, W


def two_stages(x, y, z, W):
    """The slope by its normal equations."""
    ones = np.ones(len(y))
    inputs, instruments = np.column_stack([x, ones, W]), np.column_stack([z, ones, W])
    return np.linalg.solve(instruments.T @ inputs, instruments.T @ y)[0]


def partial_f(x, z, W):
    """F of adding z to a regression of x on a constant and W, from two residual sums."""
    base = np.column_stack([np.ones(len(x)), W])
    full = np.column_stack([base, z])
    sums = [np.sum((x - A @ np.linalg.lstsq(A, x, rcond=None)[0]) ** 2) for A in (base, full)]
    tested = full.shape[1] - base.shape[1]
    return (sums[0] - sums[1]) / tested / (sums[1] / (len(x) - full.shape[1]))


@pytest.mark.parametrize("model", [*ESTIMATORS[:3]], ids=NAMES[:3])
def test_covariates_do_not_hide_the_slope(model):
    """Within a quarter of two-stage least squares, where a joint penalty alone leaves a third of it."""
    x, y, z, W = design(1500, strength=0.4)
    assert partial_f(x, z, W) > 10
    wanted = two_stages(x, y, z, W)
    model.fit(x, y, z, covariates=W)
    slope = np.diff(model.predict([-1.0, 1.0], np.zeros((2, 4))))[0] / 2
    assert slope == pytest.approx(wanted, rel=0.25)


def binary_design():
    """A treatment and an instrument of two values: d, y, z, and what Wald says of the effect, which is 1."""
    random = np.random.default_rng(1)
    z = random.integers(0, 2, 800).astype(float)
    u = random.standard_normal(800)
    d = (0.8 * z + u > 0.4).astype(float)
    y = d - u + 0.3 * random.standard_normal(800)
    wald = (y[z == 1].mean() - y[z == 0].mean()) / (d[z == 1].mean() - d[z == 0].mean())
    return d, y, z, wald


@pytest.mark.parametrize("model", ESTIMATORS, ids=NAMES)
def test_binary_treatment_and_instrument_are_walds(model):
    """But for (5 / F)⁴, 4e-5 at this F of 64, of what the flexible part misses."""
    d, y, z, wald = binary_design()
    assert wald == pytest.approx(two_stages(d, y, z, np.empty((800, 0))), rel=1e-9)
    effect = np.diff(model.fit(d, y, z).predict([0.0, 1.0]))[0]
    assert effect == pytest.approx(wald, abs=2e-5)


def test_binary_treatment_is_shrunk_by_kernels_alone():
    d, y, z, wald = binary_design()
    alone = KernelIV(linear_part=False, random_state=0).fit(d, y, z)
    assert np.diff(alone.predict([0.0, 1.0]))[0] < 0.8 * wald


def test_linear_stage_is_two_stage_least_squares_less_what_weak_instruments_take():
    """One instrument: the slope times F⁴ / (F⁴ + 5⁴), with weights as repeated rows."""
    x, y, z, W = design(300, strength=1.0)
    counts = np.random.default_rng(2).integers(0, 3, 300)
    stage = LinearStage(check_rows(x, y, z, W, None, None), counts.astype(float))
    again = np.repeat(np.arange(300), counts)
    slope = two_stages(x[again], y[again], z[again], W[again])
    # Rows drawn twice count as two in sums, not in the degrees of freedom of the F.
    F = partial_f(x[again], z[again], W[again]) * ((counts > 0).sum() - 6) / (len(again) - 6)
    found = stage.fit(y)
    assert found.slopes[0] == pytest.approx(slope * F**4 / (F**4 + 625), rel=1e-9)
    left = y - x * found.slopes[0]
    base = np.column_stack([np.ones(300), W])[again]
    assert_allclose(found.slopes[1:], np.linalg.lstsq(base, left[again], rcond=None)[0][1:], atol=1e-9)


def hidden_share(x, z, W):
    """What covariates do not have of the regression of x on instruments and covariates."""
    ones = np.ones((len(x), 1))

    def explained(columns):
        fitted = columns @ np.linalg.lstsq(columns, x, rcond=None)[0]
        return np.sum((fitted - x.mean()) ** 2)

    of_all = explained(np.column_stack([ones, W, z]))
    return 1 - explained(np.column_stack([ones, W])) / of_all


@pytest.mark.parametrize("strength", [0.05, 0.8, 1.5, 6.0])
def test_linear_part_where_covariates_hide_the_instruments(strength):
    x, y, z, W = design(strength=strength)
    noise = 0.01 * np.random.default_rng(4).standard_normal(400)
    z, x = z + noise, x + strength * noise  # more than two values, which tell a line only
    model = SieveIV(n_knots=(3,), random_state=0)
    if partial_f(x, z, W) < 10:
        with pytest.warns(InstrumentWarning, match="weak"):
            model.fit(x, y, z, covariates=W)
    else:
        model.fit(x, y, z, covariates=W)
    wanted = hidden_share(x, z, W) < 0.5 and partial_f(x, z, W) > 5
    assert model.linear_part_ == wanted == (0.1 < strength < 3)


def test_linear_part_of_no_covariates_and_of_two_values():
    random = np.random.default_rng(0)
    z, v = random.standard_normal((2, 300))
    x, y = z + v, np.sin(z + v) + v
    auto, off, on = (
        KernelIV(linear_part=part, random_state=0).fit(x, y, z) for part in ("auto", False, True)
    )
    assert (auto.linear_part_, off.linear_part_, on.linear_part_) == (False, False, True)
    assert_array_equal(auto.predict(x), off.predict(x))
    assert KernelIV(random_state=0).fit((x > 0) + 1.0, y, z).linear_part_
    assert KernelIV(random_state=0).fit(x, y, z > 0).linear_part_
    with pytest.raises(ValueError, match="linear_part='yes'; 'auto', True or False"):
        KernelIV(linear_part="yes").fit(x, y, z)


def test_linear_part_leaves_demand_alone():
    """There the instrument explains most of what is seen of the price, and h is curved."""
    data = make_demand(1000, confounding=0.5, random_state=100)
    found = [
        KernelIV(linear_part=part, random_state=0).fit(data.X, data.y, data.Z, covariates=data.covariates)
        for part in ("auto", False)
    ]
    assert_array_equal(*(model.predict(data.X_test, data.covariates_test) for model in found))


def test_linear_part_leaves_a_curve_to_what_follows():
    """x²/4 beside covariates that hide the instrument: no slope to speak of, and the curve is found."""
    random = np.random.default_rng(0)
    W = random.standard_normal((800, 4))
    z, v = random.standard_normal((2, 800))
    x = 0.8 * z + W.sum(axis=1) / 2 + v
    y = x**2 / 4 + W[:, 0] - W[:, 1] - v / 2 + random.standard_normal(800) / 2
    model = SieveIV(n_knots=(3,), random_state=0).fit(x, y, z, covariates=W)
    assert model.linear_part_
    grid = np.linspace(-2, 2, 41)
    error = np.mean((model.predict(grid, np.zeros((41, 4))) - grid**2 / 4) ** 2)
    assert error < 0.1 * np.var(grid**2 / 4)


def test_linear_stage_leaves_directions_alone_that_nothing_moves():
    random = np.random.default_rng(0)
    X = random.standard_normal((500, 2))
    z = X[:, 0] + random.standard_normal(500)
    found = LinearStage(check_rows(X, X.sum(axis=1), z, None, None, None), np.ones(500)).fit(X.sum(axis=1))
    assert found.slopes[0] == pytest.approx(1, abs=0.1)
    assert abs(found.slopes[1]) < 0.1


def test_strength_is_the_partial_f_for_every_seed():
    x, y, z, W = design()
    found = [
        SieveIV(n_knots=(3,), random_state=seed).fit(x, y, z, covariates=W).instrument_strength_
        for seed in range(2)
    ]
    assert found[0].f_linear[0] == pytest.approx(partial_f(x, z, W), rel=1e-9)
    assert_array_equal(found[0].f, found[1].f)
    assert found[0].f[0] >= found[0].f_linear[0]


def test_strength_with_groups_and_weights_is_the_sandwich():
    """One instrument: the squared slope over its clustered variance, G / (G - 1), and weighted sums."""
    x, y, z, W = design()
    groups, weights = np.arange(400) // 10, np.random.default_rng(3).uniform(0.5, 2, 400)
    found = instrument_strength(check_rows(x, y, z, W, groups, weights))
    root = np.sqrt(weights / weights.mean())
    full = root[:, None] * np.column_stack([z, np.ones(400), W])
    inverse = np.linalg.inv(full.T @ full)
    slopes = inverse @ full.T @ (root * x)
    scores = full * (root * x - full @ slopes)[:, None]
    sums = np.add.reduceat(scores, np.arange(0, 400, 10))
    variance = (inverse @ (sums.T @ sums) @ inverse)[0, 0] * 40 / 39
    assert found.f_linear[0] == pytest.approx(slopes[0] ** 2 / variance, rel=1e-8)


def test_two_columns_and_what_is_left_of_each():
    """Two instruments for two columns that they move alike: each F alone is large, given the other small."""
    random = np.random.default_rng(0)
    z = random.standard_normal((500, 2))
    X = np.column_stack([z[:, 0], z[:, 0]]) + random.standard_normal((500, 2))
    found = instrument_strength(check_rows(X, X[:, 0], z, None, None, None))
    assert (found.f_linear < 10).all()
    assert instrument_strength(check_rows(z + X, X[:, 0], z, None, None, None)).f_linear.min() > 10


@pytest.mark.parametrize("model", ESTIMATORS, ids=NAMES)
class TestNoInstrument:
    def test_a_covariate_is_none(self, model):
        x, y, z, W = design()
        for none in (W[:, 1], 3 - 2 * W[:, 1], W[:, :2] @ [1, 2], np.exp(W[:, 0])):
            with pytest.raises(ValueError, match="no excluded instrument is left: column 0 of Z"):
                model.fit(x, y, none, covariates=W)
            with pytest.warns(InstrumentWarning, match=r"column 1 of Z is given by the covariates.*1 of 2"):
                model.fit(x, y, np.column_stack([z, none]), covariates=W)

    def test_x_among_the_instruments(self, model):
        x, y, z, W = design()
        for copy in (x, 2 * x + 1, x + W[:, 0], np.exp(x)):
            with pytest.warns(InstrumentWarning, match=r"column 0 of X is given by Z.*ordinary regression"):
                model.fit(x, y, np.column_stack([z, copy]), covariates=W)

    @pytest.mark.filterwarnings("ignore::rfpcore.npiv.InstrumentWarning")
    def test_noise(self, model):
        x, y, _, W = design()
        noise = np.random.default_rng(9).standard_normal(400)
        with pytest.warns(InstrumentWarning, match=r"the instruments are weak.*column 0 of X, F = "):
            model.fit(x, y, noise, covariates=W)
        points = model.predict([-2.0, 0.0, 2.0], np.zeros((3, 4)))
        assert np.abs(np.diff(points)).max() < 6  # two-stage least squares alone may say anything

    @pytest.mark.filterwarnings("ignore::rfpcore.npiv.InstrumentWarning")
    def test_x_that_does_not_vary(self, model):
        x, y, z, W = design()
        with pytest.raises(ValueError, match=r"X is constant \(2 in every row\); nothing can be learnt"):
            model.fit(np.full(400, 2.0), y, z)
        with pytest.warns(InstrumentWarning, match=r"column 1 of X is constant \(2 in every row\)"):
            model.fit(np.column_stack([x, np.full(400, 2.0)]), y, z)
        with pytest.warns(InstrumentWarning, match="column 0 of X is given by the covariates"):
            model.fit(W[:, 0], y, z, covariates=W)

    def test_sizes_whose_squares_are_no_numbers(self, model):
        x, y, z, W = design()
        for arrays, where in (
            ((x, 1e160 * y, z, W), "y has values up to"),
            ((1e300 * x, y, z, W), "column 0 of X has values up to"),
            ((x, y, 1e-200 * z, W), "column 0 of Z has values up to"),
            ((x, y, z, W * [1, 1e120, 1, 1]), "column 1 of covariates has values up to"),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(ValueError, match=f"{where}.*other units"):
                    model.fit(*arrays)


def test_proximal_proxies_are_checked_too():
    random = np.random.default_rng(0)
    u, a, w = random.standard_normal((3, 200))
    with pytest.raises(ValueError, match="no excluded instrument is left"):
        ProximalF2BMLD(**FAST).fit(a, u, outcome_proxy=w + u, treatment_proxy=2 * a)


@pytest.mark.parametrize("model", [ESTIMATORS[0], ESTIMATORS[2]], ids=[NAMES[0], NAMES[2]])
def test_weights_of_any_size(model):
    x, y, z, W = design(strength=2.0)
    with pytest.raises(ValueError, match=r"counts 1 of 400 rows \(row 3; .*at least 2"):
        model.fit(x, y, z, covariates=W, sample_weight=np.arange(400) == 3)
    weights = np.random.default_rng(0).uniform(0.5, 1, 400)
    wanted = model.fit(x, y, z, covariates=W, sample_weight=weights).predict(x[:5], W[:5])
    found = model.fit(x, y, z, covariates=W, sample_weight=1e307 * weights).predict(x[:5], W[:5])
    assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_bands_hold_their_estimate():
    replicates = np.random.default_rng(0).standard_normal((200, 3))
    found = bands(np.array([0.0, 5.0, -7.0]), replicates, 0.95)
    assert (found.lower <= found.estimate).all()
    assert (found.estimate <= found.upper).all()
    assert found.upper[1] == found.uniform_upper[1] == 5
    assert found.lower[2] == found.uniform_lower[2] == -7
    x, y, z, W = design(strength=1.0)
    model = F2BMLD(**FAST).fit(x, y, z, covariates=W)
    of_fit = model.bands([-1.0, 1.0], np.zeros((2, 4)), n_bootstraps=10, random_state=0)
    assert (of_fit.lower <= model.predict([-1.0, 1.0], np.zeros((2, 4)))).all()


def test_sieve_hardly_depends_on_its_seed():
    """One split chose between numbers of knots by chance: a standard deviation of 0.15 over seeds."""
    random = np.random.default_rng(0)
    z, u = random.standard_normal((2, 400))
    x = z + u
    y = np.sin(x) + u + 0.5 * random.standard_normal(400)
    found = [SieveIV(random_state=seed).fit(x, y, z).predict([-1.0, 0.0, 1.0]) for seed in range(6)]
    assert np.std(found, axis=0).max() < 0.08


def test_sieve_takes_the_products_that_rows_left_out_ask_for():
    x, y, z, W = design(400, strength=3.0, c=6)
    many = SieveIV(n_knots=(3,), random_state=0).fit(x, y, z, covariates=W)
    noisy = y + 3 * np.random.default_rng(5).standard_normal(400)
    assert not SieveIV(n_knots=(4,), random_state=0).fit(x, noisy, z, covariates=W[:, :2]).interactions_
    assert not many.interactions_
    crossed = SieveIV(n_knots=(3,), random_state=0).fit(x, y + 3 * x * W[:, 0], z, covariates=W[:, :2])
    assert crossed.interactions_
    # Without products h is a sum: what x adds is the same for all covariates.
    steps = [np.diff(many.predict([-1.0, 1.0], np.full((2, 6), at)))[0] for at in (-1.0, 0.0, 1.0)]
    assert_allclose(steps, steps[0], rtol=1e-9)
    with pytest.raises(ValueError, match="interactions='some'"):
        SieveIV(interactions="some").fit(x, y, z)


def test_kernels_of_too_many_rows_are_refused():
    z, u = np.random.default_rng(0).standard_normal((2, MOST_ROWS + 1))
    with pytest.raises(ValueError, match=f"{MOST_ROWS + 1} rows are given; KernelIV takes at most"):
        KernelIV(linear_part=False).fit(z + u, z, z)


def test_two_stage_least_squares_names_the_column():
    pytest.importorskip("linearmodels", reason="the extra rfpcore[iv] is not installed")
    from rfpcore.npiv import TwoStageLeastSquares

    x, y, z, W = design(strength=2.0)
    for redundant in (np.ones(400), W[:, 0] - W[:, 1]):
        with pytest.warns(
            InstrumentWarning, match="left out of covariates: column 4, linear in the constant"
        ):
            TwoStageLeastSquares().fit(x, y, z, covariates=np.column_stack([W, redundant]))
    with pytest.raises(ValueError, match="no excluded instrument is left"):
        TwoStageLeastSquares().fit(x, y, W[:, 0], covariates=W)
    with (
        pytest.warns(InstrumentWarning),
        pytest.raises(ValueError, match=r"1 of 1 instruments say anything beyond .* but X has 2 columns"),
    ):
        TwoStageLeastSquares().fit(np.column_stack([x, x**2]), y, z, covariates=W)
    noise = np.random.default_rng(1).standard_normal(400)
    with pytest.warns(InstrumentWarning, match="weak"):
        TwoStageLeastSquares().fit(x, y, noise, covariates=W)
