//! The tokens of EvT+ (arXiv 2211.12222): for each pixel and polarity the newest few time stamps, as ages at the window's end.
//!
//! A value v stands for 1 - age / span, between v / 256 and (v + 1) / 256, and 0 for "none" (span: 256 ticks), stored as \[y\]\[x\]\[oldest..newest\]\[polarity\], negative first: the memory of
//! a patch *is* its token. Values refer to a window's end, which is known before its events come; when a patch is first touched in a
//! later window, all its values fall by the time between. So a window costs what its active patches cost, and old stamps fade by
//! themselves, without wraps.
//!
//! A patch is active if enough of its pixels have an event no older than one window. Ages are rounded up to ticks, which keeps that
//! comparison exact in microseconds.

use super::patch::{Emitted, Grid, PatchError, Token, choose};
use super::{Event, Geometry};
use crate::arch::count::Tables;

/// What a surface holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SurfaceConfig {
    /// Pixels of the events.
    pub geometry: Geometry,
    /// Patches.
    pub grid: Grid,
    /// Stamps of a pixel and polarity, 1 to 8 (K of the paper: 3).
    pub stamps: u8,
    /// Microseconds of a step of the values; the paper's span of 256 ms gives 1000.
    pub tick: u32,
    /// Ticks of a window, 1 to 254: windows must be cut by time with this period.
    pub window_ticks: u8,
    /// Events of a pixel and polarity within this many ticks, counted back from the window's end, share a stamp, the newest; a
    /// divisor of `window_ticks` (the paper: window / K), or 0 for streams that were thinned before ([`newest`](super::newest)).
    pub merge_ticks: u8,
    /// Microseconds by which an event may be older than a window and still make its pixel active, below `tick`. The published code
    /// compares half-precision floats, and their rounding admits 62 us with a span of 256 ms; 0 is the exact rule.
    pub slack: u32,
    /// A patch is active from this number of active pixels (the paper: 7.5 % of them, rounded down).
    pub least_pixels: u16,
    /// Most tokens of a window.
    pub max_tokens: u16,
}

impl SurfaceConfig {
    /// Values of a token.
    pub const fn token_dim(&self) -> usize {
        self.grid.pixels() * 2 * self.stamps as usize
    }

    /// Bytes of [`SurfaceMemory::values`].
    pub const fn values_len(&self) -> usize {
        self.grid.patches() * self.token_dim()
    }

    /// Microseconds of a window.
    pub const fn period(&self) -> u32 {
        self.tick * self.window_ticks as u32
    }
}

/// State of one patch; the memory of [`Surface`] holds one for each patch of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// Window end to which the values refer.
    end: u32,
    pixels: u16,
    touched: Touched,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Touched {
    /// No value but "none" since the start or the last fading.
    Never,
    /// In an earlier window.
    Before,
    /// By an event late enough in the window before to count in this one too.
    Carried,
    /// In the open window.
    Now,
    /// In the open window and so late that it counts in the next.
    NowAndNext,
}

impl Patch {
    /// A patch that has never seen an event.
    pub const EMPTY: Self = Self { end: 0, pixels: 0, touched: Touched::Never };
}

/// Memory of a [`Surface`], from the caller.
#[derive(Debug)]
pub struct SurfaceMemory<'m> {
    /// [`Grid::lookup_len`] words.
    pub lookup: &'m mut [u32],
    /// [`Grid::patches`] of [`Patch::EMPTY`].
    pub patches: &'m mut [Patch],
    /// [`SurfaceConfig::values_len`] bytes.
    pub values: &'m mut [u8],
}

/// The stamps of all pixels.
#[derive(Debug)]
pub struct Surface<'m> {
    config: SurfaceConfig,
    tables: Tables<'m>,
    patches: &'m mut [Patch],
    values: &'m mut [u8],
    outside: u32,
}

/// `values` less `by`, not below 0.
fn fade(values: &mut [u8], by: u8) {
    for value in values {
        *value = value.saturating_sub(by);
    }
}

impl<'m> Surface<'m> {
    /// Checks the configuration and lays it into `memory`, of which more than needed is not used.
    pub fn new(config: SurfaceConfig, memory: SurfaceMemory<'m>) -> Result<Self, PatchError> {
        if !(1..=8).contains(&config.stamps) {
            return Err(PatchError::Config("stamps"));
        }
        let tables = config.grid.fill(config.geometry, 2 * usize::from(config.stamps), 0, memory.lookup)?;
        if config.tick == 0 || config.tick > 1 << 20 {
            return Err(PatchError::Config("tick"));
        }
        if !(1..255).contains(&config.window_ticks) {
            return Err(PatchError::Config("window_ticks"));
        }
        if config.merge_ticks > 0 && !config.window_ticks.is_multiple_of(config.merge_ticks) {
            return Err(PatchError::Config("merge_ticks"));
        }
        if config.slack >= config.tick {
            return Err(PatchError::Config("slack"));
        }
        if config.least_pixels == 0 || usize::from(config.least_pixels) > config.grid.pixels() {
            return Err(PatchError::Config("least_pixels"));
        }
        let patches = memory.patches.get_mut(..config.grid.patches()).ok_or(PatchError::Memory)?;
        let values = memory.values.get_mut(..config.values_len()).ok_or(PatchError::Memory)?;
        let mut surface = Self { config, tables, patches, values, outside: 0 };
        surface.reset();
        Ok(surface)
    }

    /// Forgets all stamps.
    pub fn reset(&mut self) {
        self.patches.fill(Patch::EMPTY);
        self.values.fill(0);
        self.outside = 0;
    }

    /// Takes events of the time window that ends at `end`, as [`Windows::next`](super::window::Windows::next) gives them.
    #[inline]
    pub fn add(&mut self, events: &[Event], end: u32) {
        let SurfaceConfig { stamps, tick, merge_ticks, slack, .. } = self.config;
        let (size, width) = (self.config.token_dim(), 2 * usize::from(stamps));
        let round_up = tick - 1 - slack;
        for &event in events {
            let at = self.tables.get(event).unwrap_or(usize::MAX);
            let state = self.patches.get_mut(at / size);
            let (Some(state), Some(values)) = (state, self.values.chunks_exact_mut(size).nth(at / size))
            else {
                self.outside = self.outside.saturating_add(1);
                continue;
            };
            if state.touched < Touched::Now {
                touch(state, values, end, tick);
            }
            let age = end.wrapping_sub(event.t).saturating_add(round_up) / tick;
            if age == 0 {
                state.touched = Touched::NowAndNext;
            }
            let pixel = at % size;
            if let Some(fifo) = values.get_mut(pixel..pixel + width) {
                push(fifo, usize::from(event.on()), age.min(255) as u8, merge_ticks);
            }
        }
    }

    /// Gives the active patches of the window that ends at `end` in raster order. Beyond `max_tokens`, those with the most active
    /// pixels are kept and the rest is counted. To be called for each window that had events, once.
    pub fn emit(&mut self, end: u32, mut token: impl FnMut(Token<'_>)) -> Emitted {
        let (size, width) = (self.config.token_dim(), 2 * usize::from(self.config.stamps));
        let least_value = 255 - self.config.window_ticks;
        for (state, values) in self.patches.iter_mut().zip(self.values.chunks_exact_mut(size)) {
            let age = end.wrapping_sub(state.end);
            if state.touched < Touched::Now
                && age / self.config.tick >= 255
                && state.touched != Touched::Never
            {
                // All values have faded; without this a patch could come back when 32-bit time has gone round.
                values.fill(0);
                state.touched = Touched::Never;
            }
            if state.touched == Touched::Carried && age == self.config.period() {
                touch(state, values, end, self.config.tick);
            }
            state.pixels = if state.touched >= Touched::Now {
                let newest = values.chunks_exact(width).filter_map(|fifo| fifo.last_chunk::<2>());
                newest.filter(|&&[off, on]| off.max(on) >= least_value).count() as u16
            } else {
                0
            };
        }
        let least = self.config.least_pixels;
        let mut choice = choose(self.patches.iter().map(|s| s.pixels), least, self.config.max_tokens.into());
        let mut tokens = 0;
        for ((patch, state), values) in
            self.patches.iter_mut().enumerate().zip(self.values.chunks_exact(size))
        {
            if state.pixels >= least && choice.keeps(state.pixels) {
                token(Token::new(tokens, patch, &self.config.grid, values));
                tokens += 1;
            }
            state.touched = match state.touched {
                Touched::NowAndNext => Touched::Carried,
                Touched::Never => Touched::Never,
                _ => Touched::Before,
            };
        }
        let emitted = Emitted { tokens, dropped_tokens: choice.dropped, outside: self.outside };
        self.outside = 0;
        emitted
    }

    /// What is held.
    pub fn config(&self) -> &SurfaceConfig {
        &self.config
    }
}

/// Makes the values of a patch refer to `end`.
#[cold]
fn touch(state: &mut Patch, values: &mut [u8], end: u32, tick: u32) {
    if state.touched != Touched::Never {
        fade(values, (end.wrapping_sub(state.end) / tick).min(255) as u8);
    }
    state.end = end;
    state.touched = Touched::Now;
}

/// Puts a stamp of this age into one polarity of a pixel's stamps.
#[inline(always)]
fn push(fifo: &mut [u8], polarity: usize, age: u8, merge_ticks: u8) {
    let newest = fifo.len() - 2 + polarity;
    let same = merge_ticks > 0
        && fifo.get(newest).is_some_and(|&v| (255 - v).div_ceil(merge_ticks) == age.div_ceil(merge_ticks));
    if !same {
        for at in (polarity..newest).step_by(2) {
            if let [to, _, from, ..] = fifo.get_mut(at..).unwrap_or(&mut []) {
                *to = *from;
            }
        }
    }
    if let Some(value) = fifo.get_mut(newest) {
        *value = 255 - age;
    }
}
