"""Effects in files: tables, intervals and figures are the same; what needs the data says so."""

import datetime
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression
from small_effects import followed, panel, policy, staggered

import rfpcore
from rfpcore import _files
from rfpcore.causal import (
    ClusterEffect,
    DifferenceInDifferences,
    Effect,
    EventStudyDisplay,
    StaggeredEffect,
    linear_effect,
)
from rfpcore.exceptions import DesignWarning

pytestmark = pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
LINEAR = {"outcome": LinearRegression(), "random_state": 3}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "effect.safetensors"


def again(model, path):
    model.save(path)
    return rfpcore.load(path)


def same(one, other):
    """Whether two effects have the same numbers, to the bit."""
    for name in ("name", "method"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("estimate", "std_error", "df", "draws", "statistics", "p_value", "statistic"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.p is None) == (other.p is None)


@pytest.mark.parametrize("inference", ["cr1", "cr3", "wild"])
def test_the_result_of_least_squares(inference, path):
    data = policy(1.0)
    effect = linear_effect(
        data["X"], data["y"], data["treatment"], data["groups"], inference=inference, n_draws=49
    )
    loaded = again(effect, path)
    assert type(loaded) is Effect
    same(loaded, effect)
    assert loaded.confidence_interval(0.9) == effect.confidence_interval(0.9)
    with pytest.raises(ValueError, match=r"holds a Effect; ClusterEffect\.load was called"):
        ClusterEffect.load(path)


METHODS = [
    "jackknife",
    "cv3",
    "bootstrap",
    "cross-fit",
    "score-jackknife",
    "cr1",
    "wild",
    "webb",
    "randomization",
]


@pytest.mark.parametrize("inference", METHODS)
def test_what_a_loaded_effect_can_tell(inference, path):
    by = None if inference == "randomization" else np.arange(36 + 4) % 2
    model = ClusterEffect(**LINEAR, inference=inference, n_draws=19, n_folds=2).fit(**policy(1.0), by=by)
    loaded = again(model, path)
    assert loaded.summary() == model.summary()
    assert loaded.to_frame().equals(model.to_frame())
    assert_array_equal(loaded.propensity_, model.propensity_)
    known = {"jackknife", "cv3"} if inference in ("jackknife", "cv3") else {inference}
    for method in METHODS:
        if method in known:
            for one, other in zip(loaded.infer(method), model.infer(method), strict=True):
                same(one, other)
        else:
            with pytest.raises(ValueError, match=rf"inference='{method}' needs the data of fit"):
                loaded.infer(method)
    with pytest.raises(ValueError, match="inference='magic' is unknown"):
        loaded.infer("magic")


def test_a_jackknife_says_again_that_it_held_its_models_fixed(path):
    model = ClusterEffect(max_refits=3).fit(**policy(1.0))
    loaded = again(model, path)
    with pytest.warns(DesignWarning, match="standard errors hold the models fixed"):
        effects = loaded.infer("jackknife")
    same(effects[0], model.effect_)


@pytest.mark.parametrize("data", [panel, followed])
@pytest.mark.parametrize("inference", ["jackknife", "bootstrap"])
def test_two_periods(data, inference, path):
    model = DifferenceInDifferences(inference=inference, n_draws=19).fit(**data(1.0))
    loaded = again(model, path)
    assert loaded.summary() == model.summary()
    same(loaded.infer(inference)[0], model.effect_)
    if inference == "jackknife":
        same(loaded.infer("cv3")[0], model.infer("cv3")[0])
    with pytest.raises(ValueError, match=r"needs the data of fit|unknown"):
        loaded.infer("cr1")


TIMES = {
    "numbers": lambda t: 2000 + t,
    "fractions": lambda t: 2000 + t / 4,
    "texts": lambda t: np.array(["2020-01", "2020-02", "2020-03", "2020-04"])[t],
    "dates": lambda t: pd.to_datetime("2020-01-31") + pd.to_timedelta(t, "D"),
    "objects": lambda t: [datetime.date(2020, 1 + int(i), 1) for i in t],
    "datetimes": lambda t: [datetime.datetime(2020, 1, 1, int(i)) for i in t],
    "durations": lambda t: [datetime.timedelta(int(i)) for i in t],
    "decimals": lambda t: [Decimal(int(i)) / 10 for i in t],
    "tuples": lambda t: [(2020, int(i)) for i in t],
    "periods": lambda t: pd.PeriodIndex(pd.period_range("2020Q1", periods=4, freq="Q"))[t],
    "categories": lambda t: pd.Categorical(np.array(list("bdac"))[t], list("bdac"), ordered=True),
}


@pytest.mark.parametrize("name", TIMES)
def test_every_kind_of_period(name, path):
    data = staggered(1.0)
    data["time"] = TIMES[name](data["time"])
    data["groups"] = np.array([f"c{i}" for i in range(10)])[data["groups"]]
    model = StaggeredEffect().fit(**data)
    loaded = again(model, path)
    assert loaded.periods_.dtype == model.periods_.dtype
    for attribute in ("periods_", "clusters_", "adoption_"):
        assert_array_equal(getattr(loaded, attribute), getattr(model, attribute), strict=True)
    assert [type(a) for a in loaded.adoption_] == [type(a) for a in model.adoption_]
    assert loaded.event_times() == model.event_times()
    assert loaded.summary() == model.summary()
    assert loaded.to_frame(by="dynamic").equals(model.to_frame(by="dynamic"))
    figures = [EventStudyDisplay.from_estimator(one) for one in (loaded, model)]
    assert_array_equal(figures[0].band, figures[1].band)
    assert figures[0].axis == figures[1].axis


@pytest.mark.parametrize("inference", ["jackknife", "cv3", "bootstrap"])
def test_group_time_effects(inference, path):
    data = staggered(1.0)
    data["treatment"][data["groups"] == 0] = True  # left out: treated from the first period on
    model = StaggeredEffect(inference=inference, n_draws=29, random_state=1).fit(**data)
    loaded = again(model, path)
    assert loaded.left_out_.keys() == model.left_out_.keys()
    assert len(loaded.left_out_) == 1
    assert loaded.summary() == model.summary()
    for kind in ("simple", "dynamic", "group", "calendar", "cells"):
        for one, other in zip(loaded.aggregate(kind), model.aggregate(kind), strict=True):
            same(one, other)
    assert_array_equal(loaded.uniform_band(0.9).low, model.uniform_band(0.9).low)
    for one, other in zip(loaded.infer(inference), model.infer(inference), strict=True):
        same(one, other)
    other = "cv3" if inference == "bootstrap" else "bootstrap"
    with pytest.raises(ValueError, match=rf"inference='{other}' needs the data of fit"):
        loaded.infer(other)


def test_labels_that_no_file_holds(path):
    data = policy(1.0)
    data["groups"] = [frozenset([g]) for g in data["groups"]]
    model = ClusterEffect(**LINEAR).fit(**data)
    with pytest.raises(ValueError, match=r"clusters_ holds .* of type frozenset; a file holds bools"):
        model.save(path)
    assert not path.exists()


def test_models_of_other_packages_are_asked_for_again(path):
    model = ClusterEffect(**LINEAR).fit(**policy(1.0))
    loaded = again(again(model, path), path)
    assert repr(loaded.outcome) == "NotSaved(model='LinearRegression()')"
    message = r"outcome was LinearRegression\(\), a model of another package.*set_params\(outcome=...\)"
    with pytest.raises(ValueError, match=message):
        loaded.fit(**policy(2.0))
    assert loaded.summary() == model.summary()
    loaded.set_params(outcome=LinearRegression()).fit(**policy(2.0))
    same(loaded.effect_, ClusterEffect(**LINEAR).fit(**policy(2.0)).effect_)
    assert loaded.infer("cr1")


def test_models_of_this_package_come_back(path):
    net = rfpcore.RFPRegressor(
        hidden_layer_sizes=(3,), max_iter=11, inner_lr=np.full(13, 0.1), random_state=0, n_jobs=1
    )
    model = ClusterEffect(outcome=rfpcore.RFPRegressor(hidden_layer_sizes=(3,), max_iter=11, inner_lr=0.1))
    loaded = again(model.fit(**policy(1.0)), path)
    assert repr(loaded.outcome) == repr(model.outcome)
    model.outcome = net
    loaded = again(model, path)
    assert_array_equal(loaded.outcome.inner_lr, net.inner_lr)


CHANGES = {
    "clusters": [None, [], {"dtype": "<i8", "labels": [1]}, {"dtype": "O", "labels": [{"popen": "ls"}] * 10}],
    "method": ["magic", None],
    "report": [None, [["a"], "b", "c", False], [[], "used", "chosen", 3]],
    "problem": [None, {}],
    "n_rows_": [-1, "a", None, 1.5],
}


@pytest.mark.parametrize("entry", CHANGES)
def test_files_that_do_not_hold_together(entry, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ClusterEffect(**LINEAR).fit(**policy(1.0)).save(path)
    tensors, document = _files.read(path)
    for value in CHANGES[entry]:
        _files.write(path, tensors, document | {"learnt": document["learnt"] | {entry: value}})
        with pytest.raises(ValueError, match=r"does not hold together|lacks"):
            rfpcore.load(path)
    for name in ("propensity", "arm", "effect.0.numbers", "replicates.jackknife"):
        for value in (np.zeros(2), np.zeros((1, 1, 1)), np.zeros(4, np.float32)):
            _files.write(path, tensors | {name: value}, document)
            with pytest.raises(ValueError, match="does not hold together"):
                rfpcore.load(path)


def test_a_summary_is_of_the_fit(path):
    model = ClusterEffect(estimation_method="regression", outcome=LinearRegression()).fit(**policy(1.0))
    before = model.summary()
    assert model.set_params(estimation_method="ipw").summary() == before
    assert again(model, path).summary() == before
