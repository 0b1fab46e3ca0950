//! Rows of an input on their way in: the input of a plan that takes images row by row stands whole nowhere.
//!
//! The operator computes nothing. It stands where rows enter a group of operators in strips ([`crate::plan::strips`]), with the
//! rows that the group still needs as its output; the session has them filled ([`crate::session::Stream`]).

use super::{Kernel, OpKind, Run};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, write};

/// The operator: no inputs; output `[1, rows, w, c]`.
pub struct Feed;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedParams {
    /// Which of the plan's inputs it is. Its tensor is the output of the first Feed that has it.
    pub input: u8,
}

impl FeedParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().u8(self.input)
    }

    /// Reads what [`FeedParams::encode`] writes.
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self { input: cursor.u8() };
        cursor.finished().then_some(params)
    }
}

impl Kernel for Feed {
    const KIND: OpKind = OpKind::Feed;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        if (operator.inputs, operator.outputs) != (0, 1) || operator.view().is_none() {
            return Err(Fault::Operands);
        }
        let params = FeedParams::read(operator.params()).ok_or(Fault::Params)?;
        let plan = operator.plan();
        let port = plan.inputs().nth(params.input as usize).ok_or(Fault::Params)?;
        let (tensor, rows) = (plan.tensor(port.tensor)?, operator.output(0)?);
        let [_, _, width, channels] = tensor.dims;
        let same = (rows.dtype, rows.zero_point) == (tensor.dtype, tensor.zero_point);
        match rows.dims {
            [1, _, w, c] if same && (w, c) == (width, channels) && rows.dynamic == 0 => Ok(()),
            _ => Err(Fault::Shapes),
        }
    }

    fn run(_run: &Run<'_>) {}
}
