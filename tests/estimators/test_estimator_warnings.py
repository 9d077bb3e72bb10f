"""What fits say of groups that never arrive, of scales that networks do not learn from, and of labels."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from small_models import CLASSES, GROUPS, SMALL, X, Y, classifier, regressor

import rfpcore
from rfpcore import EnsembleRegressor, GroupsWarning, MLPClassifier, MLPRegressor, ScaleWarning
from rfpcore.estimators import RFPRegressorCV

ROUTING = r"set_config\(enable_metadata_routing=True\) and estimator\.set_fit_request\(groups=True\)"


@pytest.mark.parametrize(("model", "y"), [(regressor(), Y), (classifier(), CLASSES)])
def test_a_fit_without_groups_says_so(model, y):
    for fit in (model.fit, lambda X, y: model.partial_fit(X, y)):
        with pytest.warns(GroupsWarning, match=f"all 54 rows are one .*alpha=0.5.*{ROUTING}") as caught:
            fit(X, y)
        assert [one.filename for one in caught] == [__file__]


def test_groups_that_do_not_matter_are_not_missed():
    regressor(alpha=1.0).fit(X, Y)
    regressor().fit(X[:10], Y[:10])  # a handful may be one cluster
    regressor().fit(X, Y, np.zeros(len(X)))  # and so may be all, where somebody says so
    regressor().fit(X, Y, GROUPS).adapt(X, Y)
    MLPRegressor(**SMALL).fit(X, Y)
    with pytest.raises(ValueError, match="groups is None"):
        RFPRegressorCV().fit(X, Y, None)


def test_groups_reach_every_fold_by_the_two_lines():
    """Without them each fold trains on one cluster, and says so; with them on all clusters of its rows."""
    folds, seen = GroupKFold(3), []
    model = regressor(callbacks=lambda state: None)
    with pytest.warns(GroupsWarning):
        alone = cross_val_score(model, X, Y, groups=GROUPS, cv=folds)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = regressor().set_fit_request(groups=True)
        found = cross_val_score(routed, X, Y, params={"groups": GROUPS}, cv=folds)
        search = GridSearchCV(routed, {"alpha": [0.1, 0.9]}, cv=folds).fit(X, Y, groups=GROUPS)
    for train, test in folds.split(X, Y, GROUPS):
        seen.append(regressor().fit(X[train], Y[train], GROUPS[train]).score(X[test], Y[test]))
    np.testing.assert_array_equal(found, seen)
    assert not np.array_equal(alone, found)
    assert search.best_params_["alpha"] in (0.1, 0.9)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X, 1e-6 * Y, r"y has a standard deviation of .*e-06, far from order 1.*TransformedTargetRegressor"),
        (X, 1e6 * Y, r"y has a standard deviation of .*e\+0"),
        (np.c_[X, np.arange(54) + 1e9], Y, r"1 of 2 columns .* column 1, with a root mean square of 1e\+09"),
        (1e-5 * X, Y, "1 of 1 columns of X are far from order 1; the first is column 0"),
        (
            pd.DataFrame({"x": X[:, 0], "year": 2000 + np.arange(54) % 5}),
            Y,
            "the first is column 'year', with a root mean square of 2e",
        ),
    ],
)
def test_scales_that_networks_do_not_learn_from(X, y, message):
    for model, groups in ((regressor(), [GROUPS]), (MLPRegressor(**SMALL), [])):
        with pytest.warns(ScaleWarning, match=message) as caught:
            model.fit(X, y, *groups)
        assert [one.filename for one in caught if one.category is ScaleWarning] == [__file__]


def test_scales_that_are_no_matter():
    dummy = (np.arange(54) == 7).astype(float)
    years = (np.arange(54) % 5) / 5.0
    wide = np.c_[X, dummy, years, 100 * Y, np.zeros(54)]
    regressor().fit(wide, Y, GROUPS)
    regressor().fit(X, np.full(54, 1e7), GROUPS)  # a constant
    regressor().fit(X, 1e3 + Y, GROUPS)  # a level
    regressor(loss="poisson", max_iter=1).fit(X, 1000.0 * (Y > 1), GROUPS)  # rates have no scale
    classifier().fit(X, np.where(Y > 1, 10**6, 0), GROUPS)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT], ids=repr)
@pytest.mark.parametrize("others", ["text", "number"])
def test_missing_class_labels_are_named(missing, others):
    labels = list(CLASSES) if others == "text" else (Y > 1).astype(int).tolist()
    labels[3] = labels[5] = missing
    message = rf"y holds {missing!r} in row 3; 2 of 54 rows have no class"
    for y in (labels, np.array(labels, object), pd.Series(labels, dtype=object)):
        for model, groups in ((classifier(), [GROUPS]), (MLPClassifier(**SMALL), [])):
            with pytest.raises(ValueError, match=message):
                model.fit(X, y, *groups)
    with pytest.raises(ValueError, match="in row 0; 1 of 2 rows have no class"):
        classifier().partial_fit(X, CLASSES, GROUPS, classes=[missing, "a"])
    fitted = classifier().fit(X, CLASSES, GROUPS)
    with pytest.raises(ValueError, match="in row 0; 1 of 2 rows have no class"):
        fitted.partial_fit(X, CLASSES, GROUPS, classes=[missing, "a"])
    with pytest.raises(ValueError, match=message):
        fitted.adapt(X, labels, GROUPS)


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_missing_labels_of_frames(dtype):
    labels = pd.Series(CLASSES, dtype=dtype)
    labels[3] = None
    with pytest.raises(ValueError, match="in row 3; 1 of 54 rows have no class"):
        classifier().fit(X, labels, GROUPS)


def test_labels_of_two_kinds_and_none_at_all():
    mixed = [1, *CLASSES[1:]]
    with pytest.raises(ValueError, match=r"y holds 1 in row 0 and 'low' in row 1; labels of one kind"):
        classifier().fit(X, [1, "low", *CLASSES[2:]], GROUPS)
    with pytest.raises(ValueError, match="labels of one kind"):
        MLPClassifier().fit(X, np.array(mixed, object))
    with pytest.raises(ValueError, match="y is masked in row 2; leave out the 1 rows"):
        classifier().fit(X, np.ma.array(Y > 1, mask=np.arange(54) == 2), GROUPS)
    for model in (MLPClassifier(), classifier()):
        with pytest.raises(ValueError, match="y has no rows; labels of at least 2 classes"):
            model.fit(X, [])


def test_a_cluster_without_weight():
    weight = (GROUPS != 3).astype(float)
    message = r"sample_weight sums to 0.0 in cluster 3; 1 of 6 clusters has no finite sum above zero"
    with pytest.raises(ValueError, match=message):
        regressor().fit(X, Y, GROUPS, weight)
    with pytest.raises(ValueError, match="sample_weight sums to inf over 54 rows"):
        MLPRegressor().fit(X, Y, np.full(54, 1e307))


@pytest.mark.parametrize("label", ["y", b"y", (1, 2), 2.5, np.datetime64("2020-01-01"), True], ids=repr)
def test_unknown_labels_of_any_kind_are_named(label):
    adapted = regressor().fit(X, Y, GROUPS + 2).adapt(X, Y, GROUPS + 2)
    with pytest.raises(ValueError, match=r"groups holds .* in row 1; 1 of its 2 labels are not among the 6"):
        adapted.predict(X[:2], groups=[2, label])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"hidden_layer_sizes": (16,)}, {"hidden_layer_sizes": (2, 11)}),
        ({"activation": "tanh"}, {"activation": "relu"}),
        ({}, {"loss": "poisson"}),
    ],
)
def test_other_networks_of_equal_size_are_not_gone_on_from(before, after):
    y = np.round(Y)
    message = "loss='squared', but loss='poisson' now" if "loss" in after else r"MLP\(.*make it MLP\("
    for model, groups in (
        (regressor(**before, warm_start=True), [GROUPS]),
        (MLPRegressor(**SMALL | before, warm_start=True), []),
    ):
        model.fit(X, y, *groups)
        assert rfpcore.MLP(1, (16,)).n_parameters == rfpcore.MLP(1, (2, 11)).n_parameters == 49
        theta = model.theta_
        model.set_params(**after)
        with pytest.raises(ValueError, match=f"warm_start goes on from {message}"):
            model.fit(X, y, *groups)
        assert model.theta_ is theta
        if groups:
            with pytest.raises(ValueError, match=f"partial_fit goes on from {message}"):
                model.partial_fit(X, y, *groups)
        model.set_params(warm_start=False).fit(X, y, *groups)


def test_an_ensemble_starts_afresh_whatever_its_network_was():
    ensemble = EnsembleRegressor(MLPRegressor(**SMALL, warm_start=True), 2, random_state=0).fit(X, Y)
    ensemble.estimator.set_params(activation="tanh").fit(X, Y)  # clones have not learnt that
    ensemble.fit(X, Y)
    fresh = EnsembleRegressor(MLPRegressor(**SMALL, activation="tanh"), 2, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(ensemble.predict(X), fresh.predict(X))


def test_predictions_are_of_the_loss_that_was_fitted():
    model = regressor().fit(X, Y, GROUPS)
    before = model.predict(X)
    np.testing.assert_array_equal(model.set_params(loss="poisson").predict(X), before)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"alpha": 10**400}, ValueError, r"alpha is an integer beyond 1e400; a number in \[0, 1\]"),
        ({"learning_rate_init": 10**5000}, ValueError, "learning_rate_init is an integer beyond 1e4999"),
        ({"max_iter": 10**5000}, ValueError, "max_iter=an integer beyond 1e4999 is too large"),
        ({"n_jobs": -(10**400)}, ValueError, "n_jobs=an integer beyond -1e400 is too small"),
        ({"n_jobs": 2**31}, ValueError, "n_jobs=2147483648 is too large; at most 1024"),
        ({"inner_lr": 10**400}, TypeError, "inner_lr has dtype object; the value holds an integer beyond"),
        ({"adapt_layers": ["all"], "inner_lr": 0.1}, ValueError, r"adapt_layers=\['all'\] is unknown"),
        ({"order": {}}, ValueError, "order={} is unknown; one of 'exact', 'first'"),
        ({"random_state": -1}, ValueError, "random_state=-1 is too small; at least 0"),
        ({"random_state": 2**32}, ValueError, "random_state=4294967296 is too large; at most 4294967295"),
        ({"random_state": np.random.default_rng(0)}, TypeError, "random_state is a Generator; an integer"),
        ({"random_state": "a"}, TypeError, "random_state='a' is a str; an integer is needed"),
        ({"early_stopping": 1}, TypeError, "early_stopping=1 is a int; True or False"),
        ({"warm_start": "no"}, TypeError, "warm_start='no' is a str; True or False"),
    ],
)
def test_parameters_that_are_none(params, error, message):
    with pytest.raises(error, match=message):
        regressor(**params).fit(X, Y, GROUPS)
    if params.keys() <= MLPRegressor().get_params().keys():
        with pytest.raises(error, match=message):
            MLPRegressor(**SMALL | params).fit(X, Y)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_last_step_to_where_the_network_overflows_is_a_divergence(solver):
    """The loss before it was finite; parameters, or what they make of X, are not."""
    model = regressor(alpha=1.0, solver=solver, learning_rate_init=1e308, max_iter=1)
    with pytest.raises(rfpcore.DivergenceError, match="the network overflows after 1 outer steps"):
        model.fit(X, 100 * Y, GROUPS)
    model = MLPRegressor(**SMALL | {"max_iter": 1}, solver=solver, learning_rate_init=1e300)
    with pytest.raises(rfpcore.DivergenceError, match="the network overflows after 1 steps"):
        model.fit(X, 100 * Y)
