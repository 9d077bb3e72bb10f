"""Offline policy evaluation on a process whose Q is known by simulation, and its misuse."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from rfpcore.npiv._bilevel import Problem
from rfpcore.npiv.ope import (
    DeepFeatureEvaluation,
    F2BMLDEvaluation,
    FittedQEvaluation,
    make_transitions,
)
from rfpcore.npiv.ope._deep import _BellmanStages

GAMMA = 0.9


def policy(states):
    """Push back towards 0."""
    return (states[:, 0] < 0).astype(int)


def advance(s, a, random):
    return 0.8 * s + 0.5 * (2 * a - 1) + 0.5 * random.standard_normal(len(s))


def reward(s):
    return 1 - np.minimum(s**2, 4) / 4


def simulated(points, action, random, repeats=4000, horizon=80):
    """Mean discounted return: standard error of about 0.01, and 0.9^80 < 3e-4 is left out."""
    s = np.repeat(points, repeats)
    a = np.full(len(s), action)
    total, discount = np.zeros(len(s)), 1.0
    for _ in range(horizon):
        total += discount * reward(s)
        s = advance(s, a, random)
        a = policy(s[:, None])
        discount *= GAMMA
    return total.reshape(len(points), repeats).mean(axis=1)


@pytest.fixture(scope="module")
def steps():
    random = np.random.default_rng(0)
    s, a = random.normal(0, 1.5, 3000), random.integers(0, 2, 3000)
    after = advance(s, a, random)
    flags = np.zeros(3000, bool)
    return make_transitions(
        s[:, None], a, reward(s), after[:, None], flags, np.arange(3000) // 10, n_actions=2
    )


@pytest.mark.parametrize(
    "model",
    [
        F2BMLDEvaluation(gamma=GAMMA, random_state=0),
        DeepFeatureEvaluation(gamma=GAMMA, max_iter=400, random_state=0),
        FittedQEvaluation(gamma=GAMMA, random_state=0),
    ],
    ids=["f2bmld", "deep features", "fitted q"],
)
def test_known_process(model, steps):
    random = np.random.default_rng(1)
    points = np.linspace(-2, 2, 9)
    model.fit(steps, policy)
    for action in (0, 1):
        truth = simulated(points, action, random)
        found = model.q(points[:, None], np.full(9, action))
        # Q lies between 7 and 9.2, with a standard deviation of 0.65 over these points.
        assert np.sqrt(np.mean((found - truth) ** 2)) < 0.2
    start = np.full((50, 1), 1.0)
    value = model.value(start, policy)
    assert value == pytest.approx(simulated(np.array([1.0]), 0, random)[0], abs=0.2)


def test_terminated_steps_have_no_future():
    """Half of the steps end their episode: Q = 1 there would be 10 otherwise. Q = 1 + 0.9 Q / 2 = 1.818."""
    s = np.random.default_rng(0).uniform(-1, 1, (1000, 1))
    ended = np.arange(1000) % 2 == 0
    steps = make_transitions(s, np.zeros(1000, int), np.ones(1000), s[::-1], ended, n_actions=1)
    for model in (
        F2BMLDEvaluation(gamma=0.9, random_state=0),
        DeepFeatureEvaluation(gamma=0.9, max_iter=50, random_state=0),
        FittedQEvaluation(gamma=0.9),
    ):
        value = model.fit(steps, lambda states: np.zeros(len(states), int)).value(s, policy_of_one)
        assert value == pytest.approx(1 / (1 - 0.45), abs=0.1)


def test_intercept_solves_the_mean_equation(steps):
    """Without it a short training is far off; with it r and Q(s, a) - γ Q(s', π(s')) agree in the mean."""
    short = {"gamma": GAMMA, "max_iter": 50, "n_checkpoints": 5, "random_state": 0}
    model = F2BMLDEvaluation(**short).fit(steps, policy)
    after = model.q(steps.next_states, policy(steps.next_states))
    missing = steps.rewards - (model.q(steps.states, steps.actions) - GAMMA * after)
    # In single precision; without the intercept it is 0.3 and more.
    assert abs(missing.mean()) < 1e-5
    assert abs(model.set_params(fit_intercept=False).fit(steps, policy).path_[:, -1]).max() == 0
    after = model.q(steps.next_states, policy(steps.next_states))
    assert abs(np.mean(steps.rewards - (model.q(steps.states, steps.actions) - GAMMA * after))) > 0.1


def test_intercept_weighs_and_counts_terms():
    """Two terms of 1 and -1/2 a row, weights 3 and 1: h + b gives (1/2) b more, and 6 is missing."""
    x, coefficients = np.zeros((4, 1)), np.array([1.0, -0.5, 1.0, -0.5])
    problem = Problem(x, np.zeros((2, 1)), np.array([8.0, 0.0]), np.array([3.0, 1.0]), coefficients, True)
    assert problem.intercepts(np.zeros((1, 4))) == pytest.approx([12.0])
    np.testing.assert_allclose(problem.targets(np.zeros((1, 4)), np.array([1])), [[0.0, 0.0]])


def test_values_on_the_way(steps):
    deep = DeepFeatureEvaluation(gamma=GAMMA, max_iter=10, n_checkpoints=5, random_state=0)
    for model in (deep.fit(steps, policy), F2BMLDEvaluation(gamma=GAMMA, max_iter=50, n_checkpoints=5)):
        path = model.fit(steps, policy).path_values(steps.states, policy)
        assert path.shape == model.path_steps_.shape == (5,)
    assert deep.path_values(steps.states, policy)[-1] == pytest.approx(deep.value(steps.states, policy))
    np.testing.assert_array_equal(deep.path_steps_, [2, 4, 6, 8, 10])


def test_gradient_through_stage_one(steps):
    """What the network of Q is told to descend, against torch's differentiation of both ridge solutions."""
    torch = pytest.importorskip("torch")
    model = DeepFeatureEvaluation(
        gamma=GAMMA, hidden_layer_sizes=(8, 5), hidden_layer_sizes_instrument=(6, 7), penalty_instrument=1e-3
    )
    problem, random = model._problem(steps, policy, GAMMA), np.random.RandomState(0)
    stages, one, two = _BellmanStages(model._checked(), problem, random), np.arange(300), np.arange(300, 700)
    told = []
    stages.net.descend = lambda x, upstream: told.append((x, upstream))
    stages.round(one, two)
    (x, upstream) = told[0]
    features = torch.tensor(stages.net.features(x).astype(float), requires_grad=True)
    of_z, of_z_two = (torch.tensor(stages._of_instruments(rows)) for rows in (one, two))
    terms = (features.reshape(300, 2, -1) * torch.tensor(stages._signs[one])).sum(1)

    def ridge(a, b, penalty):
        return torch.linalg.solve(a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)

    predicted = of_z_two @ ridge(of_z, terms, 1e-3 * 300)
    coefficients = ridge(predicted, torch.tensor(stages._y[two]), 1e-5 * 400)
    loss = ((torch.tensor(stages._y[two]) - predicted @ coefficients) ** 2).sum()
    (loss + 1e-5 * 400 * (coefficients**2).sum()).backward()
    expected = features.grad.numpy()
    scale = np.abs(expected).max()
    # Both in double precision, through two solutions whose condition number is about 1e5.
    np.testing.assert_allclose(upstream / scale, expected / scale, atol=1e-9)


def policy_of_one(states):
    return np.zeros(len(states), int)


GOOD = {
    "states": np.zeros((4, 2)),
    "actions": np.array([0, 1, 0, 1]),
    "rewards": np.ones(4),
    "next_states": np.zeros((4, 2)),
    "terminated": np.zeros(4, bool),
}


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"terminated": None}, ValueError, "terminated is None; a flag a step is needed"),
        ({"terminated": np.zeros(4)}, TypeError, "terminated has dtype float64; bool"),
        ({"terminated": np.zeros(3, bool)}, ValueError, r"terminated has shape \(3,\)"),
        ({"actions": np.zeros(4)}, TypeError, "actions has dtype float64; integers"),
        (
            {"actions": np.array([0, 1, 2, 0])},
            ValueError,
            "actions holds 2 for state 2.*integers from 0 to 1 are",
        ),
        ({"rewards": np.array([1, np.nan, 1, 1])}, ValueError, "rewards must be finite.*row 1"),
        ({"rewards": np.ones(5)}, ValueError, r"rewards has shape \(5,\)"),
        (
            {"next_states": np.zeros((4, 3))},
            ValueError,
            r"next_states has shape \(4, 3\); states has \(4, 2\)",
        ),
        ({"episodes": np.zeros(3)}, ValueError, "episodes has 3 rows"),
    ],
)
def test_transitions_misuse(bad, error, message):
    with pytest.raises(error, match=message):
        make_transitions(**(GOOD | bad), n_actions=2)


def test_options(steps):
    for model, message in (
        (F2BMLDEvaluation(gamma=1.0), r"gamma=1\.0; a number in \[0, 1\)"),
        (FittedQEvaluation(gamma=-0.1), r"gamma=-0\.1"),
        (FittedQEvaluation(penalty=0), "penalty=0.0; a positive number"),
        (F2BMLDEvaluation(lambdas=(0,)), r"lambdas=\(0,\); at least one number, all above 0"),
        (F2BMLDEvaluation(lambdas=()), r"lambdas=\(\); at least one number"),
        (F2BMLDEvaluation(n_particles=0), "n_particles=0 is too small"),
        (DeepFeatureEvaluation(gamma=1), r"gamma=1\.0"),
        (DeepFeatureEvaluation(learning_rate_init=-1e-3), r"learning_rate_init=-0\.001; a positive number"),
        (DeepFeatureEvaluation(penalty=0), r"penalty=0\.0; a positive number"),
        (DeepFeatureEvaluation(batch_size=1), "batch_size=1 is too small"),
        (DeepFeatureEvaluation(inner_steps=0), "inner_steps=0 is too small"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(steps, policy)


def test_halves_need_rows():
    few = make_transitions(**{name: array[:3] for name, array in GOOD.items()}, n_actions=2)
    with pytest.raises(ValueError, match="3 steps are given; DeepFeatureEvaluation halves them"):
        DeepFeatureEvaluation().fit(few, policy)


def test_fitted_q_says_that_it_has_not_converged(steps):
    with pytest.warns(ConvergenceWarning, match="not converged after 3 regressions"):
        FittedQEvaluation(gamma=0.9, max_iter=3).fit(steps, policy)


NO_ACTIONS = [
    (lambda s: np.full(len(s), np.nan), ValueError, "what the policy returns holds nan for state 0"),
    (lambda s: np.full(len(s), 0.5), ValueError, r"holds 0\.5 for state 0, one of 200 that are no action"),
    (
        lambda s: np.full(len(s), 9),
        ValueError,
        r"holds 9 .*integers from 0 to 1 are needed \(are they counted",
    ),
    (lambda s: np.full(len(s), -1), ValueError, "holds -1 for state 0"),
    (lambda s: 1 + policy(s), ValueError, "holds 2 for state"),
    (lambda s: np.full(len(s), "a"), TypeError, "has dtype <U1; integers from 0 to 1"),
    (lambda s: np.full((len(s), 2), 0.5), ValueError, r"shape \(200, 2\), as probabilities have"),
    (lambda s: np.zeros(len(s) - 1, int), ValueError, r"shape \(199,\); one action a state, \(200,\)"),
    (lambda s: 0, ValueError, r"shape \(\); one action a state"),
    (lambda s: None, ValueError, "what the policy returns is None"),
    (3, TypeError, "policy is a int; a function from states to actions"),
]


@pytest.mark.parametrize(("odd", "error", "message"), NO_ACTIONS)
def test_what_a_policy_must_not_return(odd, error, message):
    random = np.random.default_rng(0)
    s, a = random.normal(size=(200, 1)), random.integers(0, 2, 200)
    few = make_transitions(s, a, a + s[:, 0], 0.9 * s, random.random(200) < 0.1, n_actions=2)
    models = [
        FittedQEvaluation(n_components=20, random_state=0),
        F2BMLDEvaluation(max_iter=10, n_checkpoints=2, random_state=0),
        DeepFeatureEvaluation(max_iter=2, n_checkpoints=1, random_state=0),
    ]
    for model in models:
        with pytest.raises(error, match=message):
            model.fit(few, odd)
        model.fit(few, policy)
        with pytest.raises(error, match=message):
            model.value(s, odd)
        with pytest.raises(ValueError, match=r"actions holds 2 for state 0.*counted from 1"):
            model.q(s, np.full(200, 2))
        with pytest.raises(ValueError, match="states has 2 columns; fit had 1"):
            model.q(np.hstack([s, s]), a)
        # Integers that are stored as floats or bools are actions.
        assert model.value(s, lambda states: policy(states).astype(float)) == model.value(s, policy)
    for model in models[1:]:
        with pytest.raises(error, match=message):
            model.path_values(s, odd)
