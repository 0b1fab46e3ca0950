//! Reshapes are brought together and cancelled, and moved behind functions of one value.

use super::edit;
use crate::graph::{Graph, Op, Value, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| step(graph, index))
}

/// The value that `id` is a Reshape of, in the same quantization.
fn source(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let node = &graph.nodes[graph.producer(id)?];
    let same = graph.value(node.inputs[0]).given == graph.value(id).given;
    (node.op == Op::Reshape && same).then(|| node.inputs[0])
}

fn step(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let input = node.inputs[0];
    match &node.op {
        // Moves of dimensions of 1 leave the elements where they are.
        Op::Transpose { perm } => {
            let shape = &graph.value(input).shape;
            if perm.iter().filter(|&&axis| shape.dims[axis] != 1 || shape.is_dynamic(axis)).is_sorted() {
                graph.nodes[index].op = Op::Reshape;
                return true;
            }
            false
        }
        Op::Reshape => {
            if graph.value(input).shape == graph.value(node.output).shape {
                return edit::bypass(graph, index);
            }
            if let Some(source) = source(graph, input) {
                graph.nodes[index].inputs[0] = source;
                return true;
            }
            false
        }
        Op::Unary(_) | Op::Identity => match source(graph, input) {
            Some(source) => sink(graph, index, vec![source]),
            None => false,
        },
        Op::Binary { .. } => {
            let [a, b] = [node.inputs[0], node.inputs[1]];
            let shape = |id| graph.value(id).shape.clone();
            match (source(graph, a), source(graph, b)) {
                (Some(x), Some(y)) if shape(x) == shape(y) && shape(a) == shape(b) => {
                    sink(graph, index, vec![x, y])
                }
                (Some(x), None) if along_channels(graph, b, x, a) => sink(graph, index, vec![x, b]),
                (None, Some(y)) if along_channels(graph, a, y, b) => sink(graph, index, vec![a, y]),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether the constant `id` goes along the last axis, which is the same before and after a Reshape, and does not
/// broadcast the other operand.
fn along_channels(graph: &Graph, id: ValueId, before: ValueId, after: ValueId) -> bool {
    let (before, after) = (&graph.value(before).shape, &graph.value(after).shape);
    let constant = &graph.value(id).shape;
    before.dims.last() == after.dims.last()
        && constant.rank() == 1
        && graph.value(id).constant.is_some()
        && edit::per_channel(graph, id, after).is_some()
}

/// Lets node `index` work on `inputs`, which its inputs are Reshapes of, and reshapes its result.
fn sink(graph: &mut Graph, index: usize, inputs: Vec<ValueId>) -> bool {
    let output = graph.nodes[index].output;
    let active = inputs.iter().find(|&&id| graph.value(id).constant.is_none()).copied().unwrap_or(inputs[0]);
    let shape = graph.value(active).shape.clone();
    let value = graph.value(output).clone();
    let name = edit::fresh(graph, &format!("{}:r", value.name));
    let moved = graph.add(Value { name: name.clone(), shape, ..value });
    let node = &mut graph.nodes[index];
    (node.inputs, node.output) = (inputs, moved);
    let reshape = crate::graph::Node { name, op: Op::Reshape, inputs: vec![moved], output };
    graph.nodes.insert(index + 1, reshape);
    true
}
