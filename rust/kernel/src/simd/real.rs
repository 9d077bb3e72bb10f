//! Element types and their register operations.

use super::Isa;

/// A floating-point type with the register operations that the kernel needs, each a thin name for `pulp`'s.
///
/// Loads and stores take raw pointers: a tile walks rows of padded matrices, where slices would check each access.
pub trait Real: Copy + Send + Sync + Default + PartialOrd + std::fmt::Debug + 'static {
    /// One register.
    type Lanes<S: Isa>: Copy;
    /// One truth value a lane.
    type Mask<S: Isa>: Copy;
    /// Bytes of an element.
    const SIZE: usize = size_of::<Self>();
    /// Elements in the 64 bytes that rows are padded to, on every instruction set.
    const PAD: usize = 64 / Self::SIZE;

    /// Rounds to the nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// Widens exactly.
    fn to_f64(self) -> f64;
    /// Elements in a register.
    fn lanes<S: Isa>() -> usize {
        size_of::<Self::Lanes<S>>() / Self::SIZE
    }

    /// The same value in every lane.
    fn splat<S: Isa>(isa: S, x: Self) -> Self::Lanes<S>;
    /// # Safety
    /// A register's worth of elements must be readable at `p`; no alignment is needed.
    unsafe fn load<S: Isa>(isa: S, p: *const Self) -> Self::Lanes<S>;
    /// # Safety
    /// A register's worth of elements must be writable at `p`; no alignment is needed.
    unsafe fn store<S: Isa>(isa: S, p: *mut Self, x: Self::Lanes<S>);
    /// a + b
    fn add<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a − b
    fn sub<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a·b
    fn mul<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a / b
    fn div<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a·b + c, fused where the machine can
    fn fma<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>, c: Self::Lanes<S>) -> Self::Lanes<S>;
    /// −a
    fn neg<S: Isa>(isa: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// |a|
    fn abs<S: Isa>(isa: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// The larger; which one of two NaNs or zeros is left open.
    fn max<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// The smaller, as [`Real::max`].
    fn min<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a < b
    fn less<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Mask<S>;
    /// a = b
    fn equal<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Mask<S>;
    /// `yes` where the mask holds, else `no`
    fn select<S: Isa>(isa: S, mask: Self::Mask<S>, yes: Self::Lanes<S>, no: Self::Lanes<S>) -> Self::Lanes<S>;
    /// The sum of the lanes.
    fn sum<S: Isa>(isa: S, a: Self::Lanes<S>) -> Self;
    /// 2ⁿ for whole n in the exponent's normal range.
    fn pow2<S: Isa>(isa: S, n: Self::Lanes<S>) -> Self::Lanes<S>;
    /// √a
    fn sqrt<S: Isa>(isa: S, a: Self::Lanes<S>) -> Self::Lanes<S>;

    /// c − a·b
    #[inline(always)]
    fn nfma<S: Isa>(isa: S, a: Self::Lanes<S>, b: Self::Lanes<S>, c: Self::Lanes<S>) -> Self::Lanes<S> {
        Self::fma(isa, Self::neg(isa, a), b, c)
    }
    /// The same constant in every lane.
    #[inline(always)]
    fn constant<S: Isa>(isa: S, x: f64) -> Self::Lanes<S> {
        Self::splat(isa, Self::from_f64(x))
    }
}

macro_rules! real {
    ($t:ident, $lanes:ident, $mask:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident,
     $neg:ident, $abs:ident, $max:ident, $min:ident, $less:ident, $equal:ident, $select:ident, $sum:ident, $pow2:ident, $sqrt:ident) => {
        impl Real for $t {
            type Lanes<S: Isa> = S::$lanes;
            type Mask<S: Isa> = S::$mask;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn splat<S: Isa>(isa: S, x: Self) -> S::$lanes {
                isa.$splat(x)
            }
            #[inline(always)]
            unsafe fn load<S: Isa>(_: S, p: *const Self) -> S::$lanes {
                // SAFETY: the caller's promise; registers are plain data.
                unsafe { p.cast::<S::$lanes>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store<S: Isa>(_: S, p: *mut Self, x: S::$lanes) {
                // SAFETY: the caller's promise; registers are plain data.
                unsafe { p.cast::<S::$lanes>().write_unaligned(x) }
            }
            #[inline(always)]
            fn add<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                isa.$add(a, b)
            }
            #[inline(always)]
            fn sub<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                isa.$sub(a, b)
            }
            #[inline(always)]
            fn mul<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                isa.$mul(a, b)
            }
            #[inline(always)]
            fn div<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                isa.$div(a, b)
            }
            #[inline(always)]
            fn fma<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes, c: S::$lanes) -> S::$lanes {
                isa.$fma(a, b, c)
            }
            #[inline(always)]
            fn neg<S: Isa>(isa: S, a: S::$lanes) -> S::$lanes {
                isa.$neg(a)
            }
            #[inline(always)]
            fn abs<S: Isa>(isa: S, a: S::$lanes) -> S::$lanes {
                isa.$abs(a)
            }
            #[inline(always)]
            fn max<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                isa.$max(a, b)
            }
            #[inline(always)]
            fn min<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                isa.$min(a, b)
            }
            #[inline(always)]
            fn less<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$mask {
                isa.$less(a, b)
            }
            #[inline(always)]
            fn equal<S: Isa>(isa: S, a: S::$lanes, b: S::$lanes) -> S::$mask {
                isa.$equal(a, b)
            }
            #[inline(always)]
            fn select<S: Isa>(isa: S, mask: S::$mask, yes: S::$lanes, no: S::$lanes) -> S::$lanes {
                isa.$select(mask, yes, no)
            }
            #[inline(always)]
            fn sum<S: Isa>(isa: S, a: S::$lanes) -> Self {
                isa.$sum(a)
            }
            #[inline(always)]
            fn pow2<S: Isa>(isa: S, n: S::$lanes) -> S::$lanes {
                isa.$pow2(n)
            }
            #[inline(always)]
            fn sqrt<S: Isa>(isa: S, a: S::$lanes) -> S::$lanes {
                isa.$sqrt(a)
            }
        }
    };
}

real!(
    f32,
    f32s,
    m32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    mul_add_e_f32s,
    neg_f32s,
    abs_f32s,
    max_f32s,
    min_f32s,
    less_than_f32s,
    equal_f32s,
    select_f32s,
    reduce_sum_f32s,
    pow2_f32,
    sqrt_f32s
);
real!(
    f64,
    f64s,
    m64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    mul_add_e_f64s,
    neg_f64s,
    abs_f64s,
    max_f64s,
    min_f64s,
    less_than_f64s,
    equal_f64s,
    select_f64s,
    reduce_sum_f64s,
    pow2_f64,
    sqrt_f64s
);
