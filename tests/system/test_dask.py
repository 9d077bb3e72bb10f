"""Training on the workers of a Dask cluster: processes that are killed, that differ, that are gone."""

import os
import signal
import threading
import warnings

import numpy as np
import pytest

from rfpcore import sweep
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD
from rfpcore.regularize import EarlyStopping
from rfpcore.studies import Descent, LeastSquares, LinearTarget, noisy_digits

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

pytestmark = [pytest.mark.xdist_group("dask"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 3))
Y = np.sin(X[:, :1])
MODELS = [Model((8,), optimizer=SGD(0.05), n_epochs=5, seed=seed) for seed in range(20)]
LONG = [Model((64, 64), optimizer=SGD(0.05), n_epochs=150, seed=seed) for seed in range(24)]


@pytest.fixture(scope="module")
def client():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


def same(one, other):
    assert len(one.results) == len(other.results)
    for ours, theirs in zip(one.results, other.results, strict=True):
        for name in ("theta", "loss_curve", "n_steps", "best_step", "status"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_same_bits_as_here_with_everything_a_model_may_have_of_its_own(client):
    stops = [
        Model((8,), optimizer=SGD(0.05), n_epochs=20, seed=s, regularization=EarlyStopping(2, every=5))
        for s in range(6)
    ]
    given = {
        "rows": [RANDOM.permutation(300)[:200] for _ in stops],
        "row_weights": RANDOM.uniform(0.5, 2, (6, 300)),
        "held_out": (X[:50], Y[:50]),
        "held_out_rows": [RANDOM.permutation(50)[:30] for _ in stops],
        "test": (X[50:80], Y[50:80]),
        "record": Record(every=4),
    }
    seen = []
    found = fit_many(X, Y, stops, **given, scheduler=client, on_finished=lambda i, r: seen.append((i, r)))
    expected = fit_many(X, Y, stops, **given)
    same(found, expected)
    assert sorted(index for index, _ in seen) == list(range(6))
    assert all(result is found.results[index] for index, result in seen)
    np.testing.assert_array_equal(found[3].test_losses, expected[3].test_losses)


def test_client_that_is_not_the_default_one(client):
    with distributed.Client(client.scheduler.address, set_as_default=False) as own:
        before = distributed.client._global_clients.copy()
        distributed.client._global_clients.clear()  # nobody has a default one
        try:
            same(fit_many(X, Y, MODELS[:4], scheduler=own), fit_many(X, Y, MODELS[:4]))
        finally:
            distributed.client._global_clients.update(before)


def test_batches_and_starts_of_each_model(client):
    batches = [RANDOM.permutation(300).reshape(30, 10) for _ in MODELS]
    theta = fit_many(X, Y, MODELS).thetas
    given = {"batches": batches, "theta": theta}
    same(fit_many(X, Y, MODELS, **given, scheduler=client), fit_many(X, Y, MODELS, **given))


def test_worker_that_is_killed_costs_its_jobs_only(client):
    pid = min(client.run(os.getpid).values())
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    found = fit_many(X, Y, LONG, scheduler=client)
    killer.join()
    same(found, fit_many(X, Y, LONG))


def test_exception_of_the_callback_ends_the_training_and_the_cluster_goes_on(client):
    class Enough(Exception):
        pass

    def stop(index, result):
        raise Enough

    with pytest.raises(Enough):
        fit_many(X, Y, MODELS, scheduler=client, on_finished=stop)
    same(fit_many(X, Y, MODELS[:3], scheduler=client), fit_many(X, Y, MODELS[:3]))


def test_ctrl_c_ends_the_training_and_the_cluster_goes_on(client):
    done = []

    def interrupt(index, result):
        done.append(index)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit_many(X, Y, LONG, scheduler=client, on_finished=interrupt)
    assert len(done) == 1
    same(fit_many(X, Y, MODELS[:3], scheduler=client), fit_many(X, Y, MODELS[:3]))


def test_sweeps_and_studies(client, tmp_path):
    points = {"hidden_layer_sizes": [(4,), (8,)], "seed": range(3)}
    base = Model(optimizer=SGD(0.05), n_epochs=3)
    found = sweep(X, Y, points, base, path=tmp_path / "sweep", scheduler=client)
    same(found.result, sweep(X, Y, points, base).result)
    data = noisy_digits(n_train=100)
    network = Model((4,), "relu", "softmax", SGD(0.05), batch_size=50, n_epochs=2)
    curve = Descent(data, network, widths=[2, 4], seeds=2, scheduler=client).curve()
    local = Descent(data, network, widths=[2, 4], seeds=2).curve()
    np.testing.assert_array_equal(curve.test_errors, local.test_errors)
    with pytest.raises(ValueError, match="regressions are fitted here"):
        Descent(LinearTarget(20, 10), LeastSquares(), sizes=[5, 15], seeds=2, scheduler=client).curve()


def test_what_is_no_open_client_is_refused(client):
    with pytest.raises(TypeError, match=r"scheduler is int; a synchronous dask.distributed.Client"):
        fit_many(X, Y, MODELS, scheduler=3)
    other = distributed.Client(client.scheduler.address)
    other.close()
    with pytest.raises(ValueError, match="a client that is closed"):
        fit_many(X, Y, MODELS, scheduler=other)


def test_jobs_wait_for_workers_and_say_so(client, monkeypatch):
    """As of a cluster that adapts, which has none before there is work."""
    from rfpcore import _dask

    found, there = [[], []], _dask._workers
    monkeypatch.setattr(_dask, "_workers", lambda client: found.pop() if found else there(client))
    with pytest.warns(RuntimeWarning, match="scheduler has no workers: the jobs wait for some to come"):
        trained = fit_many(X, Y, MODELS[:2], scheduler=client)
    same(trained, fit_many(X, Y, MODELS[:2]))


def test_workers_of_another_version_are_named(client, monkeypatch):
    from rfpcore import _dask

    own = _dask.installed()
    monkeypatch.setattr(_dask, "installed", lambda: _dask.Installed("0.0.1", own.instruction_set))
    monkeypatch.setattr(client, "run", lambda *_, **__: {"tcp://there": own})
    with pytest.raises(ValueError, match="worker tcp://there has rfpcore"):
        fit_many(X, Y, MODELS, scheduler=client)
    monkeypatch.setattr(_dask, "installed", lambda: own)
    monkeypatch.setattr(client, "run", lambda *_, **__: {"tcp://there": own._replace(instruction_set="none")})
    with pytest.warns(RuntimeWarning, match="differ in their last bits"):
        _dask.require_client(client)


def test_refits_of_other_learners_go_to_the_workers_by_joblib(client):
    """joblib's own way: within its context the effects' refits are tasks of the cluster."""
    import joblib
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LogisticRegression

    from rfpcore.causal import ClusterEffect

    groups = np.repeat(np.arange(20), 15)
    treatment = (groups < 8).astype(int)
    learner = RandomForestRegressor(5, min_samples_leaf=5, random_state=0)
    model = ClusterEffect(outcome=learner, propensity=LogisticRegression(), n_jobs=2)
    here = model.fit(X, Y[:, 0], treatment, groups).to_frame()
    with joblib.parallel_config(backend="dask"):
        there = model.fit(X, Y[:, 0], treatment, groups).to_frame()
    # Sums of other libraries depend on where arrays lie in memory.
    np.testing.assert_allclose(here.select_dtypes("number"), there.select_dtypes("number"), rtol=1e-12)
