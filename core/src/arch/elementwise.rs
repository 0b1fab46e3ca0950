//! Operators that take their elements one by one, for machines with a shorter way than one by one.
#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};
use crate::kernels::requant::{Clamp, Scale, round_shift32};

/// `clamp(zero point + round((zero + sum of factor * operand) / 2^shift))` of `N` operands, where nothing overflows 32 bits but
/// in parts that come right again.
#[derive(Clone, Copy)]
pub struct Sum<const N: usize> {
    /// The constant term.
    pub zero: i32,
    /// Factors of the operands, within +-2^21.
    pub factors: [i32; N],
    /// 1 to 30.
    pub shift: u8,
    /// Zero point and range of the results.
    pub clamp: Clamp,
}

impl<const N: usize> Sum<N> {
    /// The sum of operands with these zero points, whose share is the same for all elements.
    pub fn new(factors: [i32; N], zero_points: [i32; N], shift: u8, clamp: Clamp) -> Self {
        let share = |zero: i32, (factor, zero_point): (&i32, &i32)| {
            zero.wrapping_sub(factor.wrapping_mul(*zero_point))
        };
        Self { zero: factors.iter().zip(&zero_points).fold(0, share), factors, shift, clamp }
    }

    /// The result for one element of every operand.
    #[inline(always)]
    pub fn apply(&self, x: [i32; N]) -> i32 {
        let part = |sum: i32, (x, factor): (&i32, &i32)| sum.wrapping_add(x.wrapping_mul(*factor));
        let sum = x.iter().zip(&self.factors).fold(self.zero, part);
        self.clamp.limit32(round_shift32(sum, self.shift))
    }
}

/// Sums of the elements of two or three operands, as many as `y` takes; false, with nothing done, when this machine has no
/// shorter way or the lengths differ. `y` may lie on top of an operand, or begin in front of it.
pub fn add<const N: usize>(_backend: Backend, x: [In<'_, i8>; N], y: Out<'_, i8>, sum: &Sum<N>) -> bool {
    let whole = x.iter().all(|x| x.len() == y.len());
    // Of three operands the compiler's vectors are as fast: two products an instruction do not come out even.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if let (true, Backend::Avx512Vnni, &[a, b], &[of_a, of_b]) = (whole, _backend, &x[..], &sum.factors[..]) {
        let pair = Sum { zero: sum.zero, factors: [of_a, of_b], shift: sum.shift, clamp: sum.clamp };
        // SAFETY: a backend is only there when the machine has its instructions.
        unsafe { super::x86::elementwise::add(a, b, y, &pair) };
        return true;
    }
    #[cfg(mixel_helium)]
    if whole {
        return super::helium::elementwise::add(x, y, sum);
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if whole {
        return super::dsp_elementwise::add(x, y, sum);
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

impl Product {
    /// The result for one element of each operand.
    #[inline(always)]
    pub fn apply(&self, a: i32, b: i32) -> i32 {
        let [zero_a, zero_b] = self.zeros;
        self.clamp.limit32(self.scale.apply_small((a - zero_a) * (b - zero_b)))
    }
}

/// Products of the elements of `a` and `b`, as [`add`] gives sums.
#[inline]
pub fn multiply(backend: Backend, [a, b]: [In<'_, i8>; 2], y: Out<'_, i8>, product: &Product) -> bool {
    let whole = a.len() == y.len() && b.len() == y.len();
    #[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
    if whole && backend != Backend::Portable {
        // SAFETY: every machine of this architecture has NEON.
        unsafe { super::aarch64::elementwise::multiply(a, b, y, product) };
        return true;
    }
    #[cfg(mixel_helium)]
    if whole {
        super::helium::elementwise::multiply(a, b, y, product);
        return true;
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if whole {
        return super::dsp_elementwise::multiply(a, b, y, product);
    }
    let _ = (backend, whole, product);
    false
}

/// The entries of a table, the results for -128 .. 127, of the elements of `x`, as [`add`] gives sums.
#[inline]
pub fn lookup(x: In<'_, i8>, y: Out<'_, i8>, table: In<'_, i8>) -> bool {
    let whole = x.len() == y.len() && table.len() == 256;
    let there = whole && cfg!(mixel_dsp);
    #[cfg(mixel_helium)]
    if there {
        super::helium::elementwise::lookup(x, y, table);
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if there {
        super::dsp_elementwise::lookup(x, y, table);
    }
    there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_one_element() {
        let a: [i8; 77] = core::array::from_fn(|index| (index * 67 % 256) as u8 as i8);
        let b: [i8; 77] = core::array::from_fn(|index| [i8::MIN, i8::MAX, 0, -3][index % 4]);
        let zeros = [[0, 0], [-128, 127], [127, -128], [5, -60]];
        let clamps = [Clamp::full::<i8>(-7), Clamp { zero_point: 127, min: -20, max: 90 }];
        for &backend in Backend::ALL.iter().filter(|backend| backend.available()) {
            for (shift, multiplier) in (19..=62).flat_map(|shift| {
                [-(1 << 30), -12_345, 0, 1, 0x2AAA_AAAA, 1 << 30].map(|multiplier| (shift, multiplier))
            }) {
                for (zeros, clamp) in zeros.iter().flat_map(|zeros| clamps.map(|clamp| (*zeros, clamp))) {
                    let product = Product { zeros, scale: Scale { multiplier, shift }, clamp };
                    let mut y = [0; 77];
                    if !multiply(backend, [In::new(&a), In::new(&b)], Out::new(&mut y), &product) {
                        continue;
                    }
                    for ((&a, &b), y) in a.iter().zip(&b).zip(y) {
                        assert_eq!(
                            i32::from(y),
                            product.apply(a.into(), b.into()),
                            "{a} {b} {zeros:?} {shift}"
                        );
                    }
                }
            }
        }
    }
}
