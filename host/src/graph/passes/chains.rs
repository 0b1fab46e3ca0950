//! Functions in a row become one node, which becomes one table; a leading range goes into the operator before.

use super::edit;
use crate::graph::{Clip, Function, Graph, Op};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| compose(graph, index))
}

fn compose(graph: &mut Graph, index: usize) -> bool {
    let Some(functions) = edit::functions(graph, index) else { return false };
    let simple = simplified(functions);
    if simple.is_empty() {
        // Where it cannot be left out (between two quantizations) it stays as an Identity.
        graph.nodes[index].op = Op::Identity;
        edit::bypass(graph, index);
        return true;
    }
    if simple != functions {
        graph.nodes[index].op = Op::Unary(simple);
        return true;
    }
    let input = graph.nodes[index].inputs[0];
    let Some(before) = edit::private_producer(graph, input) else { return false };
    let Some(first) = edit::functions(graph, before) else { return false };
    let both = first.iter().chain(functions).copied().collect();
    let source = graph.nodes[before].inputs[0];
    let node = &mut graph.nodes[index];
    (node.op, node.inputs) = (Op::Unary(both), vec![source]);
    graph.nodes.remove(before);
    true
}

/// Neighbours that are one function written as one, and those that do nothing left out.
fn simplified(functions: &[Function]) -> Vec<Function> {
    let mut simple: Vec<Function> = Vec::new();
    for function in functions {
        let last = simple.last().copied();
        let joined = last.and_then(|last| join(last, *function));
        if joined.is_some() {
            simple.pop();
        }
        let function = joined.unwrap_or(*function);
        let nothing = match function {
            Function::Affine { scale, offset } => edit::near(scale, 1.0) && offset == 0.0,
            Function::Power { exponent } => exponent == 1.0,
            Function::Clip(clip) => clip == Clip::NONE,
            _ => false,
        };
        if !nothing {
            simple.push(function);
        }
    }
    simple
}

fn join(first: Function, second: Function) -> Option<Function> {
    match (first, second) {
        (Function::Clip(first), Function::Clip(second)) => Some(Function::Clip(within(first, second))),
        (Function::Affine { scale: a, offset: b }, Function::Affine { scale: c, offset: d }) => {
            Some(Function::Affine { scale: a * c, offset: b * c + d })
        }
        _ => None,
    }
}

/// The range `first`, then `second`.
fn within(first: Clip, second: Clip) -> Clip {
    let limit = |x: f32| x.max(second.min).min(second.max);
    Clip { min: limit(first.min), max: limit(first.max) }
}

/// Fuses a range into the operator whose result it limits. Returns whether anything changed.
pub fn fuse_ranges(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| fuse(graph, index))
}

/// Only where nothing follows in the same table: what would flow between is no tensor of the float model, so its range
/// would not be known.
fn fuse(graph: &mut Graph, index: usize) -> bool {
    let Some(&[Function::Clip(range)]) = edit::functions(graph, index) else { return false };
    let input = graph.nodes[index].inputs[0];
    let Some(producer) = edit::private_producer(graph, input) else { return false };
    let (Op::Conv { clip, .. }
    | Op::ConvTranspose { clip, .. }
    | Op::Linear { clip }
    | Op::Binary { clip, .. }) = &mut graph.nodes[producer].op
    else {
        return false;
    };
    *clip = within(*clip, range);
    graph.nodes[producer].output = graph.nodes[index].output;
    graph.nodes.remove(index);
    true
}
