"""Covariates of a frame have to be named; subgroups that lack rows; messages name what they are of."""

import math
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from policy_data import GROUPS, SIZE, D, X, Y
from sklearn.linear_model import LinearRegression

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect, linear_effect
from rfpcore.exceptions import DesignWarning

OLS = LinearRegression()
FRAME = pd.DataFrame(X, columns=["age", "rent", "moved"]).assign(y=Y, law=D, zip=GROUPS, year=2000)
TWICE = pd.concat([FRAME.assign(law=0, id=range(len(Y))), FRAME.assign(year=2001, id=range(len(Y)))])
NAMES = ("y", "law", "zip")
DESIGNS = {
    "ClusterEffect": lambda f, **k: ClusterEffect(outcome=OLS, inference="cr1").fit(f, *NAMES, **k),
    "linear_effect": lambda f, **k: linear_effect(f, *NAMES, **k),
    "DifferenceInDifferences": lambda f, **k: DifferenceInDifferences(outcome=OLS).fit(
        f, *NAMES, "year", unit="id", **k
    ),
    "StaggeredEffect": lambda f, **k: StaggeredEffect().fit(f, *NAMES, "year", unit="id", **k),
}


@pytest.mark.parametrize("frame", [TWICE, pl.DataFrame(TWICE)], ids=["pandas", "polars"])
@pytest.mark.parametrize("design", DESIGNS)
def test_covariates_of_a_frame_have_to_be_named(design, frame):
    with pytest.raises(ValueError, match=r"covariates is None.*Candidates are 'age', 'rent', 'moved'.*'all'"):
        DESIGNS[design](frame)
    with pytest.raises(ValueError, match="covariates names the column 'y', which is y"):
        DESIGNS[design](frame, covariates=["age", "y"])
    with pytest.raises(ValueError, match="covariates names the column 'law', which is treatment"):
        DESIGNS[design](frame, covariates="law")


def test_all_takes_what_is_not_named():
    frame = FRAME.drop(columns="year")
    fit = DESIGNS["ClusterEffect"]
    named, every = (fit(frame, covariates=c) for c in (["age", "rent", "moved"], "all"))
    assert named.estimate_ == every.estimate_
    by_array = ClusterEffect(outcome=OLS, inference="cr1").fit(X, Y, D, GROUPS, covariates="all")
    assert_allclose(by_array.estimate_, every.estimate_, rtol=1e-12)
    with pytest.raises(ValueError, match="'all' is also the name of a column"):
        fit(frame.rename(columns={"moved": "all"}), covariates="all")
    nothing_left = fit(frame[["y", "law", "zip"]])
    assert nothing_left.estimate_ == fit(frame, covariates=[]).estimate_


def test_a_frame_beside_arrays():
    """Every column may be what the treatment moved, whoever holds the outcome."""
    with pytest.raises(ValueError, match="Candidates are 'age', 'rent'"):
        ClusterEffect(outcome=OLS).fit(FRAME[["age", "rent"]], Y, D, GROUPS)


@pytest.mark.parametrize("design", DESIGNS)
def test_no_rows(design):
    with pytest.raises(ValueError, match="X has 0 rows"):
        DESIGNS[design](TWICE[:0], covariates=[])


def test_a_column_there_twice():
    with pytest.raises(ValueError, match="covariates names the column 'age', which X has 2 times"):
        DESIGNS["ClusterEffect"](pd.concat([FRAME, FRAME["age"]], axis=1), covariates=["age"])


REGION = np.where(np.flatnonzero(D[::SIZE] == 0)[0] == GROUPS, "north", "south")


@pytest.mark.parametrize(
    "inference", ["jackknife", "cv3", "bootstrap", "cr1", "wild", "cross-fit", "score-jackknife"]
)
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_a_subgroup_without_treated_rows_is_nan(estimand, inference):
    params = {"outcome": OLS, "inference": inference, "n_draws": 20, "n_folds": 2, "estimand": estimand}
    with pytest.warns(DesignWarning, match="there are no treated rows in 'north', so its effect is NaN"):
        model = ClusterEffect(**params).fit(X, Y, D, GROUPS, by=REGION)
    overall, north, south = model.effects_
    assert north.name == "north"
    assert math.isnan(north.estimate)
    assert math.isnan(north.std_error)
    assert math.isnan(north.p_value)
    alone = ClusterEffect(**params).fit(X, Y, D, GROUPS, by=np.where(REGION == "north", "x", "x"))
    assert_allclose(overall.estimate, alone.effects_[0].estimate, rtol=1e-12)
    assert np.isfinite(south.std_error)
    assert re.search(r"north +nan", model.summary())
    row = model.to_frame().loc["north"]
    assert row["n_treated"] == 0
    assert row.drop(["n_treated", "n_controls"]).isna().all()
    with pytest.raises(ValueError, match="no standard error for 'north'"):
        north.confidence_interval()


def test_an_outcome_model_stands_in_for_missing_controls():
    treated_only = np.where(np.flatnonzero(D[::SIZE] == 1)[0] == GROUPS, "a", "b")
    model = ClusterEffect(outcome=OLS, estimation_method="regression", inference="cr1")
    with pytest.warns(DesignWarning, match=r"no standard errors for them: a \(cluster"):
        model.fit(X, Y, D, GROUPS, by=treated_only)
    assert np.isfinite(model.effects_[1].estimate)
    with pytest.warns(DesignWarning, match="no control rows in 'a'"):
        ClusterEffect(outcome=OLS, inference="cr1").fit(X, Y, D, GROUPS, by=treated_only)


def test_subgroups_of_equal_names():
    by = np.array([1, "1"], object)[np.arange(len(Y)) % 2]
    model = ClusterEffect(outcome=OLS, inference="cr1").fit(X, Y, D, GROUPS, by=by)
    assert sorted(e.name for e in model.effects_[1:]) == ["by='1'", "by=1"]


MISSING = np.array([None, *["a"] * (len(Y) - 1)], object)


def test_missing_labels_are_of_their_argument():
    with pytest.raises(ValueError, match=r"^by has no label in row 0; every row needs one"):
        ClusterEffect(outcome=OLS).fit(X, Y, D, GROUPS, by=MISSING)
    with pytest.raises(
        ValueError, match=r"^groups has no label in row 0; every row must belong to a cluster"
    ):
        ClusterEffect(outcome=OLS).fit(X, Y, D, MISSING)
    for argument in ("time", "unit"):
        arguments = {"time": np.arange(len(Y)), "unit": np.arange(len(Y))} | {argument: MISSING}
        with pytest.raises(ValueError, match=f"^{argument} has no label in row 0"):
            DifferenceInDifferences().fit(X, Y, D, GROUPS, **arguments)
    with pytest.raises(TypeError, match=r"^by holds \[1\] of type list in row 0"):
        ClusterEffect(outcome=OLS).fit(X, Y, D, GROUPS, by=[[1]] * len(Y))
    with pytest.raises(ValueError, match="by has 3 rows; X has 126"):
        ClusterEffect(outcome=OLS).fit(X, Y, D, GROUPS, by=["a", "b", "c"])


@pytest.mark.parametrize("ever", [True, False])
def test_a_cluster_without_a_row_in_a_period(ever):
    """In either coding of the treatment, and not blamed on the treatment."""
    late = TWICE["year"] == 2001
    treatment = TWICE["zip"].map(dict(zip(GROUPS, D, strict=True))) * (1 if ever else late)
    cluster = np.flatnonzero(D[::SIZE])[0]
    keep = ~((TWICE["zip"] == cluster) & late)
    columns = [column[keep].to_numpy() for column in (TWICE["y"], treatment, TWICE["zip"], TWICE["year"])]
    with pytest.raises(
        ValueError, match=f"cluster {cluster} has no row in period 2001, one of 1 such clusters"
    ):
        DifferenceInDifferences(outcome=OLS).fit(np.empty((keep.sum(), 0)), *columns)


def test_treated_before_and_after_among_adopters():
    late, d = TWICE["year"].to_numpy() == 2001, np.tile(D, 2)
    always = np.flatnonzero(D[::SIZE])[0]
    treatment = d * (late | (TWICE["zip"].to_numpy() == always))
    n = int(D[::SIZE].sum())
    with pytest.raises(
        ValueError, match=f"one of {n - 1} that change, while 1 of 14 clusters are treated in 2000"
    ):
        DifferenceInDifferences(outcome=OLS).fit(
            np.empty((len(d), 0)),
            TWICE["y"].to_numpy(),
            treatment,
            TWICE["zip"].to_numpy(),
            TWICE["year"].to_numpy(),
        )


def test_weights_of_zero_are_no_cluster():
    weight = (GROUPS != 3) * 1.0
    for design in (ClusterEffect(outcome=OLS), ClusterEffect()):
        with pytest.raises(ValueError, match="sample_weight is 0 in every row of cluster 3"):
            design.fit(X, Y, D, GROUPS, sample_weight=weight)
    later = np.r_[weight, np.ones(len(Y))]
    with pytest.raises(ValueError, match="0 in every row of cluster 3 in period 2000, whose weights count"):
        DifferenceInDifferences(outcome=OLS).fit(
            TWICE.assign(w=later), *NAMES, "year", unit="id", covariates=[], sample_weight="w"
        )
