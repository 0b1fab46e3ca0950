//! Shorter forms of constants, once it is known which operators run in strips and where memory is left.
//!
//! A table becomes its steps ([`lut_steps`]), channels lose the bits that are the same in all of them ([`short_channels`]). Both are
//! brought back before every run of their operator, in every strip of one in strips, channels in its scratch memory: so only where
//! the run does much more than that, and where the arena grows by a hundredth at most, or within what it may take.

use std::collections::HashMap;

use mixel_core::arch::view::In;
use mixel_core::kernels::requant::Channels;
use mixel_core::kernels::window::Window;
use mixel_core::kernels::{self, OpKind, lut_steps, short_channels};
use mixel_core::pack::{DepthwiseOrder, Layout};
use mixel_core::plan::RawPlan;
use mixel_core::plan::cursor::Cursor;
use mixel_core::plan::format::ALIGN;
use mixel_core::plan::write::Constant;

use super::{Placement, encode, fault, liveness, place, steps};
use crate::Result;
use crate::program::{Program, ProgramOperator};

/// Least elements of an operator whose table is made from steps, some 3,000 instructions.
const ELEMENTS: usize = 8192;
/// Least multiply-accumulates for every channel that is brought back, some 100 instructions.
const MACS: u64 = 8192;
/// The same of one strip, where it may be a tenth of the work: few operators are in strips, and the plan would grow by their constants.
const MACS_IN_STRIP: u64 = 2048;

/// Least bytes that short channels save in a plan: bringing them back takes some 2,800 of the firmware, once for all plans.
const SAVED: usize = 1280;

/// What operators may have in short form.
struct Chosen {
    tables: Vec<bool>,
    channels: Vec<bool>,
}

/// `program` with shorter constants where that costs nearly nothing, and where its tensors lie then. The arena may take `limit` bytes, if
/// that is given.
///
/// # Errors
/// As [`place`].
pub fn shorten(program: Program, placement: Placement, limit: Option<usize>) -> Result<(Program, Placement)> {
    // Vectors pass through tables and channels in less time than it takes to bring them back.
    if !matches!(program.layout, Layout::Generic | Layout::ArmDsp) {
        return Ok((program, placement));
    }
    let mut least = chosen(&program, &placement, placement.lower_bound)?;
    let within = with(&program, &least);
    least.channels.fill(false);
    let usual = with(&program, &least);
    // With the limit more may be short; but bounds promise more than placements keep.
    let more = limit.filter(|&limit| limit > placement.lower_bound);
    let more =
        more.map(|limit| Ok((with(&program, &chosen(&program, &placement, limit)?), limit))).transpose()?;
    // A bound may be what a placement just misses.
    let little = placement.arena() + placement.arena() / 100;
    let little = limit.filter(|&limit| limit >= placement.arena()).map_or(little, |limit| little.min(limit));
    for (shorter, most) in more.into_iter().chain([(within, little)]) {
        if shorter.data.len() + SAVED <= usual.data.len() {
            let placed = place(&shorter)?;
            if placed.arena() <= most {
                return Ok((shorter, placed));
            }
        }
    }
    Ok((usual, placement))
}

fn chosen(program: &Program, placement: &Placement, most: usize) -> Result<Chosen> {
    let draft = encode(program, &placement.offsets, placement.memory, true)?;
    let plan = RawPlan::open(&draft).map_err(|error| fault(program, usize::MAX, error.to_string()))?;
    let steps = steps(program, &placement.offsets, placement.memory)?;
    let bounds: Vec<usize> = liveness::bounds(program, &liveness::buffers(program), &steps).collect();
    // How often an operator runs.
    let runs = |index: usize| {
        let strips = program.strips.iter().find(|strips| strips.operators().contains(&index));
        strips.map_or(1, |strips| strips.heights.last().map_or(1, |height| height.div_ceil(strips.rows)))
    };
    let table = |(index, operator): (usize, &ProgramOperator)| {
        let whole = plan.whole_operator(index).and_then(|operator| operator.output(0).ok());
        let elements = whole.map_or(0, |output| output.elements());
        operator.kind == OpKind::Lut && elements >= ELEMENTS * usize::from(runs(index))
    };
    let channels = |(index, operator): (usize, &ProgramOperator)| {
        use OpKind::{Conv, ConvPart, Depthwise, Linear, LinearPart};
        let kind = matches!(operator.kind, Linear | LinearPart | Conv | ConvPart | Depthwise);
        let count = operator.late().last().map_or(0, |channels| channels.count / 9);
        let needs = plan.whole_operator(index).and_then(|operator| kernels::needs(&operator).ok());
        let runs = u64::from(runs(index));
        let enough = if runs == 1 { MACS } else { MACS_IN_STRIP * runs };
        let much = needs.is_some_and(|needs| needs.macs >= enough * count as u64);
        // Room for depthwise weights as well, in front of the channels.
        let weights = if operator.kind == OpKind::Depthwise { 18 * count.next_multiple_of(4) } else { 0 };
        let bytes = (Channels::bytes(count) + weights).next_multiple_of(ALIGN);
        // Steps begin with the caller's.
        let room = bounds[index + 1] + bytes <= most;
        kind && much && room
    };
    let operators = || program.operators.iter().enumerate();
    Ok(Chosen { tables: operators().map(table).collect(), channels: operators().map(channels).collect() })
}

/// A constant, and what its offset has to be a multiple of.
type Form = (Vec<u8>, usize);

/// `program` with these constants in short form, where it is the shorter one.
fn with(program: &Program, chosen: &Chosen) -> Program {
    // A table that another operator needs as it is would be there twice.
    let whole = |constant: &Constant| {
        let users = program.operators.iter().zip(&chosen.tables);
        users.filter(|(operator, _)| operator.late().contains(constant)).any(|(_, chosen)| !chosen)
    };
    let usual = |constant: &Constant| -> Form {
        (program.data[constant.offset as usize..][..constant.count].to_vec(), program.layout.align())
    };
    let mut shorter = program.clone();
    let mut forms: Vec<Vec<Form>> = Vec::new();
    for (index, operator) in shorter.operators.iter_mut().enumerate() {
        let late = operator.late();
        let mut form: Vec<Form> = late.iter().map(usual).collect();
        if let (true, [.., (channels, _)]) = (chosen.channels[index], &form[..])
            && let Some(short) = short_form(channels)
        {
            if form.len() > 1 {
                form[0] = taps(program.layout, operator, channels.len() / 9, &form[0].0);
            }
            form.pop();
            form.push((short, 1));
        } else if let (true, [(table, _)]) = (chosen.tables[index] && !whole(&late[0]), &form[..])
            && let Some(steps) = steps_of(table)
        {
            operator.kind = OpKind::LutSteps;
            form = vec![(steps, 1)];
        }
        forms.push(form);
    }
    shorter.data.truncate(program.late);
    let mut offsets: HashMap<&[u8], u32> = HashMap::new();
    // What has to be aligned first.
    for aligned in [true, false] {
        for (bytes, align) in forms.iter().flatten().filter(|(_, align)| (*align > 1) == aligned) {
            let data = &mut shorter.data;
            offsets.entry(bytes).or_insert_with(|| {
                data.resize(data.len().next_multiple_of(*align), 0);
                data.extend_from_slice(bytes);
                (data.len() - bytes.len()) as u32
            });
        }
    }
    for (operator, form) in shorter.operators.iter_mut().zip(&forms) {
        let place = |(bytes, _): &Form| Constant { offset: offsets[&bytes[..]], count: bytes.len() };
        operator.set_late(&form.iter().map(place).collect::<Vec<_>>());
    }
    shorter
}

/// Weights of a depthwise convolution of `channels` channels, which are in the layout's order, tap by tap.
fn taps(layout: Layout, operator: &ProgramOperator, channels: usize, weights: &[u8]) -> Form {
    let kernel = Window::whole(&mut Cursor::new(&operator.params)).kernel.map(usize::from);
    if layout.depthwise(kernel) != DepthwiseOrder::Pairs {
        return (weights.to_vec(), layout.align());
    }
    let places = (0..9 * channels).map(|at| DepthwiseOrder::pair(at / channels, at % channels));
    // They fit the low byte.
    (places.map(|place| weights[place]).collect(), 1)
}

/// A table as its steps.
fn steps_of(table: &[u8]) -> Option<Vec<u8>> {
    let table = table.first_chunk::<256>()?.map(|entry| entry as i8);
    let mut bytes = Vec::new();
    lut_steps::pack(&table, |byte| bytes.push(byte))?;
    Some(bytes)
}

/// A block of channels in short form.
fn short_form(block: &[u8]) -> Option<Vec<u8>> {
    let (words, _) = block.as_chunks::<4>();
    let count = block.len() / 9;
    let words: Vec<i32> = words[..2 * count].iter().map(|word| i32::from_le_bytes(*word)).collect();
    let (bias, multiplier) = words.split_at(count);
    let channels = Channels {
        bias: In::new(bias),
        multiplier: In::new(multiplier),
        shift: In::new(&block[8 * count..]),
    };
    let mut bytes = Vec::new();
    short_channels::pack(&channels, |byte| bytes.push(byte))?;
    Some(bytes)
}
