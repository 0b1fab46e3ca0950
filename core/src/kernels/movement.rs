//! Elements from one place to another, unchanged: transpose, slice, pad, concatenate, expand, depth to space and back, and
//! repetition, as one loop nest.
//!
//! `y[to + sum(i_k * to_step_k)] = x[from + sum(i_k * from_step_k)]` for all `i_k` below `count_k`; places and steps count
//! elements. With a fill value the whole output is set to it first; without one the rest of the output is left alone, so
//! a concatenation is one Move an input, all with the same output tensor.

use super::nest::{Level, Nest};
use super::{Kernel, OpKind, Run};
use crate::arch::moving::{self, Plane};
use crate::arch::view::{In, Out};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, Tensor, write};

/// The operator.
pub struct Move;

/// Most loops of one Move.
pub const MAX_LOOPS: usize = 6;

/// Bit of [`MoveParams::dynamic`]: every row that is not present moves the output back by a step of the first loop.
pub const BEHIND: u8 = 1 << 7;

/// One loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loop {
    /// Iterations; at least 1. The bound where the loop is dynamic.
    pub count: u32,
    /// Elements from one input to the next; 0 to repeat, negative to go backwards.
    pub from_step: i32,
    /// Elements from one output to the next.
    pub to_step: i32,
}

/// The parameters as the plan stores them. Input and output have the same type, any of all types. The innermost loop is
/// the last one; where both its steps are 1, runs of elements are copied at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveParams {
    /// First input element.
    pub from: u32,
    /// First output element.
    pub to: u32,
    /// Value that the whole output is set to first (its low bits).
    pub fill: Option<i32>,
    /// Bit k: loop k runs over a dimension that varies; its count is that of all rows. Bit 7 ([`BEHIND`]): the output lies
    /// behind rows that vary, along the first loop's axis; `to` is its place with all rows.
    pub dynamic: u8,
    /// The loops, outermost first; 1 to 6.
    pub loops: heapless::Vec<Loop, MAX_LOOPS>,
}

impl MoveParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = write::Params::new()
            .u32(self.from)
            .u32(self.to)
            .u8(self.fill.is_some() as u8)
            .i32(self.fill.unwrap_or(0))
            .u8(self.dynamic)
            .u8(self.loops.len() as u8);
        self.loops
            .iter()
            .fold(params, |params, one| params.u32(one.count).i32(one.from_step).i32(one.to_step))
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let (from, to) = (cursor.u32(), cursor.u32());
        let fill = match (cursor.u8(), cursor.i32()) {
            (0, 0) => None,
            (1, value) => Some(value),
            _ => return None,
        };
        let (dynamic, count) = (cursor.u8(), cursor.u8());
        let mut loops = heapless::Vec::new();
        for _ in 0..count {
            let one = Loop { count: cursor.u32(), from_step: cursor.i32(), to_step: cursor.i32() };
            loops.push(one).ok()?;
        }
        cursor.finished().then_some(Self { from, to, fill, dynamic, loops })
    }
}

/// Whether all places from `start` on lie within `tensor`.
fn inside(tensor: &Tensor, start: u32, steps: impl Iterator<Item = (u32, i32)>) -> bool {
    let (mut least, mut most) = (start as i64, start as i64);
    for (count, step) in steps {
        // Counts are at most 2^28, so six of these stay far within 64 bits.
        let way = (count as i64 - 1) * step as i64;
        if way < 0 { least += way } else { most += way }
    }
    least >= 0 && most < tensor.elements() as i64
}

impl Kernel for Move {
    const KIND: OpKind = OpKind::Move;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = operator.unary()?;
        if x.dtype != y.dtype {
            return Err(Fault::Types);
        }
        let params = MoveParams::read(operator.params()).ok_or(Fault::Params)?;
        let counts = params.loops.iter().all(|one| (1..=1 << 28).contains(&one.count));
        let (varying, behind) = (params.dynamic & !BEHIND, params.dynamic & BEHIND != 0);
        if params.loops.is_empty() || !counts || varying >> params.loops.len() != 0 {
            return Err(Fault::Params);
        }
        if params.dynamic != 0 && x.dynamic == 0 && y.dynamic == 0 {
            return Err(Fault::Dynamic);
        }
        let from = inside(&x, params.from, params.loops.iter().map(|one| (one.count, one.from_step)));
        let steps = || params.loops.iter().map(|one| (one.count, one.to_step));
        // The way back over all rows is one more loop.
        let rows = operator.plan().max_rows() as u32 + 1;
        let back = params.loops.first().filter(|_| behind).map(|one| (rows, one.to_step.saturating_neg()));
        let to = inside(&y, params.to, steps()) && inside(&y, params.to, steps().chain(back));
        if from && to { Ok(()) } else { Err(Fault::Shapes) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = MoveParams::read(run.operator().params()) else { return };
        let (x, y) = (run.read_bytes(&input), run.write_bytes(&output));
        let size = output.dtype.size();
        if let Some(value) = params.fill {
            let value = value.to_le_bytes();
            (0..y.len()).for_each(|at| y.set(at, value.get(at % size).copied().unwrap_or(0)));
        }
        // In bytes: the innermost loop runs over those of an element, and is one with runs of elements.
        let scaled = |step: i32| (step as isize).wrapping_mul(size as isize);
        let loops = params.loops.iter().enumerate().map(|(index, one)| {
            let dynamic = params.dynamic >> index & 1 == 1;
            let count = if dynamic { run.rows().of(one.count as usize) } else { one.count as usize };
            Level { count, steps: [scaled(one.from_step), scaled(one.to_step)] }
        });
        let back = match params.loops.first() {
            Some(one) if params.dynamic & BEHIND != 0 => {
                run.rows().absent().wrapping_mul(one.to_step as usize)
            }
            _ => 0,
        };
        let to = (params.to as usize).wrapping_sub(back);
        let mut nest = Nest::new(loops.chain([Level { count: size, steps: [1, 1] }]));
        let Level { count, steps } = *nest.inner();
        let start = [params.from as usize * size, to.wrapping_mul(size)];
        // Two loops at a time, where the machine has a way for that.
        let rows = nest.pop();
        let plane = Plane { rows: rows.count, inner: count, row_steps: rows.steps, steps };
        nest.each(start, |start| copy(x, y, start, &plane));
    }
}

/// Copies the bytes of a plane that begins at `start` of `x` and of `y`; those outside of them are left out.
#[inline(never)]
pub(super) fn copy(x: In<'_, u8>, y: Out<'_, u8>, start: [usize; 2], plane: &Plane) {
    if moving::plane(x, y, start, plane) {
        return;
    }
    let [mut from, mut to] = start;
    for _ in 0..plane.rows {
        run_of(x, y, [from, to], *plane);
        from = from.wrapping_add_signed(plane.row_steps[0]);
        to = to.wrapping_add_signed(plane.row_steps[1]);
    }
}

/// One row of a plane, byte by byte or all at once.
fn run_of(x: In<'_, u8>, y: Out<'_, u8>, [mut from, mut to]: [usize; 2], plane: Plane) {
    let Plane { inner, steps, .. } = plane;
    if steps == [1, 1] {
        y.window(to, inner).copy_from(&x.window(from, inner));
        return;
    }
    for _ in 0..inner {
        y.set(to, x.get(from));
        from = from.wrapping_add_signed(steps[0]);
        to = to.wrapping_add_signed(steps[1]);
    }
}

/// The specification.
pub fn reference<T: Copy>(x: &[T], params: &MoveParams, fill: Option<T>, y: &mut [T]) {
    if let Some(fill) = fill {
        y.fill(fill);
    }
    let total: u64 = params.loops.iter().map(|one| one.count as u64).product();
    for index in 0..total {
        let (mut rest, mut from, mut to) = (index, params.from as i64, params.to as i64);
        for one in params.loops.iter().rev() {
            let i = (rest % one.count as u64) as i64;
            rest /= one.count as u64;
            from += i * one.from_step as i64;
            to += i * one.to_step as i64;
        }
        y[to as usize] = x[from as usize];
    }
}
