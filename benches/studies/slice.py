"""Networks a second of processor time, beside PyTorch, on a slice of the ablation.

Twelve widths from 3 to 256, 1000 noisy digits, batches of 100, Adam, 100 epochs, no regularization.

"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from rfpcore.many import Model, fit_many
from rfpcore.optimizers import Adam
from rfpcore.studies import geometric, noisy_digits

BATCH, RATE = 100, 0.01


def seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def rfpcore(X: np.ndarray, y: np.ndarray, widths: list[int], epochs: int, seeds: int) -> None:
    models = [
        Model((w,), "relu", "softmax", Adam(RATE), batch_size=BATCH, n_epochs=epochs, seed=seed)
        for w in widths
        for seed in range(seeds)
    ]
    fit_many(X, y, models, n_outputs=10, n_jobs=1, dtype=np.float32)


def torch(X: np.ndarray, y: np.ndarray, widths: list[int], epochs: int) -> None:
    """One network a width, by the loop that everyone writes."""
    import torch

    torch.set_num_threads(1)
    rows, labels = torch.tensor(X), torch.tensor(y)
    for w in widths:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(64, w), torch.nn.ReLU(), torch.nn.Linear(w, 10))
        optimizer = torch.optim.Adam(net.parameters(), RATE)
        for _ in range(epochs):
            for chosen in torch.randperm(len(rows)).split(BATCH):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(rows[chosen]), labels[chosen]).backward()
                optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    draw, widths = noisy_digits().draw(0), geometric(3, 256, 12)
    X, y = draw.X.astype(np.float32), draw.y
    epochs = 2 if options.quick else 100
    seeds = 1 if options.quick else 4
    rfpcore(X, y, widths, 1, 1)  # warm up
    torch(X, y, widths[:1], 1)
    own = len(widths) * seeds / seconds(lambda: rfpcore(X, y, widths, epochs, seeds))
    theirs = len(widths) / seconds(lambda: torch(X, y, widths, epochs))
    print(
        f"rfpcore {own:.1f}, torch {theirs:.2f} networks a second of processor time: {own / theirs:.0f} times"
    )


if __name__ == "__main__":
    main()
