"""Small estimators on small data, for the tests of estimators."""

import numpy as np

from rfpcore import RFPClassifier, RFPRegressor
from rfpcore.datasets import make_vee

X, Y, GROUPS = make_vee(n_clusters=6, n_per_cluster=9, random_state=0)
SMALL = {
    "standardize": False,
    "learning_rate": "constant",
    "hidden_layer_sizes": (5,),
    "max_iter": 30,
    "random_state": 0,
}
CLASSES = np.array(["low", "mid", "high"])[np.digitize(Y, [0.7, 1.6])]


def regressor(**params):
    return RFPRegressor(**SMALL | params)


def classifier(**params):
    return RFPClassifier(**SMALL | params)


def nan_in(array, row):
    array = array.copy()
    array[row] = np.nan
    return array
