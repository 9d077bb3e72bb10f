"""Sensitivity to trends that differ: the authors' numbers, linear programs, and a user's questions.

The example is Medicaid's expansion (Rambachan and Roth's HonestDiD, README): effects on the share insured,
of states that expanded it in 2014, against 2013, by least squares with state and year effects and errors by
state.
"""

import functools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import linprog

import rfpcore
from rfpcore.causal import StaggeredEffect
from rfpcore.causal._relative_magnitudes import EventStudy, least_favourable, truncated_quantile
from rfpcore.causal._smoothness import folded_quantile, frontier, smooth_interval
from rfpcore.causal.sensitivity import around_reference

pytestmark = pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
YEARS = [2008, 2009, 2010, 2011, 2012, 2014, 2015]
ESTIMATES = np.array(
    [
        -0.00528535453,
        -0.0112973246,
        -0.00267599181,
        -0.00141931225,
        0.000339663519,
        0.0464468542,
        0.0692061755,
    ]
)
COVARIANCE = np.array(
    [
        [
            7.48848364e-05,
            6.0398741e-05,
            4.44461982e-05,
            3.38576471e-05,
            4.32801125e-05,
            4.76588048e-05,
            2.4251287e-05,
        ],
        [
            6.0398741e-05,
            7.26650062e-05,
            3.78933022e-05,
            2.86657803e-05,
            4.54332063e-05,
            4.42885012e-05,
            2.82465504e-05,
        ],
        [
            4.44461982e-05,
            3.78933022e-05,
            5.05205194e-05,
            2.67367943e-05,
            2.77819357e-05,
            3.06064411e-05,
            9.63753388e-06,
        ],
        [
            3.38576471e-05,
            2.86657803e-05,
            2.67367943e-05,
            4.00322203e-05,
            2.41285998e-05,
            2.38086821e-05,
            2.92387814e-06,
        ],
        [
            4.32801125e-05,
            4.54332063e-05,
            2.77819357e-05,
            2.41285998e-05,
            5.46266221e-05,
            3.68253105e-05,
            9.7229475e-06,
        ],
        [
            4.76588048e-05,
            4.42885012e-05,
            3.06064411e-05,
            2.38086821e-05,
            3.68253105e-05,
            8.37566882e-05,
            6.32139796e-05,
        ],
        [
            2.4251287e-05,
            2.82465504e-05,
            9.63753388e-06,
            2.92387814e-06,
            9.7229475e-06,
            6.32139796e-05,
            0.000107123523,
        ],
    ]
)
# What HonestDiD's createSensitivityResults_relativeMagnitudes found on its grid of 1000 values, in one of the
# runs stored with it. Those of other runs are about a step of the grid away.
PUBLISHED = {
    0.0: (0.028766, 0.064310),
    0.5: (0.024002, 0.067242),
    1.0: (0.017040, 0.072006),
    1.5: (0.008245, 0.079701),
    2.0: (-0.000916, 0.088129),
}


def medicaid(*weights):
    return EventStudy(ESTIMATES, COVARIANCE, 5, np.array(weights, float))


@pytest.mark.parametrize("m_bar", PUBLISHED)
def test_the_authors_numbers(m_bar):
    """To the six digits that are known of them, where the test is asked of the same values."""
    study = medicaid(1, 0)
    error = study.target[1]
    grid = np.linspace(-20 * error, 20 * error, 1000)
    accepted = grid[np.any([part.accepts(grid) for part in study.parts(m_bar, 0.05)], axis=0)]
    assert (round(accepted.min(), 6), round(accepted.max(), 6)) == PUBLISHED[m_bar]
    low, high = study.interval(m_bar, 0.95)
    step = grid[1] - grid[0]
    assert accepted.min() - step <= low <= accepted.min()
    assert accepted.max() <= high <= accepted.max() + step


def rows_by_hand(study, m_bar, change, sign):
    """Inequalities of the changes of δ, one by one."""
    K, L = study.n_before, len(study.weights)
    at = [*range(K), None, *range(K, K + L)]  # no column is the reference

    def step(t):
        row = np.zeros(K + L)
        if at[t + 1] is not None:
            row[at[t + 1]] += 1
        if at[t] is not None:
            row[at[t]] -= 1
        return row

    bound = m_bar * sign * step(change)
    return np.array([s * step(t) - bound for s in (1, -1) for t in range(K, K + L)])


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (1.0, -1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("m_bar", [0.5, 2.0])
def test_vertices_are_those_of_the_linear_program(weights, m_bar):
    """The statistic: min η with A b - θ a - X x ≤ η sd, over η and the other effects x."""
    study = medicaid(*weights)
    random = np.random.default_rng(0)
    for i, part in enumerate(study.parts(m_bar, 0.05)):
        A = rows_by_hand(study, m_bar, i // 2, (1, -1)[i % 2])
        sd = np.sqrt(np.diag(A @ COVARIANCE @ A.T))
        other = np.array([-weights[1], weights[0]])  # l and this one span the effects
        inverse = np.linalg.inv(np.array([weights, other]))
        a, X = (A[:, 5:] @ inverse).T
        for theta in random.normal(0.05, 0.05, 3):
            found = linprog(
                [1.0, 0.0],
                A_ub=-np.column_stack([sd, X]),
                b_ub=-(A @ ESTIMATES - a * theta),
                bounds=[(None, None)] * 2,
            )
            assert_allclose((part.middle - part.slope * theta).max(), found.fun, atol=1e-7)


def test_one_period_since():
    """Two inequalities, ±(τ - θ) ≤ M̄ v'δ, of which each has its standard deviation."""
    study = EventStudy(ESTIMATES[3:6], COVARIANCE[3:6, 3:6], 2, np.array([1.0]))
    for i, part in enumerate(study.parts(1.0, 0.05)):
        A = rows_by_hand(study, 1.0, i // 2, (1, -1)[i % 2])
        sd = np.sqrt(np.diag(A @ study.covariance @ A.T))
        assert_allclose(part.middle, (A @ study.estimates) / sd)
        assert_allclose(part.covariance, A @ study.covariance @ A.T / np.outer(sd, sd))


def test_the_first_stage_is_a_quantile():
    random = np.random.default_rng(0)
    root = random.standard_normal((4, 2))
    found = least_favourable(root @ root.T, 0.95)
    draws = (random.standard_normal((400_000, 2)) @ root.T).max(axis=1)
    # Three standard errors of a share of 400,000 draws.
    assert_allclose(np.mean(draws <= found), 0.95, atol=3 * math.sqrt(0.95 * 0.05 / 400_000))
    # |Z| of one variable: the normal distribution's quantile.
    assert_allclose(
        least_favourable(np.array([[1.0, -1.0], [-1.0, 1.0]]), 0.95), stats.norm.ppf(0.975), rtol=1e-4
    )


def test_quantiles_of_the_truncated_normal():
    low, high = np.array([-np.inf, -1.0, 0.5, 5.0]), np.array([np.inf, 2.0, np.inf, 5.5])
    expected = stats.truncnorm.ppf(0.9, low, high)
    assert_allclose(truncated_quantile(0.9, low, high), expected, rtol=1e-9)
    far = truncated_quantile(0.9, np.array([60.0]), np.array([np.inf]))
    assert_allclose(far, 60 + math.log(10) / 60, rtol=1e-5)  # the tail is exponential there


def test_a_wider_restriction_has_a_wider_set():
    study = medicaid(0.5, 0.5)
    ends = np.array([study.interval(m, 0.95) for m in (0, 0.5, 1, 2, 4, 50)])
    assert (np.diff(ends[:, 0]) < 0).all()
    assert (np.diff(ends[:, 1]) > 0).all()


def test_units_do_not_matter():
    large = EventStudy(1e9 * ESTIMATES, 1e18 * COVARIANCE, 5, np.array([1.0, 0.0]))
    assert_allclose(large.interval(1.0, 0.95), 1e9 * np.array(medicaid(1, 0).interval(1.0, 0.95)), rtol=1e-6)


def test_it_covers_the_effect():
    """With the worst trend that M̄ = 1 allows, in 200 draws: 95 % give or take three errors."""
    random, effect = np.random.default_rng(0), 0.05
    trend = 0.01 * np.array([-5, -4, -3, -2, -1, 1, 2])  # the change since adoption is that before it
    root = np.linalg.cholesky(COVARIANCE)
    truth = trend + np.array([0, 0, 0, 0, 0, effect, effect])
    covered = []
    for _ in range(200):
        study = EventStudy(truth + root @ random.standard_normal(7), COVARIANCE, 5, np.array([1.0, 0.0]))
        covered.append(any(part.accepts(np.array([effect]))[0] for part in study.parts(1.0, 0.05)))
    assert np.mean(covered) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200)


def panel(n_clusters=40, **options):
    groups, time = np.repeat(np.arange(n_clusters), 6), np.tile(np.arange(2000, 2006), n_clusters)
    treated = (groups % 2 == 1) & (time >= 2003)
    y = groups + 2.0 * treated + 0.5 * np.random.default_rng(0).standard_normal(len(groups))
    options = {"base_period": "universal"} | options
    return StaggeredEffect(**options).fit(np.empty((len(y), 0)), y, treated, groups, time)


def test_what_a_user_gets():
    model = panel()
    found = model.sensitivity([0.5, 1.0])
    effects = dict(zip(model.event_times(), model.aggregate("dynamic"), strict=True))
    chosen = [-3, -2, 0, 1, 2]
    order = [model.event_times().index(time) for time in chosen]
    V = model.vcov("dynamic")[np.ix_(order, order)]
    study = EventStudy(np.array([effects[t].estimate for t in chosen]), V, 2, np.array([1.0, 0, 0]))
    for m, low, high in zip(found.m_bar, found.low, found.high, strict=True):
        assert (low, high) == study.interval(m, 0.95)
    half = stats.norm.ppf(0.975) * effects[0].std_error
    assert_allclose(found.interval, [effects[0].estimate - half, effects[0].estimate + half])
    assert found.to_frame().columns.tolist() == ["m_bar", "ci_low", "ci_high"]
    assert study.interval(found.breakdown, 0.95)[0] > 0
    assert study.interval(found.breakdown + 0.001, 0.95)[0] < 0


def test_means_and_later_effects():
    model = panel()
    mean, last = model.sensitivity(1.0, event_time=None), model.sensitivity(1.0, event_time=2)
    assert mean.name == "mean effect since adoption"
    assert last.name == "effect at event time 2"
    expected = [
        e.estimate for e, t in zip(model.aggregate("dynamic"), model.event_times(), strict=True) if t >= 0
    ]
    assert_allclose(mean.estimate, np.mean(expected))
    assert last.estimate == expected[2]
    assert last.high[0] - last.low[0] > mean.high[0] - mean.low[0]


def test_files_know_it(tmp_path):
    model = panel()
    model.save(tmp_path / "effect")
    loaded = rfpcore.load(tmp_path / "effect")
    assert loaded.sensitivity(1.0).low == model.sensitivity(1.0).low


def test_misuse():
    model = panel()
    for arguments, message in {
        ("event_time", 7): "event_time=7; there are effects with standard errors.* at 0, 1, 2",
        ("m_bar", -1.0): "m_bar=-1",
        ("m_bar", ()): "m_bar is empty",
        ("m_bar", (1.0, 5000.0)): "m_bar=5000; at most 1000",
        ("level", 1.0): "level=1",
    }.items():
        with pytest.raises(ValueError, match=message):
            model.sensitivity(**dict([arguments]))
    with pytest.raises(ValueError, match="base_period='varying'; sensitivity needs"):
        panel(base_period="varying").sensitivity()
    with pytest.raises(TypeError, match="m_bar"):
        model.sensitivity("one")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([-3, -2, 0, 1], ([0, 1], [2, 3], -1)),
        ([-6, -4, 0, 2], ([0, 1], [2, 3], -2)),
        ([-4, -2, 0, 1], ([1], [2, 3], -1)),  # a gap at -3
        ([-2, 0], ([0], [1], -1)),
        ([0, 1, 3], ([], [0, 1], -1)),
    ],
)
def test_effects_around_the_reference(times, expected):
    *chosen, reference = expected
    assert around_reference([float(t) for t in times], np.ones(len(times)), reference) == tuple(chosen)
    unknown = np.ones(len(times))
    unknown[0] = np.nan
    assert 0 not in around_reference([float(t) for t in times], unknown, reference)[0]


def test_the_figure_has_its_intervals():
    pytest.importorskip("matplotlib").use("Agg")
    found = panel().sensitivity([0.5, 1.0])
    ax = found.plot().ax_
    parallel, robust = ax.collections
    assert_allclose(parallel.get_segments()[0][:, 1], found.interval)
    assert_allclose(
        [segment[:, 1] for segment in robust.get_segments()], np.column_stack([found.low, found.high])
    )


# Of "smoothness", by M: HonestDiD's README, in three digits, whose quantiles come from 10^6 normal draws, so
# that lengths are known to 3e-5 here; and moderndid 0.2.0, which solves the convex programs by cvxpy.
SMOOTH = {
    0.0: (0.0259, 0.0607),
    0.01: (0.0132, 0.0787),
    0.02: (0.00286, 0.0907),
    0.03: (-0.00714, 0.101),
    0.04: (-0.0171, 0.111),
    0.05: (-0.0271, 0.121),
}
SOLVED = {
    (1.0, 0.0): {
        0.0: (0.0259673060, 0.0607111738),
        0.005: (0.0202555313, 0.0705812454),
        0.01: (0.0131748768, 0.0786843557),
        0.02: (0.0028343728, 0.0907386597),
        0.05: (-0.0271648549, 0.1207378874),
    },
    (0.5, 0.5): {
        0.0: (0.0371224273, 0.0747049079),
        0.005: (0.0247860843, 0.0885761673),
        0.01: (0.0119569650, 0.1024476827),
        0.02: (-0.0087945741, 0.1254665911),
        0.05: (-0.0687945983, 0.1854666152),
    },
}


@pytest.mark.parametrize("m", SMOOTH)
def test_the_authors_smoothness(m):
    study = medicaid(1, 0)
    found = smooth_interval(study, frontier(study), m, 0.95)
    for end, published in zip(found, SMOOTH[m], strict=True):
        digits = 10.0 ** (math.floor(math.log10(abs(published))) - 2)
        assert abs(end - published) <= 3e-5 + digits / 2


@pytest.mark.parametrize("weights", SOLVED)
def test_smoothness_of_a_convex_solver(weights):
    """Which finds the length to 1e-8; where the optimum is flat, the centre to 5e-6."""
    study = medicaid(*weights)
    path = frontier(study)
    for m, (low, high) in SOLVED[weights].items():
        found = smooth_interval(study, path, m, 0.95)
        assert_allclose(found, (low, high), atol=6e-6)
        length = found[1] - found[0]
        assert -1e-7 < length - (high - low) < 1e-9


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (1.0, -2.0)])
def test_worst_bias_of_linear_programs(weights):
    """Differences in trends with |second difference| at most 1, and 0 in the reference period."""
    study = medicaid(*weights)
    path = frontier(study)
    bends = np.diff(np.eye(8), 2, axis=0)
    at = np.delete(np.arange(8), 5)
    for v, bias in zip(path.knots, path.biases, strict=True):
        objective = np.zeros(8)
        objective[at] = v
        found = linprog(
            -objective,
            A_ub=np.vstack([bends, -bends]),
            b_ub=np.ones(12),
            A_eq=[np.eye(8)[5]],
            b_eq=[0.0],
            bounds=[(None, None)] * 8,
        )
        assert_allclose(-found.fun, bias, rtol=1e-7)
        assert_allclose(v[5:], weights, atol=1e-12)


def test_no_linear_estimator_is_shorter():
    """Random steps away from it, each without a slope."""
    study, random = medicaid(1, 0), np.random.default_rng(0)
    path = frontier(study)
    best = path.shortest(0.004, 0.05)
    lines = np.maximum(np.subtract.outer(np.arange(-4, 1), np.arange(-5, 0)), 0)  # after period k: t < k

    def half(v):
        bias = np.abs(lines @ v[:5]).sum()  # nothing bends before the first effect since adoption
        return folded_quantile(0.004 * bias, math.sqrt(v @ COVARIANCE @ v), 0.95)

    shortest = half(best.weights)
    assert_allclose(shortest, folded_quantile(0.004 * best.bias, best.error, 0.95), rtol=1e-12)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(200):
            step = random.standard_normal(5)
            step[-1] = -(step[:4] @ np.arange(5, 1, -1))  # no slope
            assert half(best.weights + size * np.append(step, [0, 0])) > shortest


@pytest.mark.parametrize(("mean", "error"), [(0.0, 1.0), (0.3, 2.0), (-50.0, 0.1)])
def test_folded_quantiles(mean, error):
    q = folded_quantile(mean, error, 0.95)
    assert_allclose(stats.norm.cdf(q, mean, error) - stats.norm.cdf(-q, mean, error), 0.95, rtol=1e-12)
    assert folded_quantile(mean, 0.0, 0.95) == abs(mean)


def test_smoothness_of_a_model():
    """A line before adoption that goes on is taken off; columns and axis name what M is."""
    random = np.random.default_rng(0)
    groups, time = np.repeat(np.arange(80), 7), np.tile(np.arange(7), 80)
    adopts = groups % 2 == 0
    y = 1.0 * (adopts & (time >= 4)) + 0.5 * adopts * time + 0.3 * random.standard_normal(560)
    model = StaggeredEffect(base_period="universal").fit(
        np.empty((560, 0)), y, adopts & (time >= 4), groups, time
    )
    found = model.smoothness_sensitivity([0.0, 0.2])
    assert model.effects_[0].estimate > 1.4
    assert found.low[0] < 1.0 < found.high[0] < 1.4
    assert found.low[1] < found.low[0] < found.high[0] < found.high[1]
    ends = smoothness_at(model, found.breakdown * 0.999), smoothness_at(model, found.breakdown * 1.01)
    assert ends[0] > 0 > ends[1]
    assert found.restriction == "smoothness"
    pytest.importorskip("pandas")
    assert list(found.to_frame()) == ["m", "ci_low", "ci_high"]
    with pytest.raises(ValueError, match="m=-1"):
        model.smoothness_sensitivity(-1)
    few = groups < 6
    model.fit(np.empty((42, 0)), y[few], (adopts & (time >= 4))[few], groups[few], time[few])
    with pytest.raises(ValueError, match="too few clusters for so many periods"):
        model.smoothness_sensitivity(0.1)


def smoothness_at(model, m):
    return model.smoothness_sensitivity(m).low[0]


@functools.cache
def sets_of_steps(step, kind):
    """Confidence sets where periods are a step apart."""
    groups, time = np.repeat(np.arange(40), 8), np.tile(np.arange(8), 40)
    treated = (groups % 2 == 1) & (time >= 4)
    y = groups + 2.0 * treated + 0.5 * np.random.default_rng(0).standard_normal(len(groups))
    model = StaggeredEffect(base_period="universal")
    model.fit(np.empty((len(y), 0)), y, treated, groups, (1990 + step * time).astype(kind))
    each = [model.sensitivity(1.0, event_time=time) for time in (2 * step, None)]
    smooth = model.smoothness_sensitivity(0.1, event_time=3 * step).interval
    return [*((own.low[0], own.high[0]) for own in each), smooth]


@pytest.mark.parametrize(("unit", "kind"), [(1 / 12, "f8"), (0.1, "f8"), (1 / 12, "f4"), (1 / 3, "f4")])
def test_periods_that_are_fractions(unit, kind):
    """Multiples of a rounded twelfth are no rounded multiples of a twelfth, and no gaps either."""
    assert_allclose(sets_of_steps(unit, kind), sets_of_steps(1, "i8"), rtol=1e-9)


def test_periods_at_uneven_distances(tmp_path):
    """The reference is the period before adoption, however far that is; sets are of equal distances."""
    years = np.array([1990, 1995, 2000, 2005, 2006, 2007, 2010])

    def fitted(starts):
        groups, time = np.repeat(np.arange(40), len(years)), np.tile(years, 40)
        start = np.where(groups % 2 == 1, np.array(starts)[groups // 2 % len(starts)], 9999)
        y = groups + (time >= start) + 0.5 * np.random.default_rng(0).standard_normal(len(groups))
        model = StaggeredEffect(base_period="universal")
        model.fit(np.empty((len(y), 0)), y, time >= start, groups, time).save(tmp_path / "model.safetensors")
        return model, rfpcore.load(tmp_path / "model.safetensors")

    for model in fitted([2005]):
        assert model._reference() == -5
        with pytest.raises(ValueError, match=r"reference is 5 before adoption, but .* at event time 1"):
            model.sensitivity(1.0)
    for model in fitted([2005, 2007]):
        assert model._reference() is None
        with pytest.raises(
            ValueError, match="different times before adoption, -5, -1; sensitivity needs one"
        ):
            model.smoothness_sensitivity(0.1)
