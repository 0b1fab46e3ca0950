//! Products of activations: a factor behind them and a transposed right operand become part of the operator.

use super::edit::{self, composed};
use crate::graph::{Function, Graph, Op};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len())
        .any(|index| factor(graph, index) || operand_factor(graph, index) || transposed(graph, index))
}

/// The factor that node `index` multiplies by, if it does that and nothing else.
fn scaling(graph: &Graph, index: usize) -> Option<f32> {
    match edit::functions(graph, index)? {
        [Function::Affine { scale, offset: 0.0 }] => Some(*scale),
        _ => None,
    }
}

/// A factor on the product.
fn factor(graph: &mut Graph, index: usize) -> bool {
    let Some(by) = scaling(graph, index) else { return false };
    let input = graph.nodes[index].inputs[0];
    let Some(product) = edit::private_producer(graph, input) else { return false };
    let Op::MatMul { scale, .. } = &mut graph.nodes[product].op else { return false };
    *scale *= by;
    graph.nodes[product].output = graph.nodes[index].output;
    graph.nodes.remove(index);
    true
}

/// A factor on an operand alone.
fn operand_factor(graph: &mut Graph, index: usize) -> bool {
    if !matches!(graph.nodes[index].op, Op::MatMul { .. }) {
        return false;
    }
    for slot in 0..2 {
        let operand = graph.nodes[index].inputs[slot];
        let Some(step) = edit::private_producer(graph, operand) else { continue };
        let Some(by) = scaling(graph, step) else { continue };
        let x = graph.nodes[step].inputs[0];
        graph.nodes[index].inputs[slot] = x;
        if let Op::MatMul { scale, .. } = &mut graph.nodes[index].op {
            *scale *= by;
        }
        graph.nodes.remove(step);
        return true;
    }
    false
}

/// A right operand whose last two axes were swapped; a transposition that also moves others keeps only that.
fn transposed(graph: &mut Graph, index: usize) -> bool {
    let Op::MatMul { transpose_b, .. } = graph.nodes[index].op else { return false };
    let right = graph.nodes[index].inputs[1];
    let Some(step) = graph.producer(right) else { return false };
    let Op::Transpose { perm } = graph.nodes[step].op.clone() else { return false };
    let rank = perm.len();
    // Worth it where it leaves the last axis in place.
    if rank < 2 || perm[rank - 2] != rank - 1 {
        return false;
    }
    let mut swap: Vec<usize> = (0..rank).collect();
    swap.swap(rank - 2, rank - 1);
    let rest = composed(&perm, &swap);
    let source = graph.nodes[step].inputs[0];
    let operand = if edit::is_identity(&rest) {
        source
    } else {
        let value = graph.value(right).clone();
        let shape = graph.value(source).shape.transposed(&rest);
        let op = Op::Transpose { perm: rest };
        let operand = edit::insert(graph, index, &format!("{}:t", value.name), op, vec![source], shape);
        graph.value_mut(operand).given = value.given;
        graph.value_mut(operand).origin = edit::origin_transposed(&value.origin, &value.shape, &swap);
        operand
    };
    let Some(node) = graph
        .nodes
        .iter_mut()
        .find(|node| matches!(node.op, Op::MatMul { .. }) && node.inputs.get(1) == Some(&right))
    else {
        return false;
    };
    node.inputs[1] = operand;
    if let Op::MatMul { transpose_b: flag, .. } = &mut node.op {
        *flag = !transpose_b;
    }
    true
}
