//! Layers that make some channels of their output, between others that they must leave alone.

use bytemuck::Pod;
use mixel_core::kernels::part::Part;
use mixel_core::kernels::requant::Quantized;

use crate::{Failure, Pool, Random, UNWRITTEN};

/// The channels in front of a part and behind it.
#[derive(Clone, Copy, Debug)]
pub struct Between([usize; 2]);

impl Between {
    /// A few, or none where the output is made whole.
    pub fn random(part: bool, random: &mut Random) -> Self {
        Self(if part { [random.size(0, 5), random.size(0, 5)] } else { [0; 2] })
    }

    /// Channels of the output when the part has `outputs`.
    pub fn channels(self, outputs: usize) -> usize {
        self.0[0] + outputs + self.0[1]
    }

    /// The first channel of the part.
    pub fn first(self) -> u16 {
        self.0[0] as u16
    }

    /// The part of `outputs` channels.
    pub fn part(self, outputs: usize) -> Part {
        Part::channels(self.first(), outputs as u16)
    }

    /// The output when the part is `made`, and the rest of the arena as it was before the run.
    ///
    /// # Errors
    /// [`Failure::Memory`].
    pub fn expected<'m, Y: Pod + Quantized>(
        self,
        pool: &mut Pool<'m>,
        made: &'m [Y],
        outputs: usize,
    ) -> Result<&'m [Y], Failure> {
        if self.0 == [0; 2] {
            return Ok(made);
        }
        let whole = pool.take::<Y>(made.len() / outputs * self.channels(outputs))?;
        let unwritten = Y::narrow(i8::from_le_bytes([UNWRITTEN]).into());
        for (whole, made) in whole.chunks_exact_mut(self.channels(outputs)).zip(made.chunks_exact(outputs)) {
            whole.fill(unwritten);
            whole[self.0[0]..][..outputs].copy_from_slice(made);
        }
        Ok(whole)
    }
}
