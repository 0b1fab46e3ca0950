//! Program and offsets to plan bytes, and back through the core's own reader.

use mixel_core::plan::format::{self, Section};
use mixel_core::plan::strips::group_bytes;
use mixel_core::plan::write::{DRAFT_OPERATOR, MemorySizes, WriteError, Writer};
use mixel_core::plan::{EventFrontEnd, FrontEnd, Plan};

use crate::aligned::Aligned;
use crate::plan::Placement;
use crate::program::{Program, ProgramOperator};
use crate::{Error, ErrorKind, Result};

/// Writes the plan of `program` with its memory placed by `placement`; with `strip`, without operator names.
///
/// # Errors
/// [`ErrorKind::Plan`] when the core's reader refuses the result, with the operator's name.
pub fn emit(program: &Program, placement: &Placement, strip: bool) -> Result<Aligned> {
    let bytes = encode(program, &placement.offsets, placement.memory, strip)?;
    match Plan::new_checked(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(refused(program, error)),
    }
}

fn refused(program: &Program, error: mixel_core::PlanError) -> Error {
    use mixel_core::PlanError::{NotLinked, Operator, Tensor, UnknownOperator};
    let path = match error {
        Operator(index, ..) | NotLinked(index, _) | UnknownOperator(index, _) => {
            program.operators.get(index as usize).map(|operator| operator.name.clone())
        }
        Tensor(index, _) => program.tensors.get(index as usize).map(|tensor| tensor.name.clone()),
        _ => None,
    };
    Error::new(ErrorKind::Plan, path.unwrap_or_default(), "the plan that came out is not valid")
        .hint("this is a fault of mixel; please report it with the model")
        .caused_by(error)
}

/// Writes a plan with the tensor offsets given, checked or not.
///
/// # Errors
/// [`ErrorKind::Internal`] when an operator has more operands than a plan can say.
pub fn encode(program: &Program, offsets: &[u32], memory: MemorySizes, strip: bool) -> Result<Aligned> {
    let room = room(program);
    let mut memory_for_sections = vec![0; room.iter().sum()];
    let mut writer = Writer::new(&mut memory_for_sections, room);
    write(program, offsets, strip, &mut writer)
        .and_then(|()| {
            let bound =
                format::header::SIZE + room.iter().map(|room| room + program.layout.align()).sum::<usize>();
            let mut plan = Aligned::zeroed(bound);
            let len = writer.finish(program.layout, memory, &mut plan)?;
            plan.truncate(len);
            Ok(plan)
        })
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "", "the plan cannot be written")
                .hint("this is a fault of mixel; please report it with the model")
                .caused_by(error)
        })
}

fn write(
    program: &Program,
    offsets: &[u32],
    strip: bool,
    writer: &mut Writer<'_>,
) -> std::result::Result<(), WriteError> {
    for (tensor, &offset) in program.tensors.iter().zip(offsets) {
        writer.tensor(&mixel_core::plan::Tensor { offset, ..tensor.tensor })?;
    }
    writer.data(&program.data)?;
    let mut before = "";
    for operator in &program.operators {
        writer.operator(operator.kind, &operator.inputs, &operator.outputs, &operator.params)?;
        if !strip {
            writer.name(before, &operator.name)?;
            before = &operator.name;
        }
    }
    for strips in &program.strips {
        writer.strips((strips.first as u16, strips.rows, strips.streams), &strips.heights)?;
    }
    for port in &program.ports {
        let name = writer.string(&port.name)?;
        writer.port_as(port.tensor, port.direction, (port.interface, port.channels_first), name)?;
    }
    for &(state, initial) in &program.states {
        writer.state(state, initial)?;
    }
    let front_end = match (program.front_end.text, program.front_end.events, program.count_table) {
        (Some(spec), ..) => FrontEnd::Text { text: spec.text, head: spec.head },
        (None, Some(spec), Some(table)) => {
            FrontEnd::Events(EventFrontEnd { histogram: spec.histogram, window_us: spec.window_us, table })
        }
        _ => program.front_end.image.map_or(FrontEnd::None, FrontEnd::Image),
    };
    writer.front_end(&front_end, program.front_end.labels.iter().map(String::as_str))
}

/// Bytes that each section takes at most.
fn room(program: &Program) -> [usize; Section::COUNT] {
    /// Of an integer of parameters: the length of a name, a number of a tensor.
    const SHORT: usize = 5;
    let (tensors, operators) = (program.tensors.len(), &program.operators);
    let texts = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.len() + 2 * SHORT).sum();
    Section::ALL.map(|section| match section {
        Section::Data => program.data.len(),
        Section::Shapes => tensors * format::SHAPE_SIZE,
        Section::Scales => tensors * format::SCALE_SIZE,
        Section::Tensors => tensors * format::TENSOR_SIZE,
        Section::Operators => operators.len() * DRAFT_OPERATOR,
        Section::Params => {
            let operands = |operator: &ProgramOperator| operator.inputs.len() + operator.outputs.len();
            operators.iter().map(|operator| 2 + SHORT * operands(operator) + operator.params.len()).sum()
        }
        Section::Ports => (program.ports.len() + program.states.len()) * format::PORT_SIZE,
        Section::Strings => texts(&mut program.ports.iter().map(|port| &port.name)),
        Section::Names => texts(&mut operators.iter().map(|operator| &operator.name)),
        Section::FrontEnd => 32 + texts(&mut program.front_end.labels.iter()),
        Section::Strips => program.strips.iter().map(|strips| group_bytes(strips.heights.len())).sum(),
    })
}
