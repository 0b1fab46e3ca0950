//! Layers with weights: fully connected, convolutions, the text projection.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::conv::ConvParams;
use mixel_core::kernels::depthwise::DepthwiseParams;
use mixel_core::kernels::embedding::EmbeddingParams;
use mixel_core::kernels::linear::LinearParams;
use mixel_core::kernels::projection::ProjectionParams;
use mixel_core::kernels::requant::Clamp;
use mixel_core::pack::Depth;
use mixel_core::plan::DType;
use mixel_core::plan::write::Constant;

use super::builder::{Builder, clamp};
use super::packed::{self, Sizes};
use super::scale::nearest;
use super::window;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Clip, Node, Op, Quantization, Window};
use crate::quantize::{Weights, quantize_value};

/// Weights, folded biases and factors of one layer, as integers.
struct Layer<'q> {
    weights: &'q Weights,
    channels: Constant,
    clamp: Clamp,
}

/// How the weights of a layer lie: which output channel element `index` belongs to.
type ChannelOf<'a> = &'a dyn Fn(usize) -> usize;

/// Folds everything that is known beforehand into biases and factors. With `x` and `w` integers,
/// `y = zero_y + round(M * (sum(w * x) + b'))` where `M = s_x * s_w / s_y` and `b' = round(b / (s_x * s_w)) - zero_x * sum(w)`.
fn layer<'q>(
    builder: &mut Builder<'q>,
    node: &Node,
    input: &Quantization,
    clip: Clip,
    channel_of: ChannelOf<'_>,
) -> Result<Layer<'q>> {
    let output = builder.quantization(node.output)?;
    let weights = weights(builder, node)?;
    let bias = biases(builder, node, input, weights)?;
    let (low, high) = input.dtype.range();
    let reach = low.unsigned_abs().max(high.unsigned_abs()) as i64;
    let mut sums = vec![(0i64, 0i64); weights.scales.len()];
    for (index, &weight) in weights.data.iter().enumerate() {
        let (sum, size) = &mut sums[channel_of(index)];
        *sum += weight as i64;
        *size += weight.unsigned_abs() as i64;
    }
    let mut folded = Vec::with_capacity(bias.len());
    for (bias, (sum, size)) in bias.iter().zip(&sums) {
        let bias = bias - input.zero_point as i64 * sum;
        // Also every partial sum stays in 32 bits, in any order.
        if size * reach + bias.abs() > i32::MAX as i64 {
            return Err(overflow(node, input));
        }
        folded.push(bias as i32);
    }
    let factor = |&scale: &f32| input.scale as f64 * scale as f64 / output.scale as f64;
    let scales: Vec<_> =
        weights.scales.iter().map(|scale| nearest(factor(scale), &node.name)).collect::<Result<_>>()?;
    let channels = builder.channels(&folded, &scales);
    Ok(Layer { weights, channels, clamp: clamp(clip, &output) })
}

fn overflow(node: &Node, input: &Quantization) -> Error {
    let message = format!("its sums can exceed 32 bits with {:?} inputs", input.dtype);
    Error::new(ErrorKind::Quantization, &node.name, message)
        .hint("use 8-bit activations for this layer, or fewer inputs")
}

fn weights<'q>(builder: &Builder<'q>, node: &Node) -> Result<&'q Weights> {
    let weights = node.inputs.get(1).and_then(|id| builder.quantized.weights.get(id));
    weights.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, &node.name, "its weights are not a constant")
            .hint("weights must be stored in the model; a product of two activations is a MatMul")
    })
}

/// Biases in accumulator steps: the model's own integers where it states them for these very scales.
fn biases(builder: &Builder<'_>, node: &Node, input: &Quantization, weights: &Weights) -> Result<Vec<i64>> {
    let Some(&id) = node.inputs.get(2) else { return Ok(vec![0; weights.scales.len()]) };
    let real = builder.constant(node, id)?;
    let integers = builder.quantized.graph.value(id).constant.as_ref().and_then(|c| c.integers.as_ref());
    let step = |channel: usize| input.scale as f64 * weights.scales[channel] as f64;
    let stated = integers.filter(|integers| {
        let scale = |channel: usize| integers.scales[if integers.scales.len() == 1 { 0 } else { channel }];
        (0..weights.scales.len()).all(|channel| {
            let at = integers.data[channel];
            at == 0 || (scale(channel) as f64 / step(channel) - 1.0).abs() < 1e-4
        }) && integers.zero_points.iter().all(|zero| *zero == 0)
    });
    if let Some(integers) = stated {
        return Ok(integers.data.iter().map(|&bias| bias as i64).collect());
    }
    Ok(real.iter().enumerate().map(|(channel, &bias)| (bias as f64 / step(channel)).round() as i64).collect())
}

/// The 8-bit kind, or its 16-bit form when input or output has 16 bits.
pub(super) fn width(narrow: OpKind, wide: OpKind, ends: &[Quantization]) -> OpKind {
    if ends.iter().any(|end| end.dtype == DType::I16) { wide } else { narrow }
}

/// [`Op::Linear`], and convolutions that are one.
pub(super) fn linear(builder: &mut Builder<'_>, node: &Node, clip: Clip) -> Result<()> {
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let dims = &builder.shape(node.inputs[1]).dims;
    let outputs = dims[0];
    let depth: usize = dims[1..].iter().product();
    let layer = layer(builder, node, &x, clip, &|index| index / depth)?;
    let sizes = Sizes { groups: 1, outputs, depth: Depth::whole(depth) };
    let (kind, weights) = packed::store(builder, layer.weights, sizes, &packed::LINEAR, &[x, y]);
    let Clamp { min, max, .. } = layer.clamp;
    let params = LinearParams { weights, channels: layer.channels, min, max };
    builder.unary(node, kind, params.encode().bytes())
}

/// [`Op::Conv`] and [`Op::ConvTranspose`].
pub(super) fn conv(
    builder: &mut Builder<'_>,
    node: &Node,
    shape: &Window,
    groups: usize,
    clip: Clip,
) -> Result<()> {
    let transposed = matches!(node.op, Op::ConvTranspose { .. });
    let pointwise = shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.pad == [0; 4];
    if pointwise && groups == 1 && !transposed {
        return linear(builder, node, clip);
    }
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let dims = builder.shape(node.inputs[1]).dims.clone();
    let (outputs, depth) = (dims[0], dims[1] * dims[2] * dims[3]);
    let layer = layer(builder, node, &x, clip, &|index| index / depth)?;
    let Clamp { min, max, .. } = layer.clamp;
    let window = window::window(node, shape)?;
    if dims[3] == 1 && groups > 1 && !transposed {
        let kernel = [dims[1], dims[2]];
        let weights = depthwise_weights(builder, &layer.weights.data, outputs, kernel);
        let params = DepthwiseParams { window, weights, channels: layer.channels, min, max };
        let kind = width(OpKind::Depthwise, OpKind::Depthwise16, &[x, y]);
        return builder.unary(node, kind, params.encode().bytes());
    }
    let depth = if transposed { Depth::whole(depth) } else { window.depth(dims[3] * groups, groups) };
    let sizes = Sizes { groups, outputs: outputs / groups, depth };
    let kinds = if transposed { &packed::CONV_TRANSPOSE } else { &packed::CONV };
    let (kind, weights) = packed::store(builder, layer.weights, sizes, kinds, &[x, y]);
    let groups = window::small(node, groups)?;
    let params = ConvParams { window, groups, weights, channels: layer.channels, min, max };
    builder.unary(node, kind, params.encode().bytes())
}

/// From `[output][tap]` to the kernel's `[tap][output]`, packed.
fn depthwise_weights(
    builder: &mut Builder<'_>,
    weights: &[i8],
    outputs: usize,
    kernel: [usize; 2],
) -> Constant {
    let taps = kernel[0] * kernel[1];
    let by_tap: Vec<i8> =
        (0..taps * outputs).map(|index| weights[index % outputs * taps + index / outputs]).collect();
    let order = builder.program.layout.depthwise(kernel);
    let mut packed = vec![0; order.len(taps, outputs).unwrap_or(0)];
    order.pack(&by_tap, kernel, outputs, &mut packed);
    builder.late(&packed)
}

/// [`Op::Projection`]: counts of fingerprint bins are integers of scale 1 and zero point 0.
pub(super) fn projection(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    let counts = Quantization { scale: 1.0, zero_point: 0, dtype: DType::I8 };
    let y = builder.quantization(node.output)?;
    let dims = builder.shape(node.inputs[1]).dims.clone();
    let single = dims[0] == 1 && builder.shape(node.inputs[0]).dims.last() == Some(&1);
    if single && y.dtype == DType::I8 && !packed::as_int4(weights(builder, node)?) {
        return embedding(builder, node, &y);
    }
    let layer = layer(builder, node, &counts, Clip::NONE, &|index| index % dims[2])?;
    let (kind, weights) = packed::store_rows(builder, layer.weights, dims[2], y);
    let Clamp { min, max, .. } = layer.clamp;
    let (slots, bins) = (window::small(node, dims[0])?, window::small(node, dims[1])?);
    let params = ProjectionParams { slots, bins, weights, channels: layer.channels, min, max };
    builder.unary(node, kind, params.encode().bytes())
}

/// A projection of one row each: nothing is added up, so that the table has what comes out, and behind it that of no row.
fn embedding(builder: &mut Builder<'_>, node: &Node, y: &Quantization) -> Result<()> {
    let [rows, bias] = [node.inputs[1], node.inputs[2]].map(|id| builder.constant(node, id));
    let (rows, bias) = (rows?, bias?);
    let none = std::iter::repeat_n(&0.0, bias.len());
    let sums = rows.iter().chain(none).zip(bias.iter().cycle());
    let table: Vec<i8> =
        sums.map(|(&row, &bias)| quantize_value(f64::from(row) + f64::from(bias), y) as i8).collect();
    let constant = builder.signed(&table);
    builder.unary(node, OpKind::Embedding, EmbeddingParams { table: constant }.encode().bytes())
}

/// Whether 32 bits hold every sum of `weights`, one row an output channel, times inputs of `dtype`.
pub(super) fn sums_fit(weights: &Weights, dtype: DType) -> bool {
    let (low, high) = dtype.range();
    let reach = low.unsigned_abs().max(high.unsigned_abs()) as i64;
    let row = weights.data.len() / weights.scales.len().max(1);
    let mut rows = weights.data.chunks(row.max(1));
    // Half of the range is left to the bias.
    rows.all(|row| row.iter().map(|w| w.unsigned_abs() as i64).sum::<i64>() * reach < 1 << 30)
}
