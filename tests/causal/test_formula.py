"""Formulas in place of the outcome: against the same columns made by hand, and against pyfixest."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

import rfpcore
from rfpcore.causal import (
    ClusterEffect,
    DifferenceInDifferences,
    IndividualEffect,
    StaggeredEffect,
    linear_effect,
    wild_interval,
)
from rfpcore.formula import FormulaFeatures

pytest.importorskip("formulaic", reason="reads formulas")
OLS = LinearRegression()
RANDOM = np.random.default_rng(0)
N = 120
GROUPS = np.repeat(np.arange(20), 6)
SEX = np.where(RANDOM.random(N) < 0.5, "male", "female")
SIZE = np.array(["small", "mid", "large"])[RANDOM.integers(0, 3, N)]
ORDER = ["small", "mid", "large"]
FRAME = pd.DataFrame(
    {
        "y": RANDOM.standard_normal(N),
        "law": GROUPS % 2,
        "own": np.arange(N) % 2,
        "town": GROUPS,
        "x": np.exp(RANDOM.standard_normal(N)),
        "code": RANDOM.integers(1, 4, N),
        "sex": SEX,
        "size": pd.Categorical(SIZE, ORDER, ordered=True),
        "year": np.tile(np.arange(6), 20),
        "mark": RANDOM.integers(0, 2, N),
        "weight": 0.5 + RANDOM.random(N),
    }
)
RIGHT = "np.log(x) + C(code) + sex*x + size"


def by_hand(frame):
    """The columns of RIGHT, treatment contrasts, main terms first."""
    x, male = frame["x"].to_numpy(), (frame["sex"] == "male").to_numpy()
    code, size = frame["code"].to_numpy(), frame["size"].to_numpy()
    columns = [np.log(x), code == 2, code == 3, male, x, size == "mid", size == "large", male * x]
    return np.column_stack(columns).astype(float)


NAMES = ["np.log(x)", "C(code)[T.2]", "C(code)[T.3]", "sex[T.male]", "x", "size[T.mid]", "size[T.large]"]
NAMES += ["sex[T.male]:x"]
REFERENCES = {"C(code)": "1", "sex": "female", "size": "small"}
STARTS = (FRAME["year"] >= np.where(FRAME["town"] % 2, 3, 99)).to_numpy(int)
DESIGNS = {
    "ClusterEffect": (ClusterEffect(outcome=OLS), {"treatment": "law"}),
    "IndividualEffect": (IndividualEffect(outcome=OLS), {"treatment": "own"}),
    "DifferenceInDifferences": (DifferenceInDifferences(outcome=OLS), {"treatment": "law", "time": "late"}),
    "StaggeredEffect": (
        StaggeredEffect(outcome=OLS, cluster_columns=[]),
        {"treatment": "on", "time": "year"},
    ),
}


def told(model):
    return [(e.estimate, e.std_error) for e in model.effects_]


def to_polars(frame):
    columns = {name: frame[name].to_numpy() for name in frame if name not in ("sex", "size")}
    text = {name: frame[name].astype(object).tolist() for name in ("sex", "size")}
    return pl.DataFrame(columns | text).with_columns(pl.col("size").cast(pl.Enum(ORDER)))


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("make", [pd.DataFrame, to_polars], ids=["pandas", "polars"])
@pytest.mark.parametrize("name", DESIGNS)
def test_the_bits_of_the_columns_made_by_hand(name, make):
    model, roles = DESIGNS[name]
    frame = FRAME.assign(late=FRAME["year"] >= 3, on=STARTS)
    formula = clone(model).fit(make(frame), f"y ~ {roles['treatment']} + {RIGHT}", groups="town", **roles)
    arrays = {role: frame[column].to_numpy() for role, column in roles.items()}
    expected = clone(model).fit(by_hand(FRAME), FRAME["y"].array, groups=GROUPS, **arrays)
    assert told(formula) == told(expected)
    assert formula.references_ == REFERENCES
    assert list(formula._about.covariates) == NAMES
    assert formula._about.outcome == "y"
    summary = formula.summary()
    assert summary.count("Reference of sex") == 1
    assert "Reference of C(code)" in summary


def test_the_treatment_may_be_named_or_not():
    with_it, without = (
        ClusterEffect(outcome=OLS, inference="cr1").fit(FRAME, f"np.exp(y) ~ {right}", "law", "town")
        for right in ("x + law", "x")
    )
    assert told(with_it) == told(without)
    expected = ClusterEffect(outcome=OLS, inference="cr1").fit(
        FRAME[["x"]].to_numpy(), np.exp(FRAME["y"].to_numpy()), FRAME["law"], GROUPS
    )
    assert told(with_it) == told(expected)
    assert with_it._about.outcome == "np.exp(y)"
    nothing = ClusterEffect(outcome=OLS).fit(FRAME, "y ~ law", "law", "town")
    assert told(nothing) == told(ClusterEffect(outcome=OLS).fit(FRAME, "y", "law", "town", covariates=[]))


def test_rows_without_a_value():
    holes = FRAME.copy()
    holes.loc[3, "y"] = np.nan
    holes.loc[4, "sex"] = None
    holes.loc[5, "x"] = np.nan
    holes.loc[6, "size"] = np.nan
    formula = f"y ~ law + {RIGHT}"
    with pytest.raises(ValueError, match="column 'sex' has no value in row 4, one of 1 such rows of 120"):
        ClusterEffect().fit(holes.assign(y=FRAME["y"]), "y ~ sex", "law", "town")
    model = ClusterEffect(outcome=OLS, missing="drop").fit(holes, formula, "law", "town")
    rest = holes.drop(index=[3, 4, 5, 6])
    expected = ClusterEffect(outcome=OLS).fit(by_hand(rest), rest["y"].array, rest["law"].array, rest["town"])
    assert told(model) == told(expected)
    assert model.n_dropped_ == 4
    with pytest.raises(ValueError, match=r"not; the first is -inf in row 0, column 'np.log\(year\)'"):
        ClusterEffect().fit(FRAME, "y ~ np.log(year)", "law", "town")


@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_linear_effect_with_fixed_effects_as_pyfixest_has_them():
    pyfixest = pytest.importorskip("pyfixest")
    formula = "y ~ mark + np.log(x) + C(code) | town + year"
    found = linear_effect(FRAME, formula, "mark", "town", sample_weight="weight", inference="cr1")
    named = linear_effect(
        FRAME.assign(log=np.log(FRAME["x"]), two=FRAME["code"] == 2, three=FRAME["code"] == 3),
        *("y", "mark", "town"),
        covariates=["log", "two", "three"],
        absorb=["town", "year"],
        sample_weight="weight",
        inference="cr1",
    )
    assert (found.estimate, found.std_error) == (named.estimate, named.std_error)
    theirs = pyfixest.feols(formula, FRAME, vcov={"CRV1": "town"}, weights="weight").tidy().loc["mark"]
    # Their fixed effects are taken off by iteration.
    assert_allclose([found.estimate, found.std_error], [theirs["Estimate"], theirs["Std. Error"]], rtol=1e-6)
    assert found.about.references == {"C(code)": "1"}
    assert "Reference of C(code)" in found.summary()
    interval = wild_interval(FRAME, formula, "mark", "town", n_draws=99)
    assert interval == wild_interval(
        FRAME, "y ~ np.log(x) + C(code)", "mark", "town", absorb=["town", "year"], n_draws=99
    )


def test_files_keep_the_references(tmp_path):
    effect = linear_effect(FRAME, "y ~ own + sex", "own", "town")
    effect.save(tmp_path / "effect")
    assert rfpcore.load(tmp_path / "effect").about == effect.about
    model = ClusterEffect(outcome=OLS).fit(FRAME, "y ~ law + sex", "law", "town")
    model.save(tmp_path / "model")
    loaded = rfpcore.load(tmp_path / "model")
    assert loaded.summary() == model.summary()
    assert loaded.references_ == {"sex": "female"}


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ law:x", "the term 'law:x' of 'y ~ law:x' is made of the treatment 'law'"),
        ("y ~ law + np.log(law)", "is made of the treatment 'law'"),
        ("y ~ x + nothing", "names 'nothing', which is no column; X has 'y', 'law'"),
        ("y ~ x - 1", "leaves the intercept out"),
        ("y ~ 0 + x", "leaves the intercept out"),
        ("y + x ~ law", "has 2 outcomes"),
        ("~ law", "has 0 outcomes"),
        ("y ~ x + y", "has 'y' on both sides"),
        ("y ~ .", "'.' stands for all other columns, which have to be named"),
        ("y ~ x | year | town", "has too many parts"),
        ("y ~ x | year", r"has fixed effects, .* of linear_effect alone; as covariates: \+ C\(year\)"),
        ("y ~ x +* law", "the formula 'y ~ x .* law': Operator .* is incorrectly used. y ~ x "),
        ("sex ~ x", "the outcome 'sex' holds labels"),
        ("y ~ np.nonsense(x)", "Unable to evaluate factor"),
        ("y ~ I(x if 1 else)", "invalid syntax"),
    ],
)
def test_what_is_wrong_with_a_formula(formula, words):
    with pytest.raises(ValueError, match=words):
        ClusterEffect().fit(FRAME, formula, "law", "town")


def test_what_is_wrong_beside_a_formula():
    with pytest.raises(ValueError, match="names the covariates; leave the argument `covariates` out"):
        ClusterEffect().fit(FRAME, "y ~ x", "law", "town", covariates=["x"])
    with pytest.raises(ValueError, match="names the fixed effects; leave the argument `absorb` out"):
        linear_effect(FRAME, "y ~ x | year", "law", "town", absorb="year")
    with pytest.raises(TypeError, match="'y ~ x' names columns, but X is a ndarray"):
        ClusterEffect().fit(FRAME[["x"]].to_numpy(), "y ~ x", "law", "town")
    with pytest.raises(TypeError, match="X='y ~ law' is a formula; the frame comes first"):
        ClusterEffect().fit("y ~ law", FRAME, "law", "town")
    many = FRAME.assign(name=[f"n{i}" for i in range(N)])
    with pytest.raises(ValueError, match="name has 120 different labels"):
        ClusterEffect().fit(many, "y ~ name", "law", "town")


def test_a_column_with_a_tilde_in_its_name_is_a_column():
    renamed = FRAME.rename(columns={"y": "y ~ x"})
    found = linear_effect(renamed, "y ~ x", "law", "town", covariates=["code"])
    assert found.estimate == linear_effect(FRAME, "y", "law", "town", covariates=["code"]).estimate


def test_without_formulaic(monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    words = r"formulas are read by formulaic: pip install 'rfpcore\[formula\]'"
    with pytest.raises(ImportError, match=words):
        ClusterEffect().fit(FRAME, "y ~ x", "law", "town")
    with pytest.raises(ImportError, match=words):
        FormulaFeatures("x").fit(FRAME)


@pytest.mark.parametrize("make", [pd.DataFrame, to_polars], ids=["pandas", "polars"])
def test_features_of_a_formula(make):
    features = FormulaFeatures(RIGHT).fit(make(FRAME))
    assert_array_equal(features.transform(make(FRAME)), by_hand(FRAME))
    assert features.get_feature_names_out().tolist() == NAMES
    assert features.references_ == REFERENCES
    assert features.feature_names_in_.tolist() == ["x", "code", "sex", "size"]
    # One row has one label, and still all columns; others do not matter.
    assert_array_equal(features.transform(make(FRAME)[:1]), by_hand(FRAME)[:1])
    assert features.set_output(transform="pandas").transform(FRAME).columns.tolist() == NAMES


def test_features_keep_what_they_have_learnt():
    features = FormulaFeatures("center(x) + poly(year, 2)").fit(FRAME)
    half = FRAME.iloc[:60]
    assert_allclose(features.transform(half)[:, 0], half["x"] - FRAME["x"].mean(), rtol=1e-12)
    # The polynomial is orthonormal over the rows of `fit`.
    whole = features.transform(FRAME)[:, 1:]
    assert_allclose(whole.T @ whole, np.eye(2), atol=1e-12)
    assert_allclose(features.transform(half)[:, 1:], whole[:60], rtol=1e-12)


def test_features_in_a_pipeline_with_clusters():
    model = rfpcore.RFPRegressor(hidden_layer_sizes=(3,), max_iter=5, inner_lr=0.05, random_state=0)
    piped = make_pipeline(FormulaFeatures(RIGHT), clone(model))
    piped.fit(FRAME, FRAME["y"], rfpregressor__groups=GROUPS)
    alone = clone(model).fit(by_hand(FRAME), FRAME["y"], GROUPS)
    assert_array_equal(piped.predict(FRAME), alone.predict(by_hand(FRAME)))


@pytest.mark.parametrize(
    ("formula", "change", "words"),
    [
        ("sex", {"sex": "other"}, "a column holds 'other', which no row had when it was fitted"),
        ("C(code)", {"code": 9}, "a column holds 9, which no row had"),
        ("sex", {"sex": None}, "column 'sex' has no value in row 0, one of 120"),
        ("np.log(x)", {"x": 0.0}, "is -inf in row 0"),
    ],
)
def test_rows_that_features_cannot_be_made_of(formula, change, words):
    features = FormulaFeatures(formula).fit(FRAME)
    with pytest.raises(ValueError, match=words):
        features.transform(FRAME.assign(**change))


def test_features_that_are_wrong():
    for formula, words in (("y ~ x", "no outcome"), ("1", "has no features"), ("x | year", "no '|'")):
        with pytest.raises(ValueError, match=words):
            FormulaFeatures(formula).fit(FRAME)
    with pytest.raises(TypeError, match="formula is a int"):
        FormulaFeatures(3).fit(FRAME)
    with pytest.raises(TypeError, match="X is a ndarray; a frame"):
        FormulaFeatures("x").fit(FRAME.to_numpy())
    with pytest.raises(ValueError, match="names 'x', which is no column"):
        FormulaFeatures("x").fit(FRAME).transform(FRAME.drop(columns="x"))


def test_numbers_in_a_column_of_objects_are_numbers():
    """As among `covariates`: formulaic takes all objects for labels."""
    from decimal import Decimal

    x = FRAME["code"]
    kinds = [x.astype(object), (x > 1).astype(object), x.astype("Int64"), x.map(Decimal), x + 0.5]
    kinds.append(pd.Series([np.bool_(value > 1) for value in x], dtype=object))
    for values in kinds:
        frame = FRAME.assign(v=values)
        by_name = linear_effect(frame, "y", "mark", "town", covariates=["v"])
        found = linear_effect(frame, "y ~ mark + v", "mark", "town")
        assert_allclose([found.estimate, found.std_error], [by_name.estimate, by_name.std_error], rtol=1e-10)
        assert found.about.covariates == ("v",)
    frame = FRAME.assign(v=x.astype(object), y=FRAME["y"].astype(object))
    factor, right = (linear_effect(f, "y ~ C(v)", "mark", "town") for f in (frame, FRAME.assign(v=x)))
    assert factor.estimate == right.estimate
    assert factor.about.covariates == ("C(v)[T.2]", "C(v)[T.3]")


def test_methods_of_columns():
    found = linear_effect(FRAME, "y ~ x.clip(0.5, 2)", "mark", "town").estimate
    by_hand = linear_effect(
        FRAME["x"].clip(0.5, 2).to_frame(), FRAME["y"], FRAME["mark"], GROUPS, covariates="all"
    )
    assert_allclose(found, by_hand.estimate, rtol=1e-12)
    lacking = FRAME.assign(x=FRAME["x"].where(FRAME["x"] < 2))
    dropped = linear_effect(lacking, "y ~ x.clip(0.5, 2)", "mark", "town", missing="drop")
    assert f"{lacking['x'].isna().sum()} rows without a value" in dropped.method


def test_contrasts():
    """Sums of effects in place of a reference span the same columns."""
    found = linear_effect(FRAME, "y ~ C(code, contr.sum) + np.log(x)", "mark", "town").estimate
    assert_allclose(
        found, linear_effect(FRAME, "y ~ C(code) + np.log(x)", "mark", "town").estimate, rtol=1e-10
    )


@pytest.mark.parametrize("name", ["contr", "np"])
def test_a_column_called_as_what_formulas_know(name):
    frame = FRAME.rename(columns={"x": name})
    for term in ("{}", "I({} * 1)", "center({})"):
        found, right = (
            linear_effect(rows, f"y ~ {term.format(own)}", "mark", "town").estimate
            for rows, own in ((frame, name), (FRAME, "x"))
        )
        assert_allclose(found, right, rtol=1e-12)


def test_dates_are_no_numbers():
    frame = FRAME.assign(day=pd.to_datetime("2020-01-01") + pd.to_timedelta(FRAME["code"], "D"))
    with pytest.raises(TypeError, match=r"the formula 'y ~ day': .*has to be a label: C\(\.\.\.\)"):
        linear_effect(frame, "y ~ day", "mark", "town")
    assert len(linear_effect(frame, "y ~ C(day)", "mark", "town").about.covariates) == 2
