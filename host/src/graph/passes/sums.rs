//! Sums of sums that are one sum of three, rounded once: a block's input and the outputs of its two branches.

use super::edit;
use crate::graph::{Arithmetic, Graph, Op, ValueId};

/// One step: `(a + b) + c`. Returns whether anything changed.
///
/// The inner sum vanishes, so it must be needed nowhere else and have neither limits nor a quantization that the model states.
/// Constants and operands that repeat stay with the sum of two.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| step(graph, index))
}

fn step(graph: &mut Graph, index: usize) -> bool {
    let Op::Binary { op: Arithmetic::Add, clip } = graph.nodes[index].op else { return false };
    let [left, right] = graph.nodes[index].inputs[..] else { return false };
    let parts = |sum: ValueId, other: ValueId| {
        let [a, b] = edit::operands(graph, edit::private_producer(graph, sum)?, Arithmetic::Add)?;
        let shape = &graph.value(graph.nodes[index].output).shape;
        let plain = |id: ValueId| edit::constant(graph, id).is_none() && graph.value(id).shape == *shape;
        (sum != other && [a, b, other].into_iter().all(plain)).then_some([a, b, other])
    };
    let Some(inputs) = parts(left, right).or_else(|| parts(right, left)) else { return false };
    let node = &mut graph.nodes[index];
    (node.op, node.inputs) = (Op::Sum3 { clip }, inputs.to_vec());
    true
}
