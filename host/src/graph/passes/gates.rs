//! Products of a value and a function of it that are one function: HardSwish, SiLU, GELU, powers.

use super::edit::{self, near};
use crate::graph::{Arithmetic, Clip, Function, Graph, Op, ValueId};

/// One step. Returns whether anything changed.
pub fn run(graph: &mut Graph) -> bool {
    (0..graph.nodes.len()).any(|index| step(graph, index))
}

fn step(graph: &mut Graph, index: usize) -> bool {
    let Some([a, b]) = edit::operands(graph, index, Arithmetic::Mul) else { return false };
    if edit::constant(graph, a).is_some() || edit::constant(graph, b).is_some() {
        return false;
    }
    let Some((x, functions)) = product(graph, a, b).or_else(|| product(graph, b, a)) else { return false };
    let node = &mut graph.nodes[index];
    (node.op, node.inputs) = (Op::Unary(functions), vec![x]);
    true
}

/// `left * right` as functions of one value, where `left` is that value, scaled or not.
fn product(graph: &Graph, left: ValueId, right: ValueId) -> Option<(ValueId, Vec<Function>)> {
    // Through its own Unary, and, for a value that a chain begins with, as it stands.
    let through = |id: ValueId| {
        let (x, functions) = edit::chain(graph, id);
        match functions[..] {
            [] => Some((x, 1.0)),
            [Function::Affine { scale, offset: 0.0 }] => Some((x, scale)),
            _ => None,
        }
    };
    for (x, scale) in [Some((left, 1.0)), through(left)].into_iter().flatten() {
        let (y, functions) = if right == x { (x, vec![]) } else { edit::chain(graph, right) };
        let gate = if y == x { simple_gate(&functions) } else { tanh_gelu(graph, x, y, &functions) };
        if let Some(mut functions) = gate {
            functions.push(Function::Affine { scale, offset: 0.0 });
            return Some((x, functions));
        }
    }
    None
}

/// `x * functions(x)` as functions of x.
fn simple_gate(functions: &[Function]) -> Option<Vec<Function>> {
    let affine = |scale| Function::Affine { scale, offset: 0.0 };
    match *functions {
        [] => Some(vec![Function::Power { exponent: 2.0 }]),
        [Function::Power { exponent }] => Some(vec![Function::Power { exponent: exponent + 1.0 }]),
        [Function::Sigmoid] => Some(vec![Function::Silu]),
        [Function::HardSigmoid { alpha, beta }] if near(alpha, 1.0 / 6.0) && near(beta, 0.5) => {
            Some(vec![Function::HardSwish])
        }
        [Function::Affine { scale, offset }, Function::Clip(clip), ref rest @ ..]
            if near(scale, 1.0) && near(offset, 3.0) && clip == (Clip { min: 0.0, max: 6.0 }) =>
        {
            match *rest {
                [] => Some(vec![Function::HardSwish, affine(6.0)]),
                [Function::Affine { scale, offset: 0.0 }] => {
                    Some(vec![Function::HardSwish, affine(6.0 * scale)])
                }
                _ => None,
            }
        }
        // x * half * (1 + erf(x / sqrt(2))) with half times two taken out of GELU.
        [
            Function::Affine { scale, offset: 0.0 },
            Function::Erf,
            Function::Affine { scale: half, offset },
        ] if near(scale, std::f32::consts::FRAC_1_SQRT_2) && near(offset, half) => {
            Some(vec![Function::Gelu, affine(2.0 * half)])
        }
        _ => None,
    }
}

/// `x * half * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`, with `functions` what is done to the inner sum `y`.
fn tanh_gelu(graph: &Graph, x: ValueId, y: ValueId, functions: &[Function]) -> Option<Vec<Function>> {
    let [ref inner @ .., Function::Tanh, Function::Affine { scale: half, offset }] = *functions else {
        return None;
    };
    let factor = match *inner {
        [] => 1.0,
        [Function::Affine { scale, offset: 0.0 }] => scale,
        _ => return None,
    };
    let node = graph.producer(y)?;
    let is_cubic = |scale: f32| near(factor * scale, (2.0 / std::f32::consts::PI).sqrt());
    let found = match &graph.nodes[node].op {
        // x + c * x^3
        Op::Binary { op: Arithmetic::Add, .. } => {
            let [a, b] = edit::operands(graph, node, Arithmetic::Add)?;
            let cubic = |id: ValueId| {
                let (root, functions) = edit::chain(graph, id);
                root == x
                    && matches!(functions[..], [Function::Power { exponent: 3.0 }, Function::Affine { scale, offset: 0.0 }]
                        if near(scale, 0.044_715))
            };
            is_cubic(1.0) && (a == x && cubic(b) || b == x && cubic(a))
        }
        // (s * x) * (1 + c * x^2)
        Op::Binary { op: Arithmetic::Mul, .. } => {
            let [a, b] = edit::operands(graph, node, Arithmetic::Mul)?;
            let square = |linear: ValueId, id: ValueId| {
                let (root, functions) = edit::chain(graph, id);
                let scale = match edit::chain(graph, linear) {
                    _ if linear == x => 1.0,
                    (from, functions) if from == x => match functions[..] {
                        [Function::Affine { scale, offset: 0.0 }] => scale,
                        _ => return false,
                    },
                    _ => return false,
                };
                root == x
                    && is_cubic(scale)
                    && matches!(functions[..], [Function::Power { exponent: 2.0 }, Function::Affine { scale, offset }]
                        if near(scale, 0.044_715) && near(offset, 1.0))
            };
            square(a, b) || square(b, a)
        }
        _ => false,
    };
    (found && near(offset, half))
        .then(|| vec![Function::GeluTanh, Function::Affine { scale: 2.0 * half, offset: 0.0 }])
}
