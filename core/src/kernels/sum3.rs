//! Sum of three tensors of one shape: `y = clamp(zy + round(((a - za) * ma + (b - zb) * mb + (c - zc) * mc) / 2^shift))`, rounded
//! once, where two [`super::add`] one after the other round twice.
//!
//! It is the end of a block with two branches beside its input, as the mixing block of SPACH (Zhao et al., "A battle of network
//! structures", 2021): `x + S + depthwise`.

use core::marker::PhantomData;

use super::add::check_factors;
use super::nest::elementwise_reach;
use super::requant::{Clamp, round_shift};
use super::width::{Bits8, Bits16, Sink, Source, Width, check_clamp};
use super::{Kernel, OpKind, Run};
use crate::arch::elementwise::{self, Sum};
use crate::arch::view::{In, Out};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, write};

/// Operands.
const N: usize = 3;

/// The operator on the types of `W`.
pub struct Sum3Of<W>(PhantomData<W>);
/// The operator on int8.
pub type Sum3 = Sum3Of<Bits8>;
/// The operator on any of int8 and int16.
pub type Sum3_16 = Sum3Of<Bits16>;

/// The parameters of [`super::OpKind::Sum3`] and [`super::OpKind::Sum3_16`] as the plan stores them. Zero points are those of
/// the tensors.
///
/// Factors are those of [`super::add::AddParams`] for one operand more: the largest of `scale_x / scale_y`, times `2^shift`,
/// rounds to 2^20 up to 2^21. [`super::OpKind::Sum3`] is int8 throughout and sums in 32 bits, [`super::OpKind::Sum3_16`] takes
/// any of int8 and int16 and sums in 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum3Params {
    /// `round(scale_x / scale_y * 2^shift)` of every operand; within +-2^21 for int8, +-(2^31 - 1) otherwise.
    pub factors: [i32; N],
    /// 1 to 30 for int8, 1 to 62 otherwise.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl Sum3Params {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let [a, b, c] = self.factors;
        write::Params::new().i32(a).i32(b).i32(c).u8(self.shift).range(self.min, self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut params =
            Self { factors: [cursor.i32(), cursor.i32(), cursor.i32()], shift: cursor.u8(), min: 0, max: 0 };
        (params.min, params.max) = cursor.range();
        cursor.finished().then_some(params)
    }

    fn clamp(&self, zero_point: i32) -> Clamp {
        Clamp { zero_point, min: self.min, max: self.max }
    }
}

impl<W: Width> Kernel for Sum3Of<W> {
    const KIND: OpKind = if W::WIDE { OpKind::Sum3_16 } else { OpKind::Sum3 };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (inputs, y) = operator.ternary()?;
        if !W::takes(y.dtype) || !inputs.iter().all(|x| W::takes(x.dtype)) {
            return Err(Fault::Types);
        }
        if inputs.iter().any(|x| (x.dims, x.dynamic) != (y.dims, y.dynamic)) {
            return Err(Fault::Shapes);
        }
        let params = Sum3Params::read(operator.params()).ok_or(Fault::Params)?;
        check_factors::<W>(&params.factors, params.shift)?;
        check_clamp(params.clamp(y.zero_point), &y)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((inputs, y)) = run.operator().ternary() else { return };
        let Some(params) = Sum3Params::read(run.operator().params()) else { return };
        let Sum3Params { factors, shift, .. } = params;
        let (clamp, zeros) = (params.clamp(y.zero_point), inputs.map(|x| x.zero_point));
        if W::WIDE {
            each::<W>(run, |_, _| false, |x| clamp.limit(round_shift(products(x, &zeros, &factors), shift)));
        } else {
            // It fits: 3 * 255 * 2^21 + 2^29 < 2^31.
            let sum = Sum::new(factors, zeros, shift, clamp);
            let rows = |x: [In<'_, i8>; N], y: Out<'_, i8>| elementwise::add(run.backend(), x, y, &sum);
            each::<W>(run, rows, |x| sum.apply(x));
        }
    }
}

/// The sum before it is rounded.
#[inline(always)]
fn products(x: [i32; N], zeros: &[i32; N], factors: &[i32; N]) -> i64 {
    let operands = x.iter().zip(zeros).zip(factors);
    operands.map(|((x, zero), factor)| (x - zero) as i64 * *factor as i64).sum()
}

/// Sets every element of the output that is present to `function` of those of the inputs. `rows` does that for as many elements
/// of all, if the machine has a shorter way, and says whether it did.
#[inline(always)]
fn each<W: Width>(
    run: &Run<'_>,
    rows: impl Fn([In<'_, i8>; N], Out<'_, i8>) -> bool,
    function: impl Fn([i32; N]) -> i32,
) {
    let Ok((inputs, output)) = run.operator().ternary() else { return };
    let inner = output.inner();
    let (x, y) = (inputs.map(|x| W::read(run, &x)), W::write(run, &output));
    for (first, count) in output.row_spans(run.rows()) {
        let (start, len) = (first * inner, count * inner);
        let (x, y) = (x.map(|x| x.window(start, len)), y.window(start, len));
        if let ([Some(a), Some(b), Some(c)], Some(y)) = (x.each_ref().map(Source::narrow), y.narrow()) {
            if rows([a, b, c], y) {
                continue;
            }
            #[cfg(not(target_os = "none"))]
            {
                crate::arch::elements::each(run.backend(), [a, b, c], y, &function);
                continue;
            }
        }
        let len = x.iter().fold(y.elements(), |len, x| len.min(x.elements()));
        for index in 0..len {
            y.set(index, function(x.map(|x| x.get(index))));
        }
    }
}

/// The specification, with the zero points of the inputs and of the output.
pub fn reference([a, b, c]: [&[i32]; N], params: &Sum3Params, (zeros, zero): ([i32; N], i32), y: &mut [i32]) {
    for (((a, b), c), y) in a.iter().zip(b).zip(c).zip(y) {
        let sum = round_shift(products([*a, *b, *c], &zeros, &params.factors), params.shift);
        *y = (zero as i64 + sum).clamp(params.min as i64, params.max as i64) as i32;
    }
}
