//! When buffers are needed, and how two of them may lie to each other.

use mixel_core::plan::{Direction, Place};

use std::collections::BTreeMap;

use super::Step;
use super::search::{Block, Pair, Problem};
use crate::program::{Program, Strips};

/// Memory of the arena that one tensor and its views share.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The tensors, in the order of the table.
    pub tensors: Vec<u16>,
    /// Size.
    pub bytes: usize,
    /// Largest element of the tensors, in bytes.
    pub element: usize,
    /// Step in which it is first written. Step 0 is the caller filling the inputs, step k + 1 operator k, and the last
    /// step the caller reading the outputs.
    pub first: usize,
    /// Step in which it is last used.
    pub last: usize,
    /// Step that it is an output of: that in which it is first written, but for the output of operators in strips, which is
    /// needed from the first of them on, that of the last one.
    pub written: usize,
}

/// The tensor whose memory `tensor` is.
pub fn root(program: &Program, tensor: u16) -> u16 {
    let mut root = tensor;
    // A chain of views is no longer than the table; a ring of them ends too.
    for _ in 0..program.tensors.len() {
        match program.tensors[root as usize].alias_of {
            Some(of) => root = of,
            None => break,
        }
    }
    root
}

/// All buffers of the arena.
pub fn buffers(program: &Program) -> Vec<Buffer> {
    let end = program.operators.len() + 1;
    let mut uses: Vec<Option<(usize, usize)>> = vec![None; program.tensors.len()];
    let mut touch = |tensor: u16, step: usize| {
        let (first, last) = uses[root(program, tensor) as usize].get_or_insert((step, step));
        (*first, *last) = (step.min(*first), step.max(*last));
    };
    for port in &program.ports {
        touch(port.tensor, if port.direction == Direction::Input { 0 } else { end });
    }
    let maker =
        |tensor: u16| program.operators.iter().position(|operator| operator.outputs.contains(&tensor));
    let mut written = BTreeMap::new();
    for (index, operator) in program.operators.iter().enumerate() {
        let group = program.strips.iter().find(|strips| strips.operators().contains(&index));
        for &tensor in operator.inputs.iter().chain(&operator.outputs) {
            match group {
                // All strips go through all operators: only what passes is needed for some of them.
                Some(strips) if !passes(strips, maker(tensor)) => {
                    touch(tensor, strips.first + 1);
                    touch(tensor, strips.operators().end);
                    // Where other parts of it are there already, it lies beside what the group reads.
                    let begins = maker(tensor) == Some(index) && operator.outputs.contains(&tensor);
                    if strips.operators().end == index + 1 && begins {
                        written.insert(tensor, index + 1);
                    }
                }
                _ => touch(tensor, index + 1),
            }
        }
    }
    let mut buffers: Vec<Buffer> = Vec::new();
    for owner in 0..program.tensors.len() as u16 {
        if program.tensors[owner as usize].tensor.place != Place::Arena || root(program, owner) != owner {
            continue;
        }
        let views = (0..program.tensors.len() as u16).filter(|&tensor| root(program, tensor) == owner);
        let tensors: Vec<u16> = views.collect();
        let shapes = || tensors.iter().map(|&tensor| program.tensors[tensor as usize].tensor);
        let bytes = shapes().map(|shape| shape.bytes()).max().unwrap_or(0);
        let element = shapes().map(|shape| shape.dtype.size()).max().unwrap_or(1);
        // What nothing uses still has to lie somewhere.
        let (first, last) = uses[owner as usize].unwrap_or((0, 0));
        let written = written.get(&owner).copied().unwrap_or(first);
        buffers.push(Buffer { tensors, bytes, element, first, last, written });
    }
    buffers
}

/// Whether what operator `maker` makes is a tensor of these operators in strips that passes.
fn passes(strips: &Strips, maker: Option<usize>) -> bool {
    let index = maker.filter(|maker| strips.operators().contains(maker)).map(|maker| maker - strips.first);
    index.is_some_and(|index| strips.passing[index])
}

/// How far behind the start of `input` the buffer `output` may begin when the two overlap in the one step in which
/// both are needed; none when they may not overlap.
fn reach(steps: &[Step], input: &Buffer, output: &Buffer) -> Option<isize> {
    let index = input.last.checked_sub(1).filter(|_| input.last == output.written)?;
    let step = steps.get(index)?;
    if !step.outputs.iter().any(|tensor| output.tensors.contains(tensor)) {
        return None;
    }
    // None is less than every reach: one operand that must not be overwritten decides. No operand: no reach.
    let operands = step.reach.iter().filter(|(tensor, _)| input.tensors.contains(tensor));
    operands.map(|&(_, reach)| reach).min().flatten()
}

/// The placement problem of these buffers.
pub fn problem(buffers: &[Buffer], steps: &[Step]) -> Problem {
    let mut problem = Problem {
        blocks: buffers
            .iter()
            .map(|buffer| Block {
                bytes: buffer.bytes,
                element: buffer.element,
                floor: floor(buffer, steps),
                first: buffer.first,
                last: buffer.last,
            })
            .collect(),
        pairs: Vec::new(),
    };
    for (i, a) in buffers.iter().enumerate() {
        for (j, b) in buffers.iter().enumerate() {
            // Each pair once, the one that begins earlier first.
            if (a.first, i) < (b.first, j) && b.first <= a.last {
                let reach = reach(steps, a, b);
                // They overlap in one step only, the last of the first.
                let dear =
                    a.last.checked_sub(1).and_then(|index| steps.get(index)).is_some_and(|step| step.dear);
                problem.pairs.push(Pair { before: i, after: j, reach, dear });
            }
        }
    }
    problem
}

/// Where `buffer` may begin: scratch memory lies in front of all that is needed in its step.
fn floor(buffer: &Buffer, steps: &[Step]) -> usize {
    let operators = buffer.first.saturating_sub(1)..buffer.last.min(steps.len());
    steps[operators].iter().map(|step| step.scratch).max().unwrap_or(0)
}

/// Bytes that some step needs however the buffers are placed, its scratch memory included.
pub fn lower_bound(program: &Program, buffers: &[Buffer], steps: &[Step]) -> usize {
    bounds(program, buffers, steps).max().unwrap_or(0)
}

/// The same of every step in turn.
pub fn bounds(program: &Program, buffers: &[Buffer], steps: &[Step]) -> impl Iterator<Item = usize> {
    let step_bound = move |step: usize| {
        let needed = |buffer: &&Buffer| buffer.first <= step && step <= buffer.last;
        // An input that operators in strips overwrite is counted in the first step of them.
        let counted = |buffer: &&Buffer| {
            let overwrites = |output: &Buffer| output.first < step && step <= output.written;
            !buffers.iter().any(|output| overwrites(output) && reach(steps, buffer, output).is_some())
        };
        let live: Vec<&Buffer> = buffers.iter().filter(needed).filter(counted).collect();
        let outputs: Vec<&Buffer> = live.iter().copied().filter(|buffer| buffer.first == step).collect();
        let shared = |input: &Buffer| outputs.iter().filter_map(|output| reach(steps, input, output)).max();
        let all = |buffers: &mut dyn Iterator<Item = &Buffer>| buffers.map(|buffer| buffer.bytes).sum();
        let apart: usize = all(&mut live.iter().copied().filter(|b| b.first < step && shared(b).is_none()));
        let written: usize = all(&mut outputs.iter().copied());
        let overwritten = live.iter().copied().filter(|buffer| buffer.first < step);
        let overwritten: Vec<(usize, isize)> =
            overwritten.filter_map(|buffer| Some((buffer.bytes, shared(buffer)?))).collect();
        let read: usize = overwritten.iter().map(|(bytes, _)| bytes).sum();
        // An output that must begin `gap` bytes in front of its input, together with it; or the two apart.
        let pair = |(bytes, reach): &(usize, isize)| {
            let gap = (-reach).max(0) as usize;
            (bytes + gap).max(written).min(bytes + written)
        };
        let scratch = step.checked_sub(1).and_then(|index| steps.get(index)).map_or(0, |step| step.scratch);
        scratch + apart + overwritten.iter().map(pair).fold(read.max(written), usize::max)
    };
    (0..program.operators.len() + 2).map(step_bound)
}
