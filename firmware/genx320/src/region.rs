//! Which pixels see, and where columns and rows begin.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::power_up::{self, Step};
use crate::registers::{Register, roi};
use crate::{Error, Genx320, SIDE};

/// Words of 32 columns.
const COLUMN_WORDS: u16 = SIDE / 32;
/// Words of 32 rows; the last are rows that have no pixels.
const ROW_WORDS: u16 = COLUMN_WORDS + 1;

/// Some columns and rows of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rectangle {
    /// First column.
    pub left: u16,
    /// First row.
    pub top: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Rectangle {
    /// The middle of the sensor.
    pub const fn centred(width: u16, height: u16) -> Self {
        Self { left: SIDE.saturating_sub(width) / 2, top: SIDE.saturating_sub(height) / 2, width, height }
    }

    fn lies_on_the_sensor(&self) -> bool {
        let fits = |at: u16, len: u16| len > 0 && u32::from(at) + u32::from(len) <= u32::from(SIDE);
        fits(self.left, self.width) && fits(self.top, self.height)
    }
}

/// Bits of `word` that lie in `len` places from `at`.
fn bits(at: u16, len: u16, word: u16) -> u32 {
    (0..32).filter(|bit| (at..at + len).contains(&(32 * word + bit))).fold(0, |bits, bit| bits | 1 << bit)
}

impl<I: I2c, D: DelayNs> Genx320<I, D> {
    /// Only pixels in `region` see; the others are off and cost neither power nor bandwidth. Columns and rows keep their
    /// numbers.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Bus`].
    pub fn set_region(&mut self, region: &Rectangle) -> Result<(), Error<I::Error>> {
        if !region.lies_on_the_sensor() {
            return Err(Error::Range);
        }
        // All rows take "off" ...
        self.columns(|_| u32::MAX)?;
        self.rows(|_| u32::MAX)?;
        self.load()?;
        // ... then those of the region take its columns.
        self.rows(|word| bits(region.top, region.height, word))?;
        self.columns(|word| !bits(region.left, region.width, word))?;
        self.load()
    }

    /// The readout drops events outside of `crop` and counts columns and rows from its corner; none ends that.
    ///
    /// The register map names first and last; that the last belongs to the crop is Prophesee's wording for other sensors.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Bus`], [`Error::Readback`].
    pub fn set_crop(&mut self, crop: Option<&Rectangle>) -> Result<(), Error<I::Error>> {
        let Some(crop) = crop else { return self.write_checked(Register::RO_OOR_CTRL, 0, 0b1_0101) };
        if !crop.lies_on_the_sensor() {
            return Err(Error::Range);
        }
        let corner = |x: u16, y: u16| u32::from(x) | u32::from(y) << 16;
        let last = corner(crop.left + crop.width - 1, crop.top + crop.height - 1);
        self.write_checked(Register::RO_OOR_START_POS, corner(crop.left, crop.top), 0x01FF_01FF)?;
        self.write_checked(Register::RO_OOR_END_POS, last, 0x01FF_01FF)?;
        // Enabled, drop, new origin.
        self.write_checked(Register::RO_OOR_CTRL, 0b1_0101, 0b1_0101)
    }

    /// Loads all latches with "on", as part of the power-up.
    pub(crate) fn all_pixels(&mut self) -> Result<(), Error<I::Error>> {
        for word in 0..ROW_WORDS {
            self.run(&[Step::Write(Register::roi_rows(word), 0)])?;
        }
        self.run(&power_up::LOAD_LATCHES)?;
        for word in 0..COLUMN_WORDS {
            self.run(&[Step::Write(Register::roi_columns(word), 0)])?;
        }
        for word in 0..COLUMN_WORDS {
            self.run(&[Step::Write(Register::roi_rows(word), u32::MAX)])?;
        }
        self.run(&power_up::LOAD_LATCHES)
    }

    fn columns(&mut self, off: impl Fn(u16) -> u32) -> Result<(), Error<I::Error>> {
        (0..COLUMN_WORDS).try_for_each(|word| self.write(Register::roi_columns(word), off(word)))
    }

    fn rows(&mut self, take: impl Fn(u16) -> u32) -> Result<(), Error<I::Error>> {
        (0..COLUMN_WORDS).try_for_each(|word| self.write(Register::roi_rows(word), take(word)))
    }

    fn load(&mut self) -> Result<(), Error<I::Error>> {
        self.modify(Register::ROI_CTRL, 0, roi::LOAD)?;
        self.modify(Register::ROI_CTRL, roi::LOAD, 0)
    }
}
