//! Functions of one value as tables, and changes of quantization.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::requantize::RequantizeParams;
use mixel_core::plan::DType;
use mixel_core::plan::write::Params;

use super::builder::{Builder, clamp};
use super::function::chain;
use super::scale::nearest;
use crate::error::{Error, ErrorKind, Result};
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
    if (x.dtype, y.dtype) != (DType::I8, DType::I8) {
        return Err(Error::new(ErrorKind::Unsupported, &node.name, "a function by table takes and gives 8 bits")
            .hint("use 8-bit activations for this tensor"));
    }
    let output = builder.tensor(node.output)?;
    look_up(builder, node, source, output, &table(functions, &x, &y));
    Ok(())
}

/// [`crate::graph::Op::Identity`].
pub(super) fn identity(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    let source = rescaled(builder, node, node.inputs[0])?;
    builder.alias(node.output, source)?;
    Ok(())
}

fn look_up(builder: &mut Builder<'_>, node: &Node, source: u16, output: u16, table: &[i8; 256]) {
    let constant = builder.signed(table);
    let params = Params::new().constant(constant.offset, constant.count);
    builder.operator(&node.name, OpKind::Lut, &[source], output, params.bytes());
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
    let params = RequantizeParams { scale, min: range.min, max: range.max };
    builder.operator(&node.name, OpKind::Requantize, &[source], output, params.encode().bytes());
    Ok(output)
}
