//! Recordings as pictures: one of a stretch of time, or one a window.
//!
//! A pixel of a picture is a number below 256, 16 levels of ON times 16 of OFF, with the colours of [`palette`]: orange where it got
//! brighter, blue where it got darker, on a dark ground. The two stay apart for people who do not see red and green.

use std::ops::Range;

use mixel_core::events::Geometry;

use super::{Recording, TimedEvent};

/// Levels of each polarity.
const LEVELS: u8 = 16;
/// Level of a pixel with a single event, so that it is seen.
const FAINTEST: f32 = 5.0;
/// Sides of small sensors are repeated up to this many pixels.
const COMFORTABLE: usize = 700;
/// Pixels of the longer side at most; of larger sensors several pixels fall into one.
const LARGEST: usize = 2048;

const GROUND: [f32; 3] = [13.0, 16.0, 23.0];
const ON: [f32; 3] = [255.0, 164.0, 46.0];
const OFF: [f32; 3] = [52.0, 142.0, 255.0];

/// Red, green and blue of every number of a pixel.
pub fn palette() -> Vec<u8> {
    let part = |level: u8| f32::from(level) / f32::from(LEVELS - 1);
    (0..=u8::MAX)
        .flat_map(|pixel| {
            let (on, off) = (part(pixel / LEVELS), part(pixel % LEVELS));
            std::array::from_fn::<u8, 3, _>(|i| {
                // Light adds up.
                let light = GROUND[i] + on * (ON[i] - GROUND[i]) + off * (OFF[i] - GROUND[i]);
                light.round().clamp(0.0, 255.0) as u8
            })
        })
        .collect()
}

/// What the brightness of a pixel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Style {
    /// How many events there were in the window, by logarithm
    Counts,
    /// How long before the window's end the last event was: after the length of a window 37 % are left
    Decay,
}

/// Size of the pictures of a sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Pixels of the picture.
    pub width: usize,
    /// Pixels of the picture.
    pub height: usize,
    /// Pixels of the picture for each cell, in both directions.
    pub repeat: usize,
    /// Pixels of the sensor for each cell, in both directions.
    pub fold: usize,
}

impl Picture {
    /// A picture that is neither too small nor too large to look at.
    pub fn of(sensor: Geometry) -> Self {
        let (width, height) = (usize::from(sensor.width), usize::from(sensor.height));
        let longer = width.max(height).max(1);
        let fold = longer.div_ceil(LARGEST);
        let repeat = (COMFORTABLE / longer).max(1);
        let side = |side: usize| side.div_ceil(fold) * repeat;
        Self { width: side(width), height: side(height), repeat, fold }
    }

    fn columns(&self) -> usize {
        self.width / self.repeat
    }

    fn cells(&self) -> usize {
        self.columns() * (self.height / self.repeat)
    }

    /// The cell of an event, if it lies in the picture.
    fn cell(&self, TimedEvent { event, .. }: &TimedEvent) -> Option<usize> {
        let (x, y) = (usize::from(event.x()) / self.fold, usize::from(event.y()) / self.fold);
        (x < self.columns()).then_some(y * self.columns() + x).filter(|&cell| cell < self.cells())
    }

    /// Cells of `[on, off]` levels, 0 to 1, as the pixels of the picture.
    fn pixels(&self, levels: &[[f32; 2]]) -> Vec<u8> {
        let level = |part: f32| (part * f32::from(LEVELS - 1)).round() as u8;
        let mut pixels = Vec::with_capacity(self.width * self.height);
        for row in levels.chunks(self.columns().max(1)) {
            let line: Vec<u8> = row
                .iter()
                .flat_map(|&[on, off]| std::iter::repeat_n(level(on) * LEVELS + level(off), self.repeat))
                .collect();
            (0..self.repeat).for_each(|_| pixels.extend_from_slice(&line));
        }
        pixels
    }
}

/// Paints the events of each window, in microseconds and rising, and hands the pixels of `picture` to `each`.
///
/// # Errors
/// Those of `each`.
pub fn paint<E>(
    recording: &Recording,
    picture: &Picture,
    windows: &[Range<u64>],
    style: Style,
    each: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    match style {
        Style::Counts => paint_counts(recording, picture, windows, each),
        Style::Decay => paint_decay(recording, picture, windows, each),
    }
}

/// The events of a window.
fn within<'a>(recording: &'a Recording, window: &Range<u64>) -> &'a [TimedEvent] {
    let index = |t: u64| recording.events.partition_point(|event| event.t < t);
    recording.events.get(index(window.start)..index(window.end)).unwrap_or(&[])
}

/// Events of each cell and polarity.
fn counts(events: &[TimedEvent], picture: &Picture) -> Vec<[u32; 2]> {
    let mut counts = vec![[0; 2]; picture.cells()];
    for timed in events {
        if let Some(count) = picture.cell(timed).and_then(|cell| counts.get_mut(cell)) {
            count[usize::from(!timed.event.on())] += 1;
        }
    }
    counts
}

fn paint_counts<E>(
    recording: &Recording,
    picture: &Picture,
    windows: &[Range<u64>],
    mut each: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    // Full brightness is the count that 99 of 100 active cells do not exceed, the same in all windows so that nothing flickers.
    let mut active = [0u64; 256];
    for window in windows {
        let counts = counts(within(recording, window), picture);
        for &count in counts.as_flattened().iter().filter(|&&count| count > 0) {
            active[count.min(255) as usize] += 1;
        }
    }
    let all: u64 = active.iter().sum();
    let mut below = 0;
    let full = active.iter().position(|&n| {
        below += n;
        below * 100 >= all * 99
    });
    let full = (1.0 + full.unwrap_or(1).max(1) as f32).ln();
    let faintest = FAINTEST / f32::from(LEVELS - 1);
    let part = |count: u32| {
        if count == 0 { 0.0 } else { ((1.0 + count as f32).ln() / full).clamp(faintest, 1.0) }
    };
    for window in windows {
        let counts = counts(within(recording, window), picture);
        let levels: Vec<[f32; 2]> = counts.iter().map(|count| count.map(part)).collect();
        each(picture.pixels(&levels))?;
    }
    Ok(())
}

fn paint_decay<E>(
    recording: &Recording,
    picture: &Picture,
    windows: &[Range<u64>],
    mut each: impl FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut last: Vec<Option<(u64, bool)>> = vec![None; picture.cells()];
    for window in windows {
        for timed in within(recording, window) {
            if let Some(last) = picture.cell(timed).and_then(|cell| last.get_mut(cell)) {
                *last = Some((timed.t, timed.event.on()));
            }
        }
        let length = window.end.saturating_sub(window.start).max(1) as f32;
        let levels: Vec<[f32; 2]> = last
            .iter()
            .map(|last| match *last {
                None => [0.0, 0.0],
                Some((t, on)) => {
                    let part = (-(window.end.saturating_sub(t) as f32) / length).exp();
                    if on { [part, 0.0] } else { [0.0, part] }
                }
            })
            .collect();
        each(picture.pixels(&levels))?;
    }
    Ok(())
}
