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
use super::softmax::{self, SoftmaxParams, Weights as Exponentials};
use super::window::TOO_MANY;
use super::{Kernel, OpKind, Run};
use crate::pack::Layout;
use crate::plan::{DType, Fault, Operator, Tensor, write};

/// The operator, int8 throughout.
pub struct Attention;

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

/// Queries of a block at most: a multiple of the rows of all layouts' tiles. Bringing keys and values into the order of weights again
/// for every block is about an eighth of the work of 32 queries on a microcontroller, and little of that of a host, where memory is
/// cheap.
const fn most_queries(layout: Layout) -> usize {
    match layout {
        Layout::X86 | Layout::Aarch64 => 96,
        _ => 33,
    }
}

/// Queries of a block, of `queries` at the bound: as few blocks as may be, of about one length, which is a multiple of the rows of a
/// tile of Arm DSP.
fn block(layout: Layout, queries: usize) -> usize {
    let blocks = queries.div_ceil(most_queries(layout)).max(1);
    queries.div_ceil(blocks).next_multiple_of(3).min(queries)
}

/// The operator with the tensors that it has.
struct Task {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    output: Tensor,
    /// The scores as if they stood somewhere, `[b, h, m, n]`, and their zero point.
    scores: Tensor,
    /// Zero point of the weights.
    zero_weights: i32,
    from_keys: Product,
    softmax: SoftmaxParams,
    from_values: Product,
}

fn read(operator: &Operator<'_>) -> Result<Task, Fault> {
    if (operator.inputs, operator.outputs) != (3, 1) {
        return Err(Fault::Operands);
    }
    let [queries, keys, values] = [operator.input(0)?, operator.input(1)?, operator.input(2)?];
    let output = operator.output(0)?;
    let mut cursor = operator.params();
    let (zero_point, zero_weights) = (cursor.i32(), cursor.i32());
    let from_keys = Product::read(&mut cursor, zero_point).ok_or(Fault::Params)?;
    let softmax = SoftmaxParams::read(&mut cursor);
    let from_values = Product::read(&mut cursor, output.zero_point).ok_or(Fault::Params)?;
    if !cursor.finished() {
        return Err(Fault::Params);
    }
    let (_, n) = from_keys.axes();
    let (columns, varies) =
        if n == 2 { (keys.dims[2], keys.dynamic << 1) } else { (keys.dims[3], keys.dynamic) };
    let [batches, heads, rows, _] = queries.dims;
    let dynamic = queries.dynamic & 0b0111 | varies & 0b1000;
    let scores = Tensor { dims: [batches, heads, rows, columns], dynamic, zero_point, ..queries };
    Ok(Task { queries, keys, values, output, scores, zero_weights, from_keys, softmax, from_values })
}

impl Task {
    /// Depth and columns of both products at the bound.
    fn products(&self) -> [[usize; 2]; 2] {
        let [k, n, d] = [&self.queries, &self.scores, &self.output].map(Tensor::inner);
        [[k, n], [n, d]]
    }

    /// Queries of a block, and bytes of scratch memory: what the products and the softmax take, and the scores behind.
    fn block(&self, operator: &Operator<'_>) -> (usize, [usize; 2]) {
        let (layout, [batches, heads, queries, columns]) =
            (operator.plan().layout(), self.scores.dims.map(|dim| dim as usize));
        // Where keys and values are the same for all heads, blocks go from one head to the next.
        let repeated = [&self.keys, &self.values].iter().all(|second| second.dims[..2] == [1, 1]);
        let block = block(layout, if repeated { batches * heads * queries } else { queries });
        let products = self.products().map(|sizes| matmul::scratch_bytes(operator, sizes));
        let room = softmax::row_room(layout, columns) * size_of::<u32>();
        let loops = products.into_iter().fold(room, usize::max).min(TOO_MANY).next_multiple_of(4);
        (block, [loops, block.saturating_mul(columns)])
    }
}

impl Kernel for Attention {
    const KIND: OpKind = OpKind::Attention;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let task = read(operator)?;
        let Task { queries, keys, values, output, scores, softmax, .. } = &task;
        if [queries, keys, values, output].iter().any(|tensor| tensor.dtype != DType::I8) {
            return Err(Fault::Types);
        }
        let zero_point = |zero: i32| (i8::MIN as i32..=i8::MAX as i32).contains(&zero);
        if !zero_point(scores.zero_point) || !zero_point(task.zero_weights) || softmax.axis != 3 {
            return Err(Fault::Params);
        }
        task.from_keys.check::<i8>(queries, keys, scores)?;
        task.from_values.check::<i8>(scores, values, output)?;
        softmax.check(operator, DType::I8)?;
        if softmax.takes_loops(operator.plan().layout()) { Ok(()) } else { Err(Fault::Constants) }
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        let bytes = read(operator).map_or([0; 2], |task| task.block(operator).1);
        bytes.into_iter().fold(0, usize::saturating_add).min(TOO_MANY)
    }

    /// Queries are read a block at a time, before the outputs of the block are written, and keys and values for every block.
    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        let (Task { queries, output, .. }, 0) = (read(operator).ok()?, input) else { return None };
        // Longer rows of outputs must not come up with those that are still to be read.
        Some((queries.elements() as isize - output.elements() as isize).min(0))
    }

    fn macs(operator: &Operator<'_>) -> u64 {
        let Ok(task) = read(operator) else { return 0 };
        let both = task.products().map(|[depth, columns]| depth as u64 * columns as u64);
        task.queries.outer() as u64 * both.iter().sum::<u64>()
    }

    fn run(run: &Run<'_>) {
        let Ok(task) = read(run.operator()) else { return };
        let Task { ref queries, ref keys, ref values, ref output, ref scores, ref softmax, .. } = task;
        let ([from_keys, from_values], rows) = (task.products(), run.rows());
        let (block, [loops, bytes]) = task.block(run.operator());
        let room = softmax::row_room(run.operator().plan().layout(), scores.inner());
        let exponentials = Exponentials::of(run, softmax, DType::I8, room);
        let block_scores = run.scratch::<i8>(loops, bytes);
        let [batches, heads, m] = matmul::matrices(queries, &[keys, values], rows);
        let [k, n, d] = [queries, scores, output].map(|tensor| tensor.dims_with(rows)[3]);
        let [x, all_keys, all_values] = [queries, keys, values].map(|tensor| run.read::<i8>(tensor));
        let y = run.write::<i8>(output);
        let pairs = (batches * heads).max(1);
        let [x_matrix, y_matrix] = [queries, output].map(|tensor| tensor.elements() / pairs);
        for at in (0..batches).flat_map(|batch| (0..heads).map(move |head| [batch, head])) {
            let index = at[0] * heads + at[1];
            let keys = (matmul::second(all_keys, keys, at), keys);
            let values = (matmul::second(all_values, values, at), values);
            let mut first = 0;
            while first < m {
                let count = block.min(m - first);
                let x = x.window(index * x_matrix + first * queries.inner(), count * queries.inner());
                let y = y.window(index * y_matrix + first * output.inner(), count * output.inner());
                let x = (x, queries.inner(), queries.zero_point);
                let products = task.from_keys.matrices(x, keys, [count, k, n]);
                matmul::multiply::<i8, i8>(run, &products, from_keys, (block_scores, n));
                for row in 0..count {
                    let row = block_scores.window(row * n, n);
                    softmax::row(row.reader(), row, &exponentials, softmax.scale, task.zero_weights);
                }
                let weights = (block_scores.reader(), n, task.zero_weights);
                let products = task.from_values.matrices(weights, values, [count, n, d]);
                matmul::multiply(run, &products, from_values, (y, output.inner()));
                first += count;
            }
        }
    }
}
