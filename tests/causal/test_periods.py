"""Which period comes first, and how far apart two are: by numbers, dates and ordered categories."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

from rfpcore import Clusters
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, EventStudyDisplay, StaggeredEffect
from rfpcore.causal._periods import read_periods
from rfpcore.exceptions import DesignWarning

random = np.random.default_rng(0)
N_CLUSTERS = 30
CLUSTER, AFTER = np.repeat(np.arange(N_CLUSTERS), 2), np.tile([0, 1], N_CLUSTERS)
EVER = CLUSTER % 2
CHANGE = random.standard_normal(N_CLUSTERS)
CHANGE[1::2] += 1 - CHANGE[1::2].mean() + CHANGE[::2].mean()  # on average by 1 more where treated: the effect
Y = random.standard_normal(N_CLUSTERS)[CLUSTER] + CHANGE[CLUSTER] * AFTER
NONE = np.empty((2 * N_CLUSTERS, 0))


def categories(*labels):
    return lambda after: pd.Categorical(np.array(labels)[after], categories=labels, ordered=True)


def of(first, second):
    return lambda after: [(first, second)[a] for a in after]


KINDS = {
    "ordered categorical": categories("pre", "post"),
    "ordered series": lambda after: pd.Series(categories("before", "after")(after)),
    "categorical against its numbers": categories(10, 9),
    "categorical of unused": lambda a: pd.Categorical(
        np.array(["t0", "end"])[a], ["no", "t0", "x", "end"], True
    ),
    "polars enum": lambda a: pl.Series(np.array(["pre", "post"])[a], dtype=pl.Enum(["pre", "post"])),
    "text of numbers": of("9", "10"),
    "unordered categorical of numbers": lambda a: pd.Categorical(np.array(["9", "10"])[a]),
    "pandas strings": lambda a: pd.Series(np.array(["9", "10"])[a], dtype="string"),
    "polars strings": lambda a: pl.Series(np.array(["9", "10"])[a]),
    "text of months": of("2019-12", "2020-01"),
    "Stata's months": of("2020m9", "2020m10"),
    "quarters": of("2019Q4", "2020Q1"),
    "bool": of(False, True),
    "floats": of(-1.5, 2.0),
    "Decimal": of(Decimal("9.5"), Decimal("10")),
    "timestamps": lambda a: pd.to_datetime(np.array(["2019-12-31", "2020-12-31"])[a]),
    "time zones": lambda a: pd.Series(
        pd.to_datetime(np.array(["2020-03-27", "2020-03-30"])[a])
    ).dt.tz_localize("UTC"),
    "periods": lambda a: pd.Series(pd.PeriodIndex(np.array(["2019Q4", "2020Q1"])[a], freq="Q")),
    "timedeltas": lambda a: pd.to_timedelta(np.array([9, 10])[a], unit="D"),
    "dates": of(dt.date(2019, 12, 31), dt.date(2020, 1, 1)),
    "tuples of numbers": of((2019, 4), (2020, 1)),
    "intervals": of(pd.Interval(9, 10), pd.Interval(10, 11)),
}


@pytest.mark.parametrize("unit", [CLUSTER, None], ids=["panel", "cross-sections"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sign_of_two_periods(kind, unit):
    """Treatment says who is ever treated, so that only the order of the periods says what comes first."""
    time = KINDS[kind](AFTER)
    model = DifferenceInDifferences().fit(NONE, Y, EVER, CLUSTER, time, unit=unit)
    assert_allclose(model.estimate_, 1.0, rtol=1e-12)
    reverse = KINDS[kind](1 - AFTER)  # the other way round: as if the data were told backwards
    assert_allclose(DifferenceInDifferences().fit(NONE, Y, EVER, CLUSTER, reverse, unit=unit).estimate_, -1.0)


REFUSED = {
    "text": (of("pre", "post"), "text labels, 'post', 'pre'"),
    "months by name": (of("Jan", "Feb"), "ordered Categorical"),
    "no order": (
        lambda a: pd.Categorical(np.array(["pre", "post"])[a]),
        "the Categorical given has no order",
    ),
    "polars Categorical": (
        lambda a: pl.Series(np.array(["a", "b"])[a], dtype=pl.Categorical),
        "has no order",
    ),
    "no such month": (of("2020-13", "2020-12"), "text labels"),
    "mixed": (of(1, "a"), "types int and str"),
    "bytes": (of(b"9", b"10"), "type bytes"),
    "tuples of text": (of(("a", 1), ("b", 2)), "type tuple"),
    "one period twice": (of("9", "09"), "one period as '09' and as '9'"),
    "overlap": (of(pd.Interval(0, 2), pd.Interval(1, 3)), "intervals that overlap"),
    "infinite": (of(1.0, np.inf), "not finite"),
    "dates and times": (of(dt.date(2020, 1, 1), dt.datetime(2021, 1, 1)), "dates of several kinds"),
    "missing": (of("9", None), "time has no label in row 1"),
    "missing category": (
        lambda a: pd.Categorical([("a", None)[i] for i in a], ["a"], ordered=True),
        "has no label",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_labels_without_an_order(case):
    time, message = REFUSED[case]
    for design in (DifferenceInDifferences(), StaggeredEffect()):
        with pytest.raises(ValueError, match=message):
            design.fit(NONE, Y, EVER, CLUSTER, time(AFTER))


SPACES = {
    "years": ([2000, 2001, 2004], [0, 1, 4], "event time 4", "time since adoption"),
    "even years": ([2000, 2001, 2002], [0, 1, 2], "event time 2", "periods since adoption"),
    "fractions": ([2000.1, 2000.3, 2000.5], [0, 0.2, 0.4], "event time 0.4", "time since adoption"),
    "months": (["2020-01", "2020-02", "2020-06"], [0, 1, 5], "event time 5 months", "months since adoption"),
    "quarter ends": (
        pd.to_datetime(["2019-12-31", "2020-03-31", "2020-06-30"]),
        [0, 1, 2],
        "event time 2 quarters",
        "quarters since adoption",
    ),
    "birthdays": (["2018-05-03", "2019-05-03", "2021-05-03"], [0, 1, 3], "event time 3 years", None),
    "weeks": (["2020-01-06", "2020-01-13", "2020-01-27"], [0, 1, 3], "event time 3 weeks", None),
    "days": (["2020-01-06", "2020-01-07", "2020-03-01"], [0, 1, 55], "event time 55 days", None),
    "hours": (
        ["2020-01-06 01:00", "2020-01-06 02:00", "2020-01-06 04:00"],
        [0, 1, 3],
        "event time 3 hours",
        None,
    ),
    "periods": (pd.PeriodIndex(["2019", "2020", "2022"], freq="Y"), [0, 1, 3], "event time 3 years", None),
    "a week in summer time": (
        pd.to_datetime(["2020-03-27", "2020-03-28", "2020-03-30"]).tz_localize("Europe/Berlin").to_series(),
        [0, 1, 3],
        "event time 3 days",
        None,
    ),
    "categories": (
        pd.Categorical(["b", "c", "a"], ["b", "c", "z", "a"], True),
        [0, 1, 2],
        "event time 2",
        None,
    ),
    "pairs": ([(2019, 4), (2020, 1), (2020, 4)], [0, 1, 2], "event time 2", "periods since adoption"),
}


@pytest.mark.parametrize("case", SPACES)
def test_distances(case):
    labels, expected, name, axis = SPACES[case]
    periods, codes = read_periods(labels, 3)
    assert codes.tolist() == [0, 1, 2]
    assert [periods.since(t, 0) for t in range(3)] == expected
    assert [-periods.since(0, t) for t in range(3)] == expected
    assert periods.event(periods.since(2, 0)) == name
    assert axis is None or periods.axis == axis


def test_one_unit_has_no_s():
    periods, _ = read_periods(["2020-01", "2020-02"], 2)
    assert [periods.event(e) for e in (-1, 0, 1, 2)] == [
        "event time -1 month",
        "event time 0 months",
        "event time 1 month",
        "event time 2 months",
    ]


YEARS = np.array([2000, 2001, 2003, 2006])
START = np.array([2001, 2003, 9999])[np.arange(24) % 3]
TABLE = random.standard_normal((24, 4)).cumsum(axis=1)
WHO, WHEN = np.repeat(np.arange(24), 4), np.tile(YEARS, 24)


def staggered(time=WHEN, **params):
    return StaggeredEffect(**params).fit(np.empty((96, 0)), TABLE.ravel(), START[WHO] <= WHEN, WHO, time)


def change(cohort, t, base):
    difference = TABLE[:, t] - TABLE[:, base]
    control = YEARS[max(t, base)] < START
    return difference[cohort == START].mean() - difference[control & (cohort != START)].mean()


def test_event_time_of_uneven_periods_by_hand():
    """Years since adoption, as R's did counts them: cohort 2003 at 2006 and cohort 2001 at 2003 are apart."""
    model = staggered()
    assert model.event_times() == [-2, 0, 2, 3, 5]
    found = {e.name: e.estimate for e in model.aggregate("dynamic")}
    expected = {
        "event time -2": change(2003, 1, 0),
        "event time 0": (change(2001, 1, 0) + change(2003, 2, 1)) / 2,
        "event time 2": change(2001, 2, 0),
        "event time 3": change(2003, 3, 1),
        "event time 5": change(2001, 3, 0),
    }
    assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-9)
    assert model.to_frame(by="dynamic").index.tolist() == list(expected)


CODED = {
    "month": ([201911, 201912, 202001, 202002], "year and month"),
    "day": ([20191130, 20191231, 20200131, 20200229], "year, month and day"),
    "quarter": ([20193, 20194, 20201, 20202], "year and quarter"),
}


@pytest.mark.parametrize("case", CODED)
def test_dates_written_as_numbers(case):
    """A month and another are 89 apart there."""
    labels, what = CODED[case]
    with pytest.warns(DesignWarning, match=f"{what} in one number, {labels[0]} to {labels[-1]}"):
        staggered(np.array(labels)[np.searchsorted(YEARS, WHEN)])


@pytest.mark.parametrize("labels", [[201901, 201902, 201903, 201904], [1, 2, 3, 4], [1998, 1999, 2000, 2001]])
def test_numbers_that_are_none(labels):
    assert staggered(np.array(labels)[np.searchsorted(YEARS, WHEN)]).event_times()[0] == -1


def test_the_figure_counts_alike():
    pytest.importorskip("matplotlib").use("Agg")
    display = EventStudyDisplay.from_estimator(staggered()).plot()
    assert display.times.tolist() == [-2, 0, 2, 3, 5]
    assert display.ax_.get_xlabel() == "time since adoption"
    months = np.array(["2000-01", "2000-02", "2000-04", "2000-07"])[np.searchsorted(YEARS, WHEN)]
    display = EventStudyDisplay.from_estimator(staggered(months)).plot()
    assert display.times.tolist() == [-2, 0, 2, 3, 5]
    assert display.ax_.get_xlabel() == "months since adoption"


def test_a_staggered_policy_in_months_by_name():
    """Ordered categories give the numbers of whole numbers; the names are the categories'."""
    names = np.array(["Jan", "Feb", "Apr", "Oct"])
    time = pd.Categorical(names[np.searchsorted(YEARS, WHEN)], names, ordered=True)
    model, plain = staggered(time), staggered(np.searchsorted(YEARS, WHEN))
    assert_allclose([e.estimate for e in model.effects_], [e.estimate for e in plain.effects_], rtol=1e-12)
    assert model.periods_.tolist() == names.tolist()
    assert model.adoption_.tolist()[:3] == ["Feb", "Apr", None]
    assert [e.name for e in model.aggregate("group")] == ["adopted Feb", "adopted Apr"]
    assert "Jan to Oct" in model.summary()


def test_text_of_numbers_by_column_name():
    """7 to 11: in the alphabet 10 and 11 come first, and the policy would end before it begins."""
    time = np.array(["7", "9", "10", "11"])[np.searchsorted(YEARS, WHEN)]
    columns = {"y": TABLE.ravel(), "law": (START[WHO] <= WHEN) * 1, "who": WHO, "week": time}
    plain = staggered(time.astype(int))
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns)):
        model = StaggeredEffect().fit(frame, "y", "law", "who", "week", covariates=[])
        assert_allclose([e.estimate for e in model.effects_], [e.estimate for e in plain.effects_])
        assert model.event_times() == plain.event_times()
        assert model.periods_.tolist() == ["7", "9", "10", "11"]


def test_tuples_stay_labels_of_adoption():
    """Also where every cluster adopts, so that an array of them would be a table."""
    pairs = [(2000, 4), (2001, 1), (2001, 2), (2001, 3)]
    start = np.array([2001, 2003])[np.arange(24) % 2]
    time = [pairs[i] for i in np.searchsorted(YEARS, WHEN)]
    model = StaggeredEffect().fit(np.empty((96, 0)), TABLE.ravel(), start[WHO] <= WHEN, WHO, time)
    assert model.adoption_.tolist()[:2] == [(2001, 1), (2001, 2)]
    assert model.aggregate("group")[0].name == "adopted (2001, 1)"


def test_long_distances_are_written_out():
    seconds, _ = read_periods([0, 1_234_567], 2)
    assert seconds.event(seconds.since(1, 0)) == "event time 1234567"


def test_dates_in_names_have_no_hour():
    time = pd.to_datetime(pd.Series(WHEN).astype(str) + "-01-01")
    for given in (time, time.dt.tz_localize("UTC"), time.astype(pd.CategoricalDtype(ordered=True))):
        names = [e.name for e in staggered(given).aggregate("group")]
        assert names == ["adopted 2001-01-01", "adopted 2003-01-01"]


def test_subgroups_and_clusters_keep_the_order_of_categories():
    labels = np.array(["low", "middle", "high"])
    by = pd.Categorical(labels[np.arange(60) % 3], labels, ordered=True)
    rows = random.standard_normal(60)
    model = ClusterEffect().fit(np.empty((60, 0)), rows, np.arange(60) // 6 % 2, np.arange(60) // 6, by=by)
    assert [e.name for e in model.effects_[1:]] == labels.tolist()
    assert Clusters(rows[:, None], rows, by).labels.tolist() == labels.tolist()
    assert Clusters(rows[:, None], rows, np.asarray(by)).labels.tolist() == ["high", "low", "middle"]


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("step", [1 / 365, 1 / 365.25, 1 / 12, 0.05, 1 / 3])
def test_fractions_that_are_steps_apart(step, kind):
    """Gaps of as many steps are the same wherever they are, and others differ; by rounding they did not."""
    steps = np.delete(np.arange(120), [5, 6, 40])
    periods, _ = read_periods((2010 + steps * step).astype(kind)[::-1], len(steps))
    found = {}
    for a, first in enumerate(steps):
        for b, second in enumerate(steps):
            found.setdefault(first - second, set()).add(periods.since(a, b))
    assert {len(gaps) for gaps in found.values()} == {1}
    assert len({gap for gaps in found.values() for gap in gaps}) == len(found)
    # Seven digits of a step are kept. Of floats of 2010 with seven, 120 days tell three digits of a day.
    rtol = 1e-6 if kind == np.float64 else 2e-3
    assert_allclose([*map(min, found.values())], np.array([*found]) * step, rtol=rtol)


@pytest.mark.parametrize(("start", "step"), [(1.7e9, 0.25), (1.7e9, 1e-5), (2000.0, 1e-9), (0.0, 1e-7)])
def test_steps_that_are_short_are_steps(start, step):
    """Seconds since 1970, and years with nanoseconds: none is merged with the next."""
    periods, _ = read_periods(start + step * np.arange(9), 9)
    assert_allclose([periods.since(t, 3) for t in range(9)], step * (np.arange(9) - 3), rtol=1e-6)


def test_uneven_days_are_not_merged():
    """Of float32 years with days, of which some are 366ths: two digits would make neighbours one."""
    days = np.concatenate([2011 + np.arange(365) / 365, 2012 + np.arange(366) / 366]).astype(np.float32)
    periods, _ = read_periods(days, len(days))
    assert min(periods.since(t + 1, t) for t in range(len(days) - 1)) > 0


def test_fractions_at_uneven_distances():
    periods, _ = read_periods(np.array([2000.1, 2000.2, 2000.5, 2001.77]), 4)
    assert [periods.since(t, 0) for t in range(4)] == [0, 0.1, 0.4, 1.67]
