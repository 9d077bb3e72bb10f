"""Small data and parameters for the tests of ordinary networks and ensembles."""

import numpy as np

from rfpcore.datasets import make_noisy_moons

X, CODES, _ = make_noisy_moons(90, random_state=0)
THREE = CODES + (X[:, 0] > 1)
LABELS = np.array(["low", "mid", "high"])[THREE]
Y = np.sin(2 * X[:, 0]) + X[:, 1]
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 4, "batch_size": 32, "random_state": 0}
