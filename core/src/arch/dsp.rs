//! Matrix tiles of the Arm DSP layout: two channels by four inputs, pairs of 16-bit products.
//!
//! `SXTB16` widens bytes 0 and 2 of a word, and bytes 1 and 3 after a rotation. Patches are widened in that same order when
//! they are staged, once for all channels, so neither they nor the weights need a shuffle. The bodies are the same on every
//! machine over the three instructions of [`lanes`]; only the loop of a whole tile is also written out for Cortex-M, in
//! [`super::armv7em`], since it needs every register.
#![allow(unsafe_code)]

use super::matrix::{Patches, Sums, channel_at};
use super::view::{In, Out};
use crate::kernels::requant::{Channels, Clamp, Quantized};

/// Rows of a tile: six sums, four weight and two input registers fill a Cortex-M's file.
pub(super) const ROWS: usize = 3;

mod lanes {
    /// Bytes 0 and 2 of `word`, sign-extended to halves.
    #[inline(always)]
    pub fn even(word: u32) -> u32 {
        #[cfg(mixel_dsp)]
        {
            let halves: u32;
            // SAFETY: register arithmetic only.
            unsafe {
                core::arch::asm!("sxtb16 {}, {}", lateout(reg) halves, in(reg) word, options(pure, nomem, nostack, preserves_flags))
            };
            halves
        }
        #[cfg(not(mixel_dsp))]
        {
            let [a, _, c, _] = word.to_le_bytes();
            (a as i8 as u16 as u32) | (c as i8 as u16 as u32) << 16
        }
    }

    /// Bytes 1 and 3 of `word`, sign-extended to halves.
    #[inline(always)]
    pub fn odd(word: u32) -> u32 {
        #[cfg(mixel_dsp)]
        {
            let halves: u32;
            // SAFETY: register arithmetic only.
            unsafe {
                core::arch::asm!("sxtb16 {}, {}, ror #8", lateout(reg) halves, in(reg) word, options(pure, nomem, nostack, preserves_flags))
            };
            halves
        }
        #[cfg(not(mixel_dsp))]
        even(word.rotate_right(8))
    }

    /// `sum` plus the product of the low signed halves.
    #[inline(always)]
    pub fn bottom(a: u32, b: u32, sum: i32) -> i32 {
        #[cfg(mixel_dsp)]
        {
            let result: i32;
            // SAFETY: register arithmetic only. (SMLABB sets the Q flag, which nothing here reads.)
            unsafe {
                core::arch::asm!("smlabb {}, {}, {}, {}", lateout(reg) result, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack))
            };
            result
        }
        #[cfg(not(mixel_dsp))]
        sum.wrapping_add((a as i16 as i32).wrapping_mul(b as i16 as i32))
    }

    /// `sum` plus the product of the high signed halves.
    #[inline(always)]
    pub fn top(a: u32, b: u32, sum: i32) -> i32 {
        #[cfg(mixel_dsp)]
        {
            let result: i32;
            // SAFETY: register arithmetic only. (SMLATT sets the Q flag, which nothing here reads.)
            unsafe {
                core::arch::asm!("smlatt {}, {}, {}, {}", lateout(reg) result, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack))
            };
            result
        }
        #[cfg(not(mixel_dsp))]
        bottom(a >> 16, b >> 16, sum)
    }

    /// `sum` plus both products of signed halves.
    #[inline(always)]
    pub fn dot(a: u32, b: u32, sum: i32) -> i32 {
        #[cfg(mixel_dsp)]
        {
            let result: i32;
            // SAFETY: register arithmetic only. (SMLAD sets the Q flag, which nothing here reads.)
            unsafe {
                core::arch::asm!("smlad {}, {}, {}, {}", lateout(reg) result, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack))
            };
            result
        }
        #[cfg(not(mixel_dsp))]
        {
            let low = (a as i16 as i32).wrapping_mul(b as i16 as i32);
            let high = ((a >> 16) as i16 as i32).wrapping_mul((b >> 16) as i16 as i32);
            sum.wrapping_add(low).wrapping_add(high)
        }
    }
}

/// One tap of four channels: adds input times weight to each lane's sum. Pairing two taps for dual products would take as
/// many instructions to rearrange halves as it saves.
///
/// # Safety
/// `x` and `w` are valid for 4 reads.
#[inline(always)]
pub(super) unsafe fn tap(sums: &mut [i32; 4], x: *const i8, w: *const i8) {
    // SAFETY: four bytes each, at any alignment.
    let (x, w) = unsafe { (x.cast::<u32>().read_unaligned(), w.cast::<u32>().read_unaligned()) };
    let [x, w] = [x, w].map(|word| [lanes::even(word), lanes::odd(word)]);
    let [a, b, c, d] = *sums;
    *sums = [
        lanes::bottom(x[0], w[0], a),
        lanes::bottom(x[1], w[1], b),
        lanes::top(x[0], w[0], c),
        lanes::top(x[1], w[1], d),
    ];
}

/// Three taps of four channels, `stride` elements apart in both inputs and weights.
///
/// # Safety
/// `x` and `w` are valid for 4 reads at each of 0, `stride` and `2 * stride`.
#[inline(always)]
pub(super) unsafe fn three_taps(sums: &mut [i32; 4], x: *const i8, w: *const i8, stride: usize) {
    #[cfg(mixel_dsp)]
    // SAFETY: the caller's.
    unsafe {
        super::armv7em::three_taps(sums, x, w, stride);
    }
    #[cfg(not(mixel_dsp))]
    for at in [0, stride, 2 * stride] {
        // SAFETY: the caller's.
        unsafe { tap(sums, x.add(at), w.add(at)) };
    }
}

/// Bytes of a patch: 16 bits a value, in whole groups of four.
pub(super) fn patch_bytes(depth: usize) -> usize {
    depth.next_multiple_of(4) * 2
}

/// Where value `at` of a patch lies: a group holds its values in the order 0, 2, 1, 3.
#[inline(always)]
fn place(at: usize) -> usize {
    let within = at & 3;
    (at & !3) | (within >> 1) | (within & 1) << 1
}

/// See [`super::matrix::Lane::stage`]. Not inlined: its loops would crowd the registers of the gathering around it.
#[inline(never)]
pub(super) fn stage(patch: Out<'_, u8>, at: usize, values: In<'_, i8>) {
    let patch = patch.cast::<i16>();
    let mut done = 0;
    if at.is_multiple_of(4) {
        let groups = (values.len() / 4).min(patch.len().saturating_sub(at) / 4);
        // SAFETY: `groups` groups of four lie in both windows; the patch is aligned as its base is and `at` keeps it.
        unsafe {
            let mut from = values.as_ptr().cast::<u32>();
            let mut to = patch.as_mut_ptr().add(at.min(patch.len())).cast::<u32>();
            for _ in 0..groups {
                let word = from.read_unaligned();
                to.write_unaligned(lanes::even(word));
                to.add(1).write_unaligned(lanes::odd(word));
                from = from.add(1);
                to = to.add(2);
            }
        }
        done = groups * 4;
    }
    if (at + values.len()).next_multiple_of(4) > patch.len() {
        return;
    }
    for index in done..values.len() {
        // SAFETY: a value's place lies in its group of four, and the last group lies in the patch.
        unsafe { patch.as_mut_ptr().add(place(at + index)).write(values.get_unchecked(index) as i16) };
    }
}

/// See [`super::matrix::Lane::pad`].
#[inline(never)]
pub(super) fn pad(patch: Out<'_, u8>, at: usize, count: usize, value: i8) {
    let patch = patch.cast::<i16>();
    for index in at..at + count {
        patch.set(place(index), value as i16);
    }
}

/// All outputs of staged patches; false when something is too short.
pub(super) fn outputs<Y: Quantized>(
    patches: Patches<'_>,
    weights: In<'_, i8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) -> bool {
    let (rows, groups, count) = (patches.rows, patches.depth.div_ceil(4), channels.bias.len());
    let (x, w) = (patches.bytes.as_ptr().cast::<u32>(), weights.as_ptr().cast::<u32>());
    let inputs = groups > 0 && x.is_aligned() && patches.bytes.len() >= rows * groups * 8;
    let constants = w.is_aligned() && weights.len() >= count.next_multiple_of(2) * groups * 4;
    let scales = channels.multiplier.len() >= count && channels.shift.len() >= count;
    let room = rows > 0 && y.len() >= (rows - 1) * stride + count;
    if !inputs || !constants || !scales || !room {
        return false;
    }
    let full = clamp == Clamp::full::<Y>(clamp.zero_point);
    let mut first = 0;
    while first < count {
        let mut sums = [[0i32; 2]; ROWS];
        // SAFETY: patches and weights were found long enough and aligned; blocks of two channels take 2 * groups words.
        unsafe {
            let w = w.add(first * groups);
            match rows {
                3 => staged::<3>(x, w, groups, &mut sums),
                2 => staged::<2>(x, w, groups, &mut sums),
                _ => staged::<1>(x, w, groups, &mut sums),
            }
        }
        for channel in first..count.min(first + 2) {
            // SAFETY: channel < count, the least of the three lengths.
            let finish = unsafe { channel_at(channels, channel) };
            let mut to = y.as_mut_ptr().wrapping_add(channel);
            for pair in sums.iter().take(rows) {
                let sum = pair[channel & 1];
                let value = if full {
                    // Known limits become one saturating instruction.
                    finish.apply(sum, Clamp::full::<Y>(clamp.zero_point))
                } else {
                    finish.apply(sum, clamp)
                };
                // SAFETY: row * stride + channel lies in `y`, which was found long enough.
                unsafe { to.write(value) };
                to = to.wrapping_add(stride);
            }
        }
        first += 2;
    }
    true
}

/// `R` staged patches times one block of two channels.
///
/// # Safety
/// `x` is valid for `R * groups * 2` words, `w` for `groups * 2`, and `groups` is not zero.
#[inline(always)]
unsafe fn staged<const R: usize>(x: *const u32, w: *const u32, groups: usize, sums: &mut [[i32; 2]; ROWS]) {
    #[cfg(mixel_dsp)]
    if R == ROWS {
        // SAFETY: the caller's.
        unsafe { super::armv7em::tile_2x3(x, w, groups, sums.as_mut_ptr().cast()) };
        return;
    }
    for (row, pair) in sums.iter_mut().enumerate().take(R) {
        for group in 0..groups {
            // SAFETY: group < groups.
            unsafe {
                let (x, w) = (x.add((row * groups + group) * 2), w.add(group * 2));
                let (even, odd) = (*x, *x.add(1));
                for (channel, sum) in pair.iter_mut().enumerate() {
                    let weights = *w.add(channel);
                    *sum = lanes::dot(odd, lanes::odd(weights), lanes::dot(even, lanes::even(weights), *sum));
                }
            }
        }
    }
}

/// See [`super::matrix::Lane::tile`]: one row of plain values, widened as it is read, times two blocks of two channels, or
/// the last one.
pub(super) fn row(patches: Patches<'_>, weights: In<'_, i8>, sums: &mut Sums) -> usize {
    let depth = patches.depth;
    let (whole, groups) = (depth / 4, depth.div_ceil(4));
    let words = weights.as_ptr().cast::<u32>();
    if patches.bytes.len() < depth || weights.len() < groups * 8 || !words.is_aligned() {
        return 0;
    }
    let two = weights.len() >= groups * 16;
    let mut results = [0i32; 4];
    let tail =
        (whole * 4..depth).fold(0u32, |word, at| word | (patches.bytes.get(at) as u32) << (8 * (at & 3)));
    // SAFETY: the row has `depth` bytes; the first block of weights was checked above, and `two` checks the second.
    unsafe {
        let x = patches.bytes.as_ptr().cast::<u32>();
        let blocks = if two { [words, words.add(groups * 2)] } else { [words; 2] };
        #[cfg(mixel_dsp)]
        let done = {
            if whole > 0 {
                super::armv7em::row_4(x.cast(), blocks[0], blocks[1], whole, results.as_mut_ptr());
            }
            whole
        };
        #[cfg(not(mixel_dsp))]
        let done = 0;
        for group in done..groups {
            let word = if group < whole { x.add(group).read_unaligned() } else { tail };
            let (even, odd) = (lanes::even(word), lanes::odd(word));
            for (channel, sum) in results.iter_mut().enumerate() {
                let weight = *blocks[channel / 2].add(group * 2 + channel % 2);
                *sum = lanes::dot(odd, lanes::odd(weight), lanes::dot(even, lanes::even(weight), *sum));
            }
        }
    }
    sums[0][..4].copy_from_slice(&results);
    if two { 4 } else { 2 }
}
