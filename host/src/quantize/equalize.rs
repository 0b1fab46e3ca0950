//! Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
//! Correction"): between two linear layers with nothing but a relu between them, a channel may be made smaller in the
//! first and larger in the second. Here the channel ranges are those that calibration saw, not the weights', because
//! weights have a scale for every channel anyway and activations have one for all.

use super::statistics::Statistics;
use crate::graph::{Clip, Graph, Op, ValueId};

/// Channels are never scaled further apart than this: calibration may have seen too little of a quiet channel.
const LIMIT: f32 = 16.0;

/// Equalizes every pair that allows it, in place, in `graph` and in what was observed of it. The function that the graph
/// computes stays the same; `Origin::channel_scale` of the values between says how they differ from the float model's.
pub fn equalize(graph: &mut Graph, statistics: &mut Statistics) {
    for first in 0..graph.nodes.len() {
        let Some(second) = partner(graph, first) else { continue };
        let between = graph.nodes[first].output;
        let Some(factors) = factors(graph, second, between, statistics) else { continue };
        let [_, weights, bias] = graph.nodes[first].inputs[..] else { continue };
        scale_outputs(graph, weights, &factors);
        scale_outputs(graph, bias, &factors);
        scale_inputs(graph, second, &factors);
        let observed = statistics.entry(between);
        for (channel, factor) in observed.channels.iter_mut().zip(&factors) {
            *channel = channel.scaled(1.0 / factor);
        }
        if let Some(origin) = &mut graph.value_mut(between).origin {
            origin.channel_scale.resize(factors.len(), 1.0);
            origin.channel_scale.iter_mut().zip(&factors).for_each(|(scale, factor)| *scale /= factor);
        }
    }
}

/// The node that alone reads node `first`'s output, when both are linear layers with float weights of their own.
fn partner(graph: &Graph, first: usize) -> Option<usize> {
    let node = &graph.nodes[first];
    let clip = match &node.op {
        Op::Conv { clip, .. } | Op::Linear { clip } => *clip,
        _ => return None,
    };
    let homogeneous = clip == Clip::NONE || clip == Clip { min: 0.0, max: f32::INFINITY };
    let [second] = graph.consumers(node.output)[..] else { return None };
    let inner = homogeneous && !graph.outputs.contains(&node.output);
    let linear = matches!(graph.nodes[second].op, Op::Conv { .. } | Op::Linear { .. });
    let read_once = graph.nodes[second].inputs.iter().filter(|id| **id == node.output).count() == 1;
    let own = |index: usize| {
        let constants = graph.nodes[index].inputs.get(1..3)?;
        let float = |id: &ValueId| {
            let constant = graph.value(*id).constant.as_ref();
            constant.is_some_and(|c| c.integers.is_none()) && graph.consumers(*id).len() == 1
        };
        constants.iter().all(float).then_some(())
    };
    let free = graph.value(node.output).given.is_none();
    own(first)?;
    own(second)?;
    (inner && linear && read_once && free).then_some(second)
}

/// What to divide each channel of `between` by.
fn factors(graph: &Graph, second: usize, between: ValueId, statistics: &Statistics) -> Option<Vec<f32>> {
    let observed = statistics.get(between)?;
    let channels = *graph.value(between).shape.dims.last()?;
    if observed.channels.len() != channels {
        return None;
    }
    let activation: Vec<f32> = observed.channels.iter().map(|channel| channel.magnitude()).collect();
    let loudest = activation.iter().copied().fold(0.0, f32::max);
    let mut weight = vec![0f32; channels];
    for_inputs(graph, second, |channel, w| weight[channel] = weight[channel].max(w.abs()));
    let heaviest = weight.iter().copied().fold(0.0, f32::max);
    if loudest <= 0.0 || heaviest <= 0.0 {
        return None;
    }
    // A depthwise layer's weights have a scale for every input channel too, so it costs nothing to use the whole range.
    let depthwise = depthwise(graph, second);
    let factor = |(&activation, &weight): (&f32, &f32)| {
        let share = activation / loudest;
        let wanted =
            if depthwise { share } else { (share * heaviest / weight.max(f32::MIN_POSITIVE)).sqrt() };
        wanted.clamp(1.0 / LIMIT, LIMIT)
    };
    Some(activation.iter().zip(&weight).map(factor).collect())
}

fn depthwise(graph: &Graph, node: usize) -> bool {
    let weights = &graph.value(graph.nodes[node].inputs[1]).shape.dims;
    matches!(graph.nodes[node].op, Op::Conv { groups, .. } if groups > 1) && weights.last() == Some(&1)
}

/// Input channel of every weight of `node`, in the weights' order.
fn input_channels(graph: &Graph, node: usize) -> Vec<usize> {
    let node = &graph.nodes[node];
    let dims = &graph.value(node.inputs[1]).shape.dims;
    let inner = dims.last().copied().unwrap_or(1);
    let outputs = dims[0];
    let row: usize = dims[1..].iter().product();
    let groups = if let Op::Conv { groups, .. } = node.op { groups } else { 1 };
    let group = |output: usize| output / (outputs / groups).max(1);
    (0..outputs * row).map(|index| group(index / row.max(1)) * inner + index % inner.max(1)).collect()
}

fn for_inputs(graph: &Graph, node: usize, mut visit: impl FnMut(usize, f32)) {
    let Some(weights) = &graph.value(graph.nodes[node].inputs[1]).constant else { return };
    for (channel, &weight) in input_channels(graph, node).into_iter().zip(&weights.data) {
        visit(channel, weight);
    }
}

fn scale_inputs(graph: &mut Graph, node: usize, factors: &[f32]) {
    let channels = input_channels(graph, node);
    let weights = graph.nodes[node].inputs[1];
    if let Some(constant) = &mut graph.value_mut(weights).constant {
        constant.data.iter_mut().zip(channels).for_each(|(weight, channel)| *weight *= factors[channel]);
    }
}

fn scale_outputs(graph: &mut Graph, constant: ValueId, factors: &[f32]) {
    if let Some(constant) = &mut graph.value_mut(constant).constant {
        let row = constant.data.len() / factors.len().max(1);
        for (row, factor) in constant.data.chunks_mut(row.max(1)).zip(factors) {
            row.iter_mut().for_each(|value| *value /= factor);
        }
    }
}
