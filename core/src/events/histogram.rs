//! The Event Transformer's tokens (EvT, arXiv 2204.03355): events counted per pixel, polarity and time bin.
//!
//! A patch is active if enough of its pixels have any event; its token holds log(1 + count) of \[y\]\[x\]\[polarity * bins + bin\]. Counts
//! saturate at 255. Patches are marked when their first event comes and only marked ones are looked at, and cleared with up to three
//! neighbours, so that a window costs what its activity costs.
//!
//! The paper runs from the newest to the oldest slice and appends older slices to windows with few active patches. Causally, the
//! oldest bin is 0, and [`Windows::extend`](super::window::Windows::extend) appends newer time to the last bin.

use core::ops::Range;

use super::patch::{Emitted, Grid, PatchError, Token, choose};
use super::{Event, Geometry};
use crate::arch::clear;
use crate::arch::count::{Places, Tables, count};

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
    /// Most tokens of a window.
    pub max_tokens: u16,
}

impl HistogramConfig {
    /// Values of a token.
    pub const fn token_dim(&self) -> usize {
        self.grid.pixels() * 2 * self.bins as usize
    }

    /// Whether the numbers make sense together; [`Histogram::new`] asks this too.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), PatchError> {
        self.grid.check()?;
        if !(1..=8).contains(&self.bins) {
            return Err(PatchError::Config("bins"));
        }
        if self.least_pixels == 0 || usize::from(self.least_pixels) > self.grid.pixels() {
            return Err(PatchError::Config("least_pixels"));
        }
        Ok(())
    }

    /// Bytes of [`HistogramMemory::counts`].
    pub const fn counts_len(&self) -> usize {
        self.grid.patches() * self.token_dim()
    }
}

/// Memory of a [`Histogram`], from the caller.
#[derive(Debug)]
pub struct HistogramMemory<'m> {
    /// [`Grid::lookup_len`] words.
    pub lookup: &'m mut [u32],
    /// [`Grid::patches`] words.
    pub patches: &'m mut [u16],
    /// [`HistogramConfig::counts_len`] bytes.
    pub counts: &'m mut [u8],
}

/// Counts the events of the open window.
#[derive(Debug)]
pub struct Histogram<'m> {
    config: HistogramConfig,
    tables: Tables<'m>,
    /// Active pixels of each patch, known after `active`; until then 1 for every patch with an event.
    patches: &'m mut [u16],
    counts: &'m mut [u8],
    outside: u32,
}

impl<'m> Histogram<'m> {
    /// Checks the configuration and lays it into `memory`, of which more than needed is not used.
    pub fn new(config: HistogramConfig, memory: HistogramMemory<'m>) -> Result<Self, PatchError> {
        config.check()?;
        let bins = usize::from(config.bins);
        let tables = config.grid.fill(config.geometry, 2 * bins, bins, memory.lookup)?;
        let patches = memory.patches.get_mut(..config.grid.patches()).ok_or(PatchError::Memory)?;
        let counts = memory.counts.get_mut(..config.counts_len()).ok_or(PatchError::Memory)?;
        patches.fill(0);
        counts.fill(0);
        Ok(Self { config, tables, patches, counts, outside: 0 })
    }

    /// Counts events of one time bin, as [`Windows::next`](super::window::Windows::next) gives them.
    pub fn add(&mut self, events: &[Event], bin: u8) {
        if let Some(mut places) = self.places(bin) {
            let lost = count(events, &mut places);
            self.lost(lost);
        }
    }

    /// Where events of one time bin are counted; those outside of the grid go to [`lost`](Self::lost).
    #[inline]
    pub(super) fn places(&mut self, bin: u8) -> Option<Places<'_>> {
        let counts = self.counts.get_mut(usize::from(bin.min(self.config.bins - 1))..)?;
        Some(Places { tables: &self.tables, counts, marks: self.patches, size: self.config.token_dim() })
    }

    /// Counts events outside of the grid.
    #[inline]
    pub(super) fn lost(&mut self, events: u32) {
        self.outside = self.outside.saturating_add(events);
    }

    /// Number of active patches of the open window, without bound.
    pub fn active(&mut self) -> usize {
        let (channels, size) = (2 * usize::from(self.config.bins), self.config.token_dim());
        let mut active = 0;
        let marked =
            self.patches.iter_mut().zip(self.counts.chunks_exact(size)).filter(|(pixels, _)| **pixels > 0);
        for (pixels, counts) in marked {
            *pixels = match channels {
                4 => counts.as_chunks().0.iter().filter(|&&pixel| u32::from_ne_bytes(pixel) != 0).count()
                    as u16,
                _ => {
                    counts.chunks_exact(channels).filter(|pixel| pixel.iter().any(|&n| n > 0)).count() as u16
                }
            };
            active += usize::from(*pixels >= self.config.least_pixels);
        }
        active
    }

    /// Gives the active patches in raster order and empties the histogram. Beyond `max_tokens`, those with the most active pixels
    /// are kept and the rest is counted.
    pub fn emit(&mut self, mut token: impl FnMut(Token<'_>)) -> Emitted {
        self.active();
        let least = self.config.least_pixels;
        let mut choice = choose(self.patches.iter().copied(), least, self.config.max_tokens.into());
        let size = self.config.token_dim();
        let mut tokens = 0;
        for (patch, (pixels, counts)) in self.patches.iter().zip(self.counts.chunks_exact(size)).enumerate() {
            if *pixels >= least && choice.keeps(*pixels) {
                token(Token::new(tokens, patch, &self.config.grid, counts));
                tokens += 1;
            }
        }
        let emitted = Emitted { tokens, dropped_tokens: choice.dropped, outside: self.outside };
        self.clear();
        emitted
    }

    /// Empties the histogram: a window that is not run.
    pub fn clear(&mut self) {
        let (size, all) = (self.config.token_dim(), self.patches.len());
        let mut empty = |patches: Range<usize>| {
            if let Some(counts) = self.counts.get_mut(patches.start * size..patches.end * size) {
                clear(counts);
            }
        };
        // Four together, and what lies side by side at once: a patch that is empty is emptied in less time than it is
        // left out.
        let (fours, rest) = self.patches.as_chunks_mut::<4>();
        let mut marked = 0..0;
        for four in fours {
            if *four == [0; 4] {
                if !marked.is_empty() {
                    empty(marked.clone());
                }
                marked = marked.end + 4..marked.end + 4;
            } else {
                *four = [0; 4];
                marked.end += 4;
            }
        }
        rest.fill(0);
        empty(marked.start..all);
        self.outside = 0;
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
