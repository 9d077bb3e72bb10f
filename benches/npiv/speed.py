"""Time of F²BMLD and of DFIV against the same algorithms in torch, on one thread and in float32.

    python -m benches.npiv.speed            takes turns, several times each; prints medians and ranges
    python -m benches.npiv.speed --short    a hundredth of the steps

Torch's steps of F²BMLD are written out by hand, without autograd: the fastest form that was found. Their time
is that of some hundred outer steps, times what is missing to 50,000.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.utils import check_random_state

from rfpcore.datasets import make_demand
from rfpcore.npiv import DeepFeatureIV
from rfpcore.npiv._bilevel import Problem, first_particles, settings, solve

N, INNER, BATCH, ROWS = 50, 10, 32, 1000
OPTIONS = {
    "solver": "adam",
    "activation": "relu",
    "n_particles": N,
    "inner_steps": INNER,
    "batch_size": BATCH,
    "n_checkpoints": 40,
    "inner_warm_start": True,
    "shared_noise": True,
    **dict.fromkeys(["particle_bound", "inner_lr", "learning_rate_init"]),
    **dict.fromkeys(["weight_decay_instrument", "weight_decay", "temperature_instrument", "temperature"]),
}


def kernel_seconds(problem: Problem, solver: str, steps: int) -> float:
    config = settings(OPTIONS | {"solver": solver, "max_iter": steps})
    start = first_particles(problem, config, check_random_state(0))
    began = time.perf_counter()
    solve(problem, config, [1.0], [0], [np.arange(ROWS)], [start], 1)
    return time.perf_counter() - began


class Torch:
    """The loops with gradients by hand: no graph is built."""

    def __init__(self, problem: Problem, solver: str) -> None:
        config = settings(OPTIONS | {"solver": solver, "max_iter": 1})
        self.rates, self.adam = config.rates(1.0), solver == "adam"
        self.x, self.z, self.y = (torch.tensor(part) for part in (problem.x, problem.z, problem.y))
        start = first_particles(problem, config, check_random_state(0))
        self.nets = [torch.tensor(part, dtype=torch.float32).reshape(-1, N) for part in start]
        self.moments = [[torch.zeros_like(net), torch.zeros_like(net)] for net in self.nets]
        self.steps = [0, 0, 0]

    def values(self, net: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a = torch.relu(torch.addmm(net[-2], points, net[:-2]))
        return a, (a @ net[-1]) / N

    def move(self, which: int, a, points, residual, rate: float, zeta: float, sigma: float, noise) -> None:
        net = self.nets[which]
        residual = residual[:, None] / BATCH
        delta = residual * net[-1] * (a > 0)
        gradient = torch.cat([points.T @ delta, delta.sum(0)[None], (residual * a).sum(0)[None]]) + zeta * net
        if not self.adam:
            self.nets[which] = net - rate * gradient + (2 * rate * sigma) ** 0.5 * noise
            return
        first, second = self.moments[which]
        self.steps[which] += 1
        t = self.steps[which]
        first.lerp_(gradient, 0.5)
        second.mul_(0.9).addcmul_(gradient, gradient, value=0.1)
        scale = (second / (1 - 0.9**t)).sqrt_().add_(1e-8)
        self.nets[which] = net.addcdiv(first / (1 - 0.5**t), scale, value=-rate)

    def outer_step(self) -> None:
        lam, alpha, beta, gamma, zeta1, zeta2, sigma1, sigma2 = self.rates
        for _ in range(INNER):
            rows = torch.randint(0, ROWS, (BATCH,))
            x, z, y = self.x[rows], self.z[rows], self.y[rows]
            _, target = self.values(self.nets[0], x)
            noise = None if self.adam else torch.randn(self.nets[1].shape)
            a, h = self.values(self.nets[1], z)
            self.move(1, a, z, h - target, alpha, zeta1, sigma1, noise)
            a, h = self.values(self.nets[2], z)
            self.move(2, a, z, lam * (h - target) + h - y, beta, lam * zeta1, lam * sigma1, noise)
        rows = torch.randint(0, ROWS, (BATCH,))
        x, z = self.x[rows], self.z[rows]
        gap = self.values(self.nets[1], z)[1] - self.values(self.nets[2], z)[1]
        a, _ = self.values(self.nets[0], x)
        noise = None if self.adam else torch.randn(self.nets[0].shape)
        self.move(0, a, x, lam * gap, gamma, zeta2, sigma2, noise)


def torch_seconds(problem: Problem, solver: str, steps: int, measured: int) -> float:
    run = Torch(problem, solver)
    with torch.no_grad():
        run.outer_step()
        began = time.perf_counter()
        for _ in range(measured):
            run.outer_step()
    return (time.perf_counter() - began) * steps / measured


def dfiv_seconds(n: int, rounds: int) -> float:
    data = make_demand(n, random_state=0)
    model = DeepFeatureIV(max_iter=rounds, random_state=0, n_jobs=1)
    began = time.perf_counter()
    model.fit(data.X, data.y, data.Z, data.covariates)
    return (time.perf_counter() - began) / rounds


class TorchDFIV:
    """A round of DFIV by autograd, as its authors have it: ridge by Cholesky, features of the same widths."""

    def __init__(self, n: int) -> None:
        data = make_demand(n, random_state=0)

        def scaled(values):
            return torch.tensor((values - values.mean(0)) / values.std(0), dtype=torch.float32)

        half = n // 2
        whole = [
            scaled(v)
            for v in (data.X, np.hstack([data.Z, data.covariates]), data.covariates, data.y[:, None])
        ]
        (self.x, self.z, _, _), (_, self.z2, self.w2, self.y2) = (
            [values[part] for values in whole] for part in (slice(half), slice(half, None))
        )

        def net(*widths):
            layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
            return torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.ReLU())))

        self.net_x, self.net_z, self.net_w = net(1, 16), net(3, 128, 64, 32), net(2, 128, 32, 16)
        self.adams = [
            torch.optim.Adam(net.parameters(), 1e-3, weight_decay=decay)
            for net, decay in ((self.net_x, 0), (self.net_z, 0), (self.net_w, 0.1))
        ]

    @staticmethod
    def ones(features):
        return torch.cat([torch.ones(len(features), 1), features], dim=1)

    @staticmethod
    def ridge(features, targets, penalty):
        gram = features.T @ features + penalty * torch.eye(features.shape[1])
        weights = torch.cholesky_solve(features.T @ targets, torch.linalg.cholesky(gram))
        loss = ((targets - features @ weights) ** 2).sum() + penalty * (weights**2).sum()
        return weights, loss

    def descend(self, which, loss):
        self.adams[which].zero_grad()
        loss.backward()
        self.adams[which].step()

    def stage_two(self, weights, z2, w2):
        predicted = z2 @ weights
        products = (predicted[:, :, None] * w2[:, None, :]).reshape(len(w2), -1)
        return self.ridge(products, self.y2, 0.1 * len(w2))[1]

    def round(self) -> None:
        penalty = 0.1 * len(self.x)
        with torch.no_grad():
            of_x = self.ones(self.net_x(self.x))
        for _ in range(20):
            self.descend(1, self.ridge(self.ones(self.net_z(self.z)), of_x, penalty)[1])
        with torch.no_grad():
            of_z, of_z2 = self.ones(self.net_z(self.z)), self.ones(self.net_z(self.z2))
            weights, _ = self.ridge(of_z, of_x, penalty)
        for _ in range(20):
            self.descend(2, self.stage_two(weights, of_z2, self.ones(self.net_w(self.w2))))
        with torch.no_grad():
            of_w = self.ones(self.net_w(self.w2))
        weights, _ = self.ridge(of_z, self.ones(self.net_x(self.x)), penalty)
        self.descend(0, self.stage_two(weights, of_z2, of_w))


def torch_dfiv_seconds(n: int, rounds: int) -> float:
    run = TorchDFIV(n)
    run.round()
    began = time.perf_counter()
    for _ in range(rounds):
        run.round()
    return (time.perf_counter() - began) / rounds


def compare(name: str, ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> None:
    pairs = np.array([(ours(), theirs()) for _ in range(repeats)])
    (a, b), ratio = np.median(pairs, axis=0), pairs[:, 1] / pairs[:, 0]
    spread = f"{np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f})"
    print(f"{name}: rfpcore {a:.3g} s, torch {b:.3g} s, ratio {spread}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true")
    short = parser.parse_args(arguments).short
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    x, z = random.standard_normal((2, ROWS, 3))
    problem = Problem(x, z, random.standard_normal(ROWS)).cast(np.float32)
    steps, measured, repeats = (500, 5, 1) if short else (50_000, 300, 5)
    for solver in ("adam", "langevin"):
        compare(
            f"F²BMLD, {solver}, N = {N}, {INNER} inner steps, {steps} outer steps, batch {BATCH}",
            lambda solver=solver: kernel_seconds(problem, solver, steps),
            lambda solver=solver: torch_seconds(problem, solver, steps, measured),
            repeats,
        )
    n, rounds = (200, 1) if short else (5000, 5)
    compare(
        f"DFIV, demand, n = {n}, a round",
        lambda: dfiv_seconds(n, rounds),
        lambda: torch_dfiv_seconds(n, rounds),
        repeats,
    )


if __name__ == "__main__":
    main()
