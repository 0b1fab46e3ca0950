//! Attention as one operator: queries times keys, a softmax of every row of scores and its product with the values.
//!
//! [`mixel_core::kernels::attention`] has the same results and its scores nowhere whole. Nothing else may want them: a model that gives
//! them out, or does more with them than a softmax, keeps its three operators. So does one whose values are made behind the softmax, if
//! queries and keys, which are needed until then, make the arena larger than scores would.

use mixel_core::kernels::OpKind;
use mixel_core::plan::write::Params;
use mixel_core::plan::{DType, Place};

use super::liveness::root;
use super::{place_within, spare};
use crate::Result;
use crate::program::{Program, ProgramOperator, ProgramTensor};

/// Work of the search for what an attention takes.
const WORK: usize = 20_000;

/// `program` with every attention on int8 as one operator that does not make the arena larger.
///
/// # Errors
/// As [`super::place`].
pub fn with_attention(mut program: Program) -> Result<Program> {
    let mut now = None;
    // From behind, so that what is found stays where it is.
    for last in (0..program.operators.len()).rev() {
        let Some(chain) = chain(&program, last) else { continue };
        let before = match now {
            Some(before) => before,
            None => place_within(&program, WORK)?,
        };
        let fused = fused(program.clone(), chain);
        let then = place_within(&fused, WORK)?;
        let smaller = spare::no_larger(&before, &then);
        now = Some(if smaller { then } else { before });
        if smaller {
            program = fused;
        }
    }
    Ok(program)
}

/// Operators, in execution order: queries times keys, softmax, weights times values.
type Chain = [usize; 3];

/// The chain that ends with operator `last`.
fn chain(program: &Program, last: usize) -> Option<Chain> {
    let softmax = maker(program, last, OpKind::MatMul)?;
    let first = maker(program, softmax, OpKind::Softmax)?;
    let product = &program.operators[first];
    let along_rows = program.operators[softmax].params.first() == Some(&3);
    // Queries and keys are read later than they were.
    let read: Vec<u16> = product.inputs.iter().map(|&input| root(program, input)).collect();
    let mut between = program.operators[first..last].iter().flat_map(|operator| &operator.outputs);
    let kept = between.all(|&output| !read.contains(&root(program, output)));
    (product.kind == OpKind::MatMul && along_rows && kept).then_some([first, softmax, last])
}

/// The operator that makes the first input of operator `reader`, a `kind`, for nothing else.
fn maker(program: &Program, reader: usize, kind: OpKind) -> Option<usize> {
    let operator = program.operators.get(reader).filter(|operator| operator.kind == kind)?;
    let (&rows, others) = operator.inputs.split_first()?;
    let ProgramTensor { tensor, alias_of, .. } = &program.tensors[rows as usize];
    let plain = tensor.dtype == DType::I8 && tensor.place == Place::Arena && alias_of.is_none();
    let viewed = program.tensors.iter().any(|view| view.alias_of == Some(rows));
    let port = program.ports.iter().any(|port| port.tensor == rows);
    let uses = |operands: &[u16]| operands.contains(&rows);
    let others_read =
        program.operators.iter().enumerate().any(|(at, other)| at != reader && uses(&other.inputs));
    if !plain || viewed || port || uses(others) || others_read {
        return None;
    }
    let mut makers = (0..reader).filter(|&at| uses(&program.operators[at].outputs));
    makers.next().filter(|_| makers.next().is_none())
}

/// `program` with one operator in the place of the last of `chain`, and without the other two and what they make.
fn fused(mut program: Program, [first, softmax, last]: Chain) -> Program {
    let [scores, weights] = [first, softmax].map(|operator| program.operators[operator].outputs[0]);
    let zero_point = |tensor: u16| program.tensors[tensor as usize].tensor.zero_point;
    let zero_points = Params::new().i32(zero_point(scores)).i32(zero_point(weights));
    let ProgramOperator { inputs, params, .. } = &program.operators[first];
    let (normalise, sums) = (&program.operators[softmax], &program.operators[last]);
    let params = [zero_points.bytes(), params, &normalise.params, &sums.params].concat();
    let inputs = inputs.iter().chain(&sums.inputs[1..]).copied().collect();
    let operator = &mut program.operators[last];
    (operator.kind, operator.inputs, operator.params) = (OpKind::Attention, inputs, params);
    [softmax, first].into_iter().for_each(|operator| program.remove_operator(operator));
    program.remove_tensors(&[scores, weights]);
    program
}
