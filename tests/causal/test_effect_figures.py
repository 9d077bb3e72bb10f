"""Figures of effects: what is drawn where, and what is said of it."""

import io

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from small_effects import followed, policy

from rfpcore.causal import (
    ClusterEffect,
    DifferenceInDifferences,
    Effect,
    EffectsDisplay,
    EventStudyDisplay,
    StaggeredEffect,
    WeightsDisplay,
    linear_effect,
)
from rfpcore.causal.sensitivity import reference_time

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
