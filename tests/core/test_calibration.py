"""Calibration against scikit-learn's curve, against sums by hand and against simulated coins."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.calibration import calibration_curve

from rfpcore.calibration import confidences, expected_calibration_error, reliability_curve


def draw(n, k, seed, temperature=1.0):
    """Probabilities, and classes drawn from them: calibrated where the temperature is 1."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, k))
    softmax = lambda f: np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)  # noqa: E731
    uniform = rng.random((n, 1))
    y = (uniform > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(max=k - 1)
    return y, softmax(logits / temperature)


def tenths(p):
    """The same in tenths, so that many are equal; the last class takes what is left."""
    p = np.floor(10 * p) / 10
    p[:, -1] = (1 - p[:, :-1].sum(axis=1)).round(1)
    return p


@given(st.integers(1, 300), st.integers(2, 6), st.integers(1, 20), st.integers(0, 99), st.booleans())
def test_bins_of_equal_width_are_those_of_scikit_learn(n, k, n_bins, seed, ties):
    """Being right is a binary outcome, and confidence its probability."""
    y, p = draw(n, k, seed)
    p = tenths(p) if ties else p
    curve = reliability_curve(y, p, n_bins=n_bins, strategy="uniform")
    confidence, right = confidences(y, p)
    accuracy, mean = calibration_curve(right, confidence, n_bins=n_bins, strategy="uniform")
    assert_allclose(curve.accuracy, accuracy, rtol=1e-12)
    assert_allclose(curve.confidence, mean, rtol=1e-12)
    assert curve.count.sum() == n


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 99))
def test_quantile_bins_are_pieces_of_the_sorted_rows(rows_a_bin, n_bins, seed):
    y, p = draw(rows_a_bin * n_bins, 3, seed)
    curve = reliability_curve(y, p, n_bins=n_bins)
    confidence, right = confidences(y, p)
    pieces = np.array_split(np.argsort(confidence), n_bins)
    assert_allclose(curve.confidence, [confidence[piece].mean() for piece in pieces], rtol=1e-12)
    assert_allclose(curve.accuracy, [right[piece].mean() for piece in pieces], rtol=1e-12)


@given(st.integers(1, 300), st.integers(1, 20))
def test_quantile_bins_are_of_about_one_size(n, n_bins):
    y, p = draw(n, 3, 0)
    count = reliability_curve(y, p, n_bins=n_bins).count
    assert len(count) == min(n, n_bins)
    assert count.max() - count.min() <= 1


def test_equal_confidences_share_a_bin():
    p = np.repeat([0.6, 0.7, 0.8], [2, 5, 3])
    curve = reliability_curve(np.ones(10, int), p, n_bins=5)
    assert_allclose(curve.confidence, [0.6, 0.7, 0.8])
    assert curve.count.tolist() == [2, 5, 3]


def test_error_is_the_sum_over_bins():
    y, p = draw(1000, 3, 0, temperature=0.5)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            total += inside.sum() / 1000 * abs(confidence[inside].mean() - right[inside].mean())
    assert_allclose(expected_calibration_error(y, p, n_bins=10, strategy="uniform"), total, rtol=1e-12)


def test_one_bin_is_the_mean():
    y, p = draw(500, 4, 1, temperature=0.5)
    curve = reliability_curve(y, p, n_bins=1)
    gap = p.max(axis=1).mean() - (p.argmax(axis=1) == y).mean()
    assert_allclose([curve.overconfidence, curve.expected_calibration_error], [gap, abs(gap)], rtol=1e-12)


def test_overconfidence_does_not_depend_on_bins():
    y, p = draw(500, 4, 1, temperature=0.5)
    gaps = [
        reliability_curve(y, p, n_bins=n, strategy=strategy).overconfidence
        for n in (1, 3, 15)
        for strategy in ("quantile", "uniform")
    ]
    assert_allclose(gaps, gaps[0], rtol=1e-10)


def test_calibrated_and_overconfident():
    """Classes drawn from the probabilities leave only chance, about .8 sqrt(a(1 − a)/n) a bin; n = 4000."""
    y, p = draw(60_000, 5, 2)
    assert expected_calibration_error(y, p) < 3 * 0.4 / np.sqrt(4000)
    y, p = draw(60_000, 5, 2, temperature=0.5)
    curve = reliability_curve(y, p)
    assert curve.overconfidence > 0.05
    assert_allclose(curve.expected_calibration_error, curve.overconfidence, rtol=0.05)


def test_order_of_rows_does_not_matter():
    y, p = draw(200, 3, 3)
    p = tenths(p)
    order = np.random.default_rng(0).permutation(200)
    a, b = reliability_curve(y, p), reliability_curve(y[order], p[order])
    assert_allclose(a.accuracy, b.accuracy, rtol=1e-12)
    assert (a.count == b.count).all()


def test_labels_and_one_column():
    y = np.array(["a", "b", "b"])
    second = np.array([0.4, 0.9, 0.3])
    both = np.column_stack([1 - second, second])
    for given_probabilities in (second, both, both.astype(np.float32)):
        confidence, right = confidences(y, given_probabilities, classes=["a", "b"])
        assert_allclose(confidence, [0.6, 0.9, 0.7], rtol=1e-6)
        assert right.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("y", "p", "options", "message"),
    [
        ([0, 1], [[0.5, 0.5]], {}, "y_true has 2 rows; probabilities has 1"),
        ([[0]], [[0.5, 0.5]], {}, r"y_true has shape \(1, 1\)"),
        ([0], [[0.5, 0.6]], {}, r"probabilities holds \[0\.5, 0\.6\] in row 0"),
        ([0, 0], [[0.5, 0.5], [1.5, -0.5]], {}, "in row 1"),
        ([0], [1.2], {}, "in row 0"),
        ([0], [[np.nan, 1]], {}, "probabilities must be finite"),
        ([2], [[0.5, 0.5]], {}, r"y_true holds .*2.* in row 0, which is none of the classes \[0, 1\]"),
        (["a"], [[0.5, 0.5]], {}, "none of the classes"),
        ([0], [[1.0]], {}, r"probabilities has shape \(1, 1\)"),
        ([], np.ones((0, 2)), {}, r"probabilities has shape \(0, 2\)"),
        ([0], [[0.5, 0.5]], {"classes": [0, 1, 2]}, r"classes has shape \(3,\); .* 2 classes"),
        ([0], [[0.5, 0.5]], {"n_bins": 0}, "n_bins=0 is too small"),
        ([0], [[0.5, 0.5]], {"strategy": "equal"}, "strategy='equal' is unknown"),
    ],
)
def test_misuse(y, p, options, message):
    with pytest.raises(ValueError, match=message):
        reliability_curve(y, p, **options)


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 99), st.booleans())
def test_a_positive_class_is_that_of_scikit_learn(n, n_bins, seed, ties):
    y, p = draw(n, 3, seed)
    p = tenths(p) if ties else p
    names = np.array(["a", "b", "c"])
    curve = reliability_curve(
        names[y], p, n_bins=n_bins, strategy="uniform", classes=names.tolist(), pos_label="b"
    )
    accuracy, mean = calibration_curve(y == 1, p[:, 1], n_bins=n_bins, strategy="uniform")
    assert_allclose(curve.accuracy, accuracy, rtol=1e-12)
    assert_allclose(curve.confidence, mean, rtol=1e-12)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99), st.sampled_from(["uniform", "quantile"]))
def test_whole_weights_are_repeated_rows(n, n_bins, seed, strategy):
    y, p = draw(n, 3, seed)
    weights = np.random.default_rng(seed).integers(0, 4, n)
    weights[0] = 1
    options = {"n_bins": n_bins, "strategy": strategy}
    weighed = reliability_curve(y, p, sample_weight=weights, **options)
    repeated = reliability_curve(np.repeat(y, weights), np.repeat(p, weights, axis=0), **options)
    assert_allclose(weighed.confidence, repeated.confidence, rtol=1e-12)
    assert_allclose(weighed.accuracy, repeated.accuracy, rtol=1e-12, atol=1e-12)
    assert_allclose(weighed.weight * weights.max(), repeated.count, rtol=1e-12)
    assert weighed.count.sum() == (weights > 0).sum()
    assert_allclose(weighed.overconfidence, repeated.overconfidence, rtol=1e-9, atol=1e-12)
    error = expected_calibration_error(y, p, sample_weight=weights, **options)
    assert_allclose(error, repeated.expected_calibration_error, rtol=1e-9, atol=1e-12)


def test_a_positive_class_that_is_none():
    with pytest.raises(ValueError, match=r"pos_label=2 is none of the classes \[0, 1\]"):
        reliability_curve([0, 1], [0.2, 0.7], pos_label=2)
    with pytest.raises(ValueError, match=r"pos_label=Decimal.* is none of the classes"):  # has no hash
        reliability_curve([0, 1], [0.2, 0.7], pos_label=Decimal("sNaN"))


def test_weights_that_are_none():
    with pytest.raises(ValueError, match="sample_weight is zero in all 2 rows"):
        reliability_curve([0, 1], [0.2, 0.7], sample_weight=[0, 0])


def test_classes_that_are_none():
    with pytest.raises(ValueError, match=r"classes holds \['a', 'a'\]; each once is needed"):
        reliability_curve(["a", "a"], [0.2, 0.7], classes=["a", "a"])
    with pytest.raises(ValueError, match="y_true is masked in some places"):
        reliability_curve(np.ma.array([0, 1], mask=[False, True]), [0.2, 0.7])
