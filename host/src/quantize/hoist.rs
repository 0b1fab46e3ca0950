//! A function of all parts of a concatenation is that function of the whole: one table instead of one a part, in place, and
//! convolutions can make the parts where they belong.
//!
//! What goes into the function has one quantization then. So this is for parts of about one range, which calibration tells, or
//! of one quantization that the model states.

use super::forms::{WeightForm, rule_of};
use super::range::Range;
use super::{Options, Statistics, scheme};
use crate::graph::passes::edit;
use crate::graph::{Graph, Node, Op, ValueId};

/// The least share of the common range that a part's own range has: one bit.
const LEAST: f32 = 0.5;

/// Moves functions behind the concatenations along the last axis whose parts they make.
pub(super) fn functions(graph: &mut Graph, statistics: Option<&Statistics>, options: &Options) {
    while (0..graph.nodes.len()).any(|index| hoist(graph, index, statistics, options).is_some()) {}
}

/// What a function makes for a concatenation, and what it makes it of.
struct Branch {
    node: usize,
    input: ValueId,
    output: ValueId,
}

impl Branch {
    /// A function of a layer's outputs; nothing else needs these or the results, and there is a kernel for the layer as a part.
    fn of(graph: &Graph, output: ValueId, options: &Options) -> Option<Self> {
        let private = |id: ValueId| graph.consumers(id).len() == 1 && !graph.outputs.contains(&id);
        let node = graph.producer(output)?;
        let Node { op: Op::Unary(_), inputs, .. } = &graph.nodes[node] else { return None };
        let input = inputs[0];
        let layer = &graph.nodes[graph.producer(input)?];
        let makes_parts = match layer.op {
            Op::Linear { .. } => true,
            // One with a group for each channel has another kernel.
            Op::Conv { groups, .. } => groups == 1 || graph.value(layer.inputs[1]).shape.dims[3] > 1,
            _ => false,
        };
        let whole_bytes = rule_of(&options.weights, layer).form == WeightForm::Int8;
        (makes_parts && whole_bytes && private(input) && private(output)).then_some(Self {
            node,
            input,
            output,
        })
    }
}

/// The concatenation at `index`; none if it stays as it is.
fn hoist(graph: &mut Graph, index: usize, statistics: Option<&Statistics>, options: &Options) -> Option<()> {
    let Node { op: Op::Concat { axis }, inputs, output: whole, .. } = &graph.nodes[index] else {
        return None;
    };
    let (axis, whole) = (*axis, *whole);
    let parts: Vec<Branch> =
        inputs.iter().map(|&part| Branch::of(graph, part, options)).collect::<Option<_>>()?;
    let first = &graph.nodes[parts.first()?.node];
    let (function, name) = (first.op.clone(), first.name.clone());
    let same = parts.iter().all(|part| graph.nodes[part.node].op == function);
    let once = (1..parts.len()).all(|at| parts[..at].iter().all(|other| other.node != parts[at].node));
    let shape = graph.value(whole).shape.clone();
    let given = graph.value(parts[0].input).given;
    let stated = graph.value(whole).given;
    let agree = parts
        .iter()
        .all(|part| graph.value(part.input).given == given && graph.value(part.output).given == stated);
    let ranges = || parts.iter().map(|part| scheme::observed_range(graph, part.input, statistics, options));
    if axis + 1 != shape.rank()
        || shape.dynamic != 0
        || !same
        || !once
        || !agree
        || given.is_none() && !alike(ranges().collect::<Option<_>>()?)
    {
        return None;
    }
    let concatenation = graph.nodes[index].name.clone();
    let inputs = parts.iter().map(|part| part.input).collect();
    let joined =
        edit::insert(graph, index, &format!("{concatenation}/parts"), Op::Concat { axis }, inputs, shape);
    graph.value_mut(joined).given = given;
    graph.nodes[index].name = concatenation;
    graph.nodes[index + 1] = Node { name, op: function, inputs: vec![joined], output: whole };
    graph.nodes.retain(|node| parts.iter().all(|part| part.output != node.output));
    Some(())
}

/// Whether one quantization for all of these costs none more than [`LEAST`] says.
fn alike(ranges: Vec<Range>) -> bool {
    let Some(hull) = ranges.iter().copied().reduce(Range::hull) else { return false };
    ranges.iter().all(|range| range.max - range.min >= LEAST * (hull.max - hull.min))
}
