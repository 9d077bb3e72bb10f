"""The bench of clustered data in short: its designs are what they say, it goes on where it stopped."""

import json
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benches.clusters import designs, real, report, rivals

NAMES = list(designs.DESIGNS)


@pytest.fixture(scope="module")
def bench():
    return import_module("benches.clusters.run")  # not before: it sets the threads of linear algebra


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_is_a_function_of_its_seed(name):
    data = designs.draw(name, 3)
    again = designs.draw(name, 3)
    for one, two in zip(data[1:5] + data.train, again[1:5] + again.train, strict=True):
        assert_array_equal(one, two)
    assert not np.array_equal(data.train.y, designs.draw(name, 4).train.y)
    assert_array_equal(np.bincount(data.train.groups), designs.DESIGNS[name].sizes)
    assert set(data.groups_known) == set(data.train.groups)
    assert set(data.few.groups) == set(data.groups_query)
    assert not set(data.few.groups) & set(data.train.groups)
    assert 0.1 < data.tail.mean() < 0.7


@pytest.mark.parametrize("name", NAMES)
def test_the_population_function_is_the_mean_over_clusters(name):
    """At the same x in 4000 clusters; five standard errors of that mean."""
    design, random, n = designs.DESIGNS[name], np.random.default_rng(0), 4000
    centre = design.centres(random, 3)
    effect = design.effects(random, n, centre.shape[1])
    for x in centre:
        X = np.tile(x, (n, 1))
        away = np.full_like(X, 0.4)
        target = design.target(design.mean(X), effect(X, away, np.arange(n)))
        error = target.std() / np.sqrt(n)
        assert abs(target.mean() - design.population(x[None])[0]) <= 5 * error + 1e-12


def test_outcomes_are_targets_and_noise():
    data = designs.draw("big5", 0)
    rest = data.y_known - data.f_known
    assert_allclose([rest.mean(), rest.std()], [0, 0.3], atol=5 * 0.3 / np.sqrt(len(rest)))
    binary = designs.draw("binary", 0)
    assert set(binary.train.y) == {0.0, 1.0}
    assert 0 < binary.f_known.min() < binary.f_known.max() < 1


def test_random_intercepts_shrink_as_in_the_textbook():
    """n τ²/(n τ² + σ²) of the mean residual, and its variance; the prior where nothing is seen."""
    effects = rivals.Effects(rivals.intercept, np.array([[0.5]]), 2.0)
    seen, residual = np.zeros((3, 2)), np.array([1.0, 2.0, 6.0])
    mean, variance = effects.posterior(
        seen, residual, np.array([7, 7, 8]), np.zeros((3, 2)), np.array([8, 9, 7])
    )
    assert_allclose(mean, [6 * 0.5 / 2.5, 0, 1.5 * 1 / 3], rtol=1e-13)
    assert_allclose(variance, [1 / (1 / 0.5 + 1 / 2), 0.5, 1 / (1 / 0.5 + 2 / 2)], rtol=1e-13)
    assert_allclose(effects.prior_variance(seen), 0.5)


@pytest.mark.parametrize("name", ["gpb_ri", "gpb_slopes"])
def test_gpboost_predicts_known_clusters_as_here(name):
    """Its own prediction, by the posterior mean from its variances; both are exact to its solver's 1e-6."""
    gpb = pytest.importorskip("gpboost")
    from benches.clusters.methods import METHODS

    data = designs.draw("vee", 0)
    train = data.train
    model = METHODS[name]().fit(*train)
    X, asked = (np.ravel((rows - train.X.mean()) / train.X.std()) for rows in (train.X, data.X_known))
    slopes = name == "gpb_slopes"
    given = {"group_rand_coef_data": X[:, None], "ind_effect_group_rand_coef": [1]} if slopes else {}
    process = gpb.GPModel(
        group_data=train.groups, likelihood="gaussian", matrix_inversion_method="cholesky", **given
    )
    y = (train.y - train.y.mean()) / train.y.std()
    options = {"learning_rate": rivals.RATE, "max_depth": rivals.DEPTH, "verbose": -1, "seed": 0}
    trees = gpb.train(options, gpb.Dataset(train.X, y), gp_model=process, num_boost_round=rivals.ROUNDS)
    new = {"group_rand_coef_data_pred": asked[:, None]} if slopes else {}
    theirs = trees.predict(data.X_known, group_data_pred=data.groups_known, **new)["response_mean"]
    ours = (model.known(data.X_known, data.groups_known) - train.y.mean()) / train.y.std()
    assert_allclose(ours, theirs, atol=1e-5)


def test_folds_are_of_whole_clusters_and_label_half_of_each():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), random.integers(1, 9, 40))
    data = designs.Rows(random.standard_normal((len(groups), 2)), random.standard_normal(len(groups)), groups)
    seen = np.concatenate([fold.unseen for fold in real.folds(data, 0)])
    assert_array_equal(np.sort(seen), np.arange(len(groups)))
    for fold in real.folds(data, 0):
        assert not set(groups[fold.train]) & set(groups[fold.unseen])
        assert not set(fold.labelled) & set(fold.asked)
        for cluster in set(groups[fold.unseen]):
            n, labelled, asked = (np.sum(groups[rows] == cluster) for rows in fold[1:])
            assert (labelled, asked) == ((n // 2, n - n // 2) if n >= real.LEAST else (0, 0))


@pytest.mark.parametrize("name", list(real.SETS))
def test_real_data_are_there_without_missing_values(name):
    pytest.importorskip(real.SETS[name].package)
    data = real.load(name)
    assert np.isfinite(data.X).all()
    assert np.isfinite(data.y).all()
    assert np.all(data.X.std(axis=0) > 0)
    assert len(data.X) == len(data.y) == len(data.groups)


def test_the_study_goes_on_and_reports(bench, tmp_path, capsys):
    path = tmp_path / "folder" / "lines.jsonl"
    options = [str(path), "--names", "many_small", "--methods", "mlp", "ridge"]
    bench.main([*options, "--draws", "1"])
    first = path.read_text()
    path.write_text(first + '{"name": "many_sm')  # interrupted while writing
    bench.main([*options, "--draws", "2"])
    lines = bench.read(path)
    assert path.read_text().startswith(first)
    assert [(line["seed"], line["method"]) for line in lines] == [
        (0, "mlp"), (0, "ridge"), (1, "mlp"), (1, "ridge"),
    ]  # fmt: skip
    assert all(line["population"] > 0 for line in lines)
    bench.main([*options, "--draws", "2", "--again"])
    assert len(bench.read(path)) == 8
    assert "| many_small (2) |" in capsys.readouterr().out


def test_what_fails_is_said_and_tried_again(bench, tmp_path, monkeypatch, capsys):
    def broken():
        raise RuntimeError("no such package")

    path = tmp_path / "lines.jsonl"
    options = [str(path), "--names", "vee", "--methods", "ridge", "--draws", "1"]
    with monkeypatch.context() as patch:
        patch.setitem(bench.METHODS, "ridge", broken)
        bench.main(options)
    assert "- vee, seed 0, ridge: RuntimeError: no such package" in capsys.readouterr().out
    bench.main(options)
    assert [("error" in line) for line in bench.read(path)] == [True, False]
    assert "Failures" not in capsys.readouterr().out


def test_real_data_of_the_study(bench):
    pytest.importorskip("causaldata")
    line = bench.one(("castle", 0, "ridge"))
    assert 0 < line["r2_new"] < 1
    assert line["r2_half"] < 1
    json.dumps(line)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "say where"),
        (["x", "--names", "vee", "wee"], "no wee; there are vee"),
        (["x", "--methods", "lme4"], "no lme4; there are mlp"),
    ],
)
def test_wrong_arguments_are_named(bench, given, message, capsys):
    with pytest.raises(SystemExit):
        bench.main(given)
    assert message in capsys.readouterr().err


def test_ratios_are_paired_and_geometric():
    lines = [
        {"name": "vee", "seed": seed, "method": method, "population": error, "seconds": 1.0}
        for method, errors in {"mlp": [1, 2, 4], "rf": [0.5, 1, 2], "hgb": [2, 2, 2], "ridge": [4]}.items()
        for seed, error in enumerate(errors)
    ]
    errors = report.values(lines, "population", designs.DESIGNS)
    half = report.ratio(errors["vee"]["rf"], errors["vee"]["mlp"])
    assert half.value == 0.5
    assert half.outcome == 1
    logs = np.log([2, 1, 0.5])
    mixed = report.ratio(errors["vee"]["hgb"], errors["vee"]["mlp"])
    assert mixed.error == pytest.approx(np.exp(logs.mean()) * logs.std(ddof=1) / np.sqrt(3))
    assert mixed.outcome == 0
    text = report.ratios(errors, "mlp", "Title")
    assert "| vee (3) | 2.3333 | 4.00 (1) | 1.00 ± 0.40 | 0.50 ± 0.00 |" in text
    assert "| win/tie/loss (2 s.e.) |  | 0/1/0 | 0/1/0 | 1/0/0 |" in text
    assert "| vee | rf (1.1667) |" in report.winners(errors)
    assert "rf (1.1667) | hgb" not in report.winners(
        {"vee": {"rf": {0: 1.0, 1: 1.0}, "hgb": {0: 2.0, 1: 2.0}}}
    )


def test_speed_in_short(capsys):
    speed = import_module("benches.clusters.speed")
    speed.main(["--one", "0", "--methods", "ridge"])
    found = json.loads(capsys.readouterr().out)
    assert found["wall"] > 0
    assert speed.cell(found | {"wall": 0.5, "processor": 1.25, "mb": 3.0}) == "0.5 (1.25; 3)"
    assert speed.cell({"error": "over 600 s"}) == "over 600 s"
    X, y, groups = speed.Size("big5", 7, 3).data()
    assert X.shape == (21, 5)
    assert len(y) == len(groups) == 21
    assert speed.Size("big5", 5_000, 20).title == "5,000 × 20"
