//! Linear outputs of networks.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rfp_kernel as kernel;

use crate::arrays::{Scalar, check_columns, indices, matrix, vector};
use crate::calls::{forward_work, zeros};
use crate::interrupt::detached;
use crate::options::Architecture;
use crate::with_dtype;

/// Linear outputs, (N, `n_outputs`).
#[pyfunction]
#[pyo3(signature = (architecture, theta, x, n_threads=0))]
pub fn predict<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    theta: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    fn typed<'py, T: Scalar>(
        py: Python<'py>,
        architecture: &Architecture,
        (theta, x): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (theta, x) = (vector::<T>("theta", theta)?, matrix::<T>("x", x)?);
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let (rows, columns) = (x.shape()[0], architecture.0.n_outputs());
        let (theta, x) = (theta.as_slice()?, x.as_slice()?);
        let mut outputs = zeros::<T>("the outputs", [rows, columns])?;
        detached(py, forward_work(architecture, rows), n_threads, |threads| {
            kernel::predict(&architecture.0, theta, x, &mut outputs, threads)
        })?;
        Ok(outputs.into_pyarray(py).reshape([rows, columns])?.into_any())
    }
    with_dtype!(theta, T => typed::<T>(py, architecture, (theta, x), n_threads))
}

/// Linear outputs where the rows of cluster c use `thetas[c]`; thetas (C, P).
#[pyfunction]
#[pyo3(signature = (architecture, thetas, x, offsets, n_threads=0))]
pub fn predict_each<'py>(
    py: Python<'py>,
    architecture: &Architecture,
    thetas: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    offsets: PyReadonlyArray1<'py, i64>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    fn typed<'py, T: Scalar>(
        py: Python<'py>,
        architecture: &Architecture,
        (thetas, x): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
        offsets: &[usize],
        n_threads: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (thetas, x) = (matrix::<T>("thetas", thetas)?, matrix::<T>("x", x)?);
        check_columns("thetas (columns)", thetas.shape()[1], architecture.0.n_parameters())?;
        check_columns("x (columns)", x.shape()[1], architecture.0.n_inputs())?;
        let (rows, columns) = (x.shape()[0], architecture.0.n_outputs());
        let (thetas, x) = (thetas.as_slice()?, x.as_slice()?);
        let mut outputs = zeros::<T>("the outputs", [rows, columns])?;
        detached(py, forward_work(architecture, rows), n_threads, |threads| {
            kernel::predict_each(&architecture.0, thetas, x, offsets, &mut outputs, threads)
        })?;
        Ok(outputs.into_pyarray(py).reshape([rows, columns])?.into_any())
    }
    let offsets = indices("offsets", &offsets)?;
    with_dtype!(thetas, T => typed::<T>(py, architecture, (thetas, x), &offsets, n_threads))
}
