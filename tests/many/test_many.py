"""What `fit_many` promises besides the right numbers: the same bits, records, stopping, status."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore
from rfpcore.many import SCORES, ManyResult, Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam
from rfpcore.regularize import (
    BatchNorm,
    Dropout,
    EarlyStopping,
    InputNoise,
    LabelSmoothing,
    Mixup,
    Shifts,
)

random = np.random.default_rng(8)
X = random.normal(size=(80, 4))
Y = np.sin(X[:, 0]) + 0.3 * X[:, 1]
CLASSES = (X[:, 0] * X[:, 1] > 0).astype(int)
HELD_OUT = random.normal(size=(50, 4))
HELD_OUT_CLASSES = (HELD_OUT[:, 0] * HELD_OUT[:, 1] > 0).astype(int)


def model(**options):
    return Model(**({"hidden_layer_sizes": (8, 8), "optimizer": SGD(0.05), "n_steps": 40} | options))


def zoo(**options):
    """Models of every kind, unlike in size and length."""
    terms = [None, Dropout(0.3), BatchNorm(), InputNoise(0.1) + Mixup(0.5), Shifts((2, 2), (-1, 1))]
    return [
        model(hidden_layer_sizes=(5 + i % 7,), n_steps=20 + 7 * i, seed=i // 2, regularization=terms[i % 5])
        for i in range(12)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_in_any_company(dtype):
    models = zoo()
    rows = [random.integers(0, 80, 30 + i) for i in range(len(models))]
    weights = random.random((len(models), 80))
    options = {"row_weights": weights, "record": Record(every=10), "dtype": dtype, "held_out": (X[:9], Y[:9])}
    found = {n: fit_many(X, Y, models, rows=rows, n_jobs=n, **options) for n in (1, 2, 5)}
    turned = fit_many(X, Y, models[::-1], rows=rows[::-1], **(options | {"row_weights": weights[::-1]}))
    for i, one in enumerate(models):
        alone = fit_many(X, Y, one, rows=rows[i], **(options | {"row_weights": weights[i]}))[0]
        for other in (found[1][i], found[2][i], found[5][i], turned[len(models) - 1 - i]):
            for name in ("theta", "batch_norm", "loss_curve", "train_losses", "held_out_losses"):
                assert_array_equal(getattr(other, name), getattr(alone, name))


def test_repeated_seeds_repeat():
    result = fit_many(X, Y, [model(seed=4), model(seed=4), model(seed=5)])
    assert_array_equal(result.thetas[0], result.thetas[1])
    assert not np.allclose(result.thetas[0], result.thetas[2])


def test_zero_weight_is_absence():
    kept = random.random(80) < 0.5
    by_weight = fit_many(X, Y, model(), row_weights=kept.astype(float))
    by_rows = fit_many(X, Y, model(), rows=np.flatnonzero(kept))
    assert_array_equal(by_weight.thetas, by_rows.thetas)
    assert_array_equal(
        fit_many(X, Y, model(), row_weights=np.full(80, 3.0)).thetas, fit_many(X, Y, model()).thetas
    )


def test_initial_parameters():
    one = model(n_steps=3)
    net = one.net(4, 1)
    first = net.init(one.seed)
    record = Record(steps=[0], thetas=True)
    assert_array_equal(fit_many(X, Y, one, record=record).recorded_thetas[0][0], first)
    other = random.normal(size=net.n_parameters)
    for theta in (other, other[None], [other]):
        assert_array_equal(fit_many(X, Y, one, theta=theta, record=record).recorded_thetas[0][0], other)
    with pytest.raises(ValueError, match=r"theta has 1 vectors; there are 2 models"):
        fit_many(X, Y, [one, one], theta=[other])
    with pytest.raises(ValueError, match=rf"theta\[0\] has shape \(3,\); the network has {net.n_parameters}"):
        fit_many(X, Y, one, theta=np.zeros(3))


def test_batches_cover_an_epoch():
    one = model(batch_size=32)
    kernel = one.kernel(one.net(4, 1))
    for epoch in range(3):
        batches = [rfpcore._rfpcore.draws(kernel, 80, 3 * epoch + i)["rows"] for i in range(3)]
        assert [len(batch) for batch in batches] == [32, 32, 16]  # the last has what is left
        assert_array_equal(np.sort(np.concatenate(batches)), np.arange(80))
    drawn = model(batch_size=32, replacement=True)
    batches = [rfpcore._rfpcore.draws(drawn.kernel(drawn.net(4, 1)), 80, i)["rows"] for i in range(400)]
    assert {len(batch) for batch in batches} == {32}
    # 12800 draws of 80 rows: counts of mean 160 and variance about 158, within five standard deviations.
    counts = np.bincount(np.concatenate(batches), minlength=80)
    assert np.abs(counts - 160).max() < 5 * np.sqrt(158)
    assert any(len(set(batch)) < 32 for batch in batches)


def test_a_batch_larger_than_the_rows_is_all_rows():
    whole, large = (fit_many(X, Y, model(batch_size=size)) for size in (None, 1000))
    assert_array_equal(whole.thetas, large.thetas)


@pytest.mark.parametrize(("options", "steps"), [({"n_epochs": 4}, 12), ({"n_steps": 7}, 7), ({}, 300)])
def test_length(options, steps):
    one = Model((3,), optimizer=SGD(0.01), **options)
    assert one.steps_for(80) == steps == fit_many(X, Y, one).n_steps[0]
    assert one.kernel(one.net(4, 1)).steps_for(80) == steps


def test_recording_changes_nothing():
    one = model(regularization=Dropout(0.3), loss="softmax")
    plain = fit_many(X, CLASSES, one)
    record = Record(every=7, thetas=True, gradients=True)
    watched = fit_many(X, CLASSES, one, record=record, held_out=(HELD_OUT, HELD_OUT_CLASSES))
    assert_array_equal(plain.thetas, watched.thetas)
    assert_array_equal(watched.steps[0], [0, 7, 14, 21, 28, 35, 40])
    assert plain.steps.shape == (1, 0)


def test_records_are_of_the_bare_loss():
    """Losses, accuracies and gradients at recorded parameters, beside the functions for one cluster."""
    one = model(regularization=LabelSmoothing(0.2) + Dropout(0.3), loss="softmax", batch_size=16)
    weights = random.random(80)
    rows = random.integers(0, 80, 700)  # more than go through the passes at once
    record = Record(steps=[0, 3, 40, 99], thetas=True, gradients=True)
    result = fit_many(
        X, CLASSES, one, rows=rows, row_weights=weights, record=record, held_out=(HELD_OUT, HELD_OUT_CLASSES)
    )
    found, net = result[0], one.net(4, 2)
    assert_array_equal(found.steps, [0, 3, 40])  # 99 is not reached
    data = rfpcore.Clusters(X[rows], CLASSES[rows], sample_weight=weights[rows])
    held_out = rfpcore.Clusters(HELD_OUT, HELD_OUT_CLASSES)
    for i, theta in enumerate(found.thetas):
        value, gradient = rfpcore.value_and_grad(net, theta, data, 1.0, 0, 0.1, loss="softmax")
        assert_allclose(found.train_losses[i], value, rtol=1e-12)
        assert_allclose(found.gradients[i], gradient, atol=1e-12)
        value = rfpcore.value_and_grad(net, theta, held_out, 1.0, 0, 0.1, loss="softmax")[0]
        assert_allclose(found.held_out_losses[i], value, rtol=1e-12)
        right = net.predict(theta, X).argmax(1) == CLASSES
        assert_allclose(found.train_accuracies[i], np.average(right[rows], weights=weights[rows]), rtol=1e-12)
        right = net.predict(theta, HELD_OUT).argmax(1) == HELD_OUT_CLASSES
        assert_allclose(found.held_out_accuracies[i], right.mean(), rtol=1e-12)


def test_accuracies_of_other_losses():
    y = np.column_stack([CLASSES, 1 - CLASSES])
    record = Record(steps=[40])
    found = fit_many(X, y, model(loss="logistic"), record=record)
    right = ((found.predict(X)[0] > 0) == (y > 0)).all(1)
    assert_allclose(found.train_accuracies[0], right.mean(), rtol=1e-12)
    assert np.isnan(fit_many(X, Y, model(), record=record).train_accuracies).all()


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_accuracies_of_one_hot_targets(loss):
    """The largest output counts, as for class codes; targets that are no classes have none."""
    one_hot = np.eye(3)[np.random.default_rng(1).integers(3, size=len(X))]
    record = Record(steps=[40])
    found = fit_many(X, one_hot, model(loss=loss), record=record)
    right = found.predict(X)[0].argmax(1) == one_hot.argmax(1)
    assert 0 < right.mean() < 1
    assert_allclose(found.train_accuracies[0], right.mean(), rtol=1e-12)
    soft = 0.9 * one_hot + 0.1 / 3
    found = fit_many(X, soft, model(loss=loss), record=record, held_out=(X, soft), test=(X[:9], one_hot[:9]))
    assert np.isnan(found.train_accuracies).all()
    assert np.isnan(found.held_out_accuracies).all()
    assert_allclose(
        found.test_accuracies[0], (found.predict(X[:9])[0].argmax(1) == one_hot[:9].argmax(1)).mean()
    )
    two = np.column_stack([np.ones(len(X)), np.ones(len(X))])
    if loss == "squared":
        assert np.isnan(fit_many(X, two, model(), record=record).train_accuracies).all()


def test_one_column_of_ones_is_no_class():
    assert np.isnan(fit_many(X, np.ones(len(X)), model(), record=Record(every=20)).train_accuracies).all()


def test_each_model_has_held_out_and_test_rows_of_its_own():
    """What is measured is the mean over the rows that are listed, repeated ones as often."""
    stopping = EarlyStopping(patience=2, every=4)
    models = [model(loss="softmax", regularization=stopping, n_steps=60, seed=seed) for seed in (0, 1)]
    draw = np.random.default_rng(2).integers
    own = {name: [draw(len(X), size=n) for n in (30, 17)] for name in ("held_out_rows", "test_rows")}
    measured = {"held_out": (X, CLASSES), "test": (X, CLASSES)}
    record = Record(every=4, thetas=True)
    found = fit_many(X, CLASSES, models, record=record, n_outputs=2, **measured, **own)
    for i, one in enumerate(found):
        rows = {name: own[f"{name}_rows"][i] for name in measured}
        alone = {name: (X[part], CLASSES[part]) for name, part in rows.items()}
        direct = fit_many(X, CLASSES, models[i], record=record, n_outputs=2, **alone)[0]
        for name in ("theta", "validation_losses", *SCORES):
            assert_array_equal(getattr(one, name), getattr(direct, name))
        tested = rows["test"]
        for theta, loss, accuracy in zip(one.thetas, one.test_losses, one.test_accuracies, strict=True):
            outputs = one.net.predict(theta, X[tested])
            log_shares = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
            picked = log_shares[np.arange(len(tested)), CLASSES[tested]]
            assert_allclose(loss, -picked.mean(), rtol=1e-10)
            assert_allclose(accuracy, (outputs.argmax(1) == CLASSES[tested]).mean(), rtol=1e-12)
    own_test = own.pop("test_rows")
    untested = fit_many(X, CLASSES, models, record=record, n_outputs=2, held_out=(X, CLASSES), **own)
    assert_array_equal(untested[1].theta, found[1].theta)  # test rows change nothing
    assert untested.test_losses.shape == (2, 0)
    shared = fit_many(X, CLASSES, models, record=record, n_outputs=2, **measured, test_rows=own_test[0])
    assert_array_equal(shared[0].test_losses[:1], found[0].test_losses[:1])


def test_labels_drawn_anew_for_each_seed():
    """X and y of all seeds one below the other, and rows that point into them."""
    flipped = [
        np.where(np.random.default_rng(s).random(len(X)) < 0.2, 1 - CLASSES, CLASSES) for s in range(2)
    ]
    models = [model(loss="softmax", seed=seed) for seed in range(2)]
    rows = [np.arange(len(X)) + seed * len(X) for seed in range(2)]
    both = fit_many(np.tile(X, (2, 1)), np.concatenate(flipped), models, rows=rows)
    for seed in range(2):
        assert_array_equal(both[seed].theta, fit_many(X, flipped[seed], models[seed])[0].theta)


def test_early_stopping_keeps_the_best():
    stopping = EarlyStopping(patience=5, every=4)
    noisy = np.where(random.random(80) < 0.3, 1 - CLASSES, CLASSES)
    options = {"loss": "softmax", "optimizer": Adam(0.03), "n_steps": 2000}
    record = Record(every=4, thetas=True)
    held_out = (HELD_OUT, HELD_OUT_CLASSES)
    result = fit_many(X, noisy, model(regularization=stopping, **options), record=record, held_out=held_out)
    found = result[0]
    assert result.stopped[0]
    assert found.status == "stopped"
    losses = found.validation_losses
    best = int(losses.argmin())
    assert found.best_step == 4 * (best + 1) < found.n_steps == 4 * len(losses) < 2000
    assert len(losses) == best + 1 + 5
    assert_allclose(losses, found.held_out_losses[1:], rtol=1e-14)
    assert_array_equal(found.theta, found.thetas[best + 1])
    # Without stopping the same steps are taken.
    free = fit_many(X, noisy, model(**options), record=record, held_out=held_out)[0]
    assert_array_equal(found.train_losses, free.train_losses[: len(found.train_losses)])
    assert free.status == "finished"
    assert free.best_step == 2000


def test_early_stopping_by_the_last_step_and_min_delta():
    held_out = (HELD_OUT, HELD_OUT_CLASSES)
    options = {"loss": "softmax", "n_steps": 10}
    result = fit_many(
        X, CLASSES, model(regularization=EarlyStopping(3, every=4), **options), held_out=held_out
    )
    assert len(result.validation_losses[0]) == 3  # after 4, 8 and 10 steps
    assert not result.stopped[0]
    greedy = EarlyStopping(3, every=1, min_delta=100.0)  # only the first is a gain
    found = fit_many(X, CLASSES, model(regularization=greedy, **options), held_out=held_out)[0]
    assert (found.status, found.n_steps) == ("stopped", 4)


def test_early_stopping_with_batch_norm():
    terms = BatchNorm() + EarlyStopping(patience=3, every=5)
    held_out = (HELD_OUT, HELD_OUT_CLASSES)
    options = {"loss": "softmax", "optimizer": Adam(0.05), "n_steps": 1000}
    result = fit_many(X, CLASSES, model(regularization=terms, **options), held_out=held_out)
    found = result[0]
    assert found.status == "stopped"
    outputs = found.predict(HELD_OUT)
    shifted = outputs - outputs.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(50), HELD_OUT_CLASSES]
    assert_allclose(losses.mean(), found.validation_losses.min(), rtol=1e-12)


def test_divergence_is_a_status():
    models = [model(), model(optimizer=SGD(1e6), activation="relu"), model(seed=1)]
    with pytest.warns(
        rfpcore.DivergenceWarning, match=r"1 of 3 models diverged; the first is model 1, at step"
    ):
        result = fit_many(X, Y, models)
    assert list(result.status) == ["finished", "diverged", "finished"]
    assert result[1].n_steps < 40
    assert not np.isfinite(result[1].diverged_loss)
    assert_array_equal(result.thetas[0], fit_many(X, Y, models[0]).thetas[0])
    assert repr(result) == "ManyResult(3 models: 1 diverged, 2 finished)"


def test_divergence_after_early_stopping_has_seen_better():
    terms = EarlyStopping(patience=100, every=1)
    one = model(optimizer=SGD(1e3), activation="relu", n_steps=400, regularization=terms)
    with pytest.warns(rfpcore.DivergenceWarning):
        found = fit_many(X, Y, one, held_out=(X, Y))[0]
    assert found.status == "diverged"
    assert np.isfinite(found.theta).all()
    assert found.best_step < found.n_steps


def test_monte_carlo_dropout():
    one = model(regularization=Dropout((0.5, 0.2)), hidden_layer_sizes=(40, 40), activation="relu")
    result = fit_many(X, Y, [one, model(seed=1, regularization=Dropout(0.5), hidden_layer_sizes=(40, 40))])
    draws = result.predict(X, dropout_samples=7)
    assert draws.shape == (2, 7, 80, 1)
    assert_array_equal(draws, result.predict(X, dropout_samples=7))
    assert not np.allclose(draws, result.predict(X, dropout_samples=7, seed=99))
    assert_array_equal(draws[0], result[0].predict(X, dropout_samples=7))
    # Each draw is one network: with the masks written out.
    masks = rfpcore._rfpcore.dropout_mask((40, 40), (0.5, 0.2), 0, 3)
    assert set(masks[0]) == {0.0, 2.0}
    assert set(masks[1]) == {0.0, 1.25}
    h = X
    for (W, b), mask in zip(result[0].net.unflatten(result.thetas[0])[:-1], masks, strict=True):
        h = np.maximum(h @ W + b, 0) * mask
    W, b = result[0].net.unflatten(result.thetas[0])[-1]
    assert_allclose(draws[0, 3], h @ W + b, rtol=1e-12)
    # Masks keep the mean: 4000 draws of units of mean 1 and variance 1 at rate 1/2.
    kept = np.stack([rfpcore._rfpcore.dropout_mask((40,), (0.5,), 5, i)[0] for i in range(100)])
    assert abs(kept.mean() - 1) < 5 / np.sqrt(4000)
    # Inputs have a stream of their own: the hidden layers' masks stay.
    inputs = rfpcore._rfpcore.input_mask(X.shape[1], 0.4, 0, 3)
    assert set(inputs) <= {0.0, 1 / 0.6}
    one = model(
        regularization=Dropout((0.5, 0.2), inputs=0.4), hidden_layer_sizes=(40, 40), activation="relu"
    )
    found = fit_many(X, Y, one)[0]
    (W, b), *_ = found.net.unflatten(found.theta)
    h = np.maximum((X * inputs) @ W + b, 0) * masks[0]
    for (W, b), mask in zip(found.net.unflatten(found.theta)[1:], [masks[1], None], strict=True):
        h = h @ W + b if mask is None else np.maximum(h @ W + b, 0) * mask
    assert_allclose(found.predict(X, dropout_samples=4)[3], h, rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="dropout_samples needs a model with Dropout"):
        fit_many(X, Y, model()).predict(X, dropout_samples=2)


@pytest.mark.parametrize("mask", ["batch", "row"])
def test_dropping_inputs_leaves_other_draws_alone(mask):
    one, other = (model(regularization=Dropout(0.3, mask, p) + InputNoise(0.1)) for p in (0.0, 0.5))
    draws = [rfpcore._rfpcore.draws(m.kernel(m.net(X.shape[1], 1)), 80, 2) for m in (one, other)]
    assert_array_equal(draws[0]["masks"][0], draws[1]["masks"][0])
    assert_array_equal(draws[0]["noise"], draws[1]["noise"])
    assert len(draws[0]["input_mask"]) == 0
    assert len(draws[1]["input_mask"]) == X.shape[1] * (len(draws[1]["rows"]) if mask == "row" else 1)


def test_on_finished_sees_every_model_once():
    seen = {}

    def keep(index, result):
        assert index not in seen
        seen[index] = result.theta.copy()

    result = fit_many(X, Y, zoo(), on_finished=keep, n_jobs=2)
    assert sorted(seen) == list(range(12))
    for index, theta in seen.items():
        assert_array_equal(theta, result[index].theta)


def test_an_error_of_the_callback_stops_and_is_passed_on():
    seen = []

    def fail(index, result):
        seen.append(index)
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        fit_many(X, Y, [model(n_steps=3000, seed=i) for i in range(50)], on_finished=fail, n_jobs=1)
    assert len(seen) == 1


def test_stacking_and_frames():
    models = [model(hidden_layer_sizes=(3,)), model(hidden_layer_sizes=(4,), n_steps=20, seed=7)]
    result = fit_many(X, Y, models, record=Record(every=20), held_out=(X[:9], Y[:9]))
    assert isinstance(result.thetas, list)
    assert_array_equal(result.steps, [[0, 20, 40], [0, 20, -1]])
    assert np.isnan(result.train_losses[1, 2])
    assert result.loss_curves.shape == (2, 14)  # 3 batches of 32: 40 steps are 13 epochs and a third
    assert np.isnan(result.loss_curves[1, 7])
    frame = result.to_frame()
    scores = ["train_losses", "held_out_losses", "train_accuracies", "held_out_accuracies"]
    assert list(frame.columns) == ["model", "seed", "step", *scores, "status"]
    tested = fit_many(X, Y, models, record=Record(every=20), test=(X[:9], Y[:9])).to_frame()
    assert_array_equal(tested["test_losses"], frame["held_out_losses"])
    assert list(frame["step"]) == [0, 20, 40, 0, 20]
    assert list(frame["seed"]) == [0, 0, 0, 7, 7]
    assert_array_equal(frame["train_losses"], result.train_losses[result.steps >= 0])
    bare = fit_many(X, Y, models).to_frame()
    assert list(bare.columns) == ["model", "seed", "step", "loss", "status"]
    assert len(bare) == 2
    assert [one.model for one in result] == models
    assert isinstance(pickle.loads(pickle.dumps(result)), ManyResult)


def test_specifications_are_values():
    one = model(regularization=[Dropout(0.1)])
    assert one == model(regularization=Dropout(0.1))
    assert hash(one) == hash(model(regularization=Dropout(0.1)))
    assert one != model()
    assert pickle.loads(pickle.dumps(one)) == one
