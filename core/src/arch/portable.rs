//! Micro-kernels without special instructions: simple loops over raw pointers that LLVM unrolls and vectorises.
//!
//! Their callers in this folder check lengths once and are safe.
#![allow(unsafe_code)]

use crate::kernels::requant::Quantized;

/// Products of `R` rows at `x`, `stride` apart, with `C` rows of weights at `w`, `depth` apart: `[row][channel]`.
///
/// # Safety
/// `x` is valid for `(R - 1) * stride + depth` reads, `w` for `C * depth`.
#[inline]
pub(super) unsafe fn dots<X: Quantized, const R: usize, const C: usize>(
    x: *const X,
    stride: usize,
    w: *const i8,
    depth: usize,
) -> [[i32; C]; R] {
    let mut sums = [[0i32; C]; R];
    for index in 0..depth {
        for channel in 0..C {
            // SAFETY: index < depth, so this is in the caller's C rows of weights.
            let weight = unsafe { *w.add(channel * depth + index) } as i32;
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: index < depth, so this is in the caller's R rows.
                let value = unsafe { *x.add(row * stride + index) }.widen();
                sums[channel] = sums[channel].wrapping_add(value.wrapping_mul(weight));
            }
        }
    }
    sums
}

/// Product of one row at `x` with a block of `C` channels by groups of 4 inputs at `w`.
///
/// # Safety
/// `x` is valid for `depth` reads, `w` for `C * depth` with `depth` rounded up to a multiple of 4.
#[cfg(not(target_os = "none"))]
#[inline]
pub(super) unsafe fn interleaved<const C: usize>(x: *const i8, w: *const i8, depth: usize) -> [i32; C] {
    let mut sums = [0i32; C];
    for index in 0..depth {
        // SAFETY: index < depth.
        let value = unsafe { *x.add(index) } as i32;
        for (channel, sum) in sums.iter_mut().enumerate() {
            let place = index / 4 * 4 * C + channel * 4 + index % 4;
            // SAFETY: the group lies below the rounded depth.
            *sum = sum.wrapping_add(value * unsafe { *w.add(place) } as i32);
        }
    }
    sums
}

/// One tap of `L` channels: adds input times weight to each lane's sum.
///
/// # Safety
/// `x` and `w` are valid for `L` reads.
#[inline(always)]
pub(super) unsafe fn tap<X: Quantized, const L: usize>(sums: &mut [i32; L], x: *const X, w: *const i8) {
    for (lane, sum) in sums.iter_mut().enumerate() {
        // SAFETY: lane < L.
        let (x, w) = unsafe { (*x.add(lane), *w.add(lane)) };
        *sum = sum.wrapping_add(x.widen().wrapping_mul(w as i32));
    }
}

/// Three taps of `L` channels, `stride` elements apart in both inputs and weights.
///
/// # Safety
/// `x` and `w` are valid for `L` reads at each of 0, `stride` and `2 * stride`.
#[inline(always)]
pub(super) unsafe fn three_taps<X: Quantized, const L: usize>(
    sums: &mut [i32; L],
    x: *const X,
    w: *const i8,
    stride: usize,
) {
    for at in [0, stride, 2 * stride] {
        // SAFETY: the caller's.
        unsafe { tap(sums, x.add(at), w.add(at)) };
    }
}
