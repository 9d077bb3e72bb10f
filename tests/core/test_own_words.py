"""What hostile arguments found: errors in our own words, and numbers that are finite or refused."""

import warnings

import numpy as np
import pandas as pd
import pytest

import rfpcore
from rfpcore import calibration, datasets, plotting, regularize, spectral
from rfpcore.exceptions import DivergenceError, DivergenceWarning
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((18, 2))
Y = X[:, 0]
GROUPS = np.repeat([0, 1, 2], 6)
NET = rfpcore.MLP(2, (3,))
THETA = NET.init(0)
DATA = rfpcore.Clusters(X, Y, GROUPS)
SMALL = Model((3,), n_steps=3)
TRILLION = 10**12
P = np.linspace(0.1, 0.9, 4)


def clusters(weight):
    return rfpcore.Clusters(X, Y, GROUPS, cluster_weight=np.full(3, weight))


CASES = {
    "layers": (lambda: rfpcore.MLP(1, (1,) * 10**6), ValueError, "1000000 layers; at most 1000 are"),
    "no layers": (
        lambda: rfpcore.MLP(2, np.datetime64("NaT")),
        TypeError,
        "hidden_layer_sizes=.*; a sequence of integers is needed",
    ),
    "missing layers": (lambda: rfpcore.MLP(2, pd.NaT), TypeError, "hidden_layer_sizes=NaT; a sequence of"),
    "ragged parameters": (
        lambda: fit_many(X, Y, [SMALL] * 2, theta=[[1], [1, 2]]),
        ValueError,
        r"theta\[0\] has shape \(1,\)",
    ),
    "no snapshots": (
        lambda: plotting.SpectralEnergyDisplay.from_weights(
            np.empty((0, 2, 3)), np.zeros((2, 3)), X, steps=[]
        ),
        ValueError,
        "weights has no snapshots; at least one is needed",
    ),
    "ragged shape": (
        lambda: datasets.jitter_images(np.zeros((2, 4)), [[1], [1, 2]], (3, 3), 1),
        TypeError,
        r"image_shape\[0\]=\[1\] is a list",
    ),
    "bins": (
        lambda: calibration.reliability_curve([0, 1, 1, 0], P, n_bins=TRILLION),
        ValueError,
        "n_bins=1000000000000 is too large; at most 1000000 is",
    ),
    "rows": (lambda: datasets.make_demand(TRILLION), ValueError, "n_samples=1000000000000 is too large"),
    "rows of clusters": (
        lambda: datasets.make_vee(10**7, 10**7),
        ValueError,
        "n_clusters=10000000 of n_per_cluster=10000000 are 100000000000000 rows; at most 100000000",
    ),
    "moons": (lambda: datasets.make_noisy_moons(TRILLION), ValueError, "n_samples=1000000000000 is too"),
    "pixels": (lambda: datasets.make_sprites(3, size=10**6), ValueError, "size=1000000 is too large"),
    "components": (lambda: spectral.isotropic_energy(TRILLION), ValueError, "n_components=1000000000000 is"),
    "noise NaN": (lambda: datasets.make_vee(noise=np.nan), ValueError, "noise=nan; a finite number"),
    "scale NaN": (lambda: datasets.make_policy(cluster_scale=np.nan), ValueError, "cluster_scale=nan; a fin"),
    "scale infinite": (
        lambda: datasets.make_iv_curve(noise=np.inf),
        ValueError,
        "noise=inf; a finite number",
    ),
    "selection NaN": (lambda: datasets.make_policy(selection=np.nan), ValueError, "selection=nan; a finite"),
    "no assignment": (
        lambda: datasets.make_policy(n_clusters=40, least=20, random_state=0, selection=1e15),
        ValueError,
        "none of 1000 assignments of 40 clusters with selection=1e.15 had least=20 clusters in each arm",
    ),
    "classes": (lambda: datasets.flip_labels(["a"], 0.5, n_classes=2), TypeError, "y has dtype <U1"),
    "codes": (lambda: datasets.flip_labels([0, 2], 0.5, n_classes=2), ValueError, "y holds 2 in row 1"),
    "image": (
        lambda: datasets.jitter_images(np.ones((1, 9)), 3, (5, 5), 1),
        TypeError,
        r"image_shape=3 is a int; \(height, width\) is needed",
    ),
    "path": (lambda: datasets.load_mnist(3), TypeError, "path=3 is a int; a str or path is needed"),
    "path NUL": (lambda: datasets.load_mnist("a\0b"), ValueError, "without NUL, is needed"),
    "download": (lambda: datasets.load_mnist(download="no"), TypeError, "download='no' is a str; True or"),
    "products": (
        lambda: rfpcore.hvp(NET, THETA * 1e300, THETA, DATA),
        DivergenceError,
        "the loss of cluster 0 is nan at inner step 0; 3 of 3 clusters diverged. theta itself is out of",
    ),
    "curvature": (
        lambda: rfpcore.curvature(NET, THETA * 1e300, DATA),
        DivergenceError,
        "the loss of cluster 0 is nan at inner step 0; 3 of 3 clusters diverged. theta itself is out of",
    ),
    "outputs": (
        lambda: rfpcore.MLP(2, ()).predict([1e200, 1e200, 0], [[1e200, 1e200]]),
        ValueError,
        "the network's output is not finite: inf at index 0; theta, the data or the weights are too",
    ),
    "weights huge": (lambda: clusters(1e308), ValueError, "cluster_weight adds up to inf; a sum of 1e-100"),
    "weights tiny": (lambda: clusters(5e-324), ValueError, "cluster_weight adds up to 1.48e-323; a sum of"),
    "row weights tiny": (
        lambda: rfpcore.Clusters(X, Y, GROUPS, np.full(18, 1e-320)),
        ValueError,
        r"3 of 3 clusters have no finite sum above zero \(from 1e-100 to 1e.100\)",
    ),
    "dtype": (lambda: NET.init(0, dtype=3), TypeError, "dtype=3; float32 or float64 is needed"),
    "models": (lambda: fit_many(X, Y, 3), TypeError, "models is a int; a Model or a sequence"),
    "on_finished": (
        lambda: fit_many(X, Y, SMALL, on_finished=3),
        TypeError,
        r"on_finished is a int; a callable\(index, result\) is needed",
    ),
    "theta": (lambda: fit_many(X, Y, SMALL, theta=3), TypeError, "theta is a int; a vector, or one for each"),
    "draws of masks": (
        lambda: fit_many(X, Y, SMALL).predict(X, dropout_samples=TRILLION),
        ValueError,
        "dropout_samples=1000000000000 is too large; at most 100000 is",
    ),
    "points": (lambda: rfpcore.sweep(X, Y, 3), TypeError, "points is a int; a dict of sequences or a seq"),
    "point": (lambda: rfpcore.sweep(X, Y, [3]), TypeError, r"points\[0\]=3 is a int; a dict is needed"),
    "base": (lambda: rfpcore.sweep(X, Y, {"seed": [0]}, "x"), TypeError, "base is a str; a Model is needed"),
    "terms": (lambda: regularize.L2(0.1) and regularize.Regularization(3), TypeError, "terms=3 is a int"),
    "nested JSON": (
        lambda: regularize.Regularization.from_json("[" * 10**6),
        ValueError,
        "the specification is no JSON",
    ),
    "kind of a term": (
        lambda: regularize.Regularization.from_json('[{"kind": []}]'),
        ValueError,
        "is no term; an object is needed whose kind is one of",
    ),
    "squares": (
        lambda: spectral.principal_components(X * 1e200),
        ValueError,
        "X has values up to .*e.200 in size, whose squares are beyond 1.8e308",
    ),
    "no estimator": (
        lambda: plotting.LossCurveDisplay.from_estimator([]),
        TypeError,
        "estimator is a list without loss_curve_; a fitted one that has it is needed",
    ),
    "no network": (
        lambda: plotting.WeightMatrixDisplay.from_estimator(3),
        TypeError,
        "estimator is a int without net_",
    ),
    "steps of the reference": (
        lambda: pytest.importorskip("rfpcore.torch_reference").value_and_grad(
            NET, THETA, DATA, inner_lr=[1.0, 2.0]
        ),
        ValueError,
        r"inner_lr has shape \(2,\); the network has 13 parameters, so a number or shape \(13,\)",
    ),
    "verbose": (
        lambda: rfpcore.sweep(X, Y, {"seed": [0]}, SMALL, verbose="no"),
        TypeError,
        "verbose='no' is a str; an integer is needed",
    ),
    "limit": (
        lambda: plotting.WeightMatrixDisplay(np.eye(2)).plot(limit=1.7e308),
        ValueError,
        "colours reach from -1.7e.308 to 1.7e.308; a limit of at most 8.99e.307 is needed",
    ),
    "curves": (lambda: plotting.LossCurveDisplay([1], [1]), TypeError, "curves is a list; a dict of names"),
    "missing class": (
        lambda: calibration.confidences(["a", None, "a", "a"], P, classes=["a", "b"]),
        ValueError,
        "y_true holds None in row 1; a class is needed in each",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_our_own_words(name):
    call, kind, message = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind, match=message):
            call()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"held_out": ""}, TypeError, r"held_out is a str; a pair \(X, y\) is needed"),
        ({"rows": ()}, ValueError, r"rows has shape \(0,\); one dimension with at least one row number"),
        ({"rows": np.array(5)}, ValueError, r"rows has shape \(\); one dimension with at least one row"),
        ({"dtype": 3}, TypeError, "dtype=3; float32 or float64"),
    ],
)
def test_a_sweep_with_a_file_is_refused_in_the_words_of_fit_many(tmp_path, options, kind, message):
    for path in (None, tmp_path / "sweep"):
        with pytest.raises(kind, match=message):
            rfpcore.sweep(X, Y, {"seed": [0]}, SMALL, path=path, **options)


def test_a_model_whose_parameters_run_away_has_diverged():
    """A rate of 1e10 leaves nothing of the start within a few steps, though losses are still finite."""
    with pytest.warns(DivergenceWarning, match="1 of 2 models diverged; the first is model 1, at step 3"):
        found = fit_many(X, Y, [SMALL, Model((3,), optimizer=SGD(1e10), n_steps=3)])
    assert found.status.tolist() == ["finished", "diverged"]
    assert np.abs(found[1].theta).max() > 2.0**53
    assert found[1].diverged_loss == found[1].loss_curve[-1]
    with pytest.raises(DivergenceError, match="the network overflows after 3 steps"):
        rfpcore.MLPRegressor(
            hidden_layer_sizes=(3,), solver="sgd", learning_rate_init=1e10, max_iter=3, tol=0, momentum=0.0,
            nesterovs_momentum=False,
        ).fit(X, Y)  # fmt: skip


def test_weights_within_range_give_the_same_whatever_their_unit():
    """R_k is a weighted mean: a common factor of the weights is no part of it."""
    values = [rfpcore.value_and_grad(NET, THETA, clusters(unit))[0] for unit in (1.0, 1e90, 1e-90)]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


def test_assignments_of_a_policy_are_bounded_by_what_is_possible():
    """Where half of the clusters is just possible, one of the thousand assignments has it."""
    data = datasets.make_policy(n_clusters=8, n_per_cluster=2, least=4, selection=0.0, random_state=0)
    assert data.treatment.sum() == 8


def test_classes_of_all_kinds_are_told_apart_without_making_them_text():
    confidence, right = calibration.confidences(
        [1, "1", 1], [0.9, 0.9, 0.1], classes=np.array([1, "1"], object)
    )
    assert confidence.tolist() == [0.9, 0.9, 0.9]
    assert right.tolist() == [False, True, True]


def test_a_curve_without_a_name_is_drawn_without_a_legend():
    plt = pytest.importorskip("matplotlib.pyplot")
    curve = calibration.reliability_curve([0, 1, 1, 0], P)
    assert plotting.ReliabilityDisplay(curve).plot(ref_line=False).ax_.get_legend() is None
    plt.close("all")
