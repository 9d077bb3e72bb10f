"""Workers of a Dask cluster that have too little memory: an error that says so, and no waiting for ever."""

import contextlib
import time
import warnings

import numpy as np
import pytest

from rfpcore import _dask
from rfpcore.many import Model, fit_many

distributed = pytest.importorskip("distributed", reason="distributed is not installed")
dask = pytest.importorskip("dask")

pytestmark = [pytest.mark.xdist_group("dask"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

LIMIT = 400_000_000
MODELS = [Model((4,), n_steps=3, seed=seed) for seed in range(4)]


@contextlib.contextmanager
def cluster_with(limit, **more):
    with warnings.catch_warnings(), dask.config.set(more):
        warnings.simplefilter("ignore")
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
        with (
            distributed.LocalCluster(memory_limit=limit, **options) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def hold(n_bytes, dask_worker):
    """Somebody else's data on a worker."""
    dask_worker.others = bytearray(n_bytes)


def status_of(client):
    return {worker["status"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}


def test_data_that_no_worker_can_hold():
    X = np.zeros((6_000_000, 4))  # 192 MB, which a job has twice for a moment
    with (
        cluster_with(LIMIT) as client,
        pytest.raises(RuntimeError, match=r"several workers died .* memory than the 400000000 bytes"),
    ):
        fit_many(X, X[:, :1], MODELS, scheduler=client)


def test_workers_that_are_full_of_other_things(monkeypatch):
    """Paused workers take no task, and Dask would wait for ever."""
    monkeypatch.setattr(_dask, "PATIENCE", 0.3)
    X = np.zeros((20, 4))
    with cluster_with(LIMIT, **{"distributed.worker.memory.pause": 0.5}) as client:
        here = fit_many(X, X[:, :1], MODELS)
        client.run(hold, LIMIT // 2)
        deadline = time.monotonic() + 60
        while status_of(client) != {"paused"}:
            assert time.monotonic() < deadline
        with pytest.raises(MemoryError, match=r"all workers .* are paused, .* need more memory"):
            fit_many(X, X[:, :1], MODELS, scheduler=client)
        client.run(hold, 0)
        np.testing.assert_array_equal(fit_many(X, X[:, :1], MODELS, scheduler=client).thetas, here.thetas)


def test_client_that_is_closed_in_between(monkeypatch):
    monkeypatch.setattr(_dask, "PATIENCE", 0.3)
    X = np.zeros((20, 4))
    with (
        cluster_with(LIMIT) as client,
        distributed.Client(client.scheduler.address) as own,
        pytest.raises(RuntimeError, match="the client of scheduler= was closed"),
    ):
        fit_many(X, X[:, :1], MODELS, scheduler=own, on_finished=lambda index, result: own.close())
