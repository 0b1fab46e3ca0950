//! Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
//! Correction"): between two linear layers with nothing but a relu between them, a channel may be made smaller in the
//! first and larger in the second. Here the channel ranges are those that calibration saw, not the weights', because
//! weights have a scale for every channel anyway and activations have one for all.

use super::Options;
use super::statistics::Statistics;
use crate::graph::{Clip, Function, Graph, Op, ShuffleMode, ValueId};

/// Channels are never scaled further apart than this: calibration may have seen too little of a quiet channel.
const LIMIT: f32 = 16.0;

/// Changes the sizes of channels where `options` and the graph allow it, in place, in `graph` and in what was observed of it. The
/// function that the graph computes stays the same; `Origin::channel_scale` of the values between says how they differ from the
/// float model's.
pub fn equalize(graph: &mut Graph, statistics: &mut Statistics, options: &Options) {
    for first in 0..graph.nodes.len() {
        let Some(route) = options.equalize.then(|| route(graph, first)).flatten() else { continue };
        let Some(factors) = factors(graph, &route, statistics) else { continue };
        apply(graph, statistics, first, &route, &factors);
    }
    for first in 0..graph.nodes.len() {
        let Some(route) = route(graph, first) else { continue };
        let Some(factor) = part_factor(graph, &route, statistics) else { continue };
        let factors = vec![factor; route.place.len()];
        apply(graph, statistics, first, &route, &factors);
    }
}

/// From a linear layer to the one that alone reads what it gives, through functions and moves that leave each channel's factor
/// as it is.
struct Route {
    /// The reading layer.
    second: usize,
    /// The values between, each with its channel for every output channel of the first layer.
    between: Vec<(ValueId, Vec<usize>)>,
    /// The second layer's input channel for each output channel of the first.
    place: Vec<usize>,
}

fn route(graph: &Graph, first: usize) -> Option<Route> {
    let clip = match &graph.nodes[first].op {
        Op::Conv { clip, .. } | Op::Linear { clip } => *clip,
        _ => return None,
    };
    own(graph, first).filter(|()| clip == Clip::NONE || clip == RELU)?;
    let mut value = graph.nodes[first].output;
    let mut place: Vec<usize> = (0..*graph.value(value).shape.dims.last()?).collect();
    let mut between = Vec::new();
    loop {
        if graph.outputs.contains(&value) || graph.value(value).given.is_some() {
            return None;
        }
        between.push((value, place.clone()));
        let [reader] = graph.consumers(value)[..] else { return None };
        let node = &graph.nodes[reader];
        if node.inputs.iter().filter(|id| **id == value).count() != 1 {
            return None;
        }
        let channels = |id: ValueId| graph.value(id).shape.dims.last().copied().unwrap_or(0);
        match &node.op {
            Op::Conv { .. } | Op::Linear { .. } => {
                own(graph, reader)?;
                return Some(Route { second: reader, between, place });
            }
            Op::Unary(functions) if functions.iter().all(homogeneous) => {}
            Op::DepthToSpace { block, mode } => {
                let (area, depth) = (block * block, channels(node.output));
                place.iter_mut().for_each(|place| match mode {
                    ShuffleMode::Crd => *place /= area,
                    ShuffleMode::Dcr => *place %= depth,
                });
            }
            Op::Concat { axis } if axis + 1 == graph.value(value).shape.rank() => {
                let before =
                    node.inputs.iter().take_while(|id| **id != value).map(|&id| channels(id)).sum::<usize>();
                place.iter_mut().for_each(|place| *place += before);
            }
            _ => return None,
        }
        value = node.output;
    }
}

/// The range of a relu.
const RELU: Clip = Clip { min: 0.0, max: f32::INFINITY };

/// Whether a positive factor on its argument is the same factor on its value.
fn homogeneous(function: &Function) -> bool {
    matches!(function, Function::LeakyRelu { .. } | Function::Abs) || *function == Function::Clip(RELU)
}

/// Whether weights and bias of node `index` are float constants of its own.
fn own(graph: &Graph, index: usize) -> Option<()> {
    let constants = graph.nodes[index].inputs.get(1..3)?;
    let float = |id: &ValueId| {
        let constant = graph.value(*id).constant.as_ref();
        constant.is_some_and(|c| c.integers.is_none()) && graph.consumers(*id).len() == 1
    };
    constants.iter().all(float).then_some(())
}

/// Divides the channels between by `factors`, one an output channel of node `first`.
fn apply(graph: &mut Graph, statistics: &mut Statistics, first: usize, route: &Route, factors: &[f32]) {
    let [_, weights, bias] = graph.nodes[first].inputs[..] else { return };
    scale_outputs(graph, weights, factors);
    scale_outputs(graph, bias, factors);
    scale_inputs(graph, route.second, &by_place(&route.place, factors));
    for (value, place) in &route.between {
        let channels = graph.value(*value).shape.dims.last().copied().unwrap_or(1);
        let factors = by_place(place, factors);
        let factors: Vec<f32> =
            (0..channels).map(|channel| factors.get(channel).copied().unwrap_or(1.0)).collect();
        if statistics.get(*value).is_some() {
            let channels = statistics.entry(*value).channels.iter_mut();
            channels.zip(&factors).for_each(|(channel, factor)| *channel = channel.scaled(1.0 / factor));
        }
        if let Some(origin) = &mut graph.value_mut(*value).origin {
            origin.channel_scale.resize(channels, 1.0);
            origin.channel_scale.iter_mut().zip(&factors).for_each(|(scale, factor)| *scale /= factor);
        }
    }
}

/// Factors by the channels that they come to; 1 for channels of other origin.
fn by_place(place: &[usize], factors: &[f32]) -> Vec<f32> {
    let mut placed = vec![1.0; place.iter().max().map_or(0, |most| most + 1)];
    place.iter().zip(factors).for_each(|(&place, &factor)| placed[place] = factor);
    placed
}

/// What to divide each output channel of a route's first layer by.
fn factors(graph: &Graph, route: &Route, statistics: &Statistics) -> Option<Vec<f32>> {
    let (last, place) = route.between.last()?;
    let observed = statistics.get(*last)?;
    if observed.channels.len() != *graph.value(*last).shape.dims.last()? {
        return None;
    }
    // Of the channels of the first layer that come to one of the second the loudest counts: it is what was observed there.
    let activation: Vec<f32> = place.iter().map(|&place| observed.channels[place].magnitude()).collect();
    let loudest = activation.iter().copied().fold(0.0, f32::max);
    let mut all = vec![0f32; observed.channels.len()];
    for_inputs(graph, route.second, |channel, w| all[channel] = all[channel].max(w.abs()));
    let weight: Vec<f32> = place.iter().map(|&place| all[place]).collect();
    let heaviest = weight.iter().copied().fold(0.0, f32::max);
    if loudest <= 0.0 || heaviest <= 0.0 {
        return None;
    }
    // A depthwise layer's weights have a scale for every input channel too, so it costs nothing to use the whole range.
    let depthwise = depthwise(graph, route.second);
    let factor = |(&activation, &weight): (&f32, &f32)| {
        let share = activation / loudest;
        let wanted =
            if depthwise { share } else { (share * heaviest / weight.max(f32::MIN_POSITIVE)).sqrt() };
        wanted.clamp(1.0 / LIMIT, LIMIT)
    };
    Some(activation.iter().zip(&weight).map(factor).collect())
}

/// What to divide a part of a concatenation by, so that it has the size of the other parts, which share its scale: the loudest
/// of those that cannot be changed counts, or of all.
fn part_factor(graph: &Graph, route_of: &Route, statistics: &Statistics) -> Option<f32> {
    let concat = route_of.between.iter().find_map(|(value, _)| {
        let node = &graph.nodes[graph.producer(*value)?];
        matches!(node.op, Op::Concat { .. }).then_some(node)
    })?;
    let magnitude = |id: ValueId| {
        let channels = &statistics.get(id)?.channels;
        Some(channels.iter().fold(0f32, |most, channel| most.max(channel.magnitude())))
    };
    let changes = |part: ValueId| {
        (0..graph.nodes.len()).any(|maker| {
            route(graph, maker).is_some_and(|route| route.between.iter().any(|(value, _)| *value == part))
        })
    };
    let own = concat.inputs.iter().find(|id| route_of.between.iter().any(|(value, _)| value == *id))?;
    let others = concat.inputs.iter().filter(|id| *id != own);
    let fixed =
        others.clone().filter(|id| !changes(**id)).filter_map(|&id| magnitude(id)).fold(0.0, f32::max);
    let (own, others) = (magnitude(*own)?, others.filter_map(|&id| magnitude(id)).fold(0.0, f32::max));
    let wanted = if fixed > 0.0 { fixed } else { own.max(others) };
    let factor = (own > 0.0 && wanted > 0.0).then(|| (own / wanted).clamp(1.0 / LIMIT, LIMIT))?;
    (!(0.8..1.25).contains(&factor)).then_some(factor)
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
        constant
            .data
            .iter_mut()
            .zip(channels)
            .for_each(|(weight, channel)| *weight *= factors.get(channel).copied().unwrap_or(1.0));
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
