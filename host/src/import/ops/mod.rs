//! One function an ONNX operator, by family. Each says what it needs and refuses the rest by name.

mod conv;
mod elementwise;
mod matmul;
mod norm;
mod pool;
mod quant;
mod reduce;
mod resample;
mod shape;
mod window;

use tract_onnx::pb::NodeProto;

use super::builder::Builder;
use super::model::NodeExt;
use crate::Result;

type Import = fn(&mut Builder, &NodeProto) -> Result<()>;

/// Operators whose results are folded when they do not depend on the inputs, and refused otherwise.
const FOLDED: [&str; 21] = [
    "And",
    "Ceil",
    "Constant",
    "ConstantOfShape",
    "CumSum",
    "Equal",
    "Floor",
    "Greater",
    "Less",
    "Max",
    "Min",
    "Mod",
    "Not",
    "OneHot",
    "Or",
    "Range",
    "Round",
    "Shape",
    "Size",
    "Tile",
    "Where",
];

/// What imports operator `name`.
fn find(name: &str) -> Option<Import> {
    Some(match name {
        "Conv" => conv::conv,
        "ConvTranspose" => conv::conv_transpose,
        "Gemm" => matmul::gemm,
        "MatMul" => matmul::matmul,
        "Add" | "Sub" | "Mul" | "Div" => elementwise::arithmetic,
        "Max" | "Min" => elementwise::limit,
        "Pow" => elementwise::power,
        "PRelu" => elementwise::prelu,
        "Clip" => elementwise::clip,
        "Abs" | "Elu" | "Erf" | "Exp" | "Gelu" | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "Log"
        | "Neg" | "Reciprocal" | "Relu" | "Sigmoid" | "Softplus" | "Sqrt" | "Tanh" => elementwise::function,
        "Softmax" => norm::softmax,
        "LayerNormalization" => norm::layer_norm,
        "GroupNormalization" => norm::group_norm,
        "InstanceNormalization" => norm::instance_norm,
        "BatchNormalization" => norm::batch_norm,
        "LpNormalization" => norm::lp_norm,
        "MaxPool" | "AveragePool" => pool::pool,
        "GlobalMaxPool" | "GlobalAveragePool" => pool::global,
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceL2" => reduce::reduce,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => shape::reshape,
        "Identity" | "Dropout" => shape::identity,
        "Cast" => shape::cast,
        "Transpose" => shape::transpose,
        "Concat" => shape::concat,
        "Split" => shape::split,
        "Slice" => shape::slice,
        "Gather" => shape::gather,
        "Pad" => shape::pad,
        "Expand" => shape::expand,
        "DepthToSpace" => resample::depth_to_space,
        "SpaceToDepth" => resample::space_to_depth,
        "Resize" => resample::resize,
        "QuantizeLinear" => quant::quantize,
        "DequantizeLinear" => quant::dequantize,
        _ => return None,
    })
}

/// Refuses a node whose operator is not known at all.
pub fn check(node: &NodeProto) -> Result<()> {
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        let hint = "export with standard ONNX operators only (docs/onnx-operators.md)";
        return Err(node.unsupported(format!("is of the operator set `{}`", node.domain), hint));
    }
    if find(&node.op_type).is_none() && !FOLDED.contains(&node.op_type.as_str()) {
        let hint =
            "docs/onnx-operators.md lists what is; express it with those, or leave it out of the model";
        return Err(node.unsupported("operator is not handled", hint));
    }
    Ok(())
}

/// Adds `node` to the graph.
pub fn import(b: &mut Builder, node: &NodeProto) -> Result<()> {
    // Integers behind a weight are kept, so dequantization is never folded away.
    if b.is_shape(node) || node.op_type != "DequantizeLinear" && b.is_constant(node) {
        return Ok(());
    }
    match find(&node.op_type) {
        Some(import) => import(b, node),
        None => Err(node.unsupported(
            "is handled only where its result does not depend on the inputs",
            "express it with the operators in docs/onnx-operators.md",
        )),
    }
}
