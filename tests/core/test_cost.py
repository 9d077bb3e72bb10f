"""Estimates of seconds: the extrapolation on a machine whose time is known, and what is refused."""

import numpy as np
import pytest

import rfpcore
from rfpcore import cost

NET = rfpcore.MLP(2, (3,))


@pytest.fixture
def machine(monkeypatch):
    """Steps that take a time known in advance: so much, and so much for each row and eight a cluster."""
    timed = []

    def seconds(self, rows):
        timed.append(rows)
        return 1e-3 + 1e-6 * (rows + 8).sum()

    monkeypatch.setattr(cost._Step, "seconds", seconds)
    return timed


def expected(sizes):
    return 1e-3 + 1e-6 * (np.asarray(sizes) + 8).sum()


@pytest.mark.parametrize(
    "sizes",
    [[7], [3, 1, 4], np.full(1000, 30), np.arange(1, 5000), [10**6], [10**6] * 40, np.full(10**6, 5)],
    ids=["one", "three", "alike", "ragged", "one large", "large", "a million"],
)
def test_a_machine_of_known_speed_is_known(machine, sizes):
    # Sizes of a sample are those in the middle of equal parts of the sorted ones; the rest is rounding.
    assert cost.estimated_seconds(NET, sizes, 7) == pytest.approx(7 * expected(sizes), rel=1e-3)
    # Nothing larger is timed than is needed to tell a time from noise, and a factor of growth.
    assert all(1e-6 * (rows + 8).sum() < 4 * 4 * cost.ENOUGH for rows in machine)


def test_a_mini_batch_has_as_many_clusters_as_it_is_told(machine):
    found = cost.estimated_seconds(NET, np.full(1000, 30), batch_size=50)
    assert found == pytest.approx(expected(np.full(50, 30)))
    assert cost.estimated_seconds(NET, [5, 5], batch_size=50) == pytest.approx(expected([5, 5]))


def test_very_many_inner_steps_are_in_proportion(machine):
    """The known time does not depend on them, the factor does: 3 (k + 1) products of a gradient and 6 k."""
    once = cost.estimated_seconds(NET, [5], inner_steps=100)
    assert cost.estimated_seconds(NET, [5], inner_steps=1000) == pytest.approx(once * 9003 / 903)
    assert cost.estimated_seconds(NET, [5], inner_steps=1000, alpha=1.0) == once
    first = cost.estimated_seconds(NET, [5], inner_steps=1000, order="first")
    assert first == pytest.approx(once * 3003 / 303)


def test_noise_leaves_an_estimate_between_half_and_all_of_proportion(monkeypatch):
    """A sample that takes less time than a smaller one."""
    times = iter([0.01, 0.009, 0.06])
    monkeypatch.setattr(cost._Step, "seconds", lambda self, rows: next(times))
    found = cost.estimated_seconds(NET, np.full(10**5, 50))
    assert 0.5 < found / (0.06 * 10**5 / 512) <= 1.0


@pytest.mark.parametrize("loss", ["squared", "softmax", "cross_entropy", "poisson", "logistic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_loss_is_timed(monkeypatch, loss, dtype):
    monkeypatch.setattr(cost, "ENOUGH", 0.0)
    net = rfpcore.MLP(2, (3,), 3)
    found = cost.estimated_seconds(net, [4, 2], loss=loss, dtype=dtype, inner_steps=2, n_jobs=1)
    assert np.isfinite(found)
    assert found > 0


def test_what_is_refused():
    with pytest.raises(ValueError, match="one number of rows for each cluster"):
        cost.estimated_seconds(NET, [[1, 2]])
    with pytest.raises(ValueError, match=r"whole numbers .* got 0.0 at 1"):
        cost.estimated_seconds(NET, [1, 0])
    with pytest.raises(ValueError, match=r"whole numbers .* got 1.5 at 0"):
        cost.estimated_seconds(NET, [1.5])
    with pytest.raises(ValueError, match="outer_steps"):
        cost.estimated_seconds(NET, [1], -1)
    with pytest.raises(ValueError, match="order"):
        cost.estimated_seconds(NET, [1], order="second")
    with pytest.raises(ValueError, match="loss"):
        cost.estimated_seconds(NET, [1], loss="absolute")
