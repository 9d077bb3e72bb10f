//! The instruction sets, looked at once.

use std::sync::OnceLock;

/// An instruction set that the kernel is compiled for.
pub trait Isa: pulp::Simd {
    /// The name that `RFPCORE_ISA` takes.
    const NAME: &'static str;
    /// Registers that a product tile may fill with sums; the rest holds its operands.
    const ACCUMULATORS: usize = Self::REGISTER_COUNT / 4 * 3;
    /// Registers side by side in a tile: with 32 registers 6 × 4 loads least per product, with 16 it is 6 × 2.
    const TILE_REGISTERS: usize = if Self::REGISTER_COUNT >= 32 { 4 } else { 2 };

    /// Calls `f` in a function compiled with this set's features.
    fn enter<F: pulp::NullaryFnOnce>(self, f: F) -> F::Output;

    /// 2ⁿ in every lane, for whole n within the exponent's normal range.
    #[inline(always)]
    fn pow2_f32(self, n: Self::f32s) -> Self::f32s {
        // 1.5·2²³ moves n into the low mantissa bits; the bias and the shift turn them into an exponent.
        let bits = self.transmute_u32s_f32s(self.add_f32s(n, self.splat_f32s(12_582_912.0 + 127.0)));
        self.transmute_f32s_u32s(self.wrapping_dyn_shl_u32s(bits, self.splat_u32s(23)))
    }

    /// As [`Isa::pow2_f32`].
    #[inline(always)]
    fn pow2_f64(self, n: Self::f64s) -> Self::f64s {
        // pulp has no 64-bit shift; a product by 2⁵² is the same, wrapping.
        let bits = self.transmute_u64s_f64s(self.add_f64s(n, self.splat_f64s(6_755_399_441_055_744.0 + 1023.0)));
        self.transmute_f64s_u64s(self.mul_u64s(bits, self.splat_u64s(1 << 52)))
    }
}

impl Isa for pulp::Scalar {
    const NAME: &'static str = "portable";

    #[inline(always)]
    fn enter<F: pulp::NullaryFnOnce>(self, f: F) -> F::Output {
        f.call()
    }
}

#[cfg(target_arch = "x86_64")]
impl Isa for pulp::x86::V3 {
    const NAME: &'static str = "avx2";

    #[inline(always)]
    fn enter<F: pulp::NullaryFnOnce>(self, f: F) -> F::Output {
        self.vectorize(f)
    }
}

#[cfg(target_arch = "x86_64")]
impl Isa for pulp::x86::V4 {
    const NAME: &'static str = "avx512";

    #[inline(always)]
    fn enter<F: pulp::NullaryFnOnce>(self, f: F) -> F::Output {
        self.vectorize(f)
    }
}

#[cfg(target_arch = "aarch64")]
impl Isa for pulp::aarch64::Neon {
    const NAME: &'static str = "neon";

    #[inline(always)]
    fn enter<F: pulp::NullaryFnOnce>(self, f: F) -> F::Output {
        self.vectorize(f)
    }
}

/// The environment variable that forces a set.
const REQUEST: &str = "RFPCORE_ISA";

/// The instruction set in use, as a value.
#[derive(Clone, Copy, Debug)]
pub enum Backend {
    /// One element at a time, for any machine; also the oracle of the others.
    Portable(pulp::Scalar),
    /// AVX2 and FMA: 16 registers of 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// AVX-512 F, BW, CD, DQ and VL: 32 registers of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// NEON: 32 registers of 128 bits.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

/// Runs `$body` with `$isa` bound to the token of a [`Backend`], compiled once for each.
#[macro_export]
macro_rules! with_isa {
    ($backend:expr, $isa:ident => $body:expr) => {
        match $backend {
            $crate::simd::Backend::Portable($isa) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Backend::Avx2($isa) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Backend::Avx512($isa) => $body,
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Backend::Neon($isa) => $body,
        }
    };
}

impl Backend {
    /// The widest set that this machine has, or the one that the environment variable `RFPCORE_ISA` names; looked at
    /// once. A name that this machine cannot run is passed over; [`Backend::check_request`] tells.
    pub fn detect() -> Self {
        static CHOSEN: OnceLock<Backend> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let all = Self::available();
            let wanted = std::env::var(REQUEST).unwrap_or_default();
            all.iter().find(|b| b.name() == wanted).or(all.first()).copied().unwrap_or(Self::Portable(pulp::Scalar))
        })
    }

    /// Whether the set that `RFPCORE_ISA` names, if any, can be run here.
    ///
    /// # Errors
    /// A message with the name and those that can be run.
    pub fn check_request() -> Result<(), String> {
        let Ok(wanted) = std::env::var(REQUEST) else { return Ok(()) };
        let names: Vec<_> = Self::available().into_iter().map(Self::name).collect();
        if wanted.is_empty() || names.contains(&wanted.as_str()) {
            return Ok(());
        }
        Err(format!("{REQUEST} is {wanted:?}, but this machine can run only {}", names.join(", ")))
    }

    /// Every set that this machine can run, the widest first.
    pub fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(pulp::x86::V4::try_new().map(Self::Avx512));
            all.extend(pulp::x86::V3::try_new().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(pulp::aarch64::Neon::try_new().map(Self::Neon));
        all.push(Self::Portable(pulp::Scalar));
        all
    }

    /// The name that `RFPCORE_ISA` takes.
    pub fn name(self) -> &'static str {
        fn name_of<S: Isa>(_: S) -> &'static str {
            S::NAME
        }
        with_isa!(self, isa => name_of(isa))
    }
}
