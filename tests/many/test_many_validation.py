"""Misuse of `fit_many`: an error before any work, with what was given and what is needed."""

import numpy as np
import pytest

from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam, AdamW, Cosine, PowerLaw, Step
from rfpcore.regularize import (
    L1,
    L2,
    BatchNorm,
    ClipNorm,
    Dropout,
    EarlyStopping,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Shifts,
)

X = np.random.default_rng(0).normal(size=(33, 4))
Y = X[:, 0]


def model(**options):
    return Model(**({"hidden_layer_sizes": (3,), "n_steps": 2} | options))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(1.0), r"rate=1\.0; a number in \[0, 1\) is needed"),
        (lambda: Dropout(-0.1), r"rate=-0\.1; a number in \[0, 1\) is needed"),
        (lambda: Dropout(0.1, inputs=1), r"inputs=1\.0; a number in \[0, 1\) is needed"),
        (lambda: Dropout((0.1, 2)), r"rate\[1\]=2\.0; a number in \[0, 1\) is needed"),
        (lambda: LabelSmoothing(1.0), r"epsilon=1\.0; a number in \[0, 1\) is needed"),
        (lambda: LabelSmoothing(-0.1), r"epsilon=-0\.1; a number in \[0, 1\) is needed"),
        (lambda: L1(-1), r"strength=-1\.0; a number of at least 0 is needed"),
        (lambda: L2(-1), r"strength=-1\.0; a number of at least 0 is needed"),
        (lambda: L2(np.nan), r"strength=nan; a number of at least 0 is needed"),
        (lambda: InputNoise(-1), r"scale=-1\.0; a number of at least 0 is needed"),
        (lambda: Mixup(0), r"alpha=0\.0; a positive number is needed"),
        (lambda: ClipNorm(0), r"limit=0\.0; a positive number is needed"),
        (lambda: MaxNorm(-1), r"limit=-1\.0; a positive number is needed"),
        (lambda: EarlyStopping(0), r"patience=0 is too small; at least 1 is needed"),
        (lambda: SGD(0), r"lr=0\.0; a positive number is needed"),
        (lambda: SGD(0.1, momentum=1), r"momentum=1\.0; a number in \[0, 1\) is needed"),
        (lambda: SGD(0.1, nesterov=True), r"nesterov=True needs a momentum above 0, got momentum=0\.0"),
        (lambda: Adam(beta1=1), r"beta1=1\.0; a number in \[0, 1\) is needed"),
        (lambda: Adam(epsilon=0), r"epsilon=0\.0; a positive number is needed"),
        (lambda: AdamW(weight_decay=-1), r"weight_decay=-1\.0; a number of at least 0 is needed"),
        (lambda: Cosine(0), r"steps=0\.0; a positive number is needed"),
        (lambda: Step(10, 0), r"factor=0\.0; a positive number is needed"),
        (lambda: PowerLaw(-1), r"tau=-1\.0; a positive number is needed"),
        (lambda: Record(every=0), r"every=0 is too small; at least 1 is needed"),
        (lambda: Record(every=2, steps=[1]), r"Record needs one of every and steps"),
        (lambda: Record(steps=[-1]), r"steps\[0\]=-1 is too small; at least 0 is needed"),
        (lambda: model(batch_size=0), r"batch_size=0 is too small; at least 1 is needed"),
        (lambda: model(n_steps=0), r"n_steps=0 is too small; at least 1 is needed"),
        (lambda: model(n_epochs=3), r"n_steps=2 and n_epochs=3 say twice how long to train"),
        (lambda: model(seed=-1), r"seed=-1 is too small; at least 0 is needed"),
        (lambda: model(activation="tan"), r"activation='tan' is unknown; one of 'identity'"),
        (lambda: model(loss="l2"), r"loss='l2' is unknown; one of 'squared'"),
        (lambda: model(hidden_layer_sizes=(0,)), r"hidden_layer_sizes\[0\]=0 is too small"),
        (lambda: model(replacement=True, batch_size=None), r"replacement=True with batch_size=None"),
        (lambda: model(regularization=LabelSmoothing(0.1)), r"LabelSmoothing with loss='squared'"),
        (
            lambda: model(regularization=Dropout((0.1, 0.2))),
            r"Dropout has 2 rates; the network has 1 hidden layers",
        ),
        (
            lambda: model(optimizer=AdamW(), regularization=L2(0.1, decoupled=True)),
            r"AdamW\(\) decays with weight_decay=0\.01, and L2\(strength=0\.1, decoupled=True\) is a second",
        ),
    ],
)
def test_specifications(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: model(optimizer="adam"), r"optimizer='adam' is a str; one of Adam, AdamW, SGD is needed"),
        (lambda: SGD(0.1, schedule="cosine"), r"schedule='cosine' is a str; Constant\(\), Cosine"),
        (lambda: model(regularization="l2"), r"regularization='l2' is a str; a term such as L2"),
        (lambda: model(hidden_layer_sizes=3), r"hidden_layer_sizes=3; a sequence of integers is needed"),
        (
            lambda: model(hidden_layer_sizes=np.array(0.5)),
            r"hidden_layer_sizes=.*; a sequence of integers is needed",
        ),
        (lambda: model(batch_size=2.5), r"batch_size=2\.5 is a float; an integer is needed"),
        (lambda: fit_many(X, Y, ["a"]), r"models\[0\] is a str; a Model is needed"),
        (lambda: fit_many(X, Y, model(), held_out=3), r"held_out is a int; a pair \(X, y\) is needed"),
        (lambda: fit_many(X, Y, model(), test=3), r"test is a int; a pair \(X, y\) is needed"),
        (lambda: fit_many(X, Y, model(), record=3), r"record=3 is a int; a Record is needed"),
        (lambda: fit_many(X, Y, model(), dtype=np.int32), r"dtype=int32; float32 or float64 is needed"),
        (lambda: fit_many(X, Y, model(), rows=Y > 0), r"rows is a boolean mask; row numbers are needed"),
        (lambda: fit_many(X, Y, model(), rows=[0.5]), r"rows has dtype float64; integers are needed"),
        (lambda: Record(steps=3), r"steps=3 is a int; integers are needed"),
    ],
)
def test_types(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_many(X, Y, []), r"models is empty; at least one Model is needed"),
        (lambda: fit_many(X, Y[:5], model()), r"y has 5 rows; X has 33"),
        (lambda: fit_many(X * np.nan, Y, model()), r"X must be finite"),
        (lambda: fit_many(X, Y, model(loss="softmax")), r"loss='softmax' needs class codes"),
        (
            lambda: fit_many(X, [0, 1, 2] * 11, model(loss="softmax"), n_outputs=2),
            r"the integers 0 to 1 \(the network has 2 outputs\) in y, but 11 of 33 rows",
        ),
        (
            lambda: fit_many(X, Y > 0, [model(loss="softmax"), model()]),
            r"the models' losses are \['softmax', 'squared'\]; softmax needs n_outputs",
        ),
        (
            lambda: fit_many(X, Y, model(), rows=[0, 33]),
            r"rows holds 33; X has 33 rows, so 0 to 32 are possible",
        ),
        (lambda: fit_many(X, Y, model(), rows=[-1]), r"rows holds -1; X has 33 rows"),
        (lambda: fit_many(X, Y, model(), rows=[]), r"rows has shape \(0,\)"),
        (
            lambda: fit_many(X, Y, [model()] * 3, rows=[[0, 1], [2, 3]]),
            r"rows has 2 index arrays; there are 3 models",
        ),
        (lambda: fit_many(X, Y, model(), row_weights=Y), r"row_weights holds -.*; weights of at least 0"),
        (lambda: fit_many(X, Y, model(), row_weights=Y[:4]), r"row_weights has shape \(4,\); \(33,\), one"),
        (
            lambda: fit_many(X, Y, model(), row_weights=0 * Y),
            r"model 0: every model needs a row with a positive weight",
        ),
        (
            lambda: fit_many(X, Y, [model(), model(regularization=EarlyStopping(3))]),
            r"models\[1\] has EarlyStopping\(patience=3\), which needs held_out=\(X, y\)",
        ),
        (
            lambda: fit_many(X, Y, model(), test_rows=[0]),
            r"test_rows are row numbers of test=\(X, y\), which is needed",
        ),
        (
            lambda: fit_many(X, Y, model(), held_out=(X, Y), held_out_rows=[33]),
            r"held_out_rows holds 33; held_out has 33 rows, so 0 to 32 are possible",
        ),
        (
            lambda: fit_many(X, Y, [model()] * 3, test=(X, Y), test_rows=[[0], [1]]),
            r"test_rows has 2 index arrays; there are 3 models",
        ),
        (lambda: fit_many(X, Y, model(), test=(X[:, :2], Y)), r"X has 2 features; the network has 4"),
        (lambda: fit_many(X, Y, model(), held_out=(X[:, :2], Y)), r"X has 2 features; the network has 4"),
        (
            lambda: fit_many(X, Y, model(regularization=BatchNorm(), batch_size=32)),
            r"model 0: the smallest batch of batch normalization must be at least 2 rows.*, got 1",
        ),
        (
            lambda: fit_many(X, Y, model(regularization=BatchNorm(), batch_size=1)),
            r"the smallest batch of batch normalization must be at least 2 rows.*, got 1",
        ),
        (
            lambda: fit_many(
                X,
                Y,
                model(regularization=BatchNorm(), batch_size=11),
                record=Record(every=1, gradients=True),
            ),
            r"gradients recorded with batch normalization",
        ),
        (
            lambda: fit_many(X, Y, model(regularization=Shifts((3, 3), (-1, 1)))),
            r"needs 9 features, one a pixel; the network has 4 inputs",
        ),
        (lambda: fit_many(X, Y, model()).predict(X[:, :3]), r"X has 3 features; the network has 4 inputs"),
        (
            lambda: fit_many(X, Y, model(regularization=Dropout(0.1))).predict(X, dropout_samples=0),
            r"dropout_samples=0 is too small; at least 1 is needed",
        ),
    ],
)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("batch_size", [2, 31, 33, 1000])
def test_batch_norm_of_whole_batches(batch_size):
    """33 rows in batches of 2 leave one of 1; of 31, one of 2."""
    one = model(regularization=BatchNorm(), batch_size=batch_size)
    if batch_size == 2:
        with pytest.raises(ValueError, match="got 1"):
            fit_many(X, Y, one)
    else:
        assert fit_many(X, Y, one).status[0] == "finished"
