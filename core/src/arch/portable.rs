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
                let value = unsafe { *x.add(row * stride + index) }.wide();
                sums[channel] = sums[channel].wrapping_add(value.wrapping_mul(weight));
            }
        }
    }
    sums
}

/// All outputs of a task whose weights are in blocks of `C` outputs by 4 inputs behind `head` bytes, which it does not need.
///
/// # Safety
/// The task was checked.
#[cfg(not(target_os = "none"))]
pub(super) unsafe fn product<Y: Quantized, const C: usize>(task: &super::rows::Task<Y>, head: usize) {
    for first in (0..task.outputs).step_by(C) {
        for row in 0..task.rows {
            let mut sums = [0i32; C];
            let mut w = task.weights.wrapping_add(first / C * task.block + head).cast::<[[i8; 4]; C]>();
            for segment in 0..task.segments {
                // SAFETY: segment < segments.
                let start = unsafe { task.segment(segment) };
                let mut x = start.wrapping_add(row * task.step).cast::<[i8; 4]>();
                for _ in 0..task.groups {
                    // SAFETY: groups of the row and of the block.
                    let (values, weights) = unsafe { (x.read(), w.read()) };
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        for (value, weight) in values.into_iter().zip(weights) {
                            *sum = sum.wrapping_add(value as i32 * weight as i32);
                        }
                    }
                    (x, w) = (x.wrapping_add(1), w.wrapping_add(1));
                }
            }
            // SAFETY: row < rows.
            unsafe { task.finish(row, first, sums) };
        }
    }
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
        *sum = sum.wrapping_add(x.wide().wrapping_mul(w as i32));
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
