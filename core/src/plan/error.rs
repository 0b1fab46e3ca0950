//! Why a plan is refused.

use super::format::Section;
use crate::kernels::OpKind;

/// What is wrong with one tensor or operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum Fault {
    /// An unknown number code (type, place, kind, mode).
    Code,
    /// A dimension is zero or the size overflows.
    Dims,
    /// The memory lies outside its region or is not aligned for its type.
    Bounds,
    /// The number of operands does not fit the operator.
    Operands,
    /// The types of the operands do not go together.
    Types,
    /// The shapes of the operands do not go together, or not with the parameters.
    Shapes,
    /// A parameter is missing, left over or out of its range.
    Params,
    /// Weights or a table do not have the size that the shapes ask for.
    Constants,
    /// Operands share memory in a way that the operator does not allow.
    Aliasing,
    /// The operator needs more scratch memory than the plan provides, or than its operands leave.
    Scratch,
    /// A dimension that varies at run time is where the operator cannot have one.
    Dynamic,
    /// The lean kernel of its kind does not take the operator, and the firmware was built without the common ways; have the operator set
    /// written again.
    Lean,
}

/// Why [`crate::Plan::new_checked`] refuses a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PlanError {
    /// Fewer bytes than the header or than the length that the header states.
    Truncated,
    /// The plan does not lie at a multiple of 16 bytes in memory.
    Misaligned,
    /// It does not begin with `MIXL`: not a plan.
    Magic,
    /// Another format version; compile the model again with a matching `mixel`.
    Version(u16),
    /// Weights are packed for another target than this build runs; compile with its `--target`.
    Layout(u16),
    /// The checksum does not match: the file is damaged.
    Checksum,
    /// A section does not lie in the file, is not aligned or has a broken length.
    Section(Section),
    /// A tensor record is not valid.
    Tensor(u16, Fault),
    /// An operator record is not valid.
    Operator(u16, OpKind, Fault),
    /// An operator code that this version does not know.
    UnknownOperator(u16, u16),
    /// The plan needs an operator that this firmware was built without.
    NotLinked(u16, OpKind),
    /// The plan runs operators in strips of rows, which this firmware was built without.
    StripsNotLinked,
    /// So many operators of the plan run in strips together, for which the operator set has no room.
    StripsTooLong(u16),
    /// The plan keeps state from run to run, which this firmware was built without.
    StatesNotLinked,
    /// The plan has a front end for text or events, which the operator set leaves out.
    FrontEndNotLinked,
    /// The operator set is for one plan, which was verified with it, and this is another.
    OtherPlan,
    /// An input or output record is not valid.
    Port(u16),
    /// The record of the state in this tensor is not valid.
    State(u16),
    /// A name is not valid UTF-8 inside the strings section.
    String(u32),
    /// The front end's description is not valid.
    FrontEnd,
    /// Memory sizes in the header overflow.
    Memory,
}

impl core::fmt::Display for PlanError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated => f.write_str("the plan is cut off; copy or compile it again"),
            Self::Misaligned => f.write_str("the plan must lie at a multiple of 16 bytes in memory"),
            Self::Magic => f.write_str("not a plan: it does not begin with MIXL"),
            Self::Version(found) => write!(
                f,
                "plan format version {found}, this build reads version {}; compile the model again",
                super::format::VERSION
            ),
            Self::Layout(found) => write!(
                f,
                "weights are packed in layout {found}, which this build does not run; compile with the --target of this board"
            ),
            Self::Checksum => f.write_str("the checksum does not match: the plan is damaged"),
            Self::Section(section) => write!(f, "section {section:?} is not valid"),
            Self::Tensor(index, fault) => write!(f, "tensor {index}: {fault:?}"),
            Self::Operator(index, kind, fault) => write!(f, "operator {index} ({kind:?}): {fault:?}"),
            Self::UnknownOperator(index, code) => {
                write!(f, "operator {index} has code {code}, which this version does not know")
            }
            Self::NotLinked(index, kind) => write!(
                f,
                "operator {index} is a {kind:?}, which this firmware was built without; add it to the operator set"
            ),
            Self::FrontEndNotLinked => f.write_str(
                "the plan has a front end for text or events, which this firmware was built without; take `front_end: false` out of \
                 the operator set",
            ),
            Self::StatesNotLinked => f.write_str(
                "the plan keeps state from run to run, which this firmware was built without; take `states: false` out of the operator \
                 set",
            ),
            Self::OtherPlan => f.write_str(
                "the operator set was written for another plan; write both in one go, or the set with `--any-plan`",
            ),
            Self::StripsNotLinked => f.write_str(
                "the plan runs in strips of rows, which this firmware was built without; add `strips: true` to the operator set",
            ),
            Self::StripsTooLong(count) => write!(
                f,
                "{count} operators of the plan run in strips of rows together, which this firmware has no room for; write \
                 `strips: {count};` in the operator set",
            ),
            Self::Port(index) => write!(f, "input or output {index} is not valid"),
            Self::State(tensor) => write!(f, "the state in tensor {tensor} has no fitting first value"),
            Self::String(offset) => write!(f, "the name at {offset} is not valid"),
            Self::FrontEnd => f.write_str("the front end's description is not valid"),
            Self::Memory => f.write_str("the memory sizes overflow"),
        }
    }
}

impl core::error::Error for PlanError {}
