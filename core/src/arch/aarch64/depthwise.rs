//! Depthwise rows with NEON: sixteen channels at once, tap by tap in 16-bit products.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::depthwise::{Filter, Lines};
use super::super::view::Out;
use super::scale::{Scales, store};

/// Channels at once.
const LANES: usize = 16;

/// See [`super::super::depthwise::padded_lines`].
pub(in super::super) fn padded_lines(
    filter: &Filter<'_>,
    lines: Lines<'_>,
    (y, stride): (Out<'_, i8>, usize),
) {
    let Filter { window, depth, channels, .. } = filter;
    let [height, width] = window.kernel.map(usize::from);
    let constants = [channels.bias.len(), channels.multiplier.len(), channels.shift.len()];
    let short = constants.into_iter().any(|len| len < *depth);
    if short || filter.weights.len() < height * width * depth || !lines.holds(filter, (y.len(), stride)) {
        return;
    }
    for first in (0..*depth).step_by(LANES) {
        // SAFETY: image, weights, constants and outputs were found long enough.
        unsafe { chunk(filter, &lines, first, (y.as_mut_ptr(), stride)) };
    }
}

/// All outputs of up to sixteen channels from `first` on.
///
/// # Safety
/// Image, weights and constants are as long as [`padded_lines`] found them, and so is `y`.
#[target_feature(enable = "neon")]
unsafe fn chunk(filter: &Filter<'_>, lines: &Lines<'_>, first: usize, (y, stride): (*mut i8, usize)) {
    let Filter { window, depth, channels, clamp, .. } = *filter;
    let [height, width] = window.kernel.map(usize::from);
    let [down, right] = window.dilation.map(usize::from);
    let count = (depth - first).min(LANES);
    let scales = [0, 4, 8, 12].map(|lane| {
        let at = first + lane.min(count);
        let constants = (
            channels.bias.as_ptr().wrapping_add(at),
            channels.multiplier.as_ptr().wrapping_add(at),
            channels.shift.as_ptr().wrapping_add(at),
        );
        // SAFETY: so many channels are there.
        unsafe { Scales::new(constants, count.saturating_sub(lane)) }
    });
    // The last channels' weights end where the weights do: they are read by way of a copy.
    let whole = count == LANES;
    let weights = |tap: usize| {
        let at = filter.weights.as_ptr().wrapping_add(tap * depth + first);
        let mut copy = [0i8; LANES];
        // SAFETY: `count` weights are there.
        unsafe {
            if whole {
                return vld1q_s8(at);
            }
            copy.as_mut_ptr().copy_from_nonoverlapping(at, count);
            vld1q_s8(copy.as_ptr())
        }
    };
    for line in 0..lines.lines {
        let row = lines.image.as_ptr().wrapping_add(line * window.stride[0] as usize * lines.row + first);
        for pixel in 0..lines.pixels {
            let from = row.wrapping_add(pixel * window.stride[1] as usize * depth);
            let mut sums = scales.map(|scales| scales.bias);
            for ky in 0..height {
                for kx in 0..width {
                    // SAFETY: the tap is there, and the bytes behind it.
                    let x =
                        unsafe { vld1q_s8(from.wrapping_add(ky * down * lines.row + kx * right * depth)) };
                    let w = weights(ky * width + kx);
                    let (low, high) = (vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
                    sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
                    sums[1] = vaddw_high_s16(sums[1], low);
                    sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
                    sums[3] = vaddw_high_s16(sums[3], high);
                }
            }
            let to = y.wrapping_add(line * stride + pixel * depth + first);
            for (block, (sum, scales)) in sums.into_iter().zip(&scales).enumerate() {
                let values = scales.outputs(sum, clamp);
                // SAFETY: as many outputs as there are.
                unsafe { store(values, count.saturating_sub(4 * block), to.wrapping_add(4 * block)) };
            }
        }
    }
}
