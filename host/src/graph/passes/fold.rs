//! Factors and addends for each channel become part of the weights and the bias of a neighbouring Conv or Linear: batch
//! normalisation, biases written as an Add, scaled or shifted inputs.

use super::edit;
use crate::graph::{Arithmetic, Clip, Constant, Function, Graph, Op, Shape, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| behind(graph, index) || in_front(graph, index))
}

/// `y[c] = factor[c] * x[c] + addend[c]` with its data operand, if node `index` is or begins with that.
struct Affine {
    x: ValueId,
    factors: Vec<f32>,
    addends: Vec<f32>,
    /// The addend as a constant of its own, when the factors are 1.
    addend: Option<ValueId>,
    clip: Clip,
}

fn affine(graph: &Graph, index: usize) -> Option<Affine> {
    let node = &graph.nodes[index];
    let shape = &graph.value(node.output).shape;
    let channels = *shape.dims.last()?;
    let ones = vec![1.0; channels];
    let zeros = vec![0.0; channels];
    match &node.op {
        Op::Unary(functions) => {
            // With other functions behind it, it costs nothing in their table.
            let (scale, offset, clip) = match functions[..] {
                [Function::Affine { scale, offset }] => (scale, offset, Clip::NONE),
                [Function::Affine { scale, offset }, Function::Clip(clip)] => (scale, offset, clip),
                _ => return None,
            };
            Some(Affine {
                x: node.inputs[0],
                factors: vec![scale; channels],
                addends: vec![offset; channels],
                addend: None,
                clip,
            })
        }
        Op::Binary { op, clip } => {
            let [a, b] = [node.inputs[0], node.inputs[1]];
            let (x, constant, swapped) =
                if edit::constant(graph, b).is_some() { (a, b, false) } else { (b, a, true) };
            let values = edit::per_channel(graph, constant, shape)?;
            if graph.value(x).shape != *shape {
                return None;
            }
            let negative = |values: &[f32]| values.iter().map(|value| -value).collect::<Vec<_>>();
            let (factors, addends, addend) = match (op, swapped) {
                (Arithmetic::Add, _) => (ones, values, Some(constant)),
                (Arithmetic::Sub, false) => (ones, negative(&values), None),
                (Arithmetic::Sub, true) => (negative(&ones), values, None),
                (Arithmetic::Mul, _) => (values, zeros, None),
                (Arithmetic::Div, false) if values.iter().all(|&value| value != 0.0) => {
                    (values.iter().map(|value| 1.0 / value).collect(), zeros, None)
                }
                (Arithmetic::Div, _) => return None,
            };
            Some(Affine { x, factors, addends, addend, clip: *clip })
        }
        _ => None,
    }
}

/// Weights and bias of node `index`, and whether it fuses no range yet.
fn weights(graph: &Graph, index: usize) -> Option<(ValueId, ValueId)> {
    let node = &graph.nodes[index];
    match &node.op {
        Op::Conv { clip, .. } | Op::ConvTranspose { clip, .. } | Op::Linear { clip }
            if *clip == Clip::NONE =>
        {
            Some((node.inputs[1], node.inputs[2]))
        }
        _ => None,
    }
}

/// An affine step behind a Conv or Linear.
fn behind(graph: &mut Graph, index: usize) -> bool {
    let Some(affine) = affine(graph, index) else { return false };
    let Some(producer) = edit::private_producer(graph, affine.x) else { return false };
    let Some((w, b)) = weights(graph, producer) else { return false };
    let (weights, bias) = (graph.value(w).clone(), graph.value(b).clone());
    let (Some(kernel), Some(offset)) = (weights.constant, bias.constant) else { return false };
    if affine.factors.len() != offset.data.len() {
        return false;
    }
    let plain = affine.factors.iter().all(|&factor| factor == 1.0);
    // A bias whose integers the model states takes the place of zeros as it is.
    let stated =
        affine.addend.and_then(|id| edit::constant(graph, id)).filter(|_| plain).filter(|constant| {
            constant.data.len() == offset.data.len() && offset.data.iter().all(|&value| value == 0.0)
        });
    let new_bias = match stated {
        Some(constant) => Constant {
            data: constant.data.clone(),
            integers: constant.integers.clone().map(|mut integers| {
                integers.axis = 0;
                integers
            }),
        },
        None => {
            let each = offset.data.iter().zip(&affine.factors).zip(&affine.addends);
            Constant {
                data: each.map(|((bias, factor), addend)| bias * factor + addend).collect(),
                integers: None,
            }
        }
    };
    if !plain {
        let kernel = scaled_rows(&kernel, &affine.factors);
        graph.nodes[producer].inputs[1] =
            edit::add_constant(graph, &format!("{}:folded", weights.name), kernel, weights.shape);
    }
    let shape = Shape::fixed(&[new_bias.data.len()]);
    let new_bias = edit::add_constant(graph, &format!("{}:folded", bias.name), new_bias, shape);
    graph.nodes[producer].inputs[2] = new_bias;
    absorb(graph, producer, index, affine.clip);
    true
}

/// Ends `index`, whose work `producer` now does, but for `range`.
fn absorb(graph: &mut Graph, producer: usize, index: usize, range: Clip) {
    let output = graph.nodes[index].output;
    let node = &mut graph.nodes[producer];
    node.output = output;
    if let Op::Conv { clip, .. } | Op::ConvTranspose { clip, .. } | Op::Linear { clip } = &mut node.op {
        *clip = range;
    }
    graph.nodes.remove(index);
}

/// Rows (first axis) of a weight times a factor each; integers stay when the factors can go into their scales.
fn scaled_rows(weights: &Constant, factors: &[f32]) -> Constant {
    let size = weights.data.len() / factors.len().max(1);
    let row = |index: usize| factors[index / size.max(1)];
    let data = weights.data.iter().enumerate().map(|(index, weight)| weight * row(index)).collect();
    let integers = weights.integers.clone().filter(|integers| {
        factors.iter().all(|&factor| factor > 0.0) && (integers.scales.len() == 1 || integers.axis == 0)
    });
    let integers = integers.map(|mut integers| {
        let scale = |row: usize| integers.scales[if integers.scales.len() == 1 { 0 } else { row }];
        let zero = |row: usize| integers.zero_points[if integers.zero_points.len() == 1 { 0 } else { row }];
        let scales = (0..factors.len()).map(|row| scale(row) * factors[row]).collect();
        let zero_points = (0..factors.len()).map(zero).collect();
        (integers.scales, integers.zero_points, integers.axis) = (scales, zero_points, 0);
        integers
    });
    Constant { data, integers }
}

/// An affine step in front of a Conv or Linear: its factors scale the weights' columns, its addends go through them into
/// the bias (not under padding, which is zero whatever is added).
fn in_front(graph: &mut Graph, index: usize) -> bool {
    let Some((w, b)) = weights(graph, index) else { return false };
    let x = graph.nodes[index].inputs[0];
    let Some(step) = edit::private_producer(graph, x) else { return false };
    let Some(affine) = affine(graph, step) else { return false };
    if affine.clip != Clip::NONE {
        return false;
    }
    let groups = match &graph.nodes[index].op {
        Op::Conv { window, groups, .. } => {
            if window.pad != [0; 4] && affine.addends.iter().any(|&addend| addend != 0.0) {
                return false;
            }
            *groups
        }
        Op::Linear { .. } => 1,
        _ => return false,
    };
    let (weights, bias) = (graph.value(w).clone(), graph.value(b).clone());
    let (Some(kernel), Some(offset)) = (weights.constant, bias.constant) else { return false };
    // Integers that the model states are its quantization: leave them alone.
    if kernel.integers.is_some() || offset.integers.is_some() {
        return false;
    }
    let inside = weights.shape.dims.last().copied().unwrap_or(1).max(1);
    let rows = weights.shape.dims[0];
    let size = kernel.data.len() / rows.max(1);
    let (mut data, mut sums) =
        (kernel.data, offset.data.iter().map(|&bias| f64::from(bias)).collect::<Vec<_>>());
    for (at, weight) in data.iter_mut().enumerate() {
        let row = at / size;
        let channel = row / (rows / groups).max(1) * inside + at % inside;
        sums[row] += f64::from(*weight) * f64::from(affine.addends[channel]);
        *weight *= affine.factors[channel];
    }
    let kernel = Constant { data, integers: None };
    let offset = Constant { data: sums.into_iter().map(|sum| sum as f32).collect(), integers: None };
    let kernel = edit::add_constant(graph, &format!("{}:folded", weights.name), kernel, weights.shape);
    let offset = edit::add_constant(graph, &format!("{}:folded", bias.name), offset, bias.shape);
    graph.nodes[index].inputs = vec![affine.x, kernel, offset];
    graph.nodes.remove(step);
    true
}
