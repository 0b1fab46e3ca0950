//! Running plans on this machine.

use std::path::Path;

use mixel_core::plan::{Plan, PlanError, Tensor};
use mixel_core::profile::Observer;
use mixel_core::session::Stream;
use mixel_core::{All, Session};

use crate::aligned::Aligned;
use crate::device::Sample;
use crate::{Error, ErrorKind, Result};

/// Reads the plan file at `path`, unchecked.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn read_plan(path: &Path) -> Result<Aligned> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::new(ErrorKind::Io, path.display().to_string(), "cannot be read")
            .hint("check the path")
            .caused_by(error)
    })?;
    Ok(Aligned::from(&bytes[..]))
}

/// Checks a plan that was read from `path`.
///
/// # Errors
/// [`ErrorKind::Plan`] with what to do about it.
pub fn open<'p>(bytes: &'p [u8], path: &str) -> Result<Plan<'p>> {
    Plan::new_checked(bytes).map_err(|error| {
        let hint = match error {
            PlanError::Truncated | PlanError::Checksum => {
                "the file is damaged; copy it again or compile the model again"
            }
            PlanError::Magic => "give a plan that `mixel compile` wrote, or an .onnx model",
            PlanError::Version(_) => "compile the model again with this version of mixel",
            PlanError::Layout(_) => {
                "compile the model again with a --target that this version of mixel knows"
            }
            _ => "compile the model again with this version of mixel",
        };
        Error::new(ErrorKind::Plan, path, "the plan is refused").hint(hint).caused_by(error)
    })
}

/// Runs `samples` through `plan`, each from a fresh state, and gives every sample's outputs as little-endian bytes.
/// `observe` gets (sample, operator, its first output) after every operator.
///
/// # Errors
/// [`ErrorKind::Input`] when a sample does not fit the plan.
pub fn on_host(
    plan: Plan<'_>,
    samples: &[Sample],
    observe: &mut dyn FnMut(usize, usize, &[u8]),
) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    let mut session = session(plan, &mut arena)?;
    let outputs = session.plan().outputs().count();
    let mut all = Vec::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        session.reset();
        feed(&mut session, index, sample)?;
        let mut images = Images::new(plan, sample);
        session.run_streamed(&mut images, &mut Each { sample: index, observe });
        let output = |output: usize| match std::mem::take(&mut images.outputs[output]) {
            Some(image) => image,
            None => session.output(output).to_vec(),
        };
        all.push((0..outputs).map(output).collect());
    }
    Ok(all)
}

/// A session of `plan` in `arena`.
///
/// # Errors
/// [`ErrorKind::Internal`] when the arena is too small.
pub fn session<'p, 'a>(plan: Plan<'p>, arena: &'a mut [u8]) -> Result<Session<'p, 'a, All>> {
    Session::new(plan, arena)
        .map_err(|error| Error::new(ErrorKind::Internal, "", "no session").caused_by(error))
}

/// Fills the inputs of `session` from sample number `index`.
///
/// # Errors
/// [`ErrorKind::Input`] when the sample does not fit the plan.
pub fn feed(session: &mut Session<'_, '_, All>, index: usize, sample: &Sample) -> Result<()> {
    let refused = |message: String| Error::new(ErrorKind::Input, format!("sample {index}"), message);
    match sample {
        Sample::Text(text) => {
            session.set_text(text.as_bytes()).map_err(|error| refused(error.to_string()))?;
        }
        Sample::Tensors { rows, inputs: given } => {
            let rows = rows.map_or(session.plan().max_rows(), |rows| rows as usize);
            session.set_rows(rows).map_err(|error| refused(error.to_string()))?;
            let inputs = session.plan().inputs().count();
            if given.len() != inputs {
                return Err(refused(format!("{} arrays for {inputs} inputs", given.len())));
            }
            for (input, bytes) in given.iter().enumerate() {
                let plan = *session.plan();
                let port = plan.inputs().nth(input);
                let wanted =
                    port.and_then(|port| plan.port_tensor(&port).ok()).map_or(0, |tensor| tensor.bytes());
                if wanted != bytes.len() {
                    let message = format!("{} bytes for input {input} of {wanted}", bytes.len());
                    return Err(refused(message));
                }
                // Images that come by rows are fetched during the run.
                if port.is_some_and(|port| plan.streamed(&port).is_none()) {
                    session.input(input).copy_from_slice(bytes);
                }
            }
        }
    }
    Ok(())
}

/// The images of one sample whose rows come and go during a run.
struct Images<'s> {
    inputs: &'s [Vec<u8>],
    /// Bytes of a row of each input.
    rows: Vec<usize>,
    /// What has come out of each output that goes by rows.
    outputs: Vec<Option<Vec<u8>>>,
}

impl<'s> Images<'s> {
    fn new(plan: Plan<'_>, sample: &'s Sample) -> Self {
        let inputs = match sample {
            Sample::Tensors { inputs, .. } => &inputs[..],
            Sample::Text(_) => &[],
        };
        let row = |tensor: Tensor| tensor.row_elements() * tensor.dtype.size();
        let rows = plan.inputs().map(|port| plan.tensor(port.tensor).map_or(0, row)).collect();
        let outputs = plan.outputs().map(|port| plan.streamed(&port).map(|_| Vec::new())).collect();
        Self { inputs, rows, outputs }
    }
}

impl Stream for Images<'_> {
    fn feed(&mut self, input: usize, first: usize, rows: &mut [u8]) {
        // A plan that is not the compiler's may ask for more rows than there are: those keep their zero points.
        let image = self.inputs.get(input).and_then(|image| image.get(first * self.rows[input]..));
        rows.iter_mut().zip(image.unwrap_or_default()).for_each(|(to, from)| *to = *from);
    }

    fn take(&mut self, output: usize, _first: usize, rows: &[u8]) {
        self.outputs[output].get_or_insert_default().extend_from_slice(rows);
    }
}

struct Each<'o> {
    sample: usize,
    observe: &'o mut dyn FnMut(usize, usize, &[u8]),
}

impl Observer for Each<'_> {
    fn begin(&mut self, _operator: usize) {}

    fn end(&mut self, operator: usize, output: &[u8]) {
        (self.observe)(self.sample, operator, output);
    }
}
