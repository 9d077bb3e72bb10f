"""How many refits the jackknife of effects takes, what it does instead, and what it shows meanwhile."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from test_delete_one import Slow, design, panel

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect, _replicates
from rfpcore.exceptions import DesignWarning

HELD = pytest.warns(DesignWarning, match="fixed, as 26 clusters .* than max_refits=25. max_refits=26 fits")
QUIET = pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")


@QUIET
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_models_held_fixed(estimand):
    X, y, d, codes, _, weight = design(0)
    model = ClusterEffect(estimand=estimand, outcome=Slow(), max_refits=25)
    with HELD:
        model.fit(X, y, d, codes, by=np.where(codes < 13, "a", "b"), sample_weight=weight)
    assert model.effect_.method.endswith("by arm, models held fixed (clusters > max_refits=25)")
    assert model.effect_.method in model.summary()
    refitted = ClusterEffect(estimand=estimand, outcome=Slow(), max_refits=26)
    refitted.fit(X, y, d, codes, sample_weight=weight)
    assert "held" not in refitted.effect_.method
    assert_allclose(model.estimate_, refitted.estimate_, atol=1e-10)
    for effect, score in zip(model.effects_, model.infer("score-jackknife"), strict=True):
        assert_allclose(effect.draws, score.draws, atol=1e-12)


@QUIET
@pytest.mark.parametrize("method", ["regression", "ipw"])
def test_scores_that_depend_on_one_model_are_always_refitted(method):
    X, y, d, codes, _, _ = design(0)
    few, many = (
        ClusterEffect(estimation_method=method, outcome=Slow(), max_refits=n).fit(X, y, d, codes)
        for n in (0, 1000)
    )
    assert_array_equal(few.effect_.draws, many.effect_.draws)
    assert few.effect_.method == many.effect_.method


@QUIET
def test_closed_forms_have_no_limit():
    X, y, d, codes, _, _ = design(0)
    model = ClusterEffect(outcome=LinearRegression(), max_refits=0).fit(X, y, d, codes)
    assert "held" not in model.effect_.method


@QUIET
@pytest.mark.parametrize("efficient", [False, True])
def test_cross_sections_held_fixed(efficient):
    """Many clusters: holding the models of a doubly robust score fixed moves the error by little."""
    X, y, d, codes, time, weight = design(1, n_clusters=150, n_columns=1, n_periods=2)
    held, refitted = (
        DifferenceInDifferences(outcome=Slow(), efficient=efficient, max_refits=n).fit(
            X, y, d, codes, time, sample_weight=weight
        )
        for n in (149, 150)
    )
    assert "held fixed" in held.effect_.method
    assert_allclose(held.estimate_, refitted.estimate_, atol=1e-10)
    assert_allclose(held.std_error_, refitted.std_error_, rtol=0.1)
    assert held.std_error_ != refitted.std_error_


@QUIET
def test_staggered_held_fixed():
    X, y, d, codes, time, units, weight = panel(2, n_clusters=90)
    held, refitted = (
        StaggeredEffect(outcome=Slow(), max_refits=n).fit(
            X, y, d, codes, time, unit=units, sample_weight=weight
        )
        for n in (80, 90)
    )
    for one, other in zip(held.effects_, refitted.effects_, strict=True):
        assert "held fixed" in one.method
        assert_allclose(one.estimate, other.estimate, atol=1e-10)
        assert_allclose(one.std_error, other.std_error, rtol=0.2)
    assert held.uniform_band().critical_value > held.effect_.critical_value()


@QUIET
@pytest.mark.parametrize("inference", ["jackknife", "bootstrap"])
def test_pieces_and_progress_change_nothing(inference, monkeypatch, capsys):
    X, y, d, codes, _, weight = design(3)

    def fit(**options):
        model = ClusterEffect(outcome=Slow(), inference=inference, n_draws=40, **options)
        return model.fit(X, y, d, codes, sample_weight=weight).effect_.draws

    whole = fit()
    assert capsys.readouterr().err == ""
    assert_allclose(fit(verbose=1), whole, atol=1e-12)
    shown = capsys.readouterr().err
    assert inference in shown
    assert "27/27 fits" in shown or "41/41 fits" in shown or "100%" in shown
    if inference == "jackknife":  # pieces of the bootstrap are draws of their own
        monkeypatch.setattr(_replicates, "PIECE", 60)
        assert_allclose(fit(), whole, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_refits": -1}, "max_refits=-1"), ({"max_refits": 0.5}, "max_refits"), ({"verbose": ""}, "verb")],
)
def test_errors_before_any_work(options, message):
    X, y, d, codes, _, _ = design(0)
    with pytest.raises((ValueError, TypeError), match=message):
        ClusterEffect(outcome=object(), **options).fit(X, y, d, codes)
