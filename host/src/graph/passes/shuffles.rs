//! Pixel shuffles behind layers: the layer gives its channels in the order in which a shuffle stores them, row by row of each block, so
//! that it moves whole runs and not single values.

use super::edit;
use crate::graph::{Constant, Graph, Node, Op, ShuffleMode, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| reorder(graph, index))
}

/// Gives the channels of the shuffle `index` the order of [`ShuffleMode::Dcr`] in the layer that makes them.
fn reorder(graph: &mut Graph, index: usize) -> bool {
    let Node { op: Op::DepthToSpace { block, mode: ShuffleMode::Crd }, inputs, output, .. } =
        graph.nodes[index].clone()
    else {
        return false;
    };
    let (area, depth) = (block * block, graph.value(output).shape.dims.last().copied().unwrap_or(0));
    let channels: Vec<usize> = (0..area * depth).map(|to| to % depth * area + to / depth).collect();
    // Functions of single values do not care which channel they are in.
    let (mut between, mut value) = (vec![], inputs[0]);
    let layer = loop {
        let Some(maker) = edit::private_producer(graph, value) else { return false };
        between.push(value);
        match graph.nodes[maker].op {
            Op::Unary(_) => value = graph.nodes[maker].inputs[0],
            Op::Conv { groups: 1, .. } | Op::Linear { .. } => break maker,
            _ => return false,
        }
    };
    let [x, weights, bias] = graph.nodes[layer].inputs[..] else { return false };
    let turned = [weights, bias].map(|id| with_rows(graph, id, &channels));
    let [Some(weights), Some(bias)] = turned else { return false };
    graph.nodes[layer].inputs = vec![x, weights, bias];
    for value in between {
        let value = graph.value_mut(value);
        value.origin = value.origin.take().and_then(|origin| origin.of_channels(channels.iter().copied()));
    }
    graph.nodes[index].op = Op::DepthToSpace { block, mode: ShuffleMode::Dcr };
    true
}

/// A constant that has these rows of constant `id`, if no integers are stated for it.
fn with_rows(graph: &mut Graph, id: ValueId, rows: &[usize]) -> Option<ValueId> {
    let value = graph.value(id).clone();
    let Constant { data, integers: None } = value.constant? else { return None };
    if value.shape.dims.first() != Some(&rows.len()) {
        return None;
    }
    let each = data.len() / rows.len();
    let data = rows.iter().flat_map(|row| &data[row * each..][..each]).copied().collect();
    Some(edit::add_constant(graph, &value.name, Constant { data, integers: None }, value.shape))
}
