//! Functions of one value as tables, and changes of quantization.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::lut::{Lut16Params, LutParams};
use mixel_core::kernels::requantize::RescaleParams;
use mixel_core::plan::DType;
use mixel_core::plan::write::Constant;

use super::builder::{Builder, clamp};
use super::function::chain;
use super::scale::nearest;
use crate::error::Result;
use crate::graph::{Clip, Function, Node, Quantization, ValueId};
use crate::quantize::{dequantize_value, quantize_value};

/// The function at all 256 int8 inputs, each result rounded once to the nearest step (halves up) and saturated. Where the
/// function has no value the result is zero.
pub fn table(functions: &[Function], input: &Quantization, output: &Quantization) -> [i8; 256] {
    let mut table = [0; 256];
    for (entry, integer) in table.iter_mut().zip(-128..=127) {
        let y = chain(functions, dequantize_value(integer, input));
        *entry = quantize_value(if y.is_nan() { 0.0 } else { y }, output) as i8;
    }
    table
}

/// [`crate::graph::Op::Unary`].
pub(super) fn unary(builder: &mut Builder<'_>, node: &Node, functions: &[Function]) -> Result<()> {
    let source = builder.tensor(node.inputs[0])?;
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let output = builder.tensor(node.output)?;
    if (x.dtype, y.dtype) == (DType::I8, DType::I8) {
        look_up(builder, node, source, output, &table(functions, &x, &y));
        return Ok(());
    }
    let (table, shift) = wide_table(functions, &x, &y);
    let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let params = Lut16Params { table: Constant { count: table.len(), ..builder.data(&bytes) }, shift };
    builder.operator(&node.name, OpKind::Lut16, &[source], output, params.encode().bytes());
    Ok(())
}

/// The function where input or output has 16 bits: at every int8 input, or at 513 points of the int16 range between which
/// the kernel draws lines. int8 outputs keep eight bits of fraction until the end.
fn wide_table(functions: &[Function], input: &Quantization, output: &Quantization) -> (Vec<i16>, u8) {
    let shift = if output.dtype == DType::I8 { 8 } else { 0 };
    let entry = |integer: i32| {
        let y = chain(functions, dequantize_value(integer, input));
        let steps = if y.is_nan() { 0.0 } else { y } / output.scale as f64 + output.zero_point as f64;
        // The cast saturates.
        (steps * (1 << shift) as f64 + 0.5).floor() as i16
    };
    let table = match input.dtype {
        DType::I16 => (-256..=256).map(|knot| entry(knot * 128)).collect(),
        _ => (-128..=127).map(entry).collect(),
    };
    (table, shift)
}

/// [`crate::graph::Op::Identity`].
pub(super) fn identity(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    let source = rescaled(builder, node, node.inputs[0])?;
    builder.alias(node.output, source)?;
    Ok(())
}

fn look_up(builder: &mut Builder<'_>, node: &Node, source: u16, output: u16, table: &[i8; 256]) {
    let params = LutParams { table: builder.late(table) };
    builder.operator(&node.name, OpKind::Lut, &[source], output, params.encode().bytes());
}

/// The tensor of `id`, brought to the quantization of `node`'s output if it has another.
pub(super) fn rescaled(builder: &mut Builder<'_>, node: &Node, id: ValueId) -> Result<u16> {
    let (x, y) = (builder.quantization(id)?, builder.quantization(node.output)?);
    let source = builder.tensor(id)?;
    if x == y {
        return Ok(source);
    }
    let value = builder.quantized.graph.value(id);
    let output = builder.temporary(format!("{} for {}", value.name, node.name), &value.shape, y)?;
    if (x.dtype, y.dtype) == (DType::I8, DType::I8) {
        look_up(builder, node, source, output, &table(&[], &x, &y));
        return Ok(output);
    }
    let scale = nearest(x.scale as f64 / y.scale as f64, &node.name)?;
    let range = clamp(Clip::NONE, &y);
    let params = RescaleParams { scale, min: range.min, max: range.max };
    builder.operator(&node.name, OpKind::Requantize, &[source], output, params.encode().bytes());
    Ok(output)
}
