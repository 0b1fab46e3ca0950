//! Pictures: PNG files, the scaling that super-resolution is judged with, its two measures, and models that take pictures.
//!
//! Conventions are those of the field, so that figures compare with published ones: low-resolution pictures are made by
//! MATLAB's `imresize` (bicubic, antialiased), and PSNR and SSIM look at the luma of BT.601 without a border.

mod file;
mod model;
mod quality;
mod resize;
mod sheet;

pub use file::{decode_png, read_png, write_png};
pub use model::{Answer, Frame, Pictures, is_png, list_pngs, tiles};
pub use quality::{Luma, luma, psnr, ssim};
pub use resize::{Filter, resize};
pub use sheet::side_by_side;

use crate::{Error, ErrorKind, Result};

/// Pixels of a picture at most; more is taken for a broken head of a file.
pub const MOST_PIXELS: usize = 1 << 26;

/// A picture of 8-bit red, green and blue.
///
/// Values are as stored in files (sRGB as a rule); nothing here changes their gamma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Rgb8 {
    /// A picture of `width * height` pixels from `pixels`: rows from top to bottom, pixels from left to right, each
    /// red, green, blue.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it has no pixel, more than [`MOST_PIXELS`], or `pixels` has another length.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        let refused = |message: String| Error::new(ErrorKind::Input, "", message);
        let count = width.checked_mul(height).filter(|count| (1..=MOST_PIXELS).contains(count));
        let Some(count) = count else {
            let message = format!("a picture of {width}x{height} pixels; 1 to {MOST_PIXELS} are handled");
            return Err(refused(message).hint("give a picture of another size"));
        };
        if pixels.len() != 3 * count {
            return Err(refused(format!("{} bytes are no picture of {width}x{height} pixels", pixels.len()))
                .hint("give three bytes a pixel"));
        }
        Ok(Self { width, height, pixels })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All pixels, as [`Rgb8::new`] takes them.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Row `y`, three bytes a pixel; empty if there is no such row.
    pub fn row(&self, y: usize) -> &[u8] {
        self.pixels.chunks(3 * self.width).nth(y).unwrap_or(&[])
    }

    /// The part of `width * height` pixels whose upper left pixel is (`left`, `top`).
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it is empty or does not lie in the picture.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Result<Self> {
        let within =
            |start: usize, size: usize, all: usize| start.checked_add(size).is_some_and(|end| end <= all);
        if !within(left, width, self.width) || !within(top, height, self.height) {
            let message = format!(
                "{width}x{height} pixels from ({left}, {top}) on do not lie in a picture of {}x{}",
                self.width, self.height
            );
            return Err(Error::new(ErrorKind::Input, "", message).hint("take a smaller part"));
        }
        let rows = self.pixels.chunks(3 * self.width).skip(top).take(height);
        Self::new(width, height, rows.flat_map(|row| &row[3 * left..3 * (left + width)]).copied().collect())
    }

    /// The upper left part whose sides are multiples of `scale`, as the field cuts a picture before it is reduced.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if `scale` is 0 or nothing is left.
    pub fn cut_to_multiple(&self, scale: usize) -> Result<Self> {
        let cut = |side: usize| side.checked_rem(scale).map_or(0, |rest| side - rest);
        self.crop(0, 0, cut(self.width), cut(self.height))
    }
}
