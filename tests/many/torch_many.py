"""The trainer of many models again in PyTorch: the same weights, batches, masks, noise, shifts and mixtures.

What PyTorch has of its own is used: its optimizers, schedules, BatchNorm1d, label smoothing and losses.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rfpcore import _rfpcore
from rfpcore.optimizers import SGD, AdamW, Constant, Cosine, PowerLaw, Step
from rfpcore.regularize import (
    L1,
    L2,
    BatchNorm,
    ClipNorm,
    Dropout,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Shifts,
)

ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": F.softplus,
    "silu": F.silu,
    "gelu": F.gelu,
    "identity": lambda z: z,
}


class Network(nn.Module):
    """Linear layers from a flat vector, with normalization before and a mask after the activation."""

    def __init__(self, model, net, theta):
        super().__init__()
        self.activation = ACTIVATIONS[model.activation]
        self.linear = nn.ModuleList()
        for W, b in net.unflatten(theta):
            layer = nn.Linear(*W.shape, bias=net.bias, dtype=torch.float64)
            layer.weight.data = torch.tensor(W.T.copy())
            if net.bias:
                layer.bias.data = torch.tensor(b.copy())
            self.linear.append(layer)
        norm = model.terms.get(BatchNorm)
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, eps=norm.epsilon, momentum=norm.momentum, dtype=torch.float64)
            for width in (model.hidden_layer_sizes if norm else ())
        )

    def forward(self, x, masks=()):
        for i, layer in enumerate(self.linear[:-1]):
            z = layer(x)
            x = self.activation(self.norms[i](z) if self.norms else z)
            if len(masks):
                x = x * masks[i]
        return self.linear[-1](x)

    def flat(self):
        parts = [p for layer in self.linear for p in (layer.weight.T, layer.bias) if p is not None]
        return torch.cat([p.detach().reshape(-1) for p in parts]).numpy()

    def flat_batch_norm(self):
        parts = [p for n in self.norms for p in (n.weight, n.bias, n.running_mean, n.running_var)]
        return torch.cat([p.detach() for p in parts]).numpy()


def row_losses(loss, outputs, targets):
    """(rows,); class codes are distributions here."""
    if loss == "squared":
        return ((outputs - targets) ** 2).sum(1)
    if loss in ("softmax", "cross_entropy"):
        return F.cross_entropy(outputs, targets, reduction="none")
    if loss == "logistic":
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(1)
    return F.poisson_nll_loss(outputs, targets, log_input=True, reduction="none").sum(1)


def smoothed(model, y, n_outputs):
    """Targets: class codes become distributions, smoothed as by CrossEntropyLoss(label_smoothing=…)."""
    term = model.terms.get(LabelSmoothing)
    classes = n_outputs if model.loss == "softmax" else 2
    epsilon = term.epsilon if term else 0.0
    if term and term.form == "others":  # ε/(K − 1) on the others is PyTorch's form with ε K/(K − 1)
        epsilon *= classes / (classes - 1)
    if model.loss == "softmax":
        y = F.one_hot(torch.tensor(y[:, 0]).long(), n_outputs).double()
    else:
        y = torch.tensor(y)
    return (1 - epsilon) * y + epsilon / classes if term else y


def shifted(x, term, by):
    """Whole batch moved down and right, zeros moving in: a padded window of it."""
    if by is None:
        return x
    h, w = term.image_shape
    down, right = by
    images = F.pad(x.reshape(-1, h, w), (w, w, h, h))
    return images[:, h - down : 2 * h - down, w - right : 2 * w - right].reshape(len(x), -1)


def make_optimizer(model, network):
    """PyTorch's optimizer with coupled or decoupled decay in its own weight_decay."""
    l2, rule = model.terms.get(L2), model.optimizer
    weights = [layer.weight for layer in network.linear]
    biases = [layer.bias for layer in network.linear if layer.bias is not None]
    decoupled = rule.weight_decay if isinstance(rule, AdamW) else 0.0
    coupled = 0.0
    if l2 and l2.decoupled:
        decoupled = l2.strength
    elif l2:
        coupled = l2.strength
    own = decoupled or coupled
    on_biases = own if not l2 or l2.biases else 0.0
    groups = [
        {"params": weights, "weight_decay": own},
        {"params": biases, "weight_decay": on_biases},
        {"params": list(network.norms.parameters()), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(
        rule, SGD
    ):  # with plain SGD coupled and decoupled are one; with momentum only coupled is tried
        assert not decoupled or rule.momentum == 0
        return torch.optim.SGD(groups, rule.lr, rule.momentum, nesterov=rule.nesterov)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    return kind(groups, rule.lr, (rule.beta1, rule.beta2), rule.epsilon)


def make_schedule(schedule, optimizer):
    own = torch.optim.lr_scheduler
    if isinstance(schedule, Constant):
        return own.ConstantLR(optimizer, 1.0)
    if isinstance(schedule, Cosine):
        return own.CosineAnnealingLR(optimizer, schedule.steps)
    if isinstance(schedule, Step):
        return own.StepLR(optimizer, int(schedule.every), schedule.factor)
    assert isinstance(schedule, PowerLaw)
    return own.LambdaLR(optimizer, lambda t: (1 + t / schedule.tau) ** -schedule.power)


def slope_of_l1(p, term):
    """Gradient of the penalty by autograd; the smoothed one is Huber's function over δ."""
    p = p.detach().requires_grad_()
    if term.smoothing > 0:
        value = F.huber_loss(p, torch.zeros_like(p), delta=term.smoothing, reduction="sum") / term.smoothing
    else:
        value = p.abs().sum()
    return torch.autograd.grad(value, p)[0]


def take_step(model, network, optimizer):
    """Clip, penalise, step, shrink: in the order that the trainer documents."""
    terms, lr = model.terms, optimizer.param_groups[0]["lr"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if (clip := terms.get(ClipNorm)) is not None:  # clip_grad_norm_ adds 1e-6 to the norm
        norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
        for p in parameters:
            p.grad *= min(1.0, clip.limit / norm.item())
    l1 = terms.get(L1)
    penalised = [layer.weight for layer in network.linear] if l1 else []
    if l1 and l1.biases:
        penalised += [layer.bias for layer in network.linear if layer.bias is not None]
    slopes = [slope_of_l1(p, l1) for p in penalised]
    if l1 and l1.method == "subgradient":
        for p, slope in zip(penalised, slopes, strict=True):
            p.grad += l1.strength * slope
    optimizer.step()
    with torch.no_grad():
        for p, slope in zip(penalised, slopes, strict=True):
            if l1.method == "decoupled":
                p -= lr * l1.strength * slope
            elif l1.method == "proximal":
                p.copy_(F.softshrink(p, lr * l1.strength))
        if (bound := terms.get(MaxNorm)) is not None:
            for layer in network.linear:
                norms = layer.weight.norm(dim=1, keepdim=True)
                layer.weight *= torch.clamp(bound.limit / norms, max=1.0)


def changed(terms, drawn, x, t, own):
    """A batch's inputs, targets and weights: shifted, mixed, with noise."""
    if (term := terms.get(Shifts)) is not None:
        x = shifted(x, term, drawn["shift"])
    if terms.get(Mixup) is not None:
        share, partners = drawn["mixup"]
        x, t, own = (share * part + (1 - share) * part[partners] for part in (x, t, own))
    if (noise := terms.get(InputNoise)) is not None:
        x = x + noise.scale * torch.tensor(drawn["noise"]).reshape(x.shape)
    if (term := terms.get(Dropout)) is not None and term.inputs > 0:
        x = x * torch.tensor(drawn["input_mask"]).reshape(-1, x.shape[1])
    return x, t, own


def masks_of(model, drawn):
    """A mask for each hidden layer, (1 or rows, width)."""
    with_masks = model.terms.get(Dropout) is not None
    pairs = zip(drawn["masks"], model.hidden_layer_sizes, strict=with_masks)
    return [torch.tensor(mask).reshape(-1, width) for mask, width in pairs]


def train(model, X, y, theta, n_outputs, rows=None, weights=None):
    """Train as `fit_many` does; the network, and the batches' losses."""
    torch.set_num_threads(1)
    y = y.reshape(len(y), -1)
    net = model.net(X.shape[1], n_outputs)
    kernel, terms = model.kernel(net), model.terms
    rows = np.arange(len(X)) if rows is None else np.asarray(rows)
    weights = np.ones(len(X)) if weights is None else np.asarray(weights)
    rows = rows[weights[rows] > 0]
    w = weights[rows] / weights[rows].mean()
    targets = smoothed(model, y[rows], n_outputs)
    network = Network(model, net, theta)
    optimizer = make_optimizer(model, network)
    schedule = make_schedule(model.optimizer.schedule, optimizer)
    losses = []
    for step in range(model.steps_for(len(rows))):
        drawn = _rfpcore.draws(kernel, len(rows), step)
        batch = drawn["rows"]
        x, t, own = torch.tensor(X[rows[batch]]), targets[batch], torch.tensor(w[batch])
        x, t, own = changed(terms, drawn, x, t, own)
        masks = masks_of(model, drawn)
        optimizer.zero_grad()
        loss = (own * row_losses(model.loss, network(x, masks), t)).mean()
        loss.backward()
        take_step(model, network, optimizer)
        schedule.step()
        losses.append(loss.item())
    return network, losses
