//! Moving elements without computing.

use tract_onnx::pb::NodeProto;

use crate::Result;
use crate::graph::{Op, Shape, ValueId};
use crate::import::builder::{Builder, axis_index, is_real};
use crate::import::layout::constant_value;
use crate::import::model::NodeExt;

/// Reshape, Flatten, Squeeze, Unsqueeze: the same elements in the shape that the analysis found.
pub fn reshape(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let shape = b.output_fact(node, 0)?.shape.clone();
    let (from, to) = (b.shape(x), &shape);
    // What lies behind the rows must stay together, or fewer rows would not be a part of the whole.
    let behind = |shape: &Shape| {
        let axis = (0..shape.rank()).find(|&axis| shape.is_dynamic(axis));
        axis.map(|axis| shape.dims[axis + 1..].iter().product::<usize>())
    };
    if behind(&from) != behind(to) {
        let reason = format!("mixes the varying rows of {from} into {to}");
        return Err(node.unsupported(reason, "keep the varying dimension as it is"));
    }
    if b.graph.value(x).constant.is_some() {
        let id = b.reshaped(x, shape);
        b.bind(&node.output[0], id);
        return Ok(());
    }
    b.finish(node, Op::Reshape, &[x])
}

/// Identity, Dropout when not training: no operator at all.
pub fn identity(b: &mut Builder, node: &NodeProto) -> Result<()> {
    if b.is_read(node, 1) {
        return Err(
            node.unsupported("its second output (mask) is used", "export the model in evaluation mode")
        );
    }
    if node.input_name(2).is_some() && b.integers(node, 2)?.is_some_and(|training| training.contains(&1)) {
        return Err(node.unsupported("is in training mode", "export the model in evaluation mode"));
    }
    let x = b.input(node, 0)?;
    b.bind(&node.output[0], x);
    Ok(())
}

/// Cast between types of real numbers.
pub fn cast(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let (from, to) = (b.input_fact(node, 0)?.dtype, b.output_fact(node, 0)?.dtype);
    if from != to && !(is_real(from) && is_real(to)) {
        let reason = format!("converts {from:?} to {to:?} at run time");
        return Err(node.unsupported(reason, "give the model inputs of the type that it computes with"));
    }
    let x = b.input(node, 0)?;
    b.bind(&node.output[0], x);
    Ok(())
}

/// Transpose.
pub fn transpose(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let rank = b.shape(x).rank();
    let mut perm = Vec::new();
    match node.ints("perm") {
        None => perm.extend((0..rank).rev()),
        Some(list) => {
            for &axis in list {
                perm.push(axis_index(node, axis, rank)?);
            }
        }
    }
    if b.graph.value(x).constant.is_some() {
        let id = b.transposed(x, &perm);
        b.bind(&node.output[0], id);
        return Ok(());
    }
    b.finish(node, Op::Transpose { perm }, &[x])
}

/// Concat.
pub fn concat(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let shape = b.output_fact(node, 0)?.shape.clone();
    let axis = axis_index(node, node.int("axis").unwrap_or(0), shape.rank())?;
    let inputs = (0..node.input.len()).map(|index| b.input(node, index)).collect::<Result<Vec<ValueId>>>()?;
    if inputs.iter().filter(|&&id| b.shape(id).is_dynamic(axis)).count() > 1 {
        let hint = "fix the number of rows when exporting";
        return Err(node.unsupported("joins two parts along the dimension that varies", hint));
    }
    b.finish(node, Op::Concat { axis }, &inputs)
}

/// Split: a slice an output.
pub fn split(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let axis = axis_index(node, node.int("axis").unwrap_or(0), shape.rank())?;
    if shape.is_dynamic(axis) {
        return Err(
            node.unsupported("cuts the dimension that varies", "fix the number of rows when exporting")
        );
    }
    let mut start = 0;
    for index in 0..node.output.len() {
        let size = b.output_fact(node, index)?.shape.dims[axis];
        let mut starts = vec![0; shape.rank()];
        starts[axis] = start;
        start += size;
        if b.is_read(node, index) {
            b.output(node, index, Op::Slice { starts, steps: vec![1; shape.rank()] }, &[x])?;
        }
    }
    Ok(())
}

/// Slice with constant starts, axes and steps.
pub fn slice(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let output = b.output_fact(node, 0)?.shape.clone();
    let from = b.integers(node, 1)?.unwrap_or_default();
    let axes = b.integers(node, 3)?.unwrap_or_else(|| (0..from.len() as i64).collect());
    let by = b.integers(node, 4)?.unwrap_or_else(|| vec![1; from.len()]);
    if axes.len() != from.len() || by.len() != from.len() {
        return Err(
            node.unsupported("its starts, axes and steps do not fit", "check the model with onnx.checker")
        );
    }
    let (mut starts, mut steps) = (vec![0; shape.rank()], vec![1; shape.rank()]);
    for ((&start, &axis), &step) in from.iter().zip(&axes).zip(&by) {
        let axis = axis_index(node, axis, shape.rank())?;
        let size = shape.dims[axis] as i64;
        let last = if step > 0 { size } else { size - 1 };
        let index = if start < 0 { start.saturating_add(size) } else { start }.clamp(0, last.max(0));
        if shape.is_dynamic(axis) && (start < 0 || step != 1 || index > 0 || !output.is_dynamic(axis)) {
            first_row(node, index as usize, output.dims[axis])?;
        }
        starts[axis] = index as usize;
        steps[axis] = step as isize;
    }
    if output.elements() == 0 {
        return Err(node.unsupported("takes nothing", "correct the model"));
    }
    b.finish(node, Op::Slice { starts, steps }, &[x])
}

/// Of rows whose number varies only the first is always there.
fn first_row(node: &NodeProto, start: usize, count: usize) -> Result<()> {
    if start == 0 && count == 1 {
        return Ok(());
    }
    let hint = "take all rows or the first one, or fix the number of rows when exporting";
    Err(node.unsupported("takes rows that may not be present at run time", hint))
}

/// Gather with constant indices: a slice where they are evenly spaced. With indices that are an input of the model, rows of a
/// constant table are looked up.
pub fn gather(b: &mut Builder, node: &NodeProto) -> Result<()> {
    if let Some(name) = node.input_name(1)
        && b.fact(name)?.constant.is_none()
    {
        return look_up(b, node);
    }
    let Some(list) = b.integers(node, 1).map_err(|error| error.hint("feed the model what was looked up"))?
    else {
        return Err(node.unsupported("has no indices", "check the model with onnx.checker"));
    };
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let axis = axis_index(node, node.int("axis").unwrap_or(0), shape.rank())?;
    let mut indices = Vec::new();
    for &index in &list {
        indices.push(axis_index(node, index, shape.dims[axis])?);
    }
    if shape.is_dynamic(axis) {
        let negative = list.iter().any(|&index| index < 0);
        first_row(node, if negative { 1 } else { indices[0] }, indices.len())?;
    }
    let mut taken = shape.clone();
    taken.dims[axis] = indices.len();
    taken.dynamic &= !(1 << axis);
    let op = even(&indices).map_or_else(
        || Op::Gather { axis, indices: indices.clone() },
        |step| {
            let (mut starts, mut steps) = (vec![0; shape.rank()], vec![1; shape.rank()]);
            (starts[axis], steps[axis]) = (indices[0], step);
            Op::Slice { starts, steps }
        },
    );
    // One index without an axis of its own takes the axis away; several axes of indices split it.
    if b.output_fact(node, 0)?.shape == taken {
        return b.finish(node, op, &[x]);
    }
    let given = b.graph.value(x).given;
    let taken = b.emit(&format!("{}/taken", node.label()), op, &[x], taken);
    b.graph.value_mut(taken).given = given;
    b.finish(node, Op::Reshape, &[taken])
}

/// Rows of a constant matrix by indices that the caller gives: a sum of one weight row each.
fn look_up(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let (table, indices) = (b.input(node, 0)?, b.input(node, 1)?);
    let refuse = |reason: &str| {
        node.unsupported(reason, "look rows of a constant matrix up by an integer input of the model")
    };
    let shape = b.shape(table);
    let ([rows, width], Some(constant)) = (&shape.dims[..], b.graph.value(table).constant.clone()) else {
        return Err(refuse("looks up in what is no constant matrix"));
    };
    if axis_index(node, node.int("axis").unwrap_or(0), 2)? != 0 || !b.graph.inputs.contains(&indices) {
        return Err(refuse("looks up columns, or by indices that are computed"));
    }
    if *rows >= usize::from(mixel_core::text::ABSENT) {
        return Err(refuse("looks up in more than 65,534 rows"));
    }
    // One index a row, so that indices and what is looked up have the same dimensions in front.
    if b.shape(indices).rank() == 1 {
        let column = b.shape(indices).inserted(1, 1);
        b.graph.value_mut(indices).shape = column;
    }
    if b.shape(indices).dims[1..] != [1] {
        return Err(refuse("looks up by a matrix of indices"));
    }
    let weights = Shape::fixed(&[1, *rows, *width]);
    let name = b.unique(&format!("{}:rows", node.label()));
    let weights = b.graph.add(constant_value(name, constant, weights));
    let bias = b.constant(&format!("{}:bias", node.label()), &[*width], vec![0.0; *width]);
    b.finish(node, Op::Projection, &[indices, weights, bias])
}

/// The step between evenly spaced indices.
fn even(indices: &[usize]) -> Option<isize> {
    let step = match indices {
        [_] => 1,
        [first, second, ..] => *second as isize - *first as isize,
        [] => return None,
    };
    let even = indices.windows(2).all(|pair| pair[1] as isize - pair[0] as isize == step);
    (even && step != 0).then_some(step)
}

/// Pad with a constant.
pub fn pad(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let mode = node.text("mode").unwrap_or("constant");
    if mode != "constant" {
        return Err(node.unsupported(format!("mode=`{mode}`"), "only constant padding is handled"));
    }
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let pads = b.integers(node, 1)?.unwrap_or_default();
    let axes = b.integers(node, 3)?.unwrap_or_else(|| (0..shape.rank() as i64).collect());
    let value = b.reals(node, 2)?.and_then(|value| value.first().copied()).unwrap_or(0.0);
    if pads.len() != 2 * axes.len() {
        return Err(node.unsupported("its pads and axes do not fit", "check the model with onnx.checker"));
    }
    let (mut before, mut after) = (vec![0; shape.rank()], vec![0; shape.rank()]);
    for (index, &axis) in axes.iter().enumerate() {
        let axis = axis_index(node, axis, shape.rank())?;
        let size = |pad: i64| {
            usize::try_from(pad)
                .map_err(|_| node.unsupported("has negative padding", "crop with Slice instead"))
        };
        (before[axis], after[axis]) = (size(pads[index])?, size(pads[index + axes.len()])?);
        if shape.is_dynamic(axis) && before[axis] + after[axis] > 0 {
            return Err(
                node.unsupported("pads the dimension that varies", "fix the number of rows when exporting")
            );
        }
    }
    if !is_real(b.output_fact(node, 0)?.dtype) {
        let hint = "put it between DequantizeLinear and QuantizeLinear";
        return Err(node.unsupported("pads integers", hint));
    }
    b.finish(node, Op::Pad { before, after, value }, &[x])
}

/// Expand.
pub fn expand(b: &mut Builder, node: &NodeProto) -> Result<()> {
    let x = b.input(node, 0)?;
    if b.shape(x) == b.output_fact(node, 0)?.shape {
        b.bind(&node.output[0], x);
        return Ok(());
    }
    let shape = b.shape(x);
    let missing = b.output_fact(node, 0)?.shape.rank() - shape.rank();
    let aligned = (0..missing).fold(shape, |shape, _| shape.inserted(0, 1));
    let x = b.reshaped(x, aligned);
    b.finish(node, Op::Expand, &[x])
}
