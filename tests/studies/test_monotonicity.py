"""The test of monotone curves beside its definition, its size, its power, and what it says without noise."""

import re

import numpy as np
import pytest
from scipy.stats import kstest

from rfpcore.studies import holm, monotonicity, monotonicity_test

VALLEY = np.array([0.35, 0.25, 0.18, 0.17, 0.19, 0.22, 0.24, 0.22, 0.19, 0.17, 0.16, 0.15])


def noisy(mean, n_seeds, random, deviation=0.02, seed_effect=0.015):
    """Curves of seeds about a mean curve."""
    noise = deviation * random.standard_normal((n_seeds, len(mean)))
    return mean + seed_effect * random.standard_normal((n_seeds, 1)) + noise


def by_hand(curves):
    """The statistic in loops over pairs, with the residuals of a two-way layout."""
    seeds, points = curves.shape
    mean = curves.mean(axis=0)
    rise = max(mean[j] - mean[i] for i in range(points) for j in range(i + 1, points))
    fitted = mean[None] + curves.mean(axis=1)[:, None] - curves.mean()
    variance = ((curves - fitted) ** 2).sum() / ((seeds - 1) * (points - 1))
    return rise / np.sqrt(2 * variance / seeds)


@pytest.mark.parametrize("shape", [(2, 2), (3, 7), (10, 12)])
def test_statistic_is_its_definition(shape):
    random = np.random.default_rng(shape[0])
    for curves in random.standard_normal((20, *shape)) - np.linspace(0, 3, shape[1]):
        test = monotonicity_test(curves, n_draws=10)
        assert test.statistic == pytest.approx(by_hand(curves), rel=1e-9)
        first, last = test.pair
        assert first < last
        mean = curves.mean(axis=0)
        assert test.largest_rise == pytest.approx(mean[last] - mean[first], abs=1e-12)
        assert test.n_seeds == shape[0]


@pytest.mark.parametrize("variances", [np.ones(6), np.array([4.0, 2, 1, 0.5, 0.1, 0.02])])
def test_table_is_what_simulated_curves_give(variances):
    """Curves drawn seed by seed, against the two numbers a point that the table draws."""
    random = np.random.default_rng(0)
    curves = random.standard_normal((4000, 4, 6)) * np.sqrt(variances) + 3 * random.standard_normal(
        (4000, 4, 1)
    )
    simulated = [by_hand(each) for each in curves]
    table = monotonicity._table(lambda random: variances, 4, 6, 20_000, 1)
    assert kstest(simulated, table).pvalue > 0.01
    assert (np.diff(table) >= 0).all()


def test_critical_values_are_those_of_the_pilot():
    """12 points: 3.23 for 5 seeds, 3.17 for 10, from an independent simulation to about 0.03."""
    for seeds, value in ((5, 3.23), (10, 3.17)):
        table = monotonicity._flat_table(seeds, 12, 100_000, 0)
        assert np.quantile(table, 0.95) == pytest.approx(value, abs=0.04)


@pytest.mark.parametrize("reference", ["flat", "heteroscedastic"])
def test_size_on_a_flat_curve_and_less_on_one_that_falls(reference):
    """Of 150 flat curves 5 % to a standard error of 1.8 %; with variances drawn less, as they are equal."""
    random = np.random.default_rng(1)

    def share(mean, count):
        tests = (
            monotonicity_test(noisy(mean, 5, random), reference=reference, n_draws=999) for _ in range(count)
        )
        return np.mean([test.p_value <= 0.05 for test in tests])

    assert share(np.full(12, 0.2), 150) < 0.10
    assert share(np.linspace(0.5, 0.1, 12), 50) == 0


def test_own_variances_keep_the_size_where_the_flat_table_does_not():
    """One loud point among twelve: rises from and to it are larger than the pooled error says."""
    random = np.random.default_rng(2)
    scale = np.where(np.arange(12) == 5, 0.03, 0.01)
    curves = 0.2 + random.standard_normal((200, 10, 12)) * scale
    rejected = {
        reference: np.mean(
            [monotonicity_test(each, reference=reference, n_draws=999).p_value <= 0.05 for each in curves]
        )
        for reference in ("flat", "heteroscedastic")
    }
    assert rejected["flat"] > 0.10
    assert rejected["heteroscedastic"] < 0.09


def test_a_peak_is_found_and_its_rise_estimated():
    random = np.random.default_rng(3)
    tests = [monotonicity_test(noisy(VALLEY, 5, random), n_draws=999) for _ in range(100)]
    assert np.mean([test.p_value <= 0.05 for test in tests]) > 0.95
    rises = np.array([test.rise for test in tests])
    naive = np.mean([test.largest_rise for test in tests])
    assert 0.055 < rises.mean() < 0.07 < naive  # where seeds choose other pairs they find a smaller rise
    assert np.mean([test.pair == (3, 6) for test in tests]) > 0.5


def test_cross_fitted_rise_of_a_flat_curve_is_nothing():
    """The largest rise of the mean curve is not: 0.025 here."""
    random = np.random.default_rng(4)
    tests = [monotonicity_test(noisy(np.full(12, 0.2), 5, random), n_draws=9) for _ in range(400)]
    rises = np.array([test.rise for test in tests])
    assert abs(rises.mean()) < 3 * rises.std() / 20
    assert np.mean([test.largest_rise for test in tests]) > 0.02


def test_cross_fitted_rise_by_hand():
    curves = np.array([[0.0, 1.0, 0.0], [0.0, 2.0, 5.0], [1.0, 2.0, 0.0]])
    # The others of seed 0 rise most from 0 to 2, those of seed 1 from 0 to 1, those of seed 2 from 0 to 2.
    test = monotonicity_test(curves, n_draws=9)
    rises = np.array([0.0 - 0.0, 2.0 - 0.0, 0.0 - 1.0])
    assert test.rise == pytest.approx(rises.mean())
    assert test.rise_std_error == pytest.approx(rises.std(ddof=1) / np.sqrt(3))


def test_nearest_monotone_curve_is_the_isotonic_fit():
    from sklearn.isotonic import isotonic_regression

    random = np.random.default_rng(5)
    for curve in [*random.standard_normal((50, 9)), np.arange(4.0), -np.arange(4.0), np.zeros(3)]:
        test = monotonicity_test(np.stack([curve, curve]))
        np.testing.assert_allclose(test.monotone, isotonic_regression(curve, increasing=False), atol=1e-12)
        np.testing.assert_allclose(test.excess, curve - test.monotone, atol=1e-12)


@pytest.mark.parametrize(
    "curves",
    [np.full((6, 12), 0.898), np.tile([0.3, 0.1, 0.4], (5, 1)), np.zeros((2, 2)), np.full((3, 7), 0.1) / 3],
    ids=["same", "rises", "zero", "thirds"],
)
@pytest.mark.parametrize("seed_effect", [0.0, 0.25])
def test_curves_without_noise_are_not_judged(curves, seed_effect):
    """Seeds that differ by nothing, or by the same number at every point."""
    test = monotonicity_test(curves + seed_effect * np.arange(len(curves))[:, None])
    assert test.p_value == 1.0
    assert test.statistic == 0.0


def test_units_do_not_matter():
    curves = noisy(VALLEY, 5, np.random.default_rng(6))
    one = monotonicity_test(curves)
    for factor in (1e-250, 1e99):
        other = monotonicity_test(curves * factor)
        assert other.statistic == pytest.approx(one.statistic, rel=1e-9)
        assert other.p_value == pytest.approx(one.p_value)
    assert monotonicity_test(curves + 5).statistic == pytest.approx(one.statistic, rel=1e-9)


def test_draws_are_seeded_and_p_is_never_zero():
    curves = noisy(10 * VALLEY, 5, np.random.default_rng(7), deviation=0.001)
    assert monotonicity_test(curves, n_draws=99).p_value == 0.01
    curves = np.random.default_rng(8).standard_normal((5, 6))
    p = [monotonicity_test(curves, n_draws=500, random_state=seed).p_value for seed in (0, 0, 1)]
    assert p[0] == p[1] != p[2]


def test_table_of_the_flat_reference_is_kept():
    curves = np.random.default_rng(9).standard_normal((4, 5))
    monotonicity_test(curves, reference="flat", n_draws=1234)
    before = monotonicity._flat_table.cache_info().hits
    monotonicity_test(curves[::-1], reference="flat", n_draws=1234)
    assert monotonicity._flat_table.cache_info().hits == before + 1


def test_holm_beside_its_definition():
    p = np.random.default_rng(0).uniform(size=30) ** 3
    adjusted = holm(p)
    order = np.argsort(p)
    for level in np.linspace(0.001, 0.999, 57):
        rejected = set()
        for rank, i in enumerate(order):
            if p[i] > level / (30 - rank):
                break
            rejected.add(int(i))
        assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: monotonicity_test([[1.0, 2.0]]), "curves has 1 seeds; at least 2"),
        (lambda: monotonicity_test([[1.0], [2.0]]), "curves has 1 points; at least 2"),
        (lambda: monotonicity_test(np.ones((2, 1001))), "curves has 1001 points; at most 1000"),
        (lambda: monotonicity_test([1.0, 2.0]), "curves has shape (2,); (seeds, points)"),
        (
            lambda: monotonicity_test([[1.0, 2.0], [np.nan, 1.0]]),
            "1 of its 4 values is not; the first is nan in row 1, column 0",
        ),
        (lambda: monotonicity_test(np.eye(2), reference="normal"), "reference='normal' is unknown"),
        (lambda: monotonicity_test(np.eye(2), n_draws=0), "n_draws=0 is too small"),
        (lambda: holm([]), "p_values has shape (0,)"),
        (lambda: holm([0.5, 1.5]), "p_values go from 0.5 to 1.5"),
    ],
    ids=range(9),
)
def test_bad_input_is_refused_with_the_numbers(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
