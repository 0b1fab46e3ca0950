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
            let finish = channels.channel(channel);
            // SAFETY: the rows lie in `x`, and the channel's bits in those of the weights.
            unsafe {
                let x = x.as_ptr().add(first * step);
                let place = |row: usize| (first + row) * stride + channel;
                if whole {
                    for (row, sum) in dots::<ROWS>(x, step, weights, channel).into_iter().enumerate() {
                        y.set(place(row), finish.apply(sum, clamp));
                    }
                } else {
                    let [sum] = dots::<1>(x, step, weights, channel);
                    y.set(place(0), finish.apply(sum, clamp));
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
    let mut at = Place { x, value: values.as_ptr(), left: values.len(), sums: [0; R] };
    // SAFETY: the bits of whole words and then of the last bytes lie in the row of bits, and are of inputs of the rows: those
    // behind the last one are masked.
    unsafe {
        let bits = weights.bits.as_ptr().add(channel * row_bytes);
        for word in 0..depth / 32 {
            at.scan(bits.add(word * 4).cast::<u32>().read_unaligned(), step);
        }
        if !depth.is_multiple_of(32) {
            let bytes = depth / 32 * 4..row_bytes;
            let last = bytes.rev().fold(0, |last, at| last << 8 | *bits.add(at) as u32);
            at.scan(last & ((1 << (depth % 32)) - 1), step);
        }
    }
    at.sums
}

/// How far a channel's products have come.
struct Place<const R: usize> {
    /// Input of the first row that the next bit is of.
    x: *const i8,
    /// The next value, and how many there are from it on.
    value: *const i8,
    left: usize,
    sums: [i32; R],
}

impl<const R: usize> Place<R> {
    /// Adds the products of 32 inputs. Without values for all of its bits, nothing happens.
    ///
    /// # Safety
    /// The inputs of all set bits are in the rows, `step` apart.
    #[inline(always)]
    unsafe fn scan(&mut self, mut bits: u32, step: usize) {
        if self.left < 32 && bits.count_ones() as usize > self.left {
            return;
        }
        let start = self.value;
        while bits != 0 {
            let input = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            // SAFETY: the caller's, and there are as many values left as bits.
            unsafe {
                let (x, weight) = (self.x.add(input), *self.value as i32);
                self.value = self.value.add(1);
                for (row, sum) in self.sums.iter_mut().enumerate() {
                    *sum = sum.wrapping_add(*x.add(row * step) as i32 * weight);
                }
            }
        }
        self.left -= self.value as usize - start as usize;
        self.x = self.x.wrapping_add(32);
    }
}
