"""Figures of effects: what is drawn where, and what is said of it."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from small_effects import followed, policy

from rfpcore import RFPRegressor
from rfpcore.causal import (
    AdaptedCurvesDisplay,
    ClusterEffect,
    DifferenceInDifferences,
    Effect,
    EffectsDisplay,
    EventStudyDisplay,
    StaggeredEffect,
    TriadDisplay,
    WeightsDisplay,
    linear_effect,
)
from rfpcore.causal.sensitivity import reference_time
from rfpcore.datasets import make_vee

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")
pytestmark = pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def staggered(**options):
    groups, time = np.repeat(np.arange(13), 5), np.tile(np.arange(5), 13)
    start = np.where(groups == 12, 1, np.array([2, 3, 9])[groups % 3])  # one cluster adopts first
    frame = pd.DataFrame({"law": time >= start, "county": groups, "year": 2000 + time})
    frame["rent"] = np.random.default_rng(0).standard_normal(len(frame)) + frame["law"]
    return StaggeredEffect(**options).fit(frame, "rent", "law", "county", "year", covariates=[])


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def segments(container):
    return np.array([line[:, 1] for line in container[2][0].get_segments()])


def test_an_event_study_tells_its_intervals_apart():
    model = staggered(base_period="universal")
    display = model.plot(level=0.9)
    assert isinstance(display, EventStudyDisplay)
    ax, frame = display.ax_, model.to_frame(0.9, by="dynamic")
    known = frame["std_error"].notna().to_numpy()
    assert not known.all()
    band, pointwise = ax.containers
    assert_allclose(segments(band), frame.loc[known, ["band_low", "band_high"]])
    assert_allclose(segments(pointwise), frame.loc[known, ["ci_low", "ci_high"]])
    assert {
        "90 %, all event times at once",
        "90 %, pointwise",
        "reference",
        "without a standard error",
    } < set(labels(ax))
    reference = next(line for line in ax.lines if line.get_label() == "reference")
    assert (reference.get_xdata(), reference.get_ydata()) == ([-1.0], [0])
    assert ax.get_ylabel() == "effect on rent"
    assert ax.get_xlabel() == "periods since adoption"


def test_the_legend_is_above_the_points():
    display = staggered().plot()
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.y0 >= display.ax_.get_window_extent().y1
    assert "reference" not in labels(display.ax_)


def test_other_averages_are_below_each_other():
    model = staggered()
    display = model.plot(by="group")
    assert isinstance(display, EffectsDisplay)
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == model.to_frame(
        by="group"
    ).index.tolist()
    assert labels(display.ax_) == ["without a standard error"]
    with pytest.raises(ValueError, match="by='magic' is unknown"):
        model.plot(by="magic")


def test_subgroups_are_below_each_other():
    data = policy(4.0)
    model = ClusterEffect(outcome=LinearRegression()).fit(**data, by=np.arange(len(data["y"])) % 2)
    _, ax = plt.subplots()
    display = model.plot(ax, level=0.8)
    assert display.ax_ is ax
    drawn = np.array([line[:, 0] for line in ax.collections[0].get_segments()])
    assert_array_equal(drawn, model.to_frame(0.8)[["ci_low", "ci_high"]])
    assert ax.get_xlabel() == "effect, with 80 % intervals"
    assert ax.get_ylim() == (2.5, -0.5)  # the first at the top


def test_effects_of_several_models():
    data = policy(4.0)
    arrays = [data[name] for name in ("X", "y", "treatment", "groups")]
    effects = [linear_effect(*arrays), linear_effect(*arrays, inference="cr1")]
    display = EffectsDisplay.from_effects(effects, outcome="rent").plot()
    assert display.ax_.get_xlabel() == "effect on rent, with 95 % intervals"
    for wrong, error in {(): ValueError, ("a",): TypeError}.items():
        with pytest.raises(error, match="effects"):
            EffectsDisplay.from_effects(wrong)


def apart(texts, renderer):
    """Whether texts that are drawn do not touch."""
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    return not any(one.overlaps(other) for one, other in pairwise(boxes))


def in_dollars(model):
    """Its effects as they would be of an outcome in units of 1e6."""
    return [replace(e, estimate=1e6 * e.estimate, std_error=1e6 * e.std_error) for e in model]


def test_large_numbers_and_long_names_leave_room():
    effects = in_dollars(staggered().aggregate("group"))
    effects.append(replace(effects[0], name="a region whose name is long, far in the north of the country"))
    display = EffectsDisplay.from_effects(effects, outcome="rent").plot()
    renderer = display.figure_.canvas.get_renderer()
    display.figure_.draw(renderer)
    assert apart(display.ax_.get_xticklabels(), renderer)
    label = display.ax_.xaxis.label.get_window_extent(renderer)
    assert label.x1 <= display.figure_.bbox.x1
    assert display.ax_.xaxis.get_offset_text().get_text() == ""


def test_no_power_of_ten_lies_in_the_legend():
    model = staggered(base_period="universal")
    display = EventStudyDisplay.from_estimator(model)
    for name in ("estimates", "low", "high"):
        setattr(display, name, 1e6 * getattr(display, name))
    display.band = tuple(1e6 * end for end in display.band)
    display.plot().figure_.draw_without_rendering()
    assert display.ax_.yaxis.get_offset_text().get_text() == ""
    sets = model.sensitivity(np.linspace(0.1, 2, 20)).plot()
    renderer = sets.figure_.canvas.get_renderer()
    sets.figure_.draw(renderer)
    assert apart(sets.ax_.get_xticklabels(), renderer)


def test_clusters_have_names_while_there_is_room():
    for n_clusters, named in ((5, True), (200, False)):
        labels = np.array([f"county {i}" for i in range(n_clusters)])
        ax = WeightsDisplay(labels, np.arange(float(n_clusters))).plot().ax_
        assert (ax.get_xticklabels()[0].get_text() == f"county {n_clusters - 1}") == named


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_models_that_know_names_are_asked_by_them(frame):
    """scikit-learn warns where a model that was fitted to a frame predicts an array."""
    X, y, groups = make_vee(n_clusters=6, random_state=0)
    named = frame({"x": X[:, 0]})
    model = RFPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit(named, y, groups)
    assert AdaptedCurvesDisplay.from_estimator(model, named, y, groups).name == "x"
    curve = TriadDisplay.from_models({"a": model}, named, y, groups).curves["a"]
    assert_array_equal(curve[1], model.predict(frame({"x": curve[0]})))


def test_two_periods_are_drawn():
    display = DifferenceInDifferences().fit(**followed(1.0)).plot()
    assert display.names == ["Average effect on the treated"]


@pytest.mark.parametrize(("options", "reference"), [({"base_period": "universal"}, -2.0), ({}, None)])
def test_anticipation_is_shaded_and_moves_the_reference(options, reference):
    model = staggered(anticipation=1, **options)
    display = EventStudyDisplay.from_estimator(model).plot()
    assert display.reference == reference
    assert reference not in display.times
    (shade,) = [patch for patch in display.ax_.patches if patch.get_label() == "anticipation"]
    # The year before adoption, up to the line that marks it.
    assert (shade.get_x(), shade.get_width()) == (-1.5, 1.0)
    assert "anticipation" in labels(display.ax_)
    assert not EventStudyDisplay.from_estimator(staggered()).plot().ax_.patches


@pytest.mark.parametrize(
    ("times", "anticipation", "reference"),
    [
        ([-3, -2, 0, 1], 0.0, -1.0),
        ([-3, -1, 0, 1], 1.0, -2.0),
        ([-4, -1, 0, 1], 2.0, -3.0),
        ([-6, -4, 0, 2], 0.0, -2.0),
        ([-6, -4, 0, 2], 1.5, -2.0),  # two years a period: the one before adoption begins too early
        ([-6, -2, 0, 2], 2.0, -4.0),
        ([0], 0.0, -1.0),
    ],
)
def test_the_reference_is_the_last_period_before_it_can_be_felt(times, anticipation, reference):
    assert reference_time([float(time) for time in times], anticipation) == reference


@pytest.mark.parametrize("name", ["$20k-$50k", "a_$b_$", r"\\frac{$1$"])
def test_names_with_dollars_are_no_formulas(name):
    """matplotlib reads what is between two dollar signs as a formula, and fails where it is none."""
    effects = [Effect(name, 1.0, 0.5, 18.0, "jackknife")]
    display = EffectsDisplay.from_effects(effects, outcome=name).plot()
    display.figure_.savefig(io.BytesIO())
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == [name]
    study = EventStudyDisplay(np.arange(2), *np.zeros((3, 2)), outcome=name).plot()
    study.figure_.savefig(io.BytesIO())
    assert name in study.ax_.get_ylabel()
    WeightsDisplay(np.array([name]), np.ones(1)).plot().figure_.savefig(io.BytesIO())
