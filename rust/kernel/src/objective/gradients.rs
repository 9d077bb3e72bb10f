//! Gradients of the mean loss at many parameters, as many at a time as there are threads.

use crate::dense::vectors::finite;
use crate::network::architecture::Architecture;
use crate::network::loss::Loss;
use crate::objective::clusters::Clusters;
use crate::objective::evaluate;
use crate::objective::setting::{ExtraOutputs, Inner, Objective, StepSize};
use crate::simd::math::Elementary;
use crate::system::error::KernelError;
use crate::system::threads::Threads;

/// What R_k is with α = 1.
pub(crate) fn mean_loss(loss: Loss) -> Objective {
    let inner = Inner { step_size: StepSize::Common(1.0), ..Inner::NONE.clone() };
    Objective { loss, alpha: 1.0, inner, skip_diverged: false }
}

/// The gradient of Σ n_c L_c / N at each row of `thetas`, thetas × parameters, into the same shape.
///
/// # Errors
/// [`KernelError::Theta`] with the first fault of the first point at fault, other misuse, or [`KernelError::Interrupted`].
pub fn gradients<T: Elementary>(
    architecture: &Architecture,
    thetas: &[T],
    data: &Clusters<'_, T>,
    loss: Loss,
    into: &mut [T],
    threads: Threads<'_>,
) -> Result<(), KernelError> {
    let n = architecture.n_parameters();
    let needed = thetas.len().next_multiple_of(n);
    for (what, got) in [("theta", thetas.len()), ("gradients", into.len())] {
        if got != needed {
            return Err(KernelError::Length { what, got, needed });
        }
    }
    finite("theta", thetas)?;
    let objective = mean_loss(loss);
    let points = thetas.chunks_exact(n).zip(into.chunks_exact_mut(n)).enumerate();
    // An evaluation has the same bits on any number of threads.
    let shared = points.len() < threads.count();
    let [outer, inner] = if shared { [threads.alone(), threads] } else { [threads, threads.alone()] };
    let one = |(): &mut (), (index, (theta, into)): &mut (usize, (&[T], &mut [T]))| {
        let found = evaluate(architecture, theta, data, None, &objective, ExtraOutputs::default(), inner);
        into.copy_from_slice(&found.map_err(|fault| fault.at_theta(*index))?.gradient);
        Ok(())
    };
    outer.map(points, || Ok(()), one)?;
    Ok(())
}
