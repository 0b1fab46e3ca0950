//! Attention: softmax of the products of queries and keys, times the values, a block of queries at a time.
//!
//! Queries `[b, h, m, k]` times keys `[b, h, n, k]` (transposed) or `[b, h, k, n]` are scores, a softmax along n makes weights of
//! them, and these times values `[b, h, n, d]` or `[b, h, d, n]` (transposed) are the output `[b, h, m, d]`. Dimensions 0 and 1 of
//! keys and of values may be 1 and are then repeated; each of m, k, n and d may vary at run time.
//!
//! The specification is that of [`super::MatMul`], [`super::Softmax`] and [`super::MatMul`] one after the other, whose code this is:
//! scores and weights are int8 with quantizations of their own. But they stand in scratch memory, for some queries at a time, and
//! nowhere whole.

use super::matmul::{self, MatMulParams, Product};
use super::softmax::{self, SoftmaxParams, Weights};
use super::window::TOO_MANY;
use super::{Kernel, OpKind, Run};
use crate::pack::Layout;
use crate::plan::{DType, Fault, Operator, Rows, Tensor, write};

/// The operator, int8 throughout.
pub struct Attention;

/// [`Attention`] without the common ways (see [`super::lean`]).
pub struct AttentionLean;

/// The parameters as the plan stores them. Zero points of queries, keys, values and output are those of the tensors.
#[derive(Clone, Copy, Debug)]
pub struct AttentionParams {
    /// Zero points of scores and weights, within int8.
    pub zero_points: [i32; 2],
    /// Queries times keys: scale of the queries times that of the keys by that of the scores.
    pub scores: MatMulParams,
    /// From scores to weights, along axis 3. Layouts generic and Arm DSP have all 16 entries of the table of high parts.
    pub softmax: SoftmaxParams,
    /// Weights times values: scale of the weights times that of the values by that of the output.
    pub sums: MatMulParams,
}

impl AttentionParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let [scores, weights] = self.zero_points;
        let params = write::Params::new().i32(scores).i32(weights);
        params.then(&self.scores.encode()).then(&self.softmax.encode()).then(&self.sums.encode())
    }
}

/// Queries of a block at most. For every block keys and values are brought into the order of weights again: in the layout for Arm DSP a
/// second block is 6 % of the work of 64 queries. Of a block there are the scores in memory.
const fn most_queries(layout: Layout) -> usize {
    match layout {
        Layout::X86 | Layout::Aarch64 => 48,
        Layout::Helium => 24,
        Layout::Generic | Layout::ArmDsp => 33,
    }
}

/// Queries of a block, of `queries` at the bound: as few blocks as may be, of about one length, which is a multiple of the rows of a
/// tile of Arm DSP.
fn block(layout: Layout, queries: usize) -> usize {
    let blocks = queries.div_ceil(most_queries(layout)).max(1);
    queries.div_ceil(blocks).next_multiple_of(3).min(queries)
}

/// Elements from the scores of a query to those of the next, for so many keys: whole blocks of columns, which Helium writes at once.
fn pitch(keys: usize) -> usize {
    keys.saturating_add(3) & !3
}

/// The parameters, read.
struct Steps {
    zero_scores: i32,
    zero_weights: i32,
    scores: Product,
    softmax: SoftmaxParams,
    sums: Product,
}

impl Steps {
    fn read(operator: &Operator<'_>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let (zero_scores, zero_weights) = (cursor.i32(), cursor.i32());
        let scores = Product::read(&mut cursor, zero_scores)?;
        let softmax = SoftmaxParams::read(&mut cursor);
        let sums = Product::read(&mut cursor, output.zero_point)?;
        cursor.finished().then_some(Self { zero_scores, zero_weights, scores, softmax, sums })
    }
}

/// Queries of a block, and bytes of scratch memory for `count` keys at the bound: in front what the products and the softmax take, and
/// the scores of the block behind.
fn block_and_room(
    operator: &Operator<'_>,
    [x, keys, values]: [&Tensor; 3],
    output: &Tensor,
    count: usize,
) -> (usize, [usize; 2]) {
    let layout = operator.plan().layout();
    let [batches, heads, queries, k] = x.dims.map(|dim| dim as usize);
    // Where keys and values are the same for all heads, blocks go from one head to the next.
    let repeated = keys.dims[..2] == [1, 1] && values.dims[..2] == [1, 1];
    let block = block(layout, if repeated { batches * heads * queries } else { queries });
    let products = [[k, count], [count, output.inner()]].map(|sizes| matmul::scratch_bytes(operator, sizes));
    let room = softmax::row_room(layout, count) * size_of::<u32>();
    let loops = products.into_iter().fold(room, usize::max).min(TOO_MANY).next_multiple_of(4);
    (block, [loops, block.saturating_mul(pitch(count))])
}

fn check(operator: &Operator<'_>) -> Result<(), Fault> {
    let ([x, keys, values], y) = operator.ternary()?;
    if [&x, &keys, &values, &y].iter().any(|tensor| tensor.dtype != DType::I8) {
        return Err(Fault::Types);
    }
    let steps = Steps::read(operator, &y).ok_or(Fault::Params)?;
    let whole = |zero: i32| (i8::MIN as i32..=i8::MAX as i32).contains(&zero);
    if !whole(steps.zero_scores) || !whole(steps.zero_weights) || steps.softmax.axis != 3 {
        return Err(Fault::Params);
    }
    // The scores as if they stood somewhere.
    let (_, axis) = steps.scores.axes();
    let [batches, heads, queries, _] = x.dims;
    let dynamic = x.dynamic & 0b0111 | (keys.dynamic >> axis & 1) << 3;
    let scores = Tensor { dims: [batches, heads, queries, keys.dims[axis]], dynamic, ..x };
    steps.scores.check::<i8>(&x, &keys, &scores)?;
    steps.sums.check::<i8>(&scores, &values, &y)?;
    steps.softmax.check(operator, DType::I8)?;
    if steps.softmax.takes_loops(operator.plan().layout()) { Ok(()) } else { Err(Fault::Constants) }
}

fn scratch(operator: &Operator<'_>) -> usize {
    let Ok(([x, keys, values], y)) = operator.ternary() else { return 0 };
    let Some(steps) = Steps::read(operator, &y) else { return 0 };
    let count = keys.dims[steps.scores.axes().1] as usize;
    let (_, [loops, scores]) = block_and_room(operator, [&x, &keys, &values], &y, count);
    loops.saturating_add(scores).min(TOO_MANY)
}

/// Queries are read a block at a time, before the outputs of the block are written, and keys and values for every block.
fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
    let (([x, ..], y), 0) = (operator.ternary().ok()?, input) else { return None };
    // Longer rows of outputs must not come up with those that are still to be read.
    Some((x.elements() as isize - y.elements() as isize).min(0))
}

fn macs(operator: &Operator<'_>) -> u64 {
    let Ok(([x, keys, _], y)) = operator.ternary() else { return 0 };
    let Some(steps) = Steps::read(operator, &y) else { return 0 };
    let (inner, keys) = (x.inner() as u64 + y.inner() as u64, keys.dims[steps.scores.axes().1] as u64);
    x.outer() as u64 * keys * inner
}

#[inline(never)]
fn run<const COMMON: bool>(run: &Run<'_>) {
    let operator = run.operator();
    // Looked at where they are: copies would be half of what this takes of the stack.
    let operands = operator.ternary();
    let Ok(([x, keys, values], y)) = &operands else { return };
    let steps = Steps::read(operator, y);
    let Some(steps) = &steps else { return };
    let (rows, (_, axis)) = (run.rows(), steps.scores.axes());
    let bound = keys.dims[axis] as usize;
    let (block, [loops, bytes]) = block_and_room(operator, [x, keys, values], y, bound);
    let weights =
        Weights::of(run, &steps.softmax, DType::I8, softmax::row_room(operator.plan().layout(), bound));
    let scores = run.scratch::<i8>(loops, bytes);
    let [batches, heads, m] = matmul::matrices(x, &[keys, values], rows);
    let (k, n, d) = (x.dims_with(rows)[3], keys.dims_with(rows)[axis], y.dims_with(rows)[3]);
    let (queries, out) = (run.read::<i8>(x), run.write::<i8>(y));
    let (x_row, y_row, pitch) = (x.inner(), y.inner(), pitch(n));
    let [x_matrix, y_matrix] = [x, y].map(|tensor| tensor.elements() / (batches * heads).max(1));
    for at in (0..batches).flat_map(|batch| (0..heads).map(move |head| [batch, head])) {
        let (index, mut first) = (at[0] * heads + at[1], 0);
        while first < m {
            let count = block.min(m - first);
            let from = queries.window(index * x_matrix + first * x_row, count * x_row);
            let to = out.window(index * y_matrix + first * y_row, count * y_row);
            let (from, sizes) = ((from, x_row, x.zero_point), ([count, k, n], [x_row, bound]));
            steps.scores.multiply::<_, _, COMMON>(run, from, (keys, at), sizes, (scores, pitch));
            for row in 0..count {
                let row = scores.window(row * pitch, n);
                softmax::row(row.reader(), row, &weights, steps.softmax.scale, steps.zero_weights);
            }
            let (from, sizes) =
                ((scores.reader(), pitch, steps.zero_weights), ([count, n, d], [bound, y_row]));
            steps.sums.multiply::<_, _, COMMON>(run, from, (values, at), sizes, (to, y_row));
            first += count;
        }
    }
}

/// Whether the loops of the layout for Arm DSP take all rows of all blocks.
pub(super) fn lean(operator: &Operator<'_>) -> bool {
    let Ok(([x, keys, values], y)) = operator.ternary() else { return false };
    let Some(steps) = Steps::read(operator, &y) else { return false };
    let count = keys.dims[steps.scores.axes().1] as usize;
    let (block, _) = block_and_room(operator, [&x, &keys, &values], &y, count);
    let fixed = [&x, &keys, &values, &y].iter().all(|tensor| tensor.dynamic == 0);
    let [.., queries] = matmul::matrices(&x, &[&keys, &values], Rows::ALL);
    // Of the shortest block.
    let rows = queries - queries.saturating_sub(1) / block.max(1) * block;
    fixed
        && steps.scores.in_tiles(operator, [rows, x.inner()])
        && steps.sums.in_tiles(operator, [rows, count])
}

impl Kernel for Attention {
    const KIND: OpKind = OpKind::Attention;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        check(operator)
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        scratch(operator)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        reach(operator, input)
    }

    fn macs(operator: &Operator<'_>) -> u64 {
        macs(operator)
    }

    fn run(run: &Run<'_>) {
        self::run::<true>(run);
    }
}

impl Kernel for AttentionLean {
    const KIND: OpKind = OpKind::Attention;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        check(operator)?;
        if lean(operator) { Ok(()) } else { Err(Fault::Lean) }
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        scratch(operator)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        reach(operator, input)
    }

    fn macs(operator: &Operator<'_>) -> u64 {
        macs(operator)
    }

    fn run(run: &Run<'_>) {
        self::run::<{ !super::LOOPS }>(run);
    }
}
