"""Shards on the workers of a Dask cluster: the bits of this machine, whoever is killed, slow or gone."""

import os
import signal
import sys
import time
import warnings

import numpy as np
import pytest

from rfpcore import DivergenceError, MixedRegressor, RFPClassifier, RFPRegressor
from rfpcore.regularize import MaxNorm

distributed = pytest.importorskip("distributed", reason="distributed is not installed")
pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
import dask  # noqa: E402
import pandas as pd  # noqa: E402
from pyarrow import parquet  # noqa: E402

from rfpcore._shards import workers  # noqa: E402
from rfpcore.sharded import ParquetShards, write_shards  # noqa: E402

pytestmark = [pytest.mark.xdist_group("dask"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

RANDOM = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(200), 5)
X = RANDOM.normal(size=(1000, 2))
F = pd.DataFrame(X, columns=["a", "b"])
Y = np.sin(X[:, 0]) + RANDOM.normal(size=200)[GROUPS]
GIVEN = {"y": "y", "groups": "zip", "X": ["a", "b"]}
SHORT = {"max_iter": 15, "random_state": 0, "hidden_layer_sizes": (8,)}
LONG = SHORT | {"max_iter": 60}


@pytest.fixture(scope="module")
def client():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Dask tries for so long to reach a worker that is gone.
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
            distributed.LocalCluster(
                n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    columns = {"a": X[:, 0], "b": X[:, 1], "y": Y, "zip": GROUPS, "class": np.where(Y > 0.5, "high", "low")}
    parquet.write_table(pyarrow.table(columns), folder / "source.parquet")
    given = GIVEN | {"X": ["a", "b", "class"]}
    write_shards(folder / "source.parquet", folder / "labels", **GIVEN | {"y": "class"}, rows_per_shard=150)
    with pytest.raises(TypeError, match="column 'class' is of type"):
        write_shards(folder / "source.parquet", folder / "none", **given)
    return write_shards(folder / "source.parquet", folder / "shards", **GIVEN, rows_per_shard=150)


def same(one, other):
    for name in ("theta_", "loss_curve_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.inner_lr_, other.inner_lr_)


class Fewer:
    """A client of which a training sees some workers only."""

    def __init__(self, client, n_workers):
        self.client, self.n_workers = client, n_workers

    def __getattr__(self, name):
        return getattr(self.client, name)

    def scheduler_info(self, **given):
        found = self.client.scheduler_info(**given)
        return found | {"workers": dict(sorted(found["workers"].items())[: self.n_workers])}


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_same_bits_whatever_the_number_of_workers(n_workers, client, shards, monkeypatch):
    monkeypatch.setattr("rfpcore._shards.way.require_client", lambda scheduler: scheduler)
    model = RFPRegressor(early_stopping=True, n_iter_no_change=20, **SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fifteen steps converge nowhere
        here = model.fit_shards(shards)
        theta, scores = here.theta_, here.validation_scores_
        there = model.fit_shards(shards, scheduler=Fewer(client, n_workers) if n_workers < 3 else client)
    np.testing.assert_array_equal(there.theta_, theta)
    np.testing.assert_array_equal(there.validation_scores_, scores)


@pytest.mark.parametrize(
    "given",
    [
        {"max_iter": "auto", "learning_rate_init": 0.1},
        {"query_fraction": 0.4, "regularization": MaxNorm(1.0)},
        {"inner_lr": "learned", "on_divergence": "skip"},
    ],
    ids=["auto", "query", "learned"],
)
def test_same_bits_of_what_else_there_is_to_choose(given, client, shards):
    here = RFPRegressor(**SHORT | given).fit_shards(shards)
    there = RFPRegressor(**SHORT | given).fit_shards(shards, scheduler=client)
    same(there, here)
    assert getattr(there, "shrinkage_", None) == getattr(here, "shrinkage_", None)
    np.testing.assert_array_equal(there.effects_.parameters, here.effects_.parameters)


def test_classes_and_batches(client, shards):
    labels = ParquetShards(
        os.path.dirname(shards.files[0]).replace("shards", "labels"), **GIVEN | {"y": "class"}
    )
    model = RFPClassifier(class_weight="balanced", batch_size=60, **SHORT)
    same(RFPClassifier(**model.get_params()).fit_shards(labels), model.fit_shards(labels, scheduler=client))


def test_mixed_models_have_the_same_bits(client, shards):
    given = {"mean": "network", "max_iter": 30, "hidden_layer_sizes": (6,), "weight_decay": 0.0}
    here = MixedRegressor(**given).fit_shards(shards)
    there = MixedRegressor(**given).fit_shards(shards, scheduler=client)
    np.testing.assert_array_equal(there.predict(F), here.predict(F))
    np.testing.assert_array_equal(there.population_interval(F), here.population_interval(F))
    np.testing.assert_array_equal(there.predict_interval(F), here.predict_interval(F))
    assert there.summary() == here.summary()
    assert there.guard_ == here.guard_
    assert set(client.run(lambda: len(sys.modules["rfpcore._shards.workers"]._held)).values()) == {0}


def test_workers_keep_nothing_of_a_training_that_is_over(client, shards):
    RFPRegressor(**SHORT).fit_shards(shards, scheduler=client)
    assert set(client.run(lambda: len(sys.modules["rfpcore._shards.workers"]._held)).values()) == {0}


def test_worker_that_is_killed_has_its_shards_read_again(client, shards):
    """Killed by the training's own callback after ten steps, so that it is in the midst of it."""
    victims = []

    def kill(state):
        if state.iteration == 10:
            victims.append(min(client.run(os.getpid).values()))
            os.kill(victims[0], signal.SIGKILL)

    there = RFPRegressor(callbacks=kill, **LONG).fit_shards(shards, scheduler=client)
    assert victims
    same(there, RFPRegressor(**LONG).fit_shards(shards))


def test_all_workers_killed_at_once_are_started_anew(client, shards):
    client.wait_for_workers(3, timeout=60)

    def kill(state):
        if state.iteration == 10:
            for pid in client.run(os.getpid).values():
                os.kill(pid, signal.SIGKILL)

    there = RFPRegressor(callbacks=kill, **LONG).fit_shards(shards, scheduler=client)
    same(there, RFPRegressor(**LONG).fit_shards(shards))
    client.wait_for_workers(3, timeout=60)


def sleep(shard, shared):
    time.sleep(0.05 * (os.getpid() == shared))
    return os.getpid()


def test_slow_worker_is_waited_for(client, shards):
    slow = min(client.run(os.getpid).values())
    passes = workers.There(shards, workers_read, 0, client)
    found = list(passes.map(sleep, slow, range(len(shards))))
    assert slow in found
    assert len(set(found)) == 3
    passes.close()


def workers_read(rows):
    return rows


def die(shard, shared):
    os.kill(os.getpid(), signal.SIGKILL)


def test_shard_that_kills_its_workers_is_named(client, shards):
    """As one does that is larger than a worker's memory limit: the nanny kills it so."""
    passes = workers.There(shards, workers_read, 0, client)
    with pytest.raises(
        RuntimeError, match=r"shard-000000.parquet was lost with its worker 3 times.*memory limit"
    ):
        list(passes.map(die, None, [0]))
    client.wait_for_workers(3, timeout=60)


def test_workers_keep_what_their_memory_limit_allows(client, shards):
    def room(dask_worker=None):
        return [h.room for h in sys.modules["rfpcore._shards.workers"]._held.values()], (
            dask_worker.memory_manager.memory_limit
        )

    passes = workers.There(shards, workers_read, None, client)
    list(passes.map(sleep, 0, range(len(shards))))
    for [left], limit in client.run(room).values():
        assert 0.4 * limit - 100_000 < left < 0.4 * limit
    passes.close()


def test_error_of_a_shard_is_that_of_the_first(client, shards):
    model = RFPRegressor(inner_lr=1e200, inner_steps=3, **SHORT)
    with pytest.raises(DivergenceError) as here:
        model.fit_shards(shards)
    with pytest.raises(DivergenceError) as there:
        model.fit_shards(shards, scheduler=client)
    assert str(here.value) == str(there.value)
    assert here.value.label == there.value.label


def test_ctrl_c_ends_the_training_and_the_cluster_goes_on(client, shards):
    def interrupt(state):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        RFPRegressor(callbacks=interrupt, **LONG).fit_shards(shards, scheduler=client)
    assert set(client.run(lambda: len(sys.modules["rfpcore._shards.workers"]._held)).values()) == {0}
    same(RFPRegressor(**SHORT).fit_shards(shards, scheduler=client), RFPRegressor(**SHORT).fit_shards(shards))


def test_second_ctrl_c_leaves_the_workers_nothing_either(client, shards, monkeypatch):
    run, interrupted = client.run, []

    def interrupt(function, *arguments, **options):
        if function is workers._release and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return run(function, *arguments, **options)

    passes = workers.There(shards, workers_read, None, client)
    list(passes.map(sleep, 0, range(len(shards))))
    monkeypatch.setattr(client, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        passes.close()
    assert interrupted
    assert set(run(lambda: len(sys.modules["rfpcore._shards.workers"]._held)).values()) == {0}


def test_client_that_is_closed_is_told(client, shards):
    other = distributed.Client(client.scheduler.address)
    with pytest.raises(RuntimeError, match=r"the client of scheduler= was closed"):
        RFPRegressor(callbacks=lambda state: other.close(), **LONG).fit_shards(shards, scheduler=other)
    with pytest.raises(RuntimeError, match=r"the client of scheduler= was closed"):
        workers.There(shards, workers_read, None, other)
    with pytest.raises(ValueError, match="a client that is closed"):
        RFPRegressor(**SHORT).fit_shards(shards, scheduler=other)


def test_workers_of_another_version_are_refused(client, shards, monkeypatch):
    from rfpcore import _dask

    own = _dask.installed()
    monkeypatch.setattr(_dask, "installed", lambda: _dask.Installed("0.0.1", own.instruction_set))
    monkeypatch.setattr(client, "run", lambda *_, **__: {"tcp://there": own})
    with pytest.raises(ValueError, match="worker tcp://there has rfpcore"):
        RFPRegressor(**SHORT).fit_shards(shards, scheduler=client)


def test_frames_in_parts_are_dealt_by_the_workers(client, shards, tmp_path):
    """Rows in any order, parts of any number: the same files, with the clusters that a file's have."""
    frames = pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed")
    order = RANDOM.permutation(len(X))
    frame = F.assign(y=Y, zip=GROUPS)
    found = [
        write_shards(
            frames.from_pandas(rows, npartitions=parts), tmp_path / name, **GIVEN, rows_per_shard=150
        )
        for rows, parts, name in ((frame, 2, "one"), (frame.iloc[order].reset_index(drop=True), 5, "other"))
    ]
    for index in range(len(shards)):
        one, other = (each.read(index) for each in found)
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.y, other.y)
        np.testing.assert_array_equal(one.groups, shards.read(index).groups)
    model = RFPRegressor(**SHORT).fit_shards(found[0], scheduler=client)
    np.testing.assert_allclose(model.theta_, RFPRegressor(**SHORT).fit_shards(shards).theta_, rtol=1e-9)


def test_frames_with_features_that_are_no_numbers_are_refused_before_work(tmp_path):
    frames = pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed")
    frame = F.assign(y=Y, zip=GROUPS, when=pd.Timestamp("2020-01-01"))
    with pytest.raises(TypeError, match="column 'when' is of type timestamp"):
        write_shards(
            frames.from_pandas(frame, npartitions=2), tmp_path / "none", **GIVEN | {"X": ["a", "when"]}
        )
    assert not (tmp_path / "none").exists()
