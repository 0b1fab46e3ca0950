//! A sum of two convolutions with one window is one convolution of the two inputs side by side: one accumulator and one
//! rounding instead of three.

use super::edit;
use crate::graph::{Arithmetic, Constant, Graph, Node, Op, Shape, ValueId};

/// Most channels of both inputs together: what is saved is a rescaling and an addition an output, what it costs is a copy of the
/// inputs.
const CHANNELS: usize = 16;

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| merge(graph, index))
}

/// A private convolution of several taps: its operands.
fn convolution(graph: &Graph, id: ValueId) -> Option<(usize, [ValueId; 3])> {
    let node = edit::private_producer(graph, id)?;
    let Node { op: Op::Conv { window, groups: 1, clip }, inputs, .. } = &graph.nodes[node] else {
        return None;
    };
    let plain = window.kernel.iter().product::<usize>() > 1 && *clip == crate::graph::Clip::NONE;
    let &[x, weights, bias] = &inputs[..] else { return None };
    let floats = |id: ValueId| edit::constant(graph, id).is_some_and(|constant| constant.integers.is_none());
    (plain && floats(weights) && floats(bias)).then_some((node, [x, weights, bias]))
}

fn merge(graph: &mut Graph, index: usize) -> bool {
    let Some([a, b]) = edit::operands(graph, index, Arithmetic::Add) else { return false };
    let (Some((first, [x, v, p])), Some((second, [y, w, q]))) =
        (convolution(graph, a), convolution(graph, b))
    else {
        return false;
    };
    let channels = |id: ValueId| graph.value(id).shape.dims.last().copied().unwrap_or(0);
    let (left, right) = (channels(x), channels(y));
    let (from, to) = (&graph.value(x).shape, &graph.value(a).shape);
    let alike = graph.nodes[first].op == graph.nodes[second].op
        && first != second
        && from.dims[..3] == graph.value(y).shape.dims[..3]
        && to == &graph.value(b).shape
        && from.dynamic | to.dynamic == 0;
    if !alike || left + right > CHANNELS {
        return false;
    }
    let mut dims = from.dims.clone();
    dims[3] = left + right;
    // Taps of both inputs side by side.
    let data =
        |id: ValueId| edit::constant(graph, id).map(|constant| constant.data.clone()).unwrap_or_default();
    let (rows, others) = (data(v), data(w));
    let taps = rows.chunks(left).zip(others.chunks(right));
    let weights = taps.flat_map(|(left, right)| left.iter().chain(right).copied()).collect();
    let bias = data(p).iter().zip(data(q)).map(|(p, q)| p + q).collect();
    let mut shape = graph.value(v).shape.clone();
    shape.dims[3] = left + right;
    let (outputs, name) = (graph.value(p).shape.clone(), graph.nodes[index].name.clone());
    let weights = Constant { data: weights, integers: None };
    let weights = edit::add_constant(graph, &format!("{name}/weights"), weights, shape);
    let bias =
        edit::add_constant(graph, &format!("{name}/bias"), Constant { data: bias, integers: None }, outputs);
    let op = graph.nodes[first].op.clone();
    let both = edit::insert(
        graph,
        index,
        &format!("{name}/both"),
        Op::Concat { axis: 3 },
        vec![x, y],
        Shape::fixed(&dims),
    );
    let node = &mut graph.nodes[index + 1];
    (node.op, node.inputs) = (op, vec![both, weights, bias]);
    true
}
