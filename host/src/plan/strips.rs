//! Which operators run in strips of rows: those whose tensors in between make the arena large.
//!
//! Every range of neighbouring operators that go by rows is tried with a few strip heights. The lower bound of the memory
//! tells the promising ones, a placement decides. Strips cost nothing in products, since no row is computed twice, but
//! every strip calls every operator and moves the rows that are still needed. What saves enough for what it costs ([`Saving`]) is taken with
//! the least product of memory and work or, where a limit is given, the least work within it.

use std::ops::Range;

use mixel_core::kernels;
use mixel_core::pack::Layout;
use mixel_core::plan::strips::{Group, MAX_INPUTS, MAX_OPERATORS, Stage, Vertical, Walk};
use mixel_core::plan::{Direction, Operator, Place, RawPlan};
use serde::Serialize;

use super::{Placement, Step, group_steps, liveness, passing, place, place_within, room, spread, steps};
use crate::Result;
use crate::emit::encode;
use crate::program::{Program, Strips};

/// Rows of a strip that are tried.
const ROWS: [u16; 8] = [1, 2, 4, 6, 8, 12, 16, 24];
/// Candidates that are placed roughly, after all were sorted by their lower bound, and the best of them that are placed well: bounds of
/// neighbouring ranges are often equal, and their placements are not.
const ROUGHLY: usize = 240;
const WELL: usize = 12;
/// Work of the search for each of them.
const ROUGH_WORK: usize = 2_000;
const WORK: usize = 100_000;
/// Groups of one plan at most.
const GROUPS: usize = 3;
/// Bytes that are moved in an instruction, about.
const BYTES_AN_INSTRUCTION: usize = 8;
/// Share of the arena that is enough where strips cost little, or where the arena is beyond its limit.
const TENTH: f32 = 0.1;
/// Bytes that strips which only cost little must save: three times what their code takes of the flash.
const WORTH_CODE: usize = 12_288;

/// Instructions, about: of whole networks and of their strips as measured on emulated boards (docs/pipeline.md), where vectors go through
/// several values at once; of the other layouts only the proportion matters.
struct Costs {
    /// Of a multiply-accumulate.
    product: f32,
    /// Of an element that is written.
    element: f32,
    /// Of another call of an operator: the walk's, and what a kernel does before its first row and at the edges of rows.
    call: usize,
}

impl Costs {
    fn of(layout: Layout) -> Self {
        match layout {
            Layout::Generic => Self { product: 6.0, element: 8.0, call: 4000 },
            Layout::ArmDsp => Self { product: 1.0, element: 7.0, call: 4000 },
            Layout::Helium | Layout::X86 | Layout::Aarch64 => Self { product: 0.2, element: 1.3, call: 4000 },
        }
    }
}

/// What groups must save to be worth it: a share of the arena, or a tenth of it where they cost little and save much more than their code
/// takes, or where the arena is beyond its limit.
#[derive(Clone, Copy, Debug)]
pub struct Saving {
    /// Share of the arena.
    pub least: f32,
    /// Share of the instructions that all groups together may cost for a tenth of the arena to be enough.
    pub cheap: f32,
    /// Bytes of the arena above which a tenth is enough, and whatever comes below them.
    pub limit: usize,
    /// Whether what the walk takes of the stack counts as well.
    pub stack: bool,
}

/// What groups that were tried take: bytes of the arena, instructions beyond those of whole tensors, and bytes of the stack.
#[derive(Clone, Copy, Debug)]
struct Price {
    arena: usize,
    extra: usize,
    stack: usize,
}

impl Saving {
    /// Whether there may be groups at all.
    pub fn wanted(self) -> bool {
        self.least.is_finite()
    }

    /// Whether a group is worth its price in a network of `work` instructions whose arena takes `now` bytes: always where only that
    /// comes within the limit.
    fn enough(self, price: Price, now: usize, work: u64) -> bool {
        if price.arena <= self.limit && self.limit < now {
            return true;
        }
        let beyond = now > self.limit;
        let stack = if self.stack && !beyond { price.stack } else { 0 };
        let takes = price.arena + stack;
        let cheap = price.extra as f32 <= work as f32 * self.cheap && takes + WORTH_CODE <= now;
        let least = if beyond || cheap { self.least.min(TENTH) } else { self.least };
        takes as f32 <= now as f32 * (1.0 - least)
    }

    /// The same for an arena of `now` bytes: within its limit there is none any more.
    fn beyond(self, now: usize) -> Self {
        Self { limit: if now > self.limit { self.limit } else { usize::MAX }, ..self }
    }

    /// Orders what is tried, the best first, for a network of `work` instructions whose arena takes `now` bytes: by the product of memory and
    /// work, with memory in sixteenths of the arena, as less is not worth more calls; or, where there is a limit, by work within it and by
    /// memory beyond it.
    fn rank(self, Price { arena, extra, .. }: Price, now: usize, work: u64) -> (bool, u64, u64) {
        let [memory, extra, now] = [arena, extra, now].map(|count| count as u64);
        match self.limit {
            usize::MAX => (false, (memory * 16).div_ceil(now.max(1)) * (work + extra), memory),
            limit if arena <= limit => (false, extra, memory),
            _ => (true, memory, extra),
        }
    }
}

/// What a group gains and costs.
#[derive(Clone, Debug, Serialize)]
pub struct Gain {
    /// First and last operator of the group.
    pub operators: (usize, usize),
    /// Rows of the last output that a strip gives.
    pub rows: u16,
    /// Bytes of the arena without and with the group.
    pub arena_bytes: (usize, usize),
    /// Calls of operators beyond one each.
    pub extra_calls: usize,
    /// Bytes of line buffers that are moved in a run.
    pub moved_bytes: usize,
    /// Instructions that a run takes beyond those of whole tensors, about.
    pub extra_instructions: usize,
}

/// `program` with the groups that are worth it, its placement, and what each group gives.
///
/// # Errors
/// As [`place`].
pub fn in_strips(program: Program, saving: Saving) -> Result<(Program, Placement, Vec<Gain>)> {
    let mut placement = place(&program)?;
    if !saving.wanted() {
        return Ok((program, placement, Vec::new()));
    }
    let work = work(&program)?;
    let (mut program, mut gains) = (program, Vec::<Gain>::new());
    while gains.len() < GROUPS {
        // What groups cost is counted together.
        let spent: usize = gains.iter().map(|gain| gain.extra_instructions).sum();
        let Some((grouped, placed, gain)) = best(&program, &placement, saving, (work, spent))? else { break };
        (program, placement) = (grouped, placed);
        gains.push(gain);
    }
    Ok((program, placement, gains))
}

/// A group, the program with it, and what is known of it.
struct Candidate {
    program: Program,
    lower_bound: usize,
    gain: Gain,
}

impl Candidate {
    /// With an arena of so many bytes.
    fn price(&self, arena: usize) -> Price {
        let (first, last) = self.gain.operators;
        Price { arena, extra: self.gain.extra_instructions, stack: (last - first + 1) * size_of::<Stage>() }
    }
}

/// The best next group, if one is worth it.
fn best(
    program: &Program,
    now: &Placement,
    saving: Saving,
    (work, spent): (u64, usize),
) -> Result<Option<(Program, Placement, Gain)>> {
    let (offsets, memory) = spread(program);
    let draft = encode(program, &offsets, memory, true)?;
    let Ok(plan) = RawPlan::open(&draft) else { return Ok(None) };
    let saving = saving.beyond(now.arena());
    let enough = |arena: usize, candidate: &Candidate| {
        let price = candidate.price(arena);
        saving.enough(Price { extra: price.extra + spent, ..price }, now.arena(), work)
    };
    let rank = |arena: usize, candidate: &Candidate| saving.rank(candidate.price(arena), now.arena(), work);
    let steps = steps(program, &offsets, memory)?;
    let mut candidates = Vec::new();
    for range in ranges(program, plan) {
        for rows in ROWS {
            let Some(candidate) = candidate((program, plan, &steps), range.clone(), rows) else { continue };
            if enough(candidate.lower_bound, &candidate) {
                candidates.push(candidate);
            }
        }
    }
    candidates.sort_by_key(|candidate| rank(candidate.lower_bound, candidate));
    // Many may have a bound within the limit and no placement: those of least memory are tried as well.
    let mut dearer = candidates.split_off(candidates.len().min(ROUGHLY / 2));
    dearer.sort_by_key(|candidate| (candidate.lower_bound, candidate.gain.extra_instructions));
    let roughly = candidates.into_iter().chain(dearer).take(ROUGHLY).map(|candidate| {
        let placement = place_within(&candidate.program, ROUGH_WORK)?;
        Ok((placement.arena(), candidate))
    });
    let mut roughly = roughly.collect::<Result<Vec<_>>>()?;
    roughly.sort_by_key(|(arena, candidate)| rank(*arena, candidate));
    let mut placed = Vec::new();
    for (_, candidate) in roughly.into_iter().take(WELL) {
        let placement = place_within(&candidate.program, WORK)?;
        if enough(placement.arena(), &candidate) {
            placed.push((placement.arena(), candidate));
        }
    }
    let Some((_, chosen)) = placed.into_iter().min_by_key(|(arena, candidate)| rank(*arena, candidate))
    else {
        return Ok(None);
    };
    let placement = place(&chosen.program)?;
    let gain = Gain { arena_bytes: (now.arena(), placement.arena()), ..chosen.gain };
    Ok(Some((chosen.program, placement, gain)))
}

/// Instructions of a run without strips, about.
fn work(program: &Program) -> Result<u64> {
    let (offsets, memory) = spread(program);
    let draft = encode(program, &offsets, memory, true)?;
    let Ok(plan) = RawPlan::open(&draft) else { return Ok(0) };
    let costs = Costs::of(program.layout);
    let operators = (0..).map_while(|index| plan.operator(index));
    let work = operators.map(|operator| {
        let products = kernels::needs(&operator).map_or(0, |needs| needs.macs);
        let elements = operator.output(0).map_or(0, |output| output.elements());
        costs.call as f32 + costs.product * products as f32 + costs.element * elements as f32
    });
    Ok(work.map(f64::from).sum::<f64>() as u64)
}

/// Ranges of operators outside of groups that may run in strips: each goes by rows, and its output is read in the range
/// only, the last one's apart.
fn ranges(program: &Program, plan: RawPlan<'_>) -> Vec<Range<usize>> {
    let by_rows: Vec<bool> = (0..program.operators.len())
        .map(|index| {
            let grouped = program.strips.iter().any(|strips| strips.operators().contains(&index));
            !grouped && plan.operator(index).is_some_and(|operator| goes_by_rows(program, index, &operator))
        })
        .collect();
    let mut ranges = Vec::new();
    for first in 0..by_rows.len() {
        let until = (first..by_rows.len()).find(|&index| !by_rows[index]).unwrap_or(by_rows.len());
        for end in first + 2..=until.min(first + MAX_OPERATORS) {
            if (first..end - 1).all(|index| read_within(program, index, first..end)) {
                ranges.push(first..end);
            }
        }
    }
    ranges
}

fn goes_by_rows(program: &Program, index: usize, operator: &Operator<'_>) -> bool {
    let node = &program.operators[index];
    let plain = |&tensor: &u16| {
        let tensor = &program.tensors[tensor as usize];
        tensor.alias_of.is_none() && tensor.tensor.dims[0] == 1 && tensor.tensor.dynamic == 0
    };
    let [output] = node.outputs[..] else { return false };
    let tall = program.tensors[output as usize].tensor.dims[1];
    Vertical::of(operator).is_some_and(|vertical| !vertical.sums)
        && node.inputs.len() <= MAX_INPUTS
        && plain(&output)
        && node.inputs.iter().all(plain)
        && program.tensors[output as usize].tensor.place == Place::Arena
        && (2..=u16::MAX as u32).contains(&tall)
}

/// Whether the output of operator `index` is read by operators in `range` only, and as it is.
fn read_within(program: &Program, index: usize, range: Range<usize>) -> bool {
    let output = program.operators[index].outputs[0];
    let port = program.ports.iter().any(|port| port.tensor == output && port.direction == Direction::Output);
    let viewed = program.tensors.iter().any(|tensor| tensor.alias_of == Some(output));
    let reads = |operator: &crate::program::ProgramOperator| operator.inputs.contains(&output);
    let outside =
        program.operators.iter().enumerate().any(|(at, operator)| !range.contains(&at) && reads(operator));
    !port && !viewed && !outside
}

/// The program with `range` in strips of `rows`; none when the core cannot walk it.
fn candidate(
    (program, plan, steps): (&Program, RawPlan<'_>, &[Step]),
    range: Range<usize>,
    rows: u16,
) -> Option<Candidate> {
    let operators = &program.operators[range.clone()];
    let height = |tensor: u16| program.tensors[tensor as usize].tensor.dims[1] as u16;
    let heights: Vec<u16> = operators.iter().map(|operator| height(operator.outputs[0])).collect();
    if rows >= *heights.last()? {
        return None;
    }
    let bytes: Vec<u8> = heights.iter().flat_map(|height| height.to_le_bytes()).collect();
    let group = Group::new(range.start, rows, false, &bytes);
    let mut room = room(group);
    let mut walk = Walk::enter(plan, group, &mut room).ok()?;
    let (mut lines, mut calls, mut moved) = (vec![1; operators.len()], 0, 0);
    while walk.advance() {
        for (index, lines) in lines.iter_mut().enumerate() {
            *lines = walk.lines(index).max(*lines);
            let operator = plan.operator(range.start + index)?;
            moved += walk.keep(index, &operator).map_or(0, |keep| keep.bytes);
            calls += usize::from(walk.view(index, &operator).ok()?.is_some());
            walk.done(index);
        }
    }
    let mut grouped = program.clone();
    for (operator, &lines) in operators.iter().zip(&lines).take(operators.len() - 1) {
        grouped.tensors[operator.outputs[0] as usize].tensor.dims[1] = u32::from(lines);
    }
    let passing = passing(plan, group)?;
    let strips = Strips { first: range.start, rows, streams: false, heights, passing };
    let place = grouped.strips.partition_point(|other| other.first < strips.first);
    grouped.strips.insert(place, strips);
    let mut steps = steps.to_vec();
    steps[range.clone()].clone_from_slice(&group_steps(&grouped, plan, group, 0));
    let lower_bound = liveness::lower_bound(&grouped, &liveness::buffers(&grouped), &steps);
    let extra_calls = calls - operators.len().min(calls);
    let gain = Gain {
        operators: (range.start, range.end - 1),
        rows,
        arena_bytes: (0, 0),
        extra_calls,
        moved_bytes: moved,
        extra_instructions: extra_calls * Costs::of(program.layout).call + moved / BYTES_AN_INSTRUCTION,
    };
    Some(Candidate { program: grouped, lower_bound, gain })
}
