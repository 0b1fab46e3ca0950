//! Softmax along one axis: `y = clamp(zy + round(e(x) / sum(e(x)) * scale))` with `e(x) = exp(scale_x * (x - max))` from a
//! table that the host makes. Where the axis varies at run time, only the rows present take part.
//!
//! The largest element of a row has weight `2^30` exactly. `d = max - x` is split into `16 * high + low` (`256 * high + low`
//! for 16-bit input), and the weights of the two parts are multiplied, so that 32 (512) entries do for all differences.
//! What is beyond the end of the table of high parts has weight 0.

use core::marker::PhantomData;

use super::fixed::{high, reciprocal};
use super::nest::{Lanes, blocks, elementwise_reach};
use super::requant::{Clamp, Scale, round_shift, round_shift32};
use super::width::{Bits8, Bits16, Sink, Source, Width, check_unary};
use super::{Kernel, OpKind, Run};
use crate::arch::normal;
use crate::arch::view::{In, Out};
use crate::pack::Layout;
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Rows, Tensor};

/// The operator on the types of `W`.
pub struct SoftmaxOf<W>(PhantomData<W>);
/// The operator on int8.
pub type Softmax = SoftmaxOf<Bits8>;
/// The operator on any of int8 and int16.
pub type Softmax16 = SoftmaxOf<Bits16>;
/// [`Softmax`] along the last axis alone, in the loops that some machines have for it (see [`super::lean`]).
pub struct SoftmaxLean;

/// The parameters of [`super::OpKind::Softmax`] and [`super::OpKind::Softmax16`] as the plan stores them. Zero points are
/// those of the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxParams {
    /// Dimension 0 to 3 (of the four) along which the outputs sum to one.
    pub axis: u8,
    /// u32 `round(2^31 * exp(-scale_x * d))` for `d = 0 .. n`, where n is 16 for 8-bit and 256 for 16-bit input.
    pub low: Constant,
    /// u32 `round(2^31 * exp(-scale_x * n * d))` for `d = 0 ..`, 1 to n entries. Loops of the DSP extension take all n.
    pub high: Constant,
    /// One by the scale of the output, shift at least 3: `2^30 / 2^22` for 1/256.
    pub scale: Scale,
}

impl SoftmaxParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = write::Params::new().u8(self.axis);
        let params = params.constant(self.low.offset, self.low.count);
        self.scale.encode(params.constant(self.high.offset, self.high.count))
    }

    /// Reads what [`SoftmaxParams::encode`] writes.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            axis: cursor.u8(),
            low: Constant::read(cursor),
            high: Constant::read(cursor),
            scale: Scale::read(cursor),
        }
    }

    /// Those of a softmax, which has no others.
    fn of(operator: &Operator<'_>) -> Option<Self> {
        let mut cursor = operator.params();
        let params = Self::read(&mut cursor);
        cursor.finished().then_some(params)
    }

    /// Whether the tables of `operator` and the scale are such ones for elements of `input`.
    pub(super) fn check(&self, operator: &Operator<'_>, input: DType) -> Result<(), Fault> {
        let Scale { multiplier, shift } = self.scale;
        if multiplier <= 0 || !(3..=62).contains(&shift) {
            return Err(Fault::Params);
        }
        let [low, high] = [self.low, self.high].map(|table| operator.slice(table));
        if complete(low, high, bits(input)) { Ok(()) } else { Err(Fault::Constants) }
    }

    /// Whether there are all the entries that the loops for rows of 8 bits take in plans of `layout`.
    pub(super) fn takes_loops(&self, layout: Layout) -> bool {
        self.high.count == 16 || !loops(layout)
    }
}

/// Whether machines that run plans of `layout` may have the loops of the DSP extension.
fn loops(layout: Layout) -> bool {
    matches!(layout, Layout::Generic | Layout::ArmDsp)
}

/// Words of scratch memory for rows of `length` elements of 8 bits: what loops of the DSP extension keep, from bytes to bytes.
pub(super) fn row_room(layout: Layout, length: usize) -> usize {
    if loops(layout) { length } else { 0 }
}

/// Weight of the largest element of a row.
const ONE: u32 = 1 << 30;

/// The weights of all differences to the largest element.
#[derive(Clone, Copy)]
pub(super) struct Weights<'p> {
    /// As the loops over rows take them.
    rows: normal::Weights<'p>,
    /// Bits of the low part.
    bits: u32,
}

impl<'p> Weights<'p> {
    /// Those of `run`'s operator, with so many words of room for its loops.
    pub(super) fn of(run: &'p Run<'_>, params: &SoftmaxParams, input: DType, room: usize) -> Self {
        let operator = run.operator();
        let [low, high] = [params.low, params.high].map(|table| operator.slice(table));
        let rows = normal::Weights { backend: run.backend(), low, high, room: run.scratch(0, room) };
        Self { rows, bits: bits(input) }
    }

    #[inline(always)]
    fn get<W: Width>(&self, difference: i32) -> u32 {
        let difference = difference as u32 as usize;
        let bits = if W::WIDE { self.bits } else { 4 };
        let low = self.rows.low.get(difference & ((1 << bits) - 1));
        ((low as u64 * self.rows.high.get(difference >> bits) as u64) >> 32) as u32
    }
}

/// Bits of the low part of a difference.
fn bits(input: DType) -> u32 {
    if input == DType::I16 { 8 } else { 4 }
}

/// Whether the tables are whole, for parts of so many `bits`.
fn complete(low: In<'_, u32>, high: In<'_, u32>, bits: u32) -> bool {
    // The upper half of its square is the weight of the largest element.
    const FIRST: u32 = 1 << 31;
    let valid = |table: &In<'_, u32>| {
        table.get(0) == FIRST && (0..table.len()).all(|index| table.get(index) <= FIRST)
    };
    let entries = 1 << bits;
    low.len() == entries && high.len() <= entries && valid(&low) && valid(&high)
}

/// What one row is divided by, and its largest element.
#[derive(Clone, Copy)]
pub(super) struct Divisor {
    max: i32,
    /// `2^(shift) / (sum of weights * scale of the output)`, below 2^31.
    factor: i32,
    /// 33 to 62.
    shift: u8,
}

impl Divisor {
    /// That of the elements of `x` that are `stride` apart.
    #[inline(always)]
    fn of<W: Width>(x: impl Source, stride: usize, weights: &Weights<'_>, scale: Scale) -> Self {
        if let Some((max, sum)) = x.narrow().and_then(|x| normal::sum(x, stride, &weights.rows)) {
            return Self::new(max, sum.max(ONE as u64), scale);
        }
        let (mut max, mut index) = (i32::from(i16::MIN), 0);
        while index < x.elements() {
            max = max.max(x.get(index));
            index += stride;
        }
        let (mut sum, mut index) = (0u64, 0);
        while index < x.elements() {
            sum = sum.wrapping_add(weights.get::<W>(max.wrapping_sub(x.get(index))) as u64);
            index += stride;
        }
        Self::new(max, sum.max(ONE as u64), scale)
    }

    /// That of a row with largest element `max` and sum `sum` of weights, at least [`ONE`].
    #[inline]
    pub(super) fn new(max: i32, sum: u64, scale: Scale) -> Self {
        let leading = sum.leading_zeros();
        let inverse = reciprocal((sum << leading >> 32) as u32);
        let factor = (inverse as u64 * scale.multiplier as u64) >> 31;
        // sum = m * 2^(32 - leading) and inverse = 2^62 / m: weights times factor are quotients times 2^shift.
        let shift = 63 + scale.shift as u32 - leading;
        Self { max, factor: factor.min(i32::MAX as u64) as i32, shift: shift.clamp(33, 62) as u8 }
    }

    /// Sets `y` to the softmax of the elements of `x` that are `stride` apart, if the machine has a shorter way for them.
    #[inline(always)]
    fn quotients(
        self,
        x: impl Source,
        y: impl Sink,
        stride: usize,
        weights: &Weights<'_>,
        clamp: Clamp,
    ) -> bool {
        let row = (self.max, self.factor, self.shift);
        match (x.narrow(), y.narrow()) {
            (Some(x), Some(y)) => normal::quotients((x, y), stride, &weights.rows, row, clamp.zero_point),
            _ => false,
        }
    }

    /// Sets `y` to the softmax of the row `x`.
    #[inline(never)]
    fn map<W: Width>(self, x: impl Source, y: impl Sink, weights: Weights<'_>, clamp: Clamp) {
        if self.quotients(x, y, 1, &weights, clamp) {
            return;
        }
        for index in 0..x.elements().min(y.elements()) {
            y.set(index, self.apply(weights.get::<W>(self.max.wrapping_sub(x.get(index))), clamp));
        }
    }

    /// The quotient of one weight, in steps of the output.
    #[inline(always)]
    pub(super) fn apply(self, weight: u32, clamp: Clamp) -> i32 {
        clamp.limit32(round_shift32(high(weight as i32, self.factor), self.shift - 32))
    }
}

fn geometry(input: &Tensor, axis: u8, rows: Rows) -> Result<Lanes, Fault> {
    Lanes::new(input, axis as usize, axis as usize, rows)
}

/// Bytes of scratch memory a lane: the largest element and shift, and the factor.
const LANE: usize = 8;

/// [`row_room`] of an operator that goes along the last axis.
fn room(operator: &Operator<'_>, lanes: &Lanes) -> usize {
    let rows = operator.kind == OpKind::Softmax && lanes.stride == 1;
    if rows { row_room(operator.plan().layout(), lanes.bound) } else { 0 }
}

impl<W: Width> Kernel for SoftmaxOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::Softmax16 } else { OpKind::Softmax };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, _) = check_unary::<W>(operator)?;
        let params = SoftmaxParams::of(operator).ok_or(Fault::Params)?;
        geometry(&x, params.axis, Rows::ALL)?;
        params.check(operator, x.dtype)
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        let (Ok(input), Some(params)) = (operator.input(0), SoftmaxParams::of(operator)) else {
            return 0;
        };
        match geometry(&input, params.axis, Rows::ALL) {
            Ok(Lanes { stride, .. }) if stride > 1 => LANE * stride,
            Ok(lanes) => room(operator, &lanes) * size_of::<u32>(),
            Err(_) => 0,
        }
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = SoftmaxParams::of(run.operator()) else { return };
        let Ok(lanes) = geometry(&input, params.axis, run.rows()) else { return };
        let room = room(run.operator(), &lanes);
        let weights = Weights::of(run, &params, input.dtype, room);
        let (min, max) = output.dtype.range();
        let clamp = Clamp { zero_point: output.zero_point, min, max };
        let (x, y) = (W::read(run, &input), W::write(run, &output));
        let scratch = run.scratch::<i32>(0, if lanes.stride > 1 { 2 * lanes.stride } else { 0 });
        // Lanes may be written one by one where no result takes the place of another lane's element.
        let apart = !super::shared(&input, &output) || input.offset == output.offset;
        let mut divisor = Divisor { max: 0, factor: 0, shift: 33 };
        for block in blocks(&input, params.axis as usize, run.rows()) {
            let start = block * lanes.block();
            let present = lanes.count * lanes.stride;
            let (x, y) = (x.window(start, present), y.window(start, present));
            let mut done = apart && lanes.stride > 1;
            for lane in 0..lanes.stride {
                let (x, y) = (x.window(lane, present), y.window(lane, present));
                divisor = Divisor::of::<W>(x, lanes.stride, &weights, params.scale);
                done = done && divisor.quotients(x, y, lanes.stride, &weights, clamp);
                scratch.set(2 * lane, divisor.max << 8 | divisor.shift as i32);
                scratch.set(2 * lane + 1, divisor.factor);
            }
            // In the order of memory, so that the output may overlap the input from behind.
            if lanes.stride == 1 {
                divisor.map::<W>(x, y, weights, clamp);
                continue;
            }
            if done {
                continue;
            }
            let mut lane = 0;
            for index in 0..x.elements().min(y.elements()) {
                let packed = scratch.get(2 * lane);
                let factor = scratch.get(2 * lane + 1);
                divisor = Divisor { max: packed >> 8, factor, shift: packed as u8 };
                lane = if lane + 1 == lanes.stride { 0 } else { lane + 1 };
                y.set(index, divisor.apply(weights.get::<W>(divisor.max.wrapping_sub(x.get(index))), clamp));
            }
        }
    }
}

/// Whether it goes along the last axis, of which all is there, and has the table that its loops take.
pub(super) fn lean(operator: &Operator<'_>) -> bool {
    let (Ok(input), Some(params)) = (operator.input(0), SoftmaxParams::of(operator)) else {
        return false;
    };
    params.axis == 3 && input.dynamic >> 3 == 0 && params.takes_loops(operator.plan().layout())
}

/// Sets `y` to the softmax of the row `x`, which may be the same memory, in the loops that some machines have for it: there
/// all rows need [`SoftmaxParams::takes_loops`] and [`row_room`].
#[inline(always)]
pub(super) fn row(x: In<'_, i8>, y: Out<'_, i8>, weights: &Weights<'_>, scale: Scale, zero_point: i32) {
    let clamp = Clamp { zero_point, min: i8::MIN.into(), max: i8::MAX.into() };
    if !(super::LOOPS || cfg!(mixel_helium)) {
        Divisor::of::<Bits8>(x, 1, weights, scale).map::<Bits8>(x, y, *weights, clamp);
    } else if let Some((max, sum)) = normal::sum(x, 1, &weights.rows).filter(|_| !x.is_empty()) {
        // Of a checked table the largest element has all of `ONE`.
        Divisor::new(max, sum, scale).quotients(x, y, 1, weights, clamp);
    }
}

impl Kernel for SoftmaxLean {
    const KIND: OpKind = OpKind::Softmax;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        Softmax::check(operator)?;
        if lean(operator) { Ok(()) } else { Err(Fault::Lean) }
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        Softmax::scratch(operator)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        Softmax::reach(operator, input)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = SoftmaxParams::of(run.operator()) else { return };
        let length = input.inner();
        let weights = Weights::of(run, &params, DType::I8, length);
        let (x, y) = (run.read::<i8>(&input), run.write::<i8>(&output));
        for (first, rows) in input.row_spans(run.rows()) {
            for row in first..first + rows {
                let (x, y) = (x.window(row * length, length), y.window(row * length, length));
                self::row(x, y, &weights, params.scale, output.zero_point);
            }
        }
    }
}

/// The specification, for one row: `weight` gives the weight of every difference; exact up to the division,
/// which is `round(weight * 2^62 / sum * multiplier / 2^(62 + shift))` with the reciprocal rounded up in its 31st bit.
pub fn reference(x: &[i32], weight: impl Fn(u32) -> u32, scale: Scale, clamp: Clamp, y: &mut [i32]) {
    let Some(max) = x.iter().copied().max() else { return };
    quotients_reference(|index| weight((max - x[index]) as u32), scale, clamp, y);
}

/// The division of that: of the weight of every element by their sum.
pub(super) fn quotients_reference(weight: impl Fn(usize) -> u32, scale: Scale, clamp: Clamp, y: &mut [i32]) {
    let sum: u64 = (0..y.len()).map(|index| weight(index) as u64).sum();
    let leading = sum.leading_zeros();
    let inverse = (1u64 << 62).div_ceil((sum << leading >> 32).max(1));
    let factor = (inverse * scale.multiplier as u64) >> 31;
    let shift = (63 + scale.shift as u32).saturating_sub(leading).clamp(33, 62);
    for (index, y) in y.iter_mut().enumerate() {
        let quotient = weight(index) as u64 * factor;
        *y = clamp.limit(round_shift(quotient as i64, shift as u8));
    }
}
