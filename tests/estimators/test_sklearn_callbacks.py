"""scikit-learn's callbacks: what they are told, when they may stop a fit, and that they change no bit."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rfpcore
from rfpcore.estimators import _callbacks

RANDOM = np.random.default_rng(0)
X, GROUPS = RANDOM.standard_normal((60, 2)), np.repeat(np.arange(10), 6)
Y = X[:, 0] + RANDOM.standard_normal(60)
LABELS = np.where(Y > 0, "up", "down")
RFP = {"hidden_layer_sizes": (3,), "max_iter": 25, "inner_lr": 0.05, "random_state": 0}
PLAIN = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}
MEMBER, CLASS_MEMBER = rfpcore.MLPRegressor(**PLAIN), rfpcore.MLPClassifier(**PLAIN)
CASES = {
    "RFPRegressor": (rfpcore.RFPRegressor(**RFP), 3),
    "RFPClassifier": (rfpcore.RFPClassifier(**RFP), 3),
    "MLPRegressor": (MEMBER, 0),
    "MLPClassifier": (CLASS_MEMBER, 0),
    "EnsembleRegressor": (rfpcore.EnsembleRegressor(MEMBER, 4, random_state=0), 4),
    "EnsembleClassifier": (rfpcore.EnsembleClassifier(CLASS_MEMBER, 4, random_state=0), 4),
    "MixedRegressor": (rfpcore.MixedRegressor(mean="linear"), 0),
    "MixedClassifier": (rfpcore.MixedClassifier(mean="linear"), 0),
}


class Recorder:
    """Remembers what it is told, and stops after so many tasks that are not the whole."""

    def __init__(self, stop_after=None):
        self.told, self.scores, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.told.append(f"begin {context.task_name}")
        assert X is not None or context.estimator_name == "GridSearchCV"

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.told.append(f"end {context.task_name}")
        self.metadata = metadata
        if hasattr(fitted_estimator, "score"):  # scalers have none
            self.scores.append(fitted_estimator.score(X, y))
        return self.stop_after is not None and len(self.scores) >= self.stop_after


class Seen(Recorder):
    """The same, for all estimators inside of another."""

    max_propagation_depth = None


def learn(model, **more):
    return model.fit(X, LABELS if is_classifier(model) else Y, groups=GROUPS, **more)


def needs_sklearn():
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")


@pytest.mark.parametrize("name", CASES)
def test_what_callbacks_are_told(name):
    needs_sklearn()
    estimator, n_tasks = CASES[name]
    recorder = Recorder()
    model = learn(clone(estimator).set_callbacks(recorder), sample_weight=np.ones(60))
    alone = learn(clone(estimator), sample_weight=np.ones(60))
    assert_array_equal(model.predict(X), alone.predict(X))
    task = {"R": "outer steps", "E": "network"}.get(name[0], "")
    inside = [f"begin {task}", f"end {task}"] * n_tasks
    assert recorder.told == ["setup", "begin fit", *inside, "end fit", "teardown"]
    assert recorder.scores[-1] == alone.score(X, LABELS if is_classifier(alone) else Y)
    assert len(recorder.scores) == (1 if name[0] == "E" else n_tasks + 1)
    assert_array_equal(recorder.metadata["sample_weight"], np.ones(60))
    assert not {"_watched", "_callback_fit_ctx"} & set(vars(model))


def test_scores_on_the_way_are_those_of_a_fit_that_ends_there():
    needs_sklearn()
    recorder = Recorder()
    learn(clone(CASES["RFPRegressor"][0]).set_callbacks(recorder))
    shorter = rfpcore.RFPRegressor(**RFP, callbacks=lambda state: state.iteration == 10)
    assert recorder.scores[0] == learn(shorter).score(X, Y)
    # The second comes after a stop at 20, by the other kind of callback, beside which they work.
    stopped = Recorder(stop_after=2)
    model = learn(clone(CASES["RFPRegressor"][0]).set_callbacks(stopped))
    assert (model.n_iter_, stopped.scores[:2]) == (20, recorder.scores[:2])
    assert stopped.told.count("begin outer steps") == stopped.told.count("end outer steps") == 2


def test_steps_that_early_stopping_leaves_out_are_ended():
    needs_sklearn()
    recorder = Recorder()
    model = rfpcore.RFPRegressor(**(RFP | {"max_iter": 400, "n_iter_no_change": 10, "tol": 1e3}))
    learn(model.set_callbacks(recorder))
    assert model.n_iter_ < 400
    assert recorder.told.count("begin outer steps") == recorder.told.count("end outer steps")
    assert recorder.told[-2:] == ["end fit", "teardown"]


def test_a_callback_that_fails_leaves_the_estimator_as_it_was():
    needs_sklearn()

    class Broken(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise ZeroDivisionError

    for name in ("RFPRegressor", "EnsembleRegressor", "MLPRegressor"):
        model = learn(clone(CASES[name][0]))
        before, broken = model.predict(X), Broken()
        model.set_callbacks(broken)
        with pytest.raises(ZeroDivisionError):
            model.fit(X + 1, Y, groups=GROUPS)
        assert_array_equal(model.predict(X), before)
        assert broken.told[-1] == "teardown"


def test_inside_of_other_estimators():
    needs_sklearn()
    piped, seen = make_pipeline(StandardScaler(), rfpcore.RFPRegressor(**RFP)), Seen()
    piped.set_callbacks(seen).fit(X, Y, rfpregressor__groups=GROUPS)
    assert seen.told.count("end outer steps") == 3
    search = GridSearchCV(rfpcore.MLPRegressor(**PLAIN), {"max_iter": [1, 2]}, cv=2)
    seen = Seen()
    search.set_callbacks(seen).fit(X, Y)
    assert (seen.told[0], seen.told[-1]) == ("setup", "teardown")


def test_steps_that_are_chosen():
    needs_sklearn()
    recorder = Recorder()
    model = rfpcore.RFPRegressor(hidden_layer_sizes=(3,), random_state=0).set_callbacks(recorder)
    learn(model)
    assert recorder.told.count("end outer steps") == -(-model.n_iter_ // 10)
    model.partial_fit(X, Y, GROUPS)  # is no fit
    assert recorder.told[-1] == "teardown"


def test_what_is_no_callback():
    needs_sklearn()
    with pytest.raises(TypeError, match="FitCallback"):
        rfpcore.MLPRegressor().set_callbacks(print)


def test_before_scikit_learn_1_9(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("rfpcore.estimators._before", Path(_callbacks.__file__))
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    with pytest.raises(ImportError, match=r"scikit-learn's from 1\.9 on, .* callbacks= of RFP"):
        older.CallbackSupportMixin().set_callbacks(Recorder())
    assert older.with_callbacks(len) is len
