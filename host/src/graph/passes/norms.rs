//! Layer normalisation and L2 normalisation that exporters wrote out.

use super::edit;
use crate::graph::{Arithmetic, Clip, Constant, Function, Graph, Node, Op, Reduction, Shape, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len())
        .any(|index| layer_norm(graph, index) || l2_norm(graph, index) || parameters(graph, index))
}

/// Operand and axes of `id` if it is a reduction that keeps its axes.
fn reduced(graph: &Graph, id: ValueId, which: Reduction) -> Option<(ValueId, Vec<usize>)> {
    let node = &graph.nodes[graph.producer(id)?];
    let kept = graph.value(id).shape.rank() == graph.value(node.inputs[0]).shape.rank();
    match &node.op {
        Op::Reduce { reduction, axes } if *reduction == which && kept => Some((node.inputs[0], axes.clone())),
        _ => None,
    }
}

/// The mean of `x` over its last axis, if `id` is that.
fn row_mean(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let (x, axes) = reduced(graph, id, Reduction::Mean)?;
    (axes == [graph.value(x).shape.rank() - 1]).then_some(x)
}

/// (x - mean) / sqrt(variance + epsilon), as a quotient or as a product with the reciprocal.
fn layer_norm(graph: &mut Graph, index: usize) -> bool {
    let Some((x, epsilon)) = written_out(graph, index) else { return false };
    let channels = graph.value(x).shape.dims.last().copied().unwrap_or(0);
    let name = graph.nodes[index].name.clone();
    let shape = Shape::fixed(&[channels]);
    let constant = |value: f32| Constant { data: vec![value; channels], integers: None };
    let gamma = edit::add_constant(graph, &format!("{name}/gamma"), constant(1.0), shape.clone());
    let beta = edit::add_constant(graph, &format!("{name}/beta"), constant(0.0), shape);
    let node = &mut graph.nodes[index];
    (node.op, node.inputs) = (Op::LayerNorm { epsilon }, vec![x, gamma, beta]);
    true
}

fn written_out(graph: &Graph, index: usize) -> Option<(ValueId, f32)> {
    let centred_and_root = |centred: ValueId, root: ValueId, inverse: bool| {
        let (variance, functions) = edit::chain(graph, root);
        let epsilon = match (&functions[..], inverse) {
            ([Function::Affine { scale: 1.0, offset }, Function::Sqrt], false)
            | ([Function::Affine { scale: 1.0, offset }, Function::Power { exponent: 0.5 }], false)
            | ([Function::Affine { scale: 1.0, offset }, Function::Sqrt, Function::Reciprocal], true)
            | ([Function::Affine { scale: 1.0, offset }, Function::Power { exponent: -0.5 }], true) => {
                *offset
            }
            _ => return None,
        };
        let squares = row_mean(graph, variance)?;
        let (inner, functions) = edit::chain(graph, squares);
        if inner != centred || functions != [Function::Power { exponent: 2.0 }] {
            return None;
        }
        let [x, mean] = edit::operands(graph, graph.producer(centred)?, Arithmetic::Sub)?;
        (row_mean(graph, mean)? == x).then_some((x, epsilon))
    };
    if let Some([centred, root]) = edit::operands(graph, index, Arithmetic::Div) {
        return centred_and_root(centred, root, false);
    }
    let [a, b] = edit::operands(graph, index, Arithmetic::Mul)?;
    centred_and_root(a, b, true).or_else(|| centred_and_root(b, a, true))
}

/// A factor or an addend for each channel behind a LayerNorm goes into its parameters.
fn parameters(graph: &mut Graph, index: usize) -> bool {
    let Node { op: Op::Binary { op, clip: Clip::NONE }, inputs, output, .. } = graph.nodes[index].clone()
    else {
        return false;
    };
    let multiplies = match op {
        Arithmetic::Add => false,
        Arithmetic::Mul => true,
        _ => return false,
    };
    let shape = graph.value(output).shape.clone();
    let operand = |x: ValueId, c: ValueId| Some((x, edit::per_channel(graph, c, &shape)?));
    let Some((x, values)) = operand(inputs[0], inputs[1]).or_else(|| operand(inputs[1], inputs[0])) else {
        return false;
    };
    let Some(norm) = edit::private_producer(graph, x) else { return false };
    let (Op::LayerNorm { .. } | Op::GroupNorm { .. }) = graph.nodes[norm].op else { return false };
    if graph.value(x).shape != shape {
        return false;
    }
    for (slot, also) in [(1, multiplies), (2, true)] {
        if !also {
            continue;
        }
        let old = graph.value(graph.nodes[norm].inputs[slot]).clone();
        let Some(constant) = old.constant else { return false };
        let apply = |(a, b): (&f32, &f32)| if multiplies { a * b } else { a + b };
        let data = constant.data.iter().zip(&values).map(apply).collect();
        let name = format!("{}:folded", old.name.trim_end_matches(":folded"));
        let new = edit::add_constant(graph, &name, Constant { data, integers: None }, old.shape);
        graph.nodes[norm].inputs[slot] = new;
    }
    graph.nodes[norm].output = output;
    graph.nodes.remove(index);
    true
}

/// x / sqrt(sum(x^2)), with or without a lower bound of the root.
fn l2_norm(graph: &mut Graph, index: usize) -> bool {
    let Some([x, root]) = edit::operands(graph, index, Arithmetic::Div) else { return false };
    // PyTorch repeats the norm before dividing.
    let root = match graph.producer(root).map(|node| &graph.nodes[node]) {
        Some(Node { op: Op::Expand, inputs, .. }) => inputs[0],
        _ => root,
    };
    let (sum, functions) = edit::chain(graph, root);
    let epsilon = match functions[..] {
        [Function::Sqrt] => f32::MIN_POSITIVE,
        [Function::Sqrt, Function::Clip(Clip { min, max: f32::INFINITY })] if min > 0.0 => min,
        _ => return false,
    };
    let Some((squares, axes)) = reduced(graph, sum, Reduction::Sum) else { return false };
    if !squares_of(graph, squares, x) {
        return false;
    }
    let node = &mut graph.nodes[index];
    (node.op, node.inputs) = (Op::L2Norm { axes, epsilon }, vec![x]);
    true
}

/// Whether `squares` are those of `x`, taken before both were reshaped or after.
fn squares_of(graph: &Graph, squares: ValueId, x: ValueId) -> bool {
    if edit::chain(graph, squares) == (x, vec![Function::Power { exponent: 2.0 }]) {
        return true;
    }
    let unshaped = |id: ValueId| {
        let node = &graph.nodes[graph.producer(id)?];
        (node.op == Op::Reshape).then(|| node.inputs[0])
    };
    match (unshaped(squares), unshaped(x)) {
        (Some(squares), Some(before)) => squares_of(graph, squares, before),
        _ => false,
    }
}
