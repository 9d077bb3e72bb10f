"""Figure 1: shifting the images of a batch, against not shifting them.

With probability ½ all images of a batch are moved by two shifts drawn from −2, −1, 1, 2. The note trains on
1000 images of MNIST. Small digits need a setting of their own: where every digit fills its 8 × 8 pixels a
shift cuts it off, and training on shifted ones hurts. Placed at random on a canvas of 12 × 12 they are as the
shifts suppose, and augmentation gains many points. Both are shown.

Praturu (2026), "Regularization", section 1.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from common import claim, draw_rows, options, real_images, spread

from rfpcore.datasets import Images, jitter_images, load_digits
from rfpcore.many import ManyResult, Model, Record, fit_many
from rfpcore.optimizers import Adam, PowerLaw
from rfpcore.plotting import LossCurveDisplay
from rfpcore.regularize import Shifts

NAMES = ("no augmentation", "shifts")
PANELS = {
    "train_losses": "train loss",
    "train_accuracies": "train accuracy",
    "held_out_accuracies": "test accuracy",
}


def train(images: Images, n_train: int, epochs: int, seeds: int) -> ManyResult:
    """Models without shifts, then with: one a seed."""
    rows, test = draw_rows(images, n_train, seeds)
    models = [
        Model(
            (128,),
            loss="softmax",
            optimizer=Adam(0.01, schedule=PowerLaw(tau=5e4, power=0.5)),
            regularization=term,
            batch_size=8,
            n_epochs=epochs,
            seed=seed,
        )
        for term in (None, Shifts(images.image_shape))
        for seed in range(seeds)
    ]
    record = Record(every=max(models[0].steps_for(n_train) // 60, 1))
    held_out = images.X[test], images.y[test]
    return fit_many(images.X, images.y, models, rows=rows * 2, held_out=held_out, record=record)


def report(name: str, result: ManyResult, seeds: int) -> np.ndarray:
    """Print test accuracies; the gain of each seed in points."""
    accuracy = 100 * result.held_out_accuracies[:, -1].reshape(2, seeds)
    gain = accuracy[1] - accuracy[0]
    print(f"{name}: test accuracy in %")
    for label, own in zip(NAMES, accuracy, strict=True):
        print(f"  {label:16} {spread(own)}")
    print(f"  {'gain':16} {spread(gain)}\n")
    return gain


def draw(results: dict[str, ManyResult], seeds: int, path: str) -> None:
    size = (11, 3.2 * len(results))
    figure, axes = plt.subplots(len(results), 3, figsize=size, layout="constrained", squeeze=False)
    for line, (name, result) in zip(axes, results.items(), strict=True):
        for ax, (attribute, label) in zip(line, PANELS.items(), strict=True):
            curves = dict(zip(NAMES, getattr(result, attribute).reshape(2, seeds, -1), strict=True))
            LossCurveDisplay(result.steps[0], curves).plot(ax, ylabel=label, log=attribute == "train_losses")
            ax.set_title(name, loc="left", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> bool:
    found = options(__doc__, "figure_1.png", arguments, images=True)
    epochs, seeds = 60 if found.short else 250, found.seeds
    mnist = real_images(found)
    if mnist is not None:
        results = {"1000 images of MNIST": train(mnist, 1000, epochs, seeds)}
        gains = [report(name, result, seeds) for name, result in results.items()]
        holds = claim("augmentation gains test accuracy", gains[0] > 0)
    else:
        digits = load_digits()
        moved = jitter_images(digits.X, digits.image_shape, (12, 12), 2, random_state=0)
        jittered = digits._replace(X=moved, image_shape=(12, 12))
        results = {
            "300 digits anywhere on 12 × 12": train(jittered, 300, epochs, seeds),
            "300 digits that fill 8 × 8": train(digits, 300, epochs, seeds),
        }
        gains = [report(name, result, seeds) for name, result in results.items()]
        holds = claim("augmentation gains more than 4 points on the canvas", gains[0] > 4)
        holds &= claim("augmentation hurts where digits fill their pixels", gains[1] < 0)
    draw(results, seeds, found.output)
    print(f"Wrote {found.output}.")
    return holds


if __name__ == "__main__":
    main()
