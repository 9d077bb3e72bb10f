"""Refits on the workers of a Dask cluster: of effects, bands, ensembles, intervals, to the bits of here."""

import os
import pickle
import signal
import warnings
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin

from rfpcore import RFPRegressor, RFPRegressorCV, _dask
from rfpcore._progress import NoProgress
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, IndividualEffect, StaggeredEffect
from rfpcore.conformal import ClusterConformal
from rfpcore.estimators import EnsembleRegressor, MLPRegressor, refit_clusters
from rfpcore.exceptions import DivergenceError
from rfpcore.implicit import validate
from rfpcore.many import Model
from rfpcore.npiv import F2BMLD
from rfpcore.optimizers import SGD
from rfpcore.regularize import L2

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

pytestmark = [
    pytest.mark.xdist_group("dask"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning"),
]

RANDOM = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(16), 8)
X = RANDOM.normal(size=(128, 2))
Y = np.sin(X[:, 0]) + RANDOM.normal(size=16)[GROUPS]
TREATED = GROUPS % 2
SMALL = RFPRegressor(hidden_layer_sizes=(6,), inner_lr=0.05, max_iter=10, random_state=0)


class Own(RegressorMixin, BaseEstimator):
    """Somebody's own: the mean, times 1 + x."""

    def fit(self, X, y):
        self.mean_ = y.mean()
        return self

    def predict(self, X):
        return self.mean_ * (1 + X[:, 0])


class Deadly(Own):
    """Kills the worker that fits it, once."""

    def __init__(self, variable):
        self.variable = variable

    def fit(self, X, y):
        try:
            flag = distributed.Variable(self.variable, distributed.get_client())
        except ValueError:  # here
            return super().fit(X, y)
        if not flag.get():
            flag.set(True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)


def cluster_of(n_workers):
    return distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )


@pytest.fixture(scope="module")
def client():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with cluster_of(2) as cluster, distributed.Client(cluster) as client:
            yield client


@pytest.fixture(scope="module")
def alone():
    """A cluster of one worker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with cluster_of(1) as cluster, distributed.Client(cluster, set_as_default=False) as client:
            yield client


def same(one, other):
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        assert_array_equal((ours.estimate, ours.std_error), (theirs.estimate, theirs.std_error))
        assert_array_equal(ours.draws, theirs.draws)


COUNTS = np.vstack([1 - np.eye(16), RANDOM.multinomial(16, np.full(16, 1 / 16), 9)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True, "max_iter": 30, "dtype": "float32"},
        {"max_iter": "auto", "alpha": 0.0},
        {"batch_size": 5, "solver": "sgd", "n_jobs": 2},
    ],
    ids=["plain", "early stopping", "chosen steps", "batches"],
)
def test_refits_of_clusters(client, alone, options):
    model = RFPRegressor(**SMALL.get_params() | options)
    here = refit_clusters(model, X, Y, GROUPS, COUNTS)
    for one in (client, alone):
        there = refit_clusters(model, X, Y, GROUPS, COUNTS, scheduler=one)
        for name in ("thetas", "n_iter", "best_iteration", "labels"):
            assert_array_equal(getattr(there, name), getattr(here, name))
            assert getattr(there, name).dtype == getattr(here, name).dtype
    assert_array_equal(there.predict(X), here.predict(X))


def test_a_fit_that_diverges_is_named_as_here(client):
    wild = RFPRegressor(**SMALL.get_params() | {"inner_lr": 1e200})
    said = []
    for scheduler in (None, client):
        with pytest.raises(DivergenceError, match=r"^fit 0 of 25: the loss of cluster") as error:
            refit_clusters(wild, X, Y, GROUPS, COUNTS, scheduler=scheduler)
        said.append(str(error.value))
    assert said[0] == said[1]


LONG = np.tile(np.arange(2), 128)
PEOPLE = (RANDOM.normal(size=128) > 0).astype(int)
PANEL = {"unit": np.repeat(np.arange(128), 2)}
ADOPTS = (GROUPS % 3 + 1) * (GROUPS % 3 < 2) + 9 * (GROUPS % 3 == 2)
PERIODS = np.tile(np.arange(4), 128)


def cluster_effect(outcome, **given):
    return ClusterEffect(outcome=outcome, **given), (X, Y, TREATED, GROUPS), {"by": X[:, 1] > 0}


def individual_effect(outcome, **given):
    return IndividualEffect(outcome=outcome, n_folds=3, **given), (X, Y, PEOPLE, GROUPS), {}


def differences(outcome, sections=False, **given):
    data = (
        np.repeat(X, 2, axis=0),
        np.repeat(Y, 2) * (1 + LONG),
        np.repeat(TREATED, 2),
        np.repeat(GROUPS, 2),
        LONG,
    )
    return DifferenceInDifferences(outcome=outcome, **given), data, {} if sections else PANEL


def sections(outcome, **given):
    return differences(outcome, sections=True, **given)


def staggered(outcome, **given):
    d = np.repeat(ADOPTS, 4) <= PERIODS
    data = (np.repeat(X, 4, axis=0), np.repeat(Y, 4) * (1 + PERIODS), d, np.repeat(GROUPS, 4), PERIODS)
    return StaggeredEffect(outcome=outcome, **given), data, {"unit": np.repeat(np.arange(128), 4)}


@pytest.mark.parametrize("outcome", [SMALL, Own(), "auto"], ids=["network", "own", "auto"])
def test_effects_of_clusters(client, alone, outcome):
    model, data, given = cluster_effect(outcome, n_draws=10)
    here = model.fit(*data, **given)
    effects, boot = here.effects_, here.infer("bootstrap")
    for one in (client, alone):
        there = cluster_effect(outcome, n_draws=10)[0].fit(*data, **given, scheduler=one)
        same(there.effects_, effects)
        same(there.infer("bootstrap", scheduler=one), boot)
        assert there.outcome_scores_ == here.outcome_scores_
    pickle.loads(pickle.dumps(there))  # it has kept no client


@pytest.mark.parametrize(
    ("make", "inference"),
    [
        (individual_effect, "jackknife"),
        (individual_effect, "cr1"),
        (differences, "jackknife"),
        (sections, "bootstrap"),
        (staggered, "bootstrap"),
        (cluster_effect, "cross-fit"),
        (cluster_effect, "cv3"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_effects_of_every_design(client, make, inference, monkeypatch):
    model, data, given = make(SMALL, inference=inference, n_draws=10)
    effects = model.fit(*data, **given).effects_
    sent = []

    def on_workers(client, work, shared, jobs, finished):
        sent.extend(jobs)
        return plain(client, work, shared, jobs, finished)

    plain = _dask.on_workers
    monkeypatch.setattr(_dask, "on_workers", on_workers)
    same(model.fit(*data, **given, scheduler=client).effects_, effects)
    assert len(sent) >= 3
    assert _dask.current_client() is None


def test_worker_that_is_killed_costs_its_jobs_only(client):
    """Each fit has a job: one that kills its worker the first time it is begun."""
    flag = distributed.Variable("killed", client)
    flag.set(False)
    model, data, given = cluster_effect(Deadly("killed"))
    there = model.fit(*data, **given, scheduler=client)
    assert flag.get()
    same(there.effects_, cluster_effect(Own())[0].fit(*data, **given).effects_)


def test_what_is_no_open_client_is_refused_before_any_work(client):
    other = distributed.Client(client.scheduler.address, set_as_default=False)
    other.close()
    model, data, given = cluster_effect(Own())
    with pytest.raises(ValueError, match="a client that is closed"):
        model.fit(*data, **given, scheduler=other)
    assert not hasattr(model, "effects_")
    fitted = model.fit(*data, **given)
    for refits in (
        lambda scheduler: fitted.infer("bootstrap", scheduler=scheduler),
        lambda scheduler: refit_clusters(SMALL, X, Y, GROUPS, COUNTS, scheduler=scheduler),
    ):
        with pytest.raises(TypeError, match=r"scheduler is int; a synchronous dask.distributed.Client"):
            refits(3)


@pytest.mark.parametrize("solver", ["adam", "langevin"])
def test_bands_of_instrumental_variables(client, alone, solver):
    z = RANDOM.normal(size=(150, 1))
    x = z + RANDOM.normal(size=(150, 1))
    model = F2BMLD(solver=solver, n_particles=8, max_iter=40, random_state=0).fit(x, np.sin(x[:, 0]), z)
    options = {"n_bootstraps": 11, "random_state": 1}
    here = model.bands(x[:5], **options)
    for one in (client, alone):
        for ours, theirs in zip(here, model.bands(x[:5], **options, scheduler=one), strict=True):
            assert_array_equal(ours, theirs)


@pytest.mark.parametrize("options", [{}, {"bootstrap": True, "verbose": 1}], ids=["seeds", "bootstrap"])
def test_ensembles(client, alone, options):
    member = MLPRegressor(hidden_layer_sizes=(5,), max_iter=4)
    model = EnsembleRegressor(member, n_estimators=7, random_state=0, **options)
    here = model.fit(X, Y).predict(X)
    for one in (client, alone):
        assert_array_equal(model.fit(X, Y, scheduler=one).predict(X), here)


def test_choice_by_cross_validation(client, alone):
    base = RFPRegressor(**SMALL.get_params() | {"max_iter": 20, "solver": "sgd", "batch_size": 5})
    weight = RANDOM.uniform(0.5, 2, 128)
    model = RFPRegressorCV(base, alphas=(0.1, 1.0), inner_lrs=(0.05, 0.1), n_folds=3)
    here = model.fit(X, Y, GROUPS, weight)
    results, theta = here.cv_results_, here.best_estimator_.theta_
    for one in (client, alone):
        there = model.fit(X, Y, GROUPS, weight, scheduler=one)
        for name, values in results.items():
            assert_array_equal(there.cv_results_[name], values)
        assert_array_equal(there.best_estimator_.theta_, theta)


@pytest.mark.parametrize("method", ["split", "cv+", "jackknife+"])
@pytest.mark.parametrize("regressor", [SMALL, Own()], ids=["network", "own"])
def test_conformal_intervals(client, alone, method, regressor):
    model = ClusterConformal(regressor, method=method, n_folds=4, random_state=0)
    here = model.fit(X, Y, GROUPS)
    bounds, predicted = here.predict_interval(X, level=0.6), here.predict(X)
    for one in (client, alone):
        there = model.fit(X, Y, GROUPS, scheduler=one)
        assert_array_equal(there.predict_interval(X, level=0.6), bounds)
        assert_array_equal(there.predict(X), predicted)


def test_validation_of_a_penalty(client):
    model = Model((5,), optimizer=SGD(0.05), regularization=L2(0.01), n_epochs=5)
    given = {"ablated": replace(model, regularization=None), "held_out": (X, Y)}
    here = validate(model, X, Y, L2(0.01), **given)
    there = validate(model, X, Y, L2(0.01), **given, scheduler=client)
    for name, run in here.runs.items():
        assert_array_equal(there.runs[name].theta, run.theta)


class Shown(NoProgress):
    """Progress that is kept; told to, it presses Ctrl-C."""

    def __init__(self, interrupts=False):
        self.done, self.interrupts = [], interrupts

    def update(self, done, note):
        self.done.append(done)
        if self.interrupts:
            signal.raise_signal(signal.SIGINT)


def test_progress_of_effects_and_ctrl_c(client, monkeypatch):
    """Refits go a twentieth at a time, as here: the same bits."""
    shown = []
    monkeypatch.setattr("rfpcore.causal._effort.make_progress", lambda *arguments: shown[-1])
    model, data, given = cluster_effect(SMALL, inference="bootstrap", n_draws=40, verbose=1)
    shown.append(Shown())
    effects = model.fit(*data, **given).effects_
    shown.append(Shown())
    same(model.fit(*data, **given, scheduler=client).effects_, effects)
    assert shown[0].done == shown[1].done
    assert len(shown[0].done) > 10
    shown.append(Shown(interrupts=True))
    before = model.effects_
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, **given, scheduler=client)
    assert len(shown[2].done) == 1
    assert model.effects_ is before
    assert _dask.current_client() is None


def test_coverage_study(client, tmp_path):
    """A data set a job, each line as it comes."""
    coverage = import_module("benches.effects.coverage")
    cells, wanted = coverage.CELLS[:2], frozenset(["OLS"])
    todo = list(coverage.jobs(cells, 2, 0, wanted, []))
    coverage.run(tmp_path / "there.jsonl", todo, 1, client.scheduler.address)
    coverage.run(tmp_path / "here.jsonl", todo, 1)

    def lines(name):
        found = coverage.read(tmp_path / name)
        return sorted((line["cell"], line["seed"], _without_seconds(line["rows"])) for line in found)

    assert lines("there.jsonl") == lines("here.jsonl")


def _without_seconds(rows):
    return [(name, numbers[:3]) for name, numbers in rows.items()]


def test_learners_that_no_module_has(client):
    """As of a notebook."""

    class Local(Own):
        pass

    model, data, given = cluster_effect(Local())
    effects = model.fit(*data, **given).effects_
    same(model.fit(*data, **given, scheduler=client).effects_, effects)
