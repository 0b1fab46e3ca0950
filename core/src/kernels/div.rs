//! Quotient of two tensors: `y = clamp(zy + round((a - za) * multiplier / ((b - zb) * 2^shift)))`, rounded once.
//!
//! Shapes and operands as in [`super::add`], parameters [`super::requantize::RescaleParams`]. Where `b` is zero the output
//! is the largest that the clamp allows for positive `a * multiplier`, the smallest for a negative one and zero for zero.

use core::marker::PhantomData;

use super::add::combine;
use super::nest::elementwise_reach;
use super::requant::{Clamp, Scale, round_div};
use super::requantize::RescaleParams;
use super::width::{Bits8, Bits16, Width, check_binary, check_clamp};
use super::{Kernel, OpKind, Run};
use crate::plan::{Fault, Operator};

/// The operator on the types of `W`.
pub struct DivOf<W>(PhantomData<W>);
/// The operator on int8.
pub type Div = DivOf<Bits8>;
/// The operator on any of int8 and int16.
pub type Div16 = DivOf<Bits16>;

impl<W: Width> Kernel for DivOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::Div16 } else { OpKind::Div };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (_, _, y) = check_binary::<W>(operator)?;
        let params = RescaleParams::read(operator.params()).ok_or(Fault::Params)?;
        if !params.scale.valid() || params.scale.shift > MAX_SHIFT {
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
        combine::<W>(
            run,
            |_, _, _| false,
            |x, y| {
                let (x, y) = (x - a.zero_point, y - b.zero_point);
                if W::WIDE || y == 0 {
                    return quotient(x, y, params.scale, clamp);
                }
                // Saturates beyond 2^23, which no clamp lets through.
                clamp.limit32(params.scale.apply_by(if y < 0 { -x } else { x }, y.abs()))
            },
        );
    }
}

/// Largest shift: `65535 * 2^42`, doubled by the rounding, stays in 64 bits.
const MAX_SHIFT: u8 = 42;

fn quotient(a: i32, b: i32, scale: Scale, clamp: Clamp) -> i32 {
    let product = a as i64 * scale.multiplier as i64;
    let (numerator, denominator) = match b.signum() {
        // Rounds to more than any clamp lets through, or to zero.
        0 => (product.signum() << 40, 1),
        sign => (product * sign as i64, (b.unsigned_abs() as i64) << scale.shift),
    };
    clamp.limit(round_div(numerator, denominator))
}

/// The specification, for operands of the same shape, with the zero points of `a`, `b` and the output.
pub fn reference(a: &[i32], b: &[i32], params: &RescaleParams, zero_points: [i32; 3], y: &mut [i32]) {
    let [za, zb, zy] = zero_points;
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        *y = quotient(a - za, b - zb, params.scale, params.clamp(zy));
    }
}
