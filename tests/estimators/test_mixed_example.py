"""The example of mixed models in its short form: it runs, its claims hold, it draws a picture."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from rfpcore import MixedRegressor

SCRIPT = Path(__file__).parents[2] / "examples" / "mixed" / "school.py"


@pytest.fixture(scope="module")
def school():
    plt.switch_backend("agg")
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def pupils(school):
    return school["draw_schools"](30, np.random.default_rng(0))


@pytest.fixture(scope="module")
def model(pupils):
    return MixedRegressor(mean="gp").fit(*pupils)


def test_short_form(school, tmp_path, capsys):
    picture = tmp_path / "school.png"
    school["main"](["--short", "--output", str(picture)])
    printed = capsys.readouterr().out
    for word in ("Gaussian process", "   0: ", "  20: "):
        assert word in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_effects_are_nearer_to_zero_than_residuals_and_more_so_in_small_schools(school, model, pupils):
    sizes, raw, effect = school["shrinkage"](model, pupils)
    kept = effect @ raw / (raw @ raw)
    small, large = sizes < 6, sizes > 20
    assert small.sum() > 3
    assert large.sum() > 3
    shares = [effect[which] @ raw[which] / (raw[which] @ raw[which]) for which in (small, large)]
    assert shares[0] < shares[1] <= 1.0
    assert 0.5 < kept < 1.0


def test_variances_are_within_three_standard_errors_of_the_truth(school, model, pupils):
    for name, (estimate, error, truth) in school["variances"](model, pupils).items():
        if name != "smooth":  # which is not there: the truth lies at the edge
            assert abs(estimate - truth) < 3 * error, name


def test_twenty_pupils_say_more_than_none(school, model):
    random = np.random.default_rng(1)
    new = school["draw_pupils"](np.array([school["NEW"]]), np.array([60]), random)
    errors = [
        np.mean((school["predictions"](model, new, n_known, new.X[20:])[0] - new.y[20:]) ** 2)
        for n_known in (0, 20)
    ]
    assert errors[1] < 0.5 * errors[0]
