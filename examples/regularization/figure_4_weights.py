"""Figure 4: the weights between the hidden layers without a penalty, with L2 and with L1.

The note finds the weights of the L1 network sparse. Its step, the sign of a weight, only lets weights
flicker about zero: next to none is exactly zero, though nearly all are below 0.001. L2 brings many below
0.001 too, in some seeds. Exact zeros take the proximal step. Data and settings are those of figures 2 and 3.

Praturu (2026), "Regularization", section 2.1.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from common import claim, moons, options, spread
from figures_2_3_weight_decay import train

from rfpcore.plotting import WeightMatrixDisplay
from rfpcore.regularize import L1, L2

SMALL = 1e-3
TERMS = {
    "no penalty": L2(0.0),
    "L2, λ = 0.0025": L2(0.0025),
    "L1, λ = 0.002": L1(0.002),
    "L1, λ = 0.002, proximal": L1(0.002, method="proximal"),
}


def main(arguments: Sequence[str] | None = None) -> bool:
    found = options(__doc__, "figure_4.png", arguments)
    seeds = found.seeds
    data = moons(250, seeds, noise=0.15, flipped=0.1)
    result = train(list(TERMS.values()), data).result
    displays = [WeightMatrixDisplay(one.net.unflatten(one.theta)[1][0]) for one in result]
    exact = np.array([display.zero_share() for display in displays]).reshape(-1, seeds)
    near = np.array([display.zero_share(SMALL) for display in displays]).reshape(-1, seeds)
    accuracy = 100 * result.held_out_accuracies[:, -1].reshape(-1, seeds)
    print("\nexact zeros among the hidden weights, weights below 0.001, and accuracy on clean labels, in %")
    for name, *values in zip(TERMS, 100 * exact, 100 * near, accuracy, strict=True):
        print(f"  {name:24} " + "   ".join(spread(own) for own in values))
    print()
    holds = claim("the proximal step leaves more than 90 % exact zeros", exact[3] > 0.9)
    holds &= claim("and gains at least 3 points of accuracy", accuracy[3] - accuracy[0] >= 3)
    holds &= claim("L2 leaves none", exact[1] == 0)
    holds &= claim("the step by the sign leaves less than 1 %", exact[2] < 0.01)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    for i, (ax, name) in enumerate(zip(axes, TERMS, strict=True)):
        displays[i * seeds].plot(ax)
        ax.set_title(f"{name}\n{exact[i, 0]:.0%} exact zeros", fontsize=10)
    figure.savefig(found.output, dpi=120)
    plt.close(figure)
    print(f"Wrote {found.output}.")
    return holds


if __name__ == "__main__":
    main()
