//! PSNR and SSIM on luma, as super-resolution reports them.

use super::Rgb8;
use crate::{Error, ErrorKind, Result};

/// The luma of a picture: Y of BT.601 in the range 16 to 235, not rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Luma {
    width: usize,
    height: usize,
    /// Rows from top to bottom.
    values: Vec<f64>,
}

/// Luma of `picture` as MATLAB's `rgb2ycbcr` weighs it: `16 + (65.481 R + 128.553 G + 24.966 B) / 255`.
pub fn luma(picture: &Rgb8) -> Luma {
    let weigh = |&[red, green, blue]: &[u8; 3]| {
        16.0 + (65.481 * f64::from(red) + 128.553 * f64::from(green) + 24.966 * f64::from(blue)) / 255.0
    };
    let values = picture.pixels().as_chunks().0.iter().map(weigh).collect();
    Luma { width: picture.width(), height: picture.height(), values }
}

impl Luma {
    /// Without `border` pixels on each side.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if nothing is left.
    pub fn without_border(&self, border: usize) -> Result<Self> {
        let inner = |side: usize| {
            border.checked_mul(2).and_then(|both| side.checked_sub(both)).filter(|&side| side > 0)
        };
        let (Some(width), Some(height)) = (inner(self.width), inner(self.height)) else {
            let message = format!(
                "nothing is left of {}x{} pixels without {border} on each side",
                self.width, self.height
            );
            return Err(Error::new(ErrorKind::Input, "", message).hint("give larger pictures"));
        };
        let rows = self.values.chunks(self.width).skip(border).take(height);
        let values = rows.flat_map(|row| &row[border..border + width]).copied().collect();
        Ok(Self { width, height, values })
    }
}

/// Refuses to compare pictures of different sizes.
fn alike(a: &Luma, b: &Luma) -> Result<()> {
    if (a.width, a.height) == (b.width, b.height) {
        return Ok(());
    }
    let message = format!("{}x{} pixels cannot be compared with {}x{}", a.width, a.height, b.width, b.height);
    Err(Error::new(ErrorKind::Input, "", message).hint("give two pictures of the same size"))
}

/// Peak signal to noise in dB, with a peak of 255; infinite for equal pictures.
///
/// # Errors
/// [`ErrorKind::Input`] for different sizes.
pub fn psnr(a: &Luma, b: &Luma) -> Result<f64> {
    alike(a, b)?;
    let squares: f64 = a.values.iter().zip(&b.values).map(|(a, b)| (a - b) * (a - b)).sum();
    Ok(10.0 * (255.0 * 255.0 * a.values.len() as f64 / squares).log10())
}

/// Side of the window of [`ssim`].
const WINDOW: usize = 11;
/// Standard deviation of its weights, in pixels.
const SIGMA: f64 = 1.5;
/// (K L)^2 with K1 = 0.01, K2 = 0.03 and L = 255.
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// Structural similarity (Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP
/// 13(4), 2004): the mean over all places where the Gaussian window of 11x11 pixels lies in the picture; 1 for equal pictures.
///
/// # Errors
/// [`ErrorKind::Input`] for different sizes, or pictures smaller than the window.
pub fn ssim(a: &Luma, b: &Luma) -> Result<f64> {
    alike(a, b)?;
    if a.width < WINDOW || a.height < WINDOW {
        let message = format!("SSIM needs {WINDOW}x{WINDOW} pixels, there are {}x{}", a.width, a.height);
        return Err(Error::new(ErrorKind::Input, "", message).hint("give larger pictures"));
    }
    let weights = gaussian();
    let blurred = |value: &dyn Fn(f64, f64) -> f64| {
        let values: Vec<f64> = a.values.iter().zip(&b.values).map(|(&a, &b)| value(a, b)).collect();
        blur(&values, a.width, &weights)
    };
    let (mean_a, mean_b) = (blurred(&|a, _| a), blurred(&|_, b| b));
    let (aa, bb, ab) = (blurred(&|a, _| a * a), blurred(&|_, b| b * b), blurred(&|a, b| a * b));
    let local = |i: usize| {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
        (2.0 * ma * mb + C1) * (2.0 * cov + C2) / ((ma * ma + mb * mb + C1) * (va + vb + C2))
    };
    Ok((0..mean_a.len()).map(local).sum::<f64>() / mean_a.len() as f64)
}

/// One axis of the window; the sum is 1.
fn gaussian() -> [f64; WINDOW] {
    let middle = (WINDOW / 2) as f64;
    let weights: [f64; WINDOW] =
        std::array::from_fn(|i| (-(i as f64 - middle).powi(2) / (2.0 * SIGMA * SIGMA)).exp());
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

/// The weighted mean over each window that lies in the picture; `WINDOW - 1` rows and columns fewer.
fn blur(values: &[f64], width: usize, weights: &[f64; WINDOW]) -> Vec<f64> {
    let mean = |window: &[f64]| window.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>();
    let rows: Vec<f64> = values.chunks(width).flat_map(|row| row.windows(WINDOW).map(mean)).collect();
    let width = width + 1 - WINDOW;
    let places = rows.len() + width - WINDOW * width;
    let column =
        |at: usize| weights.iter().enumerate().map(|(y, weight)| weight * rows[at + y * width]).sum();
    (0..places).map(column).collect()
}
