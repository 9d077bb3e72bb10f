//! What calls of the kernel share.

use pyo3::prelude::*;
use rfp_kernel as kernel;

use crate::arrays::{Arrays, ClusterData, HasArrays, Scalar};
use crate::errors::to_python;
use crate::interrupt::detached;
use crate::options::Architecture;

/// Multiplications of a forward pass.
pub fn forward_work(architecture: &Architecture, rows: usize) -> f64 {
    architecture.0.n_parameters() as f64 * rows as f64
}

/// Calls the kernel on data that Python lends; `work` as for [`detached`].
pub fn on_clusters<T: Scalar, O: Send>(
    py: Python<'_>,
    data: &ClusterData,
    work: f64,
    n_threads: usize,
    call: impl FnOnce(&kernel::Clusters<'_, T>, kernel::Threads<'_>) -> Result<O, kernel::KernelError> + Send,
) -> PyResult<O>
where
    ClusterData: HasArrays<T>,
{
    let arrays: &Arrays<T> = data.arrays()?;
    let lent = arrays.lend(py)?;
    let clusters = arrays.clusters(&lent)?;
    detached(py, work, n_threads, |threads| call(&clusters, threads))
}

/// Zeros, or MemoryError where the machine has no room for them.
pub fn zeros<T: Scalar>(what: &'static str, [rows, columns]: [usize; 2]) -> PyResult<Vec<T>> {
    kernel::memory::zeros(what, rows.saturating_mul(columns)).map_err(to_python)
}

/// The instruction set in use.
#[pyfunction]
pub fn isa() -> &'static str {
    kernel::simd::Backend::detect().name()
}
