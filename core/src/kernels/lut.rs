//! Any function of one int8 value, as a table of all 256 results: GELU, sigmoid, tanh, clips, changes of scale.

use super::nest::elementwise_reach;
use super::requant::round_shift32;
use super::width::{Bits8, Bits16, check_unary, map};
use super::{Kernel, OpKind, Run};
use crate::arch::elementwise;
use crate::arch::view::In;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator};

/// The parameters of [`Lut`] as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LutParams {
    /// 256 i8: the outputs for -128 .. 127.
    pub table: Constant,
}

impl LutParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().constant(self.table.offset, self.table.count)
    }
}

/// The parameters of [`OpKind::Lut16`], input or output int16 or both, as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lut16Params {
    /// i16, each an output times `2^shift`. For 16-bit input 513 of them, at -32768, -32640 .. 32640, 32768; between two
    /// the line through them holds. For 8-bit input the 256 for -128 .. 127.
    pub table: Constant,
    /// 0 for 16-bit output, up to 8 for 8-bit output.
    pub shift: u8,
}

impl Lut16Params {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().constant(self.table.offset, self.table.count).u8(self.shift)
    }
}

/// The operator, int8 to int8 of the same shape. The table has 256 entries in the order -128 .. 127.
pub struct Lut;

fn table<'p>(operator: &Operator<'p>) -> Option<In<'p, i8>> {
    let mut cursor = operator.params();
    let table = operator.constant(&mut cursor);
    cursor.finished().then_some(table)
}

impl Kernel for Lut {
    const KIND: OpKind = OpKind::Lut;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        check_unary::<Bits8>(operator)?;
        let table = table(operator).ok_or(Fault::Params)?;
        if table.len() == 256 { Ok(()) } else { Err(Fault::Constants) }
    }

    fn reach(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
        Some(0)
    }

    fn run(run: &Run<'_>) {
        let Some(table) = table(run.operator()) else { return };
        look_up(run, table);
    }
}

/// The entries of `table` for the elements of the input.
pub(super) fn look_up(run: &Run<'_>, table: In<'_, i8>) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let (x, y, inner) = (run.read::<i8>(&input), run.write::<i8>(&output), input.inner());
    for (first, count) in input.row_spans(run.rows()) {
        let (x, y) = (x.window(first * inner, count * inner), y.window(first * inner, count * inner));
        if !elementwise::lookup(x, y, table) {
            (0..x.len()).for_each(|at| y.set(at, table.get((x.get(at) as u8 ^ 0x80) as usize)));
        }
    }
}

/// The specification: `y[i] = table[x[i] + 128]`.
pub fn reference(x: &[i8], table: &[i8; 256], y: &mut [i8]) {
    for (&x, y) in x.iter().zip(y) {
        *y = table[(x as i32 + 128) as usize];
    }
}

/// The operator with int16 on one side or both.
pub struct Lut16;

impl Lut16Params {
    fn read(operator: &Operator<'_>) -> Option<Self> {
        let mut cursor = operator.params();
        let params = Self { table: Constant::read(&mut cursor), shift: cursor.u8() };
        cursor.finished().then_some(params)
    }
}

impl Kernel for Lut16 {
    const KIND: OpKind = OpKind::Lut16;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, _) = check_unary::<Bits16>(operator)?;
        let params = Lut16Params::read(operator).ok_or(Fault::Params)?;
        if params.shift > 8 {
            return Err(Fault::Params);
        }
        let entries = if x.dtype == DType::I16 { 513 } else { 256 };
        if operator.slice::<i16>(params.table).len() == entries { Ok(()) } else { Err(Fault::Constants) }
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = Lut16Params::read(run.operator()) else { return };
        let table = run.operator().slice::<i16>(params.table);
        let (low, high) = output.dtype.range();
        // Entries lie 2^spacing inputs apart.
        let (zero, spacing) = if input.dtype == DType::I16 { (1 << 15, 7) } else { (1 << 7, 0) };
        map::<Bits16>(run, |x| interpolate(table, x + zero, spacing, params.shift).max(low).min(high));
    }
}

/// The line through the entries around `position`, rounded once.
#[inline(always)]
fn interpolate(table: In<'_, i16>, position: i32, spacing: u8, shift: u8) -> i32 {
    let index = (position >> spacing) as usize;
    let (here, next) = (table.get(index) as i32, table.get(index + 1) as i32);
    let along = position & ((1 << spacing) - 1);
    let value = (here << spacing) + (next - here) * along;
    if spacing + shift == 0 { value } else { round_shift32(value, spacing + shift) }
}

/// The specification for 16-bit input and `bits` bits of output.
pub fn reference16(x: &[i16], table: &[i16; 513], shift: u8, bits: u32, y: &mut [i32]) {
    for (&x, y) in x.iter().zip(y) {
        let (index, along) = ((x as i32 + 32768) / 128, (x as i32 + 32768) % 128);
        let (here, next) = (table[index as usize] as i32, table[index as usize + 1] as i32);
        let value = round_shift32(here * (128 - along) + next * along, 7 + shift);
        *y = value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
    }
}
