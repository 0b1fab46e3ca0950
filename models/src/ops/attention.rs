//! Multi-head attention over ragged rows: every group of queries has its own number of keys, and one learned row more.
//!
//! Padding the groups to equal length and masking would compute mostly what is thrown away; here a group costs what it holds.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};

use super::functions::exp_negative;

/// Who attends to what: groups of queries, and where the keys of each end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Heads; they divide the width.
    pub heads: usize,
    /// One past the last key row of each group. The queries are divided evenly among the groups.
    pub ends: Vec<usize>,
}

impl Layout {
    /// `groups` groups of `rows` keys each: self-attention.
    pub fn even(heads: usize, groups: usize, rows: usize) -> Self {
        Self { heads, ends: (1..=groups).map(|group| group * rows).collect() }
    }
}

/// `softmax(q k^T / sqrt(width of a head)) v` for every group and head.
///
/// `query` is `[groups * n, D]`, `key` and `value` are `[rows, D]`, `extra_key` and `extra_value` are the row `[1, D]` that every
/// group has behind its own. The result is `[groups * n, D]`.
///
/// # Panics
/// If the shapes do not fit each other or the layout.
pub fn attention(
    query: Tensor<2>,
    [key, value]: [Tensor<2>; 2],
    [extra_key, extra_value]: [Tensor<2>; 2],
    layout: Layout,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as AttentionBackend>::ragged_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        extra_key.into_dispatch(),
        extra_value.into_dispatch(),
        layout,
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait AttentionBackend: Backend {
    /// See [`attention`].
    fn ragged_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        extra_key: FloatTensor<Self>,
        extra_value: FloatTensor<Self>,
        layout: Layout,
    ) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait AttentionGradient: AttentionBackend {
    /// Gradients of the five inputs, in their order, from that of the result.
    fn ragged_attention_backward(
        grad: FloatTensor<Self>,
        inputs: [FloatTensor<Self>; 5],
        layout: &Layout,
    ) -> [FloatTensor<Self>; 5];
}

impl AttentionBackend for Flex {
    fn ragged_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        extra_key: FloatTensor<Self>,
        extra_value: FloatTensor<Self>,
        layout: Layout,
    ) -> FloatTensor<Self> {
        let shape = query.layout().shape().clone();
        let [_, width] = shape.dims();
        let inputs = [query, key, value, extra_key, extra_value].map(|tensor| tensor.to_contiguous());
        let slices = inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
        let mut out = vec![0.0; slices[0].len()];
        for head in heads(&layout, slices, width) {
            for at in head.queries(width) {
                let weights = head.weights(&slices[0][at.clone()]);
                for (out, values) in out[at].iter_mut().zip(head.values.chunks_exact(weights.len())) {
                    *out = dot(values, &weights);
                }
            }
        }
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

impl AttentionGradient for Flex {
    fn ragged_attention_backward(
        grad: FloatTensor<Self>,
        inputs: [FloatTensor<Self>; 5],
        layout: &Layout,
    ) -> [FloatTensor<Self>; 5] {
        let [_, width] = grad.layout().shape().dims();
        let shapes = inputs.each_ref().map(|tensor| tensor.layout().shape().clone());
        let (grad, inputs) = (grad.to_contiguous(), inputs.map(|tensor| tensor.to_contiguous()));
        let grad = grad.as_slice::<f32>().expect("f32 gradients");
        let slices = inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
        let mut out = slices.map(|slice| vec![0.0; slice.len()]);
        let [query_out, rows_out @ ..] = &mut out;
        for head in heads(layout, slices, width) {
            let keys = head.rows.len() + 1;
            let mut keys_out = vec![0.0; head.keys.len()];
            let mut values_out = vec![0.0; head.values.len()];
            let mut slope = vec![0.0; keys];
            for at in head.queries(width) {
                let weights = head.weights(&slices[0][at.clone()]);
                slope.fill(0.0);
                for ((&grad, values), values_out) in grad[at.clone()]
                    .iter()
                    .zip(head.values.chunks_exact(keys))
                    .zip(values_out.chunks_exact_mut(keys))
                {
                    add_scaled(&mut slope, values, grad);
                    add_scaled(values_out, &weights, grad);
                }
                let mean = dot(&slope, &weights);
                for (slope, weight) in slope.iter_mut().zip(&weights) {
                    *slope = (*slope - mean) * weight * head.scale;
                }
                for (((&value, out), keys), keys_out) in slices[0][at.clone()]
                    .iter()
                    .zip(&mut query_out[at])
                    .zip(head.keys.chunks_exact(keys))
                    .zip(keys_out.chunks_exact_mut(keys))
                {
                    *out = dot(&slope, keys);
                    add_scaled(keys_out, &slope, value);
                }
            }
            let [key_out, value_out, extra_key_out, extra_value_out] = rows_out;
            head.spread(&keys_out, width, key_out, extra_key_out);
            head.spread(&values_out, width, value_out, extra_value_out);
        }
        let mut shapes = shapes.into_iter();
        out.map(|values| {
            let shape = shapes.next().expect("a shape an input");
            FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
        })
    }
}

/// One head of one group.
struct Head {
    queries: Range<usize>,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Keys and values with the extra row last, `[column][row]`: sums over rows run along memory.
    keys: Vec<f32>,
    values: Vec<f32>,
    scale: f32,
}

/// The heads of all groups.
fn heads<'a>(
    layout: &'a Layout,
    [query, key, value, extra_key, extra_value]: [&'a [f32]; 5],
    width: usize,
) -> impl Iterator<Item = Head> + 'a {
    let groups = layout.ends.len();
    let (queries, size) = (query.len() / width / groups, width / layout.heads);
    assert_eq!((queries * groups * width, size * layout.heads), (query.len(), width), "attention layout");
    let starts = core::iter::once(&0).chain(&layout.ends);
    starts.zip(&layout.ends).enumerate().flat_map(move |(group, (&start, &end))| {
        (0..layout.heads).map(move |head| {
            let columns = head * size..(head + 1) * size;
            let transposed = |rows: &[f32], extra: &[f32]| -> Vec<f32> {
                let rows = &rows[start * width..end * width];
                let column = |at| rows.iter().skip(at).step_by(width).copied().chain([extra[at]]);
                columns.clone().flat_map(column).collect()
            };
            Head {
                queries: group * queries..(group + 1) * queries,
                rows: start..end,
                keys: transposed(key, extra_key),
                values: transposed(value, extra_value),
                columns,
                scale: 1.0 / (size as f32).sqrt(),
            }
        })
    })
}

impl Head {
    /// Where the values of each query lie in rows of `width`.
    fn queries(&self, width: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let columns = self.columns.clone();
        self.queries.clone().map(move |query| query * width + columns.start..query * width + columns.end)
    }

    /// How much of each row a query takes.
    fn weights(&self, query: &[f32]) -> Vec<f32> {
        let keys = self.rows.len() + 1;
        let mut weights = vec![0.0; keys];
        for (value, keys) in query.iter().zip(self.keys.chunks_exact(keys)) {
            add_scaled(&mut weights, keys, value * self.scale);
        }
        let peak = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for weight in &mut weights {
            *weight = exp_negative(*weight - peak);
        }
        let sum: f32 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        weights
    }

    /// Adds `[column][row]` gradients to those of the rows and of the extra row.
    fn spread(&self, columns: &[f32], width: usize, rows: &mut [f32], extra: &mut [f32]) {
        for (column, values) in self.columns.clone().zip(columns.chunks_exact(self.rows.len() + 1)) {
            let [values @ .., last] = values else { continue };
            let rows = rows[self.rows.start * width..].iter_mut().skip(column).step_by(width);
            for (row, value) in rows.zip(values) {
                *row += value;
            }
            extra[column] += last;
        }
    }
}

/// `out += scale * values`.
fn add_scaled(out: &mut [f32], values: &[f32], scale: f32) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += scale * value;
    }
}

/// Sum of products, in eight partial sums that fit a vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

impl<B: AttentionGradient, C: CheckpointStrategy> AttentionBackend for Autodiff<B, C> {
    fn ragged_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        extra_key: FloatTensor<Self>,
        extra_value: FloatTensor<Self>,
        layout: Layout,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct RaggedAttention;

        impl<B: AttentionGradient> Backward<B, 5> for RaggedAttention {
            type State = ([B::FloatTensorPrimitive; 5], Layout);

            fn backward(
                self,
                ops: Ops<Self::State, 5>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let (inputs, layout) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let slopes = B::ragged_attention_backward(grad, inputs, &layout);
                for (parent, slope) in ops.parents.into_iter().zip(slopes) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, slope);
                    }
                }
            }
        }

        let inputs = [query, key, value, extra_key, extra_value];
        let nodes = inputs.each_ref().map(|tensor| tensor.node());
        let inputs = inputs.map(|tensor| tensor.into_primitive());
        let [query, key, value, extra_key, extra_value] = inputs.clone();
        let out = B::ragged_attention(query, key, value, extra_key, extra_value, layout.clone());
        match RaggedAttention.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, layout), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::softmax;
    use burn::tensor::{Device, Tolerance};

    const WIDTH: usize = 6;

    /// Reproducible values.
    fn rows(count: usize, phase: f32, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..count * WIDTH).map(|i| (i as f32 * 0.7 + phase).sin() * 1.5).collect();
        Tensor::from_data(TensorData::new(values, [count, WIDTH]), device).require_grad()
    }

    /// The same from the library's own operations, group by group and head by head.
    fn plain(inputs: &[Tensor<2>; 5], layout: &Layout) -> Tensor<2> {
        let (groups, size) = (layout.ends.len(), WIDTH / layout.heads);
        let queries = inputs[0].dims()[0] / groups;
        let mut start = 0;
        let mut out = Vec::new();
        for (group, &end) in layout.ends.iter().enumerate() {
            let heads = (0..layout.heads).map(|head| {
                let columns = head * size..(head + 1) * size;
                let query =
                    inputs[0].clone().slice([group * queries..(group + 1) * queries, columns.clone()]);
                let with_extra = |rows: &Tensor<2>, extra: &Tensor<2>| {
                    let extra = extra.clone().slice([0..1, columns.clone()]);
                    if start == end {
                        return extra;
                    }
                    Tensor::cat(vec![rows.clone().slice([start..end, columns.clone()]), extra], 0)
                };
                let (key, value) = (with_extra(&inputs[1], &inputs[3]), with_extra(&inputs[2], &inputs[4]));
                let scores = query.matmul(key.transpose()).mul_scalar(1.0 / (size as f32).sqrt());
                softmax(scores, 1).matmul(value)
            });
            out.push(Tensor::cat(heads.collect(), 1));
            start = end;
        }
        Tensor::cat(out, 0)
    }

    #[test]
    fn values_and_gradients_are_those_of_plain_attention() {
        let device = Device::flex().autodiff();
        // Groups of none, one, and more keys than a vector holds.
        for (heads, ends) in [(1, vec![3]), (2, vec![0, 1, 20]), (3, vec![5, 5, 9, 12])] {
            let keys = *ends.last().unwrap();
            let layout = Layout { heads, ends };
            let sizes = [4 * layout.ends.len(), keys, keys, 1, 1];
            let inputs = || std::array::from_fn::<_, 5, _>(|i| rows(sizes[i], i as f32, &device));
            let upstream = rows(sizes[0], 0.3, &device);
            let (ours, theirs) = (inputs(), inputs());
            let [query, key, value, extra_key, extra_value] = ours.clone();
            let out = attention(query, [key, value], [extra_key, extra_value], layout.clone());
            let expected = plain(&theirs, &layout);
            let tolerance = Tolerance::<f32>::absolute(1e-5);
            out.clone().into_data().assert_approx_eq(&expected.clone().into_data(), tolerance);
            let grads = (out * upstream.clone()).sum().backward();
            let expected_grads = (expected * upstream).sum().backward();
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let (slope, expected) = (ours.grad(&grads).unwrap(), theirs.grad(&expected_grads).unwrap());
                slope.into_data().assert_approx_eq(&expected.into_data(), tolerance);
            }
        }
    }

    #[test]
    fn a_group_without_keys_takes_the_extra_row() {
        let device = Device::flex().autodiff();
        let layout = Layout { heads: 2, ends: vec![0, 1] };
        let extra = rows(1, 5.0, &device);
        let one = rows(1, 2.0, &device);
        let out =
            attention(rows(2, 0.0, &device), [one.clone(), one], [extra.clone(), extra.clone()], layout);
        let first = out.slice([0..1, 0..WIDTH]);
        first.into_data().assert_approx_eq(&extra.into_data(), Tolerance::<f32>::absolute(1e-6));
    }
}
