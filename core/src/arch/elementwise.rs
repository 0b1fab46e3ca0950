//! Operators that take their elements one by one, for machines with a shorter way than one by one.
#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};
use crate::kernels::requant::Clamp;

/// `clamp(zero point + round((zero + a * x + b * y) / 2^shift))`, where nothing overflows 32 bits but in parts that come right
/// again.
#[derive(Clone, Copy)]
pub struct Sum {
    /// The constant term.
    pub zero: i32,
    /// Factors of the operands.
    pub factors: [i32; 2],
    /// 1 to 30.
    pub shift: u8,
    /// Zero point and range of the results.
    pub clamp: Clamp,
}

/// Sums of the elements of `a` and `b`, as many as `y` takes; false, with nothing done, when this machine has no shorter way
/// or the lengths differ. `y` may lie on top of an operand, or begin in front of it.
pub fn add(backend: Backend, a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, sum: &Sum) -> bool {
    let whole = a.len() == y.len() && b.len() == y.len();
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if whole && backend == Backend::Avx512Vnni {
        // SAFETY: a backend is only there when the machine has its instructions.
        unsafe { super::x86::elementwise::add(a, b, y, sum) };
        return true;
    }
    #[cfg(mixel_helium)]
    if whole {
        super::helium::add(a, b, y, sum);
        return true;
    }
    #[cfg(not(mixel_helium))]
    let _ = (backend, whole, sum);
    false
}
