"""What can be wrong with a design, said before anybody reads the estimate."""

import numpy as np
from numpy.typing import NDArray

from .._warn import warn
from ..exceptions import DesignWarning
from ._sample import Sample

FEW = 5  # clusters in an arm below which no interval can be trusted
MUCH_OUTSIDE = 0.3  # share of the treated clusters outside the controls' support
DOMINANT = 0.4  # share of an arm's weight in one cluster


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
    for value, what in ((1, "treated"), (0, "control")):
        count = int(np.sum(sample.arm == value))
        if count < FEW:
            warn(
                f"there are only {count} {what} clusters: with fewer than {FEW} in an arm no standard error "
                "can be trusted",
                DesignWarning,
            )
    outside = outside_support(sample)
    n_treated = int(np.sum(sample.arm == 1))
    if outside.sum() > MUCH_OUTSIDE * n_treated:
        shown = ", ".join(str(label) for label in sample.labels[outside][:5])
        warn(
            f"{outside.sum()} of {n_treated} treated clusters lie outside the range of the controls' cluster "
            f"covariates ({', '.join(sample.cluster_names)}): {shown}{', ...' if outside.sum() > 5 else ''}. "
            "For them the outcome model extrapolates",
            DesignWarning,
        )
    _warn_of_dominance(sample)


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
