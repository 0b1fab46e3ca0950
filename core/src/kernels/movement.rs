//! Elements from one place to another, unchanged: transpose, slice, pad, concatenate, expand, depth to space and back, and
//! repetition, as one loop nest.
//!
//! `y[to + sum(i_k * to_step_k)] = x[from + sum(i_k * from_step_k)]` for all `i_k` below `count_k`; places and steps count
//! elements. With a fill value the whole output is set to it first; without one the rest of the output is left alone, so
//! a concatenation is one Move an input, all with the same output tensor.

use crate::plan::cursor::Cursor;
use crate::plan::write;

/// Most loops of one Move.
pub const MAX_LOOPS: usize = 6;

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
    /// Bit k: loop k runs over the rows present (at most its count).
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
