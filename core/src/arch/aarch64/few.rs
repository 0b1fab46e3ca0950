//! Vectors at the end of memory: the first elements of it, and no call to copy them, which would cost what the loops have in registers.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

/// Elements of a whole vector, or of four of 32 bits.
pub(super) const LANES: usize = 16;

/// Copies `count` elements, fewer than [`LANES`].
///
/// # Safety
/// `from` is valid for as many reads, `to` for as many writes, and they share no memory.
#[inline]
pub(super) unsafe fn copy<T: Copy>(from: *const T, to: *mut T, count: usize) {
    let mut at = 0;
    // SAFETY: the parts add up to `count`.
    unsafe {
        if count & 8 != 0 {
            to.copy_from_nonoverlapping(from, 8);
            at = 8;
        }
        if count & 4 != 0 {
            to.wrapping_add(at).copy_from_nonoverlapping(from.wrapping_add(at), 4);
            at += 4;
        }
        if count & 2 != 0 {
            to.wrapping_add(at).copy_from_nonoverlapping(from.wrapping_add(at), 2);
            at += 2;
        }
        if count & 1 != 0 {
            to.wrapping_add(at).write(from.wrapping_add(at).read());
        }
    }
}

/// Sixteen bytes, or `count` if that is less, and `fill` behind them.
///
/// # Safety
/// `x` is valid for as many reads.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn bytes(x: *const i8, count: usize, fill: i8) -> int8x16_t {
    // SAFETY: the caller's.
    unsafe {
        if count >= LANES {
            return vld1q_s8(x);
        }
        let mut some = [fill; LANES];
        copy(x, some.as_mut_ptr(), count);
        vld1q_s8(some.as_ptr())
    }
}

/// Sixteen words, or `count` if that is less, and zeros behind them.
///
/// # Safety
/// `x` is valid for as many reads.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn words(x: *const i32, count: usize) -> [int32x4_t; 4] {
    // SAFETY: there are sixteen.
    let all = |x: *const i32| unsafe {
        let four = |at: usize| vld1q_s32(x.wrapping_add(at));
        [four(0), four(4), four(8), four(12)]
    };
    if count >= LANES {
        return all(x);
    }
    let mut some = [0; LANES];
    // SAFETY: the caller's.
    unsafe { copy(x, some.as_mut_ptr(), count) };
    all(some.as_ptr())
}

/// Stores sixteen bytes, or the first `count` if that is less.
///
/// # Safety
/// `y` is valid for as many writes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store(values: int8x16_t, y: *mut i8, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        if count >= LANES {
            return vst1q_s8(y, values);
        }
        let mut some = [0; LANES];
        vst1q_s8(some.as_mut_ptr(), values);
        copy(some.as_ptr(), y, count);
    }
}
