"""F²BMLD in torch, in float64, by autograd: the oracle of the kernel's loops, written from the slides.

The noise and the mini-batches are the kernel's own draws, injected; everything else is worked out here.
"""

from typing import NamedTuple

import numpy as np
import torch

from rfpcore import _rfpcore

torch.set_num_threads(1)


class Rates(NamedTuple):
    lam: float
    alpha: float
    beta: float
    gamma: float
    zeta1: float
    zeta2: float
    sigma1: float
    sigma2: float


class Options(NamedTuple):
    inner_steps: int = 3
    outer_steps: int = 4
    batch_size: int | None = None
    warm: bool = True
    shared: bool = True
    adam: tuple[float, float, float] | None = None
    activation: str = "tanh"
    clip: float | None = None


class Data(NamedTuple):
    x: torch.Tensor
    """(n, terms, d)"""
    coefficients: torch.Tensor
    """(n, terms)"""
    z: torch.Tensor
    y: torch.Tensor
    weights: torch.Tensor


def psi(points, particles, options):
    """Outputs of every particle (rows of points, N); particles (d + 2, N)."""
    w1, b, w2 = particles[:-2], particles[-2], particles[-1]
    inside = points @ w1 + b
    u = w2 * (torch.tanh(inside) if options.activation == "tanh" else torch.relu(inside))
    return u if options.clip is None else options.clip * torch.tanh(u / options.clip)


def h(points, particles, options):
    return psi(points, particles, options).mean(dim=-1)


def structural_target(data, x, options):
    return (data.coefficients * h(data.x, x, options)).sum(dim=1)


def mean(squares, data):
    return (data.weights * squares).mean()


def first_stage(data, x, z, zeta1, options):
    """F₁(μ_x, μ_z)."""
    fit = mean((h(data.z, z, options) - structural_target(data, x, options)) ** 2, data) / 2
    return fit + zeta1 / 2 * (z**2).sum(dim=0).mean()


def second_stage(data, x, z, zeta2, options):
    """F₂(μ_x, μ_z)."""
    return mean((h(data.z, z, options) - data.y) ** 2, data) / 2 + zeta2 / 2 * (x**2).sum(dim=0).mean()


def wasserstein(functional, particles):
    """N times the Euclidean gradient of the functional of an empirical measure."""
    particles = particles.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(functional(particles), particles, allow_unused=True)
    return torch.zeros_like(particles) if gradient is None else particles.shape[1] * gradient


class Mover:
    """Langevin steps, or torch's Adam on the Wasserstein gradient."""

    def __init__(self, start, options):
        self.value, self.adam = start.clone(), options.adam
        self.reset(start)

    def reset(self, start):
        self.value = start.clone()
        if self.adam is not None:
            beta1, beta2, epsilon = self.adam
            self.leaf = self.value.clone().requires_grad_()
            self.optimizer = torch.optim.Adam([self.leaf], lr=1.0, betas=(beta1, beta2), eps=epsilon)

    def step(self, gradient, rate, sigma, noise):
        if self.adam is None:
            self.value = self.value - rate * gradient + (2 * rate * sigma) ** 0.5 * noise
            return
        self.optimizer.param_groups[0]["lr"] = rate
        self.leaf.grad = gradient
        self.optimizer.step()
        self.value = self.leaf.detach().clone()


def draw(seed, purpose, index, like):
    noise = _rfpcore.particle_noise(seed, purpose, index, like.numel())
    return torch.tensor(noise, dtype=torch.float64).reshape(like.shape)


def batch(data, rows, seed, purpose, index, options):
    """The rows of a step; weights keep their mean over all the run's rows at 1."""
    chosen = np.asarray(rows)
    if options.batch_size is not None:
        chosen = chosen[_rfpcore.particle_rows(seed, purpose, index, len(rows), options.batch_size)]
    part = Data(*(values[chosen] for values in data))
    return part._replace(weights=part.weights / data.weights[rows].mean())


def solve(data, rows, rates, seed, starts, options):
    """Structural, first-stage and twin particles after all steps; starts are (d + 2, N) each."""
    x, z, twin = (Mover(start, options) for start in starts)
    for s in range(options.outer_steps):
        if not options.warm:
            z.reset(starts[1])
            twin.reset(starts[2])
        for t in range(options.inner_steps):
            index = s * options.inner_steps + t
            of_z = batch(data, rows, seed, "rows", index, options)
            of_twin = of_z if options.shared else batch(data, rows, seed, "rows twin", index, options)
            noise_z = draw(seed, "noise z", index, z.value)
            noise_twin = noise_z if options.shared else draw(seed, "noise twin", index, z.value)
            fixed = x.value

            def first(particles, of_z=of_z, fixed=fixed):
                return first_stage(of_z, fixed, particles, rates.zeta1, options)

            def penalised(particles, of_twin=of_twin, fixed=fixed):
                inner = first_stage(of_twin, fixed, particles, rates.zeta1, options)
                return second_stage(of_twin, fixed, particles, rates.zeta2, options) + rates.lam * inner

            z.step(wasserstein(first, z.value), rates.alpha, rates.sigma1, noise_z)
            sigma = rates.lam * rates.sigma1
            twin.step(wasserstein(penalised, twin.value), rates.beta, sigma, noise_twin)
        outer = batch(data, rows, seed, "rows outer", s, options)

        def lagrangian(particles, outer=outer):
            gap = first_stage(outer, particles, twin.value, rates.zeta1, options) - first_stage(
                outer, particles, z.value, rates.zeta1, options
            )
            return second_stage(outer, particles, twin.value, rates.zeta2, options) + rates.lam * gap

        gradient = wasserstein(lagrangian, x.value)
        x.step(gradient, rates.gamma, rates.sigma2, draw(seed, "noise x", s, x.value))
    return x.value, z.value, twin.value
