//! Operators as a plan lists them.

use super::RawPlan;
use super::cursor::Cursor;
use super::error::Fault;
use super::format::{OPERATOR_SIZE, Section};
use super::strips::View;
use super::tensor::{Place, Tensor};
use super::write::Constant;
use crate::arch::view::{Element, In};
use crate::kernels::OpKind;

/// Most operands that one operator has, inputs and outputs together.
pub const MAX_OPERANDS: usize = 8;

/// An operator record as it stands in the file.
pub(super) struct Record {
    pub kind: u16,
    inputs: u8,
    outputs: u8,
    length: u16,
    offset: u32,
    pub name: u32,
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
    operands: &'p [u8],
    params: &'p [u8],
    name: u32,
    view: Option<View>,
}

impl Record {
    /// Checks the number of the operands, and each of them.
    pub fn check<'p>(&self, plan: RawPlan<'p>) -> Result<Operator<'p>, Fault> {
        let operator = self.find(plan)?;
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

    /// Finds what belongs to it, and checks that it is there.
    fn find<'p>(&self, plan: RawPlan<'p>) -> Result<Operator<'p>, Fault> {
        let kind = OpKind::from_code(self.kind).ok_or(Fault::Code)?;
        let count = self.inputs as usize + self.outputs as usize;
        let bytes = plan.section(Section::Params).get(self.offset as usize..);
        let bytes = bytes.and_then(|rest| rest.get(..self.length as usize)).ok_or(Fault::Params)?;
        let (operands, params) = bytes.split_at_checked(2 * count).ok_or(Fault::Operands)?;
        let operator = Operator {
            kind,
            index: self.index,
            inputs: self.inputs,
            outputs: self.outputs,
            plan,
            operands,
            params,
            name: self.name,
            view: None,
        };
        if count > MAX_OPERANDS || self.outputs == 0 {
            return Err(Fault::Operands);
        }
        Ok(operator)
    }
}

impl<'p> Operator<'p> {
    pub(super) fn record(plan: RawPlan<'p>, index: usize) -> Record {
        let records = plan.section(Section::Operators);
        let mut cursor = Cursor::new(records.chunks_exact(OPERATOR_SIZE).nth(index).unwrap_or(&[]));
        let (kind, operands) = (cursor.u8(), cursor.u8());
        Record {
            kind: kind as u16,
            inputs: operands & 15,
            outputs: operands >> 4,
            length: cursor.u16(),
            offset: cursor.word(),
            name: cursor.word(),
            index: index as u16,
        }
    }

    pub(super) fn read(plan: RawPlan<'p>, index: usize) -> Option<Self> {
        (index < plan.operator_count()).then(|| Self::record(plan, index).find(plan).ok()).flatten()
    }

    /// The model's name for it; empty when the plan was stripped.
    pub fn name(&self) -> &'p str {
        self.plan.string(self.name)
    }

    /// The plan that it is part of.
    pub fn plan(&self) -> RawPlan<'p> {
        self.plan
    }

    /// Index in the tensor table of operand `operand`, inputs first.
    pub fn tensor_index(&self, operand: usize) -> u16 {
        Cursor::new(self.operands.get(operand * 2..).unwrap_or(&[])).u16()
    }

    /// The same operator on some of the rows of its operands only.
    pub(crate) fn viewed(self, view: View) -> Self {
        Self { view: Some(view), ..self }
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
        let tensor = self.plan.tensor(self.tensor_index(operand))?;
        Ok(self.view.map_or(tensor, |view| view.of(operand, tensor)))
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
        Ok((self.input(0)?, self.output(0)?))
    }

    /// The two inputs and the one output of an operator that has just these.
    ///
    /// # Errors
    /// [`Fault::Operands`] when the numbers differ.
    pub fn binary(&self) -> Result<(Tensor, Tensor, Tensor), Fault> {
        if (self.inputs, self.outputs) != (2, 1) {
            return Err(Fault::Operands);
        }
        Ok((self.input(0)?, self.input(1)?, self.output(0)?))
    }

    /// Its parameters, to be read field by field.
    pub fn params(&self) -> Cursor<'p> {
        Cursor::new(self.params)
    }

    /// Reads (byte offset u32, elements u32) from `cursor` and gives that part of the data section; empty when it does
    /// not lie in the section or is not aligned for `T`.
    pub fn constant<T: Element>(&self, cursor: &mut Cursor<'_>) -> In<'p, T> {
        self.slice(Constant::read(cursor))
    }

    /// A part of the data section; empty when it does not lie in it or is not aligned for `T`.
    pub fn slice<T: Element>(&self, constant: Constant) -> In<'p, T> {
        let (offset, count) = (constant.offset as usize, constant.count);
        let end = count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        let bytes = end.and_then(|end| self.plan.section(Section::Data).get(offset..end));
        In::from_bytes(bytes.unwrap_or(&[]))
    }
}
