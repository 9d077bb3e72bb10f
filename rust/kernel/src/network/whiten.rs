//! The squared loss of a whole cluster in a symmetric matrix, ½-free: l = r'Ar weighted, its delta 2Ar.
//!
//! Where the ordinary loss has r, one factor of two is A·r, and nothing else differs: with A = I the bits are those of the
//! ordinary loss.

use crate::covariance::precision::PrecisionBlock;
use crate::network::loss::Planes;
use crate::network::workspace::{Batch, Scratch};
use crate::network::{Network, Record};
use crate::simd::math::Elementary;
use crate::simd::{Isa, Pass, Real, run};

impl<S: Isa> Network<'_, S> {
    /// All rows' residuals r = f − y in place of their outputs, and A·r into the record's curvature. What is summed over
    /// whole clusters is found here; [`Network::whitened`] goes on in parts.
    pub fn whiten<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        block: &PrecisionBlock<T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        let (rows, padded) = (batch.rows, batch.rows.next_multiple_of(T::PAD));
        assert!(self.layout.n_outputs == 1 && batch.first_row == 0, "a precision is one output's, of a whole cluster");
        assert!(padded <= record.layout.plane && padded <= batch.plane, "the planes are short");
        let residuals = &mut scratch.outputs[..padded];
        let whitened = &mut record.numbers[record.layout.curvature..][..padded];
        // SAFETY: both are as long as the padded rows.
        unsafe { run(self.isa, Residuals { targets: &batch.targets[..padded], outputs: residuals }) };
        block.apply(self.isa, &residuals[..rows], &mut whitened[..rows]);
        whitened[rows..].fill(T::default());
    }

    /// Weighted loss r'Ar of some rows, and their deltas, after [`Network::whiten`].
    pub fn whitened<T: Elementary>(
        &self,
        batch: &Batch<'_, T>,
        record: &mut Record<'_, T>,
        scratch: &mut Scratch<T>,
    ) -> f64 {
        let end = batch.first_row + batch.rows.next_multiple_of(T::PAD);
        assert!(end <= record.layout.plane && record.numbers.len() >= record.layout.len, "record is short");
        assert!(scratch.outputs.len() >= end && batch.weights.len() >= end - batch.first_row, "planes are short");
        let planes = self.planes(batch, record.layout, record.numbers.as_mut_ptr(), scratch.outputs.as_ptr());
        // SAFETY: the planes' lengths were compared with the rows.
        unsafe { run(self.isa, Whitened(planes)) }
    }
}

struct Residuals<'a, T> {
    targets: &'a [T],
    outputs: &'a mut [T],
}

impl<T: Real> Pass for Residuals<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) {
        for row in (0..self.targets.len()).step_by(T::lanes::<S>()) {
            // SAFETY: the caller's planes are of one length, in whole registers.
            unsafe {
                let r =
                    T::sub(s, T::load(s, self.outputs.as_ptr().add(row)), T::load(s, self.targets.as_ptr().add(row)));
                T::store(s, self.outputs.as_mut_ptr().add(row), r);
            }
        }
    }
}

struct Whitened<T>(Planes<T>);

impl<T: Real> Pass for Whitened<T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<S: Isa>(self, s: S) -> f64 {
        let Self(p) = self;
        let mut sum = T::constant(s, 0.0);
        for row in (0..p.rows).step_by(T::lanes::<S>()) {
            // SAFETY: inside the planes.
            unsafe {
                let weight = T::load(s, p.weights.add(row));
                let (r, whitened) = (T::load(s, p.outputs_at.add(row)), T::load(s, p.curvature.add(row)));
                sum = T::fma(s, weight, T::mul(s, r, whitened), sum);
                T::store(s, p.delta.add(row), T::mul(s, weight, T::add(s, whitened, whitened)));
            }
        }
        T::sum(s, sum).to_f64()
    }
}
