//! Softmax and normalisations: tables and constants.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::channel_attention::CosineSoftmaxParams;
use mixel_core::kernels::l2_norm::L2NormParams;
use mixel_core::kernels::layer_norm::{NormParams, z_bits};
use mixel_core::kernels::softmax::SoftmaxParams;
use mixel_core::pack::Layout;
use mixel_core::plan::DType;
use mixel_core::plan::write::Constant;

use super::builder::{Builder, clamp};
use super::linear::width;
use super::scale::nearest;
use super::{axes_of_four, axis_of_four, window};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Clip, Node, Quantization, Shape};

/// [`crate::graph::Op::Softmax`].
pub(super) fn softmax(builder: &mut Builder<'_>, node: &Node, axis: usize) -> Result<()> {
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let axis = axis_of_four(node, builder.shape(node.inputs[0]), axis)?;
    let wide = x.dtype == DType::I16;
    let entries = if wide { 256 } else { 16 };
    let weights =
        |step: f64| (0..entries).map(move |d| (2f64.powi(31) * (-step * d as f64).exp()).round() as u32);
    let loops = matches!(builder.program.layout, Layout::Generic | Layout::ArmDsp) && !wide;
    let mut block = |weights: &mut dyn Iterator<Item = u32>| {
        let bytes: Vec<u8> = weights.flat_map(u32::to_le_bytes).collect();
        Constant { count: bytes.len() / 4, ..builder.data(&bytes) }
    };
    let low = block(&mut weights(x.scale as f64));
    // Entries beyond the first zero are left out where no loop reads them: what is not there is taken for zero.
    let needed = |weight: &u32| loops || *weight > 0;
    let high = block(&mut weights(entries as f64 * x.scale as f64).take_while(needed));
    let scale = nearest(1.0 / y.scale as f64, &node.name)?;
    let params = SoftmaxParams { axis, low, high, scale };
    let kind = width(OpKind::Softmax, OpKind::Softmax16, &[x, y]);
    builder.unary(node, kind, params.encode().bytes())
}

/// [`crate::graph::Op::LayerNorm`] (one group, statistics of one row) and [`crate::graph::Op::GroupNorm`].
pub(super) fn normalise(
    builder: &mut Builder<'_>,
    node: &Node,
    groups: Option<usize>,
    epsilon: f32,
) -> Result<()> {
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let shape = builder.shape(node.inputs[0]);
    let inner = shape.dims.last().copied().unwrap_or(1);
    let n = match groups {
        Some(groups) => shape.elements() / groups,
        None => inner,
    };
    let (limit, bits) = if x.dtype == DType::I16 { (1 << 14, 30) } else { (1 << 22, 14) };
    if n > limit {
        return Err(Error::new(
            ErrorKind::Unsupported,
            &node.name,
            format!("{n} elements share a mean; at most {limit} may"),
        ));
    }
    let relative = epsilon as f64 / (x.scale as f64).powi(2);
    let most = (2f64.powi(bits) + relative) * (n as f64).powi(2);
    let fits = |fraction: &i32| most * 2f64.powi(*fraction) < 2f64.powi(62);
    let Some(fraction) = (0..=40).rev().step_by(2).find(fits) else {
        return Err(Error::new(
            ErrorKind::Quantization,
            &node.name,
            "its epsilon is far larger than its inputs",
        )
        .hint("check the calibration inputs"));
    };
    let (gamma, beta) = (builder.constant(node, node.inputs[1])?, builder.constant(node, node.inputs[2])?);
    let spread = |values: &[f32]| -> Vec<f64> {
        (0..inner).map(|c| values[if values.len() == 1 { 0 } else { c }] as f64 / y.scale as f64).collect()
    };
    let (gamma, beta) = (spread(gamma), spread(beta));
    let q = z_bits(n) as i32;
    let integers = |values: &[f64], bits: i32| -> Vec<i64> {
        values.iter().map(|value| (value * 2f64.powi(bits)).round() as i64).collect()
    };
    let fits = |shift: &i32| {
        let gammas = integers(&gamma, shift + 32 - q);
        let betas = integers(&beta, *shift);
        gammas.iter().all(|g| g.abs() < 1 << 31) && betas.iter().all(|b| b.abs() <= 1 << 30)
    };
    let Some(shift) = (1..=30).rev().find(fits) else {
        return Err(Error::new(
            ErrorKind::Quantization,
            &node.name,
            "its factors are far larger than its outputs",
        )
        .hint("check the calibration inputs"));
    };
    let mut block = |values: Vec<i64>| {
        let bytes: Vec<u8> = values.iter().flat_map(|&value| (value as i32).to_le_bytes()).collect();
        Constant { count: values.len(), ..builder.data(&bytes) }
    };
    let gamma = block(integers(&gamma, shift + 32 - q));
    let beta = block(integers(&beta, shift));
    let range = clamp(Clip::NONE, &y);
    let params = NormParams {
        groups: window::small(node, groups.unwrap_or(1))?,
        epsilon: nearest(relative, &node.name)?,
        fraction: fraction as u8,
        gamma,
        beta,
        shift: shift as u8,
        min: range.min,
        max: range.max,
    };
    let kind = match groups {
        None => width(OpKind::LayerNorm, OpKind::LayerNorm16, &[x, y]),
        Some(_) => width(OpKind::GroupNorm, OpKind::GroupNorm16, &[x, y]),
    };
    builder.unary(node, kind, params.encode().bytes())
}

/// [`crate::graph::Op::L2Norm`].
pub(super) fn l2_norm(builder: &mut Builder<'_>, node: &Node, axes: &[usize], epsilon: f32) -> Result<()> {
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let axes = axes_of_four(node, builder.shape(node.inputs[0]), axes)?;
    let epsilon = nearest((epsilon as f64 / x.scale as f64).powi(2), &node.name)?;
    let scale = nearest(1.0 / y.scale as f64, &node.name)?;
    let range = clamp(Clip::NONE, &y);
    let params = L2NormParams { axes, epsilon, scale, min: range.min, max: range.max };
    let kind = width(OpKind::L2Norm, OpKind::L2Norm16, &[x, y]);
    builder.unary(node, kind, params.encode().bytes())
}

/// [`crate::graph::Op::ChannelAttention`]: sums over the image, then the softmax of their cosines.
pub(super) fn channel_attention(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    let y = builder.quantization(node.output)?;
    let temperatures = builder.constant(node, node.inputs[2])?;
    let channels = builder.shape(node.inputs[0]).dims.last().copied().unwrap_or(1);
    let width = channels / temperatures.len().max(1);
    let steps = temperatures.iter().map(|&t| f64::from(t) * std::f64::consts::LOG2_E * 2f64.powi(16));
    if temperatures.iter().any(|temperature| temperature.abs() > 4096.0) {
        let message = "a temperature of its softmax is beyond 4096";
        return Err(Error::new(ErrorKind::Quantization, &node.name, message)
            .hint("such an attention picks one channel: check the model"));
    }
    let bytes: Vec<u8> = steps.flat_map(|step| (step.round() as i32).to_le_bytes()).collect();
    let temperatures = Constant { count: temperatures.len(), ..builder.data(&bytes) };
    let (queries, keys) = (builder.tensor(node.inputs[0])?, builder.tensor(node.inputs[1])?);
    let whole = Quantization { scale: 1.0, zero_point: 0, dtype: DType::I32 };
    let name = format!("{}/sums", builder.name(node.output));
    let sums = builder.temporary(name, &Shape::fixed(&[1, channels, width + 2, 2]), whole)?;
    builder.operator(&format!("{}/sums", node.name), OpKind::Gram, &[queries, keys], sums, &[]);
    let params = CosineSoftmaxParams { temperatures, scale: nearest(1.0 / y.scale as f64, &node.name)? };
    let output = builder.tensor(node.output)?;
    builder.operator(&node.name, OpKind::CosineSoftmax, &[sums], output, params.encode().bytes());
    Ok(())
}
