//! Windows and the histogram of the open one, as a sink.
//!
//! Sparse streams spend most on events as such: they are written down, cut into windows and read again. An
//! [`Accumulator`] lets a decoder that can ([`Sink::tally`]) count them as it reads their words instead; all others
//! hand over batches, and both come to the same.

use super::histogram::Histogram;
use super::window::{Step, Window, Windows};
use super::{Event, Sink};
use crate::arch::count::Places;

/// Counts that a decoder may add to by itself, and until when; from [`Accumulator::tally`].
pub struct Tally<'s> {
    pub(super) places: Places<'s>,
    /// The last microsecond, modulo 2^32.
    pub(super) until: u32,
}

/// What a decoder did with a [`Tally`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tallied {
    /// Events counted, at least 1.
    pub events: u32,
    /// Those of them outside of the grid.
    pub outside: u32,
    /// Time of the last of them, in microseconds modulo 2^32.
    pub last: u32,
}

/// Cuts a stream into windows and counts the events of the open one.
///
/// ```
/// # use mixel_core::events::{Geometry, accumulator::Accumulator, evt3::Evt3, window::{Cut, Windows}};
/// # use mixel_core::events::{histogram::{Histogram, HistogramConfig, HistogramMemory}, patch::Grid};
/// # let geometry = Geometry::new(34, 34);
/// # let grid = Grid { left: -1, top: -1, shift: 0, patch: 4, columns: 9, rows: 9 };
/// # let config = HistogramConfig { geometry, grid, bins: 2, least_pixels: 2, max_tokens: 64 };
/// # let (mut lookup, mut patches, mut counts) = ([0; 102], [0; 81], [0; 81 * 64]);
/// # let memory = HistogramMemory { lookup: &mut lookup, patches: &mut patches, counts: &mut counts };
/// let windows = Windows::new(Cut::Time { period: 24_000 }, config.bins)?;
/// let mut accumulator = Accumulator { windows, histogram: Histogram::new(config, memory)? };
/// let mut decoder = Evt3::new(geometry);
/// # let chunks: [&[u8]; 0] = [];
/// for chunk in chunks {
///     decoder.decode(chunk, &mut accumulator.sink(|window, histogram| {
///         let emitted = histogram.emit(|token| _ = (token.patch, token.values));
///         println!("{} tokens until {} us", emitted.tokens, window.end);
///     }));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Accumulator<'m> {
    /// Where the stream is cut.
    pub windows: Windows,
    /// Counts of the open window, with as many bins.
    pub histogram: Histogram<'m>,
}

impl<'m> Accumulator<'m> {
    /// Takes events, up to the first that lies behind the open window: then that window, whose counts are to be emitted
    /// or cleared before the rest of `events` is taken. `None` when there is nothing left.
    #[inline]
    pub fn next(&mut self, events: &mut &[Event]) -> Option<Window> {
        while let Some(step) = self.windows.next(events) {
            match step {
                Step::Events { events, bin, .. } => self.histogram.add(events, bin),
                Step::Close(window) => return Some(window),
            }
        }
        None
    }

    /// For [`Sink::tallies`]: whether windows are by time alone.
    #[inline]
    pub fn tallies(&self) -> bool {
        self.windows.by_time()
    }

    /// For [`Sink::tally`]: the counts of the bin in which an event at `t` lies. `None` if it closes a window or opens
    /// one, and for windows by count.
    #[inline]
    pub fn tally(&mut self, t: u32) -> Option<Tally<'_>> {
        let (bin, until) = self.windows.open_bin(t)?;
        Some(Tally { places: self.histogram.places(bin)?, until })
    }

    /// For [`Sink::tallied`]: what was counted at the last [`tally`](Self::tally).
    #[inline]
    pub fn tallied(&mut self, tallied: Tallied) {
        self.windows.counted(tallied.events, tallied.last);
        self.histogram.lost(tallied.outside);
    }

    /// A sink for [`Decoder::decode`](super::Decoder::decode) that calls `closed` with every window that ends, whose
    /// counts are to be emitted or cleared. Triggers and gaps are left out: a sink that wants them calls
    /// [`next`](Self::next), [`tally`](Self::tally) and [`tallied`](Self::tallied) itself.
    pub fn sink(&mut self, closed: impl FnMut(Window, &mut Histogram<'m>)) -> impl Sink {
        Closing { accumulator: self, closed }
    }
}

/// See [`Accumulator::sink`].
struct Closing<'a, 'm, F> {
    accumulator: &'a mut Accumulator<'m>,
    closed: F,
}

impl<'m, F: FnMut(Window, &mut Histogram<'m>)> Sink for Closing<'_, 'm, F> {
    fn events(&mut self, mut events: &[Event]) {
        while let Some(window) = self.accumulator.next(&mut events) {
            (self.closed)(window, &mut self.accumulator.histogram);
        }
    }

    fn tallies(&self) -> bool {
        self.accumulator.tallies()
    }

    fn tally(&mut self, t: u32) -> Option<Tally<'_>> {
        self.accumulator.tally(t)
    }

    fn tallied(&mut self, tallied: Tallied) {
        self.accumulator.tallied(tallied);
    }
}
