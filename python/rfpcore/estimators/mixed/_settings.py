"""A mixed model's parameters, checked before any work."""

from dataclasses import dataclass
from typing import Any, Literal

from ..._arrays import shown
from ..._limits import Limits, one_of, seed, shown_progress, threads, unchecked, whole
from ..._options import Activation, at_least, boolean, choice, integer, items, layer_sizes, positive
from ._components import Structure
from ._networks import NetworkTraining

MeanName = Literal["auto", "network", "gp", "trees", "linear"]
EffectName = Literal["intercept", "slopes", "smooth"]
SlopeCovariance = Literal["auto", "shared", "diagonal", "full"]

EFFECTS, SLOPES = ("intercept", "slopes", "smooth"), ("shared", "diagonal", "full")
MOST_PARAMETERS = 1000  # of a covariance
DECAYS = (0.0, 5e-4, 2e-3, 8e-3)


def mean(value: Any, name: str) -> Any:
    """The name of a kind of mean, or a regressor."""
    if hasattr(value, "fit") and hasattr(value, "predict") and not isinstance(value, type):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{name}={shown(value)} is a {type(value).__name__}; 'auto', 'network', 'gp', 'trees', 'linear' "
            "or a regressor is needed"
        )
    return choice(value, name, MeanName)


def effects(value: Any, name: str) -> tuple[str, ...] | None:
    """None for "auto", else which effects a cluster has."""
    if isinstance(value, str):
        if value == "auto":
            return None
        value = (value,)
    found = [
        choice(each, f"{name}[{i}]", EffectName)
        for i, each in enumerate(items(value, name, "a sequence of names"))
    ]
    if not found:
        raise ValueError(f"{name} is empty; at least one of 'intercept', 'slopes', 'smooth' is needed")
    return tuple(dict.fromkeys(found))


def auto_or_true(value: Any, name: str) -> bool | None:
    """None for "auto"."""
    return None if isinstance(value, str) and value == "auto" else boolean(value, name)


def decay(value: Any, name: str) -> tuple[float, ...]:
    """Weight decays to choose from."""
    if isinstance(value, str):
        choice(value, name, Literal["auto"])
        return DECAYS
    return (at_least(value, name, 0.0),)


LIMITS: Limits = {
    "mean": mean,
    "effects": effects,
    "effect_columns": unchecked,
    "slope_covariance": one_of(SlopeCovariance),
    "center_slopes": auto_or_true,
    "cluster_means": boolean,
    "n_folds": whole(2),
    "hidden_layer_sizes": lambda value, name: layer_sizes(value),
    "activation": one_of(Activation),
    "learning_rate_init": positive,
    "weight_decay": decay,
    "max_iter": whole(),
    "random_state": seed,
    "n_jobs": threads,
    "verbose": shown_progress,
}


@dataclass(frozen=True)
class MixedSettings:
    """What a fit is told, beside the data."""

    mean: Any
    reml: bool
    n_folds: int
    guard: bool
    training: NetworkTraining
    seed: int
    n_threads: int


def settings(given: dict[str, Any]) -> MixedSettings:
    """From checked parameters."""
    training = NetworkTraining(
        given["hidden_layer_sizes"],
        given["activation"],
        given["learning_rate_init"],
        given["max_iter"],
        given["weight_decay"],
    )
    return MixedSettings(
        given["mean"],
        given.get("reml", False),
        given["n_folds"],
        given.get("guard", False),
        training,
        given["random_state"],
        given["n_jobs"],
    )


def structure(given: dict[str, Any], n_columns: int, names: Any, levels: int) -> Structure:
    """The clusters' effects: by default lme4's for a linear mean, else all, about the cluster's mean."""
    is_linear = isinstance(given["mean"], str) and given["mean"] == "linear"
    which = given["effects"]
    if which is None:
        which = ("intercept",) if is_linear else ("intercept", "slopes", "smooth")
    columns = _columns(given["effect_columns"], n_columns, names)
    if given["effect_columns"] is not None and not {"slopes", "smooth"} & set(which):
        raise ValueError(
            f"effect_columns={given['effect_columns']!r} has no meaning: effects={which!r} have neither "
            "slopes nor smooth functions"
        )
    covariance, centred = given["slope_covariance"], given["center_slopes"]
    if covariance == "auto":
        covariance = "full" if is_linear else "shared"
    found = Structure(
        "intercept" in which,
        columns if "slopes" in which else (),
        covariance,
        (not is_linear) if centred is None else centred,
        columns if "smooth" in which else (),
        levels,
    )
    if found.n_parameters > MOST_PARAMETERS:
        raise ValueError(
            f"effects of {found.n_columns} columns with slope_covariance={covariance!r} have "
            f"{found.n_parameters} variances and covariances; at most {MOST_PARAMETERS} are possible: choose "
            "effect_columns, or slope_covariance='diagonal' or 'shared'"
        )
    return found


def _columns(value: Any, n_columns: int, names: Any) -> tuple[int, ...]:
    """Positions of columns given by name or position."""
    if value is None:
        return tuple(range(n_columns))
    known = [] if names is None else list(names)
    found = []
    for i, each in enumerate(items([value] if isinstance(value, str) else value, "effect_columns")):
        if isinstance(each, str):
            if each not in known:
                raise ValueError(
                    f"effect_columns[{i}]={each!r} is no column of X; it has {known or 'no names'}"
                )
            found.append(known.index(each))
        else:
            found.append(integer(each, f"effect_columns[{i}]", 0, n_columns - 1))
    if not found:
        raise ValueError("effect_columns is empty; None (all columns) or at least one is needed")
    return tuple(dict.fromkeys(found))
