//! Concatenations along the channels whose parts are made where they belong: a Join of layers goes, and each of them writes its
//! channels of the whole ([`mixel_core::kernels::part`]).

use mixel_core::kernels::OpKind;
use mixel_core::kernels::part::Part;
use mixel_core::plan::{DType, Place, Tensor};

use crate::program::{Program, ProgramOperator};

/// `program` without operator `join`; none if that is no Join, or one of parts that are not made in their places.
pub(super) fn without(program: &Program, join: usize) -> Option<Program> {
    let operator = program.operators.get(join).filter(|operator| operator.kind == OpKind::Join)?;
    let whole = operator.outputs[0];
    let tensor = |index: u16| program.tensors[index as usize].tensor;
    if program.in_strips(join) || !plain(&tensor(whole)) {
        return None;
    }
    let mut folded = program.clone();
    let mut first = 0;
    for &part in &operator.inputs {
        let maker = maker(program, part, join)?;
        let outputs = tensor(part).inner();
        let same =
            |a: Tensor, b: Tensor| (a.dtype, a.scale, a.zero_point) == (b.dtype, b.scale, b.zero_point);
        if !same(tensor(part), tensor(whole)) {
            return None;
        }
        let channels = Part { first: u16::try_from(first).ok()?, outputs: u16::try_from(outputs).ok()? };
        let ProgramOperator { kind, outputs: made, params, .. } = &mut folded.operators[maker];
        (*kind, *made) = (part_of(*kind)?, vec![whole]);
        params.splice(..0, channels.encode().bytes().iter().copied());
        first += outputs;
    }
    folded.remove_operator(join);
    folded.remove_tensors(&operator.inputs);
    Some(folded)
}

/// The kind of an operator of `kind` that makes a part.
fn part_of(kind: OpKind) -> Option<OpKind> {
    match kind {
        OpKind::Conv => Some(OpKind::ConvPart),
        OpKind::Linear => Some(OpKind::LinearPart),
        _ => None,
    }
}

/// Whether operators may write parts of a tensor: int8 in the arena, of a fixed shape.
fn plain(tensor: &Tensor) -> bool {
    (tensor.dtype, tensor.place, tensor.dynamic) == (DType::I8, Place::Arena, 0)
}

/// The operator that makes `part` for operator `join` alone, outside of strips.
fn maker(program: &Program, part: u16, join: usize) -> Option<usize> {
    let reads = program.operators.iter().flat_map(|operator| &operator.inputs);
    let uses = reads.filter(|&&input| input == part).count();
    let port = program.ports.iter().any(|port| port.tensor == part);
    let is_view = program.tensors[part as usize].alias_of.is_some();
    let viewed = program.tensors.iter().any(|tensor| tensor.alias_of == Some(part));
    if uses != 1 || port || is_view || viewed || !plain(&program.tensors[part as usize].tensor) {
        return None;
    }
    let makes = |&index: &usize| program.operators[index].outputs.contains(&part);
    let mut makers = (0..program.operators.len()).filter(makes);
    let maker = makers.next().filter(|&maker| maker < join && !program.in_strips(maker))?;
    makers.next().is_none().then_some(maker)
}
