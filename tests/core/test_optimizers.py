"""The learning rates that an optimizer says its steps take."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore.optimizers import SGD, Adam, AdamW, Constant, Cosine, PowerLaw, Step

SCHEDULERS = torch.optim.lr_scheduler
SCHEDULES = [
    (Constant(), lambda optimizer: SCHEDULERS.ConstantLR(optimizer, 1.0)),
    (Cosine(30), lambda optimizer: SCHEDULERS.CosineAnnealingLR(optimizer, 30)),
    (Step(7, 0.5), lambda optimizer: SCHEDULERS.StepLR(optimizer, 7, 0.5)),
    (PowerLaw(5, 1.5), lambda optimizer: SCHEDULERS.LambdaLR(optimizer, lambda t: (1 + t / 5) ** -1.5)),
]


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
@pytest.mark.parametrize(("schedule", "scheduler"), SCHEDULES, ids=lambda value: type(value).__name__)
def test_learning_rates_are_torch_s(schedule, scheduler, kind):
    torch_optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.2)
    of_torch, expected = scheduler(torch_optimizer), []
    for _ in range(30):
        expected.append(torch_optimizer.param_groups[0]["lr"])
        torch_optimizer.step()
        of_torch.step()
    rates = kind(0.2, schedule=schedule).learning_rates(0, 30)
    assert rates.dtype == np.float64
    assert_allclose(rates, expected, rtol=1e-12, atol=1e-15)  # PyTorch's cosine is a recursion
    assert_array_equal(kind(0.2, schedule=schedule).learning_rates(11, 30), rates[11:])


def test_learning_rates_after_the_end_and_of_many_steps():
    assert_array_equal(SGD(0.1, schedule=Cosine(10)).learning_rates(10, 14), 0)
    assert SGD(0.1).learning_rates(5, 5).shape == (0,)
    rates = SGD(0.1, schedule=PowerLaw(1e3, 1)).learning_rates(7, 300_007)  # several parts
    assert_allclose(rates, 0.1 / (1 + np.arange(7, 300_007) / 1e3), rtol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1, 3), ValueError, r"start=-1 is too small; at least 0 is needed"),
        ((4, 3), ValueError, r"stop - start=-1 is too small; at least 0 is needed"),
        ((0, 2**31 - 1), ValueError, r"stop - start=2147483647 is too large; at most 100000000"),
        ((0, 2.5), TypeError, r"stop=2\.5 is a float; an integer is needed"),
    ],
)
def test_learning_rates_refuse(arguments, error, message):
    with pytest.raises(error, match=message):
        SGD(0.1).learning_rates(*arguments)
