"""Estimators with instruments on disk: what comes back, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from rfpcore import _files
from rfpcore.datasets import make_demand
from rfpcore.npiv import F2BMLD, DeepFeatureIV, KernelIV, ProximalF2BMLD, SieveIV
from rfpcore.npiv._renamed import RENAMED

DATA = make_demand(60, random_state=0)
pytestmark = pytest.mark.filterwarnings("ignore::rfpcore.npiv.InstrumentWarning")  # so few rows
FAST = {"max_iter": 20, "n_checkpoints": 5, "random_state": 0}
MODELS = {
    "adam": F2BMLD(**FAST),
    "langevin": F2BMLD(
        **FAST, solver="langevin", dtype="float64", particle_bound=5.0, lambdas=np.array([0.5, 2.0])
    ),
    "deep": DeepFeatureIV(
        max_iter=2, hidden_layer_sizes_instrument=(8, 4), hidden_layer_sizes_covariates=(8, 3), random_state=0
    ),
    "deep, normed": DeepFeatureIV(
        max_iter=2,
        hidden_layer_sizes_instrument=(8, 4),
        hidden_layer_sizes_covariates=(8, 3),
        batch_norm=True,
        random_state=0,
    ),
    "kernel": KernelIV(random_state=0),
    "sieve": SieveIV(random_state=0),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def parts(path):
    """Tensors and document of a file, to be spoiled."""
    return _files.read(path)


def write(path, tensors, document):
    _files.write(path, tensors, document)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("covariates", [True, False])
def test_the_same_bits_come_back(path, name, covariates):
    known, new = (DATA.covariates, DATA.covariates_test) if covariates else (None, None)
    model = MODELS[name].fit(DATA.X, DATA.y, DATA.Z, known)
    model.save(path)
    again = type(model).load(path)
    assert_array_equal(again.predict(DATA.X_test, new), model.predict(DATA.X_test, new))
    assert repr(again.get_params()) == repr(type(model)(**again.get_params()).get_params())
    assert again.n_features_in_ == 1
    assert again.n_covariates_ == 2 * covariates
    again.save(path)
    assert_array_equal(type(model).load(path).predict(DATA.X_test, new), again.predict(DATA.X_test, new))


def test_what_else_was_learnt_comes_back(path):
    model = MODELS["langevin"].fit(DATA.X, DATA.y, DATA.Z)
    model.save(path)
    again = F2BMLD.load(path)
    assert again.rates_ == model.rates_
    assert str(again.diagnose()) == str(model.diagnose())
    assert_array_equal(again.errors_, model.errors_)
    assert (again.best_step_, again.lambda_, again.n_halvings_) == (model.best_step_, model.lambda_, 0)
    with pytest.raises(ValueError, match="need the data of fit, which a file does not hold"):
        again.bands(DATA.X_test)
    for name, learnt in (("kernel", "penalties_"), ("sieve", "n_knots_")):
        other = MODELS[name].fit(DATA.X, DATA.y, DATA.Z)
        other.save(path)
        assert getattr(type(other).load(path), learnt) == getattr(other, learnt)


@pytest.mark.parametrize("weighted", [True, False])
def test_effects_of_a_proximal_model_come_back(path, weighted):
    random = np.random.default_rng(0)
    a, y, w, q, c = random.standard_normal((5, 60))
    weights = random.uniform(1, 2, 60) if weighted else None
    model = ProximalF2BMLD(**FAST).fit(a, y, w, q, c, sample_weight=weights)
    model.save(path)
    assert_array_equal(ProximalF2BMLD.load(path).effect([0.0, 1.0]), model.effect([0.0, 1.0]))


OLD = {new: old for old, new in RENAMED.items() if old not in ("step", "ridge", "penalty_2")}
OLD_OF = {
    "langevin": OLD,
    "deep": OLD | {"learning_rate_init": "step", "penalty": "penalty_2"},
    "sieve": OLD | {"penalty": "ridge"},
}


@pytest.mark.parametrize("name", OLD_OF)
def test_files_with_the_parameters_names_of_before(path, name):
    model = MODELS[name].fit(DATA.X, DATA.y, DATA.Z, DATA.covariates)
    model.save(path)
    tensors, document = parts(path)
    for params in (document["params"], document["learnt"].get("settings", {})):
        old = {OLD_OF[name].get(param, param): value for param, value in params.items()}
        assert old.keys() != params.keys() or not params
        params.clear()
        params.update(old)
    write(path, tensors, document)
    again = type(model).load(path)
    assert repr(again.get_params()) == repr(type(model)(**again.get_params()).get_params())
    new = DATA.X_test, DATA.covariates_test
    assert_array_equal(again.predict(*new), model.predict(*new))


def test_nothing_to_save_and_another_class(path):
    with pytest.raises(NotFittedError):
        KernelIV().save(path)
    KernelIV(random_state=0).fit(DATA.X, DATA.y, DATA.Z).save(path)
    with pytest.raises(ValueError, match=r"holds a KernelIV; SieveIV\.load was called"):
        SieveIV.load(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        KernelIV.load(path)


def test_a_model_that_could_not_be_loaded_is_not_saved(path):
    model = F2BMLD(**FAST).fit(DATA.X, DATA.y, DATA.Z)
    for params in ({"n_jobs": "two"}, {"lambdas": [-1.0]}, {"dtype": "float16"}, {"solver": "magic"}):
        kept = model.get_params()
        with pytest.raises((ValueError, TypeError), match=next(iter(params))):
            model.set_params(**params).save(path)
        model.set_params(**kept)
    kernel = KernelIV(random_state=0).fit(DATA.X, DATA.y, DATA.Z)
    kernel._weights = np.full_like(kernel._weights, 1e308)
    with pytest.raises(ValueError, match="the prediction at the inputs' means, and one scale beside them"):
        kernel.save(path)
    assert not path.exists()


@pytest.mark.parametrize("entry", ["class", "params", "columns", "learnt"])
@pytest.mark.parametrize("value", [None, [], {}, 3, "a", [float("inf"), 0], [1, -1]])
def test_entries_of_other_kinds(path, entry, value):
    model = KernelIV(random_state=0).fit(DATA.X, DATA.y, DATA.Z)
    model.save(path)
    tensors, document = parts(path)
    if (entry, value) == ("params", {}):
        return  # all defaults
    if value == [float("inf"), 0]:
        value = [10**400, 0]
    write(path, tensors, document | {entry: value})
    with pytest.raises(ValueError, match=path.name):
        KernelIV.load(path)


SPOILT = [
    ("kernel", "weights", np.zeros(3), r"weights is float64 of shape \(3,\); floats, \(30\), are needed"),
    ("kernel", "inputs_scale", np.array([-1.0]), "inputs_scale has -1.0; positive numbers"),
    ("kernel", "points", np.full((30, 1), np.nan), "points must be finite"),
    ("kernel", "outcome", np.array(["a"]).view("u1"), "holds 'outcome' of dtype uint8"),
    ("adam", "theta", np.zeros(4, np.float32), r"theta is float32 of shape \(4,\); floats, \(150\)"),
    ("adam", "records", np.zeros((2, 3)), r"records .*\(any, 5\)"),
    ("sieve", "coefficients", np.zeros(2), "coefficients is float64"),
    ("deep", "net_x", np.zeros(5, np.float32), "net_x is float32"),
]


@pytest.mark.parametrize(("name", "tensor", "value", "message"), SPOILT)
def test_spoilt_tensors(path, name, tensor, value, message):
    model = MODELS[name].fit(DATA.X, DATA.y, DATA.Z)
    model.save(path)
    tensors, document = parts(path)
    write(path, tensors | {tensor: value}, document)
    with pytest.raises(ValueError, match=message):
        type(model).load(path)
    del tensors[tensor]
    write(path, tensors, document)
    with pytest.raises(ValueError, match=f"lacks '{tensor}'"):
        type(model).load(path)


@pytest.mark.parametrize(
    ("name", "entry", "value", "message"),
    [
        ("adam", "lambda", -1, "lambda=-1.0; a positive number"),
        ("adam", "settings", {"solver": "magic"}, "solver='magic' is unknown"),
        ("deep", "net_x", [2, 16], r"net_x has the widths \[2, 16\]; the data had 1 columns"),
        ("kernel", "gamma", 0, "gamma=0.0; a positive number"),
        ("sieve", "intercept", "a", "the intercept='a' is a str"),
    ],
)
def test_spoilt_documents(path, name, entry, value, message):
    model = MODELS[name].fit(DATA.X, DATA.y, DATA.Z)
    model.save(path)
    tensors, document = parts(path)
    document["learnt"][entry] = value
    write(path, tensors, document)
    with pytest.raises(ValueError, match=message):
        type(model).load(path)
