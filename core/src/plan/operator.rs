//! Operators as a plan lists them.

use super::RawPlan;
use super::cursor::Cursor;
use super::error::Fault;
use super::format::Section;
use super::strips::View;
use super::tensor::{Place, Tensor};
use super::write::Constant;
use crate::arch::view::{Element, In};
use crate::kernels::OpKind;
use crate::kernels::short_channels::{Short, Source};

/// Most operands that one operator has, inputs and outputs together.
pub const MAX_OPERANDS: usize = 8;

/// An operator as it stands in the file.
pub(super) struct Record<'p> {
    pub kind: u16,
    inputs: u8,
    outputs: u8,
    /// Operands and parameters.
    rest: &'p [u8],
    index: u16,
}

/// One operator of a plan: its kind, operands and parameters.
#[derive(Clone, Copy)]
pub struct Operator<'p> {
    /// What it does.
    pub kind: OpKind,
    /// Its place in the execution order.
    pub index: u16,
    /// Number of inputs.
    pub inputs: u8,
    /// Number of outputs.
    pub outputs: u8,
    plan: RawPlan<'p>,
    operands: [u16; MAX_OPERANDS],
    params: Cursor<'p>,
    view: Option<View>,
    channels: &'p Source<'p>,
}

impl<'p> Record<'p> {
    fn new(bytes: &'p [u8], index: usize) -> Self {
        let (head, rest) = bytes.split_first_chunk().unwrap_or((&[0; 2], &[]));
        let [kind, operands] = *head;
        Self { kind: kind as u16, inputs: operands & 15, outputs: operands >> 4, rest, index: index as u16 }
    }

    /// Checks the number of the operands, and each of them.
    pub fn check(&self, plan: RawPlan<'p>) -> Result<Operator<'p>, Fault> {
        let operator = self.find(plan).ok_or(match OpKind::from_code(self.kind) {
            None => Fault::Code,
            Some(_) => Fault::Operands,
        })?;
        for operand in 0..operator.inputs as usize + operator.outputs as usize {
            plan.tensor(operator.tensor_index(operand))?;
        }
        for output in 0..operator.outputs as usize {
            if operator.output(output)?.place == Place::Data {
                return Err(Fault::Bounds);
            }
        }
        Ok(operator)
    }

    /// Finds what belongs to it; none when its kind is unknown or an operand is not there.
    fn find(&self, plan: RawPlan<'p>) -> Option<Operator<'p>> {
        let kind = OpKind::from_code(self.kind)?;
        let count = self.inputs as usize + self.outputs as usize;
        let (mut params, mut operands) = (Cursor::new(self.rest), [0; MAX_OPERANDS]);
        let places = operands.get_mut(..count)?;
        places.iter_mut().for_each(|operand| *operand = params.short());
        if params.overrun() || self.outputs == 0 {
            return None;
        }
        let (inputs, outputs, index) = (self.inputs, self.outputs, self.index);
        Some(Operator {
            kind,
            index,
            inputs,
            outputs,
            plan,
            operands,
            params,
            view: None,
            channels: &Source::Plan,
        })
    }
}

impl<'p> Operator<'p> {
    pub(super) fn record(plan: RawPlan<'p>, index: usize) -> Record<'p> {
        Record::new(plan.operator_bytes(index).unwrap_or(&[]), index)
    }

    pub(super) fn read(plan: RawPlan<'p>, index: usize) -> Option<Self> {
        let bytes = plan.operator_bytes(index)?;
        Record::new(bytes, index).find(plan)
    }

    /// The plan that it is part of.
    pub fn plan(&self) -> RawPlan<'p> {
        self.plan
    }

    /// Index in the tensor table of operand `operand`, inputs first.
    pub fn tensor_index(&self, operand: usize) -> u16 {
        self.operands.get(operand).copied().unwrap_or(0)
    }

    /// Has it see some of the rows of its operands only. In place, as a copy costs more than many a row.
    pub fn look(&mut self, view: View) {
        self.view = Some(view);
    }

    /// Whether its channels are stored in short form ([`crate::kernels::short_channels`]).
    pub fn has_short_channels(&self) -> bool {
        Short::of(self).is_some()
    }

    /// The same operator with its channels from `source`.
    pub(crate) fn with_channels(self, channels: &'p Source<'p>) -> Self {
        Self { channels, ..self }
    }

    /// Where its channels are.
    pub(crate) fn channels(&self) -> &'p Source<'p> {
        self.channels
    }

    /// Whether its channels were checked where the kernel does not see them.
    pub(crate) fn vouched(&self) -> bool {
        matches!(self.channels, Source::Checked)
    }

    /// Whether rows in front of those that it sees have been through it in this run.
    pub(crate) fn resumed(&self) -> bool {
        self.view.is_some_and(|view| view.resumed)
    }

    /// What it sees of its operands, when that is not all.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    fn tensor(&self, operand: usize) -> Result<Tensor, Fault> {
        let mut tensor = self.plan.tensor(self.tensor_index(operand))?;
        if let Some(view) = &self.view {
            view.narrow(operand, &mut tensor);
        }
        Ok(tensor)
    }

    /// Input `index`.
    ///
    /// # Errors
    /// [`Fault::Operands`] when there is none.
    pub fn input(&self, index: usize) -> Result<Tensor, Fault> {
        if index >= self.inputs as usize {
            return Err(Fault::Operands);
        }
        self.tensor(index)
    }

    /// Output `index`.
    ///
    /// # Errors
    /// [`Fault::Operands`] when there is none.
    pub fn output(&self, index: usize) -> Result<Tensor, Fault> {
        if index >= self.outputs as usize {
            return Err(Fault::Operands);
        }
        self.tensor(self.inputs as usize + index)
    }

    /// The one input and the one output of an operator that has just these.
    ///
    /// # Errors
    /// [`Fault::Operands`] when the numbers differ.
    pub fn unary(&self) -> Result<(Tensor, Tensor), Fault> {
        if (self.inputs, self.outputs) != (1, 1) {
            return Err(Fault::Operands);
        }
        Ok((self.tensor(0)?, self.tensor(1)?))
    }

    /// The two inputs and the one output of an operator that has just these.
    ///
    /// # Errors
    /// [`Fault::Operands`] when the numbers differ.
    pub fn binary(&self) -> Result<(Tensor, Tensor, Tensor), Fault> {
        if (self.inputs, self.outputs) != (2, 1) {
            return Err(Fault::Operands);
        }
        Ok((self.tensor(0)?, self.tensor(1)?, self.tensor(2)?))
    }

    /// The three inputs and the one output of an operator that has just these.
    ///
    /// # Errors
    /// [`Fault::Operands`] when the numbers differ.
    pub fn ternary(&self) -> Result<([Tensor; 3], Tensor), Fault> {
        if (self.inputs, self.outputs) != (3, 1) {
            return Err(Fault::Operands);
        }
        Ok(([self.tensor(0)?, self.tensor(1)?, self.tensor(2)?], self.tensor(3)?))
    }

    /// Its parameters, to be read field by field.
    pub fn params(&self) -> Cursor<'p> {
        self.params
    }

    /// Reads (byte offset, elements) from `cursor` and gives that part of the data section; empty when it does
    /// not lie in the section or is not aligned for `T`.
    pub fn constant<T: Element>(&self, cursor: &mut Cursor<'_>) -> In<'p, T> {
        self.slice(Constant::read(cursor))
    }

    /// A part of the data section; empty when it does not lie in it or is not aligned for `T`.
    #[inline(never)]
    pub fn slice<T: Element>(&self, constant: Constant) -> In<'p, T> {
        let (offset, count) = (constant.offset as usize, constant.count);
        let end = count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        let bytes = end.and_then(|end| self.plan.section(Section::Data).get(offset..end));
        In::from_bytes(bytes.unwrap_or(&[]))
    }
}
