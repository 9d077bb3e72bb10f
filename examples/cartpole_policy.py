"""A policy for Gymnasium's CartPole-v1: a double DQN of 128 and 128 units, and episodes of it.

    python examples/cartpole_policy.py            trains it anew (half a minute; needs torch)

The weights that `examples/cartpole.py` loads were made by this script.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from safetensors.numpy import load_file, save_file

import rfpcore

GAMMA = 0.99
FILE = Path(__file__).with_suffix(".safetensors")
NET = rfpcore.MLP(4, (128, 128), 2, "relu")


class EpsilonGreedy:
    """The action with the larger output of the network, or with probability epsilon any."""

    def __init__(self, theta: np.ndarray, epsilon: float, seed: int = 0) -> None:
        self._theta, self._epsilon = theta.astype(np.float32), epsilon
        self._random = np.random.default_rng([seed, 1])

    def __call__(self, states: np.ndarray) -> np.ndarray:
        best = NET.predict(self._theta, states).argmax(axis=1)
        return perturbed(best, self._epsilon, self._random)


def perturbed(actions: np.ndarray, probability: float, random: np.random.Generator) -> np.ndarray:
    """Each action, or with some probability any of the two."""
    return np.where(random.random(len(actions)) < probability, random.integers(0, 2, len(actions)), actions)


class Episodes(NamedTuple):
    """Steps of many episodes, one after the other, and what each episode gave."""

    states: np.ndarray
    """(steps, 4)"""
    actions: np.ndarray
    """(steps,): those that were meant"""
    next_states: np.ndarray
    terminated: np.ndarray
    """(steps,): whether the pole fell or the cart left; not whether time was up"""
    episode: np.ndarray
    """(steps,)"""
    first_states: np.ndarray
    """(episodes, 4)"""
    returns: np.ndarray
    """(episodes,): discounted, 1 a step"""


def simulate(
    policy: Callable[[np.ndarray], np.ndarray], episodes: int, noise: float, seed: int, horizon: int = 500
) -> Episodes:
    """Run a policy; with probability `noise` the environment plays any action instead of that meant."""
    random = np.random.default_rng([seed, 0])
    env = CartPoleVectorEnv(episodes, max_episode_steps=horizon)
    states, _ = env.reset(seed=seed)
    first, going, returns = states, np.arange(episodes), np.zeros(episodes)
    played, parts = np.zeros(episodes, np.int64), []
    for step in range(horizon):
        meant = policy(states[going])
        played[going] = perturbed(meant, noise, random)
        after, rewards, terminated, _, _ = env.step(played)
        returns[going] += GAMMA**step * rewards[going]
        parts.append((states[going], meant, after[going], terminated[going], going))
        # An environment that has ended starts anew: of that nothing is kept.
        going, states = going[~terminated[going]], after
        if len(going) == 0:
            break
    whole = [np.concatenate(part) for part in zip(*parts, strict=True)]
    order = np.argsort(whole[-1], kind="stable")
    return Episodes(*(part[order] for part in whole), first, returns)


class Replay:
    """Steps so far, and mini-batches of them for torch."""

    def __init__(self, random: np.random.Generator, most: int = 300_000) -> None:
        self._random, self.size = random, 0
        self._states, self._after = np.zeros((2, most, 4), np.float32)
        self._actions, self._ended = np.zeros(most, np.int64), np.zeros(most, np.float32)

    def add(self, states, actions, after, ended) -> None:
        rows = slice(self.size, self.size + len(states))
        self._states[rows], self._actions[rows] = states, actions
        self._after[rows], self._ended[rows] = after, ended
        self.size += len(states)

    def draw(self, n: int = 128):
        import torch

        rows = self._random.integers(0, self.size, n)
        whole = (self._states, self._actions, self._after, self._ended)
        return [torch.from_numpy(part[rows]) for part in whole]


class Learner:
    """The network, its copy that bootstraps, and a step of Adam."""

    def __init__(self, seed: int) -> None:
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self.net, self._copy = self._network(), self._network()
        self._optimizer = torch.optim.Adam(self.net.parameters(), lr=5e-4)
        self._steps = 0

    @staticmethod
    def _network():
        from torch.nn import Linear, ReLU, Sequential

        return Sequential(Linear(4, 128), ReLU(), Linear(128, 128), ReLU(), Linear(128, 2))

    def step(self, replay: Replay) -> None:
        import torch

        if self._steps % 300 == 0:
            self._copy.load_state_dict(self.net.state_dict())
        self._steps += 1
        states, actions, after, ended = replay.draw()
        with torch.no_grad():
            best = self.net(after).argmax(1, keepdim=True)
            target = 1 + GAMMA * (1 - ended) * self._copy(after).gather(1, best)[:, 0]
        q = self.net(states).gather(1, actions[:, None])[:, 0]
        self._optimizer.zero_grad()
        torch.nn.functional.smooth_l1_loss(q, target).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10)
        self._optimizer.step()

    def theta(self) -> np.ndarray:
        """The parameters in the order of `NET`."""
        layers = [layer for layer in self.net if hasattr(layer, "weight")]
        parts = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in layers]
        return np.concatenate([part.ravel() for layer in parts for part in layer])


def train(episodes: int = 500, seed: int = 0, environments: int = 8) -> np.ndarray:
    """A double DQN after some episodes: parameters of `NET`."""
    random = np.random.default_rng(seed)
    learner, replay = Learner(seed), Replay(random)
    env = CartPoleVectorEnv(environments)
    states, _ = env.reset(seed=seed)
    ended, finished = np.zeros(environments, bool), 0
    while finished < episodes:
        epsilon = max(0.05, 1 - finished / (0.4 * episodes))
        actions = EpsilonGreedy(learner.theta(), 0.0)(states)
        actions = perturbed(actions, epsilon, random)
        after, _, terminated, truncated, _ = env.step(actions)
        kept = ~ended  # the step after an end only starts anew
        replay.add(states[kept], actions[kept], after[kept], terminated[kept])
        ended, states = terminated | truncated, after
        finished += int(ended.sum())
        if replay.size > 1000:
            learner.step(replay)
            learner.step(replay)
    return learner.theta()


def load(path: Path = FILE) -> np.ndarray:
    """Parameters of `NET`, float32."""
    return load_file(path)["theta"].astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default=str(FILE), help=f"default {FILE.name} beside the script")
    options = parser.parse_args(arguments)
    theta = train(options.episodes, options.seed)
    save_file({"theta": theta.astype(np.float16)}, options.output)  # half the size; rounding hardly matters
    for noise in (0.0, 0.2, 0.4):
        returns = simulate(EpsilonGreedy(load(Path(options.output)), 0.0), 200, noise, seed=1).returns
        print(f"noise {noise:g}: discounted return {returns.mean():.1f}")


if __name__ == "__main__":
    main()
