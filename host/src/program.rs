//! A lowered model: operators, tensors and constants of a plan, before memory is assigned.

use mixel_core::kernels::OpKind;
use mixel_core::pack::Layout;
use mixel_core::plan::cursor::Cursor;
use mixel_core::plan::write::{Constant, Params};
use mixel_core::plan::{Direction, Interface, Tensor};

use crate::graph::{FrontEndSpec, ValueId};

/// Everything that a plan will hold. Arena offsets are zero until the memory planner sets them.
#[derive(Clone, Debug)]
pub struct Program {
    /// Target whose weight orders the constants have.
    pub layout: Layout,
    /// Tensors; `Place::Data` ones have their final offset in `data`.
    pub tensors: Vec<ProgramTensor>,
    /// Operators in execution order.
    pub operators: Vec<ProgramOperator>,
    /// The data section: weights, tables, constant operands. Each constant begins where the layout wants it
    /// ([`Layout::align`]).
    pub data: Vec<u8>,
    /// Where in `data` constants begin that may be stored in another form, [`ProgramOperator::late`] of operators and nothing
    /// else: what it is worth shows when all else is known.
    pub late: usize,
    /// Groups of operators that run in strips of rows, in execution order; their tensors in between have the rows of their
    /// line buffers.
    pub strips: Vec<Strips>,
    /// Inputs and outputs in the model's order.
    pub ports: Vec<ProgramPort>,
    /// Tensors that are kept from run to run, each with the constant that it begins with; indices into
    /// [`Program::tensors`].
    pub states: Vec<(u16, u16)>,
    /// Front end and labels.
    pub front_end: FrontEndSpec,
    /// Offset in `data` of the token values of counts, for a front end over events.
    pub count_table: Option<u32>,
    /// Bound of the dynamic dimension; 0 when all shapes are static.
    pub max_rows: usize,
}

/// Operators that run in strips; see [`mixel_core::plan::strips`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strips {
    /// The first of them.
    pub first: usize,
    /// Rows of the last output that a strip gives.
    pub rows: u16,
    /// Whether the last output leaves strip by strip.
    pub streams: bool,
    /// Height of the whole output of each.
    pub heights: Vec<u16>,
    /// Whether the memory of each output is free from one strip to the next ([`mixel_core::plan::strips::passing`]).
    pub passing: Vec<bool>,
}

impl Strips {
    /// The operators.
    pub fn operators(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.heights.len()
    }
}

/// A tensor of a program.
#[derive(Clone, Debug)]
pub struct ProgramTensor {
    /// As the plan stores it.
    pub tensor: Tensor,
    /// Name for reports.
    pub name: String,
    /// The graph value that it holds, if it is one.
    pub value: Option<ValueId>,
    /// The tensor whose memory this one is another view of (a reshape); it has no memory of its own.
    pub alias_of: Option<u16>,
}

/// An operator of a program.
#[derive(Clone, Debug)]
pub struct ProgramOperator {
    /// Kind.
    pub kind: OpKind,
    /// Indices into [`Program::tensors`].
    pub inputs: Vec<u16>,
    /// Indices into [`Program::tensors`].
    pub outputs: Vec<u16>,
    /// Parameters as the kernel reads them.
    pub params: Vec<u8>,
    /// The graph node's name.
    pub name: String,
}

/// Short integers in front of the weights among the parameters of `kind`, if it has some (docs/format.md).
pub fn in_front_of_weights(kind: OpKind) -> Option<usize> {
    use OpKind::*;
    match kind {
        Linear | Linear16 | LinearInt4 | LinearSparse => Some(0),
        LinearTurned => Some(1),
        Projection | Projection16 | ProjectionInt4 => Some(2),
        LinearPart => Some(3),
        Depthwise | Depthwise16 => Some(8),
        Conv | Conv16 | ConvTranspose | ConvTranspose16 | ConvInt4 | ConvSparse => Some(9),
        ConvPart => Some(12),
        _ => None,
    }
}

impl Program {
    /// Whether a later operator writes more of what operator `index` writes.
    pub fn unfinished(&self, index: usize) -> bool {
        let Some((operator, later)) = self.operators[index..].split_first() else { return false };
        later.iter().any(|later| later.outputs.iter().any(|output| operator.outputs.contains(output)))
    }

    /// Whether operator `index` runs in strips.
    pub fn in_strips(&self, index: usize) -> bool {
        self.strips.iter().any(|strips| strips.operators().contains(&index))
    }

    /// Leaves out an operator that does not run in strips.
    pub fn remove_operator(&mut self, index: usize) {
        self.operators.remove(index);
        self.strips.iter_mut().filter(|strips| strips.first > index).for_each(|strips| strips.first -= 1);
    }

    /// Leaves out tensors that nothing uses, and counts the others anew.
    pub fn remove_tensors(&mut self, unused: &[u16]) {
        let moved = |index: &mut u16| *index -= unused.iter().filter(|&&other| other < *index).count() as u16;
        let mut index = 0;
        self.tensors.retain(|_| {
            index += 1;
            !unused.contains(&(index - 1))
        });
        self.tensors.iter_mut().filter_map(|tensor| tensor.alias_of.as_mut()).for_each(moved);
        for operator in &mut self.operators {
            operator.inputs.iter_mut().chain(&mut operator.outputs).for_each(moved);
        }
        self.ports.iter_mut().for_each(|port| moved(&mut port.tensor));
        self.states.iter_mut().for_each(|(tensor, initial)| [tensor, initial].into_iter().for_each(moved));
    }
}

impl ProgramOperator {
    /// Its constants that may be stored in another form, counted in bytes: weights and channels of a depthwise convolution, the
    /// channels of other layers, the table of a look-up.
    pub fn late(&self) -> Vec<Constant> {
        self.around_late().map_or_else(Vec::new, |(_, constants, _)| constants)
    }

    /// Puts other constants in the places of [`ProgramOperator::late`].
    pub fn set_late(&mut self, constants: &[Constant]) {
        if let Some((before, _, behind)) = self.around_late() {
            let put = |params: Params, constant: &Constant| params.constant(constant.offset, constant.count);
            self.params = [constants.iter().fold(before, put).bytes(), behind].concat();
        }
    }

    fn around_late(&self) -> Option<(Params, Vec<Constant>, &[u8])> {
        let (mut cursor, mut before) = (Cursor::new(&self.params), Params::new());
        let mut late = 1;
        if !matches!(self.kind, OpKind::Lut | OpKind::LutSteps) {
            for _ in 0..in_front_of_weights(self.kind)? {
                before = before.u16(cursor.short());
            }
            if matches!(self.kind, OpKind::Depthwise | OpKind::Depthwise16) {
                late = 2;
            } else {
                let weights = Constant::read(&mut cursor);
                before = before.constant(weights.offset, weights.count);
            }
        }
        let constants = (0..late).map(|_| Constant::read(&mut cursor)).collect();
        (!cursor.overrun()).then(|| (before, constants, cursor.rest()))
    }
}

/// An input or output.
#[derive(Clone, Debug)]
pub struct ProgramPort {
    /// Index into [`Program::tensors`].
    pub tensor: u16,
    /// In or out.
    pub direction: Direction,
    /// What the model itself has there.
    pub interface: Interface,
    /// Whether the model itself has the channels first.
    pub channels_first: bool,
    /// The model's name for it.
    pub name: String,
}
