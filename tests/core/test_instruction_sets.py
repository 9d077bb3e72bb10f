"""Every instruction set that this machine can run gives the same numbers as the portable one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

# Odd widths leave tails in every register length; one cluster is large enough to be split by rows.
PROGRAM = """
import json, sys
import numpy as np
import rfpcore
from rfpcore import _rfpcore

rng = np.random.default_rng(0)
sizes = [1, 3, 17, 40, 1500]
groups = np.repeat(np.arange(len(sizes)), sizes)
X = rng.normal(size=(len(groups), 3))
found = {"isa": _rfpcore.isa()}
for activation in ["identity", "tanh", "relu", "softplus", "silu", "gelu"]:
    for loss, n_outputs in [("squared", 1), ("logistic", 2), ("softmax", 5), ("poisson", 1)]:
        net = rfpcore.MLP(3, (17, 33, 5), n_outputs, activation)
        theta = 0.3 * net.init(0)
        shape = len(groups) if loss == "softmax" else (len(groups), n_outputs)
        y = rng.integers(0, 2, shape)
        for dtype in ["float32", "float64"]:
            data = rfpcore.Clusters(X, y, groups)
            value, grad = rfpcore.value_and_grad(
                net, theta.astype(dtype), data, alpha=0.3, inner_steps=3, inner_lr=0.01, loss=loss
            )
            found[f"{activation} {loss} {dtype}"] = [value, *np.asarray(grad, dtype=float)]
json.dump(found, sys.stdout)
"""


def _numbers(isa):
    environment = {**os.environ, "RFPCORE_ISA": isa}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    if done.returncode and "can run only" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def portable():
    return _numbers("portable")


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon"])
def test_same_numbers_as_the_portable_set(isa, portable):
    found = _numbers(isa)
    assert found.pop("isa") == isa
    for case, numbers in found.items():
        # Sums of 1561 rows in another order: some hundreds of units in the last place at most.
        tolerance = 2e-5 if "float32" in case else 1e-13
        expected = np.array(portable[case])
        assert np.linalg.norm(numbers - expected) <= tolerance * np.linalg.norm(expected), case


def test_a_set_that_cannot_be_run_is_an_error_on_import():
    environment = {**os.environ, "RFPCORE_ISA": "abacus"}
    done = subprocess.run(
        [sys.executable, "-c", "import rfpcore._rfpcore"], env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert 'RFPCORE_ISA is "abacus", but this machine can run only' in done.stderr
