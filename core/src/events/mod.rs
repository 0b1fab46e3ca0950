//! Event-camera byte streams to events, windows and patches.
//!
//! ```text
//! sensor bytes --Decoder--> &[Event] --Windows--> cut at sensor time --Histogram | Surface--> tokens + patch indices
//! ```
//!
//! * [`Decoder`] turns byte chunks, split anywhere, into [`Event`]s and hands them to a [`Sink`] in batches. One format a file:
//!   [`evt2`], [`evt21`], [`evt3`], [`dat`], [`aedat`], [`record5`], [`edvs`]. It never panics, never lets an event off the sensor
//!   through and never lets time go back; what it held back or dropped is in [`Counts`].
//! * [`header`] reads the text in front of a recording and tells formats apart; [`encode`] writes streams.
//! * [`window`] cuts the stream by time, by count or by both; [`patch`] says which pixel belongs to which patch;
//!   [`histogram`] (EvT) and [`surface`] (EvT+) hold a window's patches and emit the active ones as a ragged list of tokens.
//!   [`newest`] is the thinning filter which the EvT+ paper applies to recordings.
//! * [`accumulator`] is windows and histogram in one, for which a decoder that can counts without writing events down.
//!
//! # Example
//!
//! ```
//! use mixel_core::events::encode::{Encoder, Evt3Encoder};
//! use mixel_core::events::evt3::Evt3;
//! use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
//! use mixel_core::events::patch::Grid;
//! use mixel_core::events::window::{Cut, Step, Windows};
//! use mixel_core::events::{Event, Geometry};
//!
//! let geometry = Geometry::new(34, 34);
//! let grid = Grid { left: -1, top: -1, shift: 0, patch: 4, columns: 9, rows: 9 };
//! let config = HistogramConfig { geometry, grid, bins: 2, least_pixels: 2, max_tokens: 64 };
//! let (mut lookup, mut patches, mut counts) = ([0; 102], [0; 81], [0; 81 * 64]);
//! let memory = HistogramMemory { lookup: &mut lookup, patches: &mut patches, counts: &mut counts };
//! let mut histogram = Histogram::new(config, memory)?;
//! let mut windows = Windows::new(Cut::Time { period: 24_000 }, config.bins)?;
//! let mut decoder = Evt3::new(geometry);
//!
//! // A dot that moves right, one pixel a millisecond.
//! let (mut bytes, mut encoder) = (Vec::new(), Evt3Encoder::default());
//! for t in 0..30u16 {
//!     encoder.event(Event::new(1000 * u32::from(t), t, 10, true), &mut |b| bytes.extend_from_slice(b))?;
//! }
//! encoder.finish(&mut |b| bytes.extend_from_slice(b));
//!
//! let mut tokens = Vec::new();
//! for chunk in bytes.chunks(7) {
//!     decoder.decode(chunk, &mut |mut events: &[Event]| {
//!         while let Some(step) = windows.next(&mut events) {
//!             match step {
//!                 Step::Events { events, bin, .. } => histogram.add(events, bin),
//!                 Step::Close(_) => _ = histogram.emit(|token| tokens.push((token.column, token.row))),
//!             }
//!         }
//!     });
//! }
//! // The window (0, 24] ms: pixels 1 to 24 of row 10. The event at 0 was a window of its own, with one pixel and so no token.
//! assert_eq!(tokens, [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (6, 2)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time
//!
//! An [`Event`] carries `u32` microseconds, wrapping after 71.6 minutes. A 32-bit time keeps an event at 8 bytes (one `LDRD` or
//! `STRD`) and a comparison at one instruction on a Cortex-M, where a `u64` costs a register pair in every loop. Compare such
//! times with `wrapping_sub`. The upper 32 bits are not lost: a decoder works in `u64` where it costs nothing (once a time word)
//! and calls [`Sink::epoch`] before the first event with other upper bits, and [`Decoder::now`] is 64 bits wide.
//!
//! Formats and pitfalls follow the public descriptions by Prophesee (EVT2, EVT2.1, EVT3, DAT) and iniVation (AEDAT), and
//! `docs/events.md` lists the rules chosen where those are silent.

pub mod accumulator;
pub mod aedat;
pub mod any;
mod clock;
pub mod dat;
pub mod edvs;
pub mod encode;
pub mod evt2;
pub mod evt21;
pub mod evt3;
pub mod header;
pub mod histogram;
pub mod newest;
pub mod patch;
pub mod record5;
mod stream;
pub mod surface;
pub mod window;

/// On large machines a mispredicted branch costs more than arithmetic for words that come to nothing; on a microcontroller it is the
/// other way round.
const PREDICTS: bool = cfg!(target_pointer_width = "64");

use accumulator::{Tallied, Tally};
pub use stream::{BATCH, Decoder, Format, Out};

/// One change of brightness at one pixel, in 8 bytes.
///
/// Bits of the second word: 31..17 y, 16 polarity, 14..0 x. Either half is an index of a table as it stands ([`patch`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Event {
    /// Microseconds of sensor time, modulo 2^32.
    pub t: u32,
    place: u32,
}

impl Event {
    /// An event at `t` microseconds; only the low 15 bits of `x` and `y` are kept. `on` is true where it got brighter.
    #[inline]
    pub const fn new(t: u32, x: u16, y: u16, on: bool) -> Self {
        Self { t, place: (y as u32) << 17 | (on as u32) << 16 | (x & 0x7FFF) as u32 }
    }

    /// From the packed word; bit 15 must be clear.
    #[inline]
    pub(crate) const fn packed(t: u32, place: u32) -> Self {
        Self { t, place }
    }

    /// The row where it is in the packed word.
    #[inline]
    pub(crate) const fn row(self) -> u32 {
        self.place & 0xFFFE_0000
    }

    /// Column, growing to the right from 0.
    #[inline]
    pub const fn x(self) -> u16 {
        self.place as u16
    }

    /// Row, growing downwards from 0.
    #[inline]
    pub const fn y(self) -> u16 {
        (self.place >> 17) as u16
    }

    /// Row and polarity in one number: 2 * y, and 1 more where it got brighter.
    #[inline]
    pub(crate) const fn signed_row(self) -> u16 {
        (self.place >> 16) as u16
    }

    /// True where it got brighter (ON, positive), false where it got darker.
    #[inline]
    pub const fn on(self) -> bool {
        self.place >> 16 & 1 != 0
    }
}

impl core::fmt::Debug for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}us ({}, {}) {}", self.t, self.x(), self.y(), if self.on() { "on" } else { "off" })
    }
}

/// Pixels of a sensor; every decoded event has `x < width` and `y < height`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Geometry {
    /// Columns, at most 32768.
    pub width: u16,
    /// Rows, at most 32768.
    pub height: u16,
}

impl Geometry {
    /// Takes every coordinate a format can express: for recordings which do not say their geometry.
    pub const ANY: Self = Self { width: 0x8000, height: 0x8000 };

    /// `width` x `height` pixels, each cut to 32768.
    pub const fn new(width: u16, height: u16) -> Self {
        Self { width: cut(width), height: cut(height) }
    }
}

const fn cut(pixels: u16) -> u16 {
    if pixels > 0x8000 { 0x8000 } else { pixels }
}

/// An edge on the sensor's trigger pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Trigger {
    /// Microseconds of sensor time, modulo 2^32; monotone among the events of the stream as the decoder saw them.
    pub t: u32,
    /// Channel.
    pub id: u8,
    /// Level after the edge.
    pub value: bool,
}

/// Why the stream is not continuous at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum GapCause {
    /// The caller lost bytes and said so with [`Decoder::resync`].
    Lost,
    /// Two time words in a row agreed on a time that does not follow from the one before.
    ClockJump,
    /// A record or packet head was not credible and bytes were skipped.
    Framing,
}

/// A place where something is missing between two events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gap {
    /// Why.
    pub cause: GapCause,
    /// Bytes lost, as far as known.
    pub lost_bytes: u32,
    /// Stream time before, in microseconds modulo 2^32.
    pub before: u32,
    /// Stream time after: the first time known again.
    pub after: u32,
}

/// Takes what a [`Decoder`] finds, in stream order.
pub trait Sink {
    /// Up to [`BATCH`] events in time order; never empty. Times never decrease from call to call (modulo 2^32).
    fn events(&mut self, events: &[Event]);

    /// Whether [`tally`](Self::tally) ever answers. A decoder hands over what it has before it asks, which costs those that never do.
    fn tallies(&self) -> bool {
        false
    }

    /// Asked by a decoder that can count events as it reads them, when all before have been handed over; the next one
    /// is at `t` or later. A sink for which events are but counts passes on what its
    /// [`Accumulator`](accumulator::Accumulator) gives: events which are counted there do not come to
    /// [`events`](Self::events).
    fn tally(&mut self, _t: u32) -> Option<Tally<'_>> {
        None
    }

    /// What was counted at the last [`tally`](Self::tally), before anything that follows in the stream; not called if
    /// nothing was.
    fn tallied(&mut self, _tallied: Tallied) {}

    /// An external trigger.
    fn trigger(&mut self, _trigger: Trigger) {}

    /// Something was lost here.
    fn gap(&mut self, _gap: Gap) {}

    /// The upper 32 bits of the time of everything that follows. Called before the first event if they are not 0, and on
    /// change.
    fn epoch(&mut self, _high: u32) {}
}

impl<F: FnMut(&[Event])> Sink for F {
    fn events(&mut self, events: &[Event]) {
        self(events);
    }
}

/// What a decoder saw since it was made. Violations are counted and survived, never fatal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Bytes given to the decoder.
    pub bytes: u64,
    /// Events given to the sink, or counted for it.
    pub events: u64,
    /// Triggers given to the sink.
    pub triggers: u32,
    /// Events dropped because time, or in EVT3 the row or the vector base, was not yet known.
    pub before_sync: u32,
    /// Events dropped because they lie outside of the [`Geometry`].
    pub off_sensor: u32,
    /// Words and records of reserved or invalid types, skipped.
    pub reserved: u32,
    /// Time words which fell by less than half their range (or, for formats with a full time in each event, events which did);
    /// the time was held.
    pub time_high_back: u32,
    /// Low time bits which stepped back with no new time word; the time was held.
    pub time_low_back: u32,
    /// Events between a changed time word and the next low time (EVT3); they carry the low bits 0.
    pub unsettled: u32,
    /// Wraps of the format's clock.
    pub wraps: u32,
    /// [`Gap`]s reported.
    pub gaps: u32,
    /// Words of each 4-bit type which are neither event, time nor trigger (EVT2: A is the trigger and is not here).
    pub other_words: [u32; 16],
}

impl Counts {
    /// Everything that a clean stream does not contain. Events before the first time word are not counted among them: a stream
    /// may be joined at any point.
    pub fn violations(&self) -> u64 {
        [self.off_sensor, self.reserved, self.time_high_back, self.time_low_back, self.gaps]
            .iter()
            .map(|&n| u64::from(n))
            .sum()
    }
}
