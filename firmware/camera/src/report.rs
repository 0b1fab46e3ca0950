//! What an application has to tell of its stream.

use mixel_core::event_session::{Seen, Stage};
use mixel_core::events::Counts;

/// Ticks of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sum {
    /// In all.
    pub total: u64,
    /// From one answer to the next, at most.
    pub worst: u64,
    /// How often the stage ended, which is how many readings of the clock are in its ticks.
    pub entered: u32,
}

/// The stream so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the decoder saw and dropped; its gaps are those that were told.
    pub counts: Counts,
    /// Windows and tokens.
    pub seen: Seen,
    /// Chunks of the source.
    pub chunks: u32,
    /// How often the source lost bytes.
    pub losses: u32,
    /// Bytes that it lost, as far as known.
    pub lost_bytes: u64,
    /// Microseconds of the sensor's clock from its first known time to its last.
    pub sensor_us: u64,
    /// Ticks by stage, in the order of [`Stage::ALL`].
    pub stages: [Sum; Stage::ALL.len()],
    /// Ticks of waiting for the source.
    pub waiting: Sum,
    /// Ticks from a buffer being full to everything in it being decoded and answered, at most; 0 for recordings.
    pub worst_age: u32,
}

impl Report {
    /// Events a second of the sensor's time.
    pub fn event_rate(&self) -> u64 {
        (self.counts.events * 1_000_000).checked_div(self.sensor_us).unwrap_or(0)
    }
}
