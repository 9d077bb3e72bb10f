"""Windows of a recorded run: against sums by hand, and against penalties that are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rfpcore.implicit import Equations, GradientMatching
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam, Cosine
from rfpcore.regularize import L1, L2, Dropout

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((80, 4))
Y = X @ [1.0, -1.0, 0.5, 0.0] + 0.1 * RANDOM.standard_normal(80)
FULL = Record(every=5, thetas=True, gradients=True, intervals=True, losses=False, metrics=False)


def run(record=FULL, **changes):
    settings = {"optimizer": SGD(0.02, schedule=Cosine(200)), "n_steps": 200, "batch_size": 16}
    return fit_many(X, Y, Model((8,), **(settings | changes)), record=record, dtype=np.float64).results[0]


def test_windows_by_hand():
    """(θ_a − θ_b)/Σlr minus the trapezoid of the gradients, shares alike."""
    found = run(regularization=L2(0.1))
    equations = Equations.trajectory(found, windows=4, baseline="full")
    rates = found.model.optimizer.learning_rates(0, 200)
    for window in range(4):
        a, b = 10 * window, 10 * window + 10
        lengths = np.array([rates[5 * i : 5 * i + 5].sum() for i in range(a, b)])
        moved = (found.thetas[a] - found.thetas[b]) / lengths.sum()
        middle = (found.gradients[a:b] + found.gradients[a + 1 : b + 1]) / 2
        assert_allclose(
            equations.targets[window], moved - lengths @ middle / lengths.sum(), rtol=1e-9, atol=1e-12
        )
        points = (found.thetas[a:b] + found.thetas[a + 1 : b + 1]) / 2
        assert_allclose(
            equations.shares[window] @ equations.points[window], lengths @ points / lengths.sum(), rtol=1e-12
        )
        assert equations.times[window] == 5 * (a + b) / 2


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.02), SGD(0.01, momentum=0.9), SGD(0.01, momentum=0.9, nesterov=True), Adam(0.01)],
    ids=str,
)
def test_penalties_from_the_same_batches(optimizer):
    """Applied minus bare is the penalty's gradient itself; only the trapezoids of θ are off."""
    found = run(optimizer=optimizer, regularization=L1(0.02, smoothing=0.1) + L2(0.1))
    estimate = GradientMatching([L1(1, smoothing=0.1), L2(1)]).fit(Equations.trajectory(found, windows=5))
    assert_allclose(estimate.coef_, [0.02, 0.1], rtol=0.01)
    assert estimate.explained_ > 0.9999


def test_full_and_batch_baselines_agree_without_batches():
    """With all rows in each step both are the same but for the trapezoids."""
    found = run(regularization=L2(0.1), batch_size=None)
    for baseline in ("full", "batches"):
        estimate = GradientMatching([L2(1)]).fit(Equations.trajectory(found, windows=5, baseline=baseline))
        assert_allclose(estimate.coef_, 0.1, rtol=0.02)


def test_dropout_is_in_the_windows():
    found = run(regularization=Dropout(0.3))
    equations = Equations.trajectory(found, windows=5)
    assert np.abs(equations.targets).max() > 0.01
    assert np.abs(Equations.trajectory(run(), windows=5).targets).max() < 1e-12


def test_start_leaves_the_beginning_out():
    found = run()
    assert Equations.trajectory(found, windows=2, start=101).times[0] > 105
    with pytest.raises(ValueError, match="windows=2 of 3 recorded intervals"):
        Equations.trajectory(found, windows=2, start=185)


@pytest.mark.parametrize(
    ("record", "changes", "options", "message"),
    [
        (Record(every=5, gradients=True), {}, {}, "the run has no parameters: Record"),
        (Record(every=5, thetas=True), {}, {}, "the run has no gradients: Record"),
        (
            Record(every=5, thetas=True, gradients=True),
            {},
            {"baseline": "batches"},
            "needs the batches' gradients",
        ),
        (
            Record(every=5, thetas=True, gradients=True),
            {"optimizer": Adam(0.01)},
            {},
            r"the steps of Adam\(lr=0.01\)",
        ),
        (
            Record(every=5, thetas=True, gradients=True),
            {"optimizer": SGD(0.01, momentum=0.5)},
            {},
            r"the steps of SGD\(lr=0.01, momentum=0.5\) are not multiples",
        ),
        (Record(every=5, thetas=True, intervals=True), {}, {"baseline": "full"}, "the run has no gradients"),
        (FULL, {}, {"windows": 21}, "windows=21 of 40 recorded intervals; each needs at least two, so 43"),
        (FULL, {}, {"windows": 0}, "windows=0 is too small"),
        (FULL, {}, {"baseline": "none"}, "baseline='none' is unknown"),
    ],
)
def test_refusals(record, changes, options, message):
    found = run(record, **changes)
    with pytest.raises(ValueError, match=message):
        Equations.trajectory(found, **options)


@pytest.mark.filterwarnings("ignore::rfpcore.DivergenceWarning")
def test_a_run_that_diverged():
    with pytest.raises(ValueError, match="the run diverged at step"):
        Equations.trajectory(run(optimizer=SGD(10.0)))


def test_no_result():
    with pytest.raises(TypeError, match="result is a list; a ModelResult of fit_many is needed"):
        Equations.trajectory([1])


def test_recorder_of_torch_is_the_trajectory():
    """The same run in torch, on full batches, gives the equations of the kernel's record to rounding."""
    torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")
    from rfpcore.implicit import torch_recorder

    record = Record(every=5, thetas=True, gradients=True, losses=False, metrics=False)
    own = run(record, optimizer=SGD(0.02), regularization=L2(0.1), batch_size=None)
    net = own.net
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    with torch.no_grad():
        for layer, (W, b) in zip((model[0], model[2]), net.unflatten(net.init(0)), strict=True):
            layer.weight.copy_(torch.tensor(W.T.copy()))
            layer.bias.copy_(torch.tensor(b.copy()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, weight_decay=0.1)
    rows, outcomes = torch.tensor(X), torch.tensor(Y)[:, None]
    recorder = torch_recorder(model, torch.nn.functional.mse_loss, rows, outcomes, every=5)
    for _ in range(201):
        recorder.before_step(lr=0.02)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(rows), outcomes).backward()
        optimizer.step()
    ours, theirs = Equations.trajectory(own, windows=4), recorder.equations(windows=4)
    # torch keeps W (outputs, inputs): the same numbers in another order within each layer.
    assert_allclose(np.sort(ours.targets, axis=1), np.sort(theirs.targets, axis=1), rtol=1e-7, atol=1e-12)
    both = [GradientMatching([L2(1)]).fit(equations).coef_[0] for equations in (ours, theirs)]
    assert_allclose(both[0], both[1], rtol=1e-9)
    with pytest.raises(ValueError, match="windows=30 of 41 recorded steps; 61 are needed"):
        recorder.equations(30)
    with pytest.raises(TypeError, match="a torch module and a callable"):
        torch_recorder(5, None, rows, outcomes)


def test_recorder_measures_without_masks_and_changes_nothing():
    """Recorded or not, the training is the same; its bare gradient is that of evaluation."""
    torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")
    from rfpcore.implicit import torch_recorder

    rows, outcomes, loss = torch.tensor(X), torch.tensor(Y)[:, None], torch.nn.functional.mse_loss

    def trained(recorded):
        torch.manual_seed(0)
        parts = [torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)]
        model = torch.nn.Sequential(*parts).double()
        model[0].eval()  # a part that was not in training stays so
        recorder = torch_recorder(model, loss, rows, outcomes, every=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        for _ in range(3):
            if recorded:
                recorder.before_step(lr=0.02)
            optimizer.zero_grad()
            loss(model(rows), outcomes).backward()
            optimizer.step()
        return model, recorder

    (model, recorder), (alone, _) = trained(True), trained(False)
    for one, other in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert [part.training for part in model.modules()] == [True, False, True, True, True]
    recorder._take()
    gradients = torch.autograd.grad(loss(model.eval()(rows), outcomes), list(model.parameters()))
    expected = np.concatenate([gradient.numpy().ravel() for gradient in gradients])
    assert_allclose(recorder._gradients[-1], expected, rtol=1e-12)


@pytest.mark.parametrize("term", [Dropout(0.3), Dropout(0.2, inputs=0.3)], ids=str)
def test_bare_gradients_know_no_masks(term):
    """Of a first step: the same batch and parameters, with dropout and without."""
    record = Record(steps=[0, 1], thetas=True, intervals=True, losses=False, metrics=False)
    both = [run(record, n_steps=1, regularization=terms) for terms in (None, term)]
    assert_allclose(both[0].bare_gradients[1], both[1].bare_gradients[1], rtol=1e-10, atol=1e-13)
    assert np.abs(both[0].applied_gradients[1] - both[1].applied_gradients[1]).max() > 1e-3


def test_where_the_learning_rate_is_zero():
    """A schedule that ends early: a window over its end counts what moved, a later one is refused."""
    settings = {"optimizer": SGD(0.02, schedule=Cosine(150)), "regularization": L2(0.1), "batch_size": None}
    for baseline in ("full", "batches"):
        found = Equations.trajectory(run(**settings), windows=2, baseline=baseline)
        assert_allclose(GradientMatching([L2(1)]).fit(found).coef_, 0.1, rtol=0.02)
        with pytest.raises(ValueError, match="the learning rate is 0 from step 150 to 160"):
            Equations.trajectory(run(**settings), windows=20, baseline=baseline)
