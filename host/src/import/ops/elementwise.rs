//! Arithmetic with broadcasting, and functions of one value.

use tract_onnx::pb::NodeProto;

use crate::graph::{Arithmetic, Clip, Function, Op, ValueId};
use crate::import::builder::{Builder, is_real};
use crate::import::model::NodeExt;
use crate::{Error, ErrorKind, Result};

/// Add, Sub, Mul, Div. With a scalar constant it is a function of the other operand.
pub fn arithmetic(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let op = match node.op_type.as_str() {
        "Add" => Arithmetic::Add,
        "Sub" => Arithmetic::Sub,
        "Mul" => Arithmetic::Mul,
        _ => Arithmetic::Div,
    };
    real(b, node)?;
    let (left, right) = (b.input(node, 0)?, b.input(node, 1)?);
    let functions = match (scalar(b, left), scalar(b, right)) {
        (_, Some(c)) => match op {
            Arithmetic::Add => Some(vec![affine(1.0, c)]),
            Arithmetic::Sub => Some(vec![affine(1.0, -c)]),
            Arithmetic::Mul => Some(vec![affine(c, 0.0)]),
            Arithmetic::Div => {
                if c == 0.0 {
                    return Err(node.unsupported("divides by the constant 0", "correct the model"));
                }
                Some(vec![affine(1.0 / c, 0.0)])
            }
        },
        (Some(c), _) => Some(match op {
            Arithmetic::Add => vec![affine(1.0, c)],
            Arithmetic::Sub => vec![affine(-1.0, c)],
            Arithmetic::Mul => vec![affine(c, 0.0)],
            Arithmetic::Div => vec![Function::Reciprocal, affine(c, 0.0)],
        }),
        _ => None,
    };
    let x = if scalar(b, right).is_some() { left } else { right };
    match functions {
        // The constant must not be what gives the result its shape.
        Some(functions) if b.shape(x) == b.output_fact(node, 0)?.shape => {
            b.finish(node, Op::Unary(functions), &[x])
        }
        _ => b.finish(node, Op::Binary { op, clip: Clip::NONE }, &[left, right]),
    }
}

/// Max and Min of a tensor and scalar constants.
pub fn limit(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let mut clip = Clip::NONE;
    let mut data = None;
    for index in 0..node.input.len() {
        let id = b.input(node, index)?;
        match scalar(b, id) {
            Some(c) if node.op_type == "Max" => clip.min = clip.min.max(c),
            Some(c) => clip.max = clip.max.min(c),
            None if data.is_none() => data = Some(id),
            None => {
                return Err(node.unsupported("compares two tensors", "only limits that are scalar constants"));
            }
        }
    }
    let data = data.ok_or_else(|| node.unsupported("has no tensor", "check the model with onnx.checker"))?;
    if b.shape(data) != b.output_fact(node, 0)?.shape {
        return Err(node.unsupported("broadcasts the tensor", "give the limit as a scalar"));
    }
    b.finish(node, Op::Unary(vec![Function::Clip(clip)]), &[data])
}

/// Pow with a scalar constant exponent.
pub fn power(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let (x, exponent) = (b.input(node, 0)?, b.input(node, 1)?);
    let exponent = scalar(b, exponent)
        .ok_or_else(|| node.unsupported("exponent is no scalar constant", "use a constant exponent"))?;
    b.finish(node, Op::Unary(vec![Function::Power { exponent }]), &[x])
}

/// PRelu: LeakyRelu for one slope, otherwise max(x, 0) + slope * min(x, 0).
pub fn prelu(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let (x, slope) = (b.input(node, 0)?, b.input(node, 1)?);
    b.weight(node, slope, "slopes")?;
    if let Some(alpha) = scalar(b, slope) {
        return b.finish(node, Op::Unary(vec![Function::LeakyRelu { alpha }]), &[x]);
    }
    let shape = b.shape(x);
    let part = |b: &mut Builder, name: &str, clip| {
        let name = format!("{}/{name}", node.label());
        b.emit(&name, Op::Unary(vec![Function::Clip(clip)]), &[x], shape.clone())
    };
    let above = part(b, "above", Clip { min: 0.0, max: f32::INFINITY });
    let below = part(b, "below", Clip { min: f32::NEG_INFINITY, max: 0.0 });
    let name = format!("{}/slope", node.label());
    let op = Op::Binary { op: Arithmetic::Mul, clip: Clip::NONE };
    let below = b.emit(&name, op, &[below, slope], shape.clone());
    b.finish(node, Op::Binary { op: Arithmetic::Add, clip: Clip::NONE }, &[above, below])
}

/// Clip with constant limits.
pub fn clip(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let x = b.input(node, 0)?;
    let limit = |index| b.reals(node, index).map(|limit| limit.and_then(|limit| limit.first().copied()));
    let clip = Clip { min: limit(1)?.unwrap_or(f32::NEG_INFINITY), max: limit(2)?.unwrap_or(f32::INFINITY) };
    b.finish(node, Op::Unary(vec![Function::Clip(clip)]), &[x])
}

/// Functions of one value.
pub fn function(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let x = b.input(node, 0)?;
    let alpha = |default| node.float("alpha").unwrap_or(default);
    let function = match node.op_type.as_str() {
        "Abs" => Function::Abs,
        "Elu" => Function::Elu { alpha: alpha(1.0) },
        "Erf" => Function::Erf,
        "Exp" => Function::Exp,
        "Gelu" => match node.text("approximate").unwrap_or("none") {
            "none" => Function::Gelu,
            "tanh" => Function::GeluTanh,
            other => return Err(node.unsupported(format!("approximate=`{other}`"), "use `none` or `tanh`")),
        },
        "HardSigmoid" => Function::HardSigmoid { alpha: alpha(0.2), beta: node.float("beta").unwrap_or(0.5) },
        "HardSwish" => Function::HardSwish,
        "LeakyRelu" => Function::LeakyRelu { alpha: alpha(0.01) },
        "Log" => Function::Log,
        "Neg" => affine(-1.0, 0.0),
        "Reciprocal" => Function::Reciprocal,
        "Relu" => Function::Clip(Clip { min: 0.0, max: f32::INFINITY }),
        "Sigmoid" => Function::Sigmoid,
        "Softplus" => Function::Softplus,
        "Sqrt" => Function::Sqrt,
        "Tanh" => Function::Tanh,
        other => {
            let message = format!("{other} has no function");
            return Err(Error::new(ErrorKind::Internal, node.label(), message));
        }
    };
    b.finish(node, Op::Unary(vec![function]), &[x])
}

fn affine(scale: f32, offset: f32) -> Function {
    Function::Affine { scale, offset }
}

/// The constant behind `id` if it has one element.
fn scalar(b: &Builder, id: ValueId) -> Option<f32> {
    match b.graph.value(id).constant.as_ref()?.data.as_slice() {
        [c] => Some(*c),
        _ => None,
    }
}

/// Refuses arithmetic on integers that are computed at run time.
pub fn real(b: &Builder, node: &NodeProto) -> Result<()> {
    let dtype = b.output_fact(node, 0)?.dtype;
    if is_real(dtype) {
        return Ok(());
    }
    Err(node.unsupported(
        format!("computes with {dtype:?} at run time"),
        "only real numbers are computed with; put QuantizeLinear and DequantizeLinear around it",
    ))
}
