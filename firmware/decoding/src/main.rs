//! Instructions that a recording takes on an emulated board: decoding alone, decoding and counting in patches, and a naive
//! loop that checks nothing and counts in one 64 x 64 x 2 histogram.
//!
//! QEMU's working directory has the file `recording` (EVT2.0 or EVT3.0, known by its content). The file `figures` is what comes
//! of it, a name and a number a line: instructions, and the sums of all events, so that a fast decoder is also a right one.

#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::hint::black_box;

use cortex_m_rt::entry;
use embedded_io::Write as _;
use mixel_core::events::accumulator::Accumulator;
use mixel_core::events::evt2::Evt2;
use mixel_core::events::evt3::Evt3;
use mixel_core::events::header::{self, Encoding};
use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
use mixel_core::events::patch::Grid;
use mixel_core::events::window::{Cut, Windows};
use mixel_core::events::{Decoder, Event, Format, Geometry};
use mixel_emulated::{Clock, Exit, FileError, RecordFile, TICK_PICOSECONDS, bulk, exit, read};
use mixel_testkit::naive::{self, Sums};

/// Bytes that the decoder gets at once, those of `mixel-event-camera`.
const CHUNK: usize = 1000;

/// The largest sensor, and that of recordings without a header.
const SENSOR: Geometry = Geometry::new(1280, 720);

/// 8 x 8 sensor pixels a cell, patches of 6 x 6 cells, as many as cover the sensor.
const GRID: Grid = Grid { left: 0, top: 0, shift: 3, patch: 6, columns: 27, rows: 15 };

/// Counts in two time bins, of windows of 24 ms.
const CONFIG: HistogramConfig =
    HistogramConfig { geometry: SENSOR, grid: GRID, bins: 2, least_pixels: 3, max_tokens: 256 };
const PERIOD: u32 = 24_000;

#[entry]
fn main() -> ! {
    exit(match run() {
        Ok(()) => Exit::Done,
        Err(reason) => {
            defmt::error!("{}", defmt::Display2Format(&reason));
            Exit::Refused
        }
    })
}

/// Why there are no figures.
enum Refused {
    /// A file, and what is wrong with it.
    File(&'static str, FileError),
    /// The recording is not EVT2.0 or EVT3.0.
    Format,
    /// The patches do not fit into their memory.
    Patches,
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::File(name, error) => write!(f, "file {name}: {error}"),
            Self::Format => f.write_str("the recording is not EVT2.0 or EVT3.0"),
            Self::Patches => f.write_str("the patches do not fit into their memory"),
        }
    }
}

fn run() -> Result<(), Refused> {
    let memory = bulk().unwrap_or_default();
    let len = read(c"recording", memory).map_err(|error| Refused::File("recording", error))?;
    let recording = memory.get(..len).unwrap_or_default();
    let head = header::detect(recording, len as u64).map_err(|_| Refused::Format)?;
    let (geometry, stream) = (head.geometry.unwrap_or(SENSOR), recording.get(head.len..).unwrap_or_default());
    match head.encoding {
        Some(Encoding::Evt2) => measure(stream, Evt2::new(geometry), |bytes, flat| {
            naive::Evt2::default().read(bytes, |x, y, on, _| flat.add(x, y, on));
        }),
        Some(Encoding::Evt3) => measure(stream, Evt3::new(geometry), |bytes, flat| {
            naive::Evt3::default().read(bytes, |x, y, on, _| flat.add(x, y, on));
        }),
        _ => Err(Refused::Format),
    }
}

/// Decodes `stream` for its sums, then by itself, then into patches, then naively; all but the first are timed.
fn measure<F: Format + Clone>(
    stream: &[u8],
    decoder: Decoder<F>,
    naive: fn(&[u8], &mut Flat),
) -> Result<(), Refused> {
    let (mut sums, mut summing) = (Sums::default(), decoder.clone());
    stream.chunks(CHUNK).for_each(|chunk| summing.decode(chunk, &mut sums));

    let clock = Clock::start();
    let mut alone = decoder.clone();
    let decode = instructions(&clock, || {
        for chunk in stream.chunks(CHUNK) {
            alone.decode(chunk, &mut |events: &[Event]| _ = black_box(events));
        }
    });

    let (mut lookup, mut marks, mut counts) =
        ([0; Grid::lookup_len(SENSOR)], [0; GRID.patches()], [0; CONFIG.counts_len()]);
    let memory = HistogramMemory { lookup: &mut lookup, patches: &mut marks, counts: &mut counts };
    let mut patches = patches(decoder.geometry(), memory).ok_or(Refused::Patches)?;
    let mut counting = decoder;
    let accumulate = instructions(&clock, || {
        for chunk in stream.chunks(CHUNK) {
            counting.decode(chunk, &mut patches.sink(|_, histogram| histogram.clear()));
        }
    });

    let mut flat = Flat([[[0; 64]; 64]; 2]);
    let unchecked = instructions(&clock, || naive(stream, &mut flat));

    let seen = summing.counts();
    let figures = [
        ("cd_events", seen.events),
        ("triggers", seen.triggers.into()),
        ("sum_x", sums.x),
        ("sum_y", sums.y),
        ("sum_p", sums.on),
        ("sum_t_us", sums.t),
        ("in_histogram", flat.events()),
        ("decode", decode),
        ("accumulate", accumulate),
        ("naive", unchecked),
    ];
    let file = |error| Refused::File("figures", error);
    let mut out = Lines(RecordFile::create(c"figures").map_err(file)?);
    let written = figures.iter().try_for_each(|(name, value)| writeln!(out, "{name} {value}"));
    written.map_err(|_| file(FileError::Transfer))
}

/// What `work` takes.
fn instructions(clock: &Clock, work: impl FnOnce()) -> u64 {
    /// `-icount shift=8`, in picoseconds.
    const INSTRUCTION: u64 = 256_000;
    let ticks = clock.ticks_of(work).saturating_sub(clock.ticks_of(|| ()));
    (ticks * u64::from(TICK_PICOSECONDS) + INSTRUCTION / 2) / INSTRUCTION
}

/// The front end of an Event Transformer up to its tokens: windows, and the counts of their patches.
fn patches(geometry: Geometry, memory: HistogramMemory<'_>) -> Option<Accumulator<'_>> {
    let windows = Windows::new(Cut::Time { period: PERIOD }, CONFIG.bins).ok()?;
    let histogram = Histogram::new(HistogramConfig { geometry, ..CONFIG }, memory).ok()?;
    Some(Accumulator { windows, histogram })
}

/// One histogram of the whole sensor, 32 x 32 pixels a cell.
struct Flat([[[u32; 64]; 64]; 2]);

impl Flat {
    #[inline(always)]
    fn add(&mut self, x: u32, y: u32, on: u32) {
        let count = &mut self.0[on as usize & 1][(y >> 5) as usize & 63][(x >> 5) as usize & 63];
        *count = count.wrapping_add(1);
    }

    fn events(&self) -> u64 {
        self.0.as_flattened().as_flattened().iter().map(|&n| u64::from(n)).sum()
    }
}

/// Text that goes into a file.
struct Lines(RecordFile);

impl core::fmt::Write for Lines {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}
