"""What generators are asked for: counts within memory, and scales whose squares are finite."""

from typing import Any

from .._options import MAX_ROWS, integer, real

__all__ = ["cluster_sizes", "number", "standard_deviation"]

# Beyond it a few of them, squared or multiplied, are no longer finite.
_LARGEST = 1e100


def cluster_sizes(n_clusters: Any, n_per_cluster: Any, least: int = 1) -> tuple[int, int]:
    """Clusters and rows of each, of which there are not too many together."""
    clusters = integer(n_clusters, "n_clusters", least, MAX_ROWS)
    rows = integer(n_per_cluster, "n_per_cluster", 1, MAX_ROWS)
    if clusters * rows > MAX_ROWS:
        raise ValueError(
            f"n_clusters={clusters} of n_per_cluster={rows} are {clusters * rows} rows; "
            f"at most {MAX_ROWS} are possible"
        )
    return clusters, rows


def number(value: Any, name: str) -> float:
    """A finite number of a size that can be squared."""
    given = real(value, name)
    if abs(given) > _LARGEST:
        raise ValueError(f"{name}={given:g} is too large in size; at most {_LARGEST:g} is possible")
    return given


def standard_deviation(value: Any, name: str) -> float:
    """A number of at least 0, and not too large."""
    given = number(value, name)
    if given < 0:
        raise ValueError(f"{name}={given:g}; a standard deviation of at least 0 is needed")
    return given
