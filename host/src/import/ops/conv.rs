//! Conv and ConvTranspose, one and two spatial dimensions.

use tract_onnx::pb::NodeProto;

use super::window;
use crate::Result;
use crate::graph::{Clip, Op, ValueId};
use crate::import::builder::Builder;
use crate::import::model::NodeExt;

/// Conv: weights `O,C/g,KH,KW` become `O,KH,KW,C/g`.
pub fn conv(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    let weights = weights(b, node)?;
    let dims = b.shape(weights).dims;
    let weights = b.transposed(weights, &[0, 2, 3, 1]);
    let bias = bias(b, node, dims[0])?;
    let groups = groups(b, node, x, dims[1])?;
    let output = &b.output_fact(node, 0)?.shape.dims;
    let kernel = [dims[2], dims[3]];
    let window = window::of(node, kernel, &window::spatial(b, x), &output[2..])?;
    b.finish_nhwc(node, Op::Conv { window, groups, clip: Clip::NONE }, &[x, weights, bias])
}

/// ConvTranspose: weights `C,O/g,KH,KW` become `O,KH,KW,C/g`, the kernel is not turned.
pub fn conv_transpose(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    let weights = weights(b, node)?;
    let dims = b.shape(weights).dims;
    let groups = usize::try_from(node.int("group").unwrap_or(1)).unwrap_or(0);
    if groups == 0 || !dims[0].is_multiple_of(groups) || Some(&dims[0]) != b.shape(x).dims.last() {
        return Err(
            node.unsupported("its groups do not fit its channels", "check the model with onnx.checker")
        );
    }
    let (inside, outside) = (dims[0] / groups, dims[1]);
    let split = crate::graph::Shape::fixed(&[groups, inside, outside, dims[2], dims[3]]);
    let weights = b.reshaped(weights, split);
    let weights = b.transposed(weights, &[0, 2, 3, 4, 1]);
    let joined = crate::graph::Shape::fixed(&[groups * outside, dims[2], dims[3], inside]);
    let weights = b.reshaped(weights, joined);
    let bias = bias(b, node, groups * outside)?;
    let output = &b.output_fact(node, 0)?.shape.dims;
    let window = window::of_transposed(node, [dims[2], dims[3]], &window::spatial(b, x), &output[2..])?;
    b.finish_nhwc(node, Op::ConvTranspose { window, groups, clip: Clip::NONE }, &[x, weights, bias])
}

/// The weights with two spatial dimensions.
fn weights(b: &mut Builder, node: &NodeProto) -> Result<ValueId> {
    let weights = b.input(node, 1)?;
    b.weight(node, weights, "weights")?;
    let shape = b.shape(weights);
    Ok(if shape.rank() == 3 { b.reshaped(weights, shape.inserted(2, 1)) } else { weights })
}

/// The bias, zeros if there is none.
fn bias(b: &mut Builder, node: &NodeProto, channels: usize) -> Result<ValueId> {
    match b.optional(node, 2)? {
        Some(bias) => b.weight(node, bias, "biases").map(|_| bias),
        None => Ok(b.constant(&format!("{}/bias", node.label()), &[channels], vec![0.0; channels])),
    }
}

fn groups(b: &Builder, node: &NodeProto, x: ValueId, inside: usize) -> Result<usize> {
    let groups = usize::try_from(node.int("group").unwrap_or(1)).unwrap_or(0);
    if b.shape(x).dims.last() != Some(&(groups * inside)) {
        return Err(
            node.unsupported("its groups do not fit its channels", "check the model with onnx.checker")
        );
    }
    Ok(groups)
}
