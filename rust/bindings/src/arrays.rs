//! NumPy arrays in and out, float32 or float64.

use numpy::{
    Element, PyArray2, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use rfp_kernel as kernel;
use rfp_kernel::memory::{list, room};
use rfp_kernel::simd::math::Elementary;
use rfp_kernel::{Clusters, KernelError, balanced};
use std::sync::Arc;

use crate::errors::to_python;
use crate::precision::{OfType, Precision};

/// An element type of both NumPy and the kernel.
pub trait Scalar: Elementary + Element {}
impl Scalar for f32 {}
impl Scalar for f64 {}

/// Runs `$body` with `$t` standing for the array's element type.
#[macro_export]
macro_rules! with_dtype {
    ($array:expr, $t:ident => $body:expr) => {
        if $crate::arrays::is_f32($array)? {
            type $t = f32;
            $body
        } else {
            type $t = f64;
            $body
        }
    };
}

/// Whether an array is float32; an error unless it is that or float64.
pub fn is_f32(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Ok(untyped) = array.cast::<PyUntypedArray>() else {
        return Err(PyTypeError::new_err("expected a NumPy array of float32 or float64"));
    };
    let dtype = untyped.dtype();
    let py = array.py();
    if dtype.is_equiv_to(&numpy::dtype::<f32>(py)) {
        Ok(true)
    } else if dtype.is_equiv_to(&numpy::dtype::<f64>(py)) {
        Ok(false)
    } else {
        Err(PyTypeError::new_err(format!("expected float32 or float64, got {dtype}")))
    }
}

/// A vector to read.
pub fn vector<'py, T: Scalar>(what: &str, array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray1<'py, T>> {
    let typed = array.extract::<PyReadonlyArray1<'py, T>>();
    let typed = typed
        .map_err(|_| PyTypeError::new_err(format!("{what} must be one-dimensional, of the other arrays' dtype")))?;
    if typed.as_slice().is_err() {
        return Err(PyValueError::new_err(format!("{what} must be contiguous")));
    }
    Ok(typed)
}

/// A matrix to read, in C order.
pub fn matrix<'py, T: Scalar>(what: &str, array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray2<'py, T>> {
    let typed = array.extract::<PyReadonlyArray2<'py, T>>();
    let typed = typed
        .map_err(|_| PyTypeError::new_err(format!("{what} must be two-dimensional, of the other arrays' dtype")))?;
    if !typed.is_c_contiguous() {
        return Err(PyValueError::new_err(format!("{what} must be contiguous, rows first")));
    }
    Ok(typed)
}

/// Indices that cannot be negative.
pub fn indices(what: &str, array: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<usize>> {
    let convert = |&i: &i64| {
        usize::try_from(i).map_err(|_| PyValueError::new_err(format!("{what} must not be negative, got {i}")))
    };
    let array = array.as_array();
    let mut indices = room("a list of indices", array.len()).map_err(to_python)?;
    for index in array.iter().map(convert) {
        indices.push(index?);
    }
    Ok(indices)
}

/// Columns that the architecture needs.
pub fn check_columns(what: &'static str, got: usize, needed: usize) -> PyResult<()> {
    if got == needed { Ok(()) } else { Err(to_python(KernelError::Length { what, got, needed })) }
}

/// Rows sorted by cluster, checked once; x and y stay NumPy's.
#[pyclass(frozen)]
pub struct ClusterData(pub TypedArrays);

/// The arrays, of one dtype.
pub enum TypedArrays {
    F32(Arrays<f32>),
    F64(Arrays<f64>),
}

/// What [`Clusters`] borrows.
pub struct Arrays<T> {
    x: Py<PyArray2<T>>,
    y: Py<PyArray2<T>>,
    offsets: Vec<usize>,
    weights: Option<Vec<T>>,
    n_support: Option<Vec<usize>>,
    cluster_weights: Option<Vec<f64>>,
    precision: Option<Arc<kernel::Precision<T>>>,
}

/// Arrays lent out for one call.
pub struct BorrowedArrays<'py, T: Scalar> {
    x: PyReadonlyArray2<'py, T>,
    y: PyReadonlyArray2<'py, T>,
}

impl<T: Scalar> Arrays<T> {
    #[allow(clippy::too_many_arguments)]
    fn new(
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        offsets: Vec<usize>,
        weights: Option<&Bound<'_, PyAny>>,
        n_support: Option<Vec<usize>>,
        cluster_weights: Option<Vec<f64>>,
        precision: Option<&Precision>,
    ) -> PyResult<Self>
    where
        Precision: OfType<T>,
    {
        let (x, y) = (matrix::<T>("x", x)?, matrix::<T>("y", y)?);
        let rows = offsets.last().copied().unwrap_or(0);
        check_columns("x (rows)", x.shape()[0], rows)?;
        check_columns("y (rows)", y.shape()[0], rows)?;
        let weights = match weights {
            None => None,
            Some(weights) => {
                let weights = vector::<T>("weights", weights)?;
                Some(list("the row weights", weights.as_slice()?.iter().copied()).map_err(to_python)?)
            }
        };
        let precision = precision.map(OfType::of_type).transpose()?;
        let (x_kept, y_kept) = ((*x).clone().unbind(), (*y).clone().unbind());
        let mut arrays = Self { x: x_kept, y: y_kept, offsets, weights, n_support, cluster_weights, precision };
        let lent = BorrowedArrays { x, y };
        arrays.clusters(&lent)?.validate().map_err(to_python)?;
        arrays.balance();
        Ok(arrays)
    }

    /// Weights count by their ratios, the rows' within each cluster: extreme ones are brought to a middling size.
    fn balance(&mut self) {
        if let Some(weights) = &mut self.cluster_weights {
            balanced(weights);
        }
        if let Some(weights) = &mut self.weights {
            self.offsets.windows(2).for_each(|pair| balanced(&mut weights[pair[0]..pair[1]]));
        }
    }

    /// The arrays, lent for a call.
    pub fn lend<'py>(&self, py: Python<'py>) -> PyResult<BorrowedArrays<'py, T>> {
        Ok(BorrowedArrays { x: self.x.bind(py).try_readonly()?, y: self.y.bind(py).try_readonly()? })
    }

    /// The kernel's view of lent arrays.
    pub fn clusters<'a>(&'a self, lent: &'a BorrowedArrays<'_, T>) -> PyResult<Clusters<'a, T>> {
        Ok(Clusters {
            x: lent.x.as_slice()?,
            y: lent.y.as_slice()?,
            offsets: &self.offsets,
            weights: self.weights.as_deref(),
            n_support: self.n_support.as_deref(),
            cluster_weights: self.cluster_weights.as_deref(),
            precision: self.precision.as_deref(),
        })
    }
}

/// The arrays of a given element type.
pub trait HasArrays<T> {
    /// An error where the data has the other dtype.
    fn arrays(&self) -> PyResult<&Arrays<T>>;
}

fn other_dtype<T>(has: &str) -> PyResult<T> {
    Err(PyTypeError::new_err(format!("theta and the data must be of one dtype; the data is {has}")))
}

impl HasArrays<f32> for ClusterData {
    fn arrays(&self) -> PyResult<&Arrays<f32>> {
        if let TypedArrays::F32(arrays) = &self.0 { Ok(arrays) } else { other_dtype("float64") }
    }
}

impl HasArrays<f64> for ClusterData {
    fn arrays(&self) -> PyResult<&Arrays<f64>> {
        if let TypedArrays::F64(arrays) = &self.0 { Ok(arrays) } else { other_dtype("float32") }
    }
}

impl ClusterData {
    fn offsets(&self) -> &[usize] {
        match &self.0 {
            TypedArrays::F32(arrays) => &arrays.offsets,
            TypedArrays::F64(arrays) => &arrays.offsets,
        }
    }

    /// Rows of all clusters.
    pub fn rows(&self) -> usize {
        self.offsets().last().copied().unwrap_or(0)
    }
}

#[pymethods]
impl ClusterData {
    #[new]
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (x, y, offsets, weights=None, n_support=None, cluster_weights=None, precision=None))]
    fn new(
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        offsets: PyReadonlyArray1<'_, i64>,
        weights: Option<&Bound<'_, PyAny>>,
        n_support: Option<PyReadonlyArray1<'_, i64>>,
        cluster_weights: Option<PyReadonlyArray1<'_, f64>>,
        precision: Option<&Precision>,
    ) -> PyResult<Self> {
        let offsets = indices("offsets", &offsets)?;
        let n_support = n_support.map(|n| indices("n_support", &n)).transpose()?;
        let copy = |w: PyReadonlyArray1<'_, f64>| list("the cluster weights", w.as_array().iter().copied());
        let cluster_weights = cluster_weights.map(copy).transpose().map_err(to_python)?;
        Ok(Self(if is_f32(x)? {
            TypedArrays::F32(Arrays::new(x, y, offsets, weights, n_support, cluster_weights, precision)?)
        } else {
            TypedArrays::F64(Arrays::new(x, y, offsets, weights, n_support, cluster_weights, precision)?)
        }))
    }

    /// Rows of all clusters.
    #[getter]
    fn n_rows(&self) -> usize {
        self.rows()
    }

    /// How many clusters.
    #[getter]
    pub fn n_clusters(&self) -> usize {
        self.offsets().len() - 1
    }
}
