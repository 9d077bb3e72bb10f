"""The scripts of examples/regularization in their short forms: they run, and what they claim holds."""

import argparse
import importlib
from pathlib import Path

import numpy as np
import pytest

from rfpcore.datasets import Images, load_digits

FOLDER = Path(__file__).parents[2] / "examples" / "regularization"
CLAIMS = {
    "figure_1_shifts": ["gains more than 4 points", "hurts where digits fill their pixels"],
    "figures_2_3_weight_decay": ["λ₂ = 0.0025 gains at least 3", "λ₁ = 0.002 gains at least 3"],
    "figure_4_weights": ["more than 90 % exact zeros", "L2 leaves none", "less than 1 %"],
    "figures_5_6_dropout": ["more than 1.5-fold", "gains more than a point", "than its masked ones"],
    "figures_7_8_calibration": ["falls with ε", "than no smoothing", "than ε = 0.1"],
    "figures_9_10_early_stopping": ["above 1.5", "below the final one", "more than 0.2 of the energy"],
}


@pytest.fixture(autouse=True)
def _folder(monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.syspath_prepend(FOLDER)


def test_every_script_is_run():
    assert {path.stem for path in FOLDER.glob("fig*.py")} == set(CLAIMS)


@pytest.mark.parametrize("name", CLAIMS)
def test_short_form(name, tmp_path, capsys):
    picture = tmp_path / "figure.png"
    assert importlib.import_module(name).main(["--short", "--output", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    for expected in CLAIMS[name]:
        assert sum(expected in line and line.startswith("holds in 3 of 3 seeds") for line in lines) == 1
    assert any("±" in line for line in lines)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_with_images_of_the_real_size(monkeypatch, tmp_path, capsys):
    """Digits blown up to 28 × 28 stand for MNIST: the settings are the note's, cut short."""
    digits = load_digits()
    large = np.kron(digits.X.reshape(-1, 8, 8), np.ones((3, 3), np.float32))
    padded = np.pad(large, ((0, 0), (2, 2), (2, 2))).reshape(-1, 784)
    script = importlib.import_module("figure_1_shifts")
    monkeypatch.setattr(script, "real_images", lambda found: Images(padded, digits.y, (28, 28), "MNIST"))
    script.main(["--short", "--seeds", "2", "--output", str(tmp_path / "figure.png")])
    printed = capsys.readouterr().out
    assert "1000 images of MNIST: test accuracy in %" in printed
    assert "of 2 seeds: augmentation gains test accuracy" in printed


def test_where_the_data_come_from(capsys, monkeypatch):
    common = importlib.import_module("common")
    assert common.real_images(argparse.Namespace(data=None, download=False)) is None
    assert "--data or --download takes MNIST" in capsys.readouterr().out
    images = Images(np.zeros((70_000, 1), np.float32), np.zeros(70_000, np.int64), (28, 28), "")
    asked = []
    monkeypatch.setattr(common, "load_fashion_mnist", lambda *a, **k: asked.append((a, k)) or images)
    found = common.real_images(argparse.Namespace(data="folder", download=False), fashion=True)
    assert found is images
    assert asked == [(("folder",), {"download": False})]
    rows, test = common.draw_rows(images, 1000, 2)
    assert [len(own) for own in rows] == [1000, 1000]
    assert max(own.max() for own in rows) < 60_000 <= test.min()
    assert len(test) == 10_000


def test_rows_of_a_seed_are_not_test_rows():
    common = importlib.import_module("common")
    rows, test = common.draw_rows(load_digits(), 400, 3)
    for own in rows:
        assert len(set(own)) == 400
        assert not set(own) & set(test)
    assert set(rows[0]) != set(rows[1])


def test_a_spread_needs_two_seeds(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("figure_4_weights").main(["--seeds", "1"])
    assert "--seeds must be at least 2" in capsys.readouterr().err


def test_a_claim_says_where_it_fails(capsys):
    common = importlib.import_module("common")
    assert not common.claim("it rains", np.array([True, False, True]))
    assert capsys.readouterr().out == "FAILS: holds in 2 of 3 seeds: it rains\n"
