"""Bad options, parameters and networks: each a clear error with what was given and what is needed."""

import numpy as np
import pytest

import rfpcore

X = np.arange(12.0).reshape(6, 2) / 10
Y = np.arange(6.0) / 5
GROUPS = np.array([0, 0, 1, 1, 2, 2])
NET = rfpcore.MLP(2, (3,))
THETA = NET.init(0)
DATA = rfpcore.Clusters(X, Y, GROUPS)


def with_value(array, index, value):
    changed = np.array(array, dtype=np.result_type(array, type(value)))
    changed[index] = value
    return changed


BAD_OPTIONS = {
    "alpha below": ({"alpha": -0.1}, ValueError, r"alpha=-0.1; a number in \[0, 1\] is needed"),
    "alpha above": ({"alpha": 1.5}, ValueError, r"alpha=1.5; a number in \[0, 1\]"),
    "alpha NaN": ({"alpha": np.nan}, ValueError, r"alpha=nan; a number in \[0, 1\]"),
    "alpha word": ({"alpha": "0.5"}, TypeError, "alpha='0.5' is a str; a number"),
    "alpha of 400 digits": (
        {"alpha": 10**400},
        ValueError,
        "alpha is an integer beyond 1e400; a number",
    ),
    "alpha of 5000 digits": ({"alpha": 10**5000}, ValueError, "alpha is an integer beyond 1e4999; a number"),
    "alpha complex": ({"alpha": np.complex128(0.5)}, TypeError, "alpha is a complex128; a number"),
    "alpha array of one": ({"alpha": np.ones(1)}, TypeError, "alpha is a ndarray; a number"),
    "alpha array": ({"alpha": np.ones(2)}, TypeError, "alpha is a ndarray; a number"),
    "steps negative": ({"inner_steps": -1}, ValueError, "inner_steps=-1 is too small; at least 0"),
    "steps fraction": ({"inner_steps": 1.5}, TypeError, "inner_steps=1.5 is a float; an integer"),
    "steps bool": ({"inner_steps": True}, TypeError, "inner_steps=True is a bool; an integer"),
    "steps too many": (
        {"inner_steps": 2**64},
        ValueError,
        f"inner_steps={2**64} is too large; at most {2**31 - 1}",
    ),
    "lr zero": ({"inner_lr": 0.0}, ValueError, "inner_lr=0.0; a positive number is needed"),
    "lr integer zero": ({"inner_lr": 0}, ValueError, "inner_lr=0.0; a positive number is needed"),
    "lr negative": ({"inner_lr": -0.1}, ValueError, "inner_lr=-0.1; a positive number"),
    "lr infinite": ({"inner_lr": np.inf}, ValueError, "inner_lr=inf; a positive number"),
    "lr NaN": ({"inner_lr": np.nan}, ValueError, "inner_lr=nan; a positive number"),
    "lr word": (
        {"inner_lr": "big"},
        ValueError,
        "inner_lr='big' is unknown; a positive number, an array or 'auto'",
    ),
    "lr length": (
        {"inner_lr": np.ones(5)},
        ValueError,
        r"inner_lr has shape \(5,\); the network has 13 parameters, so a number or shape \(13,\) is needed",
    ),
    "lr element": (
        {"inner_lr": with_value(np.ones(13), 7, 0.0)},
        ValueError,
        "inner_lr must be positive, but 1 of its 13 values are not; the first is 0.0 at index 7",
    ),
    "lr element NaN": ({"inner_lr": with_value(np.ones(13), 7, np.nan)}, ValueError, "nan in index 7"),
    "lr complex": ({"inner_lr": 1j}, TypeError, "inner_lr has dtype complex128"),
    "momentum": ({"inner_momentum": 1.0}, ValueError, r"inner_momentum=1.0; a number in \[0, 1\)"),
    "momentum word": ({"inner_momentum": "0"}, TypeError, r"inner_momentum='0' is a str; a number in"),
    "layers": (
        {"adapt_layers": "first"},
        ValueError,
        "adapt_layers='first' is unknown; one of 'all', 'last'",
    ),
    "divergence": (
        {"on_divergence": "ignore"},
        ValueError,
        "on_divergence='ignore' is unknown; one of 'raise'",
    ),
    "loss": (
        {"loss": "hinge"},
        ValueError,
        "loss='hinge' is unknown; one of 'squared', 'logistic', 'softmax'",
    ),
    "loss list": ({"loss": ["squared"]}, ValueError, "loss=.'squared'. is unknown; one of"),
    "layers list": ({"adapt_layers": ["all"]}, ValueError, "adapt_layers=.'all'. is unknown; one of 'all'"),
    "steps of 5000 digits": (
        {"inner_steps": 10**5000},
        ValueError,
        "inner_steps=an integer beyond 1e4999 is too large",
    ),
    "jobs of a crowd": ({"n_jobs": 65_535}, ValueError, "n_jobs=65535 is too large; at most 1024"),
    "order": ({"order": "second"}, ValueError, "order='second' is unknown; one of 'exact', 'first'"),
    "jobs zero": ({"n_jobs": 0}, ValueError, "n_jobs=0 has no meaning; a positive number of threads, -1"),
    "jobs fraction": ({"n_jobs": 1.5}, TypeError, "n_jobs=1.5 is a float; an integer"),
    "jobs too many": ({"n_jobs": 2**63}, ValueError, "is too large; at most 1024"),
}
BAD_THETA = {
    "length": (THETA[:-1], ValueError, r"theta has shape \(12,\); the network has 13 parameters, so \(13,\)"),
    "2-D": (THETA[None], ValueError, r"theta has shape \(1, 13\)"),
    "strings": (["a"] * 13, TypeError, "theta has dtype <U1; real numbers"),
    "complex": (THETA + 0j, TypeError, "theta has dtype complex128"),
    "NaN": (with_value(THETA, 5, np.nan), ValueError, "theta.*5"),
    "inf, not contiguous": (np.repeat(with_value(THETA, 5, np.inf), 2)[::2], ValueError, "inf in index 5"),
    "inf in float32": (with_value(THETA, 5, np.inf).astype(np.float32), ValueError, "theta.*5"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(name):
    options, kind, message = BAD_OPTIONS[name]
    functions = [rfpcore.value_and_grad, rfpcore.objective]
    if not {"alpha", "order"} & set(options):
        functions.append(rfpcore.adapt)
    for function in functions:
        with pytest.raises(kind, match=message):
            function(NET, THETA, DATA, **options)


@pytest.mark.parametrize("name", BAD_THETA)
def test_bad_theta(name):
    theta, kind, message = BAD_THETA[name]
    for function in (rfpcore.value_and_grad, rfpcore.objective, rfpcore.adapt, rfpcore.curvature):
        with pytest.raises(kind, match=message):
            function(NET, theta, DATA)
    with pytest.raises(kind, match=message):
        rfpcore.hvp(NET, theta, THETA, DATA)
    with pytest.raises(kind, match=message):
        NET.predict(theta, X)


def test_what_depends_on_the_network_and_the_loss():
    def fails(match, net=NET, y=Y, loss="squared", **options):
        with pytest.raises(ValueError, match=match):
            rfpcore.value_and_grad(net, net.init(0), rfpcore.Clusters(X, y, GROUPS), loss=loss, **options)

    two = rfpcore.MLP(2, (), 2)
    fails("X has 2 features; the network has 3 inputs", net=rfpcore.MLP(3))
    fails(r"y has 1 columns; loss='squared' needs 2 \(the network's n_outputs\)", net=two)
    fails("y has 2 columns; loss='softmax' needs one column of class codes", two, X, "softmax")
    codes = [0, 1, 1, 0, 2, 1]
    fails(
        r"needs class codes, the integers 0 to 1 .* 1 of 6 rows .* first is 2.0 in row 4",
        two,
        codes,
        "softmax",
    )
    fails(r"the first is 0.5 in row 2", two, [0, 1, 0.5, 0, 1, 1], "softmax")
    fails(r"the first is -1.0 in row 5", two, [0, 1, 0, 0, 1, -1], "softmax")
    fails(
        r"needs values in \[0, 1\] in y, but 2 of 6 .* 1.2 in row 1", y=[0, 1.2, 1, -3, 1, 0], loss="logistic"
    )
    fails(r"values of at least 0 in y, but 1 of 6 .* -0.5 in row 3", y=[0, 1, 1, -0.5, 1, 0], loss="poisson")


def test_rows_are_named_as_given_not_as_sorted():
    data = rfpcore.Clusters(X, [0, 7, 0, 9, 0, 0], ["z", "y", "x", "w", "v", "u"])
    with pytest.raises(ValueError, match=r"2 of 6 rows have others; the first is 7.0 in row 1"):
        rfpcore.value_and_grad(NET, THETA, data, loss="logistic")


def test_values_too_large_for_float32():
    data = rfpcore.Clusters(X * 1e200, Y, GROUPS)
    with pytest.raises(ValueError, match=r"X has values up to 1.1e\+200; float32 holds at most 3.4"):
        rfpcore.value_and_grad(NET, THETA.astype(np.float32), data)


def test_things_of_the_wrong_kind():
    with pytest.raises(TypeError, match=r"net is a tuple; an rfpcore.MLP is needed"):
        rfpcore.value_and_grad((2, 1), THETA, DATA)
    with pytest.raises(TypeError, match=r"data is a tuple; rfpcore.Clusters\(X, y, groups\) is needed"):
        rfpcore.value_and_grad(NET, THETA, (X, Y))
    with pytest.raises(ValueError, match=r"v has shape \(2,\); the network has 13 parameters"):
        rfpcore.hvp(NET, THETA, [1, 2], DATA)
    with pytest.raises(ValueError, match=r"v must be finite, .* nan in index 3"):
        rfpcore.hvp(NET, THETA, with_value(THETA, 3, np.nan), DATA)
    with pytest.raises(ValueError, match="n_iterations=0 is too small; at least 1"):
        rfpcore.curvature(NET, THETA, DATA, n_iterations=0)
    with pytest.raises(ValueError, match=r"fraction=2.0; a number in \(0, 1\)"):
        rfpcore.auto_inner_lr(NET, THETA, DATA, fraction=2)


# The network


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((0,), ValueError, "n_inputs=0 is too small; at least 1"),
        ((2.0,), TypeError, "n_inputs=2.0 is a float; an integer"),
        ((2, (3, 0)), ValueError, r"hidden_layer_sizes\[1\]=0 is too small"),
        ((2, 64), TypeError, r"hidden_layer_sizes=64; a sequence of integers is needed, such as \(64, 64\)"),
        ((2, "64"), TypeError, "hidden_layer_sizes='64'; a sequence"),
        ((2, (3,), 0), ValueError, "n_outputs=0 is too small"),
        ((2, (3,), 1, "sigmoid"), ValueError, "activation='sigmoid' is unknown; one of 'identity', 'tanh'"),
        ((2**70,), ValueError, f"n_inputs={2**70} is too large; at most {2**48}"),
        ((2**40, (2**40,)), ValueError, f"the network would have {(2**40 + 2) * 2**40 + 1} parameters"),
    ],
)
def test_bad_networks(arguments, kind, message):
    with pytest.raises(kind, match=message):
        rfpcore.MLP(*arguments)


def test_bad_calls_of_a_network():
    with pytest.raises(ValueError, match="X has 3 features; the network has 2 inputs"):
        NET.predict(THETA, np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"X has shape \(2,\); two dimensions"):
        NET.predict(THETA, [1, 2])
    with pytest.raises(ValueError, match=r"theta has shape \(4,\); the network has 13 parameters"):
        NET.unflatten(np.ones(4))
    with pytest.raises(TypeError, match="dtype=int64; float32 or float64"):
        NET.init(dtype=int)
    with pytest.raises(ValueError, match="random_state=-1 is too small"):
        NET.init(-1)
    with pytest.raises(TypeError, match="random_state='x' is a str; an integer"):
        NET.init("x")


def test_minus_nothing_is_nothing():
    """NumPy says of −0.0 that it is below 0."""
    from rfpcore.datasets import make_noisy_moons

    assert (
        make_noisy_moons(noise=-0.0, random_state=0)[0] == make_noisy_moons(noise=0.0, random_state=0)[0]
    ).all()
