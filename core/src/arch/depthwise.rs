//! The sums of one output pixel of a depthwise convolution.
#![allow(unsafe_code)]

use super::portable;
use super::view::In;
use crate::kernels::requant::Quantized;

/// Tallest kernel.
pub const MAX_HEIGHT: usize = 16;

/// What one output pixel sees.
pub struct Taps<'a, X> {
    /// One window a kernel row, which begins at the first tap inside the image; empty for rows outside.
    pub rows: &'a [In<'a, X>],
    /// The first column of taps inside the image.
    pub first: usize,
    /// How many columns of taps are inside.
    pub inside: usize,
    /// Columns of taps.
    pub columns: usize,
    /// Elements from one tap to the next.
    pub step: usize,
    /// What taps outside the image hold.
    pub outside: X,
}

/// Channels that are summed at once: what a Cortex-M's registers hold, or a vector register on larger machines.
const LANES: usize = if cfg!(target_os = "none") { 4 } else { 16 };

/// Gives `finish` the sum over all taps of input times weight for each of `depth * multiplier` output channels, in order.
/// `weights` are `[rows][columns][depth * multiplier]`. Nothing happens when a window is too short.
#[inline]
pub fn pixel<X: Quantized>(
    taps: &Taps<'_, X>,
    weights: In<'_, i8>,
    (depth, multiplier): (usize, usize),
    mut finish: impl FnMut(usize, i32),
) {
    let channels = depth * multiplier;
    let needed = taps.inside.saturating_sub(1) * taps.step + depth;
    let complete = taps.rows.iter().all(|row| row.is_empty() || row.len() >= needed);
    if !complete || weights.len() < taps.rows.len() * taps.columns * channels {
        return;
    }
    let mut channel = 0;
    while channel < channels {
        if multiplier == 1 && channel + LANES <= channels {
            // SAFETY: rows and weights reach to the last channel of every tap, and input and output channels are the same.
            let sums =
                unsafe { portable::taps::<X, LANES>(taps, weights.as_ptr(), channels, (channel, channel)) };
            for (lane, sum) in sums.into_iter().enumerate() {
                finish(channel + lane, sum);
            }
            channel += LANES;
        } else {
            let from = if multiplier == 1 { channel } else { channel / multiplier };
            // SAFETY: as above; `from` is an input channel.
            let [sum] = unsafe { portable::taps::<X, 1>(taps, weights.as_ptr(), channels, (from, channel)) };
            finish(channel, sum);
            channel += 1;
        }
    }
}
