"""scikit-learn's process for training many networks: MLPClassifier, one after the other."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from ..worker import Result, Run, serve
from .tasks import TASKS, problem


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    """Whole epochs, as it counts them: `steps` rounded up to them, with the time of a step in the driver."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    task, count = TASKS[request["task"]], request["models"]
    data = problem(task, request["dtype"], count)
    epochs = request["steps"] // -(-task.rows // task.batch)

    def run() -> Any:
        return [
            MLPClassifier(
                task.widths[1:-1],
                activation="tanh",
                solver=task.optimizer,
                alpha=task.decay,
                batch_size=task.batch,
                learning_rate_init=task.rate,
                momentum=0.0,
                max_iter=epochs,
                tol=0.0,
                n_iter_no_change=epochs + 1,
                random_state=seed,
            ).fit(data.X, data.y)
            for seed in range(count)
        ]

    return run, lambda models: (
        models[-1].loss_,
        np.concatenate([W.ravel() for m in models for W in m.coefs_]),
    )


if __name__ == "__main__":
    serve(build)
