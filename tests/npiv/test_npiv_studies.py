"""The benches of instrumental variables in short: they run, go on where they stopped, and print."""

import json
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_demand_table_goes_on_where_it_stopped(tmp_path, capsys):
    bench = runpy.run_module("benches.npiv.demand")
    results = tmp_path / "results.jsonl"
    arguments = [str(results), "--short", "--methods", "KIV", "sieve", "no instrument"]
    bench["main"]([*arguments, "--seconds", "0"])
    assert results.read_text() == ""
    bench["main"](arguments)
    first = results.read_text()
    records = [json.loads(line) for line in first.splitlines()]
    assert len(records) == 6  # three methods at both noise scales
    assert all(2 < record["log10_mse"] < 5 for record in records)
    bench["main"](arguments)
    assert results.read_text() == first
    assert "| demand | 158 | 1000 | 0.9 | " in capsys.readouterr().out


def test_naive_regression_wins_where_confounding_hardly_matters():
    """At noise 1 the instrument only costs: said in the documentation."""
    bench = runpy.run_module("benches.npiv.demand")
    case = {"design": "demand", "noise": 1.0, "n": 1000, "confounding": 0.5}
    naive, kernel = (bench["one"](case, method, 0, True)["log10_mse"] for method in ("no instrument", "KIV"))
    assert naive < kernel


def test_torch_in_the_comparison_does_the_same_steps():
    """All rows are the same one, so that it does not matter which rows a mini-batch draws."""
    pytest.importorskip("torch")
    import torch

    bench = runpy.run_module("benches.npiv.speed")
    Problem, solve = bench["Problem"], bench["solve"]
    random = np.random.default_rng(0)
    row = random.standard_normal((1, 3)), random.standard_normal((1, 3)), random.standard_normal(1)
    problem = Problem(*(np.repeat(part, bench["ROWS"], axis=0) for part in row)).cast(np.float32)
    for solver in ("adam", "langevin"):
        options = bench["OPTIONS"] | {
            "solver": solver,
            "max_iter": 3,
            "temperature_instrument": 0.0,
            "temperature": 0.0,
        }
        run = bench["Torch"](problem, solver)
        run.rates[-2:] = [0.0, 0.0]
        with torch.no_grad():
            for _ in range(3):
                run.outer_step()
        config = bench["settings"](options)
        start = bench["first_particles"](problem, config, np.random.RandomState(0))
        path = solve(problem, config, [1.0], [0], [np.arange(bench["ROWS"])], [start], 1)[0]
        # Thirty steps in single precision; Adam's first ones are signs of gradients near 0.
        np.testing.assert_allclose(path.structural[-1], run.nets[0].ravel(), atol=2e-3)


def test_coverage_in_short(tmp_path, capsys):
    bench = runpy.run_module("benches.npiv.coverage")
    results = tmp_path / "results.jsonl"
    bench["main"]([str(results), "--short", "--rows", "150"])
    bench["main"]([str(results), "--short", "--rows", "150", "--covariates", "2"])
    assert len(results.read_text().splitlines()) == 4
    printed = capsys.readouterr().out
    assert "corrected, 0 covariates, 2 draws: 95 % bands hold h at" in printed
    assert "corrected, 2 covariates, 2 draws: 95 % bands hold h at" in printed
    with pytest.raises(SystemExit):
        bench["main"]([str(results), "--curve", "log", "--covariates", "2"])


def test_coverage_is_counted_right():
    """Estimates that are off by 1 at half of the points, with half widths of 0.5 and 2."""
    bench = runpy.run_module("benches.npiv.coverage")
    truth = bench["make_iv_curve"](2, curve="sin", random_state=0).h_test
    off = np.where(np.arange(100) < 50, 1.0, 0.0)
    records = [
        {
            "seed": seed,
            "curve": "sin",
            "n": 10,
            "solver": "adam",
            "method": "corrected",
            "covariates": 0,
            "centre": (truth + sign * off).tolist(),
            "lower": (truth + sign * off - 0.5).tolist(),
            "upper": (truth + sign * off + 0.5).tolist(),
            "uniform_lower": (truth + sign * off - width).tolist(),
            "uniform_upper": (truth + sign * off + width).tolist(),
        }
        for seed, (sign, width) in enumerate([(1, 2.0), (-1, 0.5)])
    ]
    line = bench["summary"](records).splitlines()[0]
    assert "at 50.0 % of points (standard error 0.0), everywhere in 50.0 % of draws" in line
    assert line.endswith("half widths 0.500 and 1.250")


def test_theory_in_short(tmp_path, capsys):
    import matplotlib

    matplotlib.use("agg")
    example = runpy.run_path(str(EXAMPLES / "npiv_theory.py"))
    picture = tmp_path / "theory.png"
    example["main"](["--short", "--output", str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "spread over runs" in capsys.readouterr().out


def test_spread_over_runs_falls_with_particles():
    """1/N between 10 and 160 particles is a factor of 16; a third of it is asked for, over eight runs."""
    example = runpy.run_path(str(EXAMPLES / "npiv_theory.py"))
    size = example["SHORT"]._replace(runs=8, steps=300)
    data = example["make_iv_curve"](150, random_state=0)
    few, many = (example["errors"](data, size, n_particles=n).spread for n in (10, 160))
    assert few / many > 16 / 3


@pytest.mark.filterwarnings("ignore:the instruments are weak")  # no instrument moves the hearts up
@pytest.mark.filterwarnings("ignore:Z has 3 instruments beyond the covariates for 32 columns")
def test_sprites_table_goes_on_where_it_stopped(tmp_path, capsys):
    bench = runpy.run_module("benches.npiv.sprites")
    del bench["METHODS"]["sieve"]  # seconds
    if find_spec("linearmodels") is None:  # the extra rfpcore[iv]
        del bench["METHODS"]["2SLS"]
    results = tmp_path / "results.jsonl"
    arguments = [str(results), "--short"]
    bench["main"]([*arguments, "--seconds", "0"])
    assert results.read_text() == ""
    bench["main"](arguments)
    first = results.read_text()
    records = [json.loads(line) for line in first.splitlines()]
    found = [(record["method"], record["components"]) for record in records]
    # Linear two-stage least squares has too few instruments for 32 components.
    assert set(found) == {(m, n) for m in bench["METHODS"] for n in (3, 32)} - {("2SLS", 32)}
    assert all(0 < record["mse"] < 1000 for record in records)
    bench["main"](arguments)
    assert results.read_text() == first
    assert "| method | 3 components | 32 components |" in capsys.readouterr().out
