"""`rfpcore sweep` and `rfpcore bench`: the numbers of the same networks in Python, and what is wrong."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GroupShuffleSplit

from benches.gradient.workloads import WORKLOADS
from rfpcore import _bench_command, fit_many
from rfpcore.cli import main
from rfpcore.datasets import make_vee
from rfpcore.many import Model
from rfpcore.optimizers import Adam
from rfpcore.regularize import L2
from rfpcore.studies import sweeps

X, Y, GROUPS = make_vee(n_clusters=8, n_per_cluster=6, random_state=0)
FRAME = pd.DataFrame({"x": X[:, 0], "y": Y, "town": GROUPS, "kind": np.where(Y > 1, "high", "low")})
SMALL = ["--features", "x", "--seeds", "2", "--epochs", "3", "--batch-size", "8"]
GRID = [*SMALL, "--outcome", "y", "--clusters", "town", "--widths", "4", "3-3", "--l2", "0", "0.5", "1"]


@pytest.fixture
def file(tmp_path):
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    return str(tmp_path / "rows.csv")


def swept(capsys, *arguments):
    assert main(["sweep", *arguments, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_losses_are_of_clusters_held_out_and_means_over_seeds(file, capsys):
    found = swept(capsys, file, *GRID)
    assert [(line["widths"], line["l2"]) for line in found["settings"]] == [
        (widths, l2) for widths in ("4", "3-3") for l2 in (0, 0.5, 1)
    ]
    split = GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
    train, out = next(split.split(X, groups=GROUPS))
    x = (X - X[train].mean()) / X[train].std()
    y = (Y - Y[train].mean()) / Y[train].std()
    models = [
        Model((3, 3), optimizer=Adam(0.001), regularization=L2(0.5), batch_size=8, n_epochs=3, seed=seed)
        for seed in range(2)
    ]
    predicted = fit_many(x[train], y[train], models).predict(x[out])[:, :, 0]
    losses = ((predicted - y[out]) ** 2).mean(axis=1)
    line = found["settings"][4]
    assert_allclose(line["loss"], losses.mean(), rtol=1e-6)
    assert_allclose(line["std_dev"], abs(losses[0] - losses[1]) / np.sqrt(2), rtol=1e-5)
    assert_allclose(line["r2"], 1 - losses.mean() / y[out].var(), rtol=1e-6)
    assert line["models"] == 2
    assert found["best"] == min(found["settings"], key=lambda line: line["loss"])
    assert found["at_edge"] == (["l2"] if found["best"]["l2"] in (0, 1) else [])
    assert found["data"] == "6 settings, 2 seeds; trained on 36 rows, 12 held out (2 of 8 clusters)"


def test_classes_have_an_accuracy_and_clusters_are_not_needed(file, capsys):
    found = swept(capsys, file, *SMALL, "--outcome", "kind", "--loss", "softmax", "--widths", "0")
    (line,) = found["settings"]
    assert 0 <= line["accuracy"] <= 1
    assert "r2" not in line
    assert found["best"] == line


def test_outcomes_that_do_not_differ_have_no_r2(tmp_path, capsys):
    place = tmp_path / "flat.csv"
    FRAME.assign(y=1.0).to_csv(place, index=False)
    found = swept(capsys, str(place), *SMALL, "--outcome", "y", "--widths", "0")
    assert found["settings"][0]["r2"] is None


def test_text_and_latex_show_what_varies(file, capsys):
    assert main(["sweep", file, *GRID]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[2].split() == ["widths", "l2", "held-out", "loss", "std", "dev", "R2", "models"]
    assert "\nlowest loss: widths " in text
    assert main(["sweep", file, *GRID, "--format", "latex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == r"\begin{tabular}{rrrrrr}"
    assert lines[2] == r"widths & l2 & held-out loss & std dev & $R^2$ & models \\"
    assert sum(line.endswith(r" \\") for line in lines) == 8  # head, six settings, note


def test_features_of_text_are_columns_of_zeros_and_ones(file, tmp_path, capsys):
    numbers = FRAME.assign(kind=(FRAME["kind"] == "low") * 1)
    numbers.to_csv(tmp_path / "numbers.csv", index=False)
    options = ["--outcome", "y", "--seeds", "1", "--epochs", "3", "--widths", "0", "--features", "x", "kind"]
    assert swept(capsys, file, *options) == swept(capsys, str(tmp_path / "numbers.csv"), *options)


def test_edges_of_numbers_are_the_least_and_the_greatest(file, capsys):
    found = swept(capsys, file, *SMALL, "--outcome", "y", "--widths", "0", "--l2", "9", "90", "0", "9")
    assert found["best"]["l2"] == 90
    assert found["at_edge"] == ["l2"]


def test_ctrl_c_shows_what_is_finished_and_ends_in_130(file, monkeypatch, capsys):
    train = sweeps.fit_many

    def interrupted(X, y, models, *, on_finished, **options):
        train(X, y, models[:3], on_finished=on_finished, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "fit_many", interrupted)
    assert main(["sweep", file, *GRID]) == 130
    out = capsys.readouterr()
    assert "interrupted: 3 of 12 models are finished" in out.err
    assert "lowest loss: " in out.out


def test_what_is_finished_is_kept(file, tmp_path, capsys):
    place = tmp_path / "sweep"
    first = swept(capsys, file, *GRID, "--save", str(place))
    size = place.stat().st_size
    assert swept(capsys, file, *GRID, "--save", str(place)) == first
    assert place.stat().st_size == size


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--widths", "wide"], "--widths wide: numbers such as 64 or 64-64 are needed"),
        (["--l2", "-1"], "strength=-1.0"),
        (["--dropout", "1.5"], "rate=1.5"),
        (["--seeds", "0"], "--seeds=0"),
        (["--held-out", "1"], "--held-out=1.0"),
        (["--clusters", "region"], "there is no column 'region'"),
        (["--loss", "poisson", "--outcome", "kind"], "y"),
        (["--outcome", "x"], "--features names 'x', which is the outcome"),
    ],
)
def test_what_is_wrong_ends_in_2_and_a_line(more, words, file, capsys):
    assert main(["sweep", file, *SMALL, "--outcome", "y", *more]) == 2
    out = capsys.readouterr()
    assert words in out.err
    assert "Traceback" not in out.err
    assert out.out == ""


def test_bench_counts_operations_as_the_benchmarks_do():
    for work in WORKLOADS.values():
        ours = _bench_command.operations(work.layers, int(work.sizes().sum()), work.steps)
        assert ours == work.flops()


def test_bench(capsys):
    short = ["bench", "--seconds", "1e-9", "--jobs", "1"]
    assert main([*short, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threads"] == 1
    assert min(*found["gradient_gflops"].values(), found["models_per_second"]) > 0
    assert main(short) == 0
    assert capsys.readouterr().out.count("GFLOP/s") == 2
    assert main(["bench", "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
