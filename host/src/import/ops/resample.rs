//! Changing the spatial size: Resize, DepthToSpace, SpaceToDepth.

use tract_onnx::pb::NodeProto;

use crate::Result;
use crate::graph::{Coordinates, NearestRounding, Op, Sampling, ShuffleMode};
use crate::import::builder::Builder;
use crate::import::model::NodeExt;

/// Resize of height and width, nearest or linear.
pub fn resize(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let text = |name, default| node.text(name).unwrap_or(default);
    let refuse = |name: &str, value: &str| {
        let hint = "docs/onnx-operators.md says which forms of Resize are handled";
        Err(node.unsupported(format!("{name}=`{value}`"), hint))
    };
    if node.int("antialias").unwrap_or(0) != 0 {
        return refuse("antialias", "1");
    }
    if node.ints("axes").is_some() {
        return refuse("axes", "...");
    }
    let policy = text("keep_aspect_ratio_policy", "stretch");
    if policy != "stretch" {
        return refuse("keep_aspect_ratio_policy", policy);
    }
    let sampling = match text("mode", "nearest") {
        "nearest" => Sampling::Nearest {
            rounding: match text("nearest_mode", "round_prefer_floor") {
                "round_prefer_floor" => NearestRounding::RoundPreferFloor,
                "round_prefer_ceil" => NearestRounding::RoundPreferCeil,
                "floor" => NearestRounding::Floor,
                "ceil" => NearestRounding::Ceil,
                other => return refuse("nearest_mode", other),
            },
        },
        "linear" => Sampling::Bilinear,
        other => return refuse("mode", other),
    };
    let (input, output) = (b.input_fact(node, 0)?.shape.clone(), b.output_fact(node, 0)?.shape.clone());
    if input.dynamic != 0 {
        return Err(node.unsupported("data has a varying dimension", "fix the size when exporting"));
    }
    if !(3..=4).contains(&input.rank()) || input.dims[..2] != output.dims[..2] {
        return Err(
            node.unsupported(format!("from {input} to {output}"), "resize height and width of N,C,H,W")
        );
    }
    let stated = b.reals(node, 2)?.filter(|scales| scales.len() == input.rank());
    let scale = |axis: usize| match &stated {
        Some(scales) => scales[axis],
        None => output.dims[axis] as f32 / input.dims[axis] as f32,
    };
    let last = input.rank() - 1;
    let scales = [if last == 3 { scale(2) } else { 1.0 }, scale(last)];
    let coordinates = match text("coordinate_transformation_mode", "half_pixel") {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        // Differs from half_pixel only where the scale is not the ratio of the sizes.
        "half_pixel_symmetric"
            if (2..=last).all(|axis| input.dims[axis] as f32 * scale(axis) == output.dims[axis] as f32) =>
        {
            Coordinates::HalfPixel
        }
        other => return refuse("coordinate_transformation_mode", other),
    };
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    b.finish_nhwc(node, Op::Resize { sampling, coordinates, scales }, &[x])
}

/// DepthToSpace, in both channel orders.
pub fn depth_to_space(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let mode = match node.text("mode").unwrap_or("DCR") {
        "DCR" => ShuffleMode::Dcr,
        "CRD" => ShuffleMode::Crd,
        other => return Err(node.unsupported(format!("mode=`{other}`"), "use DCR or CRD")),
    };
    let block = block(node)?;
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    b.finish_nhwc(node, Op::DepthToSpace { block, mode }, &[x])
}

/// SpaceToDepth.
pub fn space_to_depth(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let block = block(node)?;
    let x = b.input(node, 0)?;
    let x = b.channels_last(node, x)?;
    b.finish_nhwc(node, Op::SpaceToDepth { block }, &[x])
}

fn block(node: &NodeProto) -> Result<usize> {
    usize::try_from(node.int("blocksize").unwrap_or(0))
        .ok()
        .filter(|&block| block > 0)
        .ok_or_else(|| node.unsupported("has no block size", "check the model with onnx.checker"))
}
