//! Layers that make some of the channels of their output and leave the others as they are, so that the parts of a concatenation
//! are made where they belong.
//!
//! Each is a kind of its own, with a [`Part`] in front of the parameters, and shares no memory with its input: rows of the output
//! are longer than what is made of them, and others may have been made already.

use core::ops::Range;

use super::matrix::Weights;
use super::requant::Quantized;
use super::{OpKind, Run};
use crate::arch::view::Out;
use crate::plan::cursor::Cursor;
use crate::plan::{Operator, Tensor, write};

/// The channels of its output that an operator makes, one or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first of them.
    pub first: u16,
    /// How many there are.
    pub outputs: u16,
}

impl Part {
    /// Reads what [`Part::encode`] writes.
    pub(super) fn read(params: &mut Cursor<'_>) -> Self {
        Self { first: params.short(), outputs: params.short() }
    }

    /// What stands in front of the operator's other parameters.
    pub fn encode(self) -> write::Params {
        write::Params::new().u16(self.first).u16(self.outputs)
    }
}

/// Whether `operator` makes some channels of its output only.
pub(super) fn is_part<W: Weights>(operator: &Operator<'_>) -> bool {
    W::PART && matches!(operator.kind, OpKind::ConvPart | OpKind::LinearPart)
}

/// The channels of `output` that `operator` makes, as `params` begin with where it is a part; none when they are not in it.
pub(super) fn channels<W: Weights>(
    operator: &Operator<'_>,
    params: &mut Cursor<'_>,
    output: &Tensor,
) -> Option<Range<usize>> {
    if !is_part::<W>(operator) {
        return Some(0..output.inner());
    }
    let Part { first, outputs } = Part::read(params);
    let (first, outputs) = (first as usize, outputs as usize);
    (outputs > 0 && first + outputs <= output.inner()).then_some(first..first + outputs)
}

/// The elements of `output` from the first channel on that the operator makes: what it makes is as far from there as it would be
/// from the beginning of a tensor that it makes whole, channels of the others between.
pub(super) fn places<'r, Y: Quantized, W: Weights>(run: &'r Run<'_>, output: &Tensor) -> Out<'r, Y> {
    let y = run.write::<Y>(output);
    if !W::PART {
        return y;
    }
    let part = channels::<W>(run.operator(), &mut run.operator().params(), output);
    y.window(part.map_or(0, |part| part.start), y.len())
}
