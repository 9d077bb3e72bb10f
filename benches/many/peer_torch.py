"""PyTorch's process for training many networks: a model at a time, or all by torch.func's vmap."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from ..worker import Result, Run, serve
from .tasks import TASKS, Task, batches, problem


def network(task: Task, theta: Tensor) -> nn.Sequential:
    """A module with these flat parameters."""
    layers: list[nn.Module] = []
    at = 0
    for n_in, n_out in task.layers:
        linear = nn.Linear(n_in, n_out, dtype=theta.dtype)
        W, at = theta[at : at + n_in * n_out].reshape(n_in, n_out), at + n_in * n_out
        linear.weight.data, linear.bias.data = W.T.contiguous(), theta[at : at + n_out].clone()
        at += n_out
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def flatten(model: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().T.reshape(-1) for p in model.parameters()]).numpy()


def optimizer_of(task: Task, parameters: Any) -> torch.optim.Optimizer:
    if task.optimizer == "sgd":
        return torch.optim.SGD(parameters, task.rate, weight_decay=task.decay)
    return torch.optim.Adam(parameters, task.rate)


def eager(task: Task, thetas: Tensor, X: Tensor, y: Tensor, rows: Tensor) -> tuple[Run, Result]:
    """The loop that everyone writes; models one after the other."""

    def run() -> Any:
        models = [network(task, theta) for theta in thetas]
        value = torch.zeros(())
        for m, model in enumerate(models):
            optimizer = optimizer_of(task, model.parameters())
            for own in rows[:, m]:
                x, target = (X, y) if task.batch == task.rows else (X[own], y[own])
                optimizer.zero_grad()
                value = F.cross_entropy(model(x), target)
                value.backward()
                optimizer.step()
        return value.item(), models

    return run, lambda found: (found[0], np.concatenate([flatten(model) for model in found[1]]))


def together(task: Task, thetas: Tensor, X: Tensor, y: Tensor, rows: Tensor) -> tuple[Run, Result]:
    """All models at once, their parameters stacked; SGD written out."""
    models = [network(task, theta) for theta in thetas]
    shape, names = models[0], [name for name, _ in models[0].named_parameters()]

    def loss(parameters: dict[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(shape, parameters, (x,)), target)

    gradient = vmap(grad(loss))

    def run() -> Any:
        parameters = {name: p.detach().clone() for name, p in stack_module_state(models)[0].items()}
        for own in rows:
            found = gradient(parameters, X[own], y[own])
            parameters = {
                name: p - task.rate * (found[name] + task.decay * p) for name, p in parameters.items()
            }
        return parameters

    def result(parameters: dict[str, Tensor]) -> tuple[float, np.ndarray]:
        each = [[parameters[name][m].T.reshape(-1) for name in names] for m in range(len(models))]
        return 0.0, torch.cat([torch.cat(parts) for parts in each]).numpy()

    return run, result


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    torch.set_num_threads(request["threads"])
    task, count = TASKS[request["task"]], request["models"]
    found = problem(task, request["dtype"], count)
    thetas, X, y = torch.from_numpy(found.thetas), torch.from_numpy(found.X), torch.from_numpy(found.y)
    rows = torch.from_numpy(batches(task, count, request["steps"]).copy())
    form = together if request["form"] == "vmap" else eager
    return form(task, thetas, X, y, rows)


if __name__ == "__main__":
    serve(build)
