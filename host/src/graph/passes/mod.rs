//! Rewrites of the graph, one a file; [`run`] repeats them until none applies.
//!
//! Each rewrite computes the same in real numbers, and keeps names, quantization that the model states, and origins: a
//! value that the float model has can be observed there as before.

mod beside;
mod chains;
mod channel_attention;
mod dedupe;
pub(crate) mod edit;
mod fold;
mod gates;
mod norms;
mod pads;
mod products;
mod reshapes;
mod shuffles;
mod splits;
mod sums;
pub(crate) mod transposes;

use super::{Graph, Op};

/// Applies all rewrites until the graph does not change.
pub fn run(graph: &mut Graph) {
    same_quantization(graph);
    settle(graph, &[unneeded, dedupe::run, transposes::run, chains::run]);
    settle(graph, &[unneeded, dedupe::run, transposes::run, reshapes::run, chains::run]);
    let patterns: [Pass; 10] = [
        unneeded,
        dedupe::run,
        chains::run,
        norms::run,
        gates::run,
        products::run,
        pads::run,
        channel_attention::run,
        splits::run,
        beside::run,
    ];
    settle(graph, &patterns);
    settle(
        graph,
        &[unneeded, chains::run, transposes::run, reshapes::run, fold::run, norms::run, products::run],
    );
    settle(graph, &[chains::run, chains::fuse_ranges]);
    settle(graph, &[sums::run, shuffles::run]);
    same_quantization(graph);
    graph.remove_dead();
}

type Pass = fn(&mut Graph) -> bool;

/// Repeats `passes` until none changes anything.
fn settle(graph: &mut Graph, passes: &[Pass]) {
    while passes.iter().any(|pass| pass(graph)) {
        graph.remove_dead();
    }
}

/// Removes an operator that does nothing.
fn unneeded(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| {
        let node = &graph.nodes[index];
        let nothing = match &node.op {
            Op::Identity | Op::Expand => true,
            Op::Slice { steps, .. } => steps.iter().all(|&step| step == 1),
            Op::Concat { .. } => node.inputs.len() == 1,
            Op::Transpose { perm } => edit::is_identity(perm),
            _ => false,
        };
        let same = graph.value(node.inputs[0]).shape == graph.value(node.output).shape;
        nothing && same && edit::bypass(graph, index)
    })
}

/// Rearrangements have the quantization of what they rearrange: one that is stated on one side holds on the other.
fn same_quantization(graph: &mut Graph) {
    let moves = graph.nodes.iter().filter(|node| matches!(node.op, Op::Reshape | Op::Transpose { .. }));
    let moves: Vec<_> = moves.map(|node| (node.inputs[0], node.output)).collect();
    for &(from, to) in &moves {
        let given = graph.value(to).given.or(graph.value(from).given);
        graph.value_mut(to).given = given;
    }
    for &(from, to) in moves.iter().rev() {
        let given = graph.value(from).given.or(graph.value(to).given);
        graph.value_mut(from).given = given;
    }
}
