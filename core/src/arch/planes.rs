//! A few positions of an image as planes of its channels, two positions a word, and the products of planes.
#![allow(unsafe_code)]

use super::dsp::lanes::dot;
use super::view::{In, Out};

/// Positions of a plane, an even number; 32 bits hold their products, 255^2 each.
pub const POSITIONS: usize = 32;
/// Words of a plane.
pub const WORDS: usize = POSITIONS / 2;

/// Sets the plane of each channel to its elements without the zero point, and what is behind the last one in a word to zero. `x` is
/// `[positions][channels]`, at most [`POSITIONS`].
#[inline(never)]
pub fn spread(x: In<'_, i8>, channels: usize, zero: i32, planes: Out<'_, u32>) {
    let positions = x.len().checked_div(channels).unwrap_or(0).min(POSITIONS);
    if planes.len() < channels * WORDS {
        return;
    }
    let half = |position: usize, channel: usize| {
        if position < positions {
            (x.get(position * channels + channel) as i32 - zero) as u16 as u32
        } else {
            0
        }
    };
    for pair in 0..positions.div_ceil(2) {
        let position = pair * 2;
        #[allow(unused_mut)]
        let mut channel = 0;
        #[cfg(all(mixel_dsp, not(mixel_helium)))]
        if position + 2 <= positions {
            // SAFETY: both positions lie in `x`, and the planes of all channels in `planes`.
            channel = unsafe {
                let from = x.as_ptr().add(position * channels);
                spread_pair(from, channels, zero, planes.as_mut_ptr().add(pair))
            };
        }
        while channel < channels {
            planes.set(channel * WORDS + pair, half(position, channel) | half(position + 1, channel) << 16);
            channel += 1;
        }
    }
}

/// Sets a word of the planes of all whole groups of four channels; gives how many channels that are.
///
/// # Safety
/// `from` is valid for `2 * channels` reads, `to` for a write at the plane of each channel.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
#[inline(always)]
unsafe fn spread_pair(from: *const i8, channels: usize, zero: i32, to: *mut u32) -> usize {
    use super::dsp::lanes::moved;
    let half = 0i32.wrapping_sub(zero) as u16 as u32;
    let (offsets, whole) = (half | half << 16, channels & !3);
    for channel in (0..whole).step_by(4) {
        // SAFETY: the caller's; these processors have words at any address.
        unsafe {
            let word = |at: usize| from.add(at + channel).cast::<u32>().read_unaligned();
            let ((even, odd), (next_even, next_odd)) =
                (moved(offsets, word(0)), moved(offsets, word(channels)));
            let to = to.add(channel * WORDS);
            to.write(even & 0xFFFF | next_even << 16);
            to.add(WORDS).write(odd & 0xFFFF | next_odd << 16);
            to.add(2 * WORDS).write(even >> 16 | next_even & 0xFFFF_0000);
            to.add(3 * WORDS).write(odd >> 16 | next_odd & 0xFFFF_0000);
        }
    }
    whole
}

/// Sums of the products of each of the first `A` planes of `a` with each of the first `B` of `b`, over `words` words: zeros when
/// planes are missing.
#[inline(never)]
pub fn products<const A: usize, const B: usize>(
    a: In<'_, u32>,
    b: In<'_, u32>,
    words: usize,
) -> [[i32; B]; A] {
    let mut sums = [[0; B]; A];
    if words > WORDS || a.len() < A * WORDS || b.len() < B * WORDS {
        return sums;
    }
    for word in 0..words {
        // SAFETY: the words of all planes lie in the windows.
        unsafe {
            let (a, b) = (a.as_ptr().add(word), b.as_ptr().add(word));
            let a: [u32; A] = core::array::from_fn(|plane| *a.add(plane * WORDS));
            for plane in 0..B {
                let b = *b.add(plane * WORDS);
                for (sums, &a) in sums.iter_mut().zip(&a) {
                    sums[plane] = dot(a, b, sums[plane]);
                }
            }
        }
    }
    sums
}

/// Sums of the squares of the first `N` planes, as [`products`].
#[inline(never)]
pub fn squares<const N: usize>(a: In<'_, u32>, words: usize) -> [i32; N] {
    let mut sums = [0; N];
    if words > WORDS || a.len() < N * WORDS {
        return sums;
    }
    for word in 0..words {
        for (plane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the words of all planes lie in the window.
            let a = unsafe { *a.as_ptr().add(plane * WORDS + word) };
            *sum = dot(a, a, *sum);
        }
    }
    sums
}

/// Adds `value` to the sum whose low and high words are those from `word` on; nothing happens where there are none.
#[inline(always)]
pub fn add(sums: Out<'_, i32>, word: usize, value: i32) {
    if word + 1 < sums.len() {
        // SAFETY: both words lie in the window.
        unsafe {
            let words = sums.as_mut_ptr().add(word);
            let sum = words.read() as u32 as u64 | (words.add(1).read() as u64) << 32;
            let sum = sum.wrapping_add(value as i64 as u64);
            words.write(sum as i32);
            words.add(1).write((sum >> 32) as i32);
        }
    }
}
