"""Clusters: sorting, labels of any type, containers of any kind."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore


def test_clusters_sort_rows_and_keep_their_order(problem):
    X, y = np.arange(10.0).reshape(5, 2), np.arange(5.0)
    data = rfpcore.Clusters(X, y, ["b", "a", "c", "a", "b"], sample_weight=[1, 2, 3, 4, 5])
    assert_array_equal(data.labels, ["a", "b", "c"])
    assert_array_equal(data.order, [1, 3, 0, 4, 2])
    assert_array_equal(data.offsets, [0, 2, 4, 5])
    assert data.offsets.dtype == np.int64
    assert_array_equal(data.X, X[data.order])
    assert_array_equal(data.y[:, 0], y[data.order])
    assert_array_equal(data.sample_weight, [2, 4, 1, 5, 3])
    assert (data.n_rows, data.n_clusters, len(data)) == (5, 3, 3)


def test_clusters_copy_what_they_keep(problem):
    X, y, weights = np.ones((3, 1)), np.zeros(3), np.ones(2)
    data = rfpcore.Clusters(X, y, [0, 1, 1], cluster_weight=weights)
    X[:], y[:], weights[:] = 9, 9, 9
    assert_array_equal(data.X, 1)
    assert_array_equal(data.y, 0)
    assert_array_equal(data.cluster_weight, 1)
    with pytest.raises(ValueError, match="read-only"):
        data.X[0] = 2


def test_clusters_survive_pickling(problem):
    net, theta, data = problem
    expected = rfpcore.value_and_grad(net, theta, data)
    value, grad = rfpcore.value_and_grad(net, theta, pickle.loads(pickle.dumps(data)))
    assert value == expected[0]
    assert_array_equal(grad, expected[1])


def test_no_groups_are_one_cluster(problem):
    net, theta, data = problem
    one = rfpcore.Clusters(data.X, data.y)
    assert one.n_clusters == 1
    same = rfpcore.Clusters(data.X, data.y, np.zeros(data.n_rows))
    assert rfpcore.value_and_grad(net, theta, one)[0] == rfpcore.value_and_grad(net, theta, same)[0]


def test_support_rows_come_first():
    query = [True, False, True, False, False]
    data = rfpcore.Clusters(np.arange(5.0)[:, None], np.zeros(5), [0, 0, 1, 1, 1], query=query)
    assert_array_equal(data.X[:, 0], [1, 0, 3, 4, 2])
    assert_array_equal(data.n_support, [1, 2])
    support = data.support()
    assert_array_equal(support.X[:, 0], [1, 3, 4])
    assert_array_equal(support.offsets, [0, 1, 3])


# Input that looks unusual, and works

X = np.arange(12.0).reshape(6, 2) / 10
Y = np.arange(6.0) / 5
GROUPS = np.array([0, 0, 1, 1, 2, 2])
NET = rfpcore.MLP(2, (3,))
THETA = NET.init(0)
DATA = rfpcore.Clusters(X, Y, GROUPS)
EXPECTED = rfpcore.value_and_grad(NET, THETA, DATA)


def read_only(array):
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize(
    "make",
    {
        "lists": np.ndarray.tolist,
        "fortran order": np.asfortranarray,
        "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
        "reversed": lambda a: a[::-1].copy()[::-1],
        "read-only": read_only,
        "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
        "objects": lambda a: a.astype(object),
        "pandas": lambda a: (pd.DataFrame if a.ndim == 2 else pd.Series)(a, index=range(10, 16)),
        "pandas nullable": lambda a: (pd.DataFrame(a) if a.ndim == 2 else pd.Series(a)).convert_dtypes(),
        "polars": lambda a: pl.DataFrame(a) if a.ndim == 2 else pl.Series(a),
        "subclass": lambda a: np.ma.array(a),
    }.items(),
    ids=lambda item: item[0],
)
def test_any_container_works(make):
    convert = make[1]
    data = rfpcore.Clusters(convert(X), convert(Y), convert(GROUPS), convert(np.ones(6)))
    theta = THETA if make[0].startswith("p") else convert(THETA)
    value, grad = rfpcore.value_and_grad(NET, theta, data)
    assert_allclose(value, EXPECTED[0], rtol=1e-13)
    assert_allclose(grad, EXPECTED[1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.longdouble])
def test_other_numbers_become_float64(dtype):
    data = rfpcore.Clusters(np.ones((2, 2), dtype), np.ones(2, dtype))
    assert data.X.dtype == data.y.dtype == np.float64


def test_frames_of_mixed_columns():
    frame = {"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "c": [True, False, True]}
    expected = [[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]]
    for kind in (pd.DataFrame, pl.DataFrame):
        assert_array_equal(rfpcore.Clusters(kind(frame), [1, 2, 3]).X, expected)


@pytest.mark.parametrize(
    ("groups", "labels"),
    [
        (["b", "a", "b"], ["a", "b"]),
        (np.array(["b", "a", "b"], object), ["a", "b"]),
        ([3, 1, 3], [1, 3]),
        ([2.5, -1.0, 2.5], [-1.0, 2.5]),
        ([True, False, True], [False, True]),
        ([("CT", 2), ("CT", 1), ("CT", 2)], [("CT", 1), ("CT", 2)]),
        ([1, "a", 1], [1, "a"]),  # cannot be compared: order of appearance
        (np.array(["2021", "2020", "2021"], "M8[Y]"), list(np.array(["2020", "2021"], "M8[Y]"))),
        (pd.Series(["b", "a", "b"]), ["a", "b"]),
        (pd.Series(["b", "a", "b"], dtype="category"), ["a", "b"]),
        (pd.Categorical([7, 5, 7]), [5, 7]),
        (pd.array([7, 5, 7], "Int64"), [5, 7]),
        (pl.Series(["b", "a", "b"]), ["a", "b"]),
        (pl.Series(["b", "a", "b"], dtype=pl.Categorical), ["a", "b"]),
    ],
    ids=str,
)
def test_labels_of_any_type(groups, labels):
    data = rfpcore.Clusters(np.arange(3.0)[:, None], np.zeros(3), groups)
    assert list(data.labels) == labels
    together = data.X[slice(*data.offsets[list(data.sizes).index(2) :][:2]), 0]
    assert_array_equal(together, [0, 2])


def test_numbers_of_other_types_as_options():
    value, grad = rfpcore.value_and_grad(
        NET, THETA, DATA, np.float32(0.5), np.int8(5), np.float64(0.01), n_jobs=np.int64(1), inner_momentum=0
    )
    assert value == EXPECTED[0]
    assert_array_equal(grad, EXPECTED[1])
    assert rfpcore.value_and_grad(NET, THETA, DATA, 1, 0, 1)[0] > 0


def test_weights_of_zero_are_rows_left_out():
    weights = [1, 0, 1, 1, 1, 0]
    kept = np.flatnonzero(weights)
    n_c = {0: 1, 1: 2, 2: 1}
    value, grad = rfpcore.value_and_grad(
        NET, THETA, rfpcore.Clusters(X, Y, GROUPS, weights, cluster_weight=n_c)
    )
    expected = rfpcore.value_and_grad(NET, THETA, rfpcore.Clusters(X[kept], Y[kept], GROUPS[kept]))
    assert_allclose(value, expected[0], rtol=1e-13)
    assert_allclose(grad, expected[1], rtol=1e-12)


@pytest.mark.parametrize("labels", [[2**63 + 1, 2**63 + 3, -1], ["a", "a\0", "b"]])
def test_labels_that_numpy_has_no_type_for_stay_as_they_are(labels):
    data = rfpcore.Clusters(np.zeros((3, 1)), np.arange(3.0), labels, cluster_weight=dict.fromkeys(labels, 1))
    assert sorted(data.labels.tolist()) == sorted(labels)


def test_weights_of_clusters_by_dates_of_another_unit():
    days = np.array(["2020-02-01", "2020-01-01"], "M8[D]")
    weights = pd.Series([3.0, 5.0], days.astype("M8[ns]"))
    for groups in (days, days.astype("M8[s]"), list(pd.to_datetime(days))):
        data = rfpcore.Clusters([[1.0], [2.0]], [0.0, 1.0], groups, cluster_weight=weights)
        assert_array_equal(data.cluster_weight, [5, 3])


def test_rows_that_adapt_keep_their_clusters_labels():
    data = rfpcore.Clusters(
        X, Y, ["b", "a", "b", "a", "c", "c"], query=[False, False, True, True, False, True]
    )
    assert_array_equal(data.support().labels, ["a", "b", "c"])
    assert_array_equal(data.support().X[0], X[1])


@pytest.mark.parametrize("size", [1e25, 1e200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("split", [False, True])
def test_rows_of_weight_zero_may_hold_anything(size, dtype, split):
    """Their squares overflow, and 0 times infinity would be NaN."""
    weights = np.array([1.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    query = [False, False, True, False, True, True] if split else None
    groups = np.zeros(6)
    rows, outcomes = X.copy(), Y.copy()
    rows[1], outcomes[5] = size, size
    found, expected = (
        rfpcore.value_and_grad(
            NET, THETA.astype(dtype), rfpcore.Clusters(x, y, groups, weights, query=query), inner_steps=2
        )
        for x, y in [(rows, outcomes), (X, Y)]
    )
    # A row of weight 0 adds zeros to every sum, whatever it holds.
    assert found[0] == expected[0]
    assert_array_equal(found[1], expected[1])
