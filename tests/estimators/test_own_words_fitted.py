"""What hostile arguments found in estimators and effects: errors in our own words, and finite numbers."""

import functools
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import rfpcore
from rfpcore import MLPClassifier, MLPRegressor, RFPClassifier, RFPRegressor, causal
from rfpcore.datasets import make_policy
from rfpcore.estimators import RFPRegressorCV
from rfpcore.exceptions import DivergenceWarning
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((18, 2))
Y = X[:, 0]
CLASSES = np.array(["a", "b", "c"])[np.arange(18) % 3]
GROUPS = np.repeat([0, 1, 2], 6)
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}
POLICY = make_policy(n_clusters=12, n_per_cluster=3, selection=0.3, random_state=1)
PX, PY, TREATED, PGROUPS, _ = POLICY
TABLE = pd.DataFrame(PX, columns=["a", "b", "c"]).assign(y=PY, t=TREATED, g=PGROUPS)
BEYOND = [[10**400, 1]] * 18
TWINS = pd.DataFrame(X, columns=["a", "a"])


@functools.cache
def fitted(kind):
    y = CLASSES if kind in (RFPClassifier, MLPClassifier, rfpcore.EnsembleClassifier) else Y
    if kind in (rfpcore.EnsembleClassifier, rfpcore.EnsembleRegressor):
        member = (MLPClassifier if kind is rfpcore.EnsembleClassifier else MLPRegressor)(**SMALL)
        return kind(member, 2, random_state=0).fit(X, y)
    return (
        kind(**SMALL).fit(X, y, GROUPS) if kind in (RFPRegressor, RFPClassifier) else kind(**SMALL).fit(X, y)
    )


def rfp(**options):
    return RFPRegressor(**SMALL | options).fit(X, Y, GROUPS)


def plain(**options):
    return MLPRegressor(**SMALL | options).fit(X, Y)


def early(y, **options):
    return MLPClassifier(**SMALL, early_stopping=True, **options).fit(X, y)


def choose(**options):
    given = {"estimator": RFPRegressor(**SMALL), "alphas": (0.5,), "inner_lrs": (0.05,), "n_folds": 2}
    return RFPRegressorCV(**given | options).fit(X, Y, GROUPS)


@functools.cache
def effect():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return causal.ClusterEffect(outcome=LinearRegression(), n_draws=19).fit(PX, PY, TREATED, PGROUPS)


def estimate(X=PX, covariates=None, **options):
    return causal.ClusterEffect(outcome=LinearRegression(), **options).fit(
        X, PY, TREATED, PGROUPS, covariates=covariates
    )


def on_a_frame(covariates):
    return causal.linear_effect(TABLE, "y", "t", "g", covariates=covariates)


CASES = {
    "beyond float64": (lambda: fitted(RFPRegressor).predict(BEYOND), ValueError, "X holds an integer beyond"),
    "beyond, ensemble": (
        lambda: fitted(rfpcore.EnsembleRegressor).predict_each(BEYOND),
        ValueError,
        "X holds an integer beyond 1.8e308",
    ),
    "twin columns": (lambda: plain().fit(TWINS, Y), ValueError, "X has several columns of the name 'a'"),
    "callbacks": (
        lambda: rfp(callbacks=2.5),
        TypeError,
        "callbacks=2.5 is a float; a callable or a sequence",
    ),
    "callbacks text": (lambda: rfp(callbacks="x"), TypeError, "callbacks='x' is a str; a callable or a"),
    "callback": (lambda: rfp(callbacks=[3]), TypeError, "callbacks holds 3 of type int; callables are"),
    "early_stopping": (
        lambda: rfp(early_stopping=np.array([None, 1])),
        TypeError,
        r"early_stopping=array\(\[None, 1\], dtype=object\) is a ndarray; True or False is needed",
    ),
    "warm_start": (
        lambda: rfp(warm_start=pd.NA),
        TypeError,
        "warm_start=<NA> is a NAType; True or False is needed",
    ),
    "warm_start of networks": (
        lambda: plain(warm_start=np.array([None, 1])),
        TypeError,
        r"warm_start=array\(\[None, 1\], dtype=object\) is a ndarray; True or False is needed",
    ),
    "score without an order": (
        lambda: fitted(MLPClassifier).score(X, [{0: 0}] * 18),
        TypeError,
        "y holds labels of type dict; they have to be hashable and in an order",
    ),
    "solver": (
        lambda: plain(solver=pd.Series([1.0])),
        ValueError,
        r"(?s)solver=.* is unknown; one of 'adam'",
    ),
    "few held out": (
        lambda: early(CLASSES),
        ValueError,
        r"holds out 2 of 18 rows \(validation_fraction=0.1\), with rows of each class on both sides; there "
        "are 3 classes, the smallest of 6 rows",
    ),
    "one of a class": (
        lambda: early(np.repeat([0, 1], [17, 1]), validation_fraction=0.5),
        ValueError,
        "there are 2 classes, the smallest of 1 rows",
    ),
    "return_std": (
        lambda: fitted(rfpcore.EnsembleRegressor).predict(X, return_std=pd.NA),
        TypeError,
        "return_std=<NA> is a NAType; True or False is needed",
    ),
    "score mixed": (
        lambda: fitted(rfpcore.EnsembleClassifier).score(X, [1, *CLASSES[1:].tolist()]),
        ValueError,
        "y holds 1 in row 0 and 'b' in row 1; labels of one kind",
    ),
    "score beyond": (
        lambda: fitted(MLPRegressor).score(X, [10**400] * 18),
        TypeError,
        "y has dtype object; row 0 holds an integer beyond 1e400",
    ),
    "Poisson": (
        lambda: MLPRegressor(**SMALL, loss="poisson").fit(X, np.ones(18)).predict(X * 1e5),
        ValueError,
        r"the mean exp\(output\) must be finite, but",
    ),
    "CV estimator": (
        lambda: choose(estimator=set()),
        TypeError,
        "estimator is a set; RFPRegressor is needed",
    ),
    "CV seed": (lambda: choose(random_state=-1), ValueError, "random_state=-1 is too small"),
    "CV steps": (
        lambda: choose(inner_lrs=[np.array([0.3])]),
        TypeError,
        "inner_lrs is a ndarray; a positive",
    ),
    "CV none": (lambda: choose(alphas=()), ValueError, r"alphas=\(\); a sequence of at least one number"),
    "save nowhere": (lambda: fitted(RFPRegressor).save(None), TypeError, "path=None is a NoneType; a str or"),
    "save empty": (lambda: fitted(RFPRegressor).save(""), ValueError, "path=''; a str or path that is not"),
    "load a number": (lambda: MLPRegressor.load(3), TypeError, "path=3 is a int; a str or path is needed"),
    "level text": (lambda: effect().summary("0.5"), TypeError, "level='0.5' is a str; a number in"),
    "level one": (
        lambda: effect().effect_.critical_value(True),
        ValueError,
        r"level=1.0; a number in \(0, 1",
    ),
    "level large": (lambda: effect().to_frame(10**5000), ValueError, "level is an integer beyond 1e"),
    "covariates": (lambda: estimate(covariates=2.5), TypeError, "covariates=2.5 is a float; a list of col"),
    "covariates of a frame": (lambda: on_a_frame(pd.NaT), TypeError, "covariates=NaT is a NaTType; a list"),
    "covariate": (lambda: on_a_frame([pd.NA]), ValueError, "covariates names the column <NA>, which is not"),
    "a Series": (
        lambda: fitted(RFPClassifier).predict(pd.Series([1.0])),
        ValueError,
        "Expected a 2-dimensional container",
    ),
    "seed": (
        lambda: causal.linear_effect(PX, PY, TREATED, PGROUPS, inference="webb", random_state=slice(3)),
        TypeError,
        r"random_state=slice\(None, 3, None\) is a slice; an integer is needed",
    ),
    "cluster columns": (lambda: estimate(cluster_columns=2), TypeError, "cluster_columns=2 is a int; a list"),
    "cluster column": (
        lambda: estimate(cluster_columns=[1.5]),
        ValueError,
        "cluster_columns names 1.5, which is no covariate; there are x0, x1, x2",
    ),
    "duration": (
        lambda: estimate(covariates=[np.timedelta64(1, "s")]),
        ValueError,
        "covariates holds .*; X has 3 unnamed columns, so numbers 0 to 2",
    ),
    "clip": (
        lambda: estimate(propensity_bounds=3),
        TypeError,
        r"propensity_bounds=3 is a int; a pair of numbers in \(0, 1\)",
    ),
    "clip of one": (
        lambda: estimate(propensity_bounds=[0.1]),
        ValueError,
        r"propensity_bounds=\[0.1\] has 1 entries; a pair",
    ),
    "efficient": (
        lambda: causal.DifferenceInDifferences(efficient=3).fit(PX, PY, TREATED, PGROUPS, np.arange(36) % 2),
        TypeError,
        "efficient=3 is a int; True or False is needed",
    ),
    "step": (
        lambda: causal.effective_weights(LinearRegression(), X, Y, GROUPS, X, step=0),
        ValueError,
        "step=0.0; a positive number is needed",
    ),
    "no regressor": (
        lambda: causal.effective_weights(3, X, Y, GROUPS, X),
        TypeError,
        "model=3 is a int; a regressor is needed",
    ),
    "features": (
        lambda: causal.NeighbourDisplay.from_features(None, GROUPS),
        TypeError,
        r"features is a NoneType; a dict of arrays \(N, d\) by name",
    ),
    "no features": (
        lambda: causal.NeighbourDisplay.from_features({}, GROUPS),
        ValueError,
        "features is empty; at least one set of them is needed",
    ),
    "models": (
        lambda: causal.TriadDisplay.from_models({"a": 3}, X[:, :1], Y, GROUPS),
        TypeError,
        r"models\['a'\] is a int; a fitted regressor is needed",
    ),
    "points": (
        lambda: causal.TriadDisplay.from_models({}, X[:, :1], Y, GROUPS, n_points=2**63),
        ValueError,
        "n_points=9223372036854775808 is too large; at most 1000000 is possible",
    ),
    "no network": (
        lambda: causal.AdaptedCurvesDisplay.from_estimator(3, X, Y, GROUPS),
        TypeError,
        "model is a int; a fitted RFPRegressor is needed",
    ),
    "no rows": (
        lambda: causal.WeightsDisplay.from_estimator(LinearRegression(), 0, Y, GROUPS, X[0]),
        ValueError,
        r"X has shape \(\); two dimensions",
    ),
    "no event study": (
        lambda: causal.EventStudyDisplay.from_estimator(pd.DataFrame()),
        TypeError,
        "model is a DataFrame; a fitted StaggeredEffect is needed",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_our_own_words(name):
    call, kind, message = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind, match=message):
            call()


def test_means_and_spreads_of_ensembles_do_not_overflow():
    model = rfpcore.EnsembleRegressor(MLPRegressor(**SMALL), 2, random_state=0).fit(X, Y)
    each = model.predict_each(X * 1e300)
    mean, std = model.predict(X * 1e300, return_std=True)
    np.testing.assert_allclose(mean, (each[0] / 2 + each[1] / 2), rtol=1e-12)
    np.testing.assert_allclose(std, np.abs(each[0] / 2 - each[1] / 2), rtol=1e-12)


def test_traits_of_clusters_do_not_depend_on_the_outcomes_unit():
    plain, huge = (causal.triad(X, unit * Y, GROUPS, 2) for unit in (1.0, 1e300))
    assert huge == pytest.approx(plain, rel=1e-12)


def test_one_diverged_model_leaves_the_predictions_of_the_others():
    steep = Model((3,), activation="relu", optimizer=SGD(1e200), n_steps=9)
    with pytest.warns(DivergenceWarning, match="1 of 2 models diverged"):
        found = fit_many(X, Y, [Model((3,), n_steps=3), steep])
    outputs = found.predict(X)
    np.testing.assert_array_equal(outputs[0], found[0].predict(X))
    assert np.isfinite(outputs[0]).all()
    assert np.isnan(outputs[1]).all()
