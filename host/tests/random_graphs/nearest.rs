//! Every operator's output against its definition in real numbers, computed from the integers that it read.

use mixel::aligned::Aligned;
use mixel::graph::{Node, Op, Sampling, ValueId};
use mixel::quantize::{Quantized, dequantize_value, quantize_value};
use mixel::samples::elements;
use mixel_core::pack::Layout;
use mixel_core::plan::{DType, Plan};

use crate::support::interpreter::{Tensor, evaluate};

/// Largest distance from the real result in output steps, a half of which is the rounding itself; docs/numerics.md states
/// the errors.
fn tolerance(node: &Node, wide: bool) -> f64 {
    match (&node.op, wide) {
        (Op::Resize { sampling: Sampling::Bilinear, .. }, false) => 0.63,
        (Op::Resize { sampling: Sampling::Bilinear, .. }, true) => 2.6,
        (_, false) => 0.51,
        (_, true) => 1.6,
    }
}

/// Half a step of a layer's bias, which is a whole number of products of an input's and a weight's step, in steps of the
/// output: little, unless weights have four bits.
fn bias_rounding(quantized: &Quantized, node: &Node, output: f64) -> f64 {
    let weights = node.inputs.iter().filter_map(|id| quantized.weights.get(id));
    let largest = weights.flat_map(|weights| &weights.scales).copied().fold(0.0, f32::max);
    let input = node.inputs.first().and_then(|&id| quantized.activation(id)).map_or(0.0, |input| input.scale);
    0.5 * f64::from(largest) * f64::from(input) / output
}

/// Checks every node of `quantized` for random inputs, with all rows present.
pub fn check(seed: u64, quantized: &Quantized) -> Result<(), String> {
    let values = run(seed, quantized);
    let graph = &quantized.graph;
    for node in &graph.nodes {
        let inputs: Vec<Tensor> = node.inputs.iter().map(|&id| operand(quantized, &values, id)).collect();
        let dims = &graph.value(node.output).shape.dims;
        let wanted = evaluate(&node.op, &inputs.iter().collect::<Vec<_>>(), dims);
        let quantization = quantized.activation(node.output).ok_or("an output without quantization")?;
        let (low, high) = match quantization.dtype {
            DType::I16 => (-32768.0, 32767.0),
            _ => (-128.0, 127.0),
        };
        let wide = inputs_are_wide(quantized, node) || quantization.dtype == DType::I16;
        let tolerance = tolerance(node, wide) + bias_rounding(quantized, node, quantization.scale.into());
        for (at, (&wanted, &found)) in wanted.data.iter().zip(&values[node.output.0]).enumerate() {
            let exact =
                f64::from(wanted) / f64::from(quantization.scale) + f64::from(quantization.zero_point);
            let distance = (exact.clamp(low, high) - f64::from(found)).abs();
            if distance.is_nan() || distance > tolerance {
                return Err(format!(
                    "{} ({}): element {at} is {found}, the real result is {exact:.3}",
                    node.name,
                    node.op.name()
                ));
            }
        }
    }
    Ok(())
}

fn inputs_are_wide(quantized: &Quantized, node: &Node) -> bool {
    let wide = |id: &ValueId| quantized.activation(*id).is_some_and(|q| q.dtype == DType::I16);
    node.inputs.iter().any(wide)
}

/// The integers of every value that is no constant, for random inputs.
fn run(seed: u64, quantized: &Quantized) -> Vec<Vec<i32>> {
    let mut all = quantized.clone();
    // Inputs and outputs like others, so that they can be given and seen.
    all.graph.states.clear();
    let outputs = all.graph.outputs.clone();
    let more = all.graph.nodes.iter().map(|node| node.output).filter(|id| !outputs.contains(id));
    all.graph.outputs.extend(more);
    let program = mixel::lower::lower(&all, Layout::Generic).unwrap();
    let placement = mixel::plan::place(&program).unwrap();
    let bytes = mixel::emit::emit(&program, &placement, false).unwrap();
    let plan = Plan::new_checked(&bytes).unwrap();
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    let mut session = mixel::run::session(plan, &mut arena).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut values = vec![Vec::new(); all.graph.values.len()];
    for (index, id) in all.graph.inputs.iter().enumerate() {
        let input = session.input(index);
        input.iter_mut().for_each(|byte| *byte = random.u8(..));
        values[id.0] = elements(all.activation(*id).unwrap().dtype, input);
    }
    session.run();
    for (index, id) in all.graph.outputs.iter().enumerate() {
        values[id.0] = elements(all.activation(*id).unwrap().dtype, session.output(index));
    }
    values
}

/// A constant's integers as an activation.
fn constant(quantized: &Quantized, id: ValueId) -> Vec<i32> {
    let quantization = quantized.activation(id).unwrap();
    let data = quantized.graph.value(id).constant.as_ref().map(|constant| &constant.data[..]);
    data.unwrap_or_default().iter().map(|&x| quantize_value(x.into(), &quantization)).collect()
}

/// The real numbers that the integers of `id` stand for: an activation's, a weight's, or a parameter as it is.
fn operand(quantized: &Quantized, values: &[Vec<i32>], id: ValueId) -> Tensor {
    let value = quantized.graph.value(id);
    let dims = &value.shape.dims;
    let real = |integers: &[i32]| {
        let quantization = quantized.activation(id).unwrap();
        integers.iter().map(|&q| dequantize_value(q, &quantization) as f32).collect()
    };
    let Some(data) = value.constant.as_ref().map(|constant| &constant.data) else {
        return Tensor::new(dims, real(&values[id.0]));
    };
    if let Some(weights) = quantized.weights.get(&id) {
        let row = weights.data.len() / weights.scales.len();
        let weight = |(at, &q): (usize, &i8)| f32::from(q) * weights.scales[at / row];
        return Tensor::new(dims, weights.data.iter().enumerate().map(weight).collect());
    }
    match quantized.activation(id) {
        Some(_) => Tensor::new(dims, real(&constant(quantized, id))),
        None => Tensor::new(dims, data.clone()),
    }
}
