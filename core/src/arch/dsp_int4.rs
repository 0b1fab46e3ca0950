//! The Arm DSP layout's products with weights of four bits.
//!
//! A word holds eight weights of one channel. One `AND` with a shifted operand gives two of them as halves, even or odd inputs of
//! a group of four just as [`super::dsp`] widens them: one instruction for two weights, as `SXTB16` is for int8.
#![allow(unsafe_code)]

use super::dsp::{ROWS, lanes, staged_bytes};
use super::matrix::{MAX_CHANNELS, MAX_ROWS, Patches, Sums, finish};
use super::view::{In, Out};
use crate::kernels::requant::{Channels, Clamp, Quantized};
use crate::pack::int4::OFFSET;
use crate::pack::{Int4Order, Layout};

const ORDER: Int4Order = Layout::ArmDsp.int4();

/// Both halves are what a row's sum is to be multiplied with.
const EIGHTS: u32 = (-OFFSET as u16 as u32) * 0x1_0001;

/// Weights of even or odd inputs in a word; `group` is 0 for the first four inputs and 1 for the others.
#[cfg(not(mixel_dsp))]
const fn halves(word: u32, group: usize, odd: bool) -> u32 {
    word >> (4 * group + if odd { 8 } else { 0 }) & 0x000F_000F
}

/// All outputs of a staged tile. Weights and outputs were found long enough.
pub(super) fn tile<Y: Quantized>(
    patches: Patches<'_>,
    weights: In<'_, u8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) {
    let (rows, groups, count) = (patches.rows, patches.depth.div_ceil(4), channels.bias.len());
    let (x, w) = (patches.bytes.as_ptr().cast::<u32>(), weights.cast::<u32>());
    let block = ORDER.row_bytes(patches.depth);
    let inputs = x.is_aligned() && patches.bytes.len() >= staged_bytes(patches.depth) && rows <= ROWS;
    if !inputs || w.len() < count.div_ceil(ORDER.channels) * block {
        return;
    }
    let mut offsets = [0i32; ROWS];
    for group in 0..groups {
        for (row, offset) in offsets.iter_mut().enumerate() {
            let at = group * ROWS * 2 + row;
            // SAFETY: every group of the tile has the even values of all rows, and then the odd ones.
            let (even, odd) = unsafe { (*x.add(at), *x.add(at + ROWS)) };
            *offset = lanes::dot(even, EIGHTS, lanes::dot(odd, EIGHTS, *offset));
        }
    }
    let mut sums: Sums = [[0; MAX_CHANNELS]; MAX_ROWS];
    for first in (0..count).step_by(2) {
        for ([a, b, ..], offset) in sums.iter_mut().zip(offsets) {
            (*a, *b) = (offset, offset);
        }
        let place = first / ORDER.channels * block + first % ORDER.channels;
        // SAFETY: the block of channels lies in the weights, which were found long enough, and so does the pair within it.
        unsafe { add_3x2(x, w.as_ptr().add(place), groups, &mut sums) };
        let y = y.window(first, y.len());
        finish(&sums, (rows, 2.min(count - first)), channels, first, clamp, (y, stride));
    }
}

/// All outputs of one plain row. Weights and outputs were found long enough.
pub(super) fn row<Y: Quantized>(
    patches: Patches<'_>,
    weights: In<'_, u8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    y: Out<'_, Y>,
) {
    let (depth, count) = (patches.depth, channels.bias.len());
    let (x, w) = (patches.bytes.cast::<i8>(), weights.cast::<u32>());
    let (groups, block) = (depth / 4, ORDER.row_bytes(depth));
    if x.len() < depth || w.len() < count.div_ceil(ORDER.channels) * block {
        return;
    }
    let rest = groups * 4..depth;
    let mut offset = rest.clone().fold(0i32, |sum, at| sum.wrapping_sub(x.get(at) as i32 * OFFSET));
    for group in 0..groups {
        // SAFETY: the group's four values lie in the row.
        let word = unsafe { x.as_ptr().add(group * 4).cast::<u32>().read_unaligned() };
        offset = lanes::dot(lanes::even(word), EIGHTS, lanes::dot(lanes::odd(word), EIGHTS, offset));
    }
    let mut sums: Sums = [[0; MAX_CHANNELS]; MAX_ROWS];
    for first in (0..count).step_by(ORDER.channels) {
        let place = first / ORDER.channels * block;
        let [row, ..] = &mut sums;
        let [a, b, c, d, ..] = &mut *row;
        (*a, *b, *c, *d) = (offset, offset, offset, offset);
        // SAFETY: groups of the row, and a whole block of weights, which were found long enough.
        unsafe { add_1x4(x.as_ptr(), w.as_ptr().add(place), groups, row) };
        for at in rest.clone() {
            for (lane, sum) in row.iter_mut().enumerate().take(ORDER.channels) {
                let (byte, bit) = ORDER.place(depth, first + lane, at);
                let weight = (weights.get(byte) >> bit & 15) as i32;
                *sum = sum.wrapping_add(x.get(at) as i32 * weight);
            }
        }
        let y = y.window(first, y.len());
        finish(&sums, (1, ORDER.channels.min(count - first)), channels, first, clamp, (y, 0));
    }
}

/// Adds the products of a staged tile with a pair of channels to the first two sums of every row.
///
/// # Safety
/// `x` is valid for `groups` staged groups of four inputs, and `w` for two words in every four, one for each two groups.
#[inline(always)]
unsafe fn add_3x2(x: *const u32, w: *const u32, groups: usize, sums: &mut Sums) {
    #[cfg(mixel_dsp)]
    // SAFETY: the caller's.
    unsafe {
        asm::add_3x2(x, w, groups, sums);
    }
    #[cfg(not(mixel_dsp))]
    for group in 0..groups {
        for (row, sums) in sums.iter_mut().enumerate().take(ROWS) {
            for (channel, sum) in sums.iter_mut().enumerate().take(2) {
                // SAFETY: group < groups.
                let (word, x) =
                    unsafe { (*w.add(group / 2 * ORDER.channels + channel), x.add(group * ROWS * 2 + row)) };
                for (at, odd) in [false, true].into_iter().enumerate() {
                    // SAFETY: the group's two words.
                    *sum = lanes::dot(unsafe { *x.add(at * ROWS) }, halves(word, group % 2, odd), *sum);
                }
            }
        }
    }
}

/// Adds the products of a plain row with four channels to the first four sums.
///
/// # Safety
/// `x` is valid for `groups` groups of four values, `w` for four words for each two groups.
#[inline(always)]
unsafe fn add_1x4(x: *const i8, w: *const u32, groups: usize, sums: &mut [i32; MAX_CHANNELS]) {
    #[cfg(mixel_dsp)]
    // SAFETY: the caller's.
    unsafe {
        asm::add_1x4(x, w, groups, sums);
    }
    #[cfg(not(mixel_dsp))]
    for group in 0..groups {
        // SAFETY: group < groups.
        let values = unsafe { x.add(group * 4).cast::<u32>().read_unaligned() };
        for (channel, sum) in sums.iter_mut().enumerate().take(ORDER.channels) {
            // SAFETY: group < groups.
            let word = unsafe { *w.add(group / 2 * ORDER.channels + channel) };
            *sum = lanes::dot(lanes::even(values), halves(word, group % 2, false), *sum);
            *sum = lanes::dot(lanes::odd(values), halves(word, group % 2, true), *sum);
        }
    }
}

/// The loops that need every register.
#[cfg(mixel_dsp)]
mod asm {
    use super::{MAX_CHANNELS, Sums};

    /// Rows of sums are 64 bytes apart.
    const _: () = assert!(MAX_CHANNELS * 4 == 64);

    /// Even or odd inputs of a group of three rows times those of two channels: r10 and r11 weights, moved down to the halves of
    /// the group; the last row's load moves on to the next group.
    macro_rules! pairs {
        ($shift:literal, $first:literal, $second:literal, $third:literal) => {
            concat!(
                "and r2, r12, r10",
                $shift,
                "\nand r3, r12, r11",
                $shift,
                "\nldr lr, [r0, #",
                $first,
                "]
                smlad r4, r2, lr, r4
                smlad r7, r3, lr, r7
                ldr lr, [r0, #",
                $second,
                "]
                smlad r5, r2, lr, r5
                smlad r8, r3, lr, r8
                ldr lr, [r0, #",
                $third,
                "
                smlad r6, r2, lr, r6
                smlad r9, r3, lr, r9"
            )
        };
    }

    /// Eight inputs of three staged rows times two channels are 1 + 4 * 11 instructions and 3 for the loop: 48 products.
    ///
    /// # Safety
    /// See [`super::add_3x2`].
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn add_3x2(x: *const u32, w: *const u32, groups: usize, sums: &mut Sums) {
        // r0 x less a word, r1 w, r4-r6 sums of the first channel, r7-r9 of the second. Stack: 0 end, 4 groups, 8 sums.
        core::arch::naked_asm!(
            cpu!(),
            "push {{r1-r11, lr}}",
            "lsrs r2, r2, #1",
            "add r2, r2, r2, lsl #1",
            "subs r0, #4",
            "add r2, r0, r2, lsl #4",
            "str r2, [sp]",
            "mov r12, #0x000f000f",
            "ldrd r4, r7, [r3]",
            "ldrd r5, r8, [r3, #64]",
            "ldrd r6, r9, [r3, #128]",
            "cmp r0, r2",
            "beq 3f",
            "2:",
            "ldrd r10, r11, [r1], #16",
            pairs!("", "4", "8", "12]"),
            pairs!(", lsr #8", "16", "20", "24]!"),
            pairs!(", lsr #4", "4", "8", "12]"),
            pairs!(", lsr #12", "16", "20", "24]!"),
            "ldr lr, [sp]",
            "cmp r0, lr",
            "bne 2b",
            "3:",
            "ldr r2, [sp, #4]",
            "lsls r2, r2, #31",
            "beq 4f",
            "ldrd r10, r11, [r1]",
            pairs!("", "4", "8", "12]"),
            pairs!(", lsr #8", "16", "20", "24]"),
            "4:",
            "ldr r2, [sp, #8]",
            "strd r4, r7, [r2]",
            "strd r5, r8, [r2, #64]",
            "strd r6, r9, [r2, #128]",
            "pop {{r1-r11, pc}}",
        )
    }

    /// Four or eight inputs of a row, widened in r8, r9, r2 and r3, times those of one channel.
    macro_rules! channel {
        ($sum:literal) => {
            concat!(
                first!($sum),
                "\nand r11, r12, r10, lsr #4
                smlad ",
                $sum,
                ", r2, r11, ",
                $sum,
                "\nand r11, r12, r10, lsr #12
                smlad ",
                $sum,
                ", r3, r11, ",
                $sum
            )
        };
    }
    macro_rules! first {
        ($sum:literal) => {
            concat!(
                "ldr r10, [r1], #4
                and r11, r12, r10
                smlad ",
                $sum,
                ", r8, r11, ",
                $sum,
                "\nand r11, r12, r10, lsr #8
                smlad ",
                $sum,
                ", r9, r11, ",
                $sum
            )
        };
    }

    /// Eight inputs of a row times four channels are 6 + 4 * 9 instructions and 2 for the loop: 32 products.
    ///
    /// # Safety
    /// See [`super::add_1x4`].
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn add_1x4(
        x: *const i8,
        w: *const u32,
        groups: usize,
        sums: &mut [i32; MAX_CHANNELS],
    ) {
        // r0 x, r1 w, r4-r7 sums, lr end of the pairs of groups. Stack: 0 groups, 4 sums.
        core::arch::naked_asm!(
            cpu!(),
            "push {{r2-r11, lr}}",
            "lsrs r2, r2, #1",
            "add lr, r0, r2, lsl #3",
            "mov r12, #0x000f000f",
            "ldm r3, {{r4-r7}}",
            "cmp r0, lr",
            "beq 3f",
            "2:",
            "ldr r9, [r0], #4",
            "sxtb16 r8, r9",
            "sxtb16 r9, r9, ror #8",
            "ldr r3, [r0], #4",
            "sxtb16 r2, r3",
            "sxtb16 r3, r3, ror #8",
            channel!("r4"),
            channel!("r5"),
            channel!("r6"),
            channel!("r7"),
            "cmp r0, lr",
            "bne 2b",
            "3:",
            "ldr r2, [sp]",
            "lsls r2, r2, #31",
            "beq 4f",
            "ldr r9, [r0]",
            "sxtb16 r8, r9",
            "sxtb16 r9, r9, ror #8",
            first!("r4"),
            first!("r5"),
            first!("r6"),
            first!("r7"),
            "4:",
            "ldr r2, [sp, #4]",
            "stm r2, {{r4-r7}}",
            "pop {{r2-r11, pc}}",
        )
    }
}
