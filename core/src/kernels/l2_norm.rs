//! Division by the Euclidean norm: `y = x / max(|x|, epsilon)`, the norm taken over neighbouring axes.

use core::marker::PhantomData;

use super::fixed::{high, reciprocal_root};
use super::layer_norm::Standard;
use super::nest::{Lanes, blocks, elementwise_reach};
use super::requant::{Clamp, Scale, round_shift, round_shift32};
use super::width::{Bits8, Bits16, Sink, Source, Width, check_clamp, check_unary};
use super::{Kernel, OpKind, Run};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, Rows, Tensor, write};

/// The operator on the types of `W`.
pub struct L2NormOf<W>(PhantomData<W>);
/// The operator on int8.
pub type L2Norm = L2NormOf<Bits8>;
/// The operator on any of int8 and int16.
pub type L2Norm16 = L2NormOf<Bits16>;

/// The parameters of [`super::OpKind::L2Norm`] (int8 throughout) and [`super::OpKind::L2Norm16`] (any of int8 and int16)
/// as the plan stores them. Zero points are those of the tensors. At most 2^22 elements share a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2NormParams {
    /// Bit i for dimension i (of the four); neighbouring bits only.
    pub axes: u8,
    /// `(epsilon / scale_x)^2`, multiplier not negative. Below 1 it only matters where all elements are zero.
    pub epsilon: Scale,
    /// One by the scale of the output: `y = clamp(zy + round(x / norm * scale))`; shift 5 to 34.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl L2NormParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = self.epsilon.encode(write::Params::new().u8(self.axes));
        self.scale.encode(params).range(self.min, self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut params = Self {
            axes: cursor.u8(),
            epsilon: Scale::read(&mut cursor),
            scale: Scale::read(&mut cursor),
            min: 0,
            max: 0,
        };
        (params.min, params.max) = cursor.range();
        cursor.finished().then_some(params)
    }
}

impl L2NormParams {
    /// First and last axis.
    fn axes(&self) -> Option<(usize, usize)> {
        let (first, last) = (self.axes.trailing_zeros() as usize, self.axes.checked_ilog2()? as usize);
        (self.axes.count_ones() as usize == last - first + 1 && last < 4).then_some((first, last))
    }

    fn lanes(&self, input: &Tensor, rows: Rows) -> Result<(usize, Lanes), Fault> {
        let (first, last) = self.axes().ok_or(Fault::Params)?;
        Ok((first, Lanes::new(input, first, last, rows)?))
    }
}

/// Fraction bits of the normalised value, which lies within -1 and 1.
const Z_BITS: u8 = 28;
/// Fraction bits of the squared norm, which is below 2^38 for 8-bit and 2^54 for 16-bit elements.
const fn fraction<W: Width>() -> u8 {
    if W::WIDE { 8 } else { 24 }
}
/// Words of scratch memory a lane.
const WORDS: usize = 3;

impl<W: Width> Kernel for L2NormOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::L2Norm16 } else { OpKind::L2Norm };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = check_unary::<W>(operator)?;
        let params = L2NormParams::read(operator.params()).ok_or(Fault::Params)?;
        let (_, lanes) = params.lanes(&x, Rows::ALL)?;
        let fits = lanes.bound <= 1 << 22
            && params.epsilon.valid()
            && params.epsilon.multiplier >= 0
            && (5..=34).contains(&params.scale.shift);
        if !fits {
            return Err(Fault::Params);
        }
        check_clamp(Clamp { zero_point: y.zero_point, min: params.min, max: params.max }, &y)
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        let (Ok(input), Some(params)) = (operator.input(0), L2NormParams::read(operator.params())) else {
            return 0;
        };
        match params.lanes(&input, Rows::ALL) {
            Ok((_, Lanes { stride, .. })) if stride > 1 => stride * WORDS * 4,
            _ => 0,
        }
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = L2NormParams::read(run.operator().params()) else { return };
        let Ok((first, lanes)) = params.lanes(&input, run.rows()) else { return };
        let clamp = Clamp { zero_point: output.zero_point, min: params.min, max: params.max };
        let Scale { multiplier, shift } = params.scale;
        let least = (params.epsilon.multiplier as i64) << fraction::<W>();
        let least = round_shift(least, params.epsilon.shift) as u64;
        let (x, y) = (W::read(run, &input), W::write(run, &output));
        let scratch = run.scratch::<i32>(0, if lanes.stride > 1 { lanes.stride * WORDS } else { 0 });
        let present = lanes.count * lanes.stride;
        let mut standard = Standard::unpack([0; WORDS]);
        for block in blocks(&input, first, run.rows()) {
            let start = block * lanes.block();
            let (x, y) = (x.window(start, present), y.window(start, present));
            for lane in 0..lanes.stride {
                let (mut square, mut index) = (0u64, lane);
                while index < x.elements() {
                    let x = (x.get(index) - input.zero_point) as i64;
                    square = square.wrapping_add((x * x) as u64);
                    index += lanes.stride;
                }
                let square = square.wrapping_shl(fraction::<W>() as u32).max(least);
                standard = Standard::new(1, input.zero_point, square, fraction::<W>(), Z_BITS);
                let words = standard.pack();
                words
                    .into_iter()
                    .enumerate()
                    .for_each(|(word, value)| scratch.set(lane * WORDS + word, value));
            }
            // In the order of memory, so that the output may overlap the input from behind.
            let mut lane = 0;
            for index in 0..x.elements().min(y.elements()) {
                if lanes.stride > 1 {
                    standard =
                        Standard::unpack(core::array::from_fn(|word| scratch.get(lane * WORDS + word)));
                    lane = if lane + 1 == lanes.stride { 0 } else { lane + 1 };
                }
                let z = standard.apply(x.get(index));
                y.set(index, clamp.limit32(round_shift32(high(z, multiplier), shift + Z_BITS - 32)));
            }
        }
    }
}

/// The specification, for the elements `x` that share a norm; `wide` for the 16-bit kind.
pub fn reference(x: &[i32], wide: bool, params: &L2NormParams, zero_points: [i32; 2], y: &mut [i32]) {
    let clamp = Clamp { zero_point: zero_points[1], min: params.min, max: params.max };
    let fraction = if wide { fraction::<Bits16>() } else { fraction::<Bits8>() };
    let centred = || x.iter().map(|&x| (x - zero_points[0]) as i128);
    let least = round_shift((params.epsilon.multiplier as i64) << fraction, params.epsilon.shift) as i128;
    let square = (centred().map(|x| x * x).sum::<i128>() << fraction).max(least);
    let (inverse, exponent) = reciprocal_root(square as u64);
    let shift = 32 + Z_BITS as i32 + fraction as i32 / 2 - exponent as i32;
    for (x, y) in centred().zip(y) {
        let z = ((x << shift.max(0)) * (inverse >> (-shift).max(0)) as i128) >> 32;
        let value = (z * params.scale.multiplier as i128) >> 32;
        *y = clamp.limit(round_shift(value as i64, params.scale.shift + Z_BITS - 32));
    }
}
