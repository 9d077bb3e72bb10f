"""What all tests share: hypothesis profiles, the skip of tests that need a GPU, and an answer to Ctrl-C."""

import os
import signal
from importlib.util import find_spec

# Before NumPy is imported, here and in processes that tests start: several of them share the cores, and
# OpenBLAS has been seen to wait for its threads for ever when a process ended.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import rfpcore

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples every time, so that a red run is about the change and not about the dice.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    reason = _no_gpu() if gpu else ""
    if reason:
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason=reason))
    if find_spec("linearmodels") is None:
        for item in items:
            if item.name == "rfpcore.npiv.linear.TwoStageLeastSquares":
                item.add_marker(pytest.mark.skip(reason="linearmodels is not installed"))


def _no_gpu() -> str:
    """Why there is no GPU to use; empty if there is one."""
    try:
        import torch
    except ImportError:
        return "torch is not installed: pip install rfpcore[torch]"
    return "" if torch.cuda.is_available() else "torch sees no CUDA device"


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also in a run that a shell has put in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def problem():
    """A small network, parameters and three clusters of unequal sizes whose rows come in no order."""
    random = np.random.default_rng(7)
    net = rfpcore.MLP(2, (5,), 1)
    X, y = random.standard_normal((17, 2)), random.standard_normal(17)
    groups = np.repeat([3, 1, 2], [9, 7, 1])[random.permutation(17)]
    return net, net.init(random_state=0), rfpcore.Clusters(X, y, groups)
