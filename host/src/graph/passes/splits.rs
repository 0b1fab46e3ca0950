//! Layers whose output channels are only read in parts: a layer for each part, with its share of the weights. Each then has
//! the scale that suits it, and nothing is copied.

use std::ops::Range;

use super::edit;
use crate::graph::{Constant, Graph, Node, Op, Shape, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| split(graph, index))
}

/// How a layer's output channels depend on its input.
#[derive(Clone, Copy, PartialEq)]
enum Layer {
    /// Each on all channels.
    Full,
    /// Each on its own.
    Depthwise,
}

fn layer(graph: &Graph, index: usize) -> Option<Layer> {
    let node = &graph.nodes[index];
    let channels = |id: ValueId| graph.value(id).shape.dims.last().copied();
    match node.op {
        Op::Linear { .. } | Op::Conv { groups: 1, .. } => Some(Layer::Full),
        Op::Conv { groups, .. } => {
            let same = channels(node.inputs[0]) == Some(groups) && channels(node.output) == Some(groups);
            same.then_some(Layer::Depthwise)
        }
        _ => None,
    }
}

/// The slices that all readers of `id` are, and the channels that each takes.
fn parts(graph: &Graph, id: ValueId) -> Option<Vec<(ValueId, Range<usize>)>> {
    let value = graph.value(id);
    if graph.outputs.contains(&id) || value.given.is_some() {
        return None;
    }
    let last = value.shape.rank().checked_sub(1)?;
    let part = |reader: usize| {
        let Node { op: Op::Slice { starts, steps }, output, .. } = &graph.nodes[reader] else { return None };
        let (from, to) = (&value.shape.dims, &graph.value(*output).shape.dims);
        let whole = (0..last).all(|axis| starts[axis] == 0 && from[axis] == to[axis]);
        let plain = whole && steps.iter().all(|&step| step == 1) && to[last] < from[last];
        plain.then(|| (*output, starts[last]..starts[last] + to[last]))
    };
    let parts: Option<Vec<_>> = graph.consumers(id).into_iter().map(part).collect();
    parts.filter(|parts| parts.len() > 1)
}

/// A part of a constant along its first axis, if no integers are stated for it.
fn part(graph: &mut Graph, id: ValueId, channels: &Range<usize>) -> Option<ValueId> {
    let value = graph.value(id).clone();
    let constant = value.constant.filter(|constant| constant.integers.is_none())?;
    let (&outputs, rest) = value.shape.dims.split_first()?;
    let each = rest.iter().product::<usize>();
    let data = constant.data.get(channels.start * each..channels.end * each)?.to_vec();
    let mut shape = value.shape;
    shape.dims[0] = channels.len();
    let name = format!("{}[{}..{}]", value.name, channels.start, channels.end);
    (outputs >= channels.end)
        .then(|| edit::add_constant(graph, &name, Constant { data, integers: None }, shape))
}

/// Replaces the slices of what node `index` computes by layers of their own.
fn split(graph: &mut Graph, index: usize) -> bool {
    let Some(kind) = layer(graph, index) else { return false };
    let Node { op, inputs, output, name } = graph.nodes[index].clone();
    let Some(parts) = parts(graph, output) else { return false };
    // Parts of a depthwise layer read parts of its input: worth it where that input can be split in turn.
    if kind == Layer::Depthwise {
        let before = edit::private_producer(graph, inputs[0]);
        if before.and_then(|before| layer(graph, before)) != Some(Layer::Full) {
            return false;
        }
    }
    let floats =
        |id: &ValueId| edit::constant(graph, *id).is_some_and(|constant| constant.integers.is_none());
    if inputs.len() != 3 || !inputs[1..].iter().all(floats) {
        return false;
    }
    for (part_of, channels) in parts {
        let [weights, bias] = [inputs[1], inputs[2]].map(|id| part(graph, id, &channels));
        let (Some(weights), Some(bias), Some(at)) = (weights, bias, graph.producer(part_of)) else {
            return false;
        };
        let (mut layer, mut x) = (op.clone(), inputs[0]);
        if let (Layer::Depthwise, Op::Conv { groups, .. }) = (kind, &mut layer) {
            *groups = channels.len();
            let Shape { mut dims, dynamic } = graph.value(x).shape.clone();
            if let Some(last) = dims.last_mut() {
                *last = channels.len();
            }
            let text = format!("{}[{}..{}]", graph.value(x).name, channels.start, channels.end);
            let slice = graph.nodes[at].op.clone();
            let origin =
                graph.value(x).origin.as_ref().and_then(|origin| origin.of_channels(channels.clone()));
            x = edit::insert(graph, at, &text, slice, vec![x], Shape { dims, dynamic });
            graph.value_mut(x).origin = origin;
        }
        let Some(at) = graph.producer(part_of) else { return false };
        let name = format!("{name}[{}..{}]", channels.start, channels.end);
        graph.nodes[at] = Node { name, op: layer, inputs: vec![x, weights, bias], output: part_of };
    }
    true
}
