//! Sliding windows: geometry and pooling.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::pool::{AveragePoolParams, MaxPoolParams};
use mixel_core::kernels::window::Window as Geometry;
use mixel_core::plan::write::Constant;

use super::builder::{Builder, clamp};
use super::linear::width;
use super::scale::mantissa_exponent;
use super::table;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Clip, Node, Pooling, Window};

/// A size as the plan stores it.
pub(super) fn small(node: &Node, size: usize) -> Result<u16> {
    u16::try_from(size).map_err(|_| {
        Error::new(ErrorKind::Unsupported, &node.name, format!("a size of {size} is over 65535"))
    })
}

/// The kernel's form of `window`.
pub(super) fn window(node: &Node, window: &Window) -> Result<Geometry> {
    let pair = |pair: [usize; 2]| Ok([small(node, pair[0])?, small(node, pair[1])?]);
    Ok(Geometry {
        kernel: pair(window.kernel)?,
        stride: pair(window.stride)?,
        dilation: pair(window.dilation)?,
        pad: pair([window.pad[0], window.pad[1]])?,
    })
}

/// [`crate::graph::Op::Pool`].
pub(super) fn pool(builder: &mut Builder<'_>, node: &Node, pooling: Pooling, shape: &Window) -> Result<()> {
    let (x, y) = (builder.quantization(node.inputs[0])?, builder.quantization(node.output)?);
    let geometry = window(node, shape)?;
    let range = clamp(Clip::NONE, &y);
    if pooling == Pooling::Max {
        let params = MaxPoolParams { window: geometry, min: range.min, max: range.max };
        let kind = width(OpKind::MaxPool, OpKind::MaxPool16, &[y]);
        let source = table::rescaled(builder, node, node.inputs[0])?;
        let output = builder.tensor(node.output)?;
        builder.operator(&node.name, kind, &[source], output, params.encode().bytes());
        return Ok(());
    }
    if shape.dilation != [1, 1] {
        return Err(Error::new(ErrorKind::Unsupported, &node.name, "average pooling with dilation"));
    }
    let count_padding = pooling == Pooling::AverageWithPad;
    let (input, output) = (&builder.shape(node.inputs[0]).dims, &builder.shape(node.output).dims);
    let whole = shape.kernel[0] * shape.kernel[1];
    let counts = if count_padding {
        (whole, whole)
    } else {
        let (rows, columns) = (taps(shape, 0, input[1], output[1]), taps(shape, 1, input[2], output[2]));
        (rows.0 * columns.0, rows.1 * columns.1)
    };
    if counts.0 == 0 {
        return Err(Error::new(ErrorKind::Shape, &node.name, "some outputs average nothing but padding"));
    }
    let factor = x.scale as f64 / y.scale as f64;
    let (shift, multipliers) = means(factor, counts.0, counts.1, y.zero_point == y.dtype.range().0);
    let bytes: Vec<u8> = multipliers.iter().flat_map(|multiplier| multiplier.to_le_bytes()).collect();
    let multipliers = Constant { count: multipliers.len(), ..builder.data(&bytes) };
    let params = AveragePoolParams {
        window: geometry,
        count_padding,
        smallest: small(node, counts.0)?,
        multipliers,
        shift,
        min: range.min,
        max: range.max,
    };
    let kind = width(OpKind::AveragePool, OpKind::AveragePool16, &[x, y]);
    builder.unary(node, kind, params.encode().bytes())
}

/// `factor / count * 2^shift` as an integer for each count from `smallest` to `largest`, with the largest shift that keeps
/// the first, which is the greatest, below 2^31.
///
/// With `ties_to_zero` it is the largest integer below the real number, otherwise the nearest. Means of few integers are
/// often exactly halfway between two, and LiteRT's average pool rounds those away from the integer 0 (not from the zero
/// point). Behind a relu the zero point is -128 and nearly all integers are negative, so that is towards the zero point,
/// which the rounding rule (half up) does with a factor that is smaller by a hair.
fn means(factor: f64, smallest: usize, largest: usize, ties_to_zero: bool) -> (u8, Vec<i32>) {
    let (_, exponent) = mantissa_exponent(factor / smallest as f64);
    let multipliers = |shift: i32| -> Vec<i64> {
        let exact = |count: usize| factor * 2f64.powi(shift) / count as f64;
        let integer = |real: f64| if ties_to_zero { real.ceil() - 1.0 } else { real.round() };
        (smallest..=largest).map(|count| integer(exact(count)) as i64).collect()
    };
    let mut shift = (31 - exponent).clamp(1, 62);
    if multipliers(shift).iter().any(|&multiplier| multiplier > i32::MAX as i64) {
        shift -= 1;
    }
    (shift as u8, multipliers(shift).into_iter().map(|multiplier| multiplier as i32).collect())
}

/// Least and largest number of taps inside the image along `axis` over all outputs.
fn taps(window: &Window, axis: usize, input: usize, output: usize) -> (usize, usize) {
    let count = |position: usize| {
        let start = position * window.stride[axis];
        let inside = |tap: &usize| {
            let at = start + tap;
            at >= window.pad[axis] && at < window.pad[axis] + input
        };
        (0..window.kernel[axis]).filter(inside).count()
    };
    let counts = (0..output).map(count);
    (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0))
}
