//! Lowering: every node of a quantized graph becomes operators of a plan, with all that is known beforehand folded in.
//!
//! Multipliers are the nearest 31-bit fractions ([`scale`]), biases hold the zero point's share, fused ranges are integer
//! limits, functions of one value are tables ([`mod@function`]), reshapes are other views of the same memory.

mod arithmetic;
mod builder;
pub mod function;
mod gains;
mod linear;
mod movement;
mod normal;
mod packed;
mod resize;
pub mod scale;
mod table;
mod window;

use mixel_core::pack::Layout;
use mixel_core::plan::{DType, Direction};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Node, Op, Shape, ValueId};
use crate::program::Program;
use crate::quantize::{Quantized, Weights};
use builder::Builder;
pub(crate) use packed::packs;
pub use packed::{Sizes, stored_bytes};

/// The operators, tensors and constants of `quantized` for a target whose weights are ordered by `layout`.
///
/// # Errors
/// With the node's name: [`ErrorKind::Unsupported`] for forms that no kernel has, [`ErrorKind::Quantization`] for factors
/// and sums that the integers cannot hold.
pub fn lower(quantized: &Quantized, layout: Layout) -> Result<Program> {
    let known = quantized.graph.values.len();
    let quantized = &*gains::behind_transposes(quantized, layout);
    let mut builder = Builder::new(quantized, layout);
    let graph = &quantized.graph;
    let state = |id: ValueId| graph.states.iter().find(|state| state.input == id);
    for &input in &graph.inputs {
        match state(input) {
            Some(state) => builder.state(state)?,
            None => builder.port(input, Direction::Input)?,
        }
    }
    for node in &graph.nodes {
        lower_node(&mut builder, node)?;
    }
    for (index, &output) in graph.outputs.iter().enumerate() {
        let computed = graph.producer(output).is_some();
        if !computed {
            let name = &graph.value(output).name;
            return Err(Error::new(ErrorKind::Unsupported, name, "an output that nothing computes")
                .hint("remove it from the model's outputs"));
        }
        match graph.states.iter().find(|state| state.output == index) {
            Some(state) => movement::keep(&mut builder, output, state.input)?,
            None => builder.port(output, Direction::Output)?,
        }
    }
    builder.count_table()?;
    let mut program = builder.finish();
    // Values that the caller's graph does not have.
    for tensor in &mut program.tensors {
        tensor.value = tensor.value.filter(|id| id.0 < known);
    }
    Ok(program)
}

fn lower_node(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    match &node.op {
        Op::Conv { window, groups, clip } | Op::ConvTranspose { window, groups, clip } => {
            linear::conv(builder, node, window, *groups, *clip)
        }
        Op::Linear { clip } => linear::linear(builder, node, *clip),
        Op::Projection => linear::projection(builder, node),
        Op::MatMul { transpose_b, scale } => arithmetic::matmul(builder, node, *transpose_b, *scale),
        Op::Binary { op, clip } => arithmetic::binary(builder, node, *op, *clip),
        Op::Sum3 { clip } => arithmetic::sum3(builder, node, *clip),
        Op::Reduce { reduction, axes } => arithmetic::reduce(builder, node, *reduction, axes),
        Op::Unary(functions) => table::unary(builder, node, functions),
        Op::Identity => table::identity(builder, node),
        Op::Softmax { axis } => normal::softmax(builder, node, *axis),
        Op::LayerNorm { epsilon } => normal::normalise(builder, node, None, *epsilon),
        Op::GroupNorm { groups, epsilon } => normal::normalise(builder, node, Some(*groups), *epsilon),
        Op::ChannelAttention => normal::channel_attention(builder, node),
        Op::L2Norm { axes, epsilon } => normal::l2_norm(builder, node, axes, *epsilon),
        Op::Pool { pooling, window } => window::pool(builder, node, *pooling, window),
        Op::Resize { sampling, coordinates, scales } => {
            resize::resize(builder, node, *sampling, *coordinates, *scales)
        }
        Op::Concat { axis } => movement::concat(builder, node, *axis),
        Op::Reshape
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Gather { .. }
        | Op::Expand
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. } => movement::movement(builder, node),
    }
}

/// Whether 32 bits hold the sums of `node` with 16-bit inputs; all kernels have a 16-bit form.
pub(crate) fn takes_16_bits(node: &Node, weights: Option<&Weights>) -> bool {
    match node.op {
        Op::Conv { .. } | Op::ConvTranspose { .. } | Op::Linear { .. } => {
            weights.is_some_and(|weights| linear::sums_fit(weights, DType::I16))
        }
        // Products of two 16-bit numbers have 31 bits already.
        Op::MatMul { .. } => false,
        Op::ChannelAttention => false,
        _ => true,
    }
}

/// The place of `axis` among the four dimensions of a plan's tensor.
fn axis_of_four(node: &Node, shape: &Shape, axis: usize) -> Result<u8> {
    if shape.rank() > 4 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            &node.name,
            format!("it works along an axis of shape {shape}; at most four axes are supported"),
        )
        .hint("merge neighbouring axes with a Reshape before exporting"));
    }
    Ok((axis + 4 - shape.rank()) as u8)
}

/// The same for a set of axes, as a mask.
fn axes_of_four(node: &Node, shape: &Shape, axes: &[usize]) -> Result<u8> {
    axes.iter().try_fold(0, |mask, &axis| Ok(mask | 1 << axis_of_four(node, shape, axis)?))
}
