"""`fit_many(batches=...)`: the rows of each step, given instead of drawn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam
from rfpcore.regularize import BatchNorm, Dropout, InputNoise, Mixup

random = np.random.default_rng(4)
X = random.normal(size=(45, 3))
Y = np.sin(X[:, 0]) + 0.3 * X[:, 1]


def model(**options):
    return Model(**({"hidden_layer_sizes": (6, 5), "optimizer": SGD(0.1), "batch_size": 10} | options))


def drawn(one, n_steps, n_rows=45):
    kernel = one.kernel(one.net(3, 1))
    return [rfpcore._rfpcore.draws(kernel, n_rows, step)["rows"] for step in range(n_steps)]


TERMS = [None, Dropout(0.3, mask="row"), BatchNorm(), Mixup(0.5) + InputNoise(0.1)]


@pytest.mark.parametrize("terms", TERMS, ids=str)
@pytest.mark.parametrize("batch_size", [10, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_default_s_batches_give_the_default_s_bits(terms, batch_size, dtype):
    one = model(regularization=terms, batch_size=batch_size, n_steps=13)
    options = {"dtype": dtype, "record": Record(every=5, gradients=terms is None, intervals=terms is None)}
    default = fit_many(X, Y, one, **options)[0]
    batches = drawn(one, 13)
    given = fit_many(X, Y, one, batches=batches, **options)[0]
    for name in ("theta", "batch_norm", "train_losses", "gradients", "bare_gradients", "applied_gradients"):
        assert_array_equal(getattr(given, name), getattr(default, name))
    assert given.n_steps == 13


def test_with_replacement_s_batches_and_weights():
    weights = np.where(np.arange(45) % 4 == 0, 0.0, random.exponential(size=45))
    left = np.flatnonzero(weights)
    one = model(replacement=True, optimizer=Adam(0.01), n_steps=9)
    default = fit_many(X, Y, one, row_weights=weights)
    batches = [left[positions] for positions in drawn(one, 9, len(left))]
    given = fit_many(X, Y, model(optimizer=Adam(0.01), n_steps=9), row_weights=weights, batches=batches)
    assert_array_equal(given.thetas, default.thetas)


def test_a_reversed_epoch_is_a_loop():
    """The same steps by `value_and_grad`, with batches of unequal lengths and a row that comes twice."""
    batches = [np.arange(9), np.array([20, 9, 44]), np.array([7, 7, 1, 30, 31])][::-1]
    one = model(n_epochs=4)
    found = fit_many(X, Y, one, batches=batches, record=Record(every=3))[0]
    assert found.n_steps == 12
    assert_array_equal(found.steps, [0, 3, 6, 9, 12])
    net = one.net(3, 1)
    theta, losses = net.init(one.seed), []
    for step in range(12):
        rows = batches[step % 3]
        data = rfpcore.Clusters(X[rows], Y[rows])
        loss, gradient = rfpcore.value_and_grad(net, theta, data, 1.0, 0, 0.1)
        theta = theta - 0.1 * gradient
        losses.append(loss)
    assert_allclose(found.theta, theta, rtol=1e-12, atol=1e-14)  # twelve steps' rounding
    assert_allclose(found.loss_curve, np.reshape(losses, (4, 3)).mean(1), rtol=1e-12)
    everything = rfpcore.value_and_grad(net, theta, rfpcore.Clusters(X, Y), 1.0, 0, 0.1)[0]
    assert_allclose(found.train_losses[-1], everything, rtol=1e-12)  # of all rows, in a batch or not


def test_forms():
    """An array is its rows; one level deeper there are batches for each model."""
    one, other = model(n_epochs=2), model(n_epochs=2, seed=1)
    table = random.permutation(45)[:40].reshape(5, 8)
    alike = fit_many(X, Y, [one, other], batches=table)
    for batches in (
        list(table),
        table.tolist(),
        tuple(map(tuple, table)),
        [table, table],
        np.stack([table] * 2),
    ):
        assert_array_equal(fit_many(X, Y, [one, other], batches=batches).thetas, alike.thetas)
    turned = [table, list(table[::-1])]
    each = fit_many(X, Y, [one, other], batches=turned, n_jobs=2)
    assert_array_equal(each.thetas[0], alike.thetas[0])
    assert_array_equal(each.thetas[1], fit_many(X, Y, other, batches=table[::-1]).thetas[0])
    unequal = fit_many(X, Y, [one, other], batches=[table, [[1, 2], [3]]])
    assert list(unequal.n_steps) == [10, 4]
    assert_array_equal(unequal.thetas[1], fit_many(X, Y, other, batches=[[1, 2], [3]]).thetas[0])
    single = fit_many(X, Y, one, batches=[[[1, 2], [3]]])  # for each of one model
    assert_array_equal(single.thetas, fit_many(X, Y, one, batches=[[1, 2], [3]]).thetas)


WEIGHTS = np.where(np.arange(45) == 7, 0.0, 1.0)


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ([[0, 45]], {}, r"batches\[0\] holds 45; X has 45 rows, so 0 to 44 are possible"),
        ([[0], [3, -1]], {}, r"batches\[1\] holds -1; X has 45 rows"),
        (np.array([[0, 99]]), {}, r"batches holds 99; X has 45 rows"),
        ([[0, 1], []], {}, r"batches\[1\] has shape \(0,\); one dimension with at least one row number"),
        (np.zeros((3, 0), int), {}, r"batches has shape \(3, 0\); batches of at least one row are needed"),
        ([], {}, r"batches is 1 levels deep; 2 are needed, batches of row numbers for all models alike"),
        ([1, 2], {}, r"batches is 1 levels deep"),
        (3, {}, r"batches is 0 levels deep"),
        ("rows", {}, r"batches is 0 levels deep"),
        (np.zeros((1, 1, 1, 1), int), {}, r"batches is 4 levels deep"),
        ([[[0]], [[1]]], {}, r"batches has batches for 2 models; there are 1 models"),
        ([[[0], [50]]], {}, r"batches\[0\]\[1\] holds 50; X has 45 rows"),
        ([[0]], {"rows": [1]}, r"rows and batches both say which rows a model sees; one of them is needed"),
        (
            [[0]],
            {"models": [model(replacement=True)]},
            r"models\[0\] has replacement=True, which draws its batches, and batches gives them",
        ),
        (
            [[1, 2], [3, 7]],
            {"row_weights": WEIGHTS},
            r"batch 1 of model 0 has row 7, whose row_weights is 0; rows of weight 0 are in no batch",
        ),
        (
            [[1, 2], [3]],
            {"models": [model(regularization=BatchNorm())]},
            r"the smallest batch of batch normalization must be at least 2 rows.*, got 1",
        ),
    ],
)
def test_misuse(batches, options, message):
    with pytest.raises(ValueError, match=message):
        fit_many(X, Y, **({"models": model()} | options), batches=batches)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([[0.5]], r"batches\[0\] has dtype float64; integers are needed"),
        (X > 0, r"batches is a boolean mask; row numbers are needed"),
    ],
)
def test_types(batches, message):
    with pytest.raises(TypeError, match=message):
        fit_many(X, Y, model(), batches=batches)
