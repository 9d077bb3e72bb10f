"""Parameters as older files have them."""

from typing import Any

RENAMED = {
    "alpha": "inner_lr",
    "clip": "particle_bound",
    "gamma": "learning_rate_init",
    "hidden_W": "hidden_layer_sizes_covariates",
    "hidden_X": "hidden_layer_sizes",
    "hidden_Z": "hidden_layer_sizes_instrument",
    "penalty_1": "penalty_instrument",
    "penalty_2": "penalty",
    "ridge": "penalty",
    "sigma1": "temperature_instrument",
    "sigma2": "temperature",
    "step": "learning_rate_init",
    "steps_W": "inner_steps_covariates",
    "steps_Z": "inner_steps",
    "weight_decay_W": "weight_decay_covariates",
    "zeta1": "weight_decay_instrument",
    "zeta2": "weight_decay",
}
"""Old names and new; none of the new ones is an old one of the same estimator."""


def renamed(params: dict[str, Any]) -> dict[str, Any]:
    """The same values under the names of today."""
    return {RENAMED.get(name, name): value for name, value in params.items()}
