//! Images whose rows come and go during a run: from the job, and into memory until they are sent.

use mixel_core::{plan::RawPlan, session::Stream};
use mixel_wire::job::Sample;

use crate::Refused;

/// The images of one sample.
pub struct Images<'p, 'j, 'm> {
    plan: &'p RawPlan<'p>,
    sample: Sample<'j>,
    /// The output that goes by rows, and its bytes.
    output: Option<(usize, &'m mut [u8])>,
}

impl<'p, 'j, 'm> Images<'p, 'j, 'm> {
    /// Takes of `memory` what the output needs that goes by rows, if one does.
    ///
    /// # Errors
    /// [`Refused::Memory`].
    pub fn new(plan: &'p RawPlan<'p>, sample: Sample<'j>, memory: &'m mut [u8]) -> Result<Self, Refused> {
        let mut outputs = plan.outputs().enumerate();
        let output = match outputs.find(|(_, port)| plan.streamed(port).is_some()) {
            Some((index, port)) => {
                let needs = plan.port_tensor(&port).map_or(0, |tensor| tensor.bytes());
                let has = memory.len();
                Some((index, memory.get_mut(..needs).ok_or(Refused::Memory { needs, has })?))
            }
            None => None,
        };
        Ok(Self { plan, sample, output })
    }

    /// The whole of output `index`, if it goes by rows.
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        self.output.as_ref().filter(|(output, _)| *output == index).map(|(_, bytes)| &**bytes)
    }

    /// Bytes of a row of a tensor.
    fn row(&self, tensor: u16) -> usize {
        self.plan.tensor(tensor).map_or(0, |tensor| tensor.row_elements() * tensor.dtype.size())
    }
}

impl Stream for Images<'_, '_, '_> {
    fn feed(&mut self, input: usize, first: usize, rows: &mut [u8]) {
        let Some(port) = self.plan.inputs().nth(input) else { return };
        let image = self.sample.parts().nth(input).unwrap_or_default();
        let from = image.get(first * self.row(port.tensor)..).unwrap_or_default();
        rows.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }

    fn take(&mut self, output: usize, first: usize, rows: &[u8]) {
        let Some(port) = self.plan.outputs().nth(output) else { return };
        let start = first * self.row(port.tensor);
        let Some((_, image)) = &mut self.output else { return };
        let to = image.get_mut(start..).unwrap_or_default();
        to.iter_mut().zip(rows).for_each(|(to, from)| *to = *from);
    }
}
