//! Linear layers that mix tokens: they read the columns of their input, write those of their output, or both, so that
//! no tensor is transposed for them.
//!
//! Of the last two dimensions rows come first and their elements second, the other way round where input or output is
//! turned: `[b, h, depth, rows]`, `[b, h, outputs, rows]`. A few columns at a time become rows in scratch memory for
//! the loops of [`super::linear`], and the rows that come out of these become columns.
//!
//! Channels are in the usual form ([`super::short_channels`]): an output is made for few rows, as many as tokens have
//! channels.

use super::Run;
use super::matrix::{Dense, Lean, Matrix, Weights};
use super::movement::copy;
use super::requant::Quantized;
use super::wide::{lean, narrow};
use crate::arch::matrix::{self, Lane, Patches, Staging, Strided, patch_bytes};
use crate::arch::moving::Plane;
use crate::arch::view::{In, Out};
use crate::pack::{Depth, Layout};
use crate::plan::cursor::Cursor;
use crate::plan::{DType, Fault, Operator, write};

/// [`super::Linear`] with input or output turned, int8 to int8.
pub struct LinearTurned;

/// [`LinearTurned`] without the common ways (see [`super::lean`]).
pub struct LinearTurnedLean;

/// What is turned: one of them or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The input, `[b, h, depth, rows]`.
    pub input: bool,
    /// The output, `[b, h, outputs, rows]`.
    pub output: bool,
}

impl Turned {
    /// Reads what [`Turned::encode`] writes; none for what is no such thing.
    pub fn read(params: &mut Cursor<'_>) -> Option<Self> {
        let sides = params.short();
        matches!(sides, 1..=3).then_some(Self { input: sides & 1 != 0, output: sides & 2 != 0 })
    }

    /// What stands in front of the operator's other parameters.
    pub fn encode(self) -> write::Params {
        write::Params::new().u16(u16::from(self.input) | u16::from(self.output) << 1)
    }
}

/// The layer, and what it is applied to.
struct Task<'p, W> {
    turned: Turned,
    matrix: Matrix<'p, W>,
    /// Matrices of activations.
    count: usize,
    /// Rows of each.
    rows: usize,
}

fn read<'p, W: Weights>(operator: &Operator<'p>) -> Result<Task<'p, W>, Fault> {
    let (input, output) = operator.unary()?;
    if input.dynamic != 0 || output.dynamic != 0 {
        return Err(Fault::Dynamic);
    }
    let mut cursor = operator.params();
    let turned = Turned::read(&mut cursor).ok_or(Fault::Params)?;
    let last = |dims: [u32; 4], turned: bool| {
        let [.., rows, row] = dims.map(|dim| dim as usize);
        if turned { (row, rows) } else { (rows, row) }
    };
    let ((rows, depth), (made, outputs)) = (last(input.dims, turned.input), last(output.dims, turned.output));
    if input.dims[..2] != output.dims[..2] || rows != made {
        return Err(Fault::Shapes);
    }
    let count = input.dims[0] as usize * input.dims[1] as usize;
    let matrix = Matrix::read(operator, &mut cursor, (1, outputs, Depth::whole(depth)), output.zero_point);
    if cursor.finished() { Ok(Task { turned, matrix, count, rows }) } else { Err(Fault::Params) }
}

fn check<Y: Quantized, W: Weights>(operator: &Operator<'_>) -> Result<(), Fault> {
    read::<W>(operator)?.matrix.check::<Y>()
}

/// Whether the layout's loops take all rows.
pub(super) fn lean<W: Weights>(operator: &Operator<'_>) -> bool {
    read::<W>(operator).is_ok_and(|Task { matrix, .. }| {
        matrix.layout == Layout::ArmDsp && matrix.depth >= 4 && matrix.rounding().simple
    })
}

impl<W: Weights> Task<'_, W> {
    /// Rows at a time, and the bytes of scratch memory: for their inputs, where these are staged, and for outputs
    /// that become columns.
    ///
    /// Layouts that have [`Lane::strided`] need room for a tile only.
    fn chunk<X: Lane>(&self) -> (usize, [usize; 2]) {
        let (Matrix { layout, depth, outputs, .. }, turned) = (self.matrix, self.turned);
        let tile = X::tile_bytes(layout, depth, depth.next_multiple_of(4));
        if matrix::strides(layout) {
            return (self.rows, [tile, 0]);
        }
        let values = |turned: bool, row: usize| if turned { row } else { 0 };
        let row = values(turned.input, depth).saturating_add(values(turned.output, outputs));
        let chunk = matrix::rows(layout, row).min(self.rows);
        let direct = !turned.input && W::direct::<X>(layout, chunk, depth);
        let room = |needed: bool, row: usize| if needed { chunk.saturating_mul(row) } else { 0 };
        (chunk, [room(!direct, patch_bytes(layout, depth)), room(turned.output, outputs)])
    }

    /// From row to row, and from one of its `size` elements to the next.
    fn steps(&self, turned: bool, size: usize) -> [usize; 2] {
        if turned { [1, self.rows] } else { [size, 1] }
    }
}

fn scratch<X: Lane, W: Weights>(operator: &Operator<'_>) -> usize {
    read::<W>(operator).map_or(0, |task| task.chunk::<X>().1.into_iter().fold(0, usize::saturating_add))
}

/// A row of outputs may lie on columns that are still to be read.
fn reach<W: Weights>(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
    None
}

fn macs(operator: &Operator<'_>) -> u64 {
    let task = read::<Dense>(operator);
    task.map_or(0, |Task { matrix, count, rows, .. }| {
        [count, rows, matrix.depth, matrix.outputs].into_iter().fold(1, |all, size| all * size as u64)
    })
}

fn run<X: Lane, Y: Quantized, W: Weights>(run: &Run<'_>) {
    let (Ok((input, output)), Ok(mut task)) = (run.operator().unary(), read::<W>(run.operator())) else {
        return;
    };
    task.matrix.backend = run.backend();
    let Task { ref matrix, turned, count, rows } = task;
    let (_, [tile, made]) = task.chunk::<X>();
    let (bytes, made) = (run.scratch::<u8>(0, tile), run.scratch::<Y>(tile, made));
    let (layout, depth, outputs) = (matrix.layout, matrix.depth, matrix.outputs);
    let tile = Staging { layout, bytes, depth, run: depth.next_multiple_of(4) };
    let (x, y) = (run.read::<X>(&input), run.write::<Y>(&output));
    for index in 0..count {
        let x = x.window(index * rows * depth, rows * depth);
        let y = y.window(index * rows * outputs, rows * outputs);
        if matrix::strides(layout) {
            let (from, to) = (task.steps(turned.input, depth), task.steps(turned.output, outputs));
            let rows = Strided { x: x.cast(), steps: from, count: rows };
            matrix.apply_strided::<X, Y>(matrix.rounding(), rows, &tile, (y, to));
        } else if W::COMMON {
            by_chunks(&task, x, (bytes, made), y);
        }
    }
}

/// Outputs of the rows of `x`, some at a time in scratch memory.
fn by_chunks<X: Lane, Y: Quantized, W: Weights>(
    task: &Task<'_, W>,
    x: In<'_, X>,
    (staged, made): (Out<'_, u8>, Out<'_, Y>),
    y: Out<'_, Y>,
) {
    let &Task { ref matrix, turned, rows, .. } = task;
    let (layout, depth, outputs, rounding) = (matrix.layout, matrix.depth, matrix.outputs, matrix.rounding());
    let ([row, value], pitch) = (task.steps(turned.input, depth), patch_bytes(layout, depth));
    #[cfg(mixel_columns)]
    let product = if layout.matrix().by_columns { matrix.columns(depth) } else { None };
    let (chunk, _) = task.chunk::<X>();
    for first in (0..rows).step_by(chunk) {
        let count = chunk.min(rows - first);
        let mut values = x.window(first * depth, count * depth).cast();
        if !staged.is_empty() {
            let (row_steps, steps) = ([row as isize, pitch as isize], [value as isize, 1]);
            let plane = Plane { rows: count, inner: depth, row_steps, steps };
            copy(x.cast(), staged, [first * row, 0], &plane);
            values = staged.reader();
        }
        let place = if turned.output { made } else { y.window(first * outputs, count * outputs) };
        #[cfg(mixel_columns)]
        let done =
            product.as_ref().is_some_and(|product| product.outputs(values.cast(), count, (place, outputs)));
        #[cfg(not(mixel_columns))]
        let done = false;
        if !done {
            let patches = Patches { bytes: values, rows: count, depth, staged: !staged.is_empty() };
            matrix.apply::<X, Y>((0, rounding), patches, place, outputs);
        }
        if turned.output {
            let (row_steps, steps) = ([outputs as isize, 1], [1, rows as isize]);
            let plane = Plane { rows: count, inner: outputs, row_steps, steps };
            copy(made.reader().cast(), y.cast(), [0, first], &plane);
        }
    }
}

narrow!(LinearTurned, scratch::<i8, Dense>; Dense);
lean!(LinearTurnedLean, LinearTurned, scratch::<i8, Lean>, lean::<Lean>; Lean);
