//! Padding with zeros becomes part of the window that reads it.

use crate::graph::{Graph, Op, Pooling};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| step(graph, index))
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
