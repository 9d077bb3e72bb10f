"""Figures 7 and 8: how sure a classifier is against how often it is right, and label smoothing.

The note trains on 1000 images of MNIST and finds the least calibration error at ε = 0.015. Plain small digits
are too easy to show it: the network is calibrated without smoothing. With noise on the pixels, 3·(x + 0.3·z)
with z standard normal, and 300 of them, it is overconfident as in the note. Which ε is best depends on
the data; that there is one inside the sweep does not.

Praturu (2026), "Regularization", section 4.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from common import claim, draw_rows, options, real_images, softmax, spread

from rfpcore.calibration import confidences, reliability_curve
from rfpcore.datasets import Images, load_digits
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD, PowerLaw
from rfpcore.plotting import ReliabilityDisplay
from rfpcore.regularize import LabelSmoothing

EPSILONS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
SHOWN = (0.0, 0.015, 0.05, 0.1)


def noisy_digits() -> Images:
    """The digits with noise on every pixel."""
    digits = load_digits()
    noise = np.random.default_rng(0).standard_normal(digits.X.shape, np.float32)
    return digits._replace(X=3 * (digits.X + np.float32(0.3) * noise))


def predict(images: Images, n_train: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (ε, seed, test row, class), and the true classes of the test rows."""
    rows, test = draw_rows(images, n_train, seeds)
    models = [
        Model(
            (128,),
            loss="softmax",
            optimizer=SGD(0.15, schedule=PowerLaw(tau=5e3, power=1)),
            regularization=LabelSmoothing(epsilon),
            batch_size=32,
            n_epochs=250,
            seed=seed,
        )
        for epsilon in EPSILONS
        for seed in range(seeds)
    ]
    result = fit_many(images.X, images.y, models, rows=rows * len(EPSILONS))
    probabilities = softmax(result.predict(images.X[test]))
    return probabilities.reshape(len(EPSILONS), seeds, len(test), -1), images.y[test]


def draw(probabilities: np.ndarray, truth: np.ndarray, errors: np.ndarray, path: str) -> None:
    """Confidence where wrong, calibration without smoothing and with, and the error against ε."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    confidence, right = confidences(truth, probabilities[0, 0])
    axes[0].ecdf(confidence[~right])
    axes[0].set(xlabel="confidence", ylabel="share of the wrong predictions", title="where it is wrong")
    ReliabilityDisplay.from_predictions(truth, probabilities[0, 0], name="no smoothing").plot(axes[1])
    for epsilon in SHOWN:
        own = probabilities[EPSILONS.index(epsilon), 0]
        ReliabilityDisplay.from_predictions(truth, own, name=f"ε = {epsilon}").plot(axes[2])
    axes[2].legend(frameon=False, fontsize=8, loc="lower right")
    mean, deviation = errors.mean(axis=1), errors.std(axis=1)
    axes[3].errorbar(EPSILONS, mean, deviation, marker="o", markersize=4, capsize=3)
    axes[3].set(xlabel="ε", ylabel="expected calibration error", title=f"{errors.shape[1]} seeds")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> bool:
    found = options(__doc__, "figures_7_8.png", arguments, images=True)
    mnist = real_images(found)
    images, n_train = (noisy_digits(), 300) if mnist is None else (mnist, 1000)
    probabilities, truth = predict(images, n_train, found.seeds)
    curves = [[reliability_curve(truth, p) for p in own] for own in probabilities]
    errors = np.array([[curve.expected_calibration_error for curve in own] for own in curves])
    over = np.array([[curve.overconfidence for curve in own] for own in curves])
    accuracy = (probabilities.argmax(axis=-1) == truth).mean(axis=-1)
    print("\nexpected calibration error in 15 quantile bins, confidence minus accuracy, and accuracy")
    for epsilon, *values in zip(EPSILONS, errors, over, accuracy, strict=True):
        print(f"  ε = {epsilon:.3f}   " + "   ".join(spread(own, ".3f") for own in values))
    wrong = [confidences(truth, p) for p in probabilities[0]]
    sure = np.array([(confidence[~right] > 0.8).mean() for confidence, right in wrong])
    print(f"without smoothing, of its errors the network is more than 80 % sure of {spread(100 * sure)} %\n")
    middle = errors[EPSILONS.index(0.015)]
    holds = claim("confidence minus accuracy falls with ε", (np.diff(over, axis=0) < 0).all(axis=0))
    holds &= claim("ε = 0.015 is better calibrated than no smoothing", middle < errors[0])
    holds &= claim("ε = 0.015 is better calibrated than ε = 0.1", middle < errors[-1])
    draw(probabilities, truth, errors, found.output)
    print(f"Wrote {found.output}.")
    return holds


if __name__ == "__main__":
    main()
