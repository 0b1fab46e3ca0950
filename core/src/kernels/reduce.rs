//! Mean, sum or largest value over a set of axes. The axes that stay keep their order; the output has as many elements as
//! they have, with or without ones for the axes that went.
//!
//! Where a reduced axis varies at run time only the rows present count, in the mean's divisor too; no rows give the
//! output's zero point.

use core::marker::PhantomData;

use super::nest::{Level, Nest, strides};
use super::requant::{Clamp, Scale, round_div};
use super::width::{Bits8, Bits16, Sink, Source, Width, check_clamp};
use super::{Kernel, OpKind, Run};
use crate::plan::cursor::Cursor;
use crate::plan::{DType, Fault, Operator, write};

/// The operator on the types of `W`.
pub struct ReduceOf<W>(PhantomData<W>);
/// The operator on int8.
pub type Reduce = ReduceOf<Bits8>;
/// The operator on any of int8 and int16.
pub type Reduce16 = ReduceOf<Bits16>;

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Combine {
    /// Sum by the number of elements.
    Mean = 0,
    /// Sum.
    Sum = 1,
    /// Largest.
    Max = 2,
}

/// The parameters of [`super::OpKind::Reduce`] (int8 throughout) and [`super::OpKind::Reduce16`] (any of int8 and int16) as
/// the plan stores them. Zero points are those of the tensors. At most 2^22 elements (2^14 of 16 bits) are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReduceParams {
    /// How.
    pub combine: Combine,
    /// Bit i for dimension i (of the four) of the input.
    pub axes: u8,
    /// Scale of the input by that of the output, without a mean's divisor: `y = clamp(zy + round(sum(x - zx) * scale / n))`.
    /// For a mean the shift is at most 38.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl ReduceParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = write::Params::new().u8(self.combine as u8).u8(self.axes);
        self.scale.encode(params).range(self.min, self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let combine = match cursor.u8() {
            0 => Combine::Mean,
            1 => Combine::Sum,
            2 => Combine::Max,
            _ => return None,
        };
        let mut params = Self { combine, axes: cursor.u8(), scale: Scale::read(&mut cursor), min: 0, max: 0 };
        (params.min, params.max) = cursor.range();
        cursor.finished().then_some(params)
    }
}

/// `dims` with ones in place of the axes that stay, or of those that are reduced.
fn part(dims: [usize; 4], axes: u8, of_reduced: bool) -> [usize; 4] {
    let mut axis = 1;
    dims.map(|dim| {
        let reduced = axes & axis != 0;
        axis <<= 1;
        if reduced == of_reduced { dim } else { 1 }
    })
}

impl<W: Width> Kernel for ReduceOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::Reduce16 } else { OpKind::Reduce };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = operator.unary()?;
        if !W::takes(x.dtype) || !W::takes(y.dtype) {
            return Err(Fault::Types);
        }
        let params = ReduceParams::read(operator.params()).ok_or(Fault::Params)?;
        let dims = x.dims.map(|dim| dim as usize);
        let most = if x.dtype == DType::I16 { 1 << 14 } else { 1 << 22 };
        let fits = (1..16).contains(&params.axes)
            && part(dims, params.axes, true).iter().product::<usize>() <= most
            && params.scale.valid()
            && (params.combine != Combine::Mean || params.scale.shift <= 38);
        if !fits {
            return Err(Fault::Params);
        }
        let dynamic = x.dynamic & !params.axes != 0;
        if part(dims, params.axes, false).iter().product::<usize>() != y.elements()
            || dynamic != (y.dynamic != 0)
        {
            return Err(Fault::Shapes);
        }
        check_clamp(Clamp { zero_point: y.zero_point, min: params.min, max: params.max }, &y)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = ReduceParams::read(run.operator().params()) else { return };
        let clamp = Clamp { zero_point: output.zero_point, min: params.min, max: params.max };
        let (x, y) = (W::read(run, &input), W::write(run, &output));
        let (dims, present) = (input.dims.map(|dim| dim as usize), input.dims_with(run.rows()));
        let n = part(present, params.axes, true).iter().product::<usize>() as i32;
        let steps = strides(dims).map(|step| step as isize);
        let to_steps = strides(part(dims, params.axes, false)).map(|step| step as isize);
        let inside = part(present, params.axes, true).into_iter().zip(steps);
        let inside = Nest::new(inside.map(|(count, step)| Level { count, steps: [step] }));
        let kept = part(present, params.axes, false).into_iter().zip(steps.into_iter().zip(to_steps));
        let kept = Nest::new(kept.map(|(count, (from, to))| Level { count, steps: [from, to] }));
        let Level { count, steps: [from_step, to_step] } = *kept.inner();
        kept.each([0; 2], |[from, to]| {
            for index in 0..count {
                let from = from + index * from_step as usize;
                let centre = n.wrapping_mul(input.zero_point);
                let sum = || fold(x, &inside, from, 0, i32::wrapping_add).wrapping_sub(centre);
                let value = match params.combine {
                    _ if n == 0 => 0,
                    Combine::Max => {
                        params.scale.apply(fold(x, &inside, from, LEAST, i32::max) - input.zero_point)
                    }
                    Combine::Sum => params.scale.apply(sum()),
                    // Saturates beyond 2^9 (8 bits) or 2^17 (16 bits), which no clamp lets through.
                    Combine::Mean => params.scale.apply_by(sum(), n) as i64,
                };
                y.set(to + index * to_step as usize, clamp.limit(value));
            }
        });
    }
}

/// Not above any element.
const LEAST: i32 = i16::MIN as i32;

/// `combine` over the elements that `nest` visits from element `start`.
#[inline(always)]
fn fold(x: impl Source, nest: &Nest<1>, start: usize, first: i32, combine: impl Fn(i32, i32) -> i32) -> i32 {
    let Level { count, steps: [step] } = *nest.inner();
    let mut result = first;
    nest.each([start], |[mut from]| {
        for _ in 0..count {
            result = combine(result, x.get(from));
            from = from.wrapping_add_signed(step);
        }
    });
    result
}

/// The specification, for the elements that become one output.
pub fn reference(x: &[i32], params: &ReduceParams, zero_points: [i32; 2]) -> i32 {
    let clamp = Clamp { zero_point: zero_points[1], min: params.min, max: params.max };
    let centred = || x.iter().map(|x| x - zero_points[0]);
    let sum: i32 = centred().sum();
    clamp.limit(match (params.combine, centred().max()) {
        (_, None) => 0,
        (Combine::Max, Some(max)) => params.scale.apply(max),
        (Combine::Sum, _) => params.scale.apply(sum),
        (Combine::Mean, _) => {
            round_div(sum as i64 * params.scale.multiplier as i64, (x.len() as i64) << params.scale.shift)
        }
    })
}
