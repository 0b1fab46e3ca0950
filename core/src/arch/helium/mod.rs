//! The Helium layout, for Cortex-M cores with the vector extension of Armv8.1-M: sixteen products an instruction.
//!
//! A file holds one loop or some that belong together: what it works on (a task), the loop in the extension's instructions,
//! for which Rust has no intrinsics yet, and the same in Rust for machines without them. What is around the loops is the
//! same on every machine, so a plan for a board runs anywhere.
//!
//! Sums become outputs by the 32-bit form of the rounding rule, which holds for shifts from 33 on, and by saturation to int8;
//! narrower ranges are a pass over the outputs of its own.
#![allow(unsafe_code)]

#[cfg(mixel_helium)]
macro_rules! helium {
    // The compiler may read module assembly for a core without these instructions, whatever `-C target-cpu` says.
    ($($line:expr),* $(,)?) => {
        core::arch::naked_asm!(".cpu cortex-m55", $($line),*)
    };
}

pub mod columns;
pub mod depthwise;
#[cfg(mixel_helium)]
pub mod elementwise;
#[cfg(mixel_helium)]
pub mod gram;
pub mod matmul;
#[cfg(mixel_helium)]
pub mod moving;
#[cfg(mixel_helium)]
pub mod normal;
#[cfg(mixel_helium)]
pub mod pool;
pub mod product;
#[cfg(mixel_helium)]
pub mod projection;
mod runs;

use super::view::Out;
use crate::kernels::requant::{Channels, Clamp};

/// Channels of a block.
const CHANNELS: usize = 4;
/// Inputs of a group.
const GROUP: usize = 16;

/// Whether the 32-bit form of the rounding rule holds for all channels.
fn short(channels: &Channels<'_>) -> bool {
    // SAFETY: the shifts are as many bytes.
    unsafe { runs::least(channels.shift.as_ptr(), channels.shift.len()) >= 33 }
}

/// Copies `count` bytes.
///
/// # Safety
/// `from` is valid for as many reads and `to` for writes, and they do not share memory.
#[cfg(mixel_helium)]
pub unsafe fn copy(from: *const u8, to: *mut u8, count: usize) {
    // SAFETY: the caller's.
    unsafe { runs::copy(from.cast(), to.cast(), count, 1, &[0, 0]) }
}

/// Limits outputs that were saturated to int8 to a range, if it is a narrower one.
fn limit(y: Out<'_, i8>, clamp: Clamp) {
    if clamp != Clamp::full::<i8>(clamp.zero_point) {
        // SAFETY: the window has so many elements.
        unsafe { runs::limit(y.as_mut_ptr(), y.len(), clamp.min, clamp.max) }
    }
}
