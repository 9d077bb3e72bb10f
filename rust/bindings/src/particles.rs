//! Mean-field networks and the bilevel runs of nonparametric instrumental variables.

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use rfp_kernel as kernel;
use rfp_kernel::memory::{list, room};
use rfp_kernel::particles as mean_field;

use crate::arrays::{Scalar, check_columns, indices, matrix, vector};
use crate::errors::{guarded, to_python};
use crate::interrupt::detached;
use crate::with_dtype;

/// The shape of a mean-field network of two layers: h(x) = mean over particles of `w2·a(w1·x + b)`.
#[pyclass(frozen)]
pub struct Particles(mean_field::Particles);

#[pymethods]
impl Particles {
    #[new]
    #[pyo3(signature = (n_inputs, n_particles, activation, clip=None))]
    fn new(n_inputs: usize, n_particles: usize, activation: &str, clip: Option<f64>) -> PyResult<Self> {
        let activation = activation.parse().map_err(to_python)?;
        let shape = mean_field::Particles { n_inputs, n_particles, activation, clip };
        shape.validate().map_err(to_python)?;
        Ok(Self(shape))
    }

    /// Length of the flat parameters.
    #[getter]
    fn n_parameters(&self) -> usize {
        self.0.n_parameters()
    }
}

/// Values of every network at every row, (K, n).
#[pyfunction]
#[pyo3(signature = (particles, thetas, x, n_threads=0))]
pub fn particle_values<'py>(
    py: Python<'py>,
    particles: &Particles,
    thetas: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    with_dtype!(thetas, T => {
        let (thetas, x) = (matrix::<T>("thetas", thetas)?, matrix::<T>("x", x)?);
        check_columns("thetas (columns)", thetas.shape()[1], particles.0.n_parameters())?;
        check_columns("x (columns)", x.shape()[1], particles.0.n_inputs)?;
        let shape = [thetas.shape()[0], x.shape()[0]];
        let (thetas, x) = (thetas.as_slice()?, x.as_slice()?);
        let work = thetas.len() as f64 * shape[1] as f64;
        let found = detached(py, work, n_threads, |threads| mean_field::values(&particles.0, thetas, x, threads))?;
        Ok(found.into_pyarray(py).reshape(shape)?.into_any())
    })
}

/// The sum over rows of residual times the gradient of each particle's output, (P,).
#[pyfunction]
pub fn particle_gradient<'py>(
    py: Python<'py>,
    particles: &Particles,
    theta: &Bound<'py, PyAny>,
    x: &Bound<'py, PyAny>,
    residual: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    with_dtype!(theta, T => {
        let (theta, x) = (vector::<T>("theta", theta)?, matrix::<T>("x", x)?);
        let residual = vector::<T>("residual", residual)?;
        check_columns("x (columns)", x.shape()[1], particles.0.n_inputs)?;
        let (theta, x, residual) = (theta.as_slice()?, x.as_slice()?, residual.as_slice()?);
        let work = 4.0 * theta.len() as f64 * residual.len() as f64;
        let found = detached(py, work, 1, |threads| mean_field::gradient(&particles.0, theta, x, residual, threads))?;
        Ok(found.into_pyarray(py).into_any())
    })
}

/// The normals that a step draws, (n,) float32.
#[pyfunction]
pub fn particle_noise<'py>(
    py: Python<'py>,
    seed: u64,
    purpose: &str,
    index: u64,
    n: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    Ok(py.detach(|| guarded(|| mean_field::normals(seed, purpose, index, n)))?.into_pyarray(py))
}

/// Places in a run's list of rows that a mini-batch takes, (size,).
#[pyfunction]
pub fn particle_rows<'py>(
    py: Python<'py>,
    seed: u64,
    purpose: &str,
    index: u64,
    n: usize,
    size: usize,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    check_columns("the list of rows", usize::from(n > 0), 1)?;
    let mut rows = room("the rows of a mini-batch", size).map_err(to_python)?;
    rows.extend(mean_field::batch_rows(seed, purpose, index, n, size).map(|row| row as i64));
    Ok(rows.into_pyarray(py))
}

/// What the runs of a call share.
#[pyclass(frozen)]
pub struct BilevelOptions(mean_field::Options);

#[pymethods]
impl BilevelOptions {
    #[new]
    #[pyo3(signature = (structural, instrumental, inner_steps, outer_steps, batch_size=None, warm=true, shared=true,
                        record_every=1, adam=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        structural: &Particles,
        instrumental: &Particles,
        inner_steps: usize,
        outer_steps: usize,
        batch_size: Option<usize>,
        warm: bool,
        shared: bool,
        record_every: usize,
        adam: Option<(f64, f64, f64)>,
    ) -> Self {
        let adam = adam.map(|(beta1, beta2, epsilon)| kernel::Moments { beta1, beta2, epsilon });
        Self(mean_field::Options {
            structural: structural.0,
            instrumental: instrumental.0,
            solver: adam.map_or(mean_field::Solver::Langevin, mean_field::Solver::Adam),
            inner_steps,
            outer_steps,
            batch_size,
            warm,
            shared,
            record_every,
        })
    }
}

impl BilevelOptions {
    /// About how many multiplications a run of `rows` rows takes.
    fn work(&self, rows: usize) -> f64 {
        let options = &self.0;
        let batch = options.batch_size.unwrap_or(rows) as f64;
        let passes = options.outer_steps as f64 * (2 * options.inner_steps + 1) as f64;
        let parameters = options.structural.n_parameters() + options.instrumental.n_parameters();
        3.0 * passes * batch * parameters as f64
    }
}

/// The numbers of every run, a row each: lambda, alpha, beta, gamma, zeta1, zeta2, sigma1, sigma2.
fn rates_of(rates: &PyReadonlyArray2<'_, f64>) -> PyResult<Vec<mean_field::Rates>> {
    check_columns("rates (columns)", rates.shape()[1], 8)?;
    let rows = rates.as_array();
    let rates = rows.rows().into_iter().map(|r| mean_field::Rates {
        lambda: r[0],
        alpha: r[1],
        beta: r[2],
        gamma: r[3],
        zeta1: r[4],
        zeta2: r[5],
        sigma1: r[6],
        sigma2: r[7],
    });
    Ok(rates.collect())
}

/// Records (K, 5), structural particles (K, P), those of the first stage and its twin (Q,) each, halvings.
type PathArrays<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, u32);

fn path_arrays<T: Scalar>(
    py: Python<'_>,
    path: mean_field::Trajectory<T>,
    n_parameters: usize,
) -> PyResult<PathArrays<'_>> {
    let numbers = path
        .records
        .iter()
        .flat_map(|r| [r.step as f64, r.first_stage, r.twin_first_stage, r.second_stage, r.twin_second_stage]);
    let records = numbers.collect::<Vec<_>>().into_pyarray(py).reshape([path.records.len(), 5])?;
    let structural = path.structural.into_pyarray(py).reshape([path.records.len(), n_parameters])?;
    let [first, twin] = path.instrumental.map(|theta| theta.into_pyarray(py).into_any());
    Ok((records, structural.into_any(), first, twin, path.halvings))
}

/// The data of a call, as NumPy holds them: x (n · terms, d), coefficients (n · terms,), z (n, q), y (n,), weights (n,).
#[pyclass(frozen)]
pub struct BilevelData {
    x: Py<PyAny>,
    z: Py<PyAny>,
    y: Py<PyAny>,
    coefficients: Option<Py<PyAny>>,
    weights: Option<Py<PyAny>>,
}

#[pymethods]
impl BilevelData {
    #[new]
    #[pyo3(signature = (x, z, y, coefficients=None, weights=None))]
    fn new(
        x: Py<PyAny>,
        z: Py<PyAny>,
        y: Py<PyAny>,
        coefficients: Option<Py<PyAny>>,
        weights: Option<Py<PyAny>>,
    ) -> Self {
        Self { x, z, y, coefficients, weights }
    }
}

/// Solves many runs; run r takes `rows[offsets[r]:offsets[r + 1]]` and starts at row r of each of `starts`.
#[pyfunction]
#[pyo3(signature = (data, options, rates, seeds, rows, offsets, starts, n_threads=0))]
#[allow(clippy::too_many_arguments)]
pub fn solve_bilevel<'py>(
    py: Python<'py>,
    data: &BilevelData,
    options: &BilevelOptions,
    rates: PyReadonlyArray2<'py, f64>,
    seeds: Vec<u64>,
    rows: PyReadonlyArray1<'py, i64>,
    offsets: PyReadonlyArray1<'py, i64>,
    starts: (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>),
    n_threads: usize,
) -> PyResult<Vec<PathArrays<'py>>> {
    let (rates, rows, offsets) = (rates_of(&rates)?, indices("rows", &rows)?, indices("offsets", &offsets)?);
    let n_runs = rates.len();
    check_columns("seeds", seeds.len(), n_runs)?;
    check_columns("offsets", offsets.len(), n_runs + 1)?;
    let fits = offsets.windows(2).all(|pair| pair[0] < pair[1] && pair[1] <= rows.len());
    check_columns("rows of every run", usize::from(fits), 1)?;
    with_dtype!(&starts.0, T => {
        let part = |array: &Py<PyAny>, what: &str| vector::<T>(what, array.bind(py));
        let (x, z) = (matrix::<T>("x", data.x.bind(py))?, matrix::<T>("z", data.z.bind(py))?);
        let y = part(&data.y, "y")?;
        let coefficients = data.coefficients.as_ref().map(|c| part(c, "coefficients")).transpose()?;
        let weights = data.weights.as_ref().map(|w| part(w, "weights")).transpose()?;
        let coefficients = coefficients.as_ref().map(|c| c.as_slice()).transpose()?;
        let weights = weights.as_ref().map(|w| w.as_slice()).transpose()?;
        let n = y.shape()[0];
        let problem = mean_field::Problem {
            x: x.as_slice()?,
            coefficients,
            z: z.as_slice()?,
            y: y.as_slice()?,
            weights,
            n_inputs: x.shape()[1],
            n_instruments: z.shape()[1],
            n_terms: x.shape()[0].checked_div(n).unwrap_or(0),
        };
        let starts = [matrix::<T>("start x", &starts.0)?, matrix::<T>("start z", &starts.1)?, matrix::<T>("start twin", &starts.2)?];
        for start in &starts {
            check_columns("starts (rows)", start.shape()[0], n_runs)?;
        }
        let [a, b, c] = [starts[0].as_slice()?, starts[1].as_slice()?, starts[2].as_slice()?];
        let of_run = |all: &'_ [T], run: usize| -> std::ops::Range<usize> {
            let width = all.len() / n_runs.max(1);
            run * width..(run + 1) * width
        };
        let runs = (0..n_runs).map(|run| {
            Ok(mean_field::Run {
                rates: rates[run],
                seed: seeds[run],
                rows: list("the rows of a run", rows[offsets[run]..offsets[run + 1]].iter().copied())?,
                start: [&a[of_run(a, run)], &b[of_run(b, run)], &c[of_run(c, run)]],
            })
        });
        let runs = runs.collect::<Result<Vec<mean_field::Run<'_, T>>, kernel::KernelError>>().map_err(to_python)?;
        let work = runs.iter().map(|run| options.work(run.rows.len())).sum();
        let paths = detached(py, work, n_threads, |threads| mean_field::solve(&problem, &runs, &options.0, threads))?;
        let n_parameters = options.0.structural.n_parameters();
        paths.into_iter().map(|path| path_arrays(py, path, n_parameters)).collect()
    })
}
