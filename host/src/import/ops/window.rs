//! Kernel, stride, padding and dilation attributes as a [`Window`].

use tract_onnx::pb::NodeProto;

use crate::graph::{ValueId, Window};
use crate::import::builder::Builder;
use crate::import::model::NodeExt;
use crate::{Error, ErrorKind, Result};

/// Spatial sizes of a channels-last value.
pub fn spatial(b: &Builder, x: ValueId) -> [usize; 2] {
    let dims = b.shape(x).dims;
    [dims[1], dims[2]]
}

/// A list attribute for height and width; `default` for both if it is missing, 1-D lists get `single` for the height.
fn pair(node: &NodeProto, name: &str, default: usize, single: usize) -> Result<[usize; 2]> {
    let list = match node.ints(name) {
        None => return Ok([default; 2]),
        Some(list) => list.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size > 0)),
    };
    match list.collect::<Option<Vec<_>>>().as_deref() {
        Some([width]) => Ok([single, *width]),
        Some([height, width]) => Ok([*height, *width]),
        _ => Err(node.unsupported(format!("attribute {name}"), "one or two positive numbers are expected")),
    }
}

/// Kernel size from the attributes of a pooling operator.
pub fn kernel(node: &NodeProto) -> Result<[usize; 2]> {
    if node.ints("kernel_shape").is_none() {
        return Err(node.unsupported("has no kernel_shape", "check the model with onnx.checker"));
    }
    pair(node, "kernel_shape", 1, 1)
}

/// Padding top, left, bottom, right as stated; none for automatic padding.
fn stated_pads(node: &NodeProto) -> Result<[usize; 4]> {
    let list = node.ints("pads").unwrap_or(&[0, 0, 0, 0]);
    let list: Option<Vec<usize>> = list.iter().map(|&pad| usize::try_from(pad).ok()).collect();
    match list.as_deref() {
        Some([left, right]) => Ok([0, *left, 0, *right]),
        Some([top, left, bottom, right]) => Ok([*top, *left, *bottom, *right]),
        _ => Err(node.unsupported("has negative padding", "crop with Slice instead")),
    }
}

/// Splits `total` padding in two; `upper` puts the odd one behind.
fn split(total: usize, upper: bool) -> (usize, usize) {
    if upper { (total / 2, total - total / 2) } else { (total - total / 2, total / 2) }
}

/// The window of a convolution or pooling from `input` to `output` (ONNX order, one or two sizes).
pub fn of(node: &NodeProto, kernel: [usize; 2], input: &[usize; 2], output: &[usize]) -> Result<Window> {
    let (stride, dilation) = (pair(node, "strides", 1, 1)?, pair(node, "dilations", 1, 1)?);
    let output = two(output);
    let reach = |axis: usize| (output[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
    if output.contains(&0) {
        return Err(
            Error::new(ErrorKind::Shape, node.label(), "its output is empty").hint("check the input size")
        );
    }
    let auto = node.text("auto_pad").unwrap_or("NOTSET");
    let mut pad = match auto {
        "NOTSET" | "" => stated_pads(node)?,
        "VALID" => [0; 4],
        "SAME_UPPER" | "SAME_LOWER" => {
            let both =
                [0, 1].map(|axis| split(reach(axis).saturating_sub(input[axis]), auto == "SAME_UPPER"));
            [both[0].0, both[1].0, both[0].1, both[1].1]
        }
        other => return Err(node.unsupported(format!("auto_pad=`{other}`"), "use NOTSET, VALID or SAME_*")),
    };
    // Rounding the size up (ceil_mode) lets the last windows reach beyond the padding.
    for axis in 0..2 {
        let missing = reach(axis).saturating_sub(input[axis] + pad[axis] + pad[axis + 2]);
        if missing > 0 && node.int("ceil_mode").unwrap_or(0) == 0 {
            let message = "its output size does not follow from its window";
            return Err(
                Error::new(ErrorKind::Shape, node.label(), message).hint("check the model with onnx.checker")
            );
        }
        pad[axis + 2] += missing;
    }
    Ok(Window { kernel, stride, dilation, pad })
}

/// The window of a transposed convolution; `pad` is what is cut off. What output_padding adds at the end is in the
/// output's size.
pub fn of_transposed(
    node: &NodeProto,
    kernel: [usize; 2],
    input: &[usize; 2],
    output: &[usize],
) -> Result<Window> {
    let (stride, dilation) = (pair(node, "strides", 1, 1)?, pair(node, "dilations", 1, 1)?);
    let output = two(output);
    let full = |axis: usize| (input[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
    if node.ints("output_shape").is_some() {
        return Err(node.unsupported("attribute output_shape", "state pads and output_padding instead"));
    }
    let auto = node.text("auto_pad").unwrap_or("NOTSET");
    let pad = match auto {
        "NOTSET" | "" => stated_pads(node)?,
        "VALID" => [0; 4],
        "SAME_UPPER" | "SAME_LOWER" => {
            let both =
                [0, 1].map(|axis| split(full(axis).saturating_sub(output[axis]), auto == "SAME_UPPER"));
            [both[0].0, both[1].0, both[0].1, both[1].1]
        }
        other => return Err(node.unsupported(format!("auto_pad=`{other}`"), "use NOTSET, VALID or SAME_*")),
    };
    Ok(Window { kernel, stride, dilation, pad })
}

fn two(sizes: &[usize]) -> [usize; 2] {
    match *sizes {
        [height, width] => [height, width],
        [width] => [1, width],
        _ => [0, 0],
    }
}
