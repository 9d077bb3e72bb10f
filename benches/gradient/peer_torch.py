"""PyTorch's process: torch.func with vmap over clusters of one size, eager or through torch.compile."""

from typing import Any

import torch
from torch.func import grad, grad_and_value, vmap
from torch.nn import functional as F

from ..worker import Result, Run, serve
from .workloads import ALPHA, ETA, Workload, from_json, problem

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "silu": F.silu, "gelu": F.gelu}


def forward(work: Workload, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    at = 0
    for layer, (n_in, n_out) in enumerate(work.layers):
        x = x if layer == 0 else ACTIVATIONS[work.activation](x)
        W, at = theta[at : at + n_in * n_out].reshape(n_in, n_out), at + n_in * n_out
        x, at = x @ W + theta[at : at + n_out], at + n_out
    return x


def objective(work: Workload) -> Any:
    """R_k of equally long clusters as a function of (theta, x, y)."""

    def loss(theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        outputs = forward(work, theta, x)
        if work.loss == "softmax":
            return (outputs.logsumexp(1) - outputs.gather(1, y[:, None].long())[:, 0]).mean()
        return ((y - outputs[:, 0]) ** 2).mean()

    def one(theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        adapted = theta
        for _ in range(work.steps):
            adapted = adapted - ETA * grad(loss)(adapted, x, y)
        return ALPHA * loss(theta, x, y) + (1 - ALPHA) * loss(adapted, x, y)

    return lambda theta, x, y: vmap(one, (None, 0, 0))(theta, x, y).mean()


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    torch.set_num_threads(request["threads"])
    work = from_json(request["workload"])
    if work.rows is None:
        raise ValueError("vmap needs clusters of one size")
    theta, X, y, _ = (torch.from_numpy(array) for array in problem(work, request["dtype"]))
    X, y = X.reshape(work.clusters, work.rows, -1), y.reshape(work.clusters, work.rows)
    function = grad_and_value(objective(work))
    if request["form"] == "compile":
        function = torch.compile(function)
    return lambda: function(theta, X, y), lambda found: (found[1].item(), found[0].numpy())


if __name__ == "__main__":
    serve(build)
