"""Bad input: each a clear error before any work, its message with what was given and what is needed."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

import rfpcore

X = np.arange(12.0).reshape(6, 2) / 10
Y = np.arange(6.0) / 5
GROUPS = np.array([0, 0, 1, 1, 2, 2])
NET = rfpcore.MLP(2, (3,))
THETA = NET.init(0)
DATA = rfpcore.Clusters(X, Y, GROUPS)


def with_value(array, index, value):
    changed = np.array(array, dtype=np.result_type(array, type(value)))
    changed[index] = value
    return changed


BAD_DATA = {
    "X 1-D": ({"X": X[:, 0]}, ValueError, r"X has shape \(6,\); two dimensions .* X.reshape\(-1, 1\)"),
    "X 3-D": ({"X": X[None]}, ValueError, r"X has shape \(1, 6, 2\); two dimensions"),
    "X empty": ({"X": X[:0]}, ValueError, r"X has shape \(0, 2\); at least one row"),
    "X without columns": (
        {"X": X[:, :0]},
        ValueError,
        r"X has shape \(6, 0\); at least one row and one column",
    ),
    "X ragged": ({"X": [[1.0], [1.0, 2.0]]}, ValueError, "X is not a rectangular array"),
    "X NaN": (
        {"X": with_value(X, (3, 1), np.nan)},
        ValueError,
        "X must be finite, but 1 of its 12 values is not; the first is nan in row 3, column 1",
    ),
    "X inf": (
        {"X": with_value(with_value(X, (2, 0), np.inf), (5, 1), -np.inf)},
        ValueError,
        "X must be finite, but 2 of its 12 values are not; the first is inf in row 2, column 0",
    ),
    "X strings": ({"X": X.astype(str)}, TypeError, "X has dtype <U32; real numbers are needed"),
    "X strings as objects": (
        {"X": np.array([[1, 2.0], [3, "7"]], object)},
        TypeError,
        "X has dtype object; row 1, column 1 holds '7', a str; real numbers",
    ),
    "X of objects": ({"X": [[{}]] * 6}, TypeError, r"X has dtype object; row 0, column 0 holds \{\}, a dict"),
    "X too large for floats": (
        {"X": [[10**400]] * 6},
        TypeError,
        "row 0, column 0 holds an integer beyond",
    ),
    "X missing": ({"X": [[1.0], [None]]}, ValueError, "the first is nan in row 1, column 0"),
    "X masked": ({"X": np.ma.masked_equal(X, 1.1)}, ValueError, "the first is nan in row 5, column 1"),
    "X masked text": ({"X": np.ma.array(X.astype(str))}, TypeError, "X has dtype <U32; real numbers are"),
    "X masked complex": ({"X": np.ma.array(X + 1j)}, TypeError, "X has dtype complex128; real numbers"),
    "X complex": ({"X": X.astype(complex)}, TypeError, "X has dtype complex128; real numbers are needed"),
    "X complex in float32 as objects": (
        {"X": np.array([[1, 2.0], [3, np.complex64(1 + 2j)]], object)},
        TypeError,
        "row 1, column 1 holds .*, a complex64; real numbers",
    ),
    "X dates": ({"X": X.astype("datetime64[s]")}, TypeError, "X has dtype datetime64.s.; real numbers"),
    "X sparse": ({"X": sparse.csr_array(X)}, TypeError, r"X is sparse \(csr_array\); .* X.toarray\(\)"),
    "X lazy": ({"X": pl.LazyFrame({"a": [1]})}, TypeError, r"X is lazy \(LazyFrame\); .* X.collect\(\)"),
    "X NaN in a frame": (
        {"X": pd.DataFrame({"age": [1.0, 2], "rent": [3, np.nan]})},
        ValueError,
        "the first is nan in row 1, column 'rent'",
    ),
    "y length": ({"y": Y[:4]}, ValueError, "y has 4 rows; X has 6"),
    "y 3-D": ({"y": Y[:, None, None]}, ValueError, r"y has shape \(6, 1, 1\); \(N,\) or \(N, n_outputs\)"),
    "y without columns": ({"y": np.ones((6, 0))}, ValueError, r"y has shape \(6, 0\); at least one column"),
    "y NaN": ({"y": with_value(Y, 4, np.nan)}, ValueError, "y must be finite, .* the first is nan in row 4"),
    "y strings": ({"y": list("abcdef")}, TypeError, "y has dtype <U1; real numbers"),
    "groups length": ({"groups": [1, 2]}, ValueError, "groups has 2 rows; X has 6"),
    "groups 2-D": (
        {"groups": X},
        ValueError,
        r"groups has shape \(6, 2\); \(6,\), one label a row, is needed",
    ),
    "groups None": ({"groups": ["a", None, "a", "b", None, "b"]}, ValueError, r"no label in row 1 \(2 rows"),
    "groups NaN": ({"groups": with_value(GROUPS, 3, np.nan)}, ValueError, "groups has no label in row 3;"),
    "groups NaN among strings": ({"groups": ["a", "b", float("nan")] * 2}, ValueError, "no label in row 2"),
    "groups NaT": ({"groups": np.array(["2020", "NaT"] * 3, "M8[Y]")}, ValueError, "no label in row 1 "),
    "groups NA": ({"groups": pd.array([1, 2, 3, 4, 5, None], "Int64")}, ValueError, "no label in row 5;"),
    "groups null": ({"groups": pl.Series([1, 2, 3, None, 5, 6])}, ValueError, "no label in row 3;"),
    "groups categorical": (
        {"groups": pd.Series(["x", None, "x", "y", "y", "y"], dtype="category")},
        ValueError,
        "no label in row 1;",
    ),
    "groups masked": (
        {"groups": np.ma.masked_equal(GROUPS, 1)},
        ValueError,
        r"groups has no label in row 2 \(2 rows lack one\)",
    ),
    "groups of two parts, one missing": (
        {"groups": [(1, 2.0), (1, 2.0), (2, float("nan")), (2, float("nan")), (2, 3.0), (2, 3.0)]},
        ValueError,
        r"groups has no label in row 2 \(2 rows lack one\)",
    ),
    "groups unhashable": ({"groups": [[1]] * 6}, TypeError, r"groups holds \[1\] of type list in row 0"),
    "weight length": ({"sample_weight": [1.0]}, ValueError, "sample_weight has 1 rows; X has 6"),
    "weight 2-D": ({"sample_weight": X}, ValueError, r"sample_weight has shape \(6, 2\); \(6,\), one weight"),
    "weight NaN": (
        {"sample_weight": with_value(Y, 2, np.nan)},
        ValueError,
        "sample_weight must be finite, but 1 of its 6 values is not; the first is nan in row 2",
    ),
    "weight negative": (
        {"sample_weight": [1, 1, -2, 1, -1, 1]},
        ValueError,
        "sample_weight must not be negative, but 2 of 6 are; the first is -2.0 in row 2",
    ),
    "weight zero": (
        {"sample_weight": [1, 1, 0, 0, 1, 1]},
        ValueError,
        "sample_weight sums to 0.0 in cluster 1; 1 of 3 clusters has no finite sum above zero",
    ),
    "weight zero in the query": (
        {"sample_weight": [1, 0, 1, 1, 1, 1], "query": [False, True] * 3},
        ValueError,
        r"sample_weight sums to 0.0 in cluster 0 \(query rows\)",
    ),
    "weight overflow": (
        {"sample_weight": [1e308] * 6},
        ValueError,
        "sums to inf in cluster 0; 3 of 3 clusters have no finite sum",
    ),
    "query dtype": ({"query": [0, 1] * 3}, TypeError, "query has dtype int64; a boolean mask"),
    "query masked": (
        {"query": np.ma.array([False, True] * 3, mask=[0, 1] * 3)},
        ValueError,
        "query is masked in some places",
    ),
    "query length": ({"query": [True]}, ValueError, "query has 1 rows; X has 6"),
    "query 2-D": ({"query": X > 0}, ValueError, r"query has shape \(6, 2\); \(6,\) is needed"),
    "query without support": (
        {"query": [False, True, True, True, True, True]},
        ValueError,
        r"query leaves cluster 1 \(2 rows\) without support \(False\) rows; 2 of 3 clusters have none",
    ),
    "query without query": ({"query": [False] * 6}, ValueError, r"cluster 0 .* without query \(True\) rows"),
    "cluster weight word": (
        {"cluster_weight": "rows"},
        ValueError,
        "cluster_weight='rows' is unknown; 'size'",
    ),
    "cluster weight shape": ({"cluster_weight": [1, 2]}, ValueError, r"shape \(2,\); there are 3 clusters"),
    "cluster weight negative": (
        {"cluster_weight": [1, -1, 1]},
        ValueError,
        "cluster_weight must not be negative, but cluster 1 has -1",
    ),
    "cluster weight NaN": ({"cluster_weight": [1, 1, np.nan]}, ValueError, "first is nan in cluster 2"),
    "cluster weight zero": ({"cluster_weight": [0, 0, 0]}, ValueError, "is 0 for every cluster"),
    "cluster weight absent": (
        {"cluster_weight": {0: 1, 2: 1}},
        ValueError,
        "1 of 3 clusters; the first is 1",
    ),
    "cluster weight twice": (
        {"cluster_weight": pd.Series([1, 2, 3, 4], [0, 1, 2, 1])},
        ValueError,
        "cluster_weight has several entries for 1; one a cluster",
    ),
    "cluster weight unknown": (
        {"cluster_weight": {0: 1, 1: 1, 2: 1, "z": 1}},
        ValueError,
        "cluster_weight names 'z', which is no label in groups",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(name):
    changes, kind, message = BAD_DATA[name]
    arguments = {"X": X, "y": Y, "groups": GROUPS} | changes
    with pytest.raises(kind, match=message):
        rfpcore.Clusters(**arguments)


def test_arrays_of_packed_records_are_as_good_as_others():
    """A field of packed records lies at any address; the kernel takes floats at those of floats only."""

    def packed(values):
        values = np.asarray(values)
        records = np.zeros(len(values), [("flag", "i1"), ("values", values.dtype, values.shape[1:])])
        records["values"] = values
        assert not records["values"].flags.aligned
        return records["values"]

    random = np.random.default_rng(0)
    X, y, groups = random.normal(size=(40, 2)), random.normal(size=40), np.repeat(np.arange(8), 5)
    net = rfpcore.MLP(2, (3,), 1)
    theta = net.init(0, np.float64)
    options = {"alpha": 0.5, "inner_steps": 1, "inner_lr": 0.1}
    plain = rfpcore.value_and_grad(net, theta, rfpcore.Clusters(X, y, groups), **options)
    data = rfpcore.Clusters(packed(X), packed(y), packed(groups))
    np.testing.assert_array_equal(rfpcore.value_and_grad(net, packed(theta), data, **options)[1], plain[1])
    model = rfpcore.Model((3,), n_epochs=2)
    rows = np.arange(30)
    found = rfpcore.fit_many(packed(X), packed(y), model, rows=packed(rows), theta=packed(theta))
    expected = rfpcore.fit_many(X, y, model, rows=rows, theta=theta)
    np.testing.assert_array_equal(found.thetas, expected.thetas)
