//! Resampling tables.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::resize::ResizeParams;
use mixel_core::plan::DType;
use mixel_core::plan::write::Constant;

use super::builder::Builder;
use super::{table, window};
use crate::error::Result;
use crate::graph::{Coordinates, NearestRounding, Node, Sampling};

/// Two neighbouring positions of an axis and the second one's share, for one output position.
type Source = (usize, usize, f64);

/// [`crate::graph::Op::Resize`].
pub(super) fn resize(
    builder: &mut Builder<'_>,
    node: &Node,
    sampling: Sampling,
    coordinates: Coordinates,
    scales: [f32; 2],
) -> Result<()> {
    let (from, to) = (builder.shape(node.inputs[0]), builder.shape(node.output));
    let wide = builder.quantization(node.output)?.dtype == DType::I16;
    let bits = if wide { 15 } else { 11 };
    let mut axis = |axis: usize| -> Result<Constant> {
        let mut bytes = Vec::new();
        for position in 0..to.dims[axis] {
            let at = source_position(position, from.dims[axis], to.dims[axis], scales[axis - 1], coordinates);
            let (first, second, share) = neighbours(at, from.dims[axis], sampling);
            let share = (share * (1 << bits) as f64).round() as usize;
            for field in [first, second, share] {
                bytes.extend(window::small(node, field)?.to_le_bytes());
            }
        }
        Ok(Constant { count: bytes.len() / 2, ..builder.data(&bytes) })
    };
    let (rows, columns) = (axis(1)?, axis(2)?);
    let source = table::rescaled(builder, node, node.inputs[0])?;
    let output = builder.tensor(node.output)?;
    let kind = if wide { OpKind::Resize16 } else { OpKind::Resize };
    let params = ResizeParams { bits, rows, columns };
    builder.operator(&node.name, kind, &[source], output, params.encode().bytes());
    Ok(())
}

/// Where output `position` lies in the input (ONNX Resize, `coordinate_transformation_mode`).
fn source_position(position: usize, input: usize, output: usize, scale: f32, mode: Coordinates) -> f64 {
    let (x, scale) = (position as f64, scale as f64);
    match mode {
        Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if output > 1 => (x + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if output > 1 => x * (input - 1) as f64 / (output - 1) as f64,
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners => 0.0,
        Coordinates::Asymmetric => x / scale,
    }
}

/// The input positions that make up position `at`.
fn neighbours(at: f64, size: usize, sampling: Sampling) -> Source {
    let last = (size - 1) as f64;
    let whole = |at: f64| at.clamp(0.0, last) as usize;
    match sampling {
        Sampling::Nearest { rounding } => {
            let position = whole(match rounding {
                NearestRounding::RoundPreferFloor => (at - 0.5).ceil(),
                NearestRounding::RoundPreferCeil => (at + 0.5).floor(),
                NearestRounding::Floor => at.floor(),
                NearestRounding::Ceil => at.ceil(),
            });
            (position, position, 0.0)
        }
        Sampling::Bilinear => {
            let at = at.clamp(0.0, last);
            let first = whole(at.floor());
            (first, whole(first as f64 + 1.0), at - first as f64)
        }
    }
}
