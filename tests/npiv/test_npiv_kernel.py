"""The loops of F²BMLD in the kernel, against the torch reference with the same noise injected."""

import npiv_reference as reference
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore import _rfpcore
from rfpcore.npiv import MeanField

RATES = reference.Rates(
    lam=1.7, alpha=0.2, beta=0.1, gamma=0.3, zeta1=0.02, zeta2=0.03, sigma1=0.01, sigma2=0.02
)
CASES = {
    "slides, full batch": reference.Options(),
    "relu": reference.Options(activation="relu"),
    "independent noise": reference.Options(shared=False),
    "fresh starts": reference.Options(warm=False),
    "mini-batches": reference.Options(batch_size=5),
    "independent mini-batches": reference.Options(batch_size=5, shared=False),
    "clipped": reference.Options(clip=0.8),
    "clipped relu": reference.Options(clip=0.8, activation="relu"),
    "adam": reference.Options(adam=(0.5, 0.9, 1e-8)),
    "adam, mini-batches, fresh": reference.Options(adam=(0.5, 0.9, 1e-8), batch_size=6, warm=False),
    "one inner step": reference.Options(inner_steps=1),
}


def problem(n=70, d=2, q=3, terms=1, n_particles=9, seed=0):
    """Random data with weights and, with several terms, coefficients; rows of a bootstrap; starts."""
    random = np.random.default_rng(seed)
    x, z = random.standard_normal((n, terms, d)), random.standard_normal((n, q))
    y, weights = random.standard_normal(n), random.uniform(0.2, 2, n)
    coefficients = np.ones((n, 1)) if terms == 1 else random.standard_normal((n, terms))
    starts = [random.standard_normal((width + 2, n_particles)) for width in (d, q, q)]
    return (x, coefficients, z, y, weights), random.integers(0, n, n - 3), starts


def kernel(data, runs, starts, options, dtype=np.float64, n_threads=1):
    """The kernel's paths; runs are (rates, seed, rows)."""
    x, coefficients, z, y, weights = data
    n_particles = starts[0].shape[1]
    nets = [
        _rfpcore.Particles(width, n_particles, options.activation, options.clip)
        for width in (x.shape[2], z.shape[1])
    ]
    arrays = [np.ascontiguousarray(values, dtype) for values in (x.reshape(-1, x.shape[2]), z, y)]
    extra = [np.ascontiguousarray(values.ravel(), dtype) for values in (coefficients, weights)]
    settings = _rfpcore.BilevelOptions(
        *nets,
        options.inner_steps,
        options.outer_steps,
        options.batch_size,
        options.warm,
        options.shared,
        2,
        options.adam,
    )
    return _rfpcore.solve_bilevel(
        _rfpcore.BilevelData(*arrays, *extra),
        settings,
        np.array([rates for rates, _, _ in runs]),
        [seed for _, seed, _ in runs],
        np.concatenate([rows for _, _, rows in runs]),
        np.cumsum([0] + [len(rows) for _, _, rows in runs]),
        tuple(np.array([start.ravel()] * len(runs), dtype) for start in starts),
        n_threads,
    )


def tensors(data):
    return reference.Data(*map(torch.tensor, data))


@pytest.mark.parametrize("terms", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_every_step_is_the_slides(name, terms):
    """After one outer step and after several; all three networks."""
    data, rows, starts = problem(terms=terms)
    for outer_steps in (1, 4):
        options = CASES[name]._replace(outer_steps=outer_steps)
        expected = reference.solve(tensors(data), rows, RATES, 11, list(map(torch.tensor, starts)), options)
        records, structural, first, twin, halvings = kernel(data, [(RATES, 11, rows)], starts, options)[0]
        assert halvings == 0
        for found, wanted in zip((structural[-1], first, twin), expected, strict=True):
            # Tens of steps in float64, each of some hundred roundings.
            assert_allclose(found, wanted.ravel(), rtol=1e-10, atol=1e-10)
        assert records[-1, 0] == outer_steps


def test_float32_follows_float64():
    data, rows, starts = problem()
    options = CASES["slides, full batch"]
    wide, narrow = (
        kernel(data, [(RATES, 11, rows)], starts, options, dtype)[0] for dtype in (np.float64, np.float32)
    )
    assert narrow[1].dtype == np.float32
    assert_allclose(narrow[1], wide[1], rtol=1e-4, atol=1e-4)  # single precision over a dozen steps


def test_records_are_the_losses():
    data, rows, starts = problem(terms=2)
    options = reference.Options(outer_steps=4)
    records, structural, first, twin, _ = kernel(data, [(RATES, 11, rows)], starts, options)[0]
    assert_array_equal(records[:, 0], [2, 4])
    part = reference.batch(tensors(data), rows, 0, "", 0, options)
    x, z, twin = (
        torch.tensor(particles).reshape(start.shape)
        for particles, start in zip((structural[-1], first, twin), starts, strict=True)
    )
    expected = [
        *(reference.first_stage(part, x, net, RATES.zeta1, options) for net in (z, twin)),
        *(reference.second_stage(part, x, net, RATES.zeta2, options) for net in (z, twin)),
    ]
    assert_allclose(records[-1, 1:], expected, rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_wasserstein_gradients_are_differences(activation):
    """The definition: the slope of F₁, F₂ and the Lagrangian along any displacement of the particles."""
    data, _, starts = problem(n=30)
    options = reference.Options(activation=activation)
    part = tensors(data)._replace(weights=torch.ones(30, dtype=torch.float64))
    x, z, twin = map(torch.tensor, starts)
    zeta, lam, n = 0.05, 1.7, 30
    t, y = reference.structural_target(part, x, options), part.y
    h_z, h_twin = (reference.h(part.z, net, options) for net in (z, twin))
    nets = [MeanField(width, 9, activation) for width in (2, 3)]

    def gradient(net, particles, points, residual, decay):
        points = points.reshape(-1, net.n_inputs).numpy()
        data_part = net.gradient(particles.numpy().ravel(), points, (residual / n).numpy())
        return data_part.reshape(particles.shape) + decay * particles.numpy()

    def lagrangian(particles):
        gap = reference.first_stage(part, particles, twin, zeta, options) - reference.first_stage(
            part, particles, z, zeta, options
        )
        return reference.second_stage(part, particles, twin, zeta, options) + lam * gap

    pull = lam * (h_twin - t) + h_twin - y
    cases = [
        (
            lambda p: reference.first_stage(part, x, p, zeta, options),
            z,
            gradient(nets[1], z, part.z, h_z - t, zeta),
        ),
        (
            lambda p: reference.second_stage(part, x, p, zeta, options),
            twin,
            gradient(nets[1], twin, part.z, h_twin - y, 0),
        ),
        (
            lambda p: (
                reference.second_stage(part, x, p, zeta, options)
                + lam * reference.first_stage(part, x, p, zeta, options)
            ),
            twin,
            gradient(nets[1], twin, part.z, pull, lam * zeta),
        ),
        (lagrangian, x, gradient(nets[0], x, part.x, lam * (h_z - h_twin), zeta)),
    ]
    random = np.random.default_rng(1)
    for functional, particles, found in cases:
        direction = torch.tensor(random.standard_normal(particles.shape))
        step = 1e-6
        slope = (functional(particles + step * direction) - functional(particles - step * direction)) / (
            2 * step
        )
        # The inner product in L²(μ) is a mean over the particles. Differences err by step² and 1e-16 / step.
        assert_allclose((found * direction.numpy()).sum(axis=0).mean(), float(slope), rtol=1e-7, atol=1e-8)


def test_without_noise_the_seed_does_not_matter():
    data, rows, starts = problem()
    still = RATES._replace(sigma1=0.0, sigma2=0.0)
    runs = [(still, seed, rows) for seed in (1, 2)]
    one, other = kernel(data, runs, starts, reference.Options())
    assert_array_equal(one[1], other[1])
    noisy = [(RATES, seed, rows) for seed in (1, 2)]
    one, other = kernel(data, noisy, starts, reference.Options())
    assert (one[1] != other[1]).any()


def test_a_penalty_alone_shrinks_geometrically():
    """Where h and y are 0 only the penalty acts: closed form (1 - step * zeta)^steps."""
    data, rows, starts = problem()
    silent = [start.copy() for start in starts]
    for start in silent:
        start[-1] = 0  # w2 = 0: h = 0 everywhere, and with w2 = 0 nothing reaches w1 and b
    data = (*data[:3], np.zeros(70), data[4])
    still = RATES._replace(sigma1=0.0, sigma2=0.0)
    options = reference.Options(outer_steps=5, inner_steps=2)
    _, structural, first, twin, _ = kernel(data, [(still, 0, rows)], silent, options)[0]
    shrunk = [
        (structural[-1], (1 - still.gamma * still.zeta2) ** 5),
        (first, (1 - still.alpha * still.zeta1) ** 10),
        (twin, (1 - still.beta * still.lam * still.zeta1) ** 10),
    ]
    for (found, factor), start in zip(shrunk, silent, strict=True):
        assert_allclose(found, factor * start.ravel(), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_threads", [2, 5, 0])
def test_same_bits_for_any_number_of_threads(dtype, n_threads):
    data, rows, starts = problem()
    runs = [(RATES._replace(lam=lam), seed, rows[: 40 + seed]) for seed, lam in enumerate((0.1, 1, 10, 3))]
    options = reference.Options(batch_size=8, outer_steps=30)
    one, many = (kernel(data, runs, starts, options, dtype, n) for n in (1, n_threads))
    for path, again in zip(one, many, strict=True):
        for part, other in zip(path, again, strict=True):
            assert_array_equal(part, other)


def test_a_run_does_not_depend_on_its_neighbours():
    data, rows, starts = problem()
    runs = [(RATES, 1, rows), (RATES._replace(lam=9.0), 2, rows[:20])]
    both = kernel(data, runs, starts, reference.Options())
    alone = kernel(data, runs[1:], starts, reference.Options())
    assert_array_equal(both[1][1], alone[0][1])
