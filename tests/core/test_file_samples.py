"""Files that earlier versions wrote: they load, and say what they said then."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rfpcore import estimators, npiv

FILES = Path(__file__).parents[1] / "data" / "files"
EXPECTED = json.loads((FILES / "expected.json").read_text())
GRID = np.linspace(-1, 1, 5)
IN_SINGLE = {"RFPRegressor_steps", "ProximalF2BMLD", "DeepFeatureIV"}


def says(model):
    if isinstance(model, npiv.ProximalF2BMLD):
        return model.effect(GRID)
    if hasattr(model, "n_covariates_"):
        return model.predict(GRID, GRID)
    frame = pd.DataFrame({"size": GRID, "age": GRID**2})
    X = frame if hasattr(model, "feature_names_in_") else GRID[:, None]
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", EXPECTED)
def test_files_of_earlier_versions_load(name, version):
    """The numbers are those of another machine: an instruction set may round the last digits differently."""
    kind = name.split("_")[0]
    module = estimators if hasattr(estimators, kind) else npiv
    model = getattr(module, kind).load(FILES / f"{name}-{version}.safetensors")
    tolerance = 1e-5 if name in IN_SINGLE else 1e-12
    np.testing.assert_allclose(says(model), EXPECTED[name], rtol=tolerance, atol=tolerance)
