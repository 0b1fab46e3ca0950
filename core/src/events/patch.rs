//! Patches: which pixel belongs to which token, and which tokens of a window are kept.
//!
//! The values of a window lie patch by patch, \[patch\]\[y\]\[x\]\[channel\], so that the memory of a patch is its token. Where an event's
//! values lie is the sum of two table entries, one by column, one by row and polarity, whatever the crop, padding and scaling: an
//! event costs two loads and an addition, and one outside of the grid fails the bounds check that follows anyway.

use super::Geometry;
use crate::arch::count::{OUTSIDE, Tables};

/// How a sensor is divided into square patches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Grid {
    /// Sensor column of the first patch's left edge; negative for padding, positive for a crop.
    pub left: i16,
    /// Sensor row of the first patch's top edge.
    pub top: i16,
    /// 2^shift sensor pixels on a side make one pixel of a patch.
    pub shift: u8,
    /// Pixels on a side of a patch, 1 to 255.
    pub patch: u8,
    /// Patches in a row.
    pub columns: u8,
    /// Rows of patches.
    pub rows: u8,
}

/// Why a grid or its memory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PatchError {
    /// No patches, more than 16,383, more than 2^26 pixels in them, or a patch side of 0.
    Grid,
    /// A slice of memory is shorter than the configuration asks for.
    Memory,
    /// The configuration's numbers do not fit together; the field is named.
    Config(&'static str),
}

impl core::fmt::Display for PatchError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Grid => f.write_str("a grid needs 1 to 16383 patches of 1 to 255 pixels"),
            Self::Memory => {
                f.write_str("a slice of memory is too short: ask the configuration for its sizes")
            }
            Self::Config(field) => write!(f, "the value of {field} does not fit the others"),
        }
    }
}

impl core::error::Error for PatchError {}

impl Grid {
    /// Number of patches; they are numbered row by row from the top left.
    pub const fn patches(&self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// Pixels of a patch.
    pub const fn pixels(&self) -> usize {
        self.patch as usize * self.patch as usize
    }

    /// Length of the lookup tables in `u32`.
    pub const fn lookup_len(geometry: Geometry) -> usize {
        geometry.width as usize + 2 * geometry.height as usize
    }

    pub(super) fn check(&self) -> Result<(), PatchError> {
        // So offsets stay below 2^30, with at most 16 values a pixel.
        let ok = (1..0x4000).contains(&self.patches()) && self.patch > 0 && self.shift < 8;
        let ok = ok && self.patches() * self.pixels() < 1 << 26;
        if ok { Ok(()) } else { Err(PatchError::Grid) }
    }

    /// Patch side and pixel of sensor coordinate `at`, or `None` outside.
    fn split(&self, at: usize, edge: i16, patches: u8) -> Option<(u32, u32)> {
        let offset = u32::try_from(at as i32 - i32::from(edge)).ok()? >> self.shift;
        let patch = offset / u32::from(self.patch);
        (patch < patches.into()).then_some((patch, offset % u32::from(self.patch)))
    }

    /// Tables of the offsets of `channels` values a pixel on a sensor: beyond all values for an event outside of the
    /// grid. Events that got brighter lie `on` values further.
    pub(super) fn fill<'m>(
        &self,
        geometry: Geometry,
        channels: usize,
        on: usize,
        memory: &'m mut [u32],
    ) -> Result<Tables<'m>, PatchError> {
        self.check()?;
        let table = memory.get_mut(..Grid::lookup_len(geometry)).ok_or(PatchError::Memory)?;
        let (columns, rows) = table.split_at_mut(geometry.width.into());
        let channels = channels as u32;
        let size = self.pixels() as u32 * channels;
        for (x, entry) in columns.iter_mut().enumerate() {
            let at = self.split(x, self.left, self.columns);
            *entry = at.map_or(OUTSIDE, |(patch, pixel)| patch * size + pixel * channels);
        }
        let (line, side) = (u32::from(self.columns), u32::from(self.patch));
        for (y, entries) in rows.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let at = self.split(y, self.top, self.rows);
            let offset = at.map(|(patch, pixel)| patch * line * size + pixel * side * channels);
            *entries = offset.map_or([OUTSIDE; 2], |offset| [offset, offset + on as u32]);
        }
        Ok(Tables::new(columns, rows))
    }
}

/// One active patch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// Row of the token tensor, from 0.
    pub index: usize,
    /// Number of the patch, row by row.
    pub patch: u16,
    /// Column of the patch in the grid.
    pub column: u8,
    /// Row of the patch in the grid.
    pub row: u8,
    /// Values, \[y\]\[x\]\[channel\].
    pub values: &'a [u8],
}

impl<'a> Token<'a> {
    pub(super) fn new(index: usize, patch: usize, grid: &Grid, values: &'a [u8]) -> Self {
        let line = usize::from(grid.columns.max(1));
        Self { index, patch: patch as u16, column: (patch % line) as u8, row: (patch / line) as u8, values }
    }
}

/// What became of a window's active patches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Emitted {
    /// Tokens given.
    pub tokens: usize,
    /// Active patches left out because of the bound on tokens.
    pub dropped_tokens: usize,
    /// Events of the window outside of the grid.
    pub outside: u32,
}

/// The drop policy: at most `max` patches, those with the most active pixels; among equals those that come first. Given the active
/// pixels of each patch, returns the count from which all are kept and how many are kept of those one below, and the number of
/// patches with `least` or more.
pub(super) fn choose(pixels: impl Iterator<Item = u16> + Clone, least: u16, max: usize) -> Choice {
    let from = |n: u16| pixels.clone().filter(|&p| p >= n).count();
    let all = from(least);
    let (mut floor, mut kept) = (least, all);
    while kept > max {
        floor = floor.saturating_add(1);
        kept = from(floor);
    }
    Choice { floor, fill: if floor > least { max - kept } else { 0 }, dropped: all.saturating_sub(max) }
}

/// See [`choose`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    floor: u16,
    fill: usize,
    pub(super) dropped: usize,
}

impl Choice {
    /// Whether the next patch, in order, is kept.
    pub(super) fn keeps(&mut self, pixels: u16) -> bool {
        if pixels >= self.floor {
            return true;
        }
        let fills = self.fill > 0 && pixels + 1 == self.floor;
        self.fill -= usize::from(fills);
        fills
    }
}
