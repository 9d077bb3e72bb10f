"""PyTorch's process for training: a loop over tasks with autograd, as learn2learn and its likes have it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..worker import Result, Run, serve
from . import tasks
from .workloads import Workload

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
Task = tuple[Tensor, Tensor]


def forward(work: Workload, parameters: list[Tensor], x: Tensor) -> Tensor:
    last = len(parameters) // 2 - 1
    for layer in range(last + 1):
        x = F.linear(x, parameters[2 * layer], parameters[2 * layer + 1])
        x = x if layer == last else ACTIVATIONS[work.activation](x)
    return x[:, 0]


def adapted(work: Workload, parameters: list[Tensor], task: Task, k: int, eta: float) -> list[Tensor]:
    """The parameters after k steps on one task, as a function that autograd can go back through."""
    for _ in range(k):
        loss = F.mse_loss(forward(work, parameters, task[0]), task[1])
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        parameters = [p - eta * g for p, g in zip(parameters, gradients, strict=True)]
    return parameters


def sine_loss(parameters: list[Tensor], tasks_of_step: Iterable[Task], k: int) -> Tensor:
    total = torch.zeros(())
    for x, y in tasks_of_step:
        own = adapted(tasks.SINE, parameters, (x[: tasks.SHOTS], y[: tasks.SHOTS]), k, tasks.SINE_ETA)
        total = total + F.mse_loss(forward(tasks.SINE, own, x[tasks.SHOTS :]), y[tasks.SHOTS :])
    return total / tasks.SINE.clusters


def demo_loss(parameters: list[Tensor], districts: list[Task]) -> Tensor:
    total, rows = torch.zeros(()), 0
    for x, y in districts:
        own = adapted(tasks.DEMO, parameters, (x, y), 1, tasks.DEMO_ETA)
        before, after = (F.mse_loss(forward(tasks.DEMO, at, x), y) for at in (parameters, own))
        total = total + len(y) * (tasks.DEMO_ALPHA * before + (1 - tasks.DEMO_ALPHA) * after)
        rows += len(y)
    return total / rows


def unflatten(work: Workload, theta: Tensor) -> list[Tensor]:
    """Weights (out, in) and biases, leaves that can be trained."""
    parameters, at = [], 0
    for n_in, n_out in work.layers:
        W, at = theta[at : at + n_in * n_out].reshape(n_in, n_out), at + n_in * n_out
        b, at = theta[at : at + n_out], at + n_out
        parameters += [W.T, b]
    return [p.clone().contiguous().requires_grad_() for p in parameters]


def flatten(parameters: list[Tensor]) -> np.ndarray:
    return torch.cat([p.detach().T.reshape(-1) for p in parameters]).numpy()


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    torch.set_num_threads(request["threads"])
    step = 0
    if request["problem"] == "sine":
        theta, X, y = (torch.from_numpy(array) for array in tasks.sine(request["dtype"]))
        parameters, rate = unflatten(tasks.SINE, theta), tasks.SINE_RATE

        def loss() -> Tensor:
            batch = zip(X[step % len(X)], y[step % len(y)], strict=True)
            return sine_loss(parameters, batch, request["k"])

    else:
        found = tasks.demo(request["dtype"])
        X, y = (torch.from_numpy(array).split(found.sizes.tolist()) for array in (found.X, found.y))
        parameters, rate = unflatten(tasks.DEMO, torch.from_numpy(found.theta)), tasks.DEMO_RATE
        districts = list(zip(X, y, strict=True))

        def loss() -> Tensor:
            return demo_loss(parameters, districts)

    optimizer = torch.optim.Adam(parameters, rate)

    def run() -> float:
        nonlocal step
        for _ in range(tasks.CHUNK):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            step += 1
        return value.item()

    return run, lambda value: (value, flatten(parameters))


if __name__ == "__main__":
    serve(build)
