//! Sums, products and quotients of two tensors, matrix products, reductions.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::add::AddParams;
use mixel_core::kernels::matmul::MatMulParams;
use mixel_core::kernels::reduce::{Combine, ReduceParams};
use mixel_core::kernels::requantize::RescaleParams;
use mixel_core::kernels::sum3::Sum3Params;
use mixel_core::plan::DType;

use super::axes_of_four;
use super::builder::{Builder, clamp, four};
use super::linear::width;
use super::scale::{Limits, mantissa_exponent, nearest, nearest_within};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Arithmetic, Clip, Node, Reduction, ValueId};

/// [`crate::graph::Op::Binary`].
pub(super) fn binary(builder: &mut Builder<'_>, node: &Node, op: Arithmetic, clip: Clip) -> Result<()> {
    let [a, b] = node.inputs[..] else {
        return Err(Error::new(ErrorKind::Shape, &node.name, "it needs two operands"));
    };
    check_broadcast(builder, node, &[a, b])?;
    let (qa, qb) = (builder.quantization(a)?, builder.quantization(b)?);
    let y = builder.quantization(node.output)?;
    let range = clamp(clip, &y);
    let (sa, sb, sy) = (qa.scale as f64, qb.scale as f64, y.scale as f64);
    let (min, max) = (range.min, range.max);
    let ends = [qa, qb, y];
    let (kind, params) = match op {
        Arithmetic::Add | Arithmetic::Sub => {
            let kind = width(OpKind::Add, OpKind::Add16, &ends);
            let limits = if kind == OpKind::Add { AddLimits::NARROW } else { AddLimits::WIDE };
            let second = if op == Arithmetic::Sub { -sb / sy } else { sb / sy };
            let ([a, b], shift) = sum_factors([sa / sy, second], &limits);
            (kind, AddParams { a, b, shift, min, max }.encode())
        }
        Arithmetic::Mul => {
            let limits = Limits { multiplier: 1 << 30, shift: 62 };
            let scale = nearest_within(sa * sb / sy, limits, &node.name)?;
            (width(OpKind::Mul, OpKind::Mul16, &ends), RescaleParams { scale, min, max }.encode())
        }
        Arithmetic::Div => {
            let limits = Limits { shift: 42, ..Limits::ALL };
            let scale = nearest_within(sa / (sb * sy), limits, &node.name)?;
            (width(OpKind::Div, OpKind::Div16, &ends), RescaleParams { scale, min, max }.encode())
        }
    };
    let inputs = [builder.tensor(a)?, builder.tensor(b)?];
    let output = builder.tensor(node.output)?;
    builder.operator(&node.name, kind, &inputs, output, params.bytes());
    Ok(())
}

/// [`crate::graph::Op::Sum3`].
pub(super) fn sum3(builder: &mut Builder<'_>, node: &Node, clip: Clip) -> Result<()> {
    let [a, b, c] = node.inputs[..] else {
        return Err(Error::new(ErrorKind::Shape, &node.name, "it needs three operands"));
    };
    let (qa, qb, qc) = (builder.quantization(a)?, builder.quantization(b)?, builder.quantization(c)?);
    let y = builder.quantization(node.output)?;
    let range = clamp(clip, &y);
    let kind = width(OpKind::Sum3, OpKind::Sum3_16, &[qa, qb, qc, y]);
    let limits = if kind == OpKind::Sum3 { AddLimits::NARROW } else { AddLimits::WIDE };
    let (factors, shift) = sum_factors([qa, qb, qc].map(|x| x.scale as f64 / y.scale as f64), &limits);
    let params = Sum3Params { factors, shift, min: range.min, max: range.max };
    let inputs = [builder.tensor(a)?, builder.tensor(b)?, builder.tensor(c)?];
    let output = builder.tensor(node.output)?;
    builder.operator(&node.name, kind, &inputs, output, params.encode().bytes());
    Ok(())
}

/// How large the multipliers of a sum are made.
struct AddLimits {
    /// The larger one lies in `[2^bits, 2^(bits + 1))`.
    bits: i32,
    /// Largest shift.
    shift: i32,
}

impl AddLimits {
    /// LiteRT with XNNPACK: 21 significant bits, and a sum of three products fits in 32 bits.
    const NARROW: Self = Self { bits: 20, shift: 30 };
    const WIDE: Self = Self { bits: 29, shift: 62 };
}

/// Real factors over a common power of two.
fn sum_factors<const N: usize>(real: [f64; N], limits: &AddLimits) -> ([i32; N], u8) {
    let (_, exponent) = mantissa_exponent(real.iter().fold(0.0, |most, real| real.abs().max(most)));
    let shift = (limits.bits + 1 - exponent).clamp(1, limits.shift);
    let unit = 2f64.powi(shift);
    let top = ((1i64 << (limits.bits + 1)) - 1) as f64;
    (real.map(|real| (real * unit).round_ties_even().clamp(-top, top) as i32), shift as u8)
}

/// Folding ranks over four must not tear operands apart that repeat along different axes.
fn check_broadcast(builder: &Builder<'_>, node: &Node, operands: &[ValueId]) -> Result<()> {
    let (whole, _) = four(builder.shape(node.output), &node.name)?;
    for &operand in operands {
        let (dims, _) = four(builder.shape(operand), &node.name)?;
        if dims.iter().zip(&whole).any(|(dim, whole)| dim != whole && *dim != 1) {
            let shape = builder.shape(operand);
            return Err(Error::new(
                ErrorKind::Unsupported,
                &node.name,
                format!("an operand of shape {shape} does not repeat over four axes"),
            )
            .hint("merge neighbouring axes with a Reshape before exporting"));
        }
    }
    Ok(())
}

/// [`crate::graph::Op::MatMul`].
pub(super) fn matmul(builder: &mut Builder<'_>, node: &Node, transposed: bool, factor: f32) -> Result<()> {
    let [a, b] = node.inputs[..] else {
        return Err(Error::new(ErrorKind::Shape, &node.name, "it needs two operands"));
    };
    let (qa, qb) = (builder.quantization(a)?, builder.quantization(b)?);
    let y = builder.quantization(node.output)?;
    // Each product of two int8 numbers less their zero points is at most 255^2; 16-bit ones would fill 32 bits at once.
    let depth = builder.shape(a).dims.last().copied().unwrap_or(1);
    if depth > i32::MAX as usize / (255 * 255) || [qa, qb].iter().any(|q| q.dtype != DType::I8) {
        let message = format!("its sums of {depth} products can exceed 32 bits");
        return Err(Error::new(ErrorKind::Quantization, &node.name, message)
            .hint("use 8-bit operands and a shorter inner dimension"));
    }
    let real = qa.scale as f64 * qb.scale as f64 * factor as f64 / y.scale as f64;
    let range = clamp(Clip::NONE, &y);
    let scale = nearest(real, &node.name)?;
    let params = MatMulParams { transposed, scale, min: range.min, max: range.max };
    let inputs = [builder.tensor(a)?, builder.tensor(b)?];
    let output = builder.tensor(node.output)?;
    let kind = width(OpKind::MatMul, OpKind::MatMul16, &[qa, qb, y]);
    builder.operator(&node.name, kind, &inputs, output, params.encode().bytes());
    Ok(())
}

/// [`crate::graph::Op::Reduce`].
pub(super) fn reduce(
    builder: &mut Builder<'_>,
    node: &Node,
    reduction: Reduction,
    axes: &[usize],
) -> Result<()> {
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let (combine, limits) = match reduction {
        Reduction::Mean => (Combine::Mean, Limits { shift: 38, ..Limits::ALL }),
        Reduction::Sum => (Combine::Sum, Limits::ALL),
        Reduction::Max => (Combine::Max, Limits::ALL),
    };
    let axes = axes_of_four(node, builder.shape(node.inputs[0]), axes)?;
    let scale = nearest_within(x.scale as f64 / y.scale as f64, limits, &node.name)?;
    let range = clamp(Clip::NONE, &y);
    let params = ReduceParams { combine, axes, scale, min: range.min, max: range.max };
    let kind = width(OpKind::Reduce, OpKind::Reduce16, &[x, y]);
    builder.unary(node, kind, params.encode().bytes())
}
