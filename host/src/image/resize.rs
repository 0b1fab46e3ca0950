//! Scaling as MATLAB's `imresize` does it.
//!
//! Each output sample is a weighted mean of the inputs around its place. Pixel centres lie at half-integers, a kernel is
//! stretched when a side gets smaller (antialiasing), weights are normalised, and the picture is mirrored at its borders with
//! the edge repeated. Columns are done first, and each of the two passes rounds half up and clips to 8 bits: that order gives
//! the low-resolution pictures that the field tests on, byte for byte.
//!
//! Bicubic: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981, a = -1/2.

use super::Rgb8;
use crate::{Error, ErrorKind, Result};

/// How samples between pixels are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    /// The pixel whose area holds the place; the right and lower one of two that are equally near.
    Nearest,
    /// A line between two pixels.
    Bilinear,
    /// Cubic convolution with a = -1/2 over four pixels.
    Bicubic,
}

impl Filter {
    /// Distance in pixels from which on the kernel is 0.
    fn radius(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// The kernel at distance `x` in pixels.
    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Nearest => f64::from(u8::from(x < 0.5)),
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x <= 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Bicubic => 0.0,
        }
    }
}

/// `picture` with `width * height` pixels.
///
/// # Errors
/// [`ErrorKind::Input`] if that is no pixel or too many.
pub fn resize(picture: &Rgb8, width: usize, height: usize, filter: Filter) -> Result<Rgb8> {
    // Checked before memory is asked for; the picture between the passes is as high as the result and as wide as the source.
    let most = width.max(picture.width()).checked_mul(height);
    if width == 0 || height == 0 || most.is_none_or(|pixels| pixels > super::MOST_PIXELS) {
        let message = format!(
            "a picture of {}x{} pixels cannot become one of {width}x{height}",
            picture.width(),
            picture.height()
        );
        return Err(Error::new(ErrorKind::Input, "", message).hint("scale by a smaller factor"));
    }
    let (source, row) = (picture.pixels(), 3 * picture.width());
    let mut tall = Vec::with_capacity(row * height);
    let mut sums = vec![0.0; row];
    for taps in taps(picture.height(), height, filter) {
        sums.fill(0.0);
        for (y, weight) in taps {
            let samples = &source[y * row..][..row];
            sums.iter_mut().zip(samples).for_each(|(sum, &sample)| *sum += weight * f64::from(sample));
        }
        tall.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    let columns = taps(picture.width(), width, filter);
    let mut pixels = Vec::with_capacity(3 * width * height);
    for samples in tall.chunks(row) {
        for taps in &columns {
            let mut sums = [0.0; 3];
            for &(x, weight) in taps {
                let pixel = &samples[3 * x..][..3];
                sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += weight * f64::from(sample));
            }
            pixels.extend(sums.map(rounded));
        }
    }
    Rgb8::new(width, height, pixels)
}

/// Half up, and to the range of 8 bits.
fn rounded(value: f64) -> u8 {
    (value + 0.5).floor().clamp(0.0, 255.0) as u8
}

/// For each of `to` samples the indices below `from` of the inputs that it is made of, with their weights.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Vec<(usize, f64)>> {
    let scale = to as f64 / from as f64;
    // Nearest is not stretched: it picks one pixel.
    let stretch = if filter == Filter::Nearest { 1.0 } else { scale.min(1.0) };
    let reach = filter.radius() / stretch;
    let weights = |place: usize| {
        // The output's centre among the inputs' centres.
        let centre = (place as f64 + 0.5) / scale - 0.5;
        if filter == Filter::Nearest {
            return vec![(((centre + 0.5).floor() as usize).min(from - 1), 1.0)];
        }
        let first = (centre - reach).floor() as i64;
        let last = (centre + reach).ceil() as i64;
        let weight = |index: i64| filter.weight(stretch * (centre - index as f64));
        let all: Vec<f64> = (first..=last).map(weight).collect();
        let sum: f64 = all.iter().sum();
        (first..)
            .zip(all)
            .filter(|&(_, w)| w != 0.0)
            .map(|(index, w)| (mirrored(index, from), w / sum))
            .collect()
    };
    (0..to).map(weights).collect()
}

/// An index of a row that is mirrored at both ends with the edge repeated: 1 0 | 0 1 2 | 2 1.
fn mirrored(index: i64, size: usize) -> usize {
    let index = index.rem_euclid(2 * size as i64) as usize;
    index.min(2 * size - 1 - index)
}
