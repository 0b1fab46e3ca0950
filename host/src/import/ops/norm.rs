//! Softmax and normalisations.

use tract_onnx::pb::NodeProto;

use super::elementwise::real;
use crate::Result;
use crate::graph::{Arithmetic, Clip, Op, Shape, ValueId};
use crate::import::builder::{Builder, axis_index};
use crate::import::model::NodeExt;

/// Softmax; before opset 13 it runs over all axes from `axis` on together.
pub fn softmax(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let together = b.model.opset < 13;
    let axis = axis_index(node, node.int("axis").unwrap_or(if together { 1 } else { -1 }), shape.rank())?;
    let others = shape.dims.iter().skip(axis + 1).any(|&size| size != 1);
    if !together || !others {
        return b.finish(node, Op::Softmax { axis }, &[x]);
    }
    let (rows, row) = flattened(node, &shape, axis)?;
    let x = b.reshaped(x, Shape::fixed(&[rows, row]));
    let name = format!("{}/rows", node.label());
    let y = b.emit(&name, Op::Softmax { axis: 1 }, &[x], Shape::fixed(&[rows, row]));
    b.finish(node, Op::Reshape, &[y])
}

/// LayerNormalization over the last axes.
pub fn layer_norm(b: &mut Builder, node: &NodeProto) -> Result<()> {
    if b.is_read(node, 1) || b.is_read(node, 2) {
        return Err(
            node.unsupported("its second or third output is used", "only the normalised tensor is computed")
        );
    }
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let axis = axis_index(node, node.int("axis").unwrap_or(-1), shape.rank())?;
    let elements: usize = shape.dims[axis..].iter().product();
    let gamma = parameter(b, node, 1, elements, 1.0)?;
    let beta = parameter(b, node, 2, elements, 0.0)?;
    let op = Op::LayerNorm { epsilon: node.float("epsilon").unwrap_or(1e-5) };
    if axis + 1 == shape.rank() {
        return b.finish(node, op, &[x, gamma, beta]);
    }
    let (rows, row) = flattened(node, &shape, axis)?;
    let x = b.reshaped(x, Shape::fixed(&[rows, row]));
    let y = b.emit(&format!("{}/rows", node.label()), op, &[x, gamma, beta], Shape::fixed(&[rows, row]));
    b.finish(node, Op::Reshape, &[y])
}

/// GroupNormalization; its parameters are one a group in opset 18, one a channel from 21 on.
pub fn group_norm(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let channels = b.shape(x).dims.get(1).copied().unwrap_or(0);
    let groups = usize::try_from(node.int("num_groups").unwrap_or(0)).unwrap_or(0);
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(
            node.unsupported("num_groups does not divide the channels", "check the model with onnx.checker")
        );
    }
    let mut parameters = [x; 2];
    for (index, parameter) in parameters.iter_mut().enumerate() {
        let id = b.input(node, index + 1)?;
        let data = b.weight(node, id, "scale and bias")?.data.clone();
        *parameter = match data.len() {
            len if len == channels => id,
            len if len == groups => {
                let repeat = |value: &f32| std::iter::repeat_n(*value, channels / groups);
                let name = format!("{}/{}", node.label(), if index == 0 { "scale" } else { "bias" });
                b.constant(&name, &[channels], data.iter().flat_map(repeat).collect())
            }
            len => {
                let reason = format!("{len} parameters for {channels} channels in {groups} groups");
                return Err(node.unsupported(reason, "check the model with onnx.checker"));
            }
        };
    }
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    finish_channels(b, node, x, Op::GroupNorm { groups, epsilon }, &parameters)
}

/// InstanceNormalization: a group a channel.
pub fn instance_norm(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let groups = b.shape(x).dims.get(1).copied().unwrap_or(0);
    let parameters = [parameter(b, node, 1, groups, 1.0)?, parameter(b, node, 2, groups, 0.0)?];
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    finish_channels(b, node, x, Op::GroupNorm { groups, epsilon }, &parameters)
}

/// BatchNormalization with fixed statistics: a factor and an addend for each channel.
pub fn batch_norm(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let trains = node.int("training_mode").unwrap_or(0) != 0;
    if trains || (1..node.output.len()).any(|index| b.is_read(node, index)) {
        return Err(node.unsupported("is in training mode", "export the model in evaluation mode"));
    }
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let mut parameters = Vec::new();
    for index in 1..5 {
        let id = b.input(node, index)?;
        parameters.push(b.weight(node, id, "statistics")?.data.clone());
    }
    let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
    let channels = shape.dims.get(1).copied().unwrap_or(0);
    if parameters.iter().any(|parameter| parameter.len() != channels) {
        return Err(
            node.unsupported("parameters do not fit its channels", "check the model with onnx.checker")
        );
    }
    let [scales, biases, means, variances] = &parameters[..] else {
        return Err(node.unsupported("lacks statistics", "check the model with onnx.checker"));
    };
    let factor =
        |(scale, variance): (&f32, &f32)| f64::from(*scale) / (f64::from(*variance) + epsilon).sqrt();
    let factors: Vec<f64> = scales.iter().zip(variances).map(factor).collect();
    let addend =
        |((bias, mean), factor): ((&f32, &f32), &f64)| (f64::from(*bias) - f64::from(*mean) * factor) as f32;
    let addends = biases.iter().zip(means).zip(&factors).map(addend).collect();
    let factors = factors.into_iter().map(|factor| factor as f32).collect();
    // One value a channel, in front of the spatial axes.
    let mut dims = vec![1; shape.rank().saturating_sub(1)];
    if let Some(first) = dims.first_mut() {
        *first = channels;
    }
    let factors = b.constant(&format!("{}/factor", node.label()), &dims, factors);
    let addends = b.constant(&format!("{}/addend", node.label()), &dims, addends);
    let binary = |op| Op::Binary { op, clip: Clip::NONE };
    let name = format!("{}/scaled", node.label());
    let product = b.emit(&name, binary(Arithmetic::Mul), &[x, factors], shape);
    b.finish(node, binary(Arithmetic::Add), &[product, addends])
}

/// LpNormalization with p = 2.
pub fn lp_norm(b: &mut Builder, node: &NodeProto) -> Result<()> {
    if node.int("p").unwrap_or(2) != 2 {
        return Err(node.unsupported("p is not 2", "only the Euclidean norm is handled"));
    }
    let x = b.input(node, 0)?;
    let axis = axis_index(node, node.int("axis").unwrap_or(-1), b.shape(x).rank())?;
    // ONNX gives 0 for a norm of 0; the smallest normal number as bound does too.
    b.finish(node, Op::L2Norm { axes: vec![axis], epsilon: f32::MIN_POSITIVE }, &[x])
}

/// The constant input `index` as a vector of `elements`; `default` everywhere if it is not connected.
fn parameter(
    b: &mut Builder,
    node: &NodeProto,
    index: usize,
    elements: usize,
    default: f32,
) -> Result<ValueId> {
    let Some(id) = b.optional(node, index)? else {
        return Ok(b.constant(&format!("{}/{index}", node.label()), &[elements], vec![default; elements]));
    };
    if b.weight(node, id, "scale and bias")?.data.len() != elements {
        return Err(
            node.unsupported("its scale and bias do not fit", "give one value for each normalised element")
        );
    }
    Ok(b.reshaped(id, Shape::fixed(&[elements])))
}

/// Adds `op`, which wants channels last, between transpositions.
fn finish_channels(
    b: &mut Builder,
    node: &NodeProto,
    x: ValueId,
    op: Op,
    parameters: &[ValueId; 2],
) -> Result<()> {
    let rank = b.shape(x).rank();
    if rank < 3 {
        return b.finish(node, op, &[x, parameters[0], parameters[1]]);
    }
    let last: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    let first: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let x = b.transposed(x, &last);
    let shape = b.shape(x);
    let y = b.emit(&format!("{}/nhwc", node.label()), op, &[x, parameters[0], parameters[1]], shape);
    b.finish(node, Op::Transpose { perm: first }, &[y])
}

/// Sizes before and from `axis` on, which must be fixed.
fn flattened(node: &NodeProto, shape: &Shape, axis: usize) -> Result<(usize, usize)> {
    if shape.dynamic != 0 {
        let hint = "export with axis -1 (opset 13 or later)";
        return Err(
            node.unsupported("runs over several axes of a tensor with a varying number of rows", hint)
        );
    }
    Ok((shape.dims[..axis].iter().product(), shape.dims[axis..].iter().product()))
}
