//! The Event Transformer's tokens (EvT, arXiv 2204.03355): events counted per pixel, polarity and time bin.
//!
//! A patch is active if enough of its pixels have any event; its token holds log(1 + count) of \[y\]\[x\]\[polarity * bins + bin\]. Counts
//! saturate at 255. Patches get memory when their first event comes, so that a window costs what its activity costs, and a stated
//! amount of memory is enough for any sensor: events of patches that come when it is used up are dropped and counted.
//!
//! The paper runs from the newest to the oldest slice and appends older slices to windows with few active patches. Causally, the
//! oldest bin is 0, and [`Windows::extend`](super::window::Windows::extend) appends newer time to the last bin.

use super::patch::{Emitted, Grid, Lookup, PatchError, Token, choose};
use super::{Event, Geometry};

/// What a histogram counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HistogramConfig {
    /// Pixels of the events.
    pub geometry: Geometry,
    /// Patches.
    pub grid: Grid,
    /// Time bins of a window, 1 to 8.
    pub bins: u8,
    /// A patch is active from this number of pixels with events; the paper: 7.5 % of the pixels, rounded down, plus 1.
    pub least_pixels: u16,
    /// Patches that have memory at a time.
    pub slots: u16,
    /// Most tokens of a window.
    pub max_tokens: u16,
}

impl HistogramConfig {
    /// Values of a token.
    pub const fn token_dim(&self) -> usize {
        self.grid.pixels() * 2 * self.bins as usize
    }
}

/// State of one patch; the memory of [`Histogram`] holds one for each patch of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    slot: u16,
    pixels: u16,
}

const NO_SLOT: u16 = u16::MAX;

impl Patch {
    /// A patch without events.
    pub const EMPTY: Self = Self { slot: NO_SLOT, pixels: 0 };
}

/// Memory of a [`Histogram`], from the caller.
#[derive(Debug)]
pub struct HistogramMemory<'m> {
    /// [`Grid::lookup_len`] words.
    pub lookup: &'m mut [u32],
    /// [`Grid::patches`] of [`Patch::EMPTY`].
    pub patches: &'m mut [Patch],
    /// `slots` * [`HistogramConfig::token_dim`] bytes.
    pub counts: &'m mut [u8],
}

/// Counts the events of the open window.
#[derive(Debug)]
pub struct Histogram<'m> {
    config: HistogramConfig,
    lookup: Lookup<'m>,
    patches: &'m mut [Patch],
    counts: &'m mut [u8],
    used: u16,
    dropped: u32,
    outside: u32,
}

impl<'m> Histogram<'m> {
    /// Checks the configuration and lays it into `memory`, of which more than needed is not used.
    pub fn new(config: HistogramConfig, memory: HistogramMemory<'m>) -> Result<Self, PatchError> {
        let lookup = Lookup::fill(&config.grid, config.geometry, memory.lookup)?;
        if !(1..=8).contains(&config.bins) {
            return Err(PatchError::Config("bins"));
        }
        if config.slots == 0 || config.slots == NO_SLOT {
            return Err(PatchError::Config("slots"));
        }
        if config.least_pixels == 0 || usize::from(config.least_pixels) > config.grid.pixels() {
            return Err(PatchError::Config("least_pixels"));
        }
        let patches = memory.patches.get_mut(..config.grid.patches()).ok_or(PatchError::Memory)?;
        let len = usize::from(config.slots) * config.token_dim();
        let counts = memory.counts.get_mut(..len).ok_or(PatchError::Memory)?;
        patches.fill(Patch::EMPTY);
        Ok(Self { config, lookup, patches, counts, used: 0, dropped: 0, outside: 0 })
    }

    /// Counts events of one time bin, as [`Windows::next`](super::window::Windows::next) gives them.
    #[inline]
    pub fn add(&mut self, events: &[Event], bin: u8) {
        let bins = usize::from(self.config.bins);
        let channels = 2 * bins;
        let size = self.config.token_dim();
        let bin = usize::from(bin).min(bins - 1);
        for event in events {
            let (patch, pixel) = self.lookup.get(event.x(), event.y());
            let Some(state) = self.patches.get_mut(patch) else {
                self.outside = self.outside.saturating_add(1);
                continue;
            };
            if state.slot == NO_SLOT {
                if self.used == self.config.slots {
                    self.dropped = self.dropped.saturating_add(1);
                    continue;
                }
                state.slot = self.used;
                self.used += 1;
                let start = usize::from(state.slot) * size;
                self.counts.get_mut(start..start + size).unwrap_or(&mut []).fill(0);
            }
            let at = usize::from(state.slot) * size + pixel * channels + usize::from(event.on()) * bins + bin;
            if let Some(count) = self.counts.get_mut(at) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Number of active patches of the open window, without bound.
    pub fn active(&mut self) -> usize {
        let (channels, size) = (2 * usize::from(self.config.bins), self.config.token_dim());
        let mut active = 0;
        for state in self.patches.iter_mut().filter(|state| state.slot != NO_SLOT) {
            let start = usize::from(state.slot) * size;
            let counts = self.counts.get(start..start + size).unwrap_or(&[]);
            state.pixels =
                counts.chunks_exact(channels).filter(|pixel| pixel.iter().any(|&n| n > 0)).count() as u16;
            active += usize::from(state.pixels >= self.config.least_pixels);
        }
        active
    }

    /// Gives the active patches in raster order and empties the histogram. Beyond `max_tokens`, those with the most active pixels
    /// are kept and the rest is counted.
    pub fn emit(&mut self, mut token: impl FnMut(Token<'_>)) -> Emitted {
        self.active();
        let least = self.config.least_pixels;
        let mut choice = choose(self.patches.iter().map(|s| s.pixels), least, self.config.max_tokens.into());
        let dropped_tokens = choice.dropped;
        let size = self.config.token_dim();
        let mut tokens = 0;
        for (patch, state) in self.patches.iter_mut().enumerate() {
            if state.pixels >= least && choice.keeps(state.pixels) {
                let start = usize::from(state.slot) * size;
                let counts = self.counts.get(start..start + size).unwrap_or(&[]);
                token(Token::new(tokens, patch, &self.config.grid, counts));
                tokens += 1;
            }
            *state = Patch::EMPTY;
        }
        let emitted = Emitted { tokens, dropped_tokens, dropped_events: self.dropped, outside: self.outside };
        (self.used, self.dropped, self.outside) = (0, 0, 0);
        emitted
    }

    /// Empties the histogram: a window that is not run.
    pub fn clear(&mut self) {
        self.patches.fill(Patch::EMPTY);
        (self.used, self.dropped, self.outside) = (0, 0, 0);
    }

    /// What is counted.
    pub fn config(&self) -> &HistogramConfig {
        &self.config
    }
}

/// Table from a count to its int8 token value: log(1 + count), where 0 gives -128 and `full` and above give 127. The scale is
/// ln(1 + full) / 255, the zero point -128. Counts seen on a DVS128 stay below 34.
pub const fn log1p_table(full: u8) -> [i8; 256] {
    let mut table = [127; 256];
    let whole = log2(full as u64 + 1);
    let mut n = 0;
    while n < full as usize {
        let part = log2(n as u64 + 1);
        let steps = (255 * part + whole / 2) / whole;
        table[n] = (steps as i16 - 128) as i8;
        n += 1;
    }
    table
}

/// log2 of 1 to 256 with 32 fractional bits, by repeated squaring of the mantissa.
const fn log2(n: u64) -> u64 {
    let whole = n.ilog2();
    let mut mantissa = n << (31 - whole);
    let mut log = whole as u64;
    let mut bit = 0;
    while bit < 32 {
        mantissa = (mantissa * mantissa) >> 31;
        log <<= 1;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            log |= 1;
        }
        bit += 1;
    }
    log
}
