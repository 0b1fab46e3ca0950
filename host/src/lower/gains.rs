//! A transposition behind a Linear and a gain of every channel is done in front of the gain: the layer can write its
//! output transposed then, and the gain is one value for each element of a row.

use std::borrow::Cow;

use mixel_core::pack::Layout;

use crate::graph::passes::edit;
use crate::graph::passes::transposes::turned_constant;
use crate::graph::{Graph, Op, ValueId};
use crate::quantize::Quantized;

/// Least channels: shorter rows take longer than a gain for each of them.
const CHANNELS: usize = 16;

/// `quantized` with all gains behind such transpositions, for layouts of machines that multiply rows at once.
pub(super) fn behind_transposes(quantized: &Quantized, layout: Layout) -> Cow<'_, Quantized> {
    let mut turned = Cow::Borrowed(quantized);
    if layout != Layout::Generic {
        while let Some(next) =
            (0..turned.graph.nodes.len()).find_map(|index| behind_transpose(&turned, index))
        {
            turned = Cow::Owned(next);
        }
    }
    turned
}

/// `quantized` with the transposition `index` in front of what computes its input, if that is a gain of what a Linear
/// makes.
fn behind_transpose(quantized: &Quantized, index: usize) -> Option<Quantized> {
    let graph = &quantized.graph;
    let Op::Transpose { perm } = &graph.nodes[index].op else { return None };
    let (product, output) = (graph.nodes[index].inputs[0], graph.nodes[index].output);
    let gain = maker(graph, product)?;
    let inputs = &graph.nodes[gain].inputs;
    let constant = inputs.iter().position(|&input| graph.value(input).constant.is_some())?;
    let (Op::Binary { .. }, &[a, b]) = (&graph.nodes[gain].op, &inputs[..]) else { return None };
    let (x, values) = if constant == 0 { (b, a) } else { (a, b) };
    let same = quantized.activation(product) == quantized.activation(output)
        && graph.value(x).shape == graph.value(product).shape;
    let mut layer = maker(graph, x)?;
    while graph.nodes[layer].op == Op::Reshape {
        layer = maker(graph, graph.nodes[layer].inputs[0])?;
    }
    let linear = matches!(graph.nodes[layer].op, Op::Linear { .. });
    // A layer has nothing of a transposition that leaves its outputs where they are.
    let turns = perm.last() != Some(&(perm.len() - 1));
    if !same || !linear || !turns || !per_channel(graph, values, perm) {
        return None;
    }
    let (perm, mut quantized) = (perm.clone(), quantized.clone());
    let graph = &mut quantized.graph;
    let (name, shape) = (format!("{}:t", graph.value(x).name), graph.value(x).shape.transposed(&perm));
    let turned = edit::insert(graph, gain, &name, Op::Transpose { perm: perm.clone() }, vec![x], shape);
    let channels = turned_constant(graph, values, &perm, true);
    let node = &mut graph.nodes[gain + 1];
    (node.inputs[constant], node.inputs[1 - constant], node.output) = (channels, turned, output);
    graph.nodes.remove(index + 1);
    let alike = [(turned, x), (channels, values)].map(|(id, like)| (id, quantized.activation(like)));
    quantized.activations.resize(quantized.graph.values.len(), None);
    alike.into_iter().for_each(|(id, quantization)| quantized.activations[id.0] = quantization);
    Some(quantized)
}

/// The node that computes `id` for one other node alone.
fn maker(graph: &Graph, id: ValueId) -> Option<usize> {
    let private = graph.consumers(id).len() == 1 && !graph.outputs.contains(&id);
    graph.producer(id).filter(|_| private)
}

/// Whether the constant `id`, transposed by `perm`, is one value for each index of the last axis, and there are
/// enough of them.
fn per_channel(graph: &Graph, id: ValueId, perm: &[usize]) -> bool {
    let shape = &graph.value(id).shape;
    let channels = perm.last().and_then(|axis| (axis + shape.rank()).checked_sub(perm.len()));
    channels.is_some_and(|axis| shape.dims[axis] == shape.elements() && shape.dims[axis] >= CHANNELS)
}
