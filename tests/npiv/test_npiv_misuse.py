"""Bad input to the instrumental-variables estimators: errors before any work, with the numbers."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.decomposition import PCA

import rfpcore
from rfpcore import DivergenceError, DivergenceWarning
from rfpcore.datasets import make_sprites
from rfpcore.npiv import (
    F2BMLD,
    DeepFeatureIV,
    InstrumentWarning,
    KernelIV,
    MeanField,
    ProximalF2BMLD,
    SieveIV,
    TwoStageLeastSquares,
)
from rfpcore.npiv._bilevel import Path, settings
from rfpcore.npiv._fit import warn_of_early_end
from rfpcore.npiv.ope import FittedQEvaluation, make_transitions

noise, y, Z = np.random.default_rng(0).standard_normal((3, 50))
X = Z + noise  # an instrument that is one: no warning but those that tests ask for
FAST = {"max_iter": 20, "n_checkpoints": 2}
ESTIMATORS = [
    F2BMLD(**FAST),
    KernelIV(),
    SieveIV(),
    DeepFeatureIV(max_iter=1, hidden_layer_sizes_instrument=(4,), inner_steps=1),
]


@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda model: type(model).__name__)
class TestData:
    def test_lengths_that_differ(self, model):
        with pytest.raises(ValueError, match="Z has 49 rows; X has 50"):
            model.fit(X, y, Z[1:])
        with pytest.raises(ValueError, match="y has 49 rows; X has 50"):
            model.fit(X, y[1:], Z)
        with pytest.raises(ValueError, match="covariates has 49 rows; X has 50"):
            model.fit(X, y, Z, covariates=X[1:])
        with pytest.raises(ValueError, match="groups has 3 rows; X has 50"):
            model.fit(X, y, Z, groups=[1, 2, 3])

    def test_missing_values(self, model):
        for name in ("X", "y", "Z", "covariates"):
            arrays = {"X": X, "y": y, "Z": Z, "covariates": X}
            arrays[name] = np.where(np.arange(50) == 7, np.nan, arrays[name])
            with pytest.raises(ValueError, match=f"{name} must be finite.*row 7"):
                model.fit(**arrays)

    def test_constant_instrument(self, model):
        with pytest.raises(ValueError, match=r"Z is constant \(3 in every row\)"):
            model.fit(X, y, np.full(50, 3.0))

    def test_none(self, model):
        with pytest.raises(ValueError, match="Z is None"):
            model.fit(X, y, None)
        with pytest.raises(ValueError, match="target y is None"):
            model.fit(X, None, Z)

    def test_one_row_and_two_outcomes(self, model):
        with pytest.raises(ValueError, match="1 row is given; at least 2"):
            model.fit([1.0], [1.0], [1.0])
        with pytest.raises(ValueError, match=r"y has shape \(50, 2\)"):
            model.fit(X, np.c_[y, y], Z)

    def test_instrument_equal_to_input_is_allowed_and_said(self, model):
        with pytest.warns(InstrumentWarning, match="Z equals X: this is ordinary regression"):
            model.fit(X, y, X)

    def test_prediction_needs_what_fit_had(self, model):
        with pytest.warns(InstrumentWarning):
            fitted = model.fit(X, y, X, covariates=Z)
        with pytest.raises(ValueError, match="covariates are None; 1 columns are needed"):
            fitted.predict(X)
        with pytest.raises(ValueError, match="X has 2 columns; fit had 1"):
            fitted.predict(np.c_[X, X], Z)
        with pytest.raises(ValueError, match="covariates has 49 rows; X has 50"):
            fitted.predict(X, Z[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambdas": (1.0, 0.0)}, "all above 0"),
        ({"lambdas": ()}, "at least one number"),
        ({"lambdas": (-1.0,)}, "all above 0"),
        ({"lambdas": (np.nan,)}, "lambdas must be finite"),
        ({"n_particles": 0}, "n_particles=0 is too small"),
        ({"temperature_instrument": -1.0}, "temperature_instrument=-1.0; a number of at least 0"),
        ({"temperature": -1e-9}, "temperature=-1e-09"),
        ({"weight_decay_instrument": -1.0}, "weight_decay_instrument=-1.0"),
        ({"inner_lr": 0.0}, "inner_lr=0.0; a positive number"),
        ({"learning_rate_init": np.inf}, "learning_rate_init=inf"),
        ({"inner_steps": 0}, "inner_steps=0 is too small"),
        ({"max_iter": 0}, "max_iter=0 is too small"),
        ({"batch_size": 0}, "batch_size=0 is too small"),
        ({"particle_bound": 0.0}, "particle_bound=0.0; a positive number"),
        ({"solver": "sgd"}, "solver='sgd' is unknown"),
        ({"activation": "gelu"}, "activation='gelu' is unknown; one of 'tanh', 'relu'"),
        ({"dtype": "float16"}, "dtype='float16' is unknown"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"n_checkpoints": 0}, "n_checkpoints=0 is too small"),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        F2BMLD(**(FAST | options)).fit(X, y, Z)


def test_options_of_other_kinds():
    for options in ({"n_particles": 2.5}, {"inner_lr": "0.1"}, {"max_iter": True}):
        with pytest.raises(TypeError):
            F2BMLD(**(FAST | options)).fit(X, y, Z)


def test_one_group_cannot_be_held_out():
    with pytest.raises(ValueError, match="groups has 1 group; at least 2"):
        F2BMLD(**FAST).fit(X, y, Z, groups=np.zeros(50))


def test_weights():
    for weights, message in ((np.zeros(50), "is 0 in every row"), (-np.ones(50), "must not be negative")):
        with pytest.raises(ValueError, match=message):
            F2BMLD(**FAST).fit(X, y, Z, sample_weight=weights)
    for model in (KernelIV(), DeepFeatureIV()):
        with pytest.raises(ValueError, match="takes no sample_weight"):
            model.fit(X, y, Z, sample_weight=np.ones(50))


def test_divergence_is_said_when_halving_does_not_help():
    model = F2BMLD(**FAST, solver="langevin", inner_lr=1e30, learning_rate_init=1e30)
    with pytest.raises(DivergenceError, match=r"diverged with inner_lr=1e\+30.*halved 21 times"):
        model.fit(noise + 9 * Z, y, Z)


def test_divergence_that_halving_cures():
    model = F2BMLD(solver="langevin", inner_lr=30.0, learning_rate_init=30.0, max_iter=200, random_state=0)
    model.fit(noise + 9 * Z, y, Z)
    assert np.isfinite(model.predict(X)).all()


def test_divergence_of_one_penalty_is_said():
    """Images of hearts: the instruments do not move most components, in which h_x grows without end."""
    data = make_sprites(150, size=16, random_state=0)
    components = PCA(32, random_state=0).fit_transform(data.X)
    model = F2BMLD(solver="langevin", lambdas=(0.1, 30.0), max_iter=400, random_state=0)
    with (
        pytest.warns(InstrumentWarning),
        pytest.warns(DivergenceWarning, match=r"diverged with λ = 30 after \d+ of 400 outer steps"),
    ):
        model.fit(components, data.y, data.Z)
    finite = np.isfinite(model.errors_)
    assert model.errors_.shape == (2, 40)
    assert finite[0].all()
    assert (finite[1, 0], finite[1, -1]) == (True, False)
    assert np.isfinite(model.predict(components)).all()


def test_runs_that_end_early_are_counted():
    config = settings(F2BMLD(max_iter=20).get_params())
    whole, short, none = (Path(np.full((n, 5), 10.0 * n), *[np.zeros((n, 1))] * 3, 0) for n in (2, 1, 0))
    warn_of_early_end([whole, whole], config, "the bootstrap")
    with pytest.warns(DivergenceWarning, match="in the bootstrap: 2 of 3 runs ended before outer step 20"):
        warn_of_early_end([whole, short, none], config, "the bootstrap")


def test_mean_field():
    net = MeanField(2, 3)
    with pytest.raises(ValueError, match="theta has 11 parameters; the network has 12"):
        net.values(np.zeros(11), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="X has 3 features; the network has 2"):
        net.values(np.zeros(12), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="residual has 2 rows; X has 1"):
        net.gradient(np.zeros(12), np.zeros((1, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="n_particles=0 is too small"):
        MeanField(2, 0)


@pytest.mark.parametrize(
    "model", [*ESTIMATORS, TwoStageLeastSquares()], ids=lambda model: type(model).__name__
)
def test_columns_have_to_be_those_of_fit(model, tmp_path):
    """Values are paired by place: another order would give other numbers, and no error."""
    pytest.importorskip("linearmodels" if isinstance(model, TwoStageLeastSquares) else "pandas")
    random = np.random.default_rng(1)
    z, w, u = random.standard_normal((3, 80, 2))
    frame = pd.DataFrame(z + 0.3 * u, columns=["p", "q"])
    controls = pd.DataFrame(w, columns=["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InstrumentWarning)
        model.fit(frame, frame["p"] + u[:, 0], z, controls)
    model.save(tmp_path / "model.safetensors")
    for own in (model, rfpcore.load(tmp_path / "model.safetensors")):
        right = own.predict(frame, controls)
        assert_array_equal(own.predict(frame.to_numpy(), controls.to_numpy()), right)
        with pytest.raises(ValueError, match="X has its columns in another order than fit, 'q', 'p'"):
            own.predict(frame[["q", "p"]], controls)
        with pytest.raises(ValueError, match="covariates has its columns in another order"):
            own.predict(frame, controls[["b", "a"]])
        with pytest.raises(ValueError, match="X has the column 'r', which fit did not have"):
            own.predict(frame.rename(columns={"q": "r"}), controls)


def test_columns_of_treatments_and_states(tmp_path):
    random = np.random.default_rng(1)
    treatments = pd.DataFrame(random.standard_normal((60, 2)), columns=["dose", "age"])
    proxy = random.standard_normal(60)
    instrument = proxy + 0.3 * random.standard_normal(60)
    model = ProximalF2BMLD(**FAST).fit(treatments, treatments["dose"], proxy, instrument)
    model.save(tmp_path / "model.safetensors")
    for own in (model, rfpcore.load(tmp_path / "model.safetensors")):
        with pytest.raises(ValueError, match="treatment has its columns in another order"):
            own.effect(treatments[["age", "dose"]])
    steps = (np.zeros(60, int), np.zeros(60))
    with pytest.raises(ValueError, match="next_states has its columns in another order than states"):
        make_transitions(treatments, *steps, treatments[["age", "dose"]], np.zeros(60, bool), n_actions=1)
    right = make_transitions(treatments, *steps, treatments, np.zeros(60, bool), n_actions=1)
    evaluation = FittedQEvaluation(gamma=0.5, random_state=0).fit(
        right, lambda states: np.zeros(len(states), int)
    )
    evaluation.save(tmp_path / "model.safetensors")
    for own in (evaluation, rfpcore.load(tmp_path / "model.safetensors")):
        assert own.q(treatments, np.zeros(60, int)).shape == (60,)
        for call in (lambda own, s: own.q(s, np.zeros(60, int)), lambda own, s: own.value(s, None)):
            with pytest.raises(ValueError, match="states has its columns in another order"):
                call(own, treatments[["age", "dose"]])


@pytest.mark.filterwarnings("ignore::rfpcore.npiv.InstrumentWarning")
def test_a_name_that_two_columns_have(tmp_path):
    """Pairs nothing: the columns are taken by place, also from a file."""
    frame = pd.DataFrame(np.column_stack([X, X**2]), columns=["p", "p"])
    SieveIV().fit(frame, y, np.column_stack([Z, Z**2])).save(tmp_path / "model.safetensors")
    loaded = rfpcore.load(tmp_path / "model.safetensors")
    assert_array_equal(loaded.predict(frame), loaded.predict(frame.to_numpy()))
