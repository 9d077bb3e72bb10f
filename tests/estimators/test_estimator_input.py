"""What the estimators take, and what they refuse."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from small_models import CLASSES, GROUPS, X, Y, classifier, nan_in, regressor

from rfpcore import Clusters, MixedRegressor, MLPRegressor, RFPClassifier, RFPRegressor


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(X, Y, GROUPS)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(frame, fitted):
    table = frame({"x": X[:, 0], "y": Y, "district": [f"d{g}" for g in GROUPS]})
    model = regressor().fit(table[["x"]], table["y"], table["district"])
    assert_array_equal(model.feature_names_in_, ["x"])
    assert_array_equal(model.theta_, fitted.theta_)
    assert_array_equal(model.predict(table[["x"]]), fitted.predict(X))
    adapted = model.adapt(table[["x"]], table["y"], table["district"])
    assert_array_equal(adapted.labels_, [f"d{g}" for g in range(6)])
    assert_array_equal(
        adapted.predict(table[["x"]], table["district"]), fitted.adapt(X, Y, GROUPS).predict(X, GROUPS)
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["y"]])


@pytest.mark.parametrize(
    "label", [lambda g: f"d{g}", lambda g: (g, "x"), lambda g: g / 2, lambda g: np.datetime64(int(g), "D")]
)
def test_labels_of_any_type_and_rows_in_any_order(label, fitted):
    order = np.random.default_rng(0).permutation(len(Y))
    groups = [label(g) for g in GROUPS[order].tolist()]
    model = regressor().fit(X[order], Y[order], groups)
    assert_allclose(model.theta_, fitted.theta_, rtol=1e-8)  # rows of a cluster are summed in another order
    assert_allclose(
        model.adapt(X[order], Y[order], groups).predict(X[order], groups),
        fitted.adapt(X, Y, GROUPS).predict(X, GROUPS)[order],
        rtol=1e-8,
    )


def test_dtype_is_that_of_X_unless_told(fitted):
    single = regressor().fit(X.astype(np.float32), Y, GROUPS)
    assert single.theta_.dtype == single.predict(X).dtype == np.float32
    assert single.adapt(X, Y, GROUPS, method="gradient").predict(X, GROUPS).dtype == np.float32
    assert_allclose(single.predict(X), fitted.predict(X), atol=1e-4)
    assert regressor(dtype="float32").fit(X, Y, GROUPS).theta_.dtype == np.float32
    assert regressor(dtype="float64").fit(X.astype(np.float32), Y, GROUPS).theta_.dtype == np.float64


BAD_PARAMS = {
    "alpha": (1.5, ValueError, r"alpha=1.5; a number in \[0, 1\] is needed"),
    "inner_steps": (-1, ValueError, "inner_steps=-1 is too small"),
    "inner_lr": (0.0, ValueError, "inner_lr=0.0; a positive number is needed"),
    "inner_momentum": (1.0, ValueError, r"inner_momentum=1.0; a number in \[0, 1\)"),
    "adapt_layers": ("head", ValueError, "adapt_layers='head' is unknown; one of 'all', 'last'"),
    "order": ("second", ValueError, "order='second' is unknown"),
    "query_fraction": (1.0, ValueError, r"query_fraction=1.0; a number in \(0, 1\)"),
    "solver": ("lbfgs", ValueError, "solver='lbfgs' is unknown; one of 'adam', 'adamw', 'sgd'"),
    "learning_rate_init": (-1, ValueError, "learning_rate_init=-1.0; a positive number"),
    "learning_rate": ("adaptive", ValueError, "learning_rate='adaptive' is unknown"),
    "momentum": (1.0, ValueError, r"momentum=1.0; a number in \[0, 1\)"),
    "weight_decay": (-0.1, ValueError, "weight_decay=-0.1; a number of at least 0"),
    "clip_norm": (0, ValueError, "clip_norm=0.0; a positive number"),
    "regularization": ("l2", TypeError, "regularization='l2' is a str; a term such as"),
    "max_iter": (0, ValueError, "max_iter=0 is too small; at least 1"),
    "batch_size": (2.5, TypeError, "batch_size=2.5 is a float; an integer"),
    "validation_fraction": (0, ValueError, r"validation_fraction=0.0; a number in \(0, 1\)"),
    "n_iter_no_change": (0, ValueError, "n_iter_no_change=0 is too small"),
    "tol": (-1, ValueError, "tol=-1.0; a number of at least 0"),
    "on_divergence": ("ignore", ValueError, "on_divergence='ignore' is unknown"),
    "dtype": ("float16", ValueError, "dtype='float16' is unknown"),
    "n_jobs": (0, ValueError, "n_jobs=0 has no meaning"),
    "verbose": ("yes", TypeError, "verbose='yes' is a str"),
    "callbacks": ([1], TypeError, "callbacks holds 1 of type int"),
    "hidden_layer_sizes": ((3, 0), ValueError, r"hidden_layer_sizes\[1\]=0 is too small"),
    "activation": ("sigmoid", ValueError, "activation='sigmoid' is unknown"),
    "loss": ("logistic", ValueError, "loss='logistic' is unknown; one of 'squared', 'poisson'"),
}


@pytest.mark.parametrize("name", BAD_PARAMS)
def test_bad_parameters_are_named(name):
    value, kind, message = BAD_PARAMS[name]
    model = regressor(**{name: value})
    with pytest.raises(kind, match=message):
        model.fit(X, Y, GROUPS)
    assert not hasattr(model, "theta_")
    assert not hasattr(model, "n_features_in_")


def test_every_parameter_is_documented_and_refused_when_wrong():
    for cls in (RFPRegressor, RFPClassifier):
        names = set(cls().get_params())
        assert all(f"\n    {name} : " in cls.__doc__ for name in names)
    # The rest cannot be wrong: any value of a flag has a truth, any seed is scikit-learn's to judge.
    assert set(RFPRegressor().get_params()) - set(BAD_PARAMS) == {
        "standardize",
        "early_stopping",
        "warm_start",
        "random_state",
    }


BAD_DATA = {
    "X NaN": ((nan_in(X, 3), Y, GROUPS), "X must be finite, .* nan in row 3"),
    "y NaN": ((X, nan_in(Y, 5), GROUPS), "y must be finite, .* nan in row 5"),
    "length": ((X, Y[:-1], GROUPS), "y has 53 rows; X has 54"),
    "groups length": ((X, Y, GROUPS[:-2]), "groups has 52 rows; X has 54"),
    "label missing": ((X, Y, nan_in(GROUPS.astype(float), 7)), "groups has no label in row 7"),
    "weights": ((X, Y, GROUPS, -np.ones(len(Y))), "sample_weight must not be negative"),
    "no weight": ((X, Y, GROUPS, (GROUPS != 2).astype(float)), "sample_weight sums to 0.0 in cluster 2"),
}


@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_bad_data_are_refused_before_any_work(name, early_stopping):
    data, message = BAD_DATA[name]
    model = regressor(early_stopping=early_stopping)
    with pytest.raises(ValueError, match=message):
        model.fit(*data)
    assert vars(model) == vars(regressor(early_stopping=early_stopping))


TABLE = pd.DataFrame({"x": X[:, 0], "region": "north"})


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("kind", [RFPRegressor, MLPRegressor, MixedRegressor])
def test_columns_that_are_no_numbers_are_named(kind, frame):
    """scikit-learn says that 'north' is no float, and not where it stands."""
    model = kind()
    given = {} if kind is MLPRegressor else {"groups": GROUPS}
    found = "row 0, column 'region' holds 'north', a str; real numbers are needed.*FormulaFeatures"
    with pytest.raises(TypeError, match=found):
        model.fit(frame(TABLE[["x", "region"]].to_dict("list")), Y, **given)
    if kind is not MLPRegressor:  # whose rows of weight 0 may lack a value
        with pytest.raises(ValueError, match="the first is nan in row 4, column 'more'"):
            model.fit(frame({"x": X[:, 0], "more": nan_in(Y, 4)}), Y, **given)


DAYS = pd.date_range("2020-01-01", periods=len(Y), freq="h")
TIMES = {
    "array": DAYS.to_numpy()[:, None],
    "durations": (DAYS - DAYS[0]).to_numpy()[:, None],
    "pandas": pd.DataFrame({"day": DAYS}),
    "pandas, beside numbers": pd.DataFrame({"x": Y, "day": DAYS}),
    "pandas, with a zone": pd.DataFrame({"x": Y, "day": DAYS.tz_localize("UTC")}),
    "polars": pl.DataFrame({"x": Y, "day": DAYS.to_list()}),
    "polars dates": pl.DataFrame({"x": Y, "day": [day.date() for day in DAYS]}),
    "polars durations": pl.DataFrame({"x": Y, "day": (DAYS - DAYS[0]).to_list()}),
    "polars hours": pl.DataFrame({"x": Y, "day": [day.time() for day in DAYS]}),
}


@pytest.mark.parametrize("name", TIMES)
def test_dates_are_no_numbers(name):
    """They were taken as time since 1970, in the unit that the library had them in: days, us or ns."""
    given = TIMES[name]
    what = "column 'day' of X" if hasattr(given, "columns") else "X"
    for fit in (
        lambda: regressor().fit(given, Y, GROUPS),
        lambda: MLPRegressor().fit(given, Y),
        lambda: MixedRegressor(mean="linear").fit(given, Y, GROUPS),
        lambda: Clusters(given, Y, GROUPS),
    ):
        with pytest.raises(TypeError, match=f"^{what} has dtype .*; real numbers are needed"):
            fit()


def test_the_name_of_a_column_is_no_label():
    with pytest.raises(ValueError, match=r"groups is the text 'district'; .* X\['district'\]"):
        regressor().fit(TABLE[["x"]], Y, "district")


def test_bad_outcomes():
    with pytest.raises(ValueError, match=r"loss='poisson' needs values of at least 0 in y, .* the first is"):
        regressor(loss="poisson").fit(X, -Y, GROUPS)
    with pytest.raises(ValueError, match=r"at least 2 classes; y has only one class, 1\.0"):
        classifier().fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match=r"y must be finite, .* nan in row 4"):
        classifier().fit(X, nan_in((Y > 1).astype(float), 4))
    with pytest.raises(ValueError, match="y holds tall in row 1, which is none of the 3 classes"):
        classifier().fit(X, CLASSES, GROUPS).adapt(X[:2], ["low", "tall"])
    with pytest.raises(ValueError, match="y has 2 columns; loss='squared' needs 1"):
        regressor().fit(X, Y, GROUPS).adapt(X, np.column_stack([Y, Y]))
    with pytest.raises(NotFittedError):
        regressor().predict(X)
    with pytest.raises(NotFittedError):
        regressor().adapt(X, Y)


ODD = {
    "masked": (np.ma.masked_less(X, 0), ValueError, "X must be finite, but .* the first is nan in row"),
    "text": (X.astype(str), TypeError, "X has dtype <U32; real numbers are needed"),
    "text in a list": (X.astype(str).tolist(), TypeError, "X has dtype <U.*; real numbers are needed"),
    "text as objects": (
        X.astype(str).astype(object),
        TypeError,
        "holds '.*', a str; real numbers are needed",
    ),
    "a column of text": (
        pd.DataFrame({"zip": ["02139"] * len(X)}),
        TypeError,
        "holds '02139', a str; real numbers are needed.*FormulaFeatures, or an encoder",
    ),
    "masked text": (np.ma.array(X.astype(str)), TypeError, "X has dtype <U32; real numbers are needed"),
    "polars' lazy frames": (pl.LazyFrame({"x": X[:, 0]}), TypeError, r"X is lazy \(LazyFrame\); .*collect"),
    "polars' text": (pl.DataFrame({"zip": ["1"] * len(X)}), TypeError, "holds '1', a str"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_numpy_would_make_numbers_of(name, fitted):
    """scikit-learn's conversion drops masks, and reads digits."""
    odd, kind, message = ODD[name]
    with pytest.raises(kind, match=message):
        regressor().fit(odd, Y, GROUPS)
    with pytest.raises(kind, match=message):
        fitted.predict(odd)


def test_dates_as_objects_are_told_with_their_column():
    table = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=len(X)).date})
    with pytest.raises(TypeError, match=r"row 0, column 'day' holds datetime.date.*, a date; real numbers"):
        regressor().fit(table, Y, GROUPS)


def test_columns_called_as_what_frames_have():
    """Of which pandas makes attributes."""
    for name in ("_mask", "lazy", "dtypes", "schema", "columns"):
        table = pd.DataFrame({name: X[:, 0], "collect": X[:, 0]})
        assert_array_equal(regressor().fit(table, Y, GROUPS).feature_names_in_, [name, "collect"])


def test_columns_of_numbers_of_other_kinds(fitted):
    table = pd.DataFrame({"x": X[:, 0]})
    for kind in ("Float64", object):
        assert_array_equal(regressor().fit(table.astype(kind), Y, GROUPS).theta_, fitted.theta_)
    assert_array_equal(regressor().fit(np.ma.array(X), Y, GROUPS).theta_, fitted.theta_)
    flags = pd.DataFrame({"a": X[:, 0] > 0, "b": pd.Categorical(GROUPS)})
    numbers = np.column_stack([X[:, 0] > 0, GROUPS]).astype(float)
    assert_array_equal(regressor().fit(flags, Y, GROUPS).theta_, regressor().fit(numbers, Y, GROUPS).theta_)
