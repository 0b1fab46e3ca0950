//! Concatenations along the channels whose parts are made where they belong: a Join of layers goes, and each of them writes its
//! channels of the whole ([`mixel_core::kernels::part`]).

use mixel_core::kernels::OpKind;
use mixel_core::kernels::part::Part;
use mixel_core::plan::{DType, Place, Tensor};

use super::{Gain, Placement, place, place_within};
use crate::Result;
use crate::program::{Program, ProgramOperator};

/// Work of the search for what a Join takes.
const WORK: usize = 20_000;

/// `program` without the Joins that need not be, where its tensors lie then, and `gains` with the operators' new numbers.
///
/// The whole is needed from its first part on, and no part takes the place of its input: a Join stays where the arena grows without it.
///
/// # Errors
/// As [`place`].
pub fn parts_in_place(
    program: Program,
    placement: Placement,
    gains: Vec<Gain>,
) -> Result<(Program, Placement, Vec<Gain>)> {
    // A placement says what memory is needed, as far as the search has come; the bound what could be. If what the bound promises
    // does not come true, only placements count.
    let hopeful = |now: &Placement, then: &Placement| {
        then.arena() <= now.arena() || then.lower_bound <= now.lower_bound
    };
    let strict = |now: &Placement, then: &Placement| then.arena() <= now.arena();
    for keeps in [&hopeful as &dyn Fn(&Placement, &Placement) -> bool, &strict] {
        let (best, moved) = fold(&program, &gains, keeps)?;
        if best.operators.len() == program.operators.len() {
            break;
        }
        let placed = place(&best)?;
        if placed.arena() <= placement.arena() {
            return Ok((best, placed, moved));
        }
    }
    Ok((program, placement, gains))
}

/// `program` without the Joins for which `keeps` says so, from the placements with and without, and `gains` with the operators' new
/// numbers.
fn fold(
    program: &Program,
    gains: &[Gain],
    keeps: &dyn Fn(&Placement, &Placement) -> bool,
) -> Result<(Program, Vec<Gain>)> {
    let (mut best, mut moved) = (program.clone(), gains.to_vec());
    let mut now = place_within(&best, WORK)?;
    for join in (0..program.operators.len()).rev() {
        let Some(folded) = without(&best, join) else { continue };
        let then = place_within(&folded, WORK)?;
        if !keeps(&now, &then) {
            continue;
        }
        (best, now) = (folded, then);
        for gain in moved.iter_mut().filter(|gain| gain.operators.0 > join) {
            gain.operators = (gain.operators.0 - 1, gain.operators.1 - 1);
        }
    }
    Ok((best, moved))
}

/// `program` without operator `join`; none if that is no Join, or one of parts that are not made in their places.
fn without(program: &Program, join: usize) -> Option<Program> {
    let operator = program.operators.get(join).filter(|operator| operator.kind == OpKind::Join)?;
    let whole = operator.outputs[0];
    let tensor = |index: u16| program.tensors[index as usize].tensor;
    if in_strips(program, join) || !plain(&tensor(whole)) {
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
    folded.operators.remove(join);
    folded.strips.iter_mut().filter(|strips| strips.first > join).for_each(|strips| strips.first -= 1);
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

fn in_strips(program: &Program, index: usize) -> bool {
    program.strips.iter().any(|strips| strips.operators().contains(&index))
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
    let maker = makers.next().filter(|&maker| maker < join && !in_strips(program, maker))?;
    makers.next().is_none().then_some(maker)
}
