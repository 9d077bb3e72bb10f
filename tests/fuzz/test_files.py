"""Files of models and sweeps, mutated: a file is refused with a ValueError, or what it holds can be used.

RFPCORE_FUZZ_MUTATIONS says how many mutations there are in all. Each has a number that makes it again.
"""

import contextlib
import copy
import hashlib
import json
import os
import warnings

import numpy as np
import pytest
import safetensors.numpy
from sklearn.linear_model import LinearRegression

from rfpcore import (
    DivergenceError,
    EnsembleClassifier,
    MixedClassifier,
    MixedRegressor,
    MLPClassifier,
    MLPRegressor,
    RFPClassifier,
    RFPRegressor,
    _files,
    sweep,
)
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, IndividualEffect, StaggeredEffect
from rfpcore.datasets import make_policy, make_vee
from rfpcore.estimators import RFPRegressorCV
from rfpcore.many import Model, Record
from rfpcore.npiv import (
    F2BMLD,
    DeepFeatureIV,
    KernelIV,
    ProximalF2BMLD,
    SieveIV,
    TwoStageLeastSquares,
    ope,
)
from rfpcore.regularize import L2, BatchNorm, Dropout
from rfpcore.studies import _shard_file

N_MUTATIONS = int(os.environ.get("RFPCORE_FUZZ_MUTATIONS", "500"))
X, Y, GROUPS = make_vee(n_clusters=4, n_per_cluster=5, random_state=0)
TEXTS = np.array(["low", "mid", "high"])[np.digitize(Y, [0.7, 1.6])]
Z, U, W = np.random.default_rng(0).standard_normal((3, 30))
NET = {"hidden_layer_sizes": (3,), "max_iter": 11, "random_state": 0}
POLICY = make_policy(n_clusters=8, n_per_cluster=3, selection=0.1, random_state=0)
CLUSTER, YEAR, NOTHING = np.repeat(np.arange(10), 3), np.tile(np.arange(3), 10), np.empty((30, 0))
STEPS = ope.make_transitions(Z[:, None], (Z > 0) * 1, U, W[:, None], Z > 1, n_actions=2)
BILEVEL = {"n_particles": 5, "max_iter": 4, "n_checkpoints": 2, "random_state": 0}
GRID = {"regularization": [L2(0.1), Dropout(0.3), BatchNorm()], "seed": [0]}


def _act(states):
    return np.zeros(len(states), int)


def _fit(estimator, *data, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(*data, **named)


MIXED = {"hidden_layer_sizes": (3,), "max_iter": 20, "n_folds": 2, "weight_decay": 0.0}
NESTED = np.column_stack([GROUPS, np.arange(20) % 2])


def _models():
    early = {"early_stopping": True, "n_iter_no_change": 10}
    return {
        "regressor": _fit(RFPRegressor(**NET, **early), X, Y, GROUPS),
        "steps": _fit(RFPRegressor(**NET, inner_lr=np.full(10, 0.01)), X, Y, GROUPS),
        "classifier": _fit(RFPClassifier(**NET), X, TEXTS, GROUPS),
        "network": _fit(MLPClassifier(**NET, regularization=L2(0.1) + Dropout(0.2)), X, Y > 1),
        "counts": _fit(MLPRegressor(**NET, loss="poisson", **early), X, np.round(Y)),
        "ensemble": _fit(EnsembleClassifier(MLPClassifier(**NET), 2, random_state=0), X, TEXTS),
        "mixed": _fit(MixedRegressor(mean="network", **MIXED), X, Y, GROUPS),
        "mixed, gp": _fit(MixedRegressor(mean="gp", **MIXED), X, Y, NESTED),
        "mixed, trees": _fit(MixedRegressor(mean="trees", **MIXED), X, Y, GROUPS, np.linspace(1, 2, 20)),
        "mixed, linear": _fit(MixedRegressor(mean="linear", effects=("intercept", "slopes")), X, Y, GROUPS),
        "mixed, counts": _fit(MixedRegressor(mean="gp", loss="poisson", **MIXED), X, np.round(Y), GROUPS),
        "mixed, classes": _fit(MixedClassifier(mean="gp", **MIXED), X, Y > 1, GROUPS),
        "kernel": _fit(KernelIV(random_state=0), Z + U, Z, Z, W),
        "sieve": _fit(SieveIV(n_knots=(3,), random_state=0), Z + U, Z, Z, W),
        "deep": _fit(
            DeepFeatureIV(
                hidden_layer_sizes_instrument=(4,),
                hidden_layer_sizes_covariates=(3,),
                max_iter=2,
                random_state=0,
            ),
            Z + U,
            Z,
            Z,
            W,
        ),
        "bilevel": _fit(F2BMLD(**BILEVEL), Z + U, Z, Z),
        "proximal": _fit(ProximalF2BMLD(**BILEVEL), Z + U, Z, W + U, W - U),
        "chosen": _fit(RFPRegressorCV(RFPRegressor(**NET), alphas=[0.5], n_folds=2), X, Y, GROUPS),
        "two stages": _fit(TwoStageLeastSquares(), Z + U, Z, Z, W),
        "effect": _fit(ClusterEffect(outcome=LinearRegression()), POLICY.X, *POLICY[1:4]),
        "individual": _fit(
            IndividualEffect(outcome=LinearRegression(), n_folds=2),
            *(POLICY.X, POLICY.y, np.arange(24) % 2, POLICY.groups),
        ),
        "two periods": _fit(DifferenceInDifferences(), NOTHING, W, CLUSTER % 2, CLUSTER, YEAR // 2),
        "staggered": _fit(StaggeredEffect(), NOTHING, W, YEAR >= 1 + CLUSTER % 3, CLUSTER, YEAR),
        "evaluation": _fit(ope.FittedQEvaluation(n_components=4, random_state=0), STEPS, _act),
        "bilevel evaluation": _fit(ope.F2BMLDEvaluation(**BILEVEL), STEPS, _act),
        "deep evaluation": _fit(
            ope.DeepFeatureEvaluation(
                hidden_layer_sizes=(3,), hidden_layer_sizes_instrument=(3,), max_iter=3, random_state=0
            ),
            STEPS,
            _act,
        ),
    }


def _train_sweep(path):
    return sweep(X, Y, GRID, Model((3,), n_steps=4), path=path, record=Record(every=2, thetas=True))


MODELS = _models()
NASTY = [
    *(None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**64, -(2**63), 10**400),
    *(
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        "a",
        "0",
        "nan",
        "\x00",
        "é" * 50,
        "<U99999999",
        "softmax",
    ),
    *(
        [],
        [[]],
        [None],
        [0],
        [1, 1],
        ["a", "a"],
        [1e308],
        {},
        {"kind": "L2"},
        {"kind": []},
        {"kind": "Model"},
    ),
    *(
        [[[[[[1]]]]]],
        {"a": {"a": {"a": 1}}},
        [2**62] * 4,
        "tanh",
        "float32",
        ["x"] * 100,
        [{}],
        [[1, 2], [3]],
    ),
]


def _places(value, at=()):
    """The paths of everything in a document."""
    yield at
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from _places(value[key], (*at, key))


def _change_document(document, random):
    document = copy.deepcopy(document)
    places = [at for at in _places(document) if at and at[0] != "digests"]
    *parents, last = places[random.integers(len(places))]
    holder = document
    for key in parents:
        holder = holder[key]
    what = random.integers(4)
    if what == 0 and isinstance(holder, dict):
        del holder[last]
    elif what == 1 and isinstance(holder, dict):
        holder[str(random.choice(["a", "-1", "0", "alpha", "kind", last]))] = holder.pop(last)
    else:
        holder[last] = copy.deepcopy(NASTY[random.integers(len(NASTY))])
    return document


def _change_tensors(tensors, random):
    tensors = dict(tensors)
    names = sorted(tensors)
    name = names[random.integers(len(names))]
    array = tensors[name]
    what = random.integers(6)
    if what == 0:
        del tensors[name]
    elif what == 1:
        new = random.choice(["param.alpha", "param.inner_lr", "theta", "0.theta", "a", name + "0"])
        tensors[str(new)] = tensors.pop(name)
    elif what == 2:
        kinds = [np.int8, np.float16, np.float32, np.float64, np.int64, np.uint8, bool]
        tensors[name] = np.nan_to_num(array).astype(kinds[random.integers(len(kinds))])
    elif what == 3:
        tensors[name] = random.choice([array.ravel()[:-1], array[None], np.zeros(0), np.repeat(array, 2)][:1])
    elif what == 4:
        tensors[name] = [array[None], np.zeros(0), np.repeat(array, 2), array.ravel()[1:]][random.integers(4)]
    elif array.size:
        changed = array.copy()
        values = [np.nan, np.inf, -np.inf, 1e308, -1.0, 0.0, 1e30, -1e-300]
        if array.dtype.kind == "f":
            with np.errstate(all="ignore"):
                changed.ravel()[random.integers(array.size)] = values[random.integers(len(values))]
        else:
            changed.ravel()[random.integers(array.size)] = random.integers(-(2**62), 2**62)
        tensors[name] = changed
    return tensors


def _change_bytes(data, random):
    data = bytearray(data)
    at, what = int(random.integers(len(data))), random.integers(5)
    if what == 0:
        data[at] ^= 1 << int(random.integers(8))
    elif what == 1:
        data[at : at + 8] = random.bytes(8)
    elif what == 2:
        del data[at:]
    elif what == 3:
        del data[at : at + int(random.integers(1, 20))]
    else:
        data[at:at] = random.bytes(int(random.integers(1, 20)))
    return bytes(data)


def _mutate(whole, tensors, document, number):
    """A spoilt file, or shard of one; whether its digests may hold."""
    random = np.random.default_rng(number)
    if random.random() < 0.2:
        return _change_bytes(whole, random), False
    if random.random() < 0.6:
        document = _change_document(document, random)
    else:
        tensors = _change_tensors(tensors, random)
    if not isinstance(document, dict):
        document = {}
    if random.random() < 0.5:
        document = {"format_version": 1} | {k: v for k, v in document.items() if k != "digests"}
    else:
        document = document | {"digests": {name: _files.digest(array) for name, array in tensors.items()}}
    try:
        text = json.dumps(document)
    except UnicodeEncodeError:
        text = "{}"
    head = {"rfpcore": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return safetensors.numpy.save({n: np.ascontiguousarray(t) for n, t in tensors.items()}, head), True


def _use(model):
    """Predict and go on; numbers have to be finite."""
    repr(model)
    if isinstance(model, ClusterEffect | DifferenceInDifferences | IndividualEffect | StaggeredEffect):
        assert model.summary()
        with contextlib.suppress(ValueError):  # where there is no interval
            model.confidence_interval()
        if isinstance(model, StaggeredEffect):
            model.uniform_band()
        return
    if isinstance(model, ope.FittedQEvaluation | ope.F2BMLDEvaluation | ope.DeepFeatureEvaluation):
        assert np.isfinite(model.value(model._centre[None], _act))
        return
    if isinstance(model, MixedRegressor | MixedClassifier):
        _use_mixed(model)
        return
    if isinstance(model, TwoStageLeastSquares):
        rows = np.zeros((2, model.n_features_in_)), np.zeros((2, model.n_covariates_))
        found = model.predict(rows[0], rows[1] if model.n_covariates_ else None)
    elif isinstance(model, KernelIV | SieveIV | DeepFeatureIV | F2BMLD):
        inputs = model._scales.inputs.level[None]  # elsewhere float32 may be too small, and says so
        rows, controls = np.split(inputs, [model.n_features_in_], axis=1)
        found = model.predict(rows, covariates=controls if model.n_covariates_ else None)
    elif hasattr(model, "predict_proba"):
        found = model.predict_proba(np.ones((2, model.n_features_in_)))
    else:
        found = np.log1p(np.abs(model.predict(np.ones((2, model.n_features_in_)))))
    assert np.isfinite(found).all()
    if hasattr(model, "partial_fit") and not model.early_stopping:
        named = hasattr(model, "feature_names_in_")
        y = TEXTS if hasattr(model, "classes_") else Y
        if model.n_features_in_ == 1 and not named and set(getattr(model, "classes_", TEXTS)) >= set(TEXTS):
            # Moments may be absurd, but possible; parameters may ask for another network.
            with contextlib.suppress(DivergenceError, ValueError):
                assert np.isfinite(model.partial_fit(X, y, GROUPS).theta_).all()


def _use_mixed(model):
    """Numbers may be absurd, but are finite or refused in words of ours."""
    d, labels = model.n_features_in_, model.labels_.tolist()
    rows = model._memory.scales.x.level + np.zeros((2, d))
    assert model.summary()
    says = model.predict if isinstance(model, MixedRegressor) else model.predict_proba
    found = [says(rows), model.population_interval(rows)]
    if model._memory.effects.structure.levels == 1:
        found.append(says(rows, labels[:1] * 2))
        y = model.classes_[[0, 1]] if isinstance(model, MixedClassifier) else np.array([1.0, 2.0])
        with contextlib.suppress(ValueError):  # a level or unit that these outcomes are too far from
            model.adapt(rows, y)
    assert all(np.isfinite(each).all() for each in found)


def _refused(path, read):
    """What `read` returns; None where it refuses the file, naming it."""
    try:
        return read()
    except ValueError as error:
        if str(path) not in str(error):
            raise AssertionError(f"the message does not name the file: {error}") from error
        return None


def _numbers(kind, kinds):
    """The numbers of the mutations of one kind of file."""
    return range(sorted(kinds).index(kind), N_MUTATIONS, len(kinds))


KINDS = [*MODELS, "sweep"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MODELS)
def test_mutated_models_are_refused_or_of_use(kind, tmp_path):
    model, path = MODELS[kind], tmp_path / "model"
    model.save(path)
    whole, (tensors, document) = path.read_bytes(), _files.read(path)
    for number in _numbers(kind, KINDS):
        spoilt, may_hold = _mutate(whole, tensors, document, number)
        path.write_bytes(spoilt)
        try:
            found = _refused(path, lambda: type(model).load(path))
            if found is None:
                continue
            assert may_hold or path.read_bytes() == whole
            _use(found)
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {kind}: {error!r}") from error


@pytest.mark.filterwarnings("ignore")
def test_mutated_sweeps_are_refused_or_of_use(tmp_path):
    path = tmp_path / "sweep"
    _train_sweep(path)
    whole, shards = path.read_bytes(), _shard_file.read_shards(path)[0]
    for number in _numbers("sweep", KINDS):
        at = number // len(KINDS) % 2
        spoilt, may_hold = _mutate(whole, *shards[at], number)
        if may_hold:  # one shard of two is spoilt
            head, last = (_shard_file.shard(*shard) for shard in shards)
            own = whole[:8] + len(spoilt).to_bytes(8, "little") + spoilt
            spoilt = own + last if at == 0 else head + own
        path.write_bytes(spoilt)
        try:
            found = _refused(path, lambda: _train_sweep(path))
            if found is None:
                assert path.read_bytes() == spoilt
                continue
            assert len(found.result) == 3
            assert np.isfinite(found.result.predict(X)).all()
            found.to_frame()
        except BaseException as error:
            raise AssertionError(f"mutation {number} of a sweep: {error!r}") from error
