//! Attention in strips: scores that never stand in memory whole.
//!
//! Queries times keys, what is done to every row of scores, and its product with the values go by rows: with several heads, one head
//! at a time; with one, some tokens at a time, which then stand where images have their rows. A network has many such chains of
//! about the same size, so that one of them in strips saves nothing: all of them go, or none.

use std::ops::Range;

use mixel_core::kernels::OpKind;
use mixel_core::plan::{Direction, Place, Tensor};

use crate::program::{Program, ProgramTensor};

/// Every chain of operators from a product of activations to the next one that reads its rows, and nothing else does.
pub fn chains(program: &Program) -> Vec<Range<usize>> {
    let mut chains: Vec<Range<usize>> = Vec::new();
    for first in 0..program.operators.len() {
        if chains.last().is_none_or(|last| last.end <= first) {
            chains.extend(chain(program, first));
        }
    }
    chains
}

fn chain(program: &Program, first: usize) -> Option<Range<usize>> {
    if !is_product(program, first) {
        return None;
    }
    for next in first + 1..program.operators.len() {
        let (before, operator) = (&program.operators[next - 1], &program.operators[next]);
        let [made] = before.outputs[..] else { return None };
        let (rows, others) = operator.inputs.split_first()?;
        if *rows != made || others.contains(&made) || !passes_on(program, made, next) {
            return None;
        }
        if is_product(program, next) {
            return Some(first..next + 1);
        }
        if !others.is_empty() {
            return None;
        }
    }
    None
}

fn is_product(program: &Program, index: usize) -> bool {
    matches!(program.operators[index].kind, OpKind::MatMul | OpKind::MatMul16)
}

/// Whether operator `reader` alone reads `tensor`, which is static and stands in the arena by itself.
fn passes_on(program: &Program, tensor: u16, reader: usize) -> bool {
    let ProgramTensor { tensor: shape, alias_of, .. } = &program.tensors[tensor as usize];
    let mut readers =
        program.operators.iter().enumerate().filter(|(_, operator)| operator.inputs.contains(&tensor));
    shape.place == Place::Arena
        && shape.dynamic == 0
        && alias_of.is_none()
        && readers.all(|(index, _)| index == reader)
        && !is_viewed(program, tensor)
        && !program.ports.iter().any(|port| port.tensor == tensor)
}

fn is_viewed(program: &Program, tensor: u16) -> bool {
    program.tensors.iter().any(|view| view.alias_of == Some(tensor))
}

/// Has `chain` go by its tokens if it has one head: rows `[1, 1, tokens, n]` become `[1, tokens, 1, n]`, in the same place. None
/// where the tensors at its ends cannot have another view.
pub fn by_tokens(program: &mut Program, chain: Range<usize>) -> Option<()> {
    let rows = program.operators[chain.start].inputs[0];
    if dims(program, rows)[..2] != [1, 1] {
        return Some(());
    }
    let last = chain.end - 1;
    let result = program.operators[last].outputs[0];
    let ProgramTensor { tensor, alias_of, .. } = &program.tensors[result as usize];
    let is_output =
        program.ports.iter().any(|port| port.tensor == result && port.direction == Direction::Output);
    if tensor.place != Place::Arena || alias_of.is_some() || is_output {
        return None;
    }
    let queries = add(program, ProgramTensor { alias_of: Some(rows), ..turned(program, rows) })?;
    program.operators[chain.start].inputs[0] = queries;
    for operator in chain.start..last {
        let made = program.operators[operator].outputs[0];
        program.tensors[made as usize] = turned(program, made);
    }
    let sums = add(program, turned(program, result))?;
    program.operators[last].outputs[0] = sums;
    program.tensors[result as usize].alias_of = Some(sums);
    Some(())
}

fn dims(program: &Program, tensor: u16) -> [u32; 4] {
    program.tensors[tensor as usize].tensor.dims
}

/// `tensor` with its tokens as rows of an image one pixel wide.
fn turned(program: &Program, tensor: u16) -> ProgramTensor {
    let tensor = &program.tensors[tensor as usize];
    let [images, heads, tokens, values] = tensor.tensor.dims;
    let dims = [images, tokens, heads, values];
    ProgramTensor { tensor: Tensor { dims, rank: 4, ..tensor.tensor }, ..tensor.clone() }
}

fn add(program: &mut Program, tensor: ProgramTensor) -> Option<u16> {
    let index = u16::try_from(program.tensors.len()).ok()?;
    program.tensors.push(tensor);
    Some(index)
}
