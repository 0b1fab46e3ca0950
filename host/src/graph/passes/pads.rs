//! Padding with zeros becomes part of the window that reads it.

use super::edit;
use crate::graph::{Graph, Op, Pooling};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| step(graph, index) || behind_transposition(graph, index))
}

/// Padding of an input that is then transposed for a convolution: the other way round, so that it can be absorbed.
fn behind_transposition(graph: &mut Graph, index: usize) -> bool {
    let Op::Pad { before, after, value } = graph.nodes[index].op.clone() else { return false };
    let (input, output) = (graph.nodes[index].inputs[0], graph.nodes[index].output);
    let Some(reader) = edit::only_reader(graph, output) else { return false };
    let Op::Transpose { perm } = graph.nodes[reader].op.clone() else { return false };
    let absorbs = |&node: &usize| matches!(graph.nodes[node].op, Op::Conv { .. } | Op::Pool { .. });
    if !graph.consumers(graph.nodes[reader].output).iter().all(absorbs) {
        return false;
    }
    let value_in = graph.value(input).clone();
    let shape = value_in.shape.transposed(&perm);
    let name = format!("{}:t", value_in.name);
    let turned = edit::insert(graph, index, &name, Op::Transpose { perm: perm.clone() }, vec![input], shape);
    graph.value_mut(turned).origin = edit::origin_transposed(&value_in.origin, &value_in.shape, &perm);
    graph.value_mut(turned).given = value_in.given;
    // The padding is now behind the new node, its reader one further.
    graph.nodes.remove(index + 1);
    let moved = &mut graph.nodes[reader];
    let along = |sizes: &[usize]| edit::composed(sizes, &perm);
    (moved.op, moved.inputs) =
        (Op::Pad { before: along(&before), after: along(&after), value }, vec![turned]);
    true
}

fn step(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Pad { before, after, value: 0.0 } = &node.op else { return false };
    let ([0, top, left, 0], [0, bottom, right, 0]) = (&before[..], &after[..]) else { return false };
    let pad = [*top, *left, *bottom, *right];
    let (input, output) = (node.inputs[0], node.output);
    // Zero is exact in every quantization, so one that is stated for the padded tensor must only be the same.
    let given = graph.value(output).given;
    if given.is_some() && given != graph.value(input).given || graph.outputs.contains(&output) {
        return false;
    }
    let readers = graph.consumers(output);
    let takes = |&reader: &usize| match &graph.nodes[reader].op {
        Op::Conv { .. } => true,
        Op::Pool { pooling, window } => match pooling {
            Pooling::Average => window.pad == [0; 4],
            Pooling::AverageWithPad => true,
            Pooling::Max => false,
        },
        _ => false,
    };
    if readers.is_empty() || !readers.iter().all(takes) {
        return false;
    }
    for reader in readers {
        let node = &mut graph.nodes[reader];
        match &mut node.op {
            Op::Pool { pooling, window } => {
                *pooling = Pooling::AverageWithPad;
                add(&mut window.pad, &pad);
            }
            Op::Conv { window, .. } => add(&mut window.pad, &pad),
            _ => continue,
        }
        node.inputs[0] = input;
    }
    graph.nodes.remove(index);
    true
}

fn add(pad: &mut [usize; 4], more: &[usize; 4]) {
    pad.iter_mut().zip(more).for_each(|(pad, more)| *pad += more);
}
