//! A bound on the norm of the weights into each unit: Srivastava et al., "Dropout" (2014), section 5.1.

use crate::dense::vectors::with_features;
use crate::network::architecture::Units;
use crate::simd::{Isa, Real};

/// Units whose norms are summed at once.
const BLOCK: usize = 16;

/// Scales the weights into each unit down to a norm of `limit` where it is above.
pub fn limit_norms<S: Isa, T: Real>(isa: S, theta: &mut [T], units: Units, limit: f64) {
    with_features(
        isa,
        #[inline(always)]
        || {
            for first in (0..units.units).step_by(BLOCK) {
                let count = BLOCK.min(units.units - first);
                let at =
                    |input: usize, unit: usize| units.at + input * units.input_step + (first + unit) * units.unit_step;
                let mut sums = [0.0_f64; BLOCK];
                for input in 0..units.inputs {
                    for (unit, sum) in sums[..count].iter_mut().enumerate() {
                        let w = theta[at(input, unit)].to_f64();
                        *sum += w * w;
                    }
                }
                let scales = sums.map(|sum| if sum > limit * limit { limit / sum.sqrt() } else { 1.0 });
                if scales.iter().all(|&scale| scale == 1.0) {
                    continue;
                }
                for input in 0..units.inputs {
                    for (unit, scale) in scales[..count].iter().enumerate() {
                        let w = &mut theta[at(input, unit)];
                        *w = T::from_f64(w.to_f64() * scale);
                    }
                }
            }
        },
    );
}
