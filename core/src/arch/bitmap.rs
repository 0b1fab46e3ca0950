//! Rows times weights of which only those that are not zero exist.
#![allow(unsafe_code)]

use super::matrix::{Patches, patch_bytes};
use super::view::Out;
use crate::kernels::requant::{Channels, Clamp, Quantized};
use crate::pack::{Bitmap, Layout};

/// Rows that go through the bits together: as many sums and pointers as a Cortex-M has registers for.
const ROWS: usize = 4;

/// Outputs of int8 `patches`, staged in the generic way or plain: row `r` goes to `y` from element `r * stride` on. Nothing
/// happens when something is too short.
pub fn outputs<Y: Quantized>(
    patches: Patches<'_>,
    weights: &Bitmap<'_>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) {
    let Patches { rows, depth, staged, .. } = patches;
    let step = if staged { patch_bytes(Layout::Generic, depth) } else { depth };
    let (x, count) = (patches.bytes.cast::<i8>(), channels.bias.len());
    let constants = weights.depth == depth && weights.bits.len() >= count * Bitmap::row_bytes(depth);
    if rows == 0 || depth == 0 || !constants || x.len() < (rows - 1) * step + depth {
        return;
    }
    let mut first = 0;
    while first < rows {
        let whole = first + ROWS <= rows;
        for channel in 0..count {
            // SAFETY: the rows lie in `x`, and the channel's bits in those of the weights.
            unsafe {
                let x = x.as_ptr().add(first * step);
                let place = |row: usize| (first + row) * stride + channel;
                if whole {
                    for (row, sum) in dots::<ROWS>(x, step, weights, channel).into_iter().enumerate() {
                        y.set(place(row), channels.finish(channel, sum, clamp));
                    }
                } else {
                    let [sum] = dots::<1>(x, step, weights, channel);
                    y.set(place(0), channels.finish(channel, sum, clamp));
                }
            }
        }
        first += if whole { ROWS } else { 1 };
    }
}

/// Products of `R` rows, `step` apart, with one channel's weights.
///
/// Whatever the bits say, nothing outside of the rows and values is read; only a [`Bitmap::valid`] one gives the product.
///
/// # Safety
/// `x` is valid for `(R - 1) * step + weights.depth` reads, and the channel's bits lie in those of the weights.
#[inline]
unsafe fn dots<const R: usize>(x: *const i8, step: usize, weights: &Bitmap<'_>, channel: usize) -> [i32; R] {
    let (depth, row_bytes) = (weights.depth, Bitmap::row_bytes(weights.depth));
    let values = weights.values.window(weights.starts.get(channel) as usize, weights.values.len());
    let (mut value, mut left) = (values.as_ptr(), values.len());
    let mut sums = [0i32; R];
    for word in 0..row_bytes.div_ceil(4) {
        // SAFETY: the bytes lie in the row of bits.
        let mut bits = unsafe {
            let bytes = weights.bits.as_ptr().add(channel * row_bytes + word * 4);
            match row_bytes - word * 4 {
                4.. => bytes.cast::<u32>().read_unaligned(),
                rest => (0..rest).fold(0, |bits, at| bits | (*bytes.add(at) as u32) << (8 * at)),
            }
        };
        if depth - word * 32 < 32 {
            bits &= (1 << (depth - word * 32)) - 1;
        }
        let count = if left < 32 { bits.count_ones() as usize } else { 0 };
        if count > left {
            break;
        }
        let start = value;
        while bits != 0 {
            let at = word * 32 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            // SAFETY: `at` is below the depth, and there are as many values left as the word has bits.
            unsafe {
                let weight = *value as i32;
                value = value.add(1);
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.wrapping_add(*x.add(row * step + at) as i32 * weight);
                }
            }
        }
        left -= value as usize - start as usize;
    }
    sums
}
