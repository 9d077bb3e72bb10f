"""The Cartpole study in short, and its simulation against Gymnasium's single environment."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def policies():
    return runpy.run_path(str(EXAMPLES / "cartpole_policy.py"))


def test_steps_are_those_of_cartpole(policies):
    """Every step kept, played again in the environment that everybody knows."""
    theta = policies["load"]()
    found = policies["simulate"](policies["EpsilonGreedy"](theta, 0.1), 5, 0.0, seed=0)
    env = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    for state, action, after, ended in zip(
        found.states, found.actions, found.next_states, found.terminated, strict=True
    ):
        env.state = state.astype(float)
        played, reward, terminated, _, _ = env.step(int(action))
        env.steps_beyond_terminated = None
        # States are stored in single precision, and are up to 5.
        np.testing.assert_allclose(after, played, atol=2e-6)
        assert (terminated, reward) == (ended, 1.0)


def test_episodes_hang_together(policies):
    theta = policies["load"]()
    found = policies["simulate"](policies["EpsilonGreedy"](theta, 0.5), 30, 0.3, seed=1, horizon=40)
    lengths = np.bincount(found.episode)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    np.testing.assert_array_equal(found.states[starts], found.first_states)
    same = found.episode[1:] == found.episode[:-1]
    np.testing.assert_array_equal(found.states[1:][same], found.next_states[:-1][same])
    assert not found.terminated[:-1][same].any()
    np.testing.assert_allclose(found.returns, (1 - 0.99**lengths) / 0.01)
    last = np.cumsum(lengths) - 1
    # Time that is up is no end: there were both.
    np.testing.assert_array_equal(found.terminated[last][lengths < 40], True)
    assert 0 < (lengths == 40).sum() < 30


def test_noise_is_not_seen_in_the_action(policies):
    """The pole is pushed against the stored action in about half of a share of 0.8 of the steps."""
    found = policies["simulate"](lambda states: np.ones(len(states), int), 200, 0.8, seed=0)
    np.testing.assert_array_equal(found.actions, 1)
    pushed_left = found.next_states[:, 1] < found.states[:, 1]
    assert len(pushed_left) > 2000  # so that the share has a standard error of about 0.01
    assert pushed_left.mean() == pytest.approx(0.4, abs=0.05)


def test_training(policies):
    """It changes the network, whose parameters are handed over in the order that `NET` has them in."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    learner, states = policies["Learner"](0), np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    with torch.no_grad():
        outputs = learner.net(torch.from_numpy(states)).numpy()
    start = learner.theta()
    np.testing.assert_allclose(policies["NET"].predict(start, states), outputs, atol=1e-6)  # single precision
    trained = policies["train"](episodes=60)  # more than the 1000 steps before it learns
    assert np.isfinite(trained).all()
    assert np.abs(trained - start).max() > 0.01


def test_study_in_short_goes_on_where_it_stopped(tmp_path, capsys, monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.syspath_prepend(EXAMPLES)
    study = runpy.run_path(str(EXAMPLES / "cartpole.py"))
    results, picture = tmp_path / "results.jsonl", tmp_path / "cartpole.png"
    arguments = [str(results), "--short", "--output", str(picture)]
    study["main"](arguments)
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(records) == 2 * 2 * (4 + 3)  # seeds, noises, methods with each target
    assert all(0 < record["truth"] < 100 for record in records)
    whole = results.read_text()
    study["main"](arguments)
    assert results.read_text() == whole
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| 0 | 0.2 | " in capsys.readouterr().out
