//! The same operator on the same values is computed once.

use super::edit;
use crate::graph::{Graph, Op};

/// Removes repeated nodes. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    for first in 0..graph.nodes.len() {
        for second in first + 1..graph.nodes.len() {
            let (a, b) = (&graph.nodes[first], &graph.nodes[second]);
            if a.op == b.op
                && a.inputs == b.inputs
                && graph.value(a.output).shape == graph.value(b.output).shape
            {
                let output = a.output;
                let node = &mut graph.nodes[second];
                let before = (node.op.clone(), node.inputs.clone());
                (node.op, node.inputs) = (Op::Identity, vec![output]);
                if edit::bypass(graph, second) {
                    return true;
                }
                // Two outputs, or two quantizations: computed twice.
                (graph.nodes[second].op, graph.nodes[second].inputs) = before;
            }
        }
    }
    false
}
