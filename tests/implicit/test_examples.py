"""The scripts of examples/implicit: they run in their short forms, and what is safe to say of them holds.

Margins are at least twice what was seen in the scripts' full forms.
"""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from rfpcore.datasets import load_digits

FOLDER = Path(__file__).parents[2] / "examples" / "implicit"
SCRIPTS = sorted(
    path.stem for path in FOLDER.glob("*.py") if path.stem not in ("cells", "ols", "elastic", "run_all")
)


@pytest.fixture(autouse=True)
def _folder(monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.syspath_prepend(FOLDER)


def script(name):
    return importlib.import_module(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_quick_form(name, tmp_path, capsys):
    module = script(name)
    found = module.main(["--quick", "--out", str(tmp_path)])
    assert (tmp_path / f"{name}_quick.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert found.claims
    for claim in found.claims:
        assert f"{claim.verdict.upper()}: {claim.paper}" in printed
        assert "nan" not in claim.here
    numbers = (tmp_path / f"{name}_quick.jsonl").read_text()
    assert [json.loads(line)["record"] for line in numbers.splitlines()] == found.records


def test_all_scripts_are_in_the_table():
    found = script("run_all")
    assert sorted(found.SCRIPTS) == SCRIPTS
    outcome = script("cells").Outcome([script("cells").Claim("a | b", "so", "holds")], [], 3.0)
    table = found.table(dict.fromkeys(found.SCRIPTS, outcome))
    assert table.count("a \\| b") == len(SCRIPTS)
    assert f"| together | {3 * len(SCRIPTS)} | |" in table


def test_a_study_goes_on_where_it_was_stopped(tmp_path):
    cells, path, seen = script("cells").cells, tmp_path / "cells.jsonl", []

    def square(x):
        seen.append(x)
        return {"y": x * x}

    cells(path, square, [{"x": 1}, {"x": 2}])
    path.write_text(path.read_text()[:-10])  # interrupted within the last line
    found = cells(path, square, [{"x": x} for x in (1, 2, 3)])
    assert [one["y"] for one in found] == [1, 4, 9]
    assert seen == [1, 2, 2, 3]
    assert cells(path, square, [{"x": 2}]) == [found[1]]
    assert seen == [1, 2, 2, 3]


@pytest.mark.parametrize("strength", [1e-5, 1e-3, 1.0])
def test_ridge_is_exact_in_closed_form(strength):
    ridge = script("section_2_ridge").exact
    assert all(abs(ridge(strength, seed)["closed_form"] - strength) <= 1e-13 for seed in range(3))


@pytest.mark.parametrize("steps", [10, 100, 500])
def test_the_full_matrix_has_its_cliff_at_p(steps):
    counts = (1, 5, 9, 10, 11, 20)
    pools = [script("figure_4_early_stopping").matrix(steps, pool, counts) for pool in range(5)]
    for one in pools:
        assert max(one["errors"][3:]) <= 1e-11
        assert one["errors"][2] >= 0.1
        assert one["ranks"] == [55 - max(10 - m, 0) * (11 - m) // 2 for m in counts[:3]] + [55] * 3
    if steps == 10:  # Q is nearly a multiple of the unit matrix then
        middle = np.median([one["errors"][:3] for one in pools], axis=0)
        np.testing.assert_allclose(middle, np.sqrt([0.9, 0.5, 0.1]), atol=0.02)


def test_a_diagonal_gives_the_weights_back_where_there_is_a_minimum():
    found = script("figure_4_early_stopping").diagonal(100, 60)
    assert found["unsolved"] <= 1e-12
    assert 0.5 < found["positive"] < 1
    assert found["retrained"] <= 1e-10


def test_a_scalar_is_the_rayleigh_quotient():
    found = script("figure_4_early_stopping").scalar(20_000, 1e-3)
    quotient = np.array(found["quotient"])
    used = quotient >= 1e-8
    assert quotient[used].min() < 1e-5
    np.testing.assert_allclose(np.array(found["found"])[used], quotient[used], rtol=1e-8)


def test_rows_leave_a_floor_and_signs_of_residuals_none():
    one = script("figure_7_bootstrap").bootstrap
    floors = [
        np.median([one("rows", 100, noise, 100, pool, [100])["errors"][-1] for pool in range(3)])
        for noise in (1.0, 3.0, 10.0)
    ]
    assert 0.3 < floors[0] < 1.2
    assert floors[0] > floors[1] > floors[2]
    assert all(one("wild", 100, 1.0, 100, pool, [10])["errors"][0] <= 1e-10 for pool in range(3))


def test_windows_find_an_elastic_net_that_the_endpoint_misses():
    cell = script("figure_3_elastic_net").cell
    for l1, l2 in ((1e-3, 1e-3), (1e-3, 1e-2)):
        found = cell("advised", l1, l2, 2, 1)["found"]
        for sampled, same in zip(found["windows"], found["windows, same batches"], strict=True):
            np.testing.assert_allclose(sampled, (l1, l2), rtol=0.2)
            np.testing.assert_allclose(same, (l1, l2), rtol=1e-3)
        assert all(abs(one[0] / l1 - 1) > 0.5 for one in found["endpoint"])


def test_intervals_from_windows_cover():
    module = script("appendix_b_bound")
    records = module.study(module.Size(runs=36, width=50, epochs=200))
    coef = module.together(records, "windows", "coef")
    error = coef.std(axis=0, ddof=1) / np.sqrt(len(coef))
    assert (np.abs(coef.mean(axis=0) - module.TRUE) <= 4 * error).all()
    assert module.coverage(module.together(records, "windows", "interval"))[0].min() >= 0.8
    assert module.coverage(module.together(records, "windows", "classical"))[0][1] < 0.9
    gap = np.linalg.norm(coef - module.TRUE, axis=1)
    assert (module.together(records, "windows", "bound") > gap).all()


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_a_step_adds_h_over_4_to_first_order(activation):
    found = script("figure_6_step_size").law(activation, 1, 0, n=200)
    products, off = np.array(found["products"]), np.abs(np.array(found["ratios"]) - 1)
    assert (off <= 0.5 * products).all()
    slope = np.polyfit(np.log(products), np.log(off), 1)[0]
    assert 0.85 < slope < 1.1
    assert abs(found["richardson"] - 1) < off[0] / 10


def test_a_step_with_relu_is_no_squared_gradient():
    found = script("figure_6_step_size").law("relu", 3, 0, n=200)
    assert min(found["explained"]) < 0.9


@pytest.mark.parametrize("substeps", [1, 2, 16])
def test_small_steps_for_the_flow_keep_a_share(substeps):
    found = script("figure_6_step_size").euler(0, substeps)
    assert found["ratio"] == pytest.approx(1 - 1 / substeps, abs=0.01)


def test_an_order_and_its_reverse_show_the_penalty_of_batches():
    found = script("appendix_c_epochs").epoch("tanh", "trained", 3e-4, 10, 0, 4)
    assert found["ratio"] == pytest.approx(1, abs=0.03)
    assert found["alone"] > 0.2


def test_inputs_dropped_from_a_linear_model_are_a_weighted_ridge():
    found = script("section_3_linear_dropout").linear(0.3, 0, 6000)
    assert found["masks"] == pytest.approx(1, abs=0.02)
    assert found["explained"] > 0.99
    assert found["ridge_explained"] < 0.8
    assert found["apart"] < 0.1
    assert found["ridge_apart"] > 0.3


def test_dropout_takes_real_images(tmp_path):
    """Digits blown up to 28 × 28 stand for MNIST."""
    digits = load_digits()
    large = np.kron(digits.X.reshape(-1, 8, 8), np.ones((3, 3), np.float32))
    padded = np.round(255 * np.pad(large, ((0, 0), (2, 2), (2, 2)))).astype(np.uint8)
    path = tmp_path / "mnist.npz"
    np.savez(
        path, x_train=padded[:1700], y_train=digits.y[:1700], x_test=padded[1700:], y_test=digits.y[1700:]
    )
    X, y, X_held_out, _ = script("figure_5_dropout").rows_of(0, 100, str(path))
    assert X.shape == (100, 784)
    assert X.max() == 1
    assert len(y) == 100
    assert X_held_out.shape == (500, 784)
    found = script("figure_5_dropout").masks("relu", 1, 4, 0, [0.1], 5, str(path))
    assert len(found["ratio"]) == 1


def test_masks_add_the_gauss_newton_penalty():
    found = script("figure_5_dropout").masks("tanh", 3, 48, 0, (0.05, 0.1), 200, None)
    np.testing.assert_allclose(found["ratio"], 1, atol=0.35)
    assert min(found["explained"]) > 0.8
    assert max(found["ridge_explained"]) < 0.05


def test_the_gauss_newton_penalty_stands_in_for_dropout():
    found = script("section_2_retraining").retraining(1, 0.3, 0, 60, 32, n=300)
    best = min(found["none_divergence"], found["ridge_divergence"])
    assert found["gauss_newton_divergence"] < best / 2
    assert found["gauss_newton_distance"] < found["none_distance"]


def test_trained_networks_are_no_minima_of_loss_and_ridge():
    curvature = script("appendix_a_curvature").curvature
    assert curvature("linear, ridge 0.01, full batch", 0)["smallest"] > 0
    assert curvature("relu 3×32, dropout 0.3", 0)["smallest"] < 0
