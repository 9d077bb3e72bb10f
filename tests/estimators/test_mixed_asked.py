"""What fitted mixed models are asked: labels of all kinds, deviations, parameters changed later."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

import rfpcore
from rfpcore import MixedRegressor
from rfpcore.estimators.mixed import _fit
from rfpcore.estimators.mixed._moments import mean_outcome

RANDOM = np.random.default_rng(0)
CLUSTERS, ROWS = 20, 8
N = CLUSTERS * ROWS
GROUPS = np.repeat(np.arange(CLUSTERS), ROWS)
X = RANDOM.standard_normal((N, 1))
LEVEL = RANDOM.standard_normal(CLUSTERS)[GROUPS]
Y = 1 + 2 * X[:, 0] + LEVEL + 0.5 * RANDOM.standard_normal(N)
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 40, "guard": False}
COUNTS = RANDOM.poisson(np.exp(0.5 + 0.3 * X[:, 0] + 0.7 * LEVEL)).astype(float)
DISTRICTS = np.array(["a", "b", "c", "d"])[GROUPS // 5]


@pytest.mark.parametrize("within", ["numbers", "texts", "nanoseconds"])
def test_groups_within_clusters_are_known_whatever_holds_their_labels(within):
    """A frame keeps numbers beside texts, an array makes texts of them: none may be taken for a new group."""
    inner = GROUPS if within != "texts" else GROUPS.astype(str)
    if within == "nanoseconds":
        inner = np.datetime64("2020-01-01", "ns") + GROUPS.astype("m8[D]")
    frame = pd.DataFrame({"district": DISTRICTS, "school": inner})
    model = MixedRegressor(mean="linear").fit(X, Y + (GROUPS // 5), frame)
    wanted = model.predict(X, frame)
    assert np.abs(wanted - model.predict(X, [[d, "new"] for d in DISTRICTS])).max() > 0.1
    rows = [list(row) for row in zip(DISTRICTS.tolist(), frame.school.tolist(), strict=True)]
    np.testing.assert_allclose(model.predict(X, rows), wanted, rtol=1e-12)
    if within != "nanoseconds":
        np.testing.assert_allclose(model.predict(X, np.column_stack([DISTRICTS, inner])), wanted, rtol=1e-12)
    else:
        days = frame.assign(school=frame.school.astype("datetime64[s]"))
        np.testing.assert_allclose(model.predict(X, days), wanted, rtol=1e-12)


def test_rows_of_labels_are_equally_long():
    with pytest.raises(ValueError, match=r"groups is not a rectangular array: row 1 is \['b'\]"):
        MixedRegressor(mean="linear").fit(X[:2], Y[:2], [["a", 1], ["b"]])


def test_two_columns_of_one_name_are_two_levels():
    frame = pd.DataFrame({"district": DISTRICTS, "school": GROUPS})
    wanted = MixedRegressor(mean="linear").fit(X, Y, frame).predict(X, frame)
    frame.columns = ["label", "label"]
    model = MixedRegressor(mean="linear").fit(X, Y, frame)
    np.testing.assert_array_equal(model.predict(X, frame), wanted)


def test_nested_models_adapt_to_rows_with_two_labels():
    model = MixedRegressor(mean="linear").fit(X, Y, np.column_stack([DISTRICTS, GROUPS]))
    with pytest.raises(ValueError, match="groups is None; the model has groups within clusters"):
        model.adapt(X[:3], Y[:3])


def test_a_cluster_named_by_a_tuple_is_the_one_adapted_to():
    labels = np.empty(N, object)
    labels[:] = [("school", code) for code in GROUPS.tolist()]
    adapted = MixedRegressor(mean="linear").fit(X, Y, labels).adapt(X[:3], Y[:3], labels[:3])
    np.testing.assert_array_equal(adapted.predict(X[:5]), adapted.predict(X[:5], labels[:5]))


def test_loss_that_is_changed_after_the_fit_changes_no_prediction(tmp_path):
    model = MixedRegressor(loss="poisson", mean="linear").fit(X, COUNTS, GROUPS)
    before = model.predict(X), model.predict(X, GROUPS), model.population_interval(X)
    model.set_params(loss="squared")
    after = model.predict(X), model.predict(X, GROUPS), model.population_interval(X)
    for mine, its in zip(before, after, strict=True):
        np.testing.assert_array_equal(mine, its)
    with pytest.raises(ValueError, match="this model has 'poisson'"):
        model.predict_interval(X)
    for use, name in (
        (lambda: model.adapt(X, COUNTS, GROUPS), "adapt"),
        (lambda: model.save(tmp_path), "save"),
    ):
        with pytest.raises(ValueError, match=f"{name} goes on from loss='poisson', but loss='squared' now"):
            use()


def test_standard_deviation_of_a_mean_count_is_that_of_the_function():
    """Without a cluster f alone is unsure: the half width of its interval, over Student's quantile."""
    model = MixedRegressor(loss="poisson", mean="linear").fit(X, COUNTS, GROUPS)
    predicted, std = model.predict(X, return_std=True)
    low, high = model.population_interval(X, level=0.01).T  # so narrow that the exponential is straight
    wanted = predicted * np.sqrt(np.expm1((np.log(high / low) / 2 / 0.012697) ** 2))
    np.testing.assert_allclose(std, wanted, rtol=1e-3)
    unknown = model.predict(X, np.full(N, -1), unknown="population", return_std=True)[1]
    assert (unknown > 1.5 * std).all()  # of one cluster's rate, whose effect is not known


@pytest.mark.parametrize("is_adapted", [False, True])
def test_standard_deviation_in_a_known_cluster_is_hendersons(is_adapted, tmp_path):
    """Prediction errors of x'b + z'u with b by generalized least squares (Henderson 1975), by hand.

    Few large clusters: each is known, and their mean is not.
    """
    random, n = np.random.default_rng(3), 60
    groups, x = np.repeat(np.arange(10), n), random.standard_normal((10 * n, 1))
    y = 2 * random.standard_normal(10)[groups] + x[:, 0] + random.standard_normal(10 * n)
    model = MixedRegressor(mean="linear", effects=("intercept", "slopes")).fit(x, y, groups)
    found = model.variance_components_
    D = found.correlations["cluster"] * np.outer(found.std_dev[:2], found.std_dev[:2])
    Z, V = np.column_stack([np.ones(10 * n), x]), np.zeros((10 * n, 10 * n))
    for c in range(10):
        own = groups == c
        V[np.ix_(own, own)] = Z[own] @ D @ Z[own].T + found.variance[-1] * np.eye(n)
    inverse = np.linalg.inv(V)
    of_b = np.linalg.inv(Z.T @ inverse @ Z)
    new = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 3.0]])
    cross = np.where((groups == 2)[:, None], Z @ D @ new.T, 0.0)
    left = new - cross.T @ inverse @ Z
    variance = np.diag(new @ D @ new.T - cross.T @ inverse @ cross + left @ of_b @ left.T)
    if is_adapted:
        own = groups == 2
        std = model.adapt(x[own], y[own]).predict(new[:, 1:], return_std=True)[1]
    else:
        model.save(tmp_path / "known.safetensors")
        std = rfpcore.load(tmp_path / "known.safetensors").predict(new[:, 1:], [2, 2, 2], return_std=True)[1]
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-6)
    assert (std < 0.5 * model.predict(new[:, 1:], return_std=True)[1]).all()


def test_standard_deviation_in_a_known_cluster_is_that_of_the_sum_of_two_processes():
    """f's process and the cluster's effects are normal together: their sum's posterior, by hand."""
    model = MixedRegressor(mean="gp", effects=("intercept", "slopes", "smooth"), **QUICK).fit(X, Y, GROUPS)
    memory, new = model._memory, np.array([[-2.0], [0.0], [1.0]])
    found, process = memory.effects.values, memory.uncertainty.process.process
    Z, at = memory.scales.features(X), memory.scales.features(new)
    means = np.array([Z[c == GROUPS].mean(axis=0) for c in range(CLUSTERS)])

    def effects(one, own, two, theirs):
        slopes = found.matrices[1][0, 0] * (one - means[own]) @ (two - means[theirs]).T
        smooth = found.smooth[0] * np.exp(-((one - two.T) ** 2) / 2 / found.smooth[1] ** 2)
        return (own[:, None] == theirs) * (found.matrices[0][0, 0] + slopes + smooth)

    def both(one, own, two, theirs):
        return process.features(one) @ process.features(two).T + effects(one, own, two, theirs)

    third = np.full(3, 3)
    V = both(Z, GROUPS, Z, GROUPS) + found.noise * np.eye(N)
    cross = both(Z, GROUPS, at, third)
    variance = np.diag(both(at, third, at, third) - cross.T @ np.linalg.solve(V, cross))
    std = model.predict(new, third, return_std=True)[1] / memory.scales.y_scale
    # f's posterior is beside the variances found with it, the effects' beside those of clusters left out.
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-3)


@pytest.mark.parametrize("mean", ["linear", "gp"])
def test_standard_deviation_beside_weights_means_and_groups_within_clusters(mean, tmp_path):
    """By hand, for parts of the clusters: e(x) - k'V^-1 e(X) with the errors e of the function fitted.

    The fourth row is of a group that was not there, the fifth of a cluster that was not.
    """
    weights = np.random.default_rng(5).uniform(0.3, 3, N)
    model = MixedRegressor(mean=mean, effects=("intercept", "slopes"), cluster_means=True, **QUICK)
    model.fit(X, Y + GROUPS // 5, np.column_stack([GROUPS // 5, GROUPS]), weights)
    model.save(tmp_path / "nested.safetensors")
    new = np.array([[-1.0], [0.5], [2.0], [1.0], [0.0]])
    outer, inner = np.array([2, 0, 2, 3, 9]), np.array([10, 4, 12, 99, 99])
    asked = new, np.column_stack([outer, inner])
    std = model.predict(*asked, unknown="population", return_std=True)[1]
    again = rfpcore.load(tmp_path / "nested.safetensors")
    np.testing.assert_array_equal(again.predict(*asked, unknown="population", return_std=True)[1], std)

    memory = model._memory
    found, structure = memory.effects.values, memory.effects.structure
    assert memory.effects.observed.shape == X.shape  # means of clusters are not kept a second time
    Z, at = memory.scales.features(X), memory.scales.features(new[:4])
    means = np.array([Z[c == GROUPS // 5].mean(axis=0) for c in range(4)])

    def columns(z, own):
        return np.column_stack([np.ones(len(z)), z - (means[own] if structure.is_centred else 0)])

    def effects(one, own, two, theirs):
        total = np.zeros((len(one), len(two)))
        for block, D in zip(structure.blocks, found.matrices, strict=True):
            alike = (own[0][:, None] == theirs[0]) & (not block.level or own[1][:, None] == theirs[1])
            A, B = (columns(z, w[0])[:, block.columns] for z, w in ((one, own), (two, theirs)))
            total += alike * (A @ D @ B.T)
        return total

    rows, known = (GROUPS // 5, GROUPS), (outer[:4], inner[:4])
    V = effects(Z, rows, Z, rows) + np.diag(found.noise * memory.scales.weight / weights)
    take = np.linalg.solve(V, effects(Z, rows, at, known)).T
    errors = (memory.uncertainty.deviations(np.hstack([z, means[w[0]]])) for z, w in ((at, known), (Z, rows)))
    left = next(errors) - take @ next(errors)
    of_effects = effects(at, known, at, known) - take @ effects(Z, rows, at, known)
    wanted = np.sqrt(np.diag(of_effects + left @ left.T)) * memory.scales.y_scale
    np.testing.assert_allclose(std[:4], wanted, rtol=1e-9)
    assert std[4] > std[:4].max()


@pytest.mark.parametrize("mean", ["gp", "network"])
def test_many_rows_of_a_cluster_leave_little_doubt(mean):
    random = np.random.default_rng(3)
    groups, x = np.repeat(np.arange(8), 100), random.standard_normal((800, 1))
    y = 2 * random.standard_normal(8)[groups] + x[:, 0] + random.standard_normal(800)
    model = MixedRegressor(mean=mean, effects="intercept", max_iter=60).fit(x, y, groups)
    known, new = (model.predict(np.zeros((1, 1)), which, return_std=True)[1][0] for which in ([2], None))
    assert known < 0.25 < new  # 1 / sqrt(100) and 2 / sqrt(8), about


@pytest.mark.parametrize("deviation", [0.5, 2.0, 3.0, 8.0, 20.0])
def test_mean_probability_over_any_spread_of_clusters(deviation):
    for eta in np.linspace(-2, 2, 5) * deviation:
        wanted = quad(
            lambda z, eta=eta: expit(eta + deviation * z) * norm.pdf(z),
            -12,
            12,
            points=[-eta / deviation],
            limit=400,
        )[0]
        found = mean_outcome("logistic", np.array([eta]), np.array([deviation**2]))
        assert found[0] == pytest.approx(wanted, abs=2e-7)


def test_a_linear_mean_among_others_says_why_it_has_no_coefficients(monkeypatch):
    monkeypatch.setattr(_fit, "AUTO", ("linear",))
    model = MixedRegressor(**QUICK).fit(X, Y, GROUPS)
    assert model.mean_ == "linear"
    with pytest.raises(AttributeError, match="mean='linear' has no coefficients where it was chosen among"):
        _ = model.__maketables_coef_table__
