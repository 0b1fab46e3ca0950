//! The outputs of one pixel of a depthwise convolution.
#![allow(unsafe_code)]

use super::matrix::Lane;
use super::portable;
use super::view::{In, Out};
use crate::kernels::requant::{Channel, Channels, Clamp, Quantized, Scale};
use crate::pack::Layout;

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

/// Weights `[rows][columns][channels]`, channels and range of the outputs.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    /// Weight order of the plan.
    pub layout: Layout,
    /// The weights.
    pub weights: In<'a, i8>,
    /// Output channels for each input channel.
    pub multiplier: usize,
    /// Bias and scale of all output channels.
    pub channels: Channels<'a>,
    /// Zero point and range.
    pub clamp: Clamp,
}

/// Channels that are summed at once: what a Cortex-M's registers hold, or a vector register on larger machines.
const LANES: usize = if cfg!(target_os = "none") { 4 } else { 16 };

/// The outputs of one pixel, `y.len()` channels. Nothing happens when a window is too short.
#[inline(never)]
pub fn pixel<X: Lane, Y: Quantized>(taps: &Taps<'_, X>, filter: &Filter<'_>, y: Out<'_, Y>) {
    let (count, multiplier) = (y.len(), filter.multiplier.max(1));
    let needed = taps.inside.saturating_sub(1) * taps.step + count / multiplier;
    let inputs = taps.first + taps.inside <= taps.columns
        && taps.rows.iter().all(|row| row.is_empty() || row.len() >= needed);
    let constants = filter.weights.len() >= taps.rows.len() * taps.columns * count
        && [filter.channels.bias.len(), filter.channels.multiplier.len(), filter.channels.shift.len()]
            .into_iter()
            .all(|len| len >= count);
    if !inputs || !constants {
        return;
    }
    let mut channel = 0;
    if multiplier == 1 {
        while filter.layout == Layout::ArmDsp && channel + 4 <= count {
            // SAFETY: rows, weights, channels and `y` reach to the last channel.
            unsafe {
                let three = |sums: &mut _, x, w| X::four_by_three(sums, x, w, count);
                block::<X, Y, 4>(taps, filter, channel, channel, y, |sums, x, w| X::four(sums, x, w), three);
            }
            channel += 4;
        }
        while channel + LANES <= count {
            // SAFETY: as above.
            unsafe {
                let tap = |sums: &mut _, x, w| portable::tap(sums, x, w);
                let three = |sums: &mut _, x, w| portable::three_taps(sums, x, w, count);
                block::<X, Y, LANES>(taps, filter, channel, channel, y, tap, three);
            }
            channel += LANES;
        }
    }
    while channel < count {
        // SAFETY: as above; channel / multiplier is an input channel.
        unsafe {
            let from = channel / multiplier;
            let tap = |sums: &mut _, x, w| portable::tap(sums, x, w);
            block::<X, Y, 1>(taps, filter, from, channel, y, tap, |sums, x, w| {
                portable::three_taps(sums, x, w, count)
            });
        }
        channel += 1;
    }
}

/// Outputs `channel .. channel + L` from input channels `from ..`, with `tap` adding the products of one tap, and `three` those
/// of three that are as far apart as the weights.
///
/// # Safety
/// Rows that are not empty reach to channel `from + L` of the last tap inside; weights, channels and `y` to channel
/// `channel + L`.
#[inline(always)]
unsafe fn block<X: Quantized, Y: Quantized, const L: usize>(
    taps: &Taps<'_, X>,
    filter: &Filter<'_>,
    from: usize,
    channel: usize,
    y: Out<'_, Y>,
    tap: impl Fn(&mut [i32; L], *const X, *const i8),
    three: impl Fn(&mut [i32; L], *const X, *const i8),
) {
    let channels = y.len();
    let outside = [taps.outside; L];
    // SAFETY: the arrays have L channels from `channel` on.
    let mut sums = unsafe { filter.channels.bias.as_ptr().add(channel).cast::<[i32; L]>().read() };
    let mut w = filter.weights.as_ptr().wrapping_add(channel);
    let whole = taps.inside == 3 && taps.columns == 3 && taps.step == channels;
    for row in taps.rows {
        let mut x = row.as_ptr().wrapping_add(from);
        if whole && !row.is_empty() {
            three(&mut sums, x, w);
            w = w.wrapping_add(3 * channels);
            continue;
        }
        let inside = if row.is_empty() { 0 } else { taps.inside };
        for column in 0..taps.columns {
            if column.wrapping_sub(taps.first) < inside {
                tap(&mut sums, x, w);
                x = x.wrapping_add(taps.step);
            } else {
                tap(&mut sums, outside.as_ptr(), w);
            }
            w = w.wrapping_add(channels);
        }
    }
    // SAFETY: as for the bias.
    let (multipliers, shifts) = unsafe {
        let multipliers = filter.channels.multiplier.as_ptr().add(channel).cast::<[i32; L]>().read();
        (multipliers, filter.channels.shift.as_ptr().add(channel).cast::<[u8; L]>().read())
    };
    let full = Clamp::full::<Y>(filter.clamp.zero_point);
    let known = filter.clamp == full;
    let to = y.as_mut_ptr().wrapping_add(channel);
    for (lane, (sum, (multiplier, shift))) in
        sums.into_iter().zip(multipliers.into_iter().zip(shifts)).enumerate()
    {
        let finish = Channel { bias: 0, scale: Scale { multiplier, shift } };
        // Known limits become one saturating instruction.
        let value = if known { finish.apply(sum, full) } else { finish.apply(sum, filter.clamp) };
        // SAFETY: channel + lane is below the length of `y`.
        unsafe { to.add(lane).write(value) };
    }
}
