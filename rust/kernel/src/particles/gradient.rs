//! Networks on any number of rows, and the two functions for use outside a run.

use std::ops::Range;

use crate::dense::vectors::{finite, overflowed};
use crate::network::fold::Fold;
use crate::network::workspace::Buffer;
use crate::simd::math::Elementary;
use crate::simd::{Backend, Isa};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

use super::network::{BLOCK_ROWS, ParticleNetwork, ParticleTrace};
use super::shape::Particles;

impl<S: Isa> ParticleNetwork<'_, S> {
    /// Whether its threads say stop: what it leaves then is not to be used.
    fn is_stopped(&self) -> bool {
        self.threads.is_stopped()
    }

    /// h of every row.
    pub(super) fn all_outputs<T: Elementary>(
        &self,
        theta: &[T],
        x: &[T],
        trace: &mut ParticleTrace<T>,
        into: &mut [T],
    ) {
        let rows = x.chunks(BLOCK_ROWS * self.shape.n_inputs);
        for (x, into) in rows.zip(into.chunks_mut(BLOCK_ROWS)) {
            if self.is_stopped() {
                return;
            }
            self.outputs(theta, x, trace, into);
        }
    }

    /// Σ_b r_b·∇Ψ(x_b, θᵢ) over every row, with r a function of the row and h there.
    pub(super) fn all_gradients<T: Elementary>(
        &self,
        theta: &[T],
        x: &[T],
        residual: impl Fn(usize, f64) -> f64,
        trace: &mut ParticleTrace<T>,
        gradient: &mut [T],
    ) {
        let (d, mut h) = (self.shape.n_inputs, [T::default(); BLOCK_ROWS]);
        let mut sum = |trace: &mut ParticleTrace<T>, rows: Range<usize>, into: &mut [T]| {
            into.fill(T::default());
            for first in rows.clone().step_by(BLOCK_ROWS) {
                if self.is_stopped() {
                    return Err(());
                }
                let block = first..rows.end.min(first + BLOCK_ROWS);
                let (x, h) = (&x[block.start * d..block.end * d], &mut h[..block.len()]);
                self.outputs(theta, x, trace, h);
                h.iter_mut().zip(block).for_each(|(h, row)| *h = T::from_f64(residual(row, h.to_f64())));
                self.add_gradient(theta, x, h, trace, into);
            }
            Ok(())
        };
        let rows = x.len() / d;
        let Some(mut fold) = Fold::take_for(&mut trace.fold, rows) else {
            // What is left by a pass that was told to stop is not used.
            return sum(trace, 0..rows, gradient).unwrap_or(());
        };
        if let Ok(sum) = fold.sum(self.isa, rows, gradient.len(), |rows, run| sum(trace, rows, run)) {
            gradient.copy_from_slice(sum);
        }
        trace.fold = Some(fold);
    }
}

fn check<T: Elementary>(shape: &Particles, theta: &[T], x: &[T]) -> Result<[usize; 2], KernelError> {
    shape.validate()?;
    let (networks, rows) = (theta.len() / shape.n_parameters(), x.len() / shape.n_inputs);
    let needed = [networks * shape.n_parameters(), rows * shape.n_inputs];
    for (what, got, needed) in [("theta", theta.len(), needed[0]), ("x", x.len(), needed[1])] {
        if got != needed {
            return Err(KernelError::Length { what, got, needed });
        }
    }
    finite("theta", theta)?;
    finite("x", x)?;
    Ok([networks, rows])
}

/// h of every network at every row: `thetas` holds networks × parameters, the result networks × rows.
///
/// # Errors
/// [`KernelError`] with the first fault.
pub fn values<T: Elementary>(
    shape: &Particles,
    thetas: &[T],
    x: &[T],
    threads: Threads<'_>,
) -> Result<Vec<T>, KernelError> {
    let [networks, rows] = check(shape, thetas, x)?;
    let mut into = memory::zeros("the values of every network", networks.saturating_mul(rows))?;
    if rows == 0 {
        return Ok(into);
    }
    let parts = thetas.chunks_exact(shape.n_parameters()).zip(into.chunks_mut(rows));
    let make =
        || Ok((ParticleTrace::new(&[*shape], 0)?, Buffer::new("the particles' gradient", shape.padded_len::<T>())?));
    with_isa!(Backend::detect(), isa => {
        let network = ParticleNetwork { isa, shape: *shape, threads: threads.alone() };
        threads.map(parts, make, |(trace, padded), (theta, into)| {
            shape.pack(theta, padded);
            network.all_outputs(padded, x, trace, into);
            Ok(())
        })?;
    });
    overflowed("a network's value", &into)?;
    Ok(into)
}

/// Σ_b r_b·∇Ψ(x_b, θᵢ) for every particle, in the flat layout: what all Wasserstein gradients are made of.
///
/// # Errors
/// [`KernelError`] with the first fault.
pub fn gradient<T: Elementary>(
    shape: &Particles,
    theta: &[T],
    x: &[T],
    residual: &[T],
    threads: Threads<'_>,
) -> Result<Vec<T>, KernelError> {
    let [_, rows] = check(shape, theta, x)?;
    for (what, got, needed) in [("theta", theta.len(), shape.n_parameters()), ("residual", residual.len(), rows)] {
        if got != needed {
            return Err(KernelError::Length { what, got, needed });
        }
    }
    finite("residual", residual)?;
    let mut flat = memory::room("the gradient", shape.n_parameters())?;
    with_isa!(Backend::detect(), isa => {
        let network = ParticleNetwork { isa, shape: *shape, threads: threads.alone() };
        let (mut padded, mut sum) = (Buffer::new("the particles' gradient", shape.padded_len::<T>())?, Buffer::new("the particles' gradient", shape.padded_len::<T>())?);
        shape.pack(theta, &mut padded);
        network.all_gradients(&padded, x, |row, _| residual[row].to_f64(), &mut ParticleTrace::new(&[*shape], rows)?, &mut sum);
        shape.unpack(&sum, &mut flat);
    });
    threads.check()?;
    overflowed("the gradient", &flat)?;
    Ok(flat)
}
