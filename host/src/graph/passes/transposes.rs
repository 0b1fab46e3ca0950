//! Transpositions are moved towards the outputs through everything that can work in another axis order, until they meet
//! their inverse, a matrix product whose weights absorb them, or an output.

use super::edit::{self, composed, inverse, is_identity};
use crate::graph::{Graph, Node, Op, Shape, Value, ValueId};
use crate::import::{reshape_constant, transpose_constant};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| step(graph, index))
}

/// If `id` is a transposition, in the same quantization: of what, and how.
fn source(graph: &Graph, id: ValueId) -> Option<(ValueId, Vec<usize>)> {
    let node = &graph.nodes[graph.producer(id)?];
    let same = graph.value(node.inputs[0]).given == graph.value(id).given;
    match &node.op {
        Op::Transpose { perm } if same => Some((node.inputs[0], perm.clone())),
        _ => None,
    }
}

fn step(graph: &mut Graph, index: usize) -> bool {
    let sources: Vec<_> = graph.nodes[index].inputs.iter().filter_map(|&id| source(graph, id)).collect();
    sources.into_iter().any(|(first, perm)| past(graph, index, first, perm))
}

/// Moves the transposition of `first` by `perm` past its reader `index`.
fn past(graph: &mut Graph, index: usize, first: ValueId, perm: Vec<usize>) -> bool {
    let node = graph.nodes[index].clone();
    let rank = perm.len();
    let input_rank = graph.value(node.inputs[0]).shape.rank();
    let keeps_last = perm[rank - 1] == rank - 1;
    match node.op.clone() {
        Op::Transpose { perm: second } => {
            let perm = composed(&perm, &second);
            graph.nodes[index].inputs[0] = first;
            if is_identity(&perm) && edit::bypass(graph, index) {
                return true;
            }
            graph.nodes[index].op = if is_identity(&perm) { Op::Identity } else { Op::Transpose { perm } };
            true
        }
        op @ (Op::Unary(_) | Op::Identity) => sink(graph, index, op, vec![first], &perm),
        op @ Op::Binary { .. } => match aligned(graph, index, &node.inputs, &perm) {
            Some(inputs) => sink(graph, current(graph, &node), op, inputs, &perm),
            None => false,
        },
        Op::Concat { axis } => match aligned(graph, index, &node.inputs, &perm) {
            Some(inputs) => {
                sink(graph, current(graph, &node), Op::Concat { axis: perm[axis] }, inputs, &perm)
            }
            None => false,
        },
        Op::Softmax { axis } => sink(graph, index, Op::Softmax { axis: perm[axis] }, vec![first], &perm),
        Op::L2Norm { axes, epsilon } => {
            let axes = axes.iter().map(|&axis| perm[axis]).collect();
            sink(graph, index, Op::L2Norm { axes, epsilon }, vec![first], &perm)
        }
        op @ Op::LayerNorm { .. } if keeps_last => {
            sink(graph, index, op, vec![first, node.inputs[1], node.inputs[2]], &perm)
        }
        op @ Op::Linear { .. } if keeps_last && source(graph, node.inputs[0]).is_some() => {
            sink(graph, index, op, vec![first, node.inputs[1], node.inputs[2]], &perm)
        }
        op @ Op::GroupNorm { .. } if keeps_last && perm[0] == 0 => {
            sink(graph, index, op, vec![first, node.inputs[1], node.inputs[2]], &perm)
        }
        Op::Slice { starts, steps } => {
            let op = Op::Slice { starts: back(&starts, &perm), steps: back(&steps, &perm) };
            sink(graph, index, op, vec![first], &perm)
        }
        Op::Pad { before, after, value } => {
            let op = Op::Pad { before: back(&before, &perm), after: back(&after, &perm), value };
            sink(graph, index, op, vec![first], &perm)
        }
        Op::Gather { axis, indices } => {
            sink(graph, index, Op::Gather { axis: perm[axis], indices }, vec![first], &perm)
        }
        Op::Expand if input_rank == graph.value(node.output).shape.rank() => {
            sink(graph, index, Op::Expand, vec![first], &perm)
        }
        Op::Reduce { reduction, axes } => {
            let mut moved: Vec<usize> = axes.iter().map(|&axis| perm[axis]).collect();
            moved.sort_unstable();
            let rest = if graph.value(node.output).shape.rank() == rank {
                perm.clone()
            } else {
                // Axes that stay, renumbered without those that went.
                let stay = |axis: &usize| !moved.contains(axis);
                let number = |axis: usize| axis - moved.iter().filter(|&&gone| gone < axis).count();
                perm.iter().copied().filter(stay).map(number).collect()
            };
            sink(graph, index, Op::Reduce { reduction, axes: moved }, vec![first], &rest)
        }
        Op::Reshape => reshape(graph, index, first, &perm),
        _ => false,
    }
}

/// Where `node` is now.
fn current(graph: &Graph, node: &Node) -> usize {
    graph.producer(node.output).unwrap_or_default()
}

/// Per-axis parameters of a transposed tensor for the original one.
fn back<T: Copy + Default>(parameters: &[T], perm: &[usize]) -> Vec<T> {
    let mut moved = vec![T::default(); perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        moved[from] = parameters[to];
    }
    moved
}

/// Lets node `index` do `op` on `inputs`; its former output becomes `perm` of the new one.
fn sink(graph: &mut Graph, index: usize, op: Op, inputs: Vec<ValueId>, perm: &[usize]) -> bool {
    let output = graph.nodes[index].output;
    let value = graph.value(output).clone();
    let undo = inverse(perm);
    let shape = value.shape.transposed(&undo);
    let origin = edit::origin_transposed(&value.origin, &value.shape, &undo);
    let name = edit::fresh(graph, &format!("{}:t", value.name.trim_end_matches(":t")));
    let moved = graph.add(Value { name, shape, origin, given: value.given, constant: None });
    let node = &mut graph.nodes[index];
    (node.op, node.inputs, node.output) = (op, inputs, moved);
    let name = format!("{}/transpose", node.name.trim_end_matches("/transpose"));
    let back = Node { name, op: Op::Transpose { perm: perm.to_vec() }, inputs: vec![moved], output };
    graph.nodes.insert(index + 1, back);
    true
}

/// All `inputs` in the axis order before `perm`: transpositions by it are undone, constants rearranged, and tensors that
/// have one dimension that is not 1 are reshaped, and one that something turns already is taken from there. The latter only
/// where the transpositions that are undone vanish by it: otherwise they could come back by the same way, for ever.
fn aligned(graph: &mut Graph, index: usize, inputs: &[ValueId], perm: &[usize]) -> Option<Vec<ValueId>> {
    enum How {
        As(ValueId),
        Constant,
        Reshape,
    }
    let undo = inverse(perm);
    let turned_back: Vec<ValueId> = inputs
        .iter()
        .copied()
        .filter(|&id| source(graph, id).is_some_and(|(_, same)| same == perm))
        .collect();
    let vanish = turned_back.iter().all(|&id| graph.consumers(id) == [index] && !graph.outputs.contains(&id));
    let mut plan = Vec::new();
    for &id in inputs {
        let value = graph.value(id);
        plan.push(match source(graph, id) {
            Some((first, same)) if same == perm => How::As(first),
            _ if value.constant.is_some() && value.shape.rank() <= perm.len() => How::Constant,
            _ if value.shape.rank() != perm.len() => return None,
            _ if value.shape.dims.iter().filter(|&&size| size != 1).count() <= 1 => How::Reshape,
            _ if !vanish => return None,
            _ => {
                let turned = Op::Transpose { perm: undo.clone() };
                let known =
                    graph.nodes[..index].iter().find(|node| node.op == turned && node.inputs[0] == id)?;
                How::As(known.output)
            }
        });
    }
    let broadcasts = matches!(graph.nodes[index].op, Op::Binary { .. });
    let mut aligned = Vec::new();
    let mut at = index;
    for (how, &id) in plan.iter().zip(inputs) {
        aligned.push(match how {
            How::As(id) => *id,
            How::Constant => turned_constant(graph, id, &undo, broadcasts),
            How::Reshape => {
                let value = graph.value(id).clone();
                let shape = value.shape.transposed(&undo);
                let turned =
                    edit::insert(graph, at, &format!("{}:t", value.name), Op::Reshape, vec![id], shape);
                at += 1;
                graph.value_mut(turned).given = value.given;
                graph.value_mut(turned).origin = edit::origin_transposed(&value.origin, &value.shape, &undo);
                turned
            }
        });
    }
    Some(aligned)
}

/// A constant operand, aligned by its last axes, with its axes moved by `undo`. Where it broadcasts, leading dimensions of
/// 1 are dropped.
pub(crate) fn turned_constant(graph: &mut Graph, id: ValueId, undo: &[usize], broadcasts: bool) -> ValueId {
    let value = graph.value(id).clone();
    let Some(constant) = value.constant else { return id };
    let mut shape = value.shape.clone();
    while shape.rank() < undo.len() {
        shape = shape.inserted(0, 1);
    }
    let constant = reshape_constant(&constant, &value.shape.dims, &shape.dims);
    let constant = transpose_constant(&constant, &shape.dims, undo);
    let full = shape.transposed(undo);
    let mut shape = full.clone();
    while broadcasts && shape.rank() > 1 && shape.dims[0] == 1 && !shape.is_dynamic(0) {
        shape = shape.transposed(&(1..shape.rank()).collect::<Vec<_>>());
    }
    let constant = reshape_constant(&constant, &full.dims, &shape.dims);
    edit::add_constant(graph, &format!("{}:t", value.name), constant, shape)
}

/// A Reshape of a transposition: done before it where axes that are joined or split lie together, or absorbed by the
/// weights of the Linear that reads it.
fn reshape(graph: &mut Graph, index: usize, first: ValueId, perm: &[usize]) -> bool {
    let output = graph.nodes[index].output;
    let (from, to) = (graph.value(first).shape.clone(), graph.value(output).shape.clone());
    if let Some(rest) = through_reshape(&from, perm, &to) {
        return sink(graph, index, Op::Reshape, vec![first], &rest);
    }
    // Flattened rows into a Linear.
    let columns = to.dims.last().copied().unwrap_or(0);
    let rows_first = perm[0] == 0 && from.dims[0] == to.elements() / columns.max(1);
    let Some(reader) = edit::only_reader(graph, output).filter(|_| rows_first && from.dynamic == 0) else {
        return false;
    };
    if !matches!(graph.nodes[reader].op, Op::Linear { .. }) {
        return false;
    }
    let weights = graph.value(graph.nodes[reader].inputs[1]).clone();
    let Some(constant) = weights.constant else { return false };
    // Columns are in transposed order: O, y1, y2, .. become O, x1, x2, ..
    let turned: Vec<usize> = perm[1..].iter().map(|&axis| from.dims[axis]).collect();
    let split = [&[weights.shape.dims[0]], turned.as_slice()].concat();
    let mut undo = inverse(perm);
    undo[0] = 0;
    let constant = reshape_constant(&constant, &weights.shape.dims, &split);
    let constant = transpose_constant(&constant, &split, &undo);
    let moved: Vec<usize> = undo.iter().map(|&axis| split[axis]).collect();
    let constant = reshape_constant(&constant, &moved, &weights.shape.dims);
    let weights = edit::add_constant(graph, &format!("{}:t", weights.name), constant, weights.shape);
    graph.nodes[reader].inputs[1] = weights;
    let origin = graph.value(first).origin.clone();
    graph.nodes[index].inputs[0] = first;
    graph.value_mut(output).origin = origin;
    true
}

/// If reshaping `from` transposed by `perm` to `to` can be done before the transposition: the transposition after it.
fn through_reshape(from: &Shape, perm: &[usize], to: &Shape) -> Option<Vec<usize>> {
    // Groups of axes with the same number of elements on both sides; sizes of 1 on the left belong to no group.
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let mut left = perm.iter().copied().filter(|&axis| from.dims[axis] != 1).peekable();
    let mut right = (0..to.rank()).peekable();
    while left.peek().is_some() {
        let mut group = (vec![left.next()?], Vec::new());
        let (mut a, mut b) = (from.dims[group.0[0]], 1);
        while a != b {
            if b < a {
                let axis = right.next()?;
                b *= to.dims[axis];
                group.1.push(axis);
            } else {
                let axis = left.next()?;
                a *= from.dims[axis];
                group.0.push(axis);
            }
        }
        groups.push(group);
    }
    // What is left on the right are sizes of 1.
    let rest: Vec<usize> = right.collect();
    groups.last_mut()?.1.extend(rest);
    // Joined axes must lie together, in order, in the tensor that is not yet transposed.
    let real: Vec<usize> = (0..from.rank()).filter(|&axis| from.dims[axis] != 1).collect();
    let place = |axis: &usize| real.iter().position(|other| other == axis);
    for (axes, _) in &groups {
        let places: Vec<usize> = axes.iter().filter_map(place).collect();
        if !places.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return None;
        }
    }
    let mut order: Vec<&(Vec<usize>, Vec<usize>)> = groups.iter().collect();
    order.sort_by_key(|group| group.0[0]);
    let mut result = vec![0; to.rank()];
    for (position, &axis) in order.iter().flat_map(|group| &group.1).enumerate() {
        result[axis] = position;
    }
    Some(result)
}
