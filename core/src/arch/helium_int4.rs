//! The Helium layout's products with weights of four bits: a vector of bytes is one of low and one of high nibbles, each a
//! `VMLADAVA.S8` operand as it is, because stored weights are 0 to 15.
#![allow(unsafe_code)]

use super::matrix::{MAX_CHANNELS, MAX_ROWS, Sums, finish};
use super::view::{In, Out};
use crate::kernels::requant::{Channels, Clamp, Quantized};
use crate::pack::int4::OFFSET;
use crate::pack::{Int4Order, Layout};

const ORDER: Int4Order = Layout::Helium.int4();

/// What [`add_2x4`] works on, in the order in which it loads it.
#[repr(C)]
struct Task {
    /// A block of four channels.
    w: *const u8,
    x: [*const i8; 2],
    /// Whole groups of 32 inputs.
    groups: usize,
    /// Bytes of a channel in the last group, 0 for none, and inputs in their high nibbles.
    half: usize,
    high: usize,
    /// What the products are added to, `[row][channel]`: four of two rows.
    sums: *mut [i32; MAX_CHANNELS],
}

/// Outputs of rows of `depth` values, `step` apart. Rows, weights and outputs were found long enough.
pub(super) fn outputs<Y: Quantized>(
    (x, rows, step): (In<'_, i8>, usize, usize),
    depth: usize,
    weights: In<'_, u8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) {
    let (count, block) = (channels.bias.len(), ORDER.channels * ORDER.row_bytes(depth));
    if rows == 0 || x.len() < (rows - 1) * step + depth {
        return;
    }
    if weights.len() < count.div_ceil(ORDER.channels) * block {
        return;
    }
    let groups = depth / (2 * ORDER.half);
    let half = ORDER.width(depth, groups);
    let high = depth - groups * 2 * ORDER.half - half;
    let mut sums: Sums = [[0; MAX_CHANNELS]; MAX_ROWS];
    for first in (0..rows).step_by(2) {
        let both = 2.min(rows - first);
        // SAFETY: the rows lie in `x`.
        let pair = [first, first + both - 1].map(|row| unsafe { x.as_ptr().add(row * step) });
        // SAFETY: each has `depth` values.
        let offsets = pair.map(|x| unsafe { sum(x, depth) }.wrapping_mul(-OFFSET));
        for channel in (0..count).step_by(ORDER.channels) {
            for (sums, offset) in sums.iter_mut().zip(offsets) {
                sums.iter_mut().take(ORDER.channels).for_each(|sum| *sum = offset);
            }
            // SAFETY: the block lies in the weights.
            let w = unsafe { weights.as_ptr().add(channel / ORDER.channels * block) };
            let task = Task { w, x: pair, groups, half, high, sums: sums.as_mut_ptr() };
            // SAFETY: the rows have `depth` values and the block the weights for them.
            unsafe { add_2x4(&task) };
            let y = y.window(first * stride + channel, y.len());
            let count = ORDER.channels.min(count - channel);
            finish(&sums, (both, count), channels, channel, clamp, (y, stride));
        }
    }
}

/// Rows of sums are 64 bytes apart.
const _: () = assert!(MAX_CHANNELS * 4 == 64);

/// Sum of `count` values.
///
/// # Safety
/// `x` is valid for as many reads.
#[unsafe(naked)]
unsafe extern "C" fn sum(x: *const i8, count: usize) -> i32 {
    helium!(
        "push {{r4, lr}}",
        "movs r2, #0",
        "wlstp.8 lr, r1, 2f",
        "1:",
        "vldrb.u8 q0, [r0], #16",
        "vaddva.s8 r2, q0",
        "letp lr, 1b",
        "2:",
        "mov r0, r2",
        "pop {{r4, pc}}",
    )
}

/// A channel's part of a group: q0 and q1 inputs of the first row, q2 and q3 of the second, q4 its bytes, q6 nibbles of ones.
macro_rules! channel {
    ($first:literal, $second:literal) => {
        concat!(
            "vand q5, q4, q6
            vshr.u8 q4, q4, #4
            vmladava.s8 ",
            $first,
            ", q0, q5
            vmladava.s8 ",
            $second,
            ", q2, q5
            vmladava.s8 ",
            $first,
            ", q1, q4
            vmladava.s8 ",
            $second,
            ", q3, q4"
        )
    };
}

/// Adds the products of two rows with four channels. A group is 4 loads of inputs, 4 times 1 + 6 and 2 for the loop: 34 instructions for
/// 256 products.
///
/// # Safety
/// See [`outputs`].
#[unsafe(naked)]
unsafe extern "C" fn add_2x4(task: *const Task) {
    // Even registers: sums, r0-r6 of the first row; r1 weights, r3 and r5 rows, r7 groups, r9 task.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d13}}",
        "mov r9, r0",
        "ldrd r1, r3, [r9]",
        "ldrd r5, r7, [r9, #8]",
        "vmov.i8 q6, #15",
        "ldr r11, [r9, #24]",
        "ldrd r0, r2, [r11]",
        "ldrd r4, r6, [r11, #8]",
        "ldrd r8, r10, [r11, #64]",
        "ldrd r12, lr, [r11, #72]",
        "cmp r7, #0",
        "beq 2f",
        "1:",
        "vldrb.u8 q0, [r3], #16",
        "vldrb.u8 q1, [r3], #16",
        "vldrb.u8 q2, [r5], #16",
        "vldrb.u8 q3, [r5], #16",
        "vldrb.u8 q4, [r1], #16",
        channel!("r0", "r8"),
        "vldrb.u8 q4, [r1], #16",
        channel!("r2", "r10"),
        "vldrb.u8 q4, [r1], #16",
        channel!("r4", "r12"),
        "vldrb.u8 q4, [r1], #16",
        channel!("r6", "lr"),
        "subs r7, #1",
        "bne 1b",
        "2:",
        "ldrd r7, r11, [r9, #16]",
        "cmp r7, #0",
        "beq 3f",
        "vctp.8 r7",
        "vpstt",
        "vldrbt.u8 q0, [r3]",
        "vldrbt.u8 q2, [r5]",
        "add r3, r7",
        "add r5, r7",
        "vctp.8 r11",
        "vpstt",
        "vldrbt.u8 q1, [r3]",
        "vldrbt.u8 q3, [r5]",
        "vctp.8 r7",
        "vpst",
        "vldrbt.u8 q4, [r1]",
        "add r1, r7",
        channel!("r0", "r8"),
        "vpst",
        "vldrbt.u8 q4, [r1]",
        "add r1, r7",
        channel!("r2", "r10"),
        "vpst",
        "vldrbt.u8 q4, [r1]",
        "add r1, r7",
        channel!("r4", "r12"),
        "vpst",
        "vldrbt.u8 q4, [r1]",
        channel!("r6", "lr"),
        "3:",
        "ldr r11, [r9, #24]",
        "strd r0, r2, [r11]",
        "strd r4, r6, [r11, #8]",
        "strd r8, r10, [r11, #64]",
        "strd r12, lr, [r11, #72]",
        "vpop {{d8-d13}}",
        "pop {{r4-r11, pc}}",
    )
}
