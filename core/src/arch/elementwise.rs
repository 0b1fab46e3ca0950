//! Operators that take their elements one by one, for machines with a shorter way than one by one.
#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};
use crate::kernels::requant::{Clamp, Scale};

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
pub fn add(_backend: Backend, a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, sum: &Sum) -> bool {
    let whole = a.len() == y.len() && b.len() == y.len();
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if whole && _backend == Backend::Avx512Vnni {
        // SAFETY: a backend is only there when the machine has its instructions.
        unsafe { super::x86::elementwise::add(a, b, y, sum) };
        return true;
    }
    #[cfg(mixel_helium)]
    if whole {
        super::helium::elementwise::add(a, b, y, sum);
        return true;
    }
    let _ = (whole, sum);
    false
}

/// `clamp(zero point + round((a - zero of a) * (b - zero of b) * scale))`.
#[derive(Clone, Copy)]
pub struct Product {
    /// Zero points of the operands.
    pub zeros: [i32; 2],
    /// As [`Scale::apply_small`] takes it.
    pub scale: Scale,
    /// Zero point and range of the results.
    pub clamp: Clamp,
}

/// Products of the elements of `a` and `b`, as [`add`] gives sums.
#[inline]
pub fn multiply(a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, product: &Product) -> bool {
    let there = cfg!(mixel_helium) && a.len() == y.len() && b.len() == y.len();
    #[cfg(mixel_helium)]
    if there {
        super::helium::elementwise::multiply(a, b, y, product);
    }
    let _ = product;
    there
}

/// The entries of a table, the results for -128 .. 127, of the elements of `x`, as [`add`] gives sums.
#[inline]
pub fn lookup(x: In<'_, i8>, y: Out<'_, i8>, table: In<'_, i8>) -> bool {
    let there = cfg!(mixel_helium) && x.len() == y.len() && table.len() == 256;
    #[cfg(mixel_helium)]
    if there {
        super::helium::elementwise::lookup(x, y, table);
    }
    there
}
