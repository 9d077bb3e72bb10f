//! Derivatives of a weighted sum of the outputs, Σ w·f(θ, x): the passes of a loss that is linear in them.

use crate::dense::vectors::overflowed;
use crate::network::architecture::Architecture;
use crate::network::loss::Loss;
use crate::objective::clusters::Clusters;
use crate::objective::evaluate;
use crate::objective::gradients::mean_loss;
use crate::objective::hessian::hessian_vector;
use crate::objective::setting::ExtraOutputs;
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::threads::Threads;

/// The gradient of Σ w·f at flat `theta`; w is rows × outputs.
///
/// # Errors
/// Misuse, numbers too large for their type, or [`KernelError::Interrupted`].
pub fn vjp<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    w: &[T],
    x: &[T],
    threads: Threads<'_>,
) -> Result<Vec<T>, KernelError> {
    of_rows(architecture, w, x, |data| {
        let objective = mean_loss(Loss::Linear);
        Ok(evaluate(architecture, theta, data, None, &objective, ExtraOutputs::default(), threads)?.gradient)
    })
}

/// The Hessian of Σ w·f at flat `theta`, times `v`; for relu, whose slope jumps, the Hessian almost everywhere.
///
/// # Errors
/// As [`vjp`].
pub fn output_hessian_vector<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    v: &[T],
    w: &[T],
    x: &[T],
    threads: Threads<'_>,
) -> Result<Vec<T>, KernelError> {
    of_rows(architecture, w, x, |data| hessian_vector(architecture, theta, v, data, Loss::Linear, threads))
}

/// What is the mean over the rows, as their sum.
fn of_rows<T: Elementary>(
    architecture: &Architecture,
    w: &[T],
    x: &[T],
    mean: impl FnOnce(&Clusters<'_, T>) -> Result<Vec<T>, KernelError>,
) -> Result<Vec<T>, KernelError> {
    let rows = x.len() / architecture.n_inputs();
    let needed = rows.saturating_mul(architecture.n_outputs());
    if w.len() != needed {
        return Err(KernelError::Length { what: "w", got: w.len(), needed });
    }
    let offsets = [0, rows];
    let data =
        Clusters { x, y: w, offsets: &offsets, weights: None, n_support: None, cluster_weights: None, precision: None };
    data.validate()?;
    let mut sum = mean(&data).map_err(|fault| match fault {
        KernelError::Diverged { loss: got, .. } => {
            KernelError::Range { what: "the weighted sum of the outputs, with its derivatives,", got, needed: "finite" }
        }
        other => other,
    })?;
    sum.iter_mut().for_each(|s| *s = T::from_f64(s.to_f64() * rows as f64));
    overflowed("a derivative of the outputs", &sum)?;
    Ok(sum)
}
