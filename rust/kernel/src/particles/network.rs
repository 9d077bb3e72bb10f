//! One network on a block of rows: its outputs, and the sums that its gradients are made of.

use crate::dense::{Factors, Matrix, Order, Processor, Target, update};
use crate::network::activation::Activation;
use crate::network::activation::{Function, Relu, Tanh};
use crate::network::epilogues::{Forward, LayerTrace, activated};
use crate::network::fold::{Fold, WHOLE_RUN};
use crate::network::workspace::Buffer;
use crate::simd::math::{Elementary, tanh};
use crate::simd::{Isa, Pass, run};
use crate::system::error::KernelError;
use crate::system::threads::Threads;

use super::shape::Particles;

/// Rows whose activations are kept at once: with a hundred particles in f32 they fill half of the first cache.
pub(super) const BLOCK_ROWS: usize = 64;

/// Scratch for a block of rows.
pub(super) struct ParticleTrace<T> {
    /// a(w₁ᵀx + b).
    value: Buffer<T>,
    /// What arrives at w₁ᵀx + b.
    delta: Buffer<T>,
    /// Ψ, where it is clipped.
    psi: Buffer<T>,
    /// For gradients over very many rows.
    pub(super) fold: Option<Fold<T>>,
}

impl<T: Elementary> ParticleTrace<T> {
    /// Room for a block of any of the networks, and for gradients over up to `most_rows` rows.
    pub(super) fn new(shapes: &[Particles], most_rows: usize) -> Result<Self, KernelError> {
        let size = shapes.iter().map(|s| BLOCK_ROWS * s.stride::<T>()).max().unwrap_or(0);
        let clipped = shapes.iter().any(|s| s.clip.is_some());
        let psi = Buffer::new("the particles' hidden units", if clipped { size } else { 0 })?;
        Ok(Self {
            value: Buffer::new("the particles' hidden units", size)?,
            delta: Buffer::new("the particles' hidden units", size)?,
            psi,
            fold: Fold::new(WHOLE_RUN, most_rows, shapes.iter().map(Particles::padded_len::<T>).max().unwrap_or(0))?,
        })
    }
}

/// A network without its parameters, and how it is computed.
#[derive(Clone, Copy)]
pub(super) struct ParticleNetwork<'a, S> {
    pub(super) isa: S,
    pub(super) shape: Particles,
    /// Who may stop its passes on their way. What they leave then is not to be used.
    pub(super) threads: Threads<'a>,
}

impl<S: Isa> ParticleNetwork<'_, S> {
    /// h of a block of rows; the trace keeps what [`ParticleNetwork::add_gradient`] needs.
    pub(super) fn outputs<T: Elementary>(&self, theta: &[T], x: &[T], trace: &mut ParticleTrace<T>, into: &mut [T]) {
        let Self { isa, shape, .. } = *self;
        let (rows, stride, d) = (into.len(), shape.stride::<T>(), shape.n_inputs);
        assert!(rows <= BLOCK_ROWS && x.len() == rows * d && theta.len() == shape.padded_len::<T>());
        assert!(trace.value.len() >= rows * stride && (shape.clip.is_none() || trace.psi.len() >= rows * stride));
        let value = Matrix { at: trace.value.as_mut_ptr(), stride };
        let layer = LayerTrace { value, delta: value, slope: value, second_derivative: value };
        let factors = Factors { a: Matrix::of(x.as_ptr(), d), b: Matrix::of(theta.as_ptr(), stride), depth: d };
        let [bias, w2] = [d, d + 1].map(|row| theta[row * stride..].as_ptr());
        // SAFETY: the lengths were compared above; the rows of all matrices are padded to whole registers.
        unsafe {
            let epilogue = Forward(shape.activation, layer);
            activated(
                Processor { isa, threads: &self.threads },
                Order::Rows,
                (rows, shape.n_particles),
                &[factors],
                bias,
                epilogue,
            );
            let psi = shape.clip.map(|bound| (trace.psi.as_mut_ptr(), T::from_f64(bound)));
            let scale = T::from_f64(1.0 / shape.n_particles as f64);
            run(isa, ParticleOutputs { rows, stride, value: value.at, w2, psi, scale, into: into.as_mut_ptr() });
        }
    }

    /// Adds Σ_b r_b·∇Ψ(x_b, θᵢ) of the block that [`ParticleNetwork::outputs`] was last called for.
    pub(super) fn add_gradient<T: Elementary>(
        &self,
        theta: &[T],
        x: &[T],
        residual: &[T],
        trace: &mut ParticleTrace<T>,
        gradient: &mut [T],
    ) {
        let Self { isa, shape, .. } = *self;
        let (rows, stride, d) = (residual.len(), shape.stride::<T>(), shape.n_inputs);
        assert!(rows <= BLOCK_ROWS && x.len() == rows * d && trace.value.len() >= rows * stride);
        assert!(theta.len() == shape.padded_len::<T>() && gradient.len() == theta.len());
        let w2 = theta[(d + 1) * stride..].as_ptr();
        let to = gradient.as_mut_ptr();
        let delta = Matrix { at: trace.delta.as_mut_ptr(), stride };
        // SAFETY: the lengths were compared above; the rows of all matrices are padded to whole registers.
        unsafe {
            let psi = shape.clip.map(|bound| (trace.psi.as_ptr(), T::from_f64(1.0 / bound)));
            let value = trace.value.as_ptr();
            let (bias, head) = (to.add(d * stride), to.add((d + 1) * stride));
            let deltas =
                Deltas { rows, stride, value, w2, psi, residual: residual.as_ptr(), delta: delta.at, bias, head };
            match shape.activation {
                Activation::Relu => run(isa, WithActivation::<Relu, _>(deltas, std::marker::PhantomData)),
                _ => run(isa, WithActivation::<Tanh, _>(deltas, std::marker::PhantomData)),
            }
            let factors = Factors { a: Matrix::of(x.as_ptr(), d), b: delta, depth: rows };
            let target = Target { from: to.cast_const(), to, scale: T::from_f64(1.0), keep: None };
            update(
                Processor { isa, threads: &self.threads },
                Order::Columns,
                (d, shape.n_particles),
                [Some(factors), None],
                [Some(target), None],
                stride,
            );
        }
    }
}

/// h = scale·Σᵢ Ψᵢ of every row.
struct ParticleOutputs<T> {
    rows: usize,
    stride: usize,
    value: *const T,
    w2: *const T,
    /// Where Ψ is kept, and its bound.
    psi: Option<(*mut T, T)>,
    scale: T,
    into: *mut T,
}

impl<T: Elementary> Pass for ParticleOutputs<T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        for row in 0..self.rows {
            let mut sum = T::constant(s, 0.0);
            for at in (0..self.stride).step_by(T::lanes::<S>()) {
                // SAFETY: the caller's matrices have these padded rows.
                unsafe {
                    let a = T::load(s, self.value.add(row * self.stride + at));
                    let w2 = T::load(s, self.w2.add(at));
                    if let Some((psi, bound)) = self.psi {
                        let u = T::mul(s, a, w2);
                        let inverse = T::splat(s, T::from_f64(1.0 / bound.to_f64()));
                        let clipped = T::mul(s, T::splat(s, bound), tanh::<S, T>(s, T::mul(s, u, inverse)));
                        T::store(s, psi.add(row * self.stride + at), clipped);
                        sum = T::add(s, sum, clipped);
                    } else {
                        sum = T::fma(s, a, w2, sum);
                    }
                }
            }
            let h = T::from_f64(T::sum(s, sum).to_f64() * self.scale.to_f64());
            // SAFETY: one output a row.
            unsafe { self.into.add(row).write(h) };
        }
    }
}

/// The gradients of b and w₂, added to, and the deltas that the gradient of w₁ is made of.
struct Deltas<T> {
    rows: usize,
    stride: usize,
    value: *const T,
    w2: *const T,
    /// Ψ and the inverse of its bound.
    psi: Option<(*const T, T)>,
    residual: *const T,
    delta: *mut T,
    bias: *mut T,
    head: *mut T,
}

/// Work whose activation is known when it is compiled.
struct WithActivation<F, W>(W, std::marker::PhantomData<F>);

impl<F: Function, T: Elementary> Pass for WithActivation<F, Deltas<T>> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        let w = self.0;
        for at in (0..w.stride).step_by(T::lanes::<S>()) {
            // SAFETY: the caller's matrices have these padded rows, and as many residuals as rows.
            unsafe {
                let w2 = T::load(s, w.w2.add(at));
                let (mut bias, mut head) = (T::load(s, w.bias.add(at)), T::load(s, w.head.add(at)));
                for row in 0..w.rows {
                    let i = row * w.stride + at;
                    let a = T::load(s, w.value.add(i));
                    let mut r = T::splat(s, *w.residual.add(row));
                    if let Some((psi, inverse)) = w.psi {
                        // R·tanh′(u/R)/R = 1 − (Ψ/R)²
                        let t = T::mul(s, T::load(s, psi.add(i)), T::splat(s, inverse));
                        r = T::mul(s, r, T::nfma(s, t, t, T::constant(s, 1.0)));
                    }
                    head = T::fma(s, r, a, head);
                    let delta = T::mul(s, T::mul(s, r, w2), F::slope::<S, T>(s, a));
                    bias = T::add(s, bias, delta);
                    T::store(s, w.delta.add(i), delta);
                }
                T::store(s, w.bias.add(at), bias);
                T::store(s, w.head.add(at), head);
            }
        }
    }
}
