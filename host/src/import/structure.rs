//! What must hold of an ONNX graph before anything works on it: each tensor is made once, before it is read; numbers are
//! numbers; sizes are within reason.

use std::collections::HashSet;

use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto};

use super::model::NodeExt;
use crate::{Error, ErrorKind, Result};

/// Elements that a tensor has at most. No plan comes near it; beyond it, a wrong size in a file would take the machine's
/// memory.
pub const MOST_ELEMENTS: usize = 1 << 26;
/// Dimensions that a tensor has at most while a model is imported; operators of a plan have four.
pub const MOST_DIMENSIONS: usize = 7;

const HINT: &str = "check the model with onnx.checker";

/// Checks a graph.
///
/// # Errors
/// [`ErrorKind::Format`] with the tensor's or node's name.
pub fn check(graph: &GraphProto) -> Result<()> {
    let refuse =
        |name: &str, message: &str| Err(Error::new(ErrorKind::Format, name, message.to_owned()).hint(HINT));
    let mut made = HashSet::new();
    for weight in &graph.initializer {
        if !made.insert(weight.name.as_str()) {
            return refuse(&weight.name, "two weights have this name");
        }
    }
    // An input may have a weight as its default.
    let mut inputs = HashSet::new();
    for input in &graph.input {
        if input.name.is_empty() || !inputs.insert(input.name.as_str()) {
            return refuse(&input.name, "two inputs have this name, or it is empty");
        }
    }
    made.extend(inputs);
    for node in &graph.node {
        for name in (0..node.input.len()).filter_map(|index| node.input_name(index)) {
            if !made.contains(name) {
                return refuse(node.label(), &format!("reads `{name}`, which nothing in front of it makes"));
            }
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !made.insert(name) {
                return refuse(node.label(), &format!("makes `{name}`, which is there already"));
            }
        }
        for attribute in &node.attribute {
            check_attribute(node.label(), attribute)?;
        }
    }
    let mut outputs = HashSet::new();
    for output in &graph.output {
        if !made.contains(output.name.as_str()) {
            return refuse(&output.name, "the model's output is made by no node");
        }
        if !outputs.insert(output.name.as_str()) {
            return refuse(&output.name, "two outputs have this name");
        }
    }
    graph.initializer.iter().try_for_each(check_numbers)
}

fn check_attribute(node: &str, attribute: &AttributeProto) -> Result<()> {
    if !attribute.f.is_finite() || attribute.floats.iter().any(|x| !x.is_finite()) {
        let message = format!("attribute {} is not a finite number", attribute.name);
        return Err(Error::new(ErrorKind::Format, node, message).hint("correct it and export again"));
    }
    let positive = |values: &[i64]| values.iter().all(|&value| value > 0);
    let good = match attribute.name.as_str() {
        "strides" | "dilations" | "kernel_shape" => positive(&attribute.ints),
        "blocksize" | "group" | "num_groups" => positive(&[attribute.i]),
        "perm" => {
            let mut axes = attribute.ints.clone();
            axes.sort_unstable();
            axes.into_iter().eq(0..attribute.ints.len() as i64)
        }
        _ => true,
    };
    if !good {
        let message = format!("attribute {} has a value that it cannot have", attribute.name);
        return Err(Error::new(ErrorKind::Format, node, message).hint(HINT));
    }
    attribute.t.as_ref().map_or(Ok(()), check_numbers)
}

/// A weight that is in the file itself must be numbers. Infinities have uses, as bounds of a Clip.
fn check_numbers(tensor: &TensorProto) -> Result<()> {
    let raw = &tensor.raw_data[..];
    let half = |bits: u16| half::f16::from_bits(bits).is_nan();
    let broken = match tensor.data_type {
        1 => {
            tensor.float_data.iter().any(|x| x.is_nan())
                || raw.as_chunks().0.iter().any(|&bytes| f32::from_le_bytes(bytes).is_nan())
        }
        10 => {
            tensor.int32_data.iter().any(|&bits| half(bits as u16))
                || raw.as_chunks().0.iter().any(|&bytes| half(u16::from_le_bytes(bytes)))
        }
        11 => {
            tensor.double_data.iter().any(|x| x.is_nan())
                || raw.as_chunks().0.iter().any(|&bytes| f64::from_le_bytes(bytes).is_nan())
        }
        _ => false,
    };
    if broken {
        return Err(Error::new(ErrorKind::Format, &tensor.name, "some of its values are NaN")
            .hint("the training has diverged or the export is broken: look at the weights"));
    }
    Ok(())
}

/// Checks a size.
///
/// # Errors
/// [`ErrorKind::Shape`] with the tensor's name.
pub fn check_size(name: &str, dims: &[usize]) -> Result<()> {
    let elements = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    if elements.is_none_or(|elements| elements > MOST_ELEMENTS) {
        let message = format!("its shape {dims:?} has more than {MOST_ELEMENTS} elements");
        return Err(Error::new(ErrorKind::Shape, name, message)
            .hint("correct the sizes in the model, or give a smaller bound with --max"));
    }
    if dims.len() > MOST_DIMENSIONS {
        let message = format!("has {} dimensions, {MOST_DIMENSIONS} are handled", dims.len());
        return Err(Error::new(ErrorKind::Shape, name, message).hint("merge some of them in the model"));
    }
    Ok(())
}
