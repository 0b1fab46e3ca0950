//! Memory: where every tensor of a program lies in the arena.
//!
//! `liveness` says from which operator to which one each buffer is needed and which buffers may share memory;
//! `search` finds offsets for them. Whether an operator may write over its input is what the core's kernels say
//! ([`mixel_core::kernels::needs`]), asked through a draft of the plan, so the rule stands in one place.

mod liveness;
mod search;

use mixel_core::kernels::{self, Needs};
use mixel_core::plan::format::ALIGN;
use mixel_core::plan::write::MemorySizes;
use mixel_core::plan::{Place, RawPlan};

use crate::emit::encode;
use crate::program::Program;
use crate::{Error, ErrorKind, Result};

/// Blocks that the search may place: some tens of thousands of orders for the models that fit microcontrollers, half a
/// second.
const WORK: usize = 500_000;

/// Where a program's tensors lie and what memory that takes.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Byte offset of every tensor in its region.
    pub offsets: Vec<u32>,
    /// Sizes of the arena's regions.
    pub memory: MemorySizes,
    /// No placement of the tensors can be smaller than this many bytes, in this order of operators.
    pub lower_bound: usize,
}

/// Places all tensors of `program` that live in the arena: inputs until their last use, outputs to the end.
///
/// Deterministic: the same program gives the same placement.
///
/// # Errors
/// [`ErrorKind::Plan`] with the operator that the core does not take.
pub fn place(program: &Program) -> Result<Placement> {
    let (draft, memory) = spread(program);
    let needs = needs(program, &draft, memory)?;
    let buffers = liveness::buffers(program);
    let problem = liveness::problem(program, &buffers, &needs);
    let lower_bound = liveness::lower_bound(program, &buffers, &needs);
    let solution = search::solve(&problem, lower_bound, WORK);

    let mut offsets = draft;
    for (buffer, &offset) in buffers.iter().zip(&solution.offsets) {
        for &tensor in &buffer.tensors {
            offsets[tensor as usize] = offset as u32;
        }
    }
    // Operators that work in place may need more scratch memory than the draft says.
    let needs = self::needs(program, &offsets, memory)?;
    let scratch = needs.iter().map(|needs| needs.scratch).max().unwrap_or(0);
    let tensors = region(solution.bytes);
    Ok(Placement {
        offsets,
        memory: MemorySizes { tensors, scratch: region(scratch), ..memory },
        lower_bound,
    })
}

/// A placement in which no two tensors share memory, views apart: a draft to ask questions of, and what a good
/// placement must give the same results as.
pub fn place_apart(program: &Program) -> Result<Placement> {
    let (offsets, memory) = spread(program);
    let needs = needs(program, &offsets, memory)?;
    let scratch = needs.iter().map(|needs| needs.scratch).max().unwrap_or(0);
    let lower_bound = liveness::lower_bound(program, &liveness::buffers(program), &needs);
    Ok(Placement { offsets, memory: MemorySizes { scratch: region(scratch), ..memory }, lower_bound })
}

fn spread(program: &Program) -> (Vec<u32>, MemorySizes) {
    let (mut arena, mut state) = (0, 0);
    let mut offsets: Vec<u32> = program.tensors.iter().map(|tensor| tensor.tensor.offset).collect();
    for (index, tensor) in program.tensors.iter().enumerate() {
        let end = match tensor.tensor.place {
            Place::Data => continue,
            Place::Arena => &mut arena,
            Place::State => &mut state,
        };
        if tensor.alias_of.is_none() {
            offsets[index] = *end;
            *end += region(tensor.tensor.bytes());
        }
    }
    for index in 0..program.tensors.len() {
        if program.tensors[index].tensor.place != Place::Data {
            offsets[index] = offsets[liveness::root(program, index as u16) as usize];
        }
    }
    let max_rows = program.max_rows as u32;
    (offsets, MemorySizes { tensors: arena, scratch: 0, state, max_rows })
}

fn region(bytes: usize) -> u32 {
    bytes.next_multiple_of(ALIGN) as u32
}

/// What the core says that each operator needs.
fn needs(program: &Program, offsets: &[u32], memory: MemorySizes) -> Result<Vec<Needs>> {
    let draft = encode(program, offsets, memory, true)?;
    let fault = |index: usize, what: String| {
        let name = program.operators.get(index).map_or("", |operator| &operator.name);
        Error::new(ErrorKind::Plan, name, what)
            .hint("this is a fault of mixel; please report it with the model")
    };
    let plan = RawPlan::open(&draft).map_err(|error| fault(usize::MAX, error.to_string()))?;
    (0..program.operators.len())
        .map(|index| {
            let kind = program.operators[index].kind;
            let operator = plan
                .operator(index)
                .ok_or_else(|| fault(index, format!("the record of this {kind:?} is not valid")))?;
            kernels::needs(&operator)
                .map_err(|what| fault(index, format!("the core does not take this {kind:?}: {what:?}")))
        })
        .collect()
}

#[cfg(test)]
mod tests;
