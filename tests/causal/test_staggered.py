"""Group-time effects against means by hand, their averages by loops."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, Ridge

from rfpcore.causal import StaggeredEffect
from rfpcore.exceptions import DesignWarning

G, T = 16, 6
YEARS = 2000 + np.arange(T)
START = np.array([2002, 2004, 9999, 9999])[np.arange(G) % 4]  # four clusters each, eight never
random = np.random.default_rng(0)
TABLE = random.standard_normal((G, T)).cumsum(axis=1) + (np.arange(G) % 5)[:, None]
TABLE += np.maximum(0, YEARS - START[:, None] + 1)
CLUSTER, YEAR = np.repeat(np.arange(G), T), np.tile(YEARS, G)
TREATMENT = (START[CLUSTER] <= YEAR).astype(int)
NONE = np.empty((G * T, 0))
LONG = (NONE, TABLE.ravel(), TREATMENT, CLUSTER, YEAR)


def fitted(data=LONG, **params):
    return StaggeredEffect(**params).fit(*data)


def att(g, t, keep, comparison="not-yet", base_period="varying"):
    """The effect in year t on those who adopt in g: changes of means, from the clusters kept."""
    base = g - 1 if t >= g or base_period == "universal" else t - 1
    change = TABLE[:, t - 2000] - TABLE[:, base - 2000]
    control = START == 9999 if comparison == "never" else max(t, base) < START
    control &= keep & (g != START)
    return change[keep & (g == START)].mean() - change[control].mean()


def averages(keep, **options):
    """Overall, then by event time, each cell weighing as much as its cohort."""
    cells = {}
    for g in (2002, 2004):
        for t in YEARS[1:]:
            if not (options.get("base_period") == "universal" and t == g - 1):
                cells[g, t] = att(g, t, keep, **options), np.sum(keep & (g == START))
    if options.get("base_period") == "universal":
        cells |= {
            (g, 2000): (att(g, 2000, keep, **options), np.sum(keep & (g == START))) for g in (2002, 2004)
        }

    def mean(chosen):
        values, weights = np.array([cells[c] for c in chosen]).T
        return np.average(values, weights=weights)

    events = sorted({t - g for g, t in cells})
    return [mean([c for c in cells if c[1] >= c[0]])] + [
        mean([c for c in cells if c[1] - c[0] == e]) for e in events
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"comparison": "never"}, {"base_period": "universal"}],
    ids=["default", "never", "universal"],
)
def test_averages_and_jackknife_by_loops(options):
    model = fitted(**options)
    everything = np.ones(G, bool)
    assert_allclose([e.estimate for e in model.effects_], averages(everything, **options), rtol=1e-9)
    without = [averages(np.arange(G) != c, **options) for c in range(G)]
    for effect, draws in zip(model.effects_, np.array(without).T, strict=True):
        assert_allclose(effect.draws, draws, rtol=1e-9)
        strata = [draws[START == 9999], draws[START < 9999]]
        assert_allclose(effect.std_error, np.sqrt(sum((len(a) - 1) * a.var() for a in strata)), rtol=1e-9)


def test_groups_periods_and_cells():
    model = fitted()
    keep = np.ones(G, bool)
    by_group = {e.name: e.estimate for e in model.aggregate("group")}
    assert_allclose(by_group["adopted 2004"], np.mean([att(2004, t, keep) for t in (2004, 2005)]), rtol=1e-9)
    by_period = {e.name: e.estimate for e in model.aggregate("calendar")}
    assert_allclose(by_period["period 2005"], np.mean([att(g, 2005, keep) for g in (2002, 2004)]), rtol=1e-9)
    cells = {e.name: e.estimate for e in model.aggregate("cells")}
    assert_allclose(cells["adopted 2002, period 2003"], att(2002, 2003, keep), rtol=1e-9)
    assert model.event_times() == [-3, -2, -1, 0, 1, 2, 3]
    assert model.to_frame(by="calendar").index.tolist() == [f"period {t}" for t in range(2002, 2006)]
    assert model.adoption_.tolist()[:3] == [2002, 2004, None]
    assert "Adopting clusters:" in model.summary()


def overall(keep, by):
    """Equal weights of event times and periods; cohorts by their clusters."""
    cells = {(g, t): att(g, t, keep) for g in (2002, 2004) for t in range(g, 2006)}
    size = {g: np.sum(keep & (g == START)) for g in (2002, 2004)}
    if by == "group":
        each = [np.mean([v for (cohort, _), v in cells.items() if cohort == g]) for g in size]
        return np.average(each, weights=list(size.values()))
    key = (lambda g, t: t - g) if by == "dynamic" else (lambda g, t: t)
    means = []
    for k in sorted({key(*cell) for cell in cells}):
        own = [cell for cell in cells if key(*cell) == k]
        means.append(np.average([cells[cell] for cell in own], weights=[size[g] for g, _ in own]))
    return np.mean(means)


@pytest.mark.parametrize("by", ["dynamic", "group", "calendar"])
def test_overall_by_loops(by):
    effect = fitted().overall(by)
    assert_allclose(effect.estimate, overall(np.ones(G, bool), by), rtol=1e-9)
    draws = np.array([overall(np.arange(G) != c, by) for c in range(G)])
    assert_allclose(effect.draws, draws, rtol=1e-9)
    strata = [draws[START == 9999], draws[START < 9999]]
    assert_allclose(effect.std_error, np.sqrt(sum((len(a) - 1) * a.var() for a in strata)), rtol=1e-9)


def test_overall_effects_are_kept(tmp_path):
    model = fitted()
    assert model.overall("simple") is model.effect_
    assert len(model.to_frame(by="group")) == 2
    model.save(tmp_path / "effect.safetensors")
    loaded = StaggeredEffect.load(tmp_path / "effect.safetensors")
    assert loaded.overall("group").std_error == model.overall("group").std_error
    assert "over cohorts" in loaded.overall("group").name
    with pytest.raises(ValueError, match="by='cells' is unknown"):
        model.overall("cells")


def test_covariates_by_a_linear_model():
    """A cell is the doubly robust contrast of changes, on the covariates of the period compared with."""
    x = random.standard_normal((G, T))
    model = fitted((x.reshape(-1, 1), *LONG[1:]), estimation_method="regression", outcome=LinearRegression())
    cells = {e.name: e.estimate for e in model.aggregate("cells")}
    change, at = TABLE[:, 5] - TABLE[:, 3], x[:, 3]
    control, treated = START == 9999, START == 2004
    slope, level = np.polyfit(at[control], change[control], 1)
    expected = np.mean((change - level - slope * at)[treated])
    assert_allclose(cells["adopted 2004, period 2005"], expected, rtol=1e-9)


def test_units_inside_clusters_and_an_unbalanced_panel():
    """Two units a cluster; one not seen in a year takes no part in comparisons with that year."""
    tables = np.stack([TABLE, 2 * TABLE])
    unit = np.tile(np.repeat(np.arange(G), T), 2) + G * np.repeat([0, 1], G * T)
    long = [np.empty((2 * G * T, 0)), tables.ravel(), *(np.tile(a, 2) for a in LONG[2:])]
    both = StaggeredEffect().fit(*long, unit=unit)
    assert_allclose(both.estimate_, 1.5 * fitted().estimate_, rtol=1e-9)
    gone = (unit == 1) & (long[4] == 2005)  # a unit that adopts in 2004
    cells = StaggeredEffect().fit(*(a[~gone] for a in long), unit=unit[~gone]).aggregate("cells")
    value = {e.name: e.estimate for e in cells}["adopted 2004, period 2005"]
    change = (tables[:, :, 5] - tables[:, :, 3]).copy()
    change[0, 1] = np.nan
    expected = np.nanmean(change[:, START == 2004]) - change[:, START == 9999].mean()
    assert_allclose(value, expected, rtol=1e-9)


def test_bootstrap():
    model = fitted(inference="bootstrap", n_draws=300)
    jackknife = fitted()
    assert model.estimate_ == jackknife.estimate_
    # Both estimate the same error.
    assert 0.5 < model.std_error_ / jackknife.std_error_ < 1.1


def test_a_cohort_of_one_cluster():
    start = START.copy()
    start[0] = 2001
    data = (NONE, LONG[1], (start[CLUSTER] <= YEAR).astype(int), CLUSTER, YEAR)
    with pytest.warns(DesignWarning, match="effects cannot be estimated at all without one of the clusters"):
        model = fitted(data)
    assert np.isfinite(model.std_error_)
    (alone,) = (e for e in model.aggregate("group") if e.name == "adopted 2001")
    with pytest.raises(ValueError, match="no standard error for 'adopted 2001'"):
        alone.confidence_interval()


def with_treatment(change):
    treatment = TREATMENT.copy()
    change(treatment)
    return (*LONG[:2], treatment, *LONG[3:])


def ends(treatment):
    treatment[4] = 0  # cluster 0 in 2004


BAD = {
    "ends": (with_treatment(ends), "cluster 0 begins in 2002 and ends in 2004"),
    "never": (with_treatment(lambda t: t.fill(0)), "none of the 16 clusters is ever treated"),
    "always": (
        with_treatment(lambda t: t.__setitem__(slice(None), START[CLUSTER] < 9999)),
        "first period on, 2000",
    ),
    "same time": (
        with_treatment(lambda t: t.__setitem__(slice(None), YEAR >= 2003)),
        "adopt in the same period: there are no controls",
    ),
    "two rows": (
        (*(np.concatenate([a, a[:1]]) for a in LONG),),
        "cluster 0 has 2 rows in period 2000.*`unit`",
    ),
    "dose": (with_treatment(lambda t: t.__setitem__(3, 2)), "row 3 has 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case):
    data, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        fitted(data)


def test_clusters_treated_from_the_start_take_no_part():
    """The same estimates and errors as without them."""
    data = (
        np.empty(((G + 1) * T, 0)),
        np.concatenate([LONG[1], np.arange(T)]),
        np.concatenate([TREATMENT, np.ones(T, int)]),
        np.concatenate([CLUSTER, np.full(T, G)]),
        np.concatenate([YEAR, YEARS]),
    )
    with_always, without = fitted(data), fitted()
    assert_allclose(with_always.std_error_, without.std_error_, rtol=1e-12)
    assert with_always.effect_.df == without.effect_.df
    assert_allclose(with_always.uniform_band().high, without.uniform_band().high, rtol=1e-12)


def test_a_summary_is_of_the_fit():
    groups, time = np.repeat(np.arange(12), 4), np.tile(np.arange(4), 12)
    treated = time >= np.array([2, 9])[groups % 2]
    y = groups + treated + np.random.default_rng(0).standard_normal(48)
    model = StaggeredEffect().fit(np.empty((48, 0)), y, treated, groups, time)
    assert model.set_params(comparison="never").summary().count("not-yet") == 1


def test_rows_of_weight_zero_say_only_who_is_treated():
    """They set neither the unit of the other weights, which a penalty feels, nor the outcomes' scale."""
    random = np.random.default_rng(0)
    groups, time = np.repeat(np.arange(18), 12), np.tile(np.repeat(np.arange(4), 3), 18)
    treated = time >= np.array([2, 3, 9])[groups % 3]
    x, y = random.standard_normal((2, len(groups)))
    kept = random.random(len(groups)) > 0.15
    rows, y = np.where(kept, x, 1e6)[:, None], np.where(kept, groups + x**2 + treated + y, 1e17)
    one, other = (
        StaggeredEffect(outcome=Ridge(20.0)).fit(
            rows[own], y[own], treated[own], groups[own], time[own], sample_weight=kept[own] * 1.0
        )
        for own in (kept >= 0, kept)
    )
    assert (one.estimate_, one.std_error_) == (other.estimate_, other.std_error_)
    assert one.n_rows_ == other.n_rows_


def test_second_rows_of_weight_zero():
    """Make no cross-sections, and take no other row's place."""
    groups, time = np.repeat(np.arange(18), 4), np.tile(np.arange(4), 18)
    treated = time >= np.array([2, 3, 9])[groups % 3]
    y = groups + treated + np.random.default_rng(0).standard_normal(72)
    twice, weight = np.tile(np.arange(72), 2), np.repeat([1.0, 0.0], 72)
    one = StaggeredEffect().fit(np.empty((72, 0)), y, treated, groups, time)
    values = np.where(weight > 0, y[twice], -99.0)
    for order in (slice(None), slice(None, None, -1)):
        own = twice[order]
        other = StaggeredEffect().fit(
            np.empty((144, 0)),
            values[order],
            treated[own],
            groups[own],
            time[own],
            sample_weight=weight[order],
        )
        assert_allclose([other.estimate_, other.std_error_], [one.estimate_, one.std_error_], rtol=1e-12)
        assert other.n_rows_ == one.n_rows_
