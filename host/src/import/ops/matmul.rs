//! Matrix products: with constant weights a Linear, otherwise a MatMul.

use tract_onnx::pb::NodeProto;

use super::elementwise::real;
use crate::Result;
use crate::graph::{Arithmetic, Clip, Constant, Op, Shape, ValueId};
use crate::import::builder::Builder;
use crate::import::model::NodeExt;

const LINEAR: Op = Op::Linear { clip: Clip::NONE };
const PRODUCT: Op = Op::MatMul { transpose_b: false, scale: 1.0 };

/// MatMul.
pub fn matmul(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let (left, right) = (b.input(node, 0)?, b.input(node, 1)?);
    let constant = |id| b.graph.value(id).constant.is_some();
    match (constant(left), constant(right)) {
        (_, true) => {
            let weights = matrix(b, node, right)?;
            let weights = b.transposed(weights, &[1, 0]);
            let bias = zeros(b, node, weights);
            if b.shape(right).rank() > 1 {
                return b.finish(node, LINEAR, &[left, weights, bias]);
            }
            let shape = b.shape(left);
            let product =
                shape.transposed(&(0..shape.rank() - 1).collect::<Vec<_>>()).inserted(shape.rank() - 1, 1);
            let product =
                b.emit(&format!("{}/product", node.label()), LINEAR, &[left, weights, bias], product);
            b.finish(node, Op::Reshape, &[product])
        }
        // W x = (x' W')'
        (true, false) if b.shape(right).rank() >= 2 && b.shape(left).rank() >= 2 => {
            let weights = matrix(b, node, left)?;
            let bias = zeros(b, node, weights);
            let swap = swap_last(b.shape(right).rank());
            let columns = b.transposed(right, &swap);
            let product = b.output_fact(node, 0)?.shape.transposed(&swap);
            let product =
                b.emit(&format!("{}/product", node.label()), LINEAR, &[columns, weights, bias], product);
            b.finish(node, Op::Transpose { perm: swap }, &[product])
        }
        (true, false) => Err(node.unsupported("multiplies by a vector", "give both operands two dimensions")),
        (false, false) => {
            if b.shape(left).rank() < 2 || b.shape(right).rank() < 2 {
                return Err(node.unsupported("multiplies by a vector", "give both operands two dimensions"));
            }
            b.finish(node, PRODUCT, &[left, right])
        }
    }
}

/// Gemm: alpha * A' * B' + beta * C.
pub fn gemm(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let flag = |name| node.int(name).unwrap_or(0) != 0;
    let (alpha, beta) = (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0));
    let (mut left, mut right) = (b.input(node, 0)?, b.input(node, 1)?);
    if flag("transA") {
        left = b.transposed(left, &[1, 0]);
    }
    let output = b.output_fact(node, 0)?.shape.clone();
    let addend = b.optional(node, 2)?;
    if b.graph.value(right).constant.is_none() || b.graph.value(left).constant.is_some() {
        if flag("transB") {
            right = b.transposed(right, &[1, 0]);
        }
        if b.graph.value(left).constant.is_some() {
            let hint = "swap the operands, or use MatMul";
            return Err(node.unsupported("its first operand is a constant", hint));
        }
        if beta != 1.0 && addend.is_some() {
            return Err(
                node.unsupported("beta is not 1 for a product of activations", "scale C in the model")
            );
        }
        let product = Op::MatMul { transpose_b: false, scale: alpha };
        return match addend {
            None => b.finish(node, product, &[left, right]),
            Some(addend) => {
                let product = b.emit(&format!("{}/product", node.label()), product, &[left, right], output);
                b.finish(node, Op::Binary { op: Arithmetic::Add, clip: Clip::NONE }, &[product, addend])
            }
        };
    }
    if !flag("transB") {
        right = b.transposed(right, &[1, 0]);
    }
    let weights = scaled(b, node, right, alpha);
    // A constant addend that is the same for every row is the bias.
    let columns = output.dims[output.rank() - 1];
    let bias = addend.filter(|&id| {
        let value = b.graph.value(id);
        let elements = value.shape.elements();
        value.constant.is_some()
            && (elements == 1 || elements == columns && value.shape.dims.last() == Some(&columns))
    });
    if let Some(bias) = bias {
        let bias = scaled(b, node, bias, beta);
        let bias = if b.shape(bias).elements() == columns {
            b.reshaped(bias, Shape::fixed(&[columns]))
        } else {
            let value = b.weight(node, bias, "biases")?.data[0];
            b.constant(&format!("{}/bias", node.label()), &[columns], vec![value; columns])
        };
        return b.finish(node, LINEAR, &[left, weights, bias]);
    }
    let bias = zeros(b, node, weights);
    match addend {
        None => b.finish(node, LINEAR, &[left, weights, bias]),
        Some(_) if beta != 1.0 => {
            Err(node.unsupported("beta is not 1 for an addend that is computed", "scale C in the model"))
        }
        Some(addend) => {
            let product =
                b.emit(&format!("{}/product", node.label()), LINEAR, &[left, weights, bias], output);
            b.finish(node, Op::Binary { op: Arithmetic::Add, clip: Clip::NONE }, &[product, addend])
        }
    }
}

/// The constant `id` as a matrix: leading dimensions of 1 are dropped, a vector becomes one column.
fn matrix(b: &mut Builder, node: &NodeProto, id: ValueId) -> Result<ValueId> {
    let dims = b.shape(id).dims;
    let matrix = match dims.as_slice() {
        [rows] => [*rows, 1],
        [batch @ .., rows, columns] if batch.iter().all(|&size| size == 1) => [*rows, *columns],
        _ => {
            let reason = format!("constant operand of shape {}", b.shape(id));
            return Err(node.unsupported(reason, "one matrix of weights is handled; split the product"));
        }
    };
    Ok(b.reshaped(id, Shape::fixed(&matrix)))
}

/// A bias of zeros for `weights`.
fn zeros(b: &mut Builder, node: &NodeProto, weights: ValueId) -> ValueId {
    let outputs = b.shape(weights).dims[0];
    b.constant(&format!("{}/bias", node.label()), &[outputs], vec![0.0; outputs])
}

/// The constant `id` times `factor`; its integers keep their values and get other scales.
fn scaled(b: &mut Builder, node: &NodeProto, id: ValueId, factor: f32) -> ValueId {
    let value = b.graph.value(id).clone();
    let Some(constant) = value.constant.filter(|_| factor != 1.0) else { return id };
    let data = constant.data.iter().map(|weight| weight * factor).collect();
    let integers = constant.integers.filter(|_| factor > 0.0).map(|mut integers| {
        integers.scales.iter_mut().for_each(|scale| *scale *= factor);
        integers
    });
    let name = b.unique(&format!("{}/{}", node.label(), value.name));
    let constant = Constant { data, integers };
    b.graph.add(crate::import::layout::constant_value(name, constant, value.shape))
}

/// The permutation of `rank` axes that swaps the last two.
fn swap_last(rank: usize) -> Vec<usize> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    perm
}
