"""Data beyond one machine's memory: clusters in shards, Parquet files of which each holds whole ones.

`write_shards` deals the clusters of Parquet files or of a `dask.dataframe` once; `ParquetShards` names such
files and what their columns are. `fit_shards` of `RFPRegressor`, `RFPClassifier` and `MixedRegressor` trains
on them, one after the other on this machine, or on the workers of a Dask cluster, to the same bits.
"""

from ._shards.parquet import ParquetShards
from ._shards.writing import write_shards

__all__ = ["ParquetShards", "write_shards"]
