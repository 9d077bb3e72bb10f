"""Files of ordinary networks and of ensembles."""

import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from small_networks import CODES, LABELS, SMALL, X, Y

from rfpcore import EnsembleClassifier, EnsembleRegressor, MLPClassifier, MLPRegressor, _files
from rfpcore.optimizers import PowerLaw
from rfpcore.regularize import L2, BatchNorm, Dropout


@pytest.mark.parametrize(
    "model",
    [
        MLPClassifier(**SMALL, regularization=L2(0.1) + Dropout(0.2), learning_rate=PowerLaw(100.0)),
        MLPClassifier(**SMALL, regularization=BatchNorm(), dtype="float32"),
        EnsembleClassifier(
            MLPClassifier(**SMALL, regularization=[L2(0.1)]), 3, bootstrap=True, random_state=1
        ),
        EnsembleClassifier(n_estimators=2),
    ],
    ids=["network", "normalized", "ensemble", "ensemble of defaults"],
)
def test_files_of_classifiers(model, tmp_path):
    model = clone(model).fit(pd.DataFrame(X, columns=["u", "v"]), LABELS)
    model.save(tmp_path / "model.safetensors")
    loaded = type(model).load(tmp_path / "model.safetensors")
    assert vars(loaded).keys() == vars(model).keys()
    frame = pd.DataFrame(X, columns=["u", "v"])
    assert_array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    assert_array_equal(loaded.predict(frame), model.predict(frame))
    assert clone(loaded).fit(frame, LABELS).n_iter_ == model.n_iter_


def test_files_of_regressors(tmp_path):
    path = tmp_path / "model.safetensors"
    ensemble = EnsembleRegressor(MLPRegressor("poisson", **SMALL), 2, random_state=0).fit(X, CODES)
    ensemble.save(path)
    assert_array_equal(EnsembleRegressor.load(path).predict_each(X), ensemble.predict_each(X))
    with pytest.raises(ValueError, match="holds a EnsembleRegressor; MLPRegressor"):
        MLPRegressor.load(path)
    early = MLPRegressor(**SMALL | {"max_iter": 100}, early_stopping=True, n_iter_no_change=2, tol=0.01).fit(
        X, Y
    )
    early.save(path)
    loaded = MLPRegressor.load(path)
    assert_array_equal(loaded.validation_scores_, early.validation_scores_)
    assert (loaded.best_iteration_, loaded.n_iter_) == (early.best_iteration_, early.n_iter_)


def test_a_file_of_an_ensemble_that_does_not_hold_together(tmp_path):
    path = tmp_path / "model.safetensors"
    EnsembleClassifier(MLPClassifier(**SMALL), 2, random_state=0).fit(X, LABELS).save(path)
    tensors, document = _files.read(path)
    for change, message in (
        ({"members": []}, "there are no members"),
        ({"members": [document["members"][0] | {"class": "MLPRegressor"}]}, "member 0 is a MLPRegressor"),
        ({"estimator": {"solver": {"kind": "Popen"}}}, "kind 'Popen' is unknown"),
    ):
        _files.write(path, tensors, document | change)
        with pytest.raises(ValueError, match=message):
            EnsembleClassifier.load(path)
    _files.write(path, {n: t for n, t in tensors.items() if n != "1.theta"}, document)
    with pytest.raises(ValueError, match="lacks 'theta'"):
        EnsembleClassifier.load(path)
