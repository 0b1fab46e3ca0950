//! Windows of tokens as the device computes them: [`mixel_core::events`] cuts, counts and chooses the patches.

use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
use mixel_core::events::patch::Grid;
use mixel_core::events::window::{Cut, Step, Windows};
use mixel_core::events::{Event, Geometry};

/// How events become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontEnd {
    /// Patches and their counts.
    pub histogram: HistogramConfig,
    /// Length of a window in microseconds of sensor time.
    pub window_us: u32,
}

/// The tokens of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Number of each token's patch, rising.
    pub patches: Vec<u16>,
    /// Counts, `[tokens][y][x][polarity * bins + bin]`.
    pub counts: Vec<u8>,
    /// Active patches beyond the bound on tokens.
    pub dropped: usize,
}

impl FrontEnd {
    /// For N-MNIST: 34 x 34 pixels with one of padding around them, 9 x 9 patches of 4 x 4 pixels.
    pub const NMNIST: Self = Self {
        histogram: HistogramConfig {
            geometry: Geometry::new(34, 34),
            grid: Grid { left: -1, top: -1, shift: 0, patch: 4, columns: 9, rows: 9 },
            bins: 2,
            least_pixels: 2,
            max_tokens: 64,
        },
        window_us: 50_000,
    };

    /// For 128 x 128 pixels: 21 x 21 patches of 6 x 6 pixels and an unused border of one pixel; a patch needs three pixels, as in
    /// the paper.
    pub const DVS128: Self = Self {
        histogram: HistogramConfig {
            geometry: Geometry::new(128, 128),
            grid: Grid { left: 1, top: 1, shift: 0, patch: 6, columns: 21, rows: 21 },
            bins: 2,
            least_pixels: 3,
            max_tokens: 128,
        },
        window_us: 48_000,
    };

    /// The windows of a recording that have events, the oldest first. Their ends lie at `phase` and multiples of the
    /// window from there.
    ///
    /// # Panics
    /// If the configuration is not valid.
    pub fn frames(&self, events: &[Event], phase: u32) -> Vec<Frame> {
        let config = self.histogram;
        let mut lookup = vec![0; Grid::lookup_len(config.geometry)];
        let mut patches = vec![0; config.grid.patches()];
        let mut counts = vec![0; config.counts_len()];
        let memory = HistogramMemory { lookup: &mut lookup, patches: &mut patches, counts: &mut counts };
        let mut histogram = Histogram::new(config, memory).expect("a valid configuration");
        let cut = Cut::Time { period: self.window_us };
        let mut windows = Windows::new(cut, config.bins).expect("a valid window").aligned_to(phase);
        let mut frames = Vec::new();
        let mut events = events;
        while let Some(step) = windows.next(&mut events) {
            match step {
                Step::Events { events, bin, .. } => histogram.add(events, bin),
                Step::Close(_) => frames.push(frame(&mut histogram)),
            }
        }
        if windows.finish().is_some() {
            frames.push(frame(&mut histogram));
        }
        frames
    }
}

fn frame(histogram: &mut Histogram<'_>) -> Frame {
    let mut frame = Frame::default();
    let emitted = histogram.emit(|token| {
        frame.patches.push(token.patch);
        frame.counts.extend_from_slice(token.values);
    });
    frame.dropped = emitted.dropped_tokens;
    frame
}
