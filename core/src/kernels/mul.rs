//! Product of two tensors: `y = clamp(zy + round((a - za) * (b - zb) * scale))`, rounded once.
//!
//! Shapes and operands as in [`super::add`], parameters [`super::requantize::RescaleParams`].

use core::marker::PhantomData;

use super::add::combine;
use super::nest::elementwise_reach;
use super::requant::{Scale, round_shift};
use super::requantize::RescaleParams;
use super::width::{Bits8, Bits16, Width, check_binary, check_clamp};
use super::{Kernel, OpKind, Run};
use crate::arch::elementwise::{self, Product};
use crate::arch::view::{In, Out};
use crate::plan::{Fault, Operator};

/// The operator on the types of `W`.
pub struct MulOf<W>(PhantomData<W>);
/// The operator on int8.
pub type Mul = MulOf<Bits8>;
/// The operator on any of int8 and int16.
pub type Mul16 = MulOf<Bits16>;

impl<W: Width> Kernel for MulOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::Mul16 } else { OpKind::Mul };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (_, _, y) = check_binary::<W>(operator)?;
        let params = RescaleParams::read(operator.params()).ok_or(Fault::Params)?;
        let shifts = if W::WIDE { 1..=62 } else { 19..=62 };
        if !shifts.contains(&params.scale.shift) || params.scale.multiplier.unsigned_abs() > 1 << 30 {
            return Err(Fault::Params);
        }
        check_clamp(params.clamp(y.zero_point), &y)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((a, b, y)) = run.operator().binary() else { return };
        let Some(params) = RescaleParams::read(run.operator().params()) else { return };
        let clamp = params.clamp(y.zero_point);
        let product = Product { zeros: [a.zero_point, b.zero_point], scale: params.scale, clamp };
        let rows = |a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>| {
            !W::WIDE && elementwise::multiply(run.backend(), [a, b], y, &product)
        };
        combine::<W>(run, rows, |x, y| {
            if W::WIDE {
                let (x, y) = ((x - a.zero_point) as i64, (y - b.zero_point) as i64);
                clamp.limit(round_shift(x * y * params.scale.multiplier as i64, params.scale.shift))
            } else {
                product.apply(x, y)
            }
        });
    }
}

/// The specification, for operands of the same shape, with the zero points of `a`, `b` and the output.
pub fn reference(a: &[i32], b: &[i32], params: &RescaleParams, zero_points: [i32; 3], y: &mut [i32]) {
    let [za, zb, zy] = zero_points.map(i64::from);
    let Scale { multiplier, shift } = params.scale;
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        let product = (*a as i64 - za) * (*b as i64 - zb) * multiplier as i64;
        *y = (zy + round_shift(product, shift)).clamp(params.min as i64, params.max as i64) as i32;
    }
}
