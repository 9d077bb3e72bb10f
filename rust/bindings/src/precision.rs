//! A symmetric matrix for each cluster, made once and handed to the data.

use std::sync::Arc;

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rfp_kernel as kernel;

use crate::arrays::{Scalar, indices, is_f32, vector};
use crate::interrupt::detached;

/// Each cluster's precision, float32 or float64.
#[pyclass(frozen)]
pub struct Precision(pub TypedPrecision);

/// The matrices, of one dtype; data of several calls may hold them.
pub enum TypedPrecision {
    F32(Arc<kernel::Precision<f32>>),
    F64(Arc<kernel::Precision<f64>>),
}

/// The matrices of a given element type.
pub trait OfType<T> {
    /// An error where they have the other dtype.
    fn of_type(&self) -> PyResult<Arc<kernel::Precision<T>>>;
}

fn other_dtype<T>(has: &str) -> PyResult<T> {
    Err(PyTypeError::new_err(format!("the precision and the data must be of one dtype; the precision is {has}")))
}

impl OfType<f32> for Precision {
    fn of_type(&self) -> PyResult<Arc<kernel::Precision<f32>>> {
        if let TypedPrecision::F32(precision) = &self.0 { Ok(Arc::clone(precision)) } else { other_dtype("float64") }
    }
}

impl OfType<f64> for Precision {
    fn of_type(&self) -> PyResult<Arc<kernel::Precision<f64>>> {
        if let TypedPrecision::F64(precision) = &self.0 { Ok(Arc::clone(precision)) } else { other_dtype("float32") }
    }
}

fn dense<T: Scalar>(
    py: Python<'_>,
    offsets: &[usize],
    matrices: &Bound<'_, PyAny>,
) -> PyResult<Arc<kernel::Precision<T>>> {
    let matrices = vector::<T>("matrices", matrices)?;
    let matrices = matrices.as_slice()?;
    let work = matrices.len() as f64;
    Ok(Arc::new(detached(py, work, 1, |_| kernel::Precision::dense(offsets, matrices))?))
}

#[pymethods]
impl Precision {
    #[new]
    fn new(py: Python<'_>, offsets: PyReadonlyArray1<'_, i64>, matrices: &Bound<'_, PyAny>) -> PyResult<Self> {
        let offsets = indices("offsets", &offsets)?;
        Ok(Self(if is_f32(matrices)? {
            TypedPrecision::F32(dense(py, &offsets, matrices)?)
        } else {
            TypedPrecision::F64(dense(py, &offsets, matrices)?)
        }))
    }

    /// How many clusters.
    #[getter]
    fn n_clusters(&self) -> usize {
        match &self.0 {
            TypedPrecision::F32(precision) => precision.blocks.len(),
            TypedPrecision::F64(precision) => precision.blocks.len(),
        }
    }

    /// "float32" or "float64".
    #[getter]
    fn dtype(&self) -> &'static str {
        match &self.0 {
            TypedPrecision::F32(_) => "float32",
            TypedPrecision::F64(_) => "float64",
        }
    }
}
