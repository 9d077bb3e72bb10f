"""`MixedRegressor` as its users meet it: kinds of mean, clusters known and new, intervals, input, files."""

import copy
import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import rfpcore
from rfpcore import MixedRegressor
from rfpcore.datasets import make_vee

KINDS = ("network", "gp", "trees", "linear")
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 60}


@pytest.fixture(scope="module")
def data():
    return make_vee(n_clusters=10, n_per_cluster=15, random_state=0)


@pytest.fixture(scope="module")
def model(data):
    return MixedRegressor(**QUICK).fit(*data)


def test_best_of_all_kinds_is_the_one_of_the_largest_likelihood(model):
    assert set(model.scores_) == set(KINDS)
    assert model.mean_ in (max(model.scores_, key=model.scores_.get), "ordinary network")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fits_predicts_and_is_saved(kind, data, tmp_path):
    X, y, groups = data
    model = MixedRegressor(mean=kind, guard=False, **QUICK).fit(X, y, groups)
    assert model.mean_ == kind
    assert model.score(X, y, groups=groups) > max(0.9, model.score(X, y))
    model.save(tmp_path / "model.safetensors")
    again = rfpcore.load(tmp_path / "model.safetensors")
    for ask in (
        lambda m: m.predict(X),
        lambda m: m.predict(X, groups),
        lambda m: m.predict_interval(X, groups),
        lambda m: m.population_interval(X),
        lambda m: m.random_effects_.effects,
        lambda m: m.variance_components_.std_error,
        lambda m: m.adapt(X[:4], y[:4], groups[:4]).predict(X[4:9], groups[4:9], unknown="population"),
    ):
        np.testing.assert_array_equal(ask(again), ask(model))
    assert again.summary() == model.summary()
    assert ("Steps, weight decay" in model.summary()) == ("network" in model.mean_)


@pytest.mark.parametrize(("decay", "shown"), [(0.0, "0"), (0.003, "0.003")])
def test_summary_says_how_the_networks_were_trained(decay, shown, data):
    X, y, groups = data
    model = MixedRegressor(mean="network", guard=False, max_iter=10, weight_decay=decay).fit(X, y, groups)
    line = next(line for line in model.summary().splitlines() if line.startswith("Steps"))
    assert line.split(":")[1].strip() == f"10, {shown}"  # one look, at the end


def test_files_that_do_not_say_how_networks_were_trained_load(data, tmp_path):
    X, y, groups = data
    model = MixedRegressor(mean="network", guard=False, max_iter=10).fit(X, y, groups)
    tensors = {}
    document = model._document(tensors)
    del document["mean"]["n_iter"], document["mean"]["weight_decay"]
    again = MixedRegressor._of_document(tensors, json.loads(json.dumps(document)))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert "Steps" not in again.summary()


def test_other_regressors_take_turns_with_the_effects(data):
    X, y, groups = data
    forest = RandomForestRegressor(30, min_samples_leaf=5, random_state=0)
    model = MixedRegressor(mean=forest).fit(X, y, groups)
    assert model.mean_ == "regressor"
    assert model.score(X, y, groups=groups) > 0.95
    with pytest.raises(ValueError, match="regressors of other packages are not kept"):
        model.save("never written")


def test_posterior_of_a_smooth_effect_is_that_of_a_gaussian_process(data):
    # Of one cluster with the population's function taken off, with the same variances.
    X, y, groups = data
    model = MixedRegressor(mean="gp", effects=("intercept", "smooth")).fit(X, y, groups)
    own, scales = model._memory.effects, model._memory.scales
    rows = groups == 3
    Z = scales.features(X)
    found = own.values
    kernel = (
        ConstantKernel(found.matrices[0][0, 0])
        + ConstantKernel(found.smooth[0]) * RBF(found.smooth[1])
        + WhiteKernel(found.noise)
    )
    oracle = GaussianProcessRegressor(kernel, optimizer=None)
    f = scales.outcomes(model.predict(X))
    oracle.fit(Z[rows], (scales.outcomes(y) - f)[rows])
    new = np.linspace(-2, 2, 7)[:, None]
    ours = scales.outcomes(model.predict(new, np.full(7, 3))) - scales.outcomes(model.predict(new))
    theirs, spread = oracle.predict(scales.features(new), return_std=True)
    assert ours == pytest.approx(theirs, abs=1e-8)
    of_effect = model._memory.at(new, np.full(7, 3), "raise", "of outcomes").of_effect
    # scikit-learn's has the noise in it
    assert of_effect / scales.y_scale**2 == pytest.approx(spread**2 - found.noise, rel=1e-6)


def test_adapting_to_the_training_rows_gives_the_same_posterior(model, data):
    X, y, groups = data
    adapted = model.adapt(X, y, groups)
    assert adapted.predict(X, groups) == pytest.approx(model.predict(X, groups), rel=1e-9)
    assert adapted.labels_.tolist() == model.labels_.tolist()


def test_one_row_moves_the_prediction_part_of_the_way(model, data):
    X, y, _ = data
    far = y[:1] + 3 * y.std()
    adapted = model.adapt(X[:1], far)
    before, after = model.predict(X[:1])[0], adapted.predict(X[:1])[0]
    assert before < after < far[0]
    # And nowhere by more than it does there.
    everywhere = adapted.predict(X, None) - model.predict(X)
    assert np.abs(everywhere).max() <= (after - before) * 1.5


def test_more_rows_of_a_cluster_make_it_surer(model, data):
    X, y, groups = data
    own = groups == 2
    stds = [
        model.adapt(X[own][:n], y[own][:n]).predict(X[own][-1:], return_std=True)[1][0] for n in (1, 3, 9)
    ]
    assert stds[0] > stds[1] > stds[2]


def test_clusters_that_are_not_known(model, data):
    X, _, groups = data
    other = groups.copy()
    other[4] = 77
    with pytest.raises(
        ValueError, match=r"groups holds 77 in row 4; 1 of its 11 labels are not among the 10"
    ):
        model.predict(X, other)
    found, std = model.predict(X, other, unknown="population", return_std=True)
    assert found[4] == model.predict(X)[4]
    assert std[4] > std[3]
    wide, narrow = (
        np.diff(model.predict_interval(X, g, unknown="population"))[4, 0] for g in (other, groups)
    )
    assert wide > narrow


def test_intervals_are_about_the_prediction_and_widen_with_the_level(model, data):
    X, y, groups = data
    for one, other in (
        (model.predict_interval(X, groups, level=0.5), model.predict_interval(X, groups, level=0.9)),
        (model.predict_interval(X, level=0.5), model.predict_interval(X, level=0.9)),
        (model.population_interval(X, level=0.5), model.population_interval(X, level=0.9)),
    ):
        assert (other[:, 0] < one[:, 0]).all()
        assert (one[:, 1] < other[:, 1]).all()
    inside = model.predict_interval(X, groups, level=0.95)
    assert ((inside[:, 0] < y) & (y < inside[:, 1])).mean() > 0.9


def test_same_seed_same_bits_for_any_number_of_threads(data):
    fits = [MixedRegressor(n_jobs=jobs, **QUICK).fit(*data).predict(data[0], data[2]) for jobs in (1, 2, 3)]
    np.testing.assert_array_equal(fits[0], fits[1])
    np.testing.assert_array_equal(fits[0], fits[2])


def test_order_of_the_rows_does_not_matter(model, data):
    X, y, groups = data
    order = np.random.default_rng(0).permutation(len(y))
    other = MixedRegressor(**QUICK).fit(X[order], y[order], groups[order])
    # Sums run in another order.
    assert other.predict(X, groups) == pytest.approx(model.predict(X, groups), abs=2e-3)


def test_labels_and_frames_of_pandas(data):
    pandas = pytest.importorskip("pandas")
    X, y, groups = data
    names = np.array([f"school {g}" for g in groups])
    frame = pandas.DataFrame({"score": X[:, 0], "school": names, "grade": y})
    model = MixedRegressor(mean="gp", **QUICK).fit(frame[["score"]], frame.grade, frame.school)
    assert model.labels_.tolist() == sorted(set(names.tolist()))
    assert model.random_effects_.to_frame().index.tolist() == model.labels_.tolist()
    assert model.random_effects_.names == ["intercept", "score"]
    assert "score" in model.variance_components_.to_frame().name.tolist()
    assert model.predict(frame[["score"]], frame.school).shape == (len(frame),)


def test_two_levels_of_any_mean(data):
    X, y, groups = data
    nested = np.column_stack([groups // 2, groups])
    model = MixedRegressor(mean="gp").fit(X, y, nested)
    assert model.score(X, y, groups=nested) > 0.95
    assert len(model.random_effects_) == 2
    with pytest.raises(ValueError, match="groups has 1 level; the model was fitted with 2"):
        model.predict(X, groups)


def test_large_outcomes_small_columns_and_constant_ones():
    X, y, groups = make_vee(n_clusters=8, n_per_cluster=12, random_state=1)
    wide = np.column_stack([X[:, 0] * 1e-7, 4e6 + 1e6 * X[:, 0] ** 2, np.full(len(y), 250.0)])
    model = MixedRegressor(**QUICK).fit(wide, 1e9 + 1e3 * y, groups)
    assert model.score(wide, 1e9 + 1e3 * y, groups=groups) > 0.95


def test_constant_outcome_is_predicted_as_it_is():
    X, _, groups = make_vee(n_clusters=6, n_per_cluster=5, random_state=1)
    model = MixedRegressor(**QUICK).fit(X, np.full(len(X), 250.0), groups)
    assert model.predict(X, groups) == pytest.approx(250.0, abs=1e-3)
    assert model.intraclass_correlation_ == 0


def test_intervals_of_new_clusters_hold_where_slopes_are_strong():
    # x is uniform in every cluster, so that a new row lies far from its cluster's mean.
    inside, counts = 0, 0
    for seed in range(4):
        random = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), 12)
        X = random.uniform(-2, 2, (720, 1))
        level, slope = 0.5 * random.standard_normal(60), 1.5 * random.standard_normal(60)
        y = np.sin(X[:, 0]) + level[groups] + slope[groups] * X[:, 0] + 0.3 * random.standard_normal(720)
        model = MixedRegressor(mean="gp").fit(X[:360], y[:360], groups[:360])
        low, high = model.predict_interval(X[360:]).T
        inside += ((low < y[360:]) & (y[360:] < high)).sum()
        counts += 360
    # A standard error over the 120 clusters of about two per cent.
    assert inside / counts == pytest.approx(0.95, abs=0.05)


def test_means_of_clusters_not_seen_are_those_of_the_rows_given():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 6)
    centre = 2 * random.standard_normal(60)
    X = (centre[groups] + 0.5 * random.standard_normal(360))[:, None]
    y = -X[:, 0] + 2 * centre[groups] + 0.3 * random.standard_normal(360)
    model = MixedRegressor(mean="linear", cluster_means=True).fit(X[:180], y[:180], groups[:180])
    of_rows = model.predict(X[180:], groups[180:], unknown="population")
    assert np.mean((of_rows - y[180:]) ** 2) < 0.1 * np.mean((model.predict(X[180:]) - y[180:]) ** 2)


def test_guard_takes_ordinary_training_where_effects_go_with_x():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 8)
    centre = 2 * random.standard_normal(60)
    X = (centre[groups] + 0.5 * random.standard_normal(480))[:, None]
    y = -X[:, 0] + 2 * centre[groups] + 0.3 * random.standard_normal(480)  # within -1, between about 1
    guarded = MixedRegressor(effects="intercept").fit(X, y, groups)
    assert guarded.mean_ == "ordinary network"
    assert guarded.guard_ < -1.64
    assert "cluster_means" in guarded.summary()
    free = MixedRegressor(effects="intercept", guard=False).fit(X, y, groups)
    assert free.mean_ in KINDS
    centres = centre[:, None]
    truth = centre  # E[y | x] at a centre is about that
    assert np.mean((guarded.predict(centres) - truth) ** 2) < np.mean((free.predict(centres) - truth) ** 2)


def wrong():
    X, y, groups = make_vee(n_clusters=4, n_per_cluster=5, random_state=0)
    return [
        ("one cluster", (X, y, np.zeros(20)), {}, "there is 1 cluster"),
        ("single rows", (X, y, np.arange(20)), {}, "each of the 20 clusters has one row"),
        ("no groups", (X, y, None), {}, "groups is None"),
        ("three levels", (X, y, np.zeros((20, 3))), {}, "groups has 3 columns"),
        (
            "swapped levels",
            (X, y, np.column_stack([groups, groups])),
            {},
            "the first column is to be the wider",
        ),
        ("rows as groups", (X, y, np.column_stack([groups, np.arange(20)])), {}, "cannot be told from noise"),
        ("two outcomes", (X, np.column_stack([y, y]), groups), {}, r"y has shape \(20, 2\)"),
        ("NaN", (np.where(X[3] == X, np.nan, X), y, groups), {}, "X"),
        ("infinite outcome", (X, np.where(y == y[2], np.inf, y), groups), {}, "y"),
        ("short groups", (X, y, groups[:-1]), {}, "groups has 19 rows; X has 20"),
        ("zero weight", (X, y, groups, np.r_[0.0, np.ones(19)]), {}, "sample_weight is 0 in row 0"),
        ("mean", (X, y, groups), {"mean": "spline"}, "mean='spline'"),
        ("effects", (X, y, groups), {"effects": ("slope",)}, "slope"),
        ("no effects", (X, y, groups), {"effects": ()}, "effects is empty"),
        ("column", (X, y, groups), {"effect_columns": ["age"]}, "'age' is no column of X"),
        (
            "columns without effects",
            (X, y, groups),
            {"effects": "intercept", "effect_columns": [0]},
            "effect_columns=.* has no meaning",
        ),
        ("far column", (X, y, groups), {"effect_columns": [1]}, r"effect_columns\[0\]=1 is too large"),
        ("folds", (X, y, groups), {"n_folds": 1}, "n_folds=1 is too small"),
        ("decay", (X, y, groups), {"weight_decay": -1.0}, "weight_decay"),
    ]


@pytest.mark.parametrize(("data", "kwargs", "message"), [pytest.param(*c[1:], id=c[0]) for c in wrong()])
def test_wrong_input_is_refused_and_the_fit_before_stays(data, kwargs, message):
    before = MixedRegressor(mean="linear").fit(*make_vee(n_clusters=4, n_per_cluster=5, random_state=0))
    attributes = copy.copy(vars(before))
    before.set_params(**kwargs)
    with pytest.raises(ValueError, match=message):
        before.fit(*data)
    assert {name: value for name, value in vars(before).items() if name.endswith("_")} == {
        name: value for name, value in attributes.items() if name.endswith("_")
    }


def test_collinear_columns_and_more_columns_than_clusters():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 5)
    X = random.standard_normal((30, 9))
    X[:, 4] = X[:, 2] + X[:, 3]
    y = X[:, 0] + random.standard_normal(6)[groups] + 0.1 * random.standard_normal(30)
    linear = MixedRegressor(mean="linear").fit(X, y, groups)
    assert np.isnan(linear.coefficients_[5])
    assert np.isfinite(linear.predict(X, groups)).all()
    assert np.isfinite(MixedRegressor(**QUICK).fit(X, y, groups).predict(X, groups)).all()


def test_clone_and_parameters():
    model = MixedRegressor(mean="gp", effects=("intercept",))
    assert clone(model).get_params() == model.get_params()


def test_truncated_and_altered_files_are_refused(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], content[:-8] + b"\0" * 8):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            rfpcore.load(path)


def test_draws_of_effects_have_the_moments_of_the_posterior(data):
    """The closed form of a posterior by hand: no code of the package but the variances."""
    X, y, groups = data
    model = MixedRegressor(mean="linear", effects="intercept").fit(X, y, groups)
    cluster = groups == groups[0]
    found = model.variance_components_.variance
    n = int(cluster.sum())
    share = found[0] / (found[0] + found[1] / n)
    residual = float(np.mean(y[cluster] - model.predict(X[cluster])))
    draws = model.sample_effects(X[cluster][:3], groups[cluster][:3], n_samples=4000)
    assert draws.shape == (3, 4000)
    np.testing.assert_allclose(draws[0], draws[2], atol=1e-4)  # one intercept; 1e-6 of its variance is added
    sd = np.sqrt(found[0] * (1 - share))
    np.testing.assert_allclose(draws[0].mean(), share * residual, atol=4 * sd / np.sqrt(4000))
    np.testing.assert_allclose(draws[0].std(), sd, rtol=4 / np.sqrt(8000))


def test_draws_of_effects_go_together_within_clusters_and_not_between(model, data):
    X, y, groups = data
    rows = [0, 1, len(X) - 1]
    draws = model.sample_effects(X[rows], groups[rows], n_samples=3000, random_state=3)
    mean = model.predict(X[rows], groups[rows]) - model.predict(X[rows])
    spread = draws.std(axis=1)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=4 * spread.max() / np.sqrt(3000))
    assert abs(np.corrcoef(draws[[0, 2]])[0, 1]) < 4 / np.sqrt(3000)
    again = model.sample_effects(X[rows], groups[rows], n_samples=3000, random_state=3)
    np.testing.assert_array_equal(draws, again)
    adapted = model.adapt(X[:6], y[:6])
    assert adapted.sample_effects(X[:4], n_samples=2).shape == (4, 2)
    with pytest.raises(ValueError, match="groups is None"):
        model.sample_effects(X[:4])
    with pytest.raises(ValueError, match="are not among"):
        model.sample_effects(X[:2], ["new", "new"])
