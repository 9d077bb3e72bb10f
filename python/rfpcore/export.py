"""Fitted networks as modules of PyTorch, and by way of it whatever PyTorch exports to."""

from typing import TYPE_CHECKING, Any, Literal

from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ._options import choice
from .estimators import (
    EnsembleClassifier,
    EnsembleRegressor,
    MLPClassifier,
    MLPRegressor,
    RFPClassifier,
    RFPRegressor,
)
from .losses import read

if TYPE_CHECKING:
    from torch import nn

__all__ = ["to_torch"]

_NETWORKS = (MLPRegressor, MLPClassifier, RFPRegressor, RFPClassifier)
_ENSEMBLES = (EnsembleRegressor, EnsembleClassifier)
Output = Literal["prediction", "linear"]


def to_torch(model: Any, *, output: Output = "prediction") -> "nn.Sequential":
    """A fitted network, or ensemble, as a `torch.nn.Sequential` that predicts the same.

    Features go in as they went into `fit`, standardising included. Of RFP estimators it is the population's
    network, whose parameters `adapt` starts from. Parameters are copies: training the module changes nothing
    here.

    Parameters
    ----------
    model : MLPRegressor, MLPClassifier, RFPRegressor, RFPClassifier or an ensemble
        Fitted. Its dtype is the module's.
    output : {"prediction", "linear"}, default="prediction"
        "prediction": of a regressor what `predict` gives, always (N, n_outputs); of a classifier the
        probabilities (N, n_classes), in the order of `classes_`. "linear": the network's outputs before link
        and units, for losses of PyTorch such as `BCEWithLogitsLoss`; not of an ensemble, which is a mean of
        predictions.

    Returns
    -------
    module : torch.nn.Sequential
        Agrees to rounding: about 1e-12 in float64, 1e-6 in float32.

    Raises
    ------
    ImportError
        If torch is not installed.
    NotFittedError, TypeError, ValueError
        If the model is not fitted, of another class, or an ensemble asked for linear outputs.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from rfpcore import MLPRegressor
    >>> from rfpcore.export import to_torch
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(8,), random_state=0).fit(X, np.sin(X[:, 0]))
    >>> module = to_torch(model)
    >>> bool(np.allclose(module(torch.tensor(X)).detach()[:, 0], model.predict(X), rtol=0, atol=1e-12))
    True
    """
    if not isinstance(model, _NETWORKS + _ENSEMBLES):
        names = ", ".join(kind.__name__ for kind in _NETWORKS + _ENSEMBLES)
        raise TypeError(f"model is a {type(model).__name__}; one of {names} is needed")
    check_is_fitted(model)
    linear = choice(output, "output", Output) == "linear"
    try:
        from torch import nn
    except ImportError as error:
        raise ImportError("to_torch needs torch: pip install torch") from error
    if isinstance(model, _NETWORKS):
        return nn.Sequential(*_layers(model, linear))
    if linear:
        raise ValueError(
            "output='linear' is of one network; an ensemble predicts a mean of predictions. Its estimators_ "
            "have linear outputs"
        )
    from ._torch_layers import MeanOfNetworks

    return nn.Sequential(MeanOfNetworks([nn.Sequential(*_layers(own, False)) for own in model.estimators_]))


def _layers(model: Any, linear: bool) -> list["nn.Module"]:
    """From features to outputs, or to predictions."""
    import torch
    from torch import nn

    from . import _torch_layers as own

    activations: dict[str, Any] = {
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "softplus": lambda: nn.Softplus(threshold=40.0),  # torch's default, 20, is off by 2e-9
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "elu": nn.ELU,
        "identity": nn.Identity,
    }
    layers: list[nn.Module] = []
    if hasattr(model, "x_scaling_"):
        layers.append(own.Standardised(model.x_scaling_))
    for index, (W, b) in enumerate(model.net_.unflatten(model.theta_)):
        if index:
            layers.append(activations[model.net_.activation]())
        layer = nn.Linear(W.shape[0], W.shape[1], dtype=torch.from_numpy(W[:0]).dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(W.T))
            layer.bias.copy_(torch.tensor(b))
        layers.append(layer)
    return layers if linear else layers + _link(model)


def _link(model: Any) -> list["nn.Module"]:
    """From linear outputs to predictions."""
    from torch import nn

    from . import _torch_layers as own

    if is_classifier(model):
        return [own.TwoClasses() if len(model.classes_) == 2 else nn.Softmax(dim=1)]
    links: list[nn.Module] = [] if read(model._fit_loss).kind.keeps_units else [own.Exponential()]
    if hasattr(model, "y_scaling_"):
        links.append(own.Undone(model.y_scaling_))
    return links
