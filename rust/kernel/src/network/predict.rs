//! Linear outputs for rows that need no loss, and their derivative along a direction.

use crate::dense::vectors::{finite, overflowed};
use crate::network::architecture::Architecture;
use crate::network::layout::{Layout, padded_stride};
use crate::network::loss::Loss;
use crate::network::start::Start;
use crate::network::workspace::PART_ROWS;
use crate::network::workspace::{Batch, Buffer, Scratch, TraceLayout};
use crate::network::{Network, Point, Record};
use crate::simd::math::Elementary;
use crate::simd::{Backend, Isa};
use crate::system::error::KernelError;
use crate::system::memory;
use crate::system::threads::Threads;
use crate::with_isa;

/// Linear outputs of every row of x at flat `theta`, into rows × `n_outputs`.
///
/// # Errors
/// [`KernelError::Length`] or [`KernelError::NotFinite`].
pub fn predict<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    x: &[T],
    into: &mut [T],
    threads: Threads<'_>,
) -> Result<(), KernelError> {
    let n_rows = check_shapes(architecture, x, into)?;
    predict_each(architecture, theta, x, &[0, n_rows], into, threads)
}

/// Linear outputs where the rows of cluster c use `thetas[c]`, clusters × parameters.
///
/// # Errors
/// [`KernelError::Length`], [`KernelError::NotFinite`] or [`KernelError::Offsets`].
pub fn predict_each<T: Elementary>(
    architecture: &Architecture,
    thetas: &[T],
    x: &[T],
    offsets: &[usize],
    into: &mut [T],
    threads: Threads<'_>,
) -> Result<(), KernelError> {
    let rows = check_shapes(architecture, x, into)?;
    let n_clusters = offsets.len().saturating_sub(1);
    let needed = n_clusters.saturating_mul(architecture.n_parameters());
    if thetas.len() != needed {
        return Err(KernelError::Length { what: "theta", got: thetas.len(), needed });
    }
    if let Some(i) = (0..n_clusters).find(|&c| offsets[c] > offsets[c + 1] || offsets[c + 1] > rows) {
        return Err(KernelError::Offsets { index: i + 1, got: offsets[i + 1], rows });
    }
    if offsets.first() != Some(&0) || offsets.last() != Some(&rows) {
        return Err(KernelError::Offsets { index: n_clusters, got: offsets.last().copied().unwrap_or(0), rows });
    }
    finite("theta", thetas)?;
    finite("x", x)?;
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        // The loss is not evaluated.
        let network = Network { isa, layout: &layout, loss: Loss::Squared, threads: threads.alone() };
        predict_parts(&network, architecture, (thetas, None), x, offsets, into, threads)?;
    });
    threads.check()?;
    overflowed("the network's output", into)
}

/// Derivative of every row's linear outputs at flat `theta` along the direction `v`, into rows × `n_outputs`.
///
/// # Errors
/// [`KernelError::Length`], [`KernelError::NotFinite`] or [`KernelError::Overflowed`].
pub fn jvp<T: Elementary>(
    architecture: &Architecture,
    theta: &[T],
    v: &[T],
    x: &[T],
    into: &mut [T],
    threads: Threads<'_>,
) -> Result<(), KernelError> {
    let rows = check_shapes(architecture, x, into)?;
    let needed = architecture.n_parameters();
    for (what, numbers) in [("theta", theta), ("v", v), ("x", x)] {
        if what != "x" && numbers.len() != needed {
            return Err(KernelError::Length { what, got: numbers.len(), needed });
        }
        finite(what, numbers)?;
    }
    with_isa!(Backend::detect(), isa => {
        let layout = Layout::new::<T>(architecture);
        // The loss is not evaluated.
        let network = Network { isa, layout: &layout, loss: Loss::Squared, threads: threads.alone() };
        let direction = Start::of_direction(&network, v)?;
        predict_parts(&network, architecture, (theta, Some(direction.point())), x, &[0, rows], into, threads)?;
    });
    threads.check()?;
    overflowed("the derivative of the network's output", into)
}

fn check_shapes<T>(architecture: &Architecture, x: &[T], into: &[T]) -> Result<usize, KernelError> {
    let rows = x.len() / architecture.n_inputs();
    let checks =
        [("x", x.len(), rows * architecture.n_inputs()), ("outputs", into.len(), rows * architecture.n_outputs())];
    let fault = checks.into_iter().find(|(_, got, needed)| got != needed);
    fault.map_or(Ok(rows), |(what, got, needed)| Err(KernelError::Length { what, got, needed }))
}

/// One thread's scratch: the cluster it last packed, and room for a part's rows.
struct PredictionScratch<T> {
    packed: Option<usize>,
    start: Start<T>,
    record: Buffer<T>,
    scratch: Scratch<T>,
    x: Buffer<T>,
}

fn predict_parts<S: Isa, T: Elementary>(
    network: &Network<'_, S>,
    architecture: &Architecture,
    (thetas, direction): (&[T], Option<Point<'_, T>>),
    x: &[T],
    offsets: &[usize],
    into: &mut [T],
    threads: Threads<'_>,
) -> Result<(), KernelError> {
    let layout = network.layout;
    let most_rows = offsets.last().map_or(0, |&rows| rows.min(PART_ROWS));
    let trace = TraceLayout::new::<T>(layout, most_rows);
    let counts = offsets.windows(2).map(|pair| (pair[1] - pair[0]).div_ceil(PART_ROWS));
    let mut parts = memory::room("the list of the rows' parts", counts.sum())?;
    let mut rest = into;
    for cluster in 0..offsets.len() - 1 {
        for first in (offsets[cluster]..offsets[cluster + 1]).step_by(PART_ROWS) {
            let rows = first..(first + PART_ROWS).min(offsets[cluster + 1]);
            let (head, tail) = rest.split_at_mut(rows.len() * layout.n_outputs);
            parts.push((cluster, rows, head));
            rest = tail;
        }
    }
    let x_stride = if layout.hidden.is_empty() { padded_stride::<T>(layout.n_inputs) } else { 0 };
    let make = || {
        Ok(PredictionScratch {
            packed: None,
            record: Buffer::new("the rows of a block", trace.len)?,
            scratch: Scratch::new(layout, most_rows, trace.plane)?,
            x: Buffer::new("the rows of a block", most_rows * x_stride)?,
            start: Start::room(network)?,
        })
    };
    let n = architecture.n_parameters();
    threads.map(parts.into_iter(), make, |own, (cluster, rows, into)| {
        if own.packed != Some(*cluster) {
            own.start.pack(network, &thetas[*cluster * n..(*cluster + 1) * n]);
            own.packed = Some(*cluster);
        }
        let x = &x[rows.start * layout.n_inputs..rows.end * layout.n_inputs];
        predict_part(network, &trace, direction.as_ref(), own, x, into);
        Ok(())
    })?;
    Ok(())
}

fn predict_part<S: Isa, T: Elementary>(
    network: &Network<'_, S>,
    trace: &TraceLayout,
    direction: Option<&Point<'_, T>>,
    own: &mut PredictionScratch<T>,
    x: &[T],
    into: &mut [T],
) {
    let layout = network.layout;
    let rows = x.len() / layout.n_inputs;
    let PredictionScratch { start, record, scratch, x: padded, .. } = own;
    let (x, x_stride) = if padded.is_empty() {
        (x, layout.n_inputs)
    } else {
        for (to, from) in padded.chunks_exact_mut(layout.head_stride).zip(x.chunks_exact(layout.n_inputs)) {
            to[..from.len()].copy_from_slice(from);
        }
        (&padded[..], layout.head_stride)
    };
    let batch = Batch { x, x_stride, targets: &[], weights: &[], plane: trace.plane, rows, first_row: 0 };
    let (point, mut record) = (start.point(), Record { layout: trace, numbers: record });
    let outputs = match direction {
        None => {
            network.values(&batch, &point, &mut record, scratch);
            &scratch.outputs
        }
        Some(direction) => {
            network.value_tangents(&batch, &point, direction, &mut record, scratch);
            &scratch.tangent_outputs
        }
    };
    for (row, to) in into.chunks_exact_mut(layout.n_outputs).enumerate() {
        for (output, to) in to.iter_mut().enumerate() {
            *to = outputs[output * trace.plane + row];
        }
    }
}
