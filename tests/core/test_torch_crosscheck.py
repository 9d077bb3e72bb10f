"""The kernel against torch.func in float64, over random problems."""

from dataclasses import dataclass, fields
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import rfpcore
from rfpcore import losses
from rfpcore._options import Activation

torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")
from rfpcore import torch_reference  # noqa: E402

torch.set_num_threads(1)


@dataclass(frozen=True)
class Case:
    """Everything that varies; the numbers follow from the seed."""

    hidden: tuple[int, ...] = (8,)
    n_inputs: int = 3
    n_outputs: int = 1
    activation: str = "tanh"
    loss: str = "squared"
    sizes: tuple[int, ...] = (4, 1, 9)
    steps: int = 3
    alpha: float = 0.3
    lr: float = 0.03
    lr_per_parameter: bool = False
    momentum: float = 0.0
    head_only: bool = False
    first_order: bool = False
    weighted: bool = False
    split: bool = False
    cluster_weight: str = "size"
    seed: int = 0

    def __str__(self):
        """What differs from the plainest problem."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(f"{k}={v}" for k, v in values.items() if v != getattr(Case, k)) or "plain"

    @property
    def net(self):
        return rfpcore.MLP(self.n_inputs, self.hidden, self.n_outputs, self.activation)

    def build(self, dtype):
        """theta, the data and the options, with numbers that fit in `dtype`."""
        random = np.random.default_rng(self.seed)
        sizes = [n + self.split for n in self.sizes]  # a split cluster needs two rows
        n = sum(sizes)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        query = np.zeros(n, bool)
        for c in range(len(sizes)):
            rows = random.permutation(np.flatnonzero(groups == c))
            query[rows[: random.integers(1, len(rows))] if self.split else []] = True
        shuffle = random.permutation(n)
        data = rfpcore.Clusters(
            random.standard_normal((n, self.n_inputs)).astype(dtype),
            self.outcomes(random, n).astype(dtype),
            groups[shuffle],
            random.uniform(0.1, 3, n).astype(dtype) if self.weighted else None,
            query=query[shuffle] if self.split else None,
            cluster_weight=self.cluster_weight,
        )
        net = self.net
        theta = net.init(random) + 0.1 * random.standard_normal(net.n_parameters)
        lr = self.lr * random.uniform(0.3, 1.5, net.n_parameters) if self.lr_per_parameter else self.lr
        return theta.astype(dtype), data, lr, random.standard_normal(net.n_parameters).astype(dtype)

    def outcomes(self, random, n):
        if self.loss == "softmax":
            return random.integers(0, self.n_outputs, n)
        if self.loss == "cross_entropy":
            return random.dirichlet(np.ones(self.n_outputs), n)
        normal = random.standard_normal((n, self.n_outputs))
        kinds = {"logistic": normal > 0, "poisson": np.floor(np.abs(2 * normal))}
        return kinds.get(self.loss, normal)

    @property
    def options(self):
        return {
            "loss": self.loss,
            "order": "first" if self.first_order else "exact",
            "inner_momentum": self.momentum,
            "adapt_layers": "last" if self.head_only else "all",
        }


WIDTHS = st.sampled_from([1, 2, 3, 8, 16, 17, 32, 33])
SIZES = st.one_of(st.integers(1, 6), st.integers(1, 40), st.integers(1, 200))
CASES = st.builds(
    Case,
    hidden=st.lists(WIDTHS, max_size=3).map(tuple),
    n_inputs=st.sampled_from([1, 2, 3, 5, 17]),
    n_outputs=st.integers(1, 5),
    activation=st.sampled_from(get_args(Activation)),
    loss=st.sampled_from([*losses.TABLE, losses.huber(0.5), losses.quantile(0.9, 0.3)]),
    sizes=st.lists(SIZES, min_size=1, max_size=5).map(tuple),
    steps=st.integers(0, 8),
    alpha=st.sampled_from([0.0, 0.3, 1.0]),
    lr=st.sampled_from([0.001, 0.01, 0.03]),
    lr_per_parameter=st.booleans(),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    head_only=st.booleans(),
    first_order=st.booleans(),
    weighted=st.booleans(),
    split=st.booleans(),
    cluster_weight=st.sampled_from(["size", "weight"]),
    seed=st.integers(0, 2**16),
)

# One option at a time, from the plainest problem on, so that a failure names what is broken.
PINNED = [
    Case(),
    Case(hidden=()),
    Case(hidden=(), n_outputs=5, loss="softmax", head_only=True),
    Case(hidden=(1, 33, 17), activation="silu", n_outputs=3),
    *(Case(activation=a, steps=2) for a in get_args(Activation)),
    *(Case(loss=loss, n_outputs=3) for loss in losses.TABLE),
    Case(loss="softmax", n_outputs=1),
    Case(steps=0),
    Case(steps=8, sizes=(200, 1, 3)),
    Case(alpha=0.0),
    Case(alpha=1.0),
    Case(lr_per_parameter=True),
    Case(momentum=0.9, steps=5),
    Case(head_only=True),
    Case(first_order=True),
    Case(first_order=True, momentum=0.9, lr_per_parameter=True),
    Case(weighted=True),
    Case(weighted=True, cluster_weight="weight"),
    Case(split=True),
    Case(split=True, weighted=True, momentum=0.5, head_only=True, lr_per_parameter=True, n_outputs=2),
    Case(split=True, alpha=0.0, first_order=True),
    Case(hidden=(33, 33, 33), n_inputs=17, sizes=(130,), activation="gelu"),
]


def distance(found, expected, scale):
    """Norm of the difference over the norm of what is expected, or over `scale` where that is larger."""
    expected = np.asarray(expected)
    size = max(np.linalg.norm(expected), scale)
    return np.linalg.norm(np.asarray(found, float) - expected) / size if size > 0 else 0.0


def errors(case, dtype):
    """The kernel in dtype against the reference in float64, from the same numbers; None where it diverges."""
    theta, data, lr, v = case.build(dtype)
    call = [case.net, theta.astype(float), data, case.alpha, case.steps]
    oracle = torch_reference.value_and_grad(*call, lr, **case.options)
    value = oracle.value.item()
    try:
        result = rfpcore.objective(case.net, theta, data, case.alpha, case.steps, lr, **case.options)
    except rfpcore.DivergenceError:
        assert not abs(value) < 1e30
        return None
    # Where a gradient all but cancels, what is left is rounding of terms about as large as the loss.
    floor = 1e-3 * abs(value)
    moved = {"value": 0.0, "gradient": 0.0}
    if dtype == np.float32:
        moved = rounding(case, call, lr, oracle)
    # A common step's derivative is a sum over parameters, whose terms may cancel.
    each = torch_reference.value_and_grad(*call, np.broadcast_to(lr, theta.shape), **case.options)
    return {
        "value": distance(result.value, value, moved["value"]),
        "gradient": distance(result.gradient, oracle.gradient, max(floor, moved["gradient"])),
        "alpha": distance(result.alpha_gradient, oracle.alpha_gradient, abs(value)),
        "inner_lr": distance(
            result.inner_lr_gradient,
            oracle.inner_lr_gradient,
            each.inner_lr_gradient.abs().sum().item() + floor,
        ),
        "hvp": hvp_distance(case, theta, data, v),
    }


def rounding(case, call, lr, oracle):
    """The scales at which 1e-4 is ten times what half a unit in the last place of θ changes.

    Some problems lose more digits than a tolerance leaves: residuals that all but vanish, steps near the edge
    of stability. No arithmetic in single precision does better there.
    """
    net, theta, *rest = call
    signs = np.where(np.arange(len(theta)) % 2, 1, -1)
    nudged = torch_reference.value_and_grad(net, theta * (1 + signs * 2.0**-24), *rest, lr, **case.options)
    value = abs(nudged.value.item() - oracle.value.item())
    gradient = np.linalg.norm(np.asarray(nudged.gradient) - np.asarray(oracle.gradient))
    return {"value": 1e5 * value, "gradient": 1e5 * gradient}


def hvp_distance(case, theta, data, v):
    mean_loss = torch_reference.risk(case.net, data, 0, case.loss)
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    direction = torch.tensor(v, dtype=torch.float64)

    def slope(t):
        return torch.func.grad(mean_loss)(t, zero, one) @ direction

    expected = torch.func.grad(slope)(torch.tensor(theta, dtype=torch.float64))
    found = rfpcore.hvp(case.net, theta, v, data, case.loss)
    return distance(found, expected, 1e-3 * np.linalg.norm(v))


@pytest.mark.parametrize("case", PINNED, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_pinned_cases(case, dtype, tolerance):
    found = errors(case, dtype)
    assert max(found.values()) <= tolerance, found


@settings(max_examples=120)
@given(CASES)
@example(Case(hidden=(1,), n_inputs=1, sizes=(1,), steps=8, alpha=0.0))
@example(Case(hidden=(3, 1), n_outputs=5, loss="poisson", weighted=True, split=True, steps=8, momentum=0.9))
def test_random_cases_in_float64(case):
    # Cross-entropy with one class is zero, and what the reference has for it is rounding.
    assume(case.loss != "cross_entropy" or case.n_outputs > 1)
    found = errors(case, np.float64)
    assume(found is not None)
    assert max(found.values()) <= 1e-10, found


@settings(max_examples=60)
@given(CASES)
@example(Case(hidden=(17,), activation="softplus", loss="softmax", n_outputs=4, steps=8, sizes=(150, 2)))
def test_random_cases_in_float32(case):
    # Within rounding of a kink derivatives differ between precisions: nobody's error.
    assume(case.activation not in ("relu", "elu") and not case.loss.startswith("huber"))
    assume(case.loss != "cross_entropy" or case.n_outputs > 1)
    found = errors(case, np.float32)
    assume(found is not None)
    assert max(found.values()) <= 1e-4, found


@pytest.mark.parametrize("split", [False, True])
def test_adapted_parameters(split):
    """`adapt` against a plain loop over clusters, each a problem of its own for the reference."""
    case = Case(n_outputs=2, weighted=True, momentum=0.5, split=split, sizes=(5, 1, 30))
    theta, data, lr, _ = case.build(np.float64)
    thetas, _ = rfpcore.adapt(case.net, theta, data, 4, lr, inner_momentum=0.5)
    zero, one = (torch.full((), x, dtype=torch.float64) for x in (0, 1))
    for c, (start, end) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
        rows = slice(start, end if data.n_support is None else start + data.n_support[c])
        own = rfpcore.Clusters(data.X[rows], data.y[rows], None, data.sample_weight[rows])
        loss = torch_reference.risk(case.net, own, 0)
        adapted, momentum = torch.tensor(theta), 0.0
        for _ in range(4):
            momentum = 0.5 * momentum + torch.func.grad(loss)(adapted, zero, one)
            adapted = adapted - lr * momentum
        assert distance(thetas[c], adapted, 0) < 1e-12


@pytest.mark.gpu
@pytest.mark.parametrize("case", PINNED, ids=str)
def test_reference_on_a_gpu(case):
    """The reference gives the same on another device, and the kernel agrees with it there too."""
    theta, data, lr, _ = case.build(np.float64)
    here = [case.net, theta, data, case.alpha, case.steps, lr]
    oracle = torch_reference.value_and_grad(*here, device="cuda", **case.options)
    assert oracle.gradient.is_cuda
    value, grad = rfpcore.value_and_grad(*here, **case.options)
    assert distance(value, oracle.value.cpu(), 0) < 1e-10
    assert distance(grad, oracle.gradient.cpu(), 1e-3 * abs(value)) < 1e-10
