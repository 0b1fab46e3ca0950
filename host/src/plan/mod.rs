//! Memory: where every tensor of a program lies in the arena.
//!
//! `liveness` says from which operator to which one each buffer is needed and which buffers may share memory;
//! `search` finds offsets for them; `attention` makes one operator of products whose scores need not stand in memory;
//! `strips` finds operators that take less memory when they run a few rows at a time; `spare` leaves out copies: `parts`
//! lets convolutions write into concatenations and store pixel shuffles, `turned` lets layers read and write columns.
//! Whether an operator may write over its input is what
//! the core's kernels say ([`mixel_core::kernels::needs`]), asked through a draft of the plan, so the rule stands in
//! one place.

mod attention;
mod liveness;
mod parts;
mod search;
mod shorten;
mod spare;
mod stream;
mod strips;
mod turned;

pub use attention::with_attention;
pub use shorten::shorten;
pub use spare::{arrange, spare_copies};
pub use stream::{by_rows, channels_last};
pub use strips::{Gain, Saving};

use mixel_core::All;
use mixel_core::kernels::{self, Needs, OpKind};
use mixel_core::plan::format::ALIGN;
use mixel_core::plan::strips::{self as core_strips, Group, Stage, Walk};
use mixel_core::plan::write::MemorySizes;
use mixel_core::plan::{Place, RawPlan};

use crate::emit::encode;
use crate::program::{Program, ProgramOperator, ProgramTensor};
use crate::{Error, ErrorKind, Result};

/// Blocks that the search may place: some tens of thousands of orders for the models that fit microcontrollers, half a
/// second.
const WORK: usize = 500_000;
/// Placements until the operators' scratch memory, which depends on them, is settled.
const ROUNDS: usize = 6;

/// Where a program's tensors lie and what memory that takes.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Byte offset of every tensor in its region.
    pub offsets: Vec<u32>,
    /// Sizes of the arena's regions.
    pub memory: MemorySizes,
    /// No placement of tensors and scratch memory can be smaller than this many bytes, in this order of operators.
    pub lower_bound: usize,
}

impl Placement {
    /// Bytes of the whole arena.
    pub fn arena(&self) -> usize {
        (self.memory.tensors + self.memory.scratch + self.memory.state) as usize
    }
}

/// Places all tensors of `program` that live in the arena: inputs until their last use, outputs to the end.
///
/// Deterministic: the same program gives the same placement.
///
/// # Errors
/// [`ErrorKind::Plan`] with the operator that the core does not take.
pub fn place(program: &Program) -> Result<Placement> {
    place_within(program, WORK)
}

fn place_within(program: &Program, work: usize) -> Result<Placement> {
    let (mut offsets, memory) = spread(program);
    let mut steps = steps(program, &offsets, memory)?;
    let buffers = liveness::buffers(program);
    let lower_bound = liveness::lower_bound(program, &buffers, &steps);
    for _ in 0..ROUNDS {
        let solution = search::solve(&liveness::problem(&buffers, &steps), lower_bound, work);
        for (buffer, &offset) in buffers.iter().zip(&solution.offsets) {
            for &tensor in &buffer.tensors {
                offsets[tensor as usize] = offset as u32;
            }
        }
        // Scratch memory lies in front, and tensors behind that of the operators that they live through. Operators that work in
        // place may need more of it than the draft says.
        let bytes = region(solution.bytes).max(scratch(&steps));
        let memory = MemorySizes { tensors: 0, scratch: bytes, ..memory };
        let found = self::steps(program, &offsets, memory)?;
        if found.iter().zip(&steps).all(|(found, known)| found.scratch <= known.scratch) {
            return Ok(Placement { offsets, memory, lower_bound });
        }
        for (known, found) in steps.iter_mut().zip(found) {
            known.scratch = known.scratch.max(found.scratch);
        }
    }
    // Room for the most that any operator needs, behind all tensors.
    let end = |(tensor, &offset): (&ProgramTensor, &u32)| offset + region(tensor.tensor.bytes());
    let arena =
        program.tensors.iter().zip(&offsets).filter(|(tensor, _)| tensor.tensor.place == Place::Arena);
    let tensors = arena.map(end).max().unwrap_or(0).next_multiple_of(ALIGN as u32);
    let memory = MemorySizes { tensors, scratch: scratch(&steps), ..memory };
    Ok(Placement { offsets, memory, lower_bound })
}

/// A placement in which no two tensors share memory, views apart: a draft to ask questions of, and what a good
/// placement must give the same results as.
pub fn place_apart(program: &Program) -> Result<Placement> {
    let (offsets, memory) = spread(program);
    let steps = steps(program, &offsets, memory)?;
    let lower_bound = liveness::lower_bound(program, &liveness::buffers(program), &steps);
    Ok(Placement { offsets, memory: MemorySizes { scratch: scratch(&steps), ..memory }, lower_bound })
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

fn scratch(steps: &[Step]) -> u32 {
    region(steps.iter().map(|step| step.scratch).max().unwrap_or(0))
}

/// What one step of a run needs: an operator, also one that runs in strips.
#[derive(Clone, Debug, Default)]
struct Step {
    scratch: usize,
    /// What it writes for later steps.
    outputs: Vec<u16>,
    /// For every tensor that it reads from earlier steps, how far behind its start an output may begin; none for no sharing.
    reach: Vec<(u16, Option<isize>)>,
    /// Whether it is slower when they share: a layer then copies its rows before it writes. (A convolution keeps rows anyway.)
    dear: bool,
}

/// What the core says that each step needs.
fn steps(program: &Program, offsets: &[u32], memory: MemorySizes) -> Result<Vec<Step>> {
    let draft = encode(program, offsets, memory, true)?;
    let plan = RawPlan::open(&draft).map_err(|error| fault(program, usize::MAX, error.to_string()))?;
    let mut steps = vec![Step::default(); program.operators.len()];
    let groups: Vec<Group<'_>> = plan.groups().collect();
    for group in &groups {
        let scratch = core_strips::check::<All>(plan, *group).map_err(|error| {
            fault(program, group.first, format!("the core does not take these strips: {error}"))
        })?;
        steps[group.operators()].clone_from_slice(&group_steps(program, plan, *group, scratch));
    }
    for (index, step) in steps.iter_mut().enumerate() {
        if groups.iter().any(|group| group.operators().contains(&index)) {
            continue;
        }
        let kind = program.operators[index].kind;
        let operator = plan
            .operator(index)
            .ok_or_else(|| fault(program, index, format!("the record of this {kind:?} is not valid")))?;
        let Needs { scratch, reach, .. } = kernels::needs(&operator).map_err(|what| {
            fault(program, index, format!("the core does not take this {kind:?}: {what:?}"))
        })?;
        let ProgramOperator { inputs, outputs, .. } = &program.operators[index];
        let reach = inputs.iter().copied().zip(reach).collect();
        *step = Step { scratch, outputs: outputs.clone(), reach, dear: kind == OpKind::Linear };
    }
    Ok(steps)
}

/// What the operators of a group need, all with the scratch memory of the group. The last step has what the group does as a
/// whole, unless its output leaves strip by strip.
fn group_steps(program: &Program, plan: RawPlan<'_>, group: Group<'_>, scratch: usize) -> Vec<Step> {
    let operators = &program.operators[group.operators()];
    let made: Vec<u16> = operators.iter().flat_map(|operator| operator.outputs.iter().copied()).collect();
    let strips = program.strips.iter().find(|strips| strips.first == group.first);
    let passes = |index: usize| strips.is_some_and(|strips| strips.passing[index]);
    let dims = |tensor: u16| program.tensors[tensor as usize].tensor.dims;
    let mut steps: Vec<Step> = operators
        .iter()
        .enumerate()
        .map(|(index, operator)| {
            let mut step = Step { scratch, ..Step::default() };
            if passes(index) {
                step.outputs.clone_from(&operator.outputs);
                // Rows that are read where they are written: what works element by element may do so in place.
                let alike = |input: &u16| made.contains(input) && dims(*input) == dims(operator.outputs[0]);
                let needs =
                    plan.operator(group.first + index).and_then(|operator| kernels::needs(&operator).ok());
                let reach = |at: usize| needs.and_then(|needs| needs.reach[at]).map(|reach| reach.min(0));
                let inputs = operator.inputs.iter().enumerate();
                step.reach =
                    inputs.map(|(at, &input)| (input, reach(at).filter(|_| alike(&input)))).collect();
            }
            step
        })
        .collect();
    let (Some(last), Some(step)) = (operators.last(), steps.last_mut()) else { return steps };
    if group.streams {
        return steps;
    }
    step.outputs.clone_from(&last.outputs);
    step.reach.clear();
    let mut room = room(group);
    let mut walk = Walk::enter(plan, group, &mut room).ok();
    for &input in operators.iter().flat_map(|operator| &operator.inputs) {
        if made.contains(&input) || step.reach.iter().any(|(known, _)| *known == input) {
            continue;
        }
        // The last operator has its own rule where it reads and writes the same memory in one strip.
        let apart = last.inputs.contains(&input).then_some(None);
        let found = walk.as_mut().and_then(|walk| core_strips::reach(plan, group, walk, input).ok());
        let found = found.filter(|&reach| reach > isize::MIN);
        step.reach.push((input, apart.unwrap_or(found)));
    }
    steps
}

/// Whether the memory of each output of `group` is free from one strip to the next; none when the core cannot walk it.
fn passing(plan: RawPlan<'_>, group: Group<'_>) -> Option<Vec<bool>> {
    let mut room = room(group);
    let passing = core_strips::passing(&mut Walk::enter(plan, group, &mut room).ok()?);
    Some((0..group.count).map(|index| passing >> index & 1 == 1).collect())
}

/// Memory for a walk through `group`.
fn room(group: Group<'_>) -> Vec<Stage> {
    vec![Stage::IDLE; group.count]
}

fn fault(program: &Program, index: usize, what: String) -> Error {
    let name = program.operators.get(index).map_or("", |operator| &operator.name);
    Error::new(ErrorKind::Plan, name, what).hint("this is a fault of mixel; please report it with the model")
}

#[cfg(test)]
mod tests;
