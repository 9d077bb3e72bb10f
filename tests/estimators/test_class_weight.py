"""Weights of classes are weights of rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_class_weight
from small_networks import CODES, LABELS, SMALL, X

import rfpcore
from rfpcore import EnsembleClassifier, MLPClassifier, RFPClassifier

GROUPS = np.arange(90) % 6
ROWS = np.linspace(0.5, 2, 90)
RFP = {"hidden_layer_sizes": (4,), "max_iter": 5, "inner_lr": 0.05, "random_state": 0}
GIVEN = {"low": 2.0, "high": np.float32(0.5)}


def weights(given, rows=ROWS):
    """By scikit-learn; labels that a dict does not name weigh 1."""
    classes = np.unique(LABELS)
    if given == "balanced":
        return compute_class_weight("balanced", classes=classes, y=LABELS, sample_weight=rows)
    return np.array([given.get(label, 1.0) for label in classes])


def of_rows(given, rows=ROWS):
    return rows * weights(given, rows)[np.searchsorted(np.unique(LABELS), LABELS)]


@pytest.mark.parametrize("given", ["balanced", GIVEN], ids=["balanced", "dict"])
def test_they_multiply_the_weights_of_rows(given):
    for kind, params, more in ((MLPClassifier, SMALL, {}), (RFPClassifier, RFP, {"groups": GROUPS})):
        weighed = kind(**params, class_weight=given).fit(X, LABELS, sample_weight=ROWS, **more)
        by_hand = kind(**params).fit(X, LABELS, sample_weight=of_rows(given), **more)
        assert_allclose(weighed.class_weight_, weights(given), rtol=1e-12)  # sums in another order
        assert_allclose(weighed.theta_, by_hand.theta_, rtol=1e-9)
        plain = kind(**params).fit(X, LABELS, sample_weight=ROWS, **more)
        assert not np.allclose(weighed.theta_, plain.theta_)
        assert not hasattr(plain, "class_weight_")


def test_without_weights_of_rows_balanced_is_n_over_k_n_c():
    model = MLPClassifier(**SMALL, class_weight="balanced").fit(X, LABELS)
    counts = np.unique(LABELS, return_counts=True)[1]
    assert_allclose(model.class_weight_, 90 / (3 * counts))


def test_members_of_an_ensemble_weigh_classes():
    member = MLPClassifier(**SMALL, class_weight="balanced")
    ensemble = EnsembleClassifier(member, 2, random_state=3).fit(X, LABELS)
    seed = ensemble.estimators_[0].random_state
    alone = MLPClassifier(**SMALL | {"random_state": seed}, class_weight="balanced").fit(X, LABELS)
    assert_array_equal(ensemble.estimators_[0].theta_, alone.theta_)


def test_adapt_weighs_classes_as_training_does():
    model = RFPClassifier(**RFP, class_weight=GIVEN).fit(X, LABELS, GROUPS)
    plain = RFPClassifier(**RFP)
    plain.__dict__ |= {name: value for name, value in vars(model).items() if name.endswith("_")}
    plain._memory = model._memory
    del plain.class_weight_
    adapted = model.adapt(X, LABELS, GROUPS, ROWS, inner_lr=0.05)
    by_hand = plain.adapt(X, LABELS, GROUPS, of_rows(GIVEN), inner_lr=0.05)
    assert_array_equal(adapted.predict_proba(X, GROUPS), by_hand.predict_proba(X, GROUPS))


def test_partial_fit_takes_a_dict_and_no_balance():
    model = RFPClassifier(**RFP, class_weight=GIVEN)
    for _ in range(2):
        model.partial_fit(X, LABELS, GROUPS, classes=np.unique(LABELS))
    assert_array_equal(model.class_weight_, weights(GIVEN))
    with pytest.raises(ValueError, match="'balanced' needs all rows of all classes"):
        RFPClassifier(**RFP, class_weight="balanced").partial_fit(X, LABELS, classes=np.unique(LABELS))


@pytest.mark.parametrize("given", ["balanced", GIVEN], ids=["balanced", "dict"])
@pytest.mark.parametrize("kind", [MLPClassifier, RFPClassifier])
def test_files(kind, given, tmp_path):
    params = SMALL if kind is MLPClassifier else RFP | {"alpha": 1.0}
    model = kind(**params, class_weight=given).fit(X, LABELS)
    model.save(tmp_path / "model")
    loaded = rfpcore.load(tmp_path / "model")
    assert loaded.class_weight == given
    assert_array_equal(loaded.class_weight_, model.class_weight_)
    assert_array_equal(loaded.fit(X, LABELS).theta_, model.theta_)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("even", "class_weight='even'; 'balanced', a dict of labels' weights or None is needed"),
        ([1.0, 2.0], "a dict of labels' weights"),
        ({"low": -1.0}, r"class_weight\['low'\]"),
        ({"lowest": 1.0}, "class_weight names 'lowest', which is none of the classes"),
        ({"low": 0.0, "mid": 0.0, "high": 0.0}, "sample_weight"),
    ],
)
def test_what_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        MLPClassifier(**SMALL, class_weight=given).fit(X, LABELS)


def test_a_class_without_weight_cannot_be_balanced():
    with pytest.raises(ValueError, match="the rows of class 'high' have no weight"):
        MLPClassifier(**SMALL, class_weight="balanced").fit(X, LABELS, LABELS != "high")


def test_numbers_as_labels(tmp_path):
    model = MLPClassifier(**SMALL, class_weight={0: 3.0}).fit(X, CODES)
    assert_array_equal(model.class_weight_, [3.0, 1.0])
    model.save(tmp_path / "model")
    assert rfpcore.load(tmp_path / "model").class_weight == {0: 3.0}


def test_partial_fit_takes_weights_that_were_changed():
    def after(first, then):
        model = RFPClassifier(**RFP, class_weight=first)
        model.partial_fit(X, LABELS, GROUPS, classes=np.unique(LABELS))
        return model.set_params(class_weight=then).partial_fit(X, LABELS, GROUPS)

    model = after(None, GIVEN)
    by_hand = RFPClassifier(**RFP).partial_fit(X, LABELS, GROUPS, classes=np.unique(LABELS))
    by_hand.partial_fit(X, LABELS, GROUPS, of_rows(GIVEN, np.ones(90)))
    assert_allclose(model.theta_, by_hand.theta_, rtol=1e-9)
    assert_allclose(model.class_weight_, weights(GIVEN, np.ones(90)))
    assert not hasattr(after(GIVEN, None), "class_weight_")
