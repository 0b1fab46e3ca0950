//! QuantizeLinear and DequantizeLinear: what the model itself says about quantization.
//!
//! A quantized activation and the real tensor behind it are one value with a given quantization. uint8 becomes int8 by
//! shifting data and zero point by 128, uint16 likewise by 32768.

use mixel_core::plan::DType;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::DatumType;

use crate::graph::{Constant, Integers, Op, Origin, Pooling, Quantization, ValueId};
use crate::import::builder::{Builder, axis_index, cast};
use crate::import::layout;
use crate::import::model::NodeExt;
use crate::{Result, graph};

/// QuantizeLinear: states the quantization of its input, or moves it to another one.
pub fn quantize(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let given = activation(b, node, b.output_fact(node, 0)?.dtype)?;
    let x = b.input(node, 0)?;
    let x = match b.graph.value(x).given {
        None => {
            b.graph.value_mut(x).given = Some(given);
            x
        }
        Some(same) if same == given => x,
        Some(_) => {
            let value = b.graph.value(x);
            let (shape, origin) = (value.shape.clone(), value.origin.clone());
            let moved = b.emit(node.label(), Op::Identity, &[x], shape);
            let value = b.graph.value_mut(moved);
            value.given = Some(given);
            value.origin = origin;
            moved
        }
    };
    b.bind(&node.output[0], x);
    Ok(())
}

/// DequantizeLinear of weights, or of a quantized activation.
pub fn dequantize(b: &mut Builder, node: &NodeProto) -> Result<()> {
    if b.input_fact(node, 0)?.constant.is_some() {
        return weight(b, node);
    }
    let given = activation(b, node, b.input_fact(node, 0)?.dtype)?;
    let x = b.input(node, 0)?;
    match b.graph.value(x).given {
        None => give_back(b, x, given),
        Some(same) if same == given => {}
        Some(other) => {
            let reason = format!(
                "its scale {} and zero point {} are not those of its input ({}, {})",
                given.scale, given.zero_point, other.scale, other.zero_point
            );
            return Err(
                node.unsupported(reason, "dequantize with the parameters that the tensor was quantized with")
            );
        }
    }
    let tensor = &node.output[0];
    let value = b.graph.value_mut(x);
    if value.origin.is_none() {
        value.origin = Some(Origin { tensor: tensor.clone(), ..Origin::default() });
    }
    b.bind(tensor, x);
    Ok(())
}

/// Gives `id`, and the integer tensors that it is a rearrangement of, the quantization that is stated behind them.
fn give_back(b: &mut Builder, mut id: ValueId, given: Quantization) {
    loop {
        b.graph.value_mut(id).given = Some(given);
        let Some(node) = b.graph.producer(id) else { return };
        let node = &b.graph.nodes[node];
        let moves = matches!(
            node.op,
            Op::Reshape
                | Op::Transpose { .. }
                | Op::Slice { .. }
                | Op::Gather { .. }
                | Op::Pool { pooling: Pooling::Max, .. }
        );
        match node.inputs.first() {
            Some(&input) if moves && b.graph.value(input).given.is_none() => id = input,
            _ => return,
        }
    }
}

/// Scale and zero point of an activation.
fn activation(b: &Builder, node: &NodeProto, dtype: DatumType) -> Result<Quantization> {
    let scales = b.reals(node, 1)?.unwrap_or_default();
    let zero_points = b.integers(node, 2)?.unwrap_or_else(|| vec![0]);
    let (&[scale], &[zero_point]) = (scales.as_slice(), zero_points.as_slice()) else {
        return Err(node.unsupported(
            "activation has several scales",
            "quantize activations with one scale a tensor (per-channel scales are for weights)",
        ));
    };
    if !(scale.is_finite() && scale > 0.0) {
        return Err(node.unsupported(format!("scale {scale} is not positive"), "correct the model"));
    }
    let (shift, dtype) = match dtype {
        DatumType::I8 => (0, DType::I8),
        DatumType::U8 => (128, DType::I8),
        DatumType::I16 => (0, DType::I16),
        DatumType::U16 => (32768, DType::I16),
        other => {
            return Err(node.unsupported(format!("activation of type {other:?}"), "quantize to 8 or 16 bits"));
        }
    };
    Ok(Quantization { scale, zero_point: zero_point as i32 - shift, dtype })
}

/// A constant with its integers kept.
fn weight(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let name = node.input_name(0).unwrap_or_default();
    let fact = b.input_fact(node, 0)?;
    let Some(tensor) = &fact.constant else {
        return Err(node.unsupported("input is no constant", "check the model with onnx.checker"));
    };
    if node.int("block_size").unwrap_or(0) != 0 {
        return Err(node.unsupported("has scales for blocks", "use one scale a tensor or a channel"));
    }
    let (bits, shift) = match fact.dtype {
        DatumType::I8 => (8, 0),
        DatumType::U8 => (8, 128),
        DatumType::I16 => (16, 0),
        DatumType::I32 => (32, 0),
        other => return Err(node.unsupported(format!("weights of type {other:?}"), "quantize them to int8")),
    };
    let dims = fact.shape.dims.clone();
    let scales = b.reals(node, 1)?.unwrap_or_default();
    let zero_points = b.integers(node, 2)?.unwrap_or_else(|| vec![0; scales.len()]);
    let axis =
        if scales.len() > 1 { axis_index(node, node.int("axis").unwrap_or(1), dims.len())? } else { 0 };
    let fits = scales.len() == 1 || dims.get(axis) == Some(&scales.len());
    if !fits || zero_points.len() != scales.len() || scales.iter().any(|scale| !scale.is_finite()) {
        return Err(node.unsupported("scales do not fit its weights", "check the model with onnx.checker"));
    }
    let integers: Vec<i32> = cast::<i32>(name, tensor)?.into_iter().map(|integer| integer - shift).collect();
    let zero_points: Vec<i32> = zero_points.into_iter().map(|zero_point| zero_point as i32 - shift).collect();
    let behind: usize = dims.get(axis + 1..).unwrap_or_default().iter().product();
    let real = |(index, integer): (usize, &i32)| {
        let channel = if scales.len() > 1 { index / behind % scales.len() } else { 0 };
        scales[channel] * integer.wrapping_sub(zero_points[channel]) as f32
    };
    let data = integers.iter().enumerate().map(real).collect();
    let integers = Integers { data: integers, scales, zero_points, axis, bits };
    let constant = Constant { data, integers: Some(integers) };
    let tensor = &node.output[0];
    let value = layout::constant_value(b.unique(tensor), constant, graph::Shape::fixed(&dims));
    let id = b.graph.add(value);
    b.bind(tensor, id);
    Ok(())
}
