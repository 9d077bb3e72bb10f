"""Rows that lack a value, and columns of text: against the same data prepared by hand."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression

import rfpcore
from rfpcore.causal import (
    ClusterEffect,
    DifferenceInDifferences,
    IndividualEffect,
    StaggeredEffect,
    linear_effect,
)

OLS = LinearRegression()
RANDOM = np.random.default_rng(0)
N = 120
GROUPS = np.repeat(np.arange(20), 6)
NAMES = {"y": "y", "treatment": "d", "groups": "g"}
TABLE = pd.DataFrame(
    {
        "y": RANDOM.standard_normal(N),
        "d": GROUPS % 2,
        "own": np.arange(N) % 2,
        "g": GROUPS,
        "x": RANDOM.standard_normal(N),
        "sex": np.where(RANDOM.random(N) < 0.5, "male", "female"),
        "size": pd.Categorical(
            np.array(["small", "mid", "large"])[RANDOM.integers(0, 3, N)],
            ["small", "mid", "large"],
            ordered=True,
        ),
        "never": np.nan,
    }
)
HOLES = TABLE.copy()
HOLES.loc[3, "y"] = np.nan
HOLES.loc[[10, 11], "x"] = np.nan
HOLES.loc[20, "sex"] = None
HOLES.loc[30, "size"] = np.nan
LACK = [3, 10, 11, 20, 30]
COVARIATES = ["x", "sex", "size"]


def told(model):
    return model.estimate_, model.std_error_


def by_hand(frame):
    """Columns of zeros and ones, the first label of each left out."""
    return np.column_stack(
        [
            frame["x"],
            frame["sex"] == "male",
            frame["size"] == "mid",
            frame["size"] == "large",
        ]
    ).astype(float)


def to_polars(frame):
    """Column by column, for pandas hands over text with pyarrow alone."""
    columns = {name: frame[name].to_numpy() for name in ("y", "d", "own", "g", "x", "never")}
    text = {name: [None if v != v else v for v in frame[name].astype(object)] for name in ("sex", "size")}
    sizes = pl.Enum(["small", "mid", "large"])
    return pl.DataFrame(columns | text).with_columns(pl.col("size").cast(sizes))


@pytest.mark.parametrize("make", [pd.DataFrame, to_polars], ids=["pandas", "polars"])
@pytest.mark.parametrize("kind", [ClusterEffect, IndividualEffect])
def test_dropped_and_encoded_as_by_hand(kind, make):
    treatment = "d" if kind is ClusterEffect else "own"
    names = NAMES | {"treatment": treatment}
    model = kind(outcome=OLS, missing="drop").fit(make(HOLES), **names, covariates=COVARIATES)
    rest = HOLES.drop(index=LACK)
    expected = kind(outcome=OLS).fit(by_hand(rest), rest["y"].array, rest[treatment].array, rest["g"].array)
    assert told(model) == told(expected)
    assert model.n_dropped_ == 5
    assert model.n_rows_ == N - 5
    # An Enum of polars keeps the order of the categories.
    assert model.references_ == {"sex": "female", "size": "small"}
    assert "Rows dropped, no value" in model.summary()
    assert "Reference of sex" in model.summary()


@pytest.mark.filterwarnings("ignore:5 of 10 treated clusters lie outside")
def test_names_of_columns():
    model = ClusterEffect(outcome=OLS, missing="drop", cluster_columns=["x", "sex"])
    model.fit(HOLES, **NAMES, covariates=COVARIATES)
    assert model._sample.names == ["x", "sex[male]", "size[mid]", "size[large]"]
    assert model._sample.cluster_names == ["x", "sex[male]"]


def test_missing_values_are_an_error_by_default():
    for column in ("x", "sex", "size"):
        with pytest.raises(ValueError, match=f"column '{column}'"):
            ClusterEffect(outcome=OLS).fit(HOLES.assign(y=TABLE["y"]), **NAMES, covariates=[column])
    with pytest.raises(ValueError, match="missing='ignore' is unknown"):
        ClusterEffect(missing="ignore").fit(TABLE, **NAMES, covariates=["x"])
    with pytest.raises(ValueError, match="missing='ignore' is unknown"):
        linear_effect(TABLE, **NAMES, covariates=["x"], missing="ignore")


def test_columns_that_are_not_used_drop_nothing():
    model = ClusterEffect(outcome=OLS, missing="drop").fit(TABLE, **NAMES, covariates=["x"])
    assert model.n_dropped_ == 0
    assert told(model) == told(ClusterEffect(outcome=OLS).fit(TABLE, **NAMES, covariates=["x"]))
    assert "dropped" not in model.summary()
    with pytest.raises(ValueError, match=r"leaves none of the 120 rows.* column 'never' 120"):
        ClusterEffect(missing="drop").fit(TABLE, **NAMES, covariates=["never"])


def test_arrays():
    X = HOLES[["x"]].to_numpy()
    by, weight = ["a", None, *["b", "a"] * 59], np.r_[np.ones(N - 1), np.nan]
    model = ClusterEffect(outcome=OLS, missing="drop")
    model.fit(X, list(HOLES["y"]), TABLE["d"].array, GROUPS, by=by, sample_weight=weight)
    assert model.n_dropped_ == 5  # rows 1, 3, 10, 11 and the last
    assert [effect.name for effect in model.effects_[1:]] == ["a", "b"]
    keep = np.setdiff1d(np.arange(N), [1, 3, 10, 11, N - 1])
    expected = ClusterEffect(outcome=OLS).fit(X[keep], HOLES["y"].array[keep], GROUPS[keep] % 2, GROUPS[keep])
    assert told(model) == told(expected)
    with pytest.raises(ValueError, match="y has 119 rows"):
        model.fit(X, list(HOLES["y"])[:-1], TABLE["d"].array, GROUPS)


def test_labels_without_a_value():
    groups = GROUPS.astype(float)
    groups[7] = np.nan
    model = ClusterEffect(outcome=OLS, missing="drop").fit(TABLE.assign(g=groups), **NAMES, covariates=["x"])
    assert (model.n_dropped_, model.n_clusters_) == (1, 20)


def test_linear_effect():
    effect = linear_effect(HOLES, **NAMES, covariates=COVARIATES, missing="drop")
    rest = HOLES.drop(index=LACK)
    expected = linear_effect(by_hand(rest), rest["y"].array, rest["d"].array, rest["g"].array)
    assert (effect.estimate, effect.std_error) == (expected.estimate, expected.std_error)
    assert effect.method.endswith(", 5 rows without a value dropped")


def test_units_lacking_a_period_are_left_out():
    long = pd.concat([TABLE.assign(t=t, who=np.arange(N)) for t in (0, 1)], ignore_index=True)
    long["y"] += long["t"] * RANDOM.standard_normal(2 * N)
    holes = long.copy()
    holes.loc[[5, N + 9], "y"] = np.nan
    names = NAMES | {"time": "t", "unit": "who"}
    model = DifferenceInDifferences(outcome=OLS, missing="drop").fit(holes, **names, covariates=["sex"])
    rest = long[~long["who"].isin([5, 9])]
    expected = DifferenceInDifferences(outcome=OLS).fit(rest, **names, covariates=["sex"])
    assert told(model) == told(expected)
    assert model.n_dropped_ == 4
    assert model.n_rows_ == N - 2
    assert "Rows dropped" in model.summary()


def test_staggered():
    year = np.tile(np.arange(6), 20)
    frame = TABLE.assign(t=year, d=(year >= np.array([2, 3, 99, 99])[GROUPS % 4]).astype(int))
    holes = frame.copy()
    holes.loc[[0, 40], "y"] = np.nan
    names = NAMES | {"time": "t"}
    model = StaggeredEffect(missing="drop").fit(holes, **names, covariates=[])
    expected = StaggeredEffect().fit(frame.drop(index=[0, 40]), **names, covariates=[])
    assert told(model) == told(expected)
    assert model.n_dropped_ == 2


def test_too_many_labels():
    frame = TABLE.assign(address=[f"street {i}" for i in range(N)])
    with pytest.raises(ValueError, match="'address' has 120 different labels"):
        ClusterEffect().fit(frame, **NAMES, covariates=["address"])


def test_files_keep_the_count(tmp_path):
    model = ClusterEffect(outcome=OLS, missing="drop").fit(HOLES, **NAMES, covariates=COVARIATES)
    model.save(tmp_path / "effect.safetensors")
    loaded = rfpcore.load(tmp_path / "effect.safetensors")
    assert loaded.summary() == model.summary()
    assert loaded.missing == "drop"
    assert_array_equal(loaded.effect_.draws, model.effect_.draws)


def test_rows_of_sequences():
    """Of ranges and the standard library's arrays too, which take no array of rows."""
    from array import array

    rows = np.where(np.arange(len(TABLE)) == 3, np.nan, TABLE["x"].to_numpy())[:, None]
    y, d = np.arange(len(rows)) * 0.5 + TABLE["d"], np.arange(len(rows)) % 3 == 0
    found = [
        IndividualEffect(outcome=OLS, missing="drop").fit(rows, outcome, d, groups).estimate_
        for outcome, groups in ((y.to_numpy(), None), (array("d", y), range(len(rows))))
    ]
    assert found[0] == found[1]
