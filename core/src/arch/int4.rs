//! Rows times weights of four bits.
//!
//! Stored weights are 8 more than they are, so that unpacking needs no sign: `sum x * w = sum x * (w + 8) - 8 * sum x`, and the
//! last sum is one a row.
#![allow(unsafe_code)]

use super::dsp_int4;
#[cfg(mixel_helium)]
use super::helium_int4;
use super::matrix::{Patches, patch_bytes};
use super::view::{In, Out};
use crate::kernels::requant::{Channels, Clamp, Quantized};
use crate::pack::int4::OFFSET;
use crate::pack::{Int4Order, Layout};

/// Outputs of int8 `patches`, staged in the way of `layout` or plain: row `r` goes to `y` from element `r * stride` on. Nothing
/// happens when something is too short.
pub fn outputs<Y: Quantized>(
    layout: Layout,
    patches: Patches<'_>,
    weights: In<'_, u8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) {
    let Patches { rows, depth, staged, .. } = patches;
    let count = channels.bias.len();
    let constants = layout.int4().len(count, depth).is_some_and(|size| weights.len() >= size);
    if rows == 0 || depth == 0 || !constants || y.len() < (rows - 1) * stride + count {
        return;
    }
    if layout == Layout::ArmDsp {
        return match staged {
            true => dsp_int4::tile(patches, weights, channels, clamp, (y, stride)),
            false => dsp_int4::row(patches, weights, channels, clamp, y),
        };
    }
    let step = if staged { patch_bytes(layout, depth) } else { depth };
    let x = patches.bytes.cast::<i8>();
    if x.len() < (rows - 1) * step + depth {
        return;
    }
    #[cfg(mixel_helium)]
    if layout == Layout::Helium {
        return helium_int4::outputs((x, rows, step), depth, weights, channels, clamp, (y, stride));
    }
    for first in (0..rows).step_by(2) {
        let (x, y) = (x.window(first * step, x.len()), y.window(first * stride, y.len()));
        let (order, row) = (layout.int4(), (x.as_ptr(), step, depth));
        // SAFETY: the last row's last value lies in `x`, and weights are as many as rows of `count` outputs take.
        unsafe {
            if first + 1 < rows {
                some_rows::<Y, 2>(order, row, weights.as_ptr(), channels, clamp, (y, stride));
            } else {
                some_rows::<Y, 1>(order, row, weights.as_ptr(), channels, clamp, (y, stride));
            }
        }
    }
}

/// Outputs of `R` rows of `depth` values, `step` apart.
///
/// # Safety
/// `x` is valid for `(R - 1) * step + depth` reads, `w` for the weights of all channels in this order.
unsafe fn some_rows<Y: Quantized, const R: usize>(
    order: Int4Order,
    (x, step, depth): (*const i8, usize, usize),
    w: *const u8,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) {
    let mut offsets = [0i32; R];
    for (row, offset) in offsets.iter_mut().enumerate() {
        // SAFETY: a value of one of the rows.
        let values = (0..depth).map(|at| unsafe { *x.add(row * step + at) } as i32);
        *offset = values.fold(0i32, |sum, value| sum.wrapping_add(value)).wrapping_mul(-OFFSET);
    }
    for channel in 0..channels.bias.len() {
        let mut sums = offsets;
        let mut at = 0;
        while at < depth {
            let inputs = (depth - at).min(2 * order.half);
            let half = inputs.div_ceil(2);
            let (first, _) = order.place(depth, channel, at);
            // SAFETY: a group has a byte for every two inputs, and the inputs are `inputs` of the row from `at` on.
            unsafe {
                let (w, x) = (w.add(first), x.add(at));
                for byte in 0..inputs - half {
                    let pair = *w.add(byte) as i32;
                    for (row, sum) in sums.iter_mut().enumerate() {
                        let x = x.add(row * step + byte);
                        *sum = sum.wrapping_add(*x as i32 * (pair & 15));
                        *sum = sum.wrapping_add(*x.add(half) as i32 * (pair >> 4));
                    }
                }
                if !inputs.is_multiple_of(2) {
                    let last = (*w.add(half - 1) & 15) as i32;
                    for (row, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.wrapping_add(*x.add(row * step + half - 1) as i32 * last);
                    }
                }
            }
            at += inputs;
        }
        for (row, sum) in sums.into_iter().enumerate() {
            y.set(row * stride + channel, channels.finish(channel, sum, clamp));
        }
    }
}

/// Sums of rows of weights in [`Int4Order::WORDS`]: eight lanes, two in each word.
#[derive(Clone, Copy, Default)]
pub struct Lanes([u32; 4]);

impl Lanes {
    /// Rows that fit: 16 bits hold as many times 15.
    pub const MOST: usize = u16::MAX as usize / 15;
    /// Lanes.
    pub const COUNT: usize = 8;

    /// Adds the eight weights of `word`.
    #[inline(always)]
    pub fn add(&mut self, word: u32) {
        for (sum, shift) in self.0.iter_mut().zip([0, 8, 4, 12]) {
            *sum = sum.wrapping_add(word >> shift & 0x000F_000F);
        }
    }

    /// The sums of `rows` rows of weights.
    #[inline(always)]
    pub fn sums(self, rows: usize) -> [i32; Self::COUNT] {
        let [a, b, c, d] = self.0;
        let lanes = [a, b, a >> 16, b >> 16, c, d, c >> 16, d >> 16];
        lanes.map(|lane| (lane & 0xFFFF) as i32 - OFFSET * rows as i32)
    }
}
