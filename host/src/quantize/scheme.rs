//! Which values share a quantization, and which one it is.

use std::collections::BTreeMap;

use mixel_core::plan::DType;

use super::range::{Range, dequantize_value};
use super::statistics::{Observed, Statistics};
use super::{Activations, Calibration, Note, Options, Weights};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Arithmetic, Function, Graph, Node, Op, Pooling, Quantization, Reduction, ValueId};
use crate::lower::function;

/// Sets of values that have one quantization, because operators between them only move integers.
pub(super) struct Groups {
    parent: Vec<usize>,
    /// At a set's representative: what the model states for one of its values.
    given: Vec<Option<Quantization>>,
    /// At a set's representative: what was seen of its values.
    range: Vec<Option<Range>>,
}

impl Groups {
    pub(super) fn new(graph: &Graph, statistics: Option<&Statistics>, options: &Options) -> Self {
        let pictures = statistics.and_then(|_| super::pixels::pictures(graph));
        let seen = |index: usize| {
            let id = ValueId(index);
            let known = pictures.as_ref().filter(|(_, pictures)| pictures.contains(&id));
            known.map(|(range, _)| *range).or_else(|| observed_range(graph, id, statistics, options))
        };
        let mut groups = Self {
            parent: (0..graph.values.len()).collect(),
            given: graph.values.iter().map(|value| value.given).collect(),
            range: (0..graph.values.len()).map(seen).collect(),
        };
        for node in &graph.nodes {
            if moves_integers(&node.op) {
                groups.join(node.inputs[0], node.output);
            }
        }
        for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::Concat { .. })) {
            // A whole that the float model does not have, and so nobody saw, is what its parts are.
            let whole = groups.root(node.output);
            if groups.range[whole].is_none() {
                let parts = node.inputs.iter().filter_map(|&part| groups.range[groups.root(part)]);
                groups.range[whole] = parts.reduce(Range::hull);
            }
            for &input in &node.inputs {
                // What nothing else reads may as well be made in the steps of the whole.
                let own = graph.consumers(input).len() == 1 && !graph.outputs.contains(&input);
                let least = if own { 0.15 } else { 0.5 };
                groups.join_if_alike(input, node.output, least);
            }
        }
        // A run begins with the integers that the one before left.
        for state in &graph.states {
            groups.join(state.input, graph.outputs[state.output]);
            groups.join(state.input, state.initial);
        }
        groups.share_tables(graph);
        groups
    }

    pub(super) fn root(&self, id: ValueId) -> usize {
        let mut at = id.0;
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    /// Makes two values share, unless the model states different quantizations for them: then lowering rescales.
    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.root(a), self.root(b));
        let conflict = matches!((self.given[a], self.given[b]), (Some(x), Some(y)) if x != y);
        if a == b || conflict {
            return;
        }
        self.parent[b] = a;
        self.given[a] = self.given[a].or(self.given[b]);
        self.range[a] = match (self.range[a], self.range[b]) {
            (Some(x), Some(y)) => Some(x.hull(y)),
            (x, y) => x.or(y),
        };
    }

    /// Lets equal functions of nearly equal ranges have one table: 256 bytes of a small model's flash each.
    fn share_tables(&mut self, graph: &Graph) {
        let tables = |node: &&Node| matches!(node.op, Op::Unary(_));
        let nodes: Vec<&Node> = graph.nodes.iter().filter(tables).collect();
        for (index, node) in nodes.iter().enumerate() {
            let close = |earlier: &&&Node| {
                earlier.op == node.op
                    && self.close(earlier.inputs[0], node.inputs[0])
                    && self.close(earlier.output, node.output)
            };
            if let Some(&earlier) = nodes[..index].iter().find(close) {
                self.join(earlier.inputs[0], node.inputs[0]);
                self.join(earlier.output, node.output);
            }
        }
    }

    /// Whether one quantization for both costs neither more than a quarter of its resolution, and none is stated.
    fn close(&self, a: ValueId, b: ValueId) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        let (Some(x), Some(y)) = (self.range[a], self.range[b]) else { return false };
        let hull = x.hull(y);
        let widths = [x, y].map(|range| range.max - range.min);
        let free = self.given[a].is_none() && self.given[b].is_none();
        free && widths.iter().all(|width| hull.max - hull.min <= 1.25 * width)
    }

    /// Lets a concatenated part share with the whole, unless its range is less than the share `least` of the whole's.
    fn join_if_alike(&mut self, part: ValueId, whole: ValueId, least: f32) {
        let (p, w) = (self.root(part), self.root(whole));
        let alike = match (self.range[p], self.range[w]) {
            (Some(part), Some(whole)) => {
                let hull = part.hull(whole);
                part.max - part.min >= least * (hull.max - hull.min)
            }
            _ => true,
        };
        let stated = self.given[p].is_some() || self.given[w].is_some();
        if alike || stated {
            self.join(part, whole);
        }
    }
}

/// Whether the output's integers are some of the input's, unchanged.
pub(super) fn moves_integers(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Gather { .. }
            | Op::Expand
            | Op::DepthToSpace { .. }
            | Op::SpaceToDepth { .. }
            | Op::Resize { .. }
            | Op::Reduce { reduction: Reduction::Max, .. }
            | Op::Pool { pooling: Pooling::Max, .. }
    )
}

/// The range that calibration chose for `id`, or that a constant has.
pub(super) fn observed_range(
    graph: &Graph,
    id: ValueId,
    statistics: Option<&Statistics>,
    options: &Options,
) -> Option<Range> {
    let value = graph.value(id);
    let range = match (&value.constant, statistics.and_then(|statistics| statistics.get(id))) {
        (Some(constant), _) => Range::of(&constant.data),
        (None, Some(observed)) => chosen_range(observed, options.calibration),
        (None, None) => return None,
    };
    let fill = graph.nodes.iter().find(|node| node.output == id).and_then(|node| match node.op {
        Op::Pad { value, .. } if value.is_finite() => Some(value),
        _ => None,
    });
    Some(fill.map_or(range, |fill| range.hull(Range::new(fill, fill))))
}

fn chosen_range(observed: &Observed, calibration: Calibration) -> Range {
    match (calibration, &observed.histogram) {
        (Calibration::Percentile(kept), Some(histogram)) => histogram.percentile(kept),
        (Calibration::Mse, Some(histogram)) => histogram.least_error(),
        _ => observed.range(),
    }
}

/// The quantization of every activation, by value, none for weights and plain integers; and what is worth knowing of it.
pub(super) fn assign(
    graph: &Graph,
    statistics: Option<&Statistics>,
    options: &Options,
    weights: &BTreeMap<ValueId, Weights>,
) -> Result<(Vec<Option<Quantization>>, Vec<Note>)> {
    let groups = Groups::new(graph, statistics, options);
    let mut chosen: Vec<Option<Quantization>> = vec![None; graph.values.len()];
    let uses = activations(graph);
    // What is stated comes first, then what an operator's definition fixes, then what was seen.
    for &id in &uses {
        let root = groups.root(id);
        chosen[root] = chosen[root].or(groups.given[root]);
    }
    for node in &graph.nodes {
        let root = groups.root(node.output);
        chosen[root] = chosen[root].or(fixed(&node.op));
    }
    let (wide, notes) = wide_groups(graph, &groups, statistics, options, weights);
    let seen = |id: ValueId| observed_range(graph, id, statistics, options);
    share_leaky_tables(graph, &groups, &seen, &wide, &mut chosen);
    for &id in &uses {
        let root = groups.root(id);
        let dtype = if wide.contains(&root) { DType::I16 } else { DType::I8 };
        let seen = groups.range[root].map(|range| range.quantization(dtype));
        chosen[root] = chosen[root].or(seen);
    }
    for &id in graph.inputs.iter().filter(|id| uses.contains(id)) {
        if chosen[groups.root(id)].is_none() {
            return Err(missing(graph, &graph.value(id).name));
        }
    }
    for node in &graph.nodes {
        let root = groups.root(node.output);
        if chosen[root].is_none() {
            let input = node.inputs.first().and_then(|id| chosen[groups.root(*id)]);
            chosen[root] = input.and_then(|input| {
                let bounded = || statistics.and_then(|_| bounded(graph, node, &input));
                derived(&node.op, &input).or_else(bounded)
            });
        }
        if chosen[root].is_none() {
            return Err(missing(graph, &node.name));
        }
    }
    let mut result = vec![None; graph.values.len()];
    for &id in &uses {
        result[id.0] = chosen[groups.root(id)];
    }
    Ok((result, notes))
}

/// How much wider than what was seen a range may be so that tables are shared: half a bit.
const WIDER: f32 = 1.42;

/// Gives leaky relus of one slope the same table, 256 bytes each otherwise: their input is symmetric, and their output has that
/// range's image. A table then depends on the slope alone, whatever the scale. Where ranges are far from that, nothing is chosen.
fn share_leaky_tables(
    graph: &Graph,
    groups: &Groups,
    seen: &dyn Fn(ValueId) -> Option<Range>,
    wide: &[usize],
    chosen: &mut [Option<Quantization>],
) {
    // Every part of a concatenation counts on its own.
    let inputs = |id: ValueId| match graph.producer(id).map(|node| &graph.nodes[node]) {
        Some(Node { op: Op::Concat { .. }, inputs, .. }) => inputs.iter().map(|&part| seen(part)).collect(),
        _ => vec![groups.range[groups.root(id)]],
    };
    let leaky = |node: &&Node| matches!(&node.op, Op::Unary(functions) if matches!(functions[..], [Function::LeakyRelu { .. }]));
    let nodes: Vec<&Node> = graph.nodes.iter().filter(leaky).collect();
    for node in &nodes {
        let Op::Unary(functions) = &node.op else { continue };
        let [Function::LeakyRelu { alpha }] = functions[..] else { continue };
        let output = groups.root(node.output);
        // All that write this set of values, into one concatenation say.
        let peers: Vec<&&Node> =
            nodes.iter().filter(|peer| groups.root(peer.output) == output && peer.op == node.op).collect();
        let roots: Vec<usize> = peers.iter().map(|peer| groups.root(peer.inputs[0])).collect();
        let free =
            |root: usize| chosen[root].is_none() && groups.given[root].is_none() && !wide.contains(&root);
        if !(0.0..1.0).contains(&alpha)
            || !free(output)
            || !roots.iter().all(|&root| root != output && free(root))
        {
            continue;
        }
        let ranges: Option<Vec<Range>> = peers.iter().flat_map(|peer| inputs(peer.inputs[0])).collect();
        let (Some(ranges), Some(made)) = (ranges, groups.range[output]) else { continue };
        // Whatever else shares the values must not be cut off, and what is narrower than all of it does not fit.
        let shared = roots.iter().filter_map(|&root| groups.range[root]);
        let most = shared.chain(ranges.iter().copied());
        let most = most.fold(made.max, |most, range| most.max(range.max).max(-range.min));
        let most = if alpha > 0.0 { most.max(-made.min / alpha) } else { most };
        let fits = |width: f32, range: &Range| width <= WIDER * (range.max - range.min);
        if most <= 0.0
            || !ranges.iter().all(|range| fits(2.0 * most, range))
            || !fits((1.0 + alpha) * most, &made)
        {
            continue;
        }
        let symmetric = Quantization { scale: most / 127.0, zero_point: 0, dtype: DType::I8 };
        roots.iter().for_each(|&root| chosen[root] = Some(symmetric));
        let zero_point = -128 + (alpha * 254.0 / (1.0 + alpha)).ceil() as i32;
        chosen[output] =
            Some(Quantization { scale: most * (1.0 + alpha) / 254.0, zero_point, dtype: DType::I8 });
    }
}

/// Values that hold quantized activations, constant operands included, weights and fingerprint bins not.
fn activations(graph: &Graph) -> Vec<ValueId> {
    let mut uses: Vec<ValueId> = graph.nodes.iter().flat_map(activation_inputs).collect();
    uses.extend(graph.nodes.iter().map(|node| node.output));
    uses.extend(graph.outputs.iter().copied());
    uses.extend(graph.states.iter().flat_map(|state| [state.input, state.initial]));
    uses.sort_unstable();
    uses.dedup();
    uses
}

/// The inputs of `node` that are activations.
fn activation_inputs(node: &Node) -> Vec<ValueId> {
    let count = match node.op {
        Op::Binary { .. } | Op::MatMul { .. } | Op::ChannelAttention => 2,
        Op::Concat { .. } | Op::Sum3 { .. } => node.inputs.len(),
        Op::Projection => 0,
        _ => 1,
    };
    node.inputs.iter().copied().take(count).collect()
}

/// Outputs whose range is known without data.
fn fixed(op: &Op) -> Option<Quantization> {
    match op {
        Op::Softmax { .. } | Op::ChannelAttention => {
            Some(Quantization { scale: 1.0 / 256.0, zero_point: -128, dtype: DType::I8 })
        }
        Op::L2Norm { .. } => Some(Quantization { scale: 1.0 / 128.0, zero_point: 0, dtype: DType::I8 }),
        _ => None,
    }
}

/// Output quantizations that follow from the input's without loss worth naming.
fn derived(op: &Op, input: &Quantization) -> Option<Quantization> {
    match op {
        Op::Identity
        | Op::Pool { .. }
        | Op::Concat { .. }
        | Op::Reduce { reduction: Reduction::Mean, .. } => Some(*input),
        Op::Unary(functions) if input.dtype == DType::I8 => {
            let results = (-128..=127).map(|q| function::chain(functions, dequantize_value(q, input)));
            let results: Vec<f32> = results.filter(|y| y.is_finite()).map(|y| y as f32).collect();
            Some(Range::of(&results).quantization(DType::I8))
        }
        _ => None,
    }
}

/// The output quantization of arithmetic with a constant, from the largest values that the input can have: for steps of an
/// operator that the float model has as one, a batch normalisation say, so that they were not observed.
fn bounded(graph: &Graph, node: &Node, input: &Quantization) -> Option<Quantization> {
    let (Op::Binary { op, clip }, [_, constant]) = (&node.op, &node.inputs[..]) else { return None };
    let constant = graph.value(*constant).constant.as_ref()?;
    let ends = Range::representable(input);
    let result = |x: f32, c: f32| match op {
        Arithmetic::Add => x + c,
        Arithmetic::Sub => x - c,
        Arithmetic::Mul => x * c,
        Arithmetic::Div => x / c,
    };
    let results = constant.data.iter().flat_map(|&c| [ends.min, ends.max].map(|x| result(x, c)));
    let results: Vec<f32> =
        results.map(|y| y.max(clip.min).min(clip.max)).filter(|y| y.is_finite()).collect();
    Some(Range::of(&results).quantization(input.dtype))
}

/// Sets whose values are to have 16 bits: all, or those where eight bits are predicted to be too noisy; but not what
/// layers read whose sums would then not fit in 32 bits.
fn wide_groups(
    graph: &Graph,
    groups: &Groups,
    statistics: Option<&Statistics>,
    options: &Options,
    weights: &BTreeMap<ValueId, Weights>,
) -> (Vec<usize>, Vec<Note>) {
    let mut notes = Vec::new();
    let mut note = |path: &str, message: String| notes.push(Note { path: path.to_owned(), message });
    let mut wide = Vec::new();
    for id in activations(graph) {
        let root = groups.root(id);
        let predicted = predicted_sqnr(id, groups, statistics);
        match options.activations {
            Activations::Int8 => {}
            Activations::Int16 => wide.push(root),
            Activations::Auto => {
                if let Some(db) = predicted.filter(|db| *db < options.least_sqnr_db) {
                    wide.push(root);
                    note(
                        &graph.value(id).name,
                        format!("16 bits: with 8 the signal is {db:.1} dB above noise"),
                    );
                }
            }
        }
    }
    for node in &graph.nodes {
        let inputs: Vec<usize> = activation_inputs(node).iter().map(|id| groups.root(*id)).collect();
        let asked = wide.iter().any(|set| inputs.contains(set));
        let weights = node.inputs.get(1).and_then(|id| weights.get(id));
        if asked && !crate::lower::takes_16_bits(node, weights) {
            wide.retain(|set| !inputs.contains(set));
            note(&node.name, "its inputs keep 8 bits: with 16 its sums could exceed 32 bits".to_owned());
        }
    }
    (wide, notes)
}

/// Predicted signal to noise of `id` with eight bits, if it was observed.
fn predicted_sqnr(id: ValueId, groups: &Groups, statistics: Option<&Statistics>) -> Option<f64> {
    let observed = statistics?.get(id)?;
    let range = groups.range[groups.root(id)]?;
    // Nothing but zeros, or nothing seen: eight bits have no noise.
    let stated = groups.given[groups.root(id)].is_some() || observed.power() == 0.0;
    (!stated).then(|| predicted_sqnr_db(observed.power(), &range.quantization(DType::I8)))
}

/// Signal to rounding noise in decibels of a signal of mean square `power`: noise is `scale^2 / 12`.
pub fn predicted_sqnr_db(power: f64, quantization: &Quantization) -> f64 {
    10.0 * (power / ((quantization.scale as f64).powi(2) / 12.0)).max(1e-30).log10()
}

fn missing(graph: &Graph, path: &str) -> Error {
    if graph.values.iter().any(|value| value.given.is_some()) {
        return Error::new(ErrorKind::Quantization, path, "the model states no quantization for this tensor")
            .hint("quantize all activations in the exporter, or give calibration inputs (--calib FILE.npz)");
    }
    Error::new(ErrorKind::Calibration, path, "a float model needs calibration inputs, and there are none for this tensor")
        .hint("--calib FILE.npz with arrays by input name and a leading sample axis, or --calib random for a rough try")
}
