"""The mean gradient over masks: against all masks, and against the drawn ones written out in torch."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore
from rfpcore import _rfpcore
from rfpcore.regularize import Dropout

torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")
from rfpcore.torch_reference import ACTIVATIONS, ROW_LOSSES  # noqa: E402


def problem(hidden=(3,), n_rows=7, n_inputs=2, n_outputs=1, activation="tanh", **options):
    random = np.random.default_rng(len(hidden))
    net = rfpcore.MLP(n_inputs, hidden, n_outputs, activation)
    theta = net.init(0) + 0.3 * random.standard_normal(net.n_parameters)
    X, y = random.standard_normal((n_rows, n_inputs)), random.standard_normal((n_rows, n_outputs))
    return net, theta, rfpcore.Clusters(X, y, np.arange(n_rows) % 3, **options)


def shares(data):
    """Each row's weight in the mean loss."""
    cluster = np.repeat(np.arange(data.n_clusters), data.sizes)
    weights = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight
    within = weights / np.bincount(cluster, weights)[cluster]
    of_cluster = data.sizes if data.cluster_weight is None else np.asarray(data.cluster_weight)
    return within * of_cluster[cluster] / of_cluster.sum()


def masked_gradient(net, theta, data, masks, input_mask, loss="squared"):
    """The gradient with given masks, arrays (rows or 1, width)."""
    at = torch.tensor(theta, requires_grad=True)
    h, start = torch.tensor(data.X * input_mask), 0
    for layer, (n_in, n_out) in enumerate(net.layer_shapes):
        if layer > 0:
            h = ACTIVATIONS[net.activation](h) * torch.tensor(masks[layer - 1])
        W, start = at[start : start + n_in * n_out].reshape(n_in, n_out), start + n_in * n_out
        h, start = h @ W + at[start : start + n_out], start + n_out
    (torch.tensor(shares(data)) * ROW_LOSSES[loss](h, torch.tensor(data.y))).sum().backward()
    return at.grad.numpy()


def lines(rate, width):
    """Every mask of one row, with its probability."""
    for kept in itertools.product([0, 1], repeat=width):
        yield np.array([kept]) / (1 - rate), np.prod(np.where(kept, 1 - rate, rate))


@pytest.mark.parametrize(("hidden", "rate", "inputs"), [((), 0.0, 0.3), ((3,), 0.4, 0.0), ((2,), 0.3, 0.2)])
def test_all_masks(hidden, rate, inputs):
    """The mean over every mask of a row is that over the rows' masks, which are independent of each other."""
    net, theta, data = problem(hidden)
    expected = 0.0
    for (mask, p), (on_inputs, q) in itertools.product(lines(rate, sum(hidden)), lines(inputs, 2)):
        expected += p * q * masked_gradient(net, theta, data, [mask], on_inputs)
    draws = 4000
    mean, error = rfpcore.dropout_gradient(net, theta, data, rate, draws, random_state=1, inputs=inputs)
    assert (error > 0).all()
    assert (np.abs(mean - expected) < 4 * error).all()
    # Root-mean-square z near 1: the standard error is neither too small nor too large.
    runs = [
        rfpcore.dropout_gradient(net, theta, data, rate, 50, random_state=s, inputs=inputs)
        for s in range(200)
    ]
    z = np.array([(m - expected) / e for m, e in runs])
    assert 0.8 < np.sqrt((z**2).mean()) < 1.3


def drawn_masks(net, rate, inputs, seed, n_rows, step):
    """The masks of a step, as training would draw them."""
    terms = Dropout(rate, "row", inputs)
    model = rfpcore.Model(
        net.hidden_layer_sizes, net.activation, regularization=terms, batch_size=None, seed=seed
    )
    drawn = _rfpcore.draws(model.kernel(net), n_rows, step)
    widths = net.hidden_layer_sizes
    masks = [np.reshape(mask, (n_rows, width)) for mask, width in zip(drawn["masks"], widths, strict=True)]
    return masks, np.reshape(drawn["input_mask"], (n_rows, -1)) if inputs else 1.0


CASES = {
    "plain": {},
    "weighted": {"sample_weight": np.linspace(0.5, 2, 31), "cluster_weight": [1.0, 0.5, 2.0]},
    "query": {"query": np.arange(31) % 4 == 0},
}


@pytest.mark.parametrize("inputs", [0.0, 0.25])
@pytest.mark.parametrize("case", CASES)
def test_drawn_masks_in_torch(case, inputs):
    net, theta, data = problem((5, 4), 31, 3, 2, "softplus", **CASES[case])
    rates = (0.5, 0.2)
    each = [
        masked_gradient(net, theta, data, *drawn_masks(net, rates, inputs, 9, 31, draw), loss="huber")
        for draw in range(6)
    ]
    mean, error = rfpcore.dropout_gradient(net, theta, data, rates, 6, "huber", 9, inputs)
    assert_allclose(mean, np.mean(each, 0), rtol=1e-11, atol=1e-13)
    assert_allclose(error, np.std(each, 0, ddof=1) / np.sqrt(6), rtol=1e-9, atol=1e-13)


def test_many_rows_go_through_in_parts():
    net, theta, data = problem((6,), 1100)
    parts = [512, 512, 76]
    each = []
    for draw in range(3):
        masks = [drawn_masks(net, 0.3, 0.1, 2, n, 3 * draw + i) for i, n in enumerate(parts)]
        hidden, inputs = np.concatenate([m[0] for m, _ in masks]), np.concatenate([i for _, i in masks])
        each.append(masked_gradient(net, theta, data, [hidden], inputs))
    mean, error = rfpcore.dropout_gradient(net, theta, data, 0.3, 3, random_state=2, inputs=0.1)
    assert_allclose(mean, np.mean(each, 0), rtol=1e-11, atol=1e-13)
    assert_allclose(error, np.std(each, 0, ddof=1) / np.sqrt(3), rtol=1e-9, atol=1e-13)


def test_same_bits_on_any_threads_and_single_precision_follows():
    net, theta, data = problem((32, 16), 600)
    one = rfpcore.dropout_gradient(net, theta, data, 0.5, 50, random_state=0, n_jobs=1)
    for n_jobs in (2, 3):
        for found, same in zip(
            rfpcore.dropout_gradient(net, theta, data, 0.5, 50, random_state=0, n_jobs=n_jobs),
            one,
            strict=True,
        ):
            assert_array_equal(found, same)
    single = rfpcore.dropout_gradient(net, theta.astype(np.float32), data, 0.5, 50, random_state=0)
    for found, same in zip(single, one, strict=True):
        assert found.dtype == np.float32
        assert np.linalg.norm(found - same) < 1e-5 * np.linalg.norm(same)
    other = rfpcore.dropout_gradient(net, theta, data, 0.5, 50, random_state=1)
    assert not np.allclose(other[0], one[0])


def test_no_dropout_is_the_gradient():
    net, theta, data = problem()
    mean, error = rfpcore.dropout_gradient(net, theta, data, 0.0, 3)
    assert_allclose(mean, rfpcore.gradient(net, theta, data), rtol=1e-12)
    assert_array_equal(error, 0.0)


def test_any_source_of_seeds():
    net, theta, data = problem()
    mean = rfpcore.dropout_gradient(net, theta, data, 0.5, 3, random_state=np.random.default_rng(3))[0]
    same = rfpcore.dropout_gradient(net, theta, data, 0.5, 3, random_state=np.random.default_rng(3))[0]
    assert_array_equal(mean, same)
    assert not np.allclose(mean, rfpcore.dropout_gradient(net, theta, data, 0.5, 3)[0])


MISUSE = {
    "rate": ({"rate": 1.0}, r"rate=1\.0; a number in \[0, 1\)"),
    "rates": ({"rate": (0.1, 0.1)}, "Dropout has 2 rates; the network has 1 hidden layers"),
    "inputs": ({"inputs": -0.1}, r"inputs=-0\.1; a number in \[0, 1\)"),
    "draws": ({"n_draws": 1}, "n_draws=1 is too small; at least 2"),
    "theta": ({"theta": np.zeros(3)}, r"theta has shape \(3,\)"),
    "large": ({"theta": np.full(13, 1e200)}, "the gradient is not finite"),
    "linear": (
        {"net": rfpcore.MLP(2, ()), "theta": np.zeros(3)},
        r"rate=0\.2, but the network has no hidden layers; `inputs` drops",
    ),
}


@pytest.mark.parametrize("case", MISUSE)
def test_own_words(case):
    options, message = MISUSE[case]
    net, theta, data = problem()
    with pytest.raises(ValueError, match=message):
        rfpcore.dropout_gradient(**{"net": net, "theta": theta, "data": data, "rate": 0.2, **options})
