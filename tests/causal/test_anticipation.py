"""Adoption that is felt before it comes: cells by hand, after Callaway and Sant'Anna's definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import rfpcore
from rfpcore.causal import StaggeredEffect

G, T = 16, 7
YEARS = 2000 + np.arange(T)
START = np.array([2003, 2005, 9999, 9999])[np.arange(G) % 4]
TABLE = np.random.default_rng(0).standard_normal((G, T)).cumsum(axis=1)
CLUSTER, YEAR = np.repeat(np.arange(G), T), np.tile(YEARS, G)
NONE = np.empty((G * T, 0))


def fit(table=TABLE, start=START, year=YEAR, **params):
    treated = (start[CLUSTER] <= year).astype(int)
    return StaggeredEffect(**params).fit(NONE, table.ravel(), treated, CLUSTER, year)


def cells(model):
    return {effect.name: effect.estimate for effect in model.aggregate("cells")}


def by_hand(delta, comparison="not-yet", base_period="varying"):
    """Changes of means since g - 1 - delta; controls adopt later than t + delta."""
    found = {}
    for g in (2003, 2005):
        last = g - 1 - delta
        for t in YEARS:
            base = last if t > last or base_period == "universal" else t - 1
            if t == base or base < 2000:
                continue
            late = max(t, base) + delta < START
            control = (START == 9999) if comparison == "never" else late & (g != START)
            change = TABLE[:, t - 2000] - TABLE[:, base - 2000]
            found[f"adopted {g}, period {t}"] = change[g == START].mean() - change[control].mean()
    return found


@pytest.mark.parametrize("delta", [0, 1, 2])
@pytest.mark.parametrize("base_period", ["varying", "universal"])
@pytest.mark.parametrize("comparison", ["not-yet", "never"])
def test_cells_by_hand(delta, base_period, comparison):
    options = {"base_period": base_period, "comparison": comparison}
    found, expected = cells(fit(anticipation=delta, **options)), by_hand(delta, **options)
    assert found.keys() == expected.keys()
    assert_allclose(list(found.values()), [expected[name] for name in found], rtol=1e-9, atol=1e-12)


def test_effects_felt_a_year_early():
    """Without noise: the effect grows from the year before adoption on."""
    table = np.maximum(0.0, YEARS - START[:, None] + 2) + np.arange(G)[:, None] + 0.1 * (YEARS - 2000)
    table = table + 1e-6 * TABLE  # a standard error that is not zero
    right = {e.name: e.estimate for e in fit(table, anticipation=1).aggregate("dynamic")}
    for event in range(-4, 5):
        if f"event time {event}" in right:
            assert right[f"event time {event}"] == pytest.approx(max(0, event + 2), abs=1e-4)
    wrong = fit(table)
    assert wrong.aggregate("dynamic")[-1].estimate == pytest.approx(4.0, abs=1e-4)  # 5 is right


def test_units_of_the_calendar():
    """Of periods two years apart, one year of anticipation reaches no period, two reach one."""
    year, start = 2000 + 2 * (YEAR - 2000), np.where(START < 9999, 2 * START - 2000, 9999)
    none, one, two = (cells(fit(year=year, start=start, anticipation=a)) for a in (0, 1, 2))
    assert one == none
    assert list(two.values()) == pytest.approx(list(by_hand(1).values()), rel=1e-9)


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
def test_who_is_left_out():
    model = fit(anticipation=3)  # 2003 could be felt in 2000
    ((reason, labels),) = model.left_out_.items()
    assert "anticipated from the first period on" in reason
    assert labels.tolist() == [0, 4, 8, 12]
    assert "Left out: 4 clusters, adoption may have been anticipated" in model.summary()


def test_checked_said_and_kept(tmp_path):
    for wrong in (-1, np.nan, "one"):
        with pytest.raises((ValueError, TypeError), match="anticipation"):
            fit(anticipation=wrong)
    model = fit(anticipation=1)
    assert "Anticipation:" in model.summary()
    assert "Anticipation:" not in fit().summary()
    model.save(tmp_path / "effect.safetensors")
    assert rfpcore.load(tmp_path / "effect.safetensors").summary() == model.summary()


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize(
    ("unit", "kind"), [(1 / 12, "f8"), (0.1, "f8"), (1 / 365, "f8"), (1 / 12, "f4"), (1 / 3, "f4")]
)
def test_periods_that_are_fractions(unit, kind):
    """Twelfths of a year are rounded, as Stata's floats to four digits: two are two periods all the same."""
    year, start = (
        (2000 + unit * (given - 2000)).astype(kind) for given in (YEAR, np.where(START < 9999, START, 3000))
    )
    for delta in (1, 2, 3):
        options = {"anticipation": delta, "base_period": "universal"}
        whole, part = fit(**options), fit(year=year, start=start, **options | {"anticipation": unit * delta})
        right = [effect.estimate for effect in whole.aggregate("cells")]
        assert_allclose([effect.estimate for effect in part.aggregate("cells")], right, rtol=1e-12)
        assert_allclose(np.array(part.event_times()) / unit, whole.event_times(), rtol=1e-7)
        assert_allclose(part._reference() / unit, whole._reference(), rtol=1e-7)
        assert part.left_out_.keys() == whole.left_out_.keys()
        if delta < 3:
            assert part.pretrend_test().df == whole.pretrend_test().df
