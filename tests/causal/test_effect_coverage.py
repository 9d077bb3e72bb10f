"""The coverage study in a shortened form: fifty data sets, and that it goes on where it was interrupted."""

import warnings
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rfpcore.causal import ClusterEffect, StaggeredEffect


@pytest.fixture(scope="module")
def study():
    return import_module("benches.effects.coverage")  # not before: it sets the threads of linear algebra


def cell_of(study, name):
    (cell,) = (c for c in study.CELLS if c.name == name)
    return cell


def fitted(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the designs have few clusters and little overlap, by intention
        if data.time is None:
            return ClusterEffect().fit(data.X, data.y, data.treatment, data.groups)
        return StaggeredEffect().fit(data.X, data.y, data.treatment, data.groups, data.time)


@pytest.mark.parametrize(
    "name", ["levels-10-strong-constant", "trend-10-weak-varying", "staggered-20-strong-varying"]
)
def test_default_intervals_cover(study, name):
    """At least 43 of 50 nominal 95 % intervals: of true coverage 95 %, 1 in 100 such tests has fewer."""
    covered, seed = [], 0
    while len(covered) < 50:
        data = study.draw(cell_of(study, name), seed)
        seed += 1
        try:
            model = fitted(data)
        except ValueError:  # no overlap
            continue
        low, high = model.confidence_interval()
        covered.append(low <= data.truth <= high)
    assert np.mean(covered) >= 0.86


def test_designs_have_the_effect_they_say(study):
    """Without what is particular to clusters, least squares on the right terms finds it."""
    cell = cell_of(study, "levels-50-weak-constant")
    data = study.draw(cell._replace(scale=0.0, n_clusters=400), 0)
    x, z = data.X[:, 0], data.X[:, 2]
    W = np.column_stack([np.ones(len(x)), np.abs(x), np.sin(2 * z), data.X[:, 1], data.treatment])
    # Noise of .5 in 10,000 rows: a standard error of about .01.
    assert np.linalg.lstsq(W, data.y, rcond=None)[0][-1] == pytest.approx(1.0, abs=0.04)
    assert data.truth == 1.0
    again = study.draw(cell, 3)
    assert_array_equal(again.y, study.draw(cell, 3).y)


def test_the_study_goes_on_and_reports(study, tmp_path, capsys):
    path = tmp_path / "lines.jsonl"
    options = [
        "--cells",
        "levels-10-weak-constant",
        "staggered-10-weak",
        "--estimators",
        "OLS",
        "two-way fixed effects",
    ]
    options += ["--workers", "1", "--output", str(path)]
    study.main([*options, "--draws", "2"])
    first = path.read_text()
    path.write_text(first + '{"cell": "levels-10-w')  # interrupted while writing
    path.write_text(first)
    study.main([*options, "--draws", "3"])
    assert path.read_text().startswith(first)
    assert len(study.read(path)) == 9
    study.main([*options, "--draws", "3"])
    assert len(study.read(path)) == 9
    printed = capsys.readouterr().out
    assert "### levels-10-weak-constant: 0 data sets refused" in printed
    assert "| OLS, wild |" in printed
    assert "| two-way fixed effects, cr1 |" in printed
    with pytest.raises(SystemExit):
        study.main(["--cells", "nothing"])
