//! Transposes that a linear layer does without: it reads the columns of what would be transposed for it, or writes
//! those of what its output is transposed to ([`mixel_core::kernels::turned`]).

use mixel_core::kernels::OpKind;
use mixel_core::kernels::movement::{Loop, MoveParams};
use mixel_core::kernels::turned::Turned;
use mixel_core::plan::cursor::Cursor;
use mixel_core::plan::{Place, Tensor};

use super::liveness::root;
use crate::program::{Program, ProgramOperator, ProgramTensor};

/// `program` without operator `index`, if that is a transpose of what a layer makes for it alone.
pub(super) fn by_maker(program: &Program, index: usize) -> Option<Program> {
    without(program, index, true)
}

/// `program` without operator `index`, if that is a transpose of what a layer alone reads.
pub(super) fn by_reader(program: &Program, index: usize) -> Option<Program> {
    without(program, index, false)
}

fn without(program: &Program, index: usize, makes: bool) -> Option<Program> {
    let operator = program.operators.get(index).filter(|operator| operator.kind == OpKind::Move)?;
    let (&[from], &[to]) = (&operator.inputs[..], &operator.outputs[..]) else { return None };
    if program.in_strips(index) || ![from, to].iter().all(|&tensor| plain(program, tensor)) {
        return None;
    }
    // What lies between the layer and the transpose goes, and the other side stays.
    let (between, other) = if makes { (from, to) } else { (to, from) };
    let (layer, rows) = layer(program, index, between, makes)?;
    let rows = program.tensors[rows as usize].tensor;
    if operator.params != transpose(rows.dims, !makes)? {
        return None;
    }
    let mut folded = program.clone();
    let columns = vec![view(&mut folded, other, turned(rows))?];
    let ProgramOperator { inputs, outputs, .. } = &mut folded.operators[layer];
    *(if makes { outputs } else { inputs }) = columns;
    turn(&mut folded, layer, Turned { input: !makes, output: makes })?;
    Some(cleared(folded, index, between))
}

/// Without the transpose `index` and the views of `tensor`, which only it and the layer had to do with.
fn cleared(mut program: Program, index: usize, tensor: u16) -> Program {
    program.remove_operator(index);
    let of = root(&program, tensor);
    let unused: Vec<u16> = views(&program, of).collect();
    program.remove_tensors(&unused);
    program
}

/// The layer that makes (or reads) the memory of `tensor` for (or after) operator `index` alone, and by which view.
fn layer(program: &Program, index: usize, tensor: u16, makes: bool) -> Option<(usize, u16)> {
    let of = root(program, tensor);
    let uses = |operands: &[u16]| operands.iter().any(|&operand| root(program, operand) == of);
    let others = (0..program.operators.len()).filter(|&other| other != index);
    let mut users = others.filter(|&other| {
        let operator = &program.operators[other];
        uses(&operator.inputs) || uses(&operator.outputs)
    });
    let layer = users.next().filter(|&layer| users.next().is_none() && !program.in_strips(layer))?;
    let operator = &program.operators[layer];
    let operands = if makes { &operator.outputs } else { &operator.inputs };
    let port = program.ports.iter().any(|port| root(program, port.tensor) == of);
    let (&[operand], false) = (&operands[..], port) else { return None };
    let fits = matches!(operator.kind, OpKind::Linear | OpKind::LinearTurned) && plain(program, operand);
    (fits && root(program, operand) == of).then_some((layer, operand))
}

/// Tensors of the memory of `of`.
fn views(program: &Program, of: u16) -> impl Iterator<Item = u16> {
    (0..program.tensors.len() as u16).filter(move |&tensor| root(program, tensor) == of)
}

/// Whether layers may have to do with its columns: it lies in the arena, has a fixed shape, and at most one operator
/// writes it.
fn plain(program: &Program, tensor: u16) -> bool {
    let of = root(program, tensor);
    let makes = |operands: &[u16]| operands.iter().any(|&operand| root(program, operand) == of);
    let makers = program.operators.iter().filter(|operator| makes(&operator.outputs)).count();
    let Tensor { place, dynamic, .. } = program.tensors[tensor as usize].tensor;
    (place, dynamic) == (Place::Arena, 0) && makers <= 1
}

/// The memory of `tensor` as `shape` has it: a tensor of as many elements.
fn view(program: &mut Program, tensor: u16, shape: Tensor) -> Option<u16> {
    let whole = &program.tensors[tensor as usize];
    if whole.tensor.dims == shape.dims {
        return Some(tensor);
    }
    if whole.tensor.elements() != shape.elements() {
        return None;
    }
    let view = ProgramTensor { tensor: shape, alias_of: Some(root(program, tensor)), ..whole.clone() };
    let index = u16::try_from(program.tensors.len()).ok()?;
    program.tensors.push(view);
    Some(index)
}

/// `rows` with its last two dimensions exchanged.
fn turned(rows: Tensor) -> Tensor {
    let [images, height, width, channels] = rows.dims;
    Tensor { dims: [images, height, channels, width], ..rows }
}

/// The parameters of a transpose to `rows` (or from there) of the last two dimensions.
fn transpose([images, height, count, size]: [u32; 4], to: bool) -> Option<Vec<u8>> {
    let (inner, outer) = if to { (size, count) } else { (count, size) };
    let step = |step: u32| i32::try_from(step).ok();
    let mut params = MoveParams { from: 0, to: 0, fill: None, dynamic: 0, loops: Default::default() };
    let matrix = step(count.checked_mul(size)?)?;
    if images * height > 1 {
        params.loops.push(Loop { count: images * height, from_step: matrix, to_step: matrix }).ok()?;
    }
    params.loops.push(Loop { count: outer, from_step: 1, to_step: step(inner)? }).ok()?;
    params.loops.push(Loop { count: inner, from_step: step(outer)?, to_step: 1 }).ok()?;
    Some(params.encode().bytes().to_vec())
}

/// Makes a layer one that turns `more` as well; none if it does already.
fn turn(program: &mut Program, layer: usize, more: Turned) -> Option<()> {
    let operator = &mut program.operators[layer];
    let mut cursor = Cursor::new(&operator.params);
    let (now, rest) = match operator.kind {
        OpKind::LinearTurned => (Turned::read(&mut cursor)?, cursor.rest()),
        _ => (Turned { input: false, output: false }, &operator.params[..]),
    };
    if now.input && more.input || now.output && more.output {
        return None;
    }
    let turned = Turned { input: now.input || more.input, output: now.output || more.output };
    operator.params = [turned.encode().bytes(), rest].concat();
    operator.kind = OpKind::LinearTurned;
    Some(())
}
