//! Memory for the counts of a window, out of the bytes that a board has left.

use mixel_core::events::histogram::{HistogramConfig, HistogramMemory};
use mixel_core::events::patch::Grid;

/// The board has less memory than the front end of the plan asks for, or not at a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TooSmall {
    /// Bytes that it asks for.
    pub needs: usize,
}

/// Bytes that [`event_memory`] takes for `config`.
pub const fn event_memory_len(config: &HistogramConfig) -> usize {
    4 * Grid::lookup_len(config.geometry) + 2 * config.grid.patches() + config.counts_len()
}

/// Lays tables and counts of `config` into `memory`, which begins at a multiple of 4.
///
/// # Errors
/// [`TooSmall`].
pub fn event_memory<'m>(
    config: &HistogramConfig,
    memory: &'m mut [u8],
) -> Result<HistogramMemory<'m>, TooSmall> {
    let too_small = TooSmall { needs: event_memory_len(config) };
    let memory = memory.get_mut(..too_small.needs).ok_or(too_small)?;
    let (lookup, rest) = memory.split_at_mut(4 * Grid::lookup_len(config.geometry));
    let (patches, counts) = rest.split_at_mut(2 * config.grid.patches());
    Ok(HistogramMemory {
        lookup: bytemuck::try_cast_slice_mut(lookup).map_err(|_| too_small)?,
        patches: bytemuck::try_cast_slice_mut(patches).map_err(|_| too_small)?,
        counts,
    })
}
