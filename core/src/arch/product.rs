//! Products and sums of activations: the inner loops of matrix products of two activations and of sparse projections.
#![allow(unsafe_code)]

use super::view::{In, Out, span};
use crate::kernels::requant::{Channels, Clamp, Quantized, Scale};

/// Sums that are kept at once: what a Cortex-M's registers hold, or a vector register on larger machines.
pub const LANES: usize = if cfg!(target_os = "none") { 4 } else { 16 };

/// Channels of weight rows that are added at once.
pub const CHANNELS: usize = if cfg!(mixel_helium) { 32 } else { LANES };

/// Two matrices of activations to multiply.
#[derive(Clone, Copy)]
pub struct Matrices<'a, X = i8> {
    /// `[rows][depth]`, and the elements from a row to the next.
    pub a: (In<'a, X>, usize),
    /// Its zero point.
    pub zero_a: i32,
    /// Second operand, and the elements from one value of a column to the next, and from column to column.
    pub b: (In<'a, X>, [usize; 2]),
    /// Its zero point.
    pub zero_b: i32,
    /// Rows, depth, columns: all at least 1.
    pub sizes: [usize; 3],
    /// Factor of the sums; layouts with loops of their own look at its shift.
    pub scale: Scale,
    /// Zero point and range of the results.
    pub clamp: Clamp,
}

impl<'a, X: Quantized> Matrices<'a, X> {
    /// The same for the loops over bytes; of other elements it means nothing.
    pub fn bytes(&self) -> Matrices<'a> {
        let Matrices { a: (a, a_row), zero_a, b: (b, steps), zero_b, sizes, scale, clamp } = *self;
        Matrices { a: (a.cast(), a_row), zero_a, b: (b.cast(), steps), zero_b, sizes, scale, clamp }
    }
}

/// Sum of `(a[i] - zero_a) * (b[i] - zero_b)` over the shorter of both windows.
#[inline]
pub fn dot<X: Quantized>(a: In<'_, X>, b: In<'_, X>, (zero_a, zero_b): (i32, i32)) -> i32 {
    let mut sum = 0i32;
    for index in 0..a.len().min(b.len()) {
        // SAFETY: index is below both lengths.
        let (a, b) = unsafe { (*a.as_ptr().add(index), *b.as_ptr().add(index)) };
        sum = sum.wrapping_add((a.wide() - zero_a).wrapping_mul(b.wide() - zero_b));
    }
    sum
}

/// [`dot`] of `a` with each of `N` rows of `b`, `stride` elements apart and as long as `a`.
#[inline]
pub fn dots<X: Quantized, const N: usize>(
    a: In<'_, X>,
    b: In<'_, X>,
    stride: usize,
    zeros: (i32, i32),
) -> [i32; N] {
    let rows: [In<'_, X>; N] = core::array::from_fn(|row| b.window(row * stride, a.len()));
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if size_of::<X>() == 1 && rows.iter().all(|row| row.len() == a.len()) {
        return dots_of_bytes(a.cast(), rows.map(|row| row.cast()), zeros);
    }
    rows.map(|row| dot(a, row, zeros))
}

/// Four products at a time with `SMLAD`, the zero points taken off by `SXTAB16`: 3 instructions for `a`, 5 for each row.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
#[inline]
fn dots_of_bytes<const N: usize>(
    a: In<'_, i8>,
    rows: [In<'_, i8>; N],
    (zero_a, zero_b): (i32, i32),
) -> [i32; N] {
    use super::dsp::lanes;
    let halves = |zero: i32| {
        let half = 0i32.wrapping_sub(zero) as u32 & 0xFFFF;
        half | half << 16
    };
    let (off_a, off_b) = (halves(zero_a), halves(zero_b));
    let (mut sums, words) = ([0i32; N], a.len() / 4);
    for word in 0..words {
        // SAFETY: all of the word lies in windows of one length; these processors have words at any address.
        let load = |x: &In<'_, i8>| unsafe { x.as_ptr().cast::<u32>().add(word).read_unaligned() };
        let (even, odd) = lanes::moved(off_a, load(&a));
        for (sum, row) in sums.iter_mut().zip(&rows) {
            let (b_even, b_odd) = lanes::moved(off_b, load(row));
            *sum = lanes::dot(odd, b_odd, lanes::dot(even, b_even, *sum));
        }
    }
    for index in words * 4..a.len() {
        let a = a.get(index) as i32 - zero_a;
        for (sum, row) in sums.iter_mut().zip(&rows) {
            *sum = sum.wrapping_add(a.wrapping_mul(row.get(index) as i32 - zero_b));
        }
    }
    sums
}

/// Sum over `i` of `(a[i] - zero_a) * (b[i][lane] - zero_b)` for `L` lanes, with rows of `b` `stride` elements apart; zeros
/// when `b` is too short.
#[inline]
pub fn combine<X: Quantized, const L: usize>(
    a: In<'_, X>,
    b: In<'_, X>,
    stride: usize,
    (zero_a, zero_b): (i32, i32),
) -> [i32; L] {
    let mut sums = [0i32; L];
    if a.is_empty() || span(a.len(), stride, L) > b.len() {
        return sums;
    }
    for index in 0..a.len() {
        let a = a.get(index).wide() - zero_a;
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the last row's last lane lies in `b`, as was checked.
            let b = unsafe { *b.as_ptr().add(index * stride + lane) };
            *sum = sum.wrapping_add(a.wrapping_mul(b.wide() - zero_b));
        }
    }
    sums
}

/// Adds to the sums the first `L` elements of those of `weights`' rows, `width` elements apart, that `rows` names; numbers from
/// `count` on name none.
#[inline(always)]
pub fn add<const L: usize>(
    sums: &mut [i32; L],
    (rows, count): (In<'_, u16>, usize),
    (weights, width): (In<'_, i8>, usize),
) {
    #[cfg(mixel_helium)]
    if L == CHANNELS && super::helium::projection::add(sums, (rows, count), (weights, width)) {
        return;
    }
    for index in 0..rows.len() {
        let row = rows.get(index) as usize;
        let row = if row < count { weights.window(row * width, L) } else { In::new(&[]) };
        if row.len() < L {
            continue;
        }
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: lane < L <= row.len().
            *sum = sum.wrapping_add(unsafe { *row.as_ptr().add(lane) } as i32);
        }
    }
}

/// Outputs of sums with bias and scale of their channels, saturated and limited; false, with nothing done, when this machine has
/// no shorter way, they are not `narrow`, or a shift is below 33.
#[inline(always)]
pub fn finish(sums: &[i32], channels: &Channels<'_>, clamp: Clamp, y: Out<'_, i8>, narrow: bool) -> bool {
    #[cfg(mixel_helium)]
    if narrow && sums.len() >= CHANNELS {
        return super::helium::projection::finish(sums, channels, clamp, y);
    }
    let _ = (sums, channels.bias, clamp, y, narrow);
    false
}
