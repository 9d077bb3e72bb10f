"""rfpcore's process for training many networks: `fit_many`."""

from typing import Any

import numpy as np

from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD, Adam
from rfpcore.regularize import L2

from ..worker import Result, Run, serve
from .tasks import TASKS, problem


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    task, count = TASKS[request["task"]], request["models"]
    data = problem(task, request["dtype"], count)
    models = [
        Model(
            task.widths[1:-1],
            loss="softmax",
            optimizer=SGD(task.rate) if task.optimizer == "sgd" else Adam(task.rate),
            regularization=L2(task.decay) if task.decay else None,
            batch_size=None if task.batch == task.rows else task.batch,
            n_steps=request["steps"],
            seed=seed,
        )
        for seed in range(count)
    ]
    y = data.y.astype(request["dtype"])

    def run() -> Any:
        return fit_many(
            data.X, y, models, theta=data.thetas, n_outputs=task.widths[-1], n_jobs=request["threads"]
        )

    return run, lambda found: (float(found.loss_curves[:, -1].mean()), np.ravel(found.thetas))


if __name__ == "__main__":
    serve(build)
