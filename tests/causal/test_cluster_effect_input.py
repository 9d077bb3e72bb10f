"""Bad input: errors that name the cluster or the column, and warnings about the design."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from policy_data import GROUPS, SIZE, D, X, Y
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVC

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, IndividualEffect, StaggeredEffect
from rfpcore.exceptions import DesignWarning

OLS = LinearRegression()
COLUMNS = ["age", "rent", "evictions"]
NAMED = ("outcome", "policy", "zipcode")
FRAME = pd.DataFrame(X, columns=COLUMNS).assign(
    outcome=Y, policy=D, zipcode=GROUPS + 6000, half=np.where(X[:, 0] > 0, "high", "low")
)
FIRST_TREATED = int(np.flatnonzero(D[::SIZE])[0])


def effect(**params):
    return ClusterEffect(**{"outcome": OLS, "inference": "cr1"} | params)


@pytest.mark.parametrize("frame", [FRAME, pl.DataFrame(FRAME.to_dict("list"))], ids=["pandas", "polars"])
def test_columns_by_name(frame):
    by_name = effect().fit(frame, *NAMED, covariates=COLUMNS, by="half")
    by_array = effect().fit(X, Y, D, GROUPS)
    assert_allclose(by_name.estimate_, by_array.estimate_, rtol=1e-12)
    assert by_name.clusters_[0] == 6000
    assert by_name.to_frame().index.tolist() == ["Average effect on the treated", "high", "low"]
    rest = effect().fit(frame, *NAMED, by="half", covariates="all")  # the columns not named elsewhere
    assert_allclose(rest.estimate_, by_array.estimate_, rtol=1e-12)


def test_some_columns():
    one = effect().fit(X, Y, D, GROUPS, covariates=[0, 2])
    assert_allclose(one.estimate_, effect().fit(X[:, [0, 2]], Y, D, GROUPS).estimate_)
    means = effect(cluster_columns=["age", "evictions"]).fit(FRAME, *NAMED, covariates=COLUMNS)
    assert means._sample.Z.shape == (14, 2)
    scaled = (X[:, 0] - X[:, 0].mean()) / X[:, 0].std()
    assert_allclose(means._sample.Z[:, 0], scaled.reshape(-1, SIZE).mean(axis=1))


def changed(array, index, value):
    array = np.array(array, dtype=float)
    array[index] = value
    return array


SEPARATED = np.column_stack([X[:, :2], D + 0.1 * np.tanh(X[:, 2])])
BAD = {
    "outcome column": ((FRAME, "outcom", "policy", "zipcode"), "y names the column 'outcom', .*not there"),
    "group column": ((FRAME, "outcome", "policy", "zip"), "groups names the column 'zip'"),
    "mixed": ((X, Y, changed(D, 30, 1 - D[30]), GROUPS), "varies inside 1 of 14 clusters; the first is 3"),
    "dose": ((X, Y, changed(D, 0, 0.5), GROUPS), r"0 or 1, but 1 of 126 rows have other values; .* 0\.5"),
    "all treated": ((X, Y, np.ones(126), GROUPS), "none of the 14 clusters is a control cluster"),
    "none treated": ((X, Y, np.zeros(126), GROUPS), "none of the 14 clusters is a treated cluster"),
    "no groups": ((X, Y, D, None), "groups is None"),
    "short y": ((X, Y[:-1], D, GROUPS), "y has 125 rows; X has 126"),
    "short treatment": ((X, Y, D[:-1], GROUPS), "treatment has 125 rows"),
    "nan in y": ((X, changed(Y, 3, np.nan), D, GROUPS), r"y must be finite.*row 3"),
    "nan in X": ((changed(X, (4, 1), np.nan), Y, D, GROUPS), "X must be finite.*row 4, column 1"),
    "separated": ((SEPARATED, Y, D, GROUPS), "no overlap.*'x2' every one of the . treated .* above"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        effect().fit(*arguments)


def test_names_without_a_frame_and_columns_that_are_no_numbers():
    with pytest.raises(TypeError, match="y='outcome' names a column, but X is a ndarray"):
        effect().fit(X, "outcome", D, GROUPS)
    mixed = FRAME.assign(half=[1.0, "high"] * (len(FRAME) // 2))
    with pytest.raises(TypeError, match="column 'half' "):
        effect().fit(mixed, *NAMED, covariates="all")


def test_missing_value_names_the_column():
    frame = FRAME.copy()
    frame.loc[5, "rent"] = np.nan
    with pytest.raises(ValueError, match=r"column 'rent' must be finite.* row 5"):
        effect().fit(frame, *NAMED, covariates=["age", "rent"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimand": "atc"}, "estimand='atc' is unknown"),
        ({"estimation_method": "dr"}, "estimation_method='dr' is unknown"),
        ({"inference": "cr3"}, "inference='cr3' is unknown"),
        ({"propensity_bounds": (0.9, 0.1)}, r"propensity_bounds=\(0\.9, 0\.1\)"),
        ({"cluster_columns": ["nothing"]}, "cluster_columns names 'nothing'"),
        ({"inference": "cross-fit", "n_folds": 12}, "n_folds=12, but there are . treated clusters: a fold"),
        ({"outcome": SVC()}, "y must be 0 or 1"),
    ],
)
def test_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        effect(**params).fit(X, Y, D, GROUPS)


def test_weights_for_a_model_that_takes_none():
    with pytest.raises(TypeError, match=r"KNeighborsRegressor\.fit does not take it"):
        effect(outcome=KNeighborsRegressor()).fit(X, Y, D, GROUPS, sample_weight=np.arange(1, 127))


def some_treated(count):
    """Rows of the controls and of the first few treated clusters, without the cluster covariate."""
    keep = (D == 0) | np.isin(GROUPS, np.flatnonzero(D[::SIZE])[:count])
    return X[keep][:, :2], Y[keep], D[keep], GROUPS[keep]


def test_few_clusters_in_an_arm():
    with pytest.warns(DesignWarning, match="only 3 treated clusters"):
        effect().fit(*some_treated(3))


def test_one_cluster_in_an_arm():
    with pytest.warns(DesignWarning, match="only 1 treated"):
        model = effect().fit(*some_treated(1))
    with pytest.raises(ValueError, match=f"cluster {FIRST_TREATED} is the only one of its arm"):
        model.infer("jackknife")


def test_treated_clusters_outside_the_controls_range():
    moved = X.copy()
    moved[:, 2] += 1.5 * D
    with pytest.warns(DesignWarning, match=r"of . treated clusters lie outside .*\(x2\)"):
        model = effect().fit(moved, Y, D, GROUPS)
    z, d = moved[::SIZE, 2], D[::SIZE]
    outside = (d == 1) & ((z > z[d == 0].max()) | (z < z[d == 0].min()))
    assert model.outside_.tolist() == outside.tolist()


def test_one_large_cluster():
    rows = np.concatenate([np.arange(len(Y)), np.repeat(np.flatnonzero(GROUPS == FIRST_TREATED), 9)])
    with pytest.warns(DesignWarning, match=rf"cluster {FIRST_TREATED} has \d\d% of the weight"):
        effect().fit(X[rows], Y[rows], D[rows], GROUPS[rows])


def test_one_influential_cluster():
    outlier = Y + 100 * (GROUPS == FIRST_TREATED)
    with pytest.warns(DesignWarning, match=f"one cluster dominates: leaving out {FIRST_TREATED} moves"):
        effect(inference="jackknife").fit(X, outlier, D, GROUPS)


def test_score_intervals_warn_with_a_network():
    model = effect(outcome="auto", inference="jackknife").fit(X, Y, D, GROUPS)
    for method in ("cr1", "wild", "webb", "score-jackknife"):
        with pytest.warns(DesignWarning, match=f"inference='{method}' holds the outcome model fixed"):
            model.infer(method)


def test_clusters_of_one_row_have_a_linear_model():
    """As with `LinearRegression`, and without the warning for networks (warnings are errors here)."""
    first = np.arange(len(Y)) % SIZE == 0
    data = X[first][:, :1], Y[first], D[first], GROUPS[first]
    default, given = (
        ClusterEffect(outcome=outcome, inference="cr1", cluster_columns=[0]).fit(*data)
        for outcome in (None, LinearRegression())
    )
    assert (default.estimate_, default.std_error_) == (given.estimate_, given.std_error_)


def test_cluster_columns_by_number():
    """A number is that of the column in X, not the place among the covariates chosen."""

    def means(X, asked, covariates):
        model = effect(cluster_columns=asked).fit(X, Y, D, GROUPS, covariates=covariates)
        return model._sample.cluster_names, model._sample.Z

    for X_, name in ((X, "x2"), (pd.DataFrame(X), "2"), (pd.DataFrame(X)[[2, 0, 1]], "2")):
        names, Z = means(X_, [2], [2, 0])
        assert names == [name]
        assert_allclose(Z[:, 0], ((X[:, 2] - X[:, 2].mean()) / X[:, 2].std()).reshape(-1, SIZE).mean(axis=1))
        with pytest.raises(ValueError, match="cluster_columns names 1, which is no covariate"):
            means(X_, [1], [2, 0])
    assert means(FRAME, [1], COLUMNS)[0] == ["rent"]  # a place, where no column has a number
    series = StaggeredEffect(cluster_columns=[2], outcome=OLS)
    time = np.tile(np.arange(SIZE), len(Y) // SIZE)
    series.fit(X, Y, D * (time > 2), GROUPS, time, covariates=[2, 0])
    assert series._cells[0].part.sample.cluster_names == ["x2"]


WEIGHTED = {
    "clusters": lambda X, y, d, g, w: ClusterEffect(inference="cr1", cluster_columns=[0]).fit(
        X, y, d, g, sample_weight=w
    ),
    "rows": lambda X, y, d, g, w: IndividualEffect(inference="cr1").fit(
        X, y, np.arange(len(y)) % 3 > 0 if len(y) == len(Y) else KEPT_ARM, g, sample_weight=w
    ),
    "people": lambda X, y, d, g, w: IndividualEffect(outcome=OLS).fit(
        X, y, np.arange(len(y)) % 3 > 0 if len(y) == len(Y) else KEPT_ARM, None, sample_weight=w
    ),
    "sections": lambda X, y, d, g, w: DifferenceInDifferences(outcome=OLS).fit(
        X, y, d, g, LATE if len(y) == len(Y) else LATE[KEPT], sample_weight=w
    ),
}
KEPT = np.arange(len(Y)) % 7 > 0
KEPT_ARM = (np.arange(len(Y)) % 3 > 0)[KEPT]
LATE = np.arange(len(Y)) % 2


@pytest.mark.filterwarnings("ignore:inference='cr1' holds the outcome model fixed")
@pytest.mark.parametrize("design", WEIGHTED)
def test_rows_of_weight_zero_are_none(design):
    """Whatever they hold: a wild outcome must not set the scale of the others."""
    y, rows = np.where(KEPT, Y, 1e9), X + 1e6 * (~KEPT)[:, None]
    with_weights = WEIGHTED[design](rows, y, D, GROUPS, KEPT.astype(float))
    without = WEIGHTED[design](X[KEPT], Y[KEPT], D[KEPT], GROUPS[KEPT], None)
    assert with_weights.estimate_ == without.estimate_
    assert with_weights.std_error_ == without.std_error_
    assert with_weights.n_rows_ == KEPT.sum()


@pytest.mark.filterwarnings("ignore:inference='cr1' holds the outcome model fixed")
@pytest.mark.parametrize("design", WEIGHTED)
def test_the_unit_of_weights_is_none(design):
    weight = np.random.default_rng(0).uniform(0.5, 2, len(Y))
    one = WEIGHTED[design](X, Y, D, GROUPS, weight)
    for unit in (1e300, 1e-300):
        other = WEIGHTED[design](X, Y, D, GROUPS, unit * weight)
        # A network's training carries rounding of weights on: 1e-16 to 1e-9 or so.
        assert_allclose([other.estimate_, other.std_error_], [one.estimate_, one.std_error_], rtol=1e-6)


@pytest.mark.parametrize("name", ["X", "y", "treatment", "groups"])
def test_rows_of_weight_zero_hide_no_wrong_length(name):
    """What is longer by a row has rows at the same places, but which of them are whose nobody knows."""
    given = {"X": X, "y": Y, "treatment": D, "groups": GROUPS}
    longer = given | {name: np.concatenate([given[name], given[name][-1:]])}
    with pytest.raises(ValueError, match=f"has {len(Y)} rows; X has {len(Y) + 1}|has {len(Y) + 1} rows; X"):
        effect().fit(**longer, sample_weight=KEPT.astype(float))


def test_no_rows_and_their_weights():
    with pytest.raises(ValueError, match="X has shape"):
        effect().fit(np.empty((0, 1)), [], [], [], sample_weight=[])
