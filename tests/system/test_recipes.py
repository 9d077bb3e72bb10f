"""The recipes of docs/pipelines.md that need what the tests do not: run where it is installed."""

import re
from pathlib import Path

import numpy as np
import pytest

import rfpcore

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"
RECIPES = {
    found.group(1): block
    for block in re.findall(r"^```py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if (found := re.search(r"\b(onnx|optuna|shap|tensorboard|sklearn\.callback)\b", block))
}


def test_every_recipe_is_known():
    assert RECIPES.keys() == {"onnx", "optuna", "shap", "tensorboard", "sklearn.callback"}


@pytest.mark.filterwarnings("ignore")  # of other packages
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_runs(name, tmp_path, monkeypatch):
    pytest.importorskip(name)
    if name == "onnx":
        pytest.importorskip("onnxscript")
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    X, groups = random.standard_normal((60, 4)), random.integers(0, 6, 60)
    y = X[:, 0] + random.standard_normal(6)[groups]
    model = rfpcore.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0).fit(X, y)
    names = {"np": np, "rfpcore": rfpcore, "torch": torch, "X": X, "y": y, "groups": groups, "model": model}
    names["module"] = rfpcore.export.to_torch(model)
    exec(compile(RECIPES[name], name, "exec"), names)
