//! Counter-based random numbers: every stream is a function of a seed, a purpose and an index, so that no result depends
//! on what else is drawn, in what order, or on which thread.

/// One stream.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// The finalizer of SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of a seed, a purpose and an index within it.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let mut state = mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Self { state: mix(state ^ index) }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in (0, 1).
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Uniform in 0..n, by rejection (Lemire, "Fast random integer generation in an interval", TOMACS 2019).
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            // The limit is below n, so that its division is seldom needed.
            if product as u64 >= n || product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// From Beta(α, α), by two gamma variates.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        // In logarithms, because both variates can be too small for their quotient where α is. Below 1e-300 it is 0 or 1
        // all the same, and logarithms would be infinite.
        let alpha = alpha.max(1e-300);
        let (a, b) = (self.log_gamma_variate(alpha), self.log_gamma_variate(alpha));
        1.0 / (1.0 + (b - a).exp())
    }

    /// The logarithm of a draw from Gamma(α, 1): Marsaglia & Tsang, "A simple method for generating gamma variables",
    /// TOMS 2000, with their reduction for α < 1.
    fn log_gamma_variate(&mut self, alpha: f64) -> f64 {
        if alpha < 1.0 {
            return self.log_gamma_variate(alpha + 1.0) + self.uniform().ln() / alpha;
        }
        let d = alpha - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return (d * v).ln();
            }
        }
    }

    /// A random order of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// Puts the items into a random order (Fisher–Yates).
    pub fn shuffle<I>(&mut self, items: &mut [I]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests;
