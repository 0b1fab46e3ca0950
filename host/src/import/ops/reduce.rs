//! Reductions over axes.

use tract_onnx::pb::NodeProto;

use super::elementwise::real;
use crate::Result;
use crate::graph::{Function, Op, Reduction};
use crate::import::builder::{Builder, axis_index};
use crate::import::model::NodeExt;

/// ReduceMean, ReduceSum, ReduceMax, and ReduceL2 as square, sum, root.
pub fn reduce(b: &mut Builder, node: &NodeProto) -> Result<()> {
    real(b, node)?;
    let x = b.input(node, 0)?;
    let shape = b.shape(x);
    let listed = match node.ints("axes") {
        Some(axes) => Some(axes.to_vec()),
        None => b.integers(node, 1)?,
    };
    let mut axes = Vec::new();
    for axis in listed.unwrap_or_default() {
        axes.push(axis_index(node, axis, shape.rank())?);
    }
    if axes.is_empty() && node.int("noop_with_empty_axes").unwrap_or(0) == 0 {
        axes = (0..shape.rank()).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    if node.op_type == "ReduceL2" {
        let square = Op::Unary(vec![Function::Power { exponent: 2.0 }]);
        let squares = b.emit(&format!("{}/square", node.label()), square, &[x], shape);
        let sum = Op::Reduce { reduction: Reduction::Sum, axes };
        let output = b.output_fact(node, 0)?.shape.clone();
        let sum = b.emit(&format!("{}/sum", node.label()), sum, &[squares], output);
        return b.finish(node, Op::Unary(vec![Function::Sqrt]), &[sum]);
    }
    let reduction = match node.op_type.as_str() {
        "ReduceMean" => Reduction::Mean,
        "ReduceSum" => Reduction::Sum,
        _ => Reduction::Max,
    };
    b.finish(node, Op::Reduce { reduction, axes }, &[x])
}
