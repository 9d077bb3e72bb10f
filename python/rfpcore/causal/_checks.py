"""What can be wrong with a design, said before anybody reads the estimate."""

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._scaling import named
from .._warn import warn
from ..exceptions import DesignWarning
from ._sample import Sample

FEW = 5  # clusters in an arm below which no interval can be trusted
MUCH_OUTSIDE = 0.3  # share of the treated clusters outside the controls' support
DOMINANT = 0.4  # share of an arm's weight in one cluster
ONE, TWO = 0.6, 0.95  # shares of a variance in one cluster, and in two


def outside_support(sample: Sample) -> NDArray[np.bool_]:
    """(G,) treated clusters beyond the controls' range in at least one cluster covariate."""
    control, treated = sample.Z[sample.arm == 0], sample.arm == 1
    if sample.Z.shape[1] == 0:
        return np.zeros(sample.n_clusters, bool)
    beyond = (control.min(axis=0) > sample.Z) | (control.max(axis=0) < sample.Z)
    return np.asarray(beyond.any(axis=1) & treated)


def require_overlap(sample: Sample) -> None:
    """ValueError if a cluster covariate separates the arms."""
    for j, name in enumerate(sample.cluster_names):
        control, treated = sample.Z[sample.arm == 0, j], sample.Z[sample.arm == 1, j]
        if treated.min() > control.max() or treated.max() < control.min():
            side = "above" if treated.min() > control.max() else "below"
            raise ValueError(
                f"no overlap: in the cluster covariate {name!r} every one of the {len(treated)} treated "
                f"clusters lies {side} every one of the {len(control)} control clusters. Nothing in the data "
                "says what they would have been without treatment"
            )


def warn_of_design(sample: Sample) -> None:
    """`DesignWarning` for arms of few clusters, little overlap, and a cluster that dominates its arm."""
    warn_of_few(sample.labels[sample.arm == 1], sample.labels[sample.arm == 0])
    outside = outside_support(sample)
    n_treated = int(np.sum(sample.arm == 1))
    if outside.sum() > MUCH_OUTSIDE * n_treated:
        warn(
            f"{outside.sum()} of {n_treated} treated clusters lie outside the range of the controls' cluster "
            f"covariates ({', '.join(sample.cluster_names)}): {named(sample.labels[outside])}. "
            "For them the outcome model extrapolates",
            DesignWarning,
        )
    _warn_of_dominance(sample)


def warn_of_few(treated: Array, control: Array) -> None:
    """`DesignWarning` for an arm of few clusters, given both arms' labels."""
    for arm, what in ((treated, "treated"), (control, "control")):
        if len(arm) == 1:
            text = (
                f"there is only 1 {what} cluster, {arm[0]!s}: how far clusters differ in that arm cannot be "
                "known, so there is no standard error"
            )
        elif len(arm) < FEW:
            text = (
                f"there are only {len(arm)} {what} clusters: with fewer than {FEW} in an arm no standard "
                "error can be trusted"
            )
        else:
            continue
        warn(text, DesignWarning)


def effective_number(shares: Array) -> float:
    """Of clusters that have equal shares of a sum, as concentrated as these: (sum s)^2 / sum s^2."""
    return float(shares.sum() ** 2 / np.sum(shares**2)) if shares.any() else 0.0


def warn_of_leverage(shares: Array, labels: Array) -> None:
    """`DesignWarning` where few clusters hold what varies in the treatment: a design's effective number."""
    number = effective_number(shares)
    if number < FEW:
        first = np.argsort(shares)[::-1][:3]
        warn(
            f"the coefficient of the treatment rests on few clusters, an effective number of {number:.1f} of "
            f"{len(shares)}: {shares[first].sum() / shares.sum():.0%} of what varies in the treatment beyond "
            f"the covariates is in {named(labels[first])}. With fewer than {FEW} no standard error can be "
            "trusted",
            DesignWarning,
        )


def dominant(squares: Array) -> NDArray[np.intp]:
    """The one or two clusters that make up nearly all of a variance; none where it is spread.

    `squares` (G,) are the clusters' parts. Of few clusters one has a large part by chance, and arms of few
    are warned of anyway.
    """
    order, n = np.argsort(squares)[::-1], len(squares)
    if n < FEW or not squares.any():
        return order[:0]
    first, second = squares[order[:2]] / squares.sum()
    if first > (ONE if n >= 2 * FEW else TWO):
        return order[:1]
    return order[: 2 if n >= 2 * FEW and first + second > TWO else 0]


def warn_of_concentration(squares: Array, labels: Array) -> None:
    """`DesignWarning` if one or two clusters make up nearly all of a standard error."""
    few = dominant(squares)
    if len(few):
        who = f"one cluster dominates: {labels[few[0]]!s} makes" if len(few) == 1 else ""
        who = who or f"two clusters dominate: {named(labels[few])} make"
        warn(
            f"{who} up {squares[few].sum() / squares.sum():.0%} of the variance from {len(squares)} "
            "clusters: the standard error rests on too few to be trusted",
            DesignWarning,
        )


def _warn_of_dominance(sample: Sample) -> None:
    total = np.bincount(sample.codes, sample.weight, sample.n_clusters)
    for value, what in ((1, "treated"), (0, "control")):
        own = np.flatnonzero(sample.arm == value)
        largest = own[np.argmax(total[own])]
        share = total[largest] / total[own].sum()
        if len(own) >= FEW and share > DOMINANT:
            warn(
                f"cluster {sample.labels[largest]!s} has {share:.0%} of the weight of the {len(own)} {what} "
                "clusters: the estimate is mostly about it, and standard errors rest on the others",
                DesignWarning,
            )
