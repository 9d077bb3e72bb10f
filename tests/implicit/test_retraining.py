"""Retraining, curvature at endpoints, figures."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from rfpcore import MLP, Clusters, DivergenceError, DivergenceWarning, hvp
from rfpcore.implicit import (
    CoefficientDisplay,
    DropoutCurvature,
    Equations,
    GradientMatching,
    MatrixDisplay,
    PathDisplay,
    Quadratic,
    RetrainingDisplay,
    curvature_at,
    validate,
)
from rfpcore.implicit._retrain import retrain
from rfpcore.implicit.validation import divergence
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD, Adam, Cosine
from rfpcore.regularize import L2, BatchNorm, Dropout, Regularization

matplotlib.use("agg")

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((60, 4))
LABELS = (X[:, 0] + RANDOM.standard_normal(60) > 0).astype(int)
MODEL = Model((6,), "tanh", "softmax", SGD(0.2, schedule=Cosine(200)), L2(0.01), batch_size=10, n_steps=200)


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9, schedule=Cosine(50)), Adam(0.02)], ids=str)
def test_steps_from_python_are_those_of_fit_many(optimizer):
    """To rounding: the passes sum in other orders."""
    model = replace(MODEL, optimizer=optimizer, n_steps=50)
    net = model.net(4, 2)
    theta = net.init(0)
    own = retrain(model, net, theta, X, LABELS, lambda at, batch: 0 * at, None)
    assert_allclose(own, fit_many(X, LABELS, model).thetas[0], rtol=1e-9, atol=1e-11)
    added = retrain(
        replace(model, regularization=None), net, theta, X, LABELS, lambda at, batch: 0.01 * at, None
    )
    assert_allclose(added, own, rtol=1e-9, atol=1e-11)


def test_only_plain_models_are_trained_from_python():
    model = replace(MODEL, regularization=Dropout(0.1))
    with pytest.raises(ValueError, match=r"Dropout\(rate=0\.1\) in the ablated model"):
        retrain(model, model.net(4, 2), model.net(4, 2).init(0), X, LABELS, lambda at, batch: 0 * at, None)
    with pytest.raises(ValueError, match=r"gradient at step 0 has shape \(2,\)"):
        retrain(MODEL, MODEL.net(4, 2), MODEL.net(4, 2).init(0), X, LABELS, lambda at, batch: at[:2], None)


class TestValidate:
    def test_the_true_penalty_gives_the_procedure_again(self):
        found = validate(
            MODEL, X, LABELS, L2(0.01), ablated=replace(MODEL, regularization=None), held_out=(X, LABELS)
        )
        assert found.runs["true"].distance == 0
        assert found.runs["true"].divergence == 0
        assert found.runs["estimated"].distance == 0
        assert found.runs["none"].distance > 0
        assert found.runs["none"].divergence > 0
        assert found.runs["other seed"].distance > 0
        assert list(found.to_frame().columns) == ["distance", "divergence", "held_out_loss", "accuracy"]
        assert "other seed" in found.summary()

    def test_penalties_of_terms_and_of_functions_agree(self):
        ablated = replace(MODEL, regularization=None)
        both = [
            validate(MODEL, X, LABELS, estimate, ablated=ablated, held_out=(X, LABELS))
            .runs["estimated"]
            .theta
            for estimate in (L2(0.02), lambda theta, batch: 0.02 * theta)
        ]
        assert_allclose(both[0], both[1], rtol=1e-9, atol=1e-11)

    def test_dropouts_curvature_comes_nearer_than_nothing(self):
        """In the mean over three seeds, by a factor of two in the divergence."""
        shares = []
        for seed in range(3):
            model = replace(MODEL, regularization=Dropout(0.2), seed=seed, activation="tanh")
            ablated = replace(model, regularization=None)
            penalty = DropoutCurvature(model.net(4, 2), Clusters(X, LABELS), "softmax")

            def slope(theta, batch, own=penalty):
                return 0.25 * own.on(batch).gradients(theta[None])[0, :, 0]

            found = validate(model, X, LABELS, slope, ablated=ablated, held_out=(X, LABELS))
            shares.append(found.runs["estimated"].divergence / found.runs["none"].divergence)
        assert np.mean(shares) < 0.5

    def test_batch_normalization_predicts_as_its_model_does(self):
        model, ablated = replace(MODEL, regularization=BatchNorm()), replace(MODEL, regularization=None)
        found = validate(model, X, LABELS, L2(0.01), ablated=ablated, held_out=(X, LABELS)).runs["true"]
        run = fit_many(X, LABELS, model, dtype=np.float64).results[0]
        outputs = run.predict(X)
        assert_allclose(found.theta, run.parameters())
        assert found.accuracy == np.mean(outputs.argmax(axis=1) == LABELS)
        own = outputs[np.arange(len(X)), LABELS]
        assert_allclose(found.held_out_loss, np.mean(np.log(np.exp(outputs).sum(axis=1)) - own))

    def test_texts_are_the_classes_that_their_codes_are(self):
        texts, options = np.array(["no", "yes"])[LABELS], {"ablated": replace(MODEL, regularization=None)}
        both = [
            validate(MODEL, X, y, L2(0.01), held_out=(X, y), **options).to_frame() for y in (LABELS, texts)
        ]
        assert both[0].equals(both[1])

    def test_a_training_that_diverges(self):
        wild = replace(MODEL, optimizer=SGD(1e200), regularization=None)
        with (
            pytest.warns(DivergenceWarning),
            pytest.raises(DivergenceError, match="the training 'none' diverged at step "),
        ):
            validate(MODEL, X, LABELS, L2(0.01), ablated=wild, held_out=(X, LABELS))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"ablated": replace(MODEL, seed=1)}, "seed=0 of model and 1 of ablated"),
            (
                {"ablated": replace(MODEL, hidden_layer_sizes=(3,))},
                r"hidden_layer_sizes=\(6,\) of model and \(3,\)",
            ),
        ],
    )
    def test_models_that_are_not_alike(self, change, message):
        with pytest.raises(ValueError, match=message):
            validate(MODEL, X, LABELS, L2(0.1), **{"held_out": (X, LABELS)} | change)

    def test_arguments_that_are_none(self):
        options = {"ablated": MODEL, "held_out": (X, LABELS)}
        with pytest.raises(TypeError, match="estimate=5 is a int"):
            validate(MODEL, X, LABELS, 5, **options)
        with pytest.raises(TypeError, match="model=5 is a int; a Model is needed"):
            validate(5, X, LABELS, L2(0.1), **options)
        with pytest.raises(TypeError, match="held_out"):
            validate(MODEL, X, LABELS, L2(0.1), ablated=MODEL, held_out=X)


def test_divergences_against_scipy():
    random = np.random.default_rng(0)
    f, g = random.standard_normal((2, 5, 3))
    p, q = (np.exp(a) / np.exp(a).sum(axis=1, keepdims=True) for a in (f, g))
    assert_allclose(divergence("softmax", f, g), np.mean(stats.entropy(p, q, axis=1)), rtol=1e-12)
    p, q = (1 / (1 + np.exp(-a[:, :1])) for a in (f, g))
    both = np.hstack([p, 1 - p]), np.hstack([q, 1 - q])
    assert_allclose(
        divergence("logistic", f[:, :1], g[:, :1]), np.mean(stats.entropy(*both, axis=1)), rtol=1e-12
    )
    counts = np.arange(60)[:, None]
    own = [stats.poisson(np.exp(a[:, 0])).pmf(counts) for a in (f, g)]
    expected = np.sum(own[0] * np.log(own[0] / own[1]), axis=0)
    assert_allclose(divergence("poisson", f[:, :1], g[:, :1]), expected.mean(), rtol=1e-9)
    assert_allclose(divergence("squared", f, g), np.mean(np.sum((f - g) ** 2, axis=1)))


class TestCurvature:
    def dense(self, net, theta, data, loss):
        return np.array([hvp(net, theta, line, data, loss) for line in np.eye(net.n_parameters)])

    @pytest.mark.parametrize("activation", ["tanh", "softplus"])
    def test_least_eigenvalue_of_the_whole_hessian(self, activation):
        net, data = MLP(4, (8,), 2, activation), Clusters(X, LABELS)
        theta = net.init(0)
        full = self.dense(net, theta, data, "softmax")
        found = curvature_at(net, theta, data, loss="softmax", tol=1e-6, max_iter=2000)
        assert_allclose(found.smallest, np.linalg.eigvalsh(full)[0], rtol=1e-4)
        assert found.is_minimum == (np.linalg.eigvalsh(full)[0] > 0)

    def test_with_an_estimated_penalty(self):
        net, data = MLP(4, (8,), 2), Clusters(X, LABELS)
        theta = net.init(0)
        bare = curvature_at(net, theta, data, loss="softmax", tol=1e-6, max_iter=2000).smallest
        estimate = GradientMatching([L2(1)]).fit(Equations([theta, 2 * theta], [0.3 * theta, 0.6 * theta]))
        found = curvature_at(net, theta, data, estimate, "softmax", tol=1e-6, max_iter=2000)
        assert_allclose(found.smallest, bare + 0.3, rtol=1e-5)

    def test_a_nonlinear_penalty(self):
        net, data = MLP(1, ()), Clusters([[1.0], [2.0]], [0.0, 0.0])
        theta = np.array([1.0, -0.5])
        expected = np.linalg.eigvalsh(self.dense(net, theta, data, "squared") + np.diag(3 * theta**2))[0]
        assert_allclose(curvature_at(net, theta, data, lambda at: at**3).smallest, expected, rtol=1e-6)

    def test_refusals(self):
        net, data = MLP(4, (8,), 2), Clusters(X, LABELS)
        with pytest.raises(TypeError, match="penalty=5 is a int"):
            curvature_at(net, net.init(0), data, 5, "softmax")
        with pytest.raises(ArithmeticError, match="has not settled to 1e-12 after 1 restarts"):
            curvature_at(net, net.init(0), data, loss="softmax", tol=1e-12, max_iter=1)


class TestDisplays:
    def test_coefficients(self):
        shown = CoefficientDisplay({"L1": [0.1, 1.0]}, {"L1": [0.2, -1.0]}).plot()
        assert shown.ax_.get_xscale() == "log"
        assert len(shown.ax_.lines) == 2
        with pytest.raises(ValueError, match="the same names are needed"):
            CoefficientDisplay({"L1": [1.0]}, {"L2": [1.0]})

    def test_path(self):
        thetas = RANDOM.standard_normal((8, 3))
        estimate = GradientMatching([L2(1)], n_pieces=2).fit(Equations(thetas, 0.1 * thetas))
        shown = PathDisplay.from_estimator(estimate).plot()
        assert_allclose(shown.coefficients, [[0.1], [0.1]])
        assert_allclose(shown.times, [1.5, 5.5])
        assert shown.names == ["L2"]
        with pytest.raises(TypeError, match="a fitted GradientMatching is needed"):
            PathDisplay.from_estimator(GradientMatching([L2(1)]))

    def test_matrices(self):
        shown = MatrixDisplay({"Q": np.eye(3), "Q̂": np.zeros((3, 3))}).plot()
        assert len(shown.figure_.axes) == 3
        with pytest.raises(TypeError, match="at least one matrix by name"):
            MatrixDisplay({})

    def test_retraining(self):
        ablated = replace(MODEL, regularization=None)
        found = validate(MODEL, X, LABELS, Regularization([L2(0.01)]), ablated=ablated, held_out=(X, LABELS))
        shown = RetrainingDisplay(found).plot()
        assert [bar.get_height() for bar in shown.ax_.patches][1] == 0
        with pytest.raises(TypeError, match="a Validation is needed"):
            RetrainingDisplay({})


def test_quadratic_names_of_a_loaded_shape():
    assert Quadratic("diagonal", indices=[2]).names(3) == ["Q[2,2]"]
