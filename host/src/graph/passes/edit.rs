//! Small edits that passes share.

use crate::graph::{Arithmetic, Clip, Constant, Function, Graph, Node, Op, Origin, Shape, Value, ValueId};

/// The node that alone reads `id`, if the value is neither an output nor quantized by the model: then it may vanish.
pub fn only_reader(graph: &Graph, id: ValueId) -> Option<usize> {
    if graph.outputs.contains(&id) || graph.value(id).given.is_some() {
        return None;
    }
    match graph.consumers(id)[..] {
        [reader] => Some(reader),
        _ => None,
    }
}

/// The node that computes `id`, if nothing but one node needs the value (see [`only_reader`]).
pub fn private_producer(graph: &Graph, id: ValueId) -> Option<usize> {
    only_reader(graph, id)?;
    graph.producer(id)
}

/// Elements of `id` if it is a constant.
pub fn constant(graph: &Graph, id: ValueId) -> Option<&Constant> {
    graph.value(id).constant.as_ref()
}

/// A name that no value has.
pub fn fresh(graph: &Graph, name: &str) -> String {
    let taken = |name: &str| graph.values.iter().any(|value| value.name == name);
    if !taken(name) {
        return name.to_owned();
    }
    (2..).map(|count| format!("{name}#{count}")).find(|name| !taken(name)).unwrap_or_default()
}

/// Adds a constant value of `shape`.
pub fn add_constant(graph: &mut Graph, name: &str, constant: Constant, shape: Shape) -> ValueId {
    let name = fresh(graph, name);
    graph.add(Value { name, shape, constant: Some(constant), ..Value::default() })
}

/// Removes node `index`, which passes its first input on unchanged. Returns false if it has to stay: an input cannot be
/// an output, and a value has one quantization.
pub fn bypass(graph: &mut Graph, index: usize) -> bool {
    let (from, to) = (graph.nodes[index].inputs[0], graph.nodes[index].output);
    let (source, target) = (graph.value(from), graph.value(to));
    let clash = source.given.is_some() && target.given.is_some() && source.given != target.given;
    let is_output = graph.outputs.contains(&to);
    let taken = graph.inputs.contains(&from) || graph.outputs.contains(&from) || source.constant.is_some();
    if clash || is_output && taken || source.shape != target.shape {
        return false;
    }
    if is_output {
        // The interface is by name.
        let name = target.name.clone();
        let old = std::mem::replace(&mut graph.value_mut(from).name, name);
        graph.value_mut(to).name = old;
    }
    let given = graph.value(to).given;
    let origin = graph.value(to).origin.clone();
    let source = graph.value_mut(from);
    source.given = source.given.or(given);
    source.origin = source.origin.take().or(origin);
    graph.nodes.remove(index);
    graph.replace_uses(to, from);
    true
}

/// Puts a new value and the node that computes it in front of node `index`.
pub fn insert(
    graph: &mut Graph,
    index: usize,
    name: &str,
    op: Op,
    inputs: Vec<ValueId>,
    shape: Shape,
) -> ValueId {
    let name = fresh(graph, name);
    let output = graph.add(Value { name: name.clone(), shape, ..Value::default() });
    graph.nodes.insert(index, Node { name, op, inputs, output });
    output
}

/// The permutation that undoes `perm`.
pub fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

/// `first`, then `second`.
pub fn composed(first: &[usize], second: &[usize]) -> Vec<usize> {
    second.iter().map(|&axis| first[axis]).collect()
}

/// Whether `perm` keeps every axis.
pub fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(to, &from)| to == from)
}

/// Where a value is found that is `perm` of a value of `shape` found at `origin`; none if that is no transposition of
/// the ONNX tensor.
pub fn origin_transposed(origin: &Option<Origin>, shape: &Shape, perm: &[usize]) -> Option<Origin> {
    let origin = origin.as_ref()?;
    let moved: Vec<usize> = perm.iter().copied().filter(|&axis| shape.dims[axis] != 1).collect();
    if moved.is_sorted() {
        return Some(origin.clone());
    }
    if !origin.channel_scale.is_empty() || !origin.channels.is_empty() {
        return None;
    }
    let rank = shape.rank();
    let own: Vec<usize> = if origin.perm.is_empty() { (0..rank).collect() } else { origin.perm.clone() };
    if own.len() == rank {
        return Some(Origin { perm: composed(&own, perm), ..origin.clone() });
    }
    // The ranks differ by a batch of 1 and dimensions of 1 that were put in: match what is left.
    let kept: Vec<usize> = (0..rank).filter(|&axis| shape.dims[axis] != 1).collect();
    let (first, rest) = own.split_first()?;
    if *first != 0 || rest.len() != kept.len() {
        return None;
    }
    let moved = moved.iter().filter_map(|axis| kept.iter().position(|kept| kept == axis)).map(|at| rest[at]);
    Some(Origin { perm: std::iter::once(0).chain(moved).collect(), ..origin.clone() })
}

/// Functions that node `index` applies, if it is a Unary.
pub fn functions(graph: &Graph, index: usize) -> Option<&[Function]> {
    match &graph.nodes[index].op {
        Op::Unary(functions) => Some(functions),
        _ => None,
    }
}

/// A value as a chain of functions of another: itself, or what the Unary that computes it does.
pub fn chain(graph: &Graph, id: ValueId) -> (ValueId, Vec<Function>) {
    match graph.producer(id) {
        Some(node) if graph.value(id).given.is_none() => match functions(graph, node) {
            Some(functions) => (graph.nodes[node].inputs[0], functions.to_vec()),
            None => (id, vec![]),
        },
        _ => (id, vec![]),
    }
}

/// Operands of node `index` if it is this arithmetic, without limits.
pub fn operands(graph: &Graph, index: usize, arithmetic: Arithmetic) -> Option<[ValueId; 2]> {
    match &graph.nodes[index].op {
        Op::Binary { op, clip } if *op == arithmetic && *clip == Clip::NONE => {
            Some([graph.nodes[index].inputs[0], graph.nodes[index].inputs[1]])
        }
        _ => None,
    }
}

/// Whether two constants of a formula are the same within float rounding.
pub fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 2e-5 * b.abs().max(1e-3)
}

/// Whether the constant `id` is one value for each index of the last axis of `shape`, or one value for all.
/// Returns the values, as many as that axis.
pub fn per_channel(graph: &Graph, id: ValueId, shape: &Shape) -> Option<Vec<f32>> {
    let data = &constant(graph, id)?.data;
    let channels = *shape.dims.last()?;
    if let [value] = data[..] {
        return Some(vec![value; channels]);
    }
    let fits = data.len() == channels && graph.value(id).shape.dims.last() == Some(&channels);
    fits.then(|| data.clone())
}
