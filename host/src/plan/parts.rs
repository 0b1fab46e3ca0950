//! Concatenations along the channels whose parts are made where they belong, and pixel shuffles that are where a convolution stores: a Join
//! goes, and each of the layers or shuffles in front of it writes its channels of the whole; a Shuffle goes, and the convolution in
//! front of it writes its blocks ([`mixel_core::kernels::part`]).

use mixel_core::kernels::OpKind;
use mixel_core::kernels::part::Part;
use mixel_core::kernels::shuffle::ShuffleParams;
use mixel_core::plan::cursor::Cursor;
use mixel_core::plan::{DType, Place, Tensor};

use crate::program::{Program, ProgramOperator};

/// `program` without operator `join`; none if that is no Join, or one of parts that are not made in their places.
pub(super) fn without_join(program: &Program, join: usize) -> Option<Program> {
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
        let channels = Part::channels(u16::try_from(first).ok()?, u16::try_from(outputs).ok()?);
        make_part(&mut folded.operators[maker], channels, whole)?;
        first += outputs;
    }
    folded.remove_operator(join);
    folded.remove_tensors(&operator.inputs);
    Some(folded)
}

/// `program` without operator `shuffle`; none if that is no Shuffle of what a convolution makes for it alone, block row by block row.
pub(super) fn without_shuffle(program: &Program, shuffle: usize) -> Option<Program> {
    let operator = program.operators.get(shuffle).filter(|operator| operator.kind == OpKind::Shuffle)?;
    let params = ShuffleParams::read(Cursor::new(&operator.params))?;
    let (&[between], &[whole]) = (&operator.inputs[..], &operator.outputs[..]) else { return None };
    let [between, whole] = [between, whole].map(|index| (index, program.tensors[index as usize].tensor));
    let same = (between.1.scale, between.1.zero_point) == (whole.1.scale, whole.1.zero_point);
    if program.in_strips(shuffle) || !plain(&whole.1) || !same || params.channels_first {
        return None;
    }
    let maker =
        maker(program, between.0, shuffle).filter(|&maker| program.operators[maker].kind == OpKind::Conv)?;
    let outputs = between.1.inner() / (params.block as usize).pow(2);
    let part =
        Part { first: params.first, outputs: u16::try_from(outputs).ok()?, block: params.block.into() };
    let mut folded = program.clone();
    make_part(&mut folded.operators[maker], part, whole.0)?;
    folded.remove_operator(shuffle);
    folded.remove_tensors(&[between.0]);
    Some(folded)
}

/// Has `operator` make `part` of tensor `whole`; none if it is not one that can.
fn make_part(operator: &mut ProgramOperator, part: Part, whole: u16) -> Option<()> {
    operator.outputs = vec![whole];
    operator.kind = match operator.kind {
        OpKind::Conv => OpKind::ConvPart,
        OpKind::Linear => OpKind::LinearPart,
        OpKind::Shuffle => {
            let params = ShuffleParams::read(Cursor::new(&operator.params))?;
            operator.params = ShuffleParams { first: part.first, ..params }.encode().bytes().to_vec();
            return Some(());
        }
        _ => return None,
    };
    operator.params.splice(..0, part.encode().bytes().iter().copied());
    Some(())
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
