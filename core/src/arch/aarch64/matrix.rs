//! Rows times blocks of four channels by four inputs: the order of `SDOT`, which adds four products to each of four sums.
//! Without it, `SMULL` multiplies eight bytes and `SADALP` adds neighbours.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::rows::Task;
use super::scale::{Scales, store};
use crate::kernels::requant::Quantized;

/// Outputs of a block.
const LANES: usize = 4;
/// Blocks of a tile. With [`ROWS`] rows, sums, weights and inputs take 24 of 32 registers.
const BLOCKS: usize = 4;
/// Rows of a tile.
const ROWS: usize = 4;

/// See [`super::super::rows::outputs`].
///
/// # Safety
/// The task was checked; with `DOT` the machine has the dot product.
pub(in super::super) unsafe fn product<Y: Quantized, const DOT: bool>(task: &Task<Y>) {
    let mut first = 0;
    while first < task.outputs {
        // SAFETY: the caller's, and the blocks are there.
        first += unsafe {
            if task.outputs - first > (BLOCKS - 1) * LANES {
                blocks::<Y, DOT, BLOCKS>(task, first)
            } else {
                blocks::<Y, DOT, 1>(task, first)
            }
        };
    }
}

/// All rows times `B` blocks from output `first` on; gives the number of outputs.
///
/// # Safety
/// As for [`product`]; the task has the blocks.
#[target_feature(enable = "neon")]
unsafe fn blocks<Y: Quantized, const DOT: bool, const B: usize>(task: &Task<Y>, first: usize) -> usize {
    // SAFETY: constants of outputs that are there.
    let scales = |block: usize| unsafe {
        let output = first + block * LANES;
        let constants = (task.bias.add(output), task.multiplier.add(output), task.shift.add(output));
        Scales::new(constants, task.outputs - output)
    };
    let mut all = [scales(0); B];
    for (block, place) in all.iter_mut().enumerate().skip(1) {
        *place = scales(block);
    }
    let mut row = 0;
    while row < task.rows {
        // SAFETY: rows and blocks are there.
        row += unsafe {
            if row + ROWS <= task.rows {
                tile::<Y, DOT, B, ROWS>(task, (first, row), &all)
            } else {
                tile::<Y, DOT, B, 1>(task, (first, row), &all)
            }
        };
    }
    B * LANES
}

/// `R` rows times `B` blocks; gives `R`.
///
/// # Safety
/// As for [`blocks`]; the task has the rows.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<Y: Quantized, const DOT: bool, const B: usize, const R: usize>(
    task: &Task<Y>,
    (first, row): (usize, usize),
    scales: &[Scales; B],
) -> usize {
    let zero = vdupq_n_s32(0);
    // Without the dot product a block's sums are halves in two vectors.
    let (mut sums, mut more) = ([[zero; B]; R], [[zero; B]; R]);
    let mut w = task.weights.wrapping_add(first / LANES * task.block);
    for segment in 0..task.segments {
        // SAFETY: segment < segments.
        let mut x = unsafe { task.segment(segment) }.wrapping_add(row * task.step);
        for _ in 0..task.groups {
            let mut weights = [vdupq_n_s8(0); B];
            for (block, weights) in weights.iter_mut().enumerate() {
                // SAFETY: the group lies in the block.
                *weights = unsafe { vld1q_s8(w.wrapping_add(block * task.block)) };
            }
            for (row, (sums, more)) in sums.iter_mut().zip(&mut more).enumerate() {
                // SAFETY: the group lies in the row.
                let four = unsafe { x.wrapping_add(row * task.step).cast::<i32>().read_unaligned() };
                let values = vreinterpretq_s8_s32(vdupq_n_s32(four));
                for ((sum, more), &weights) in sums.iter_mut().zip(more).zip(&weights) {
                    if DOT {
                        // SAFETY: the caller says that the machine has it.
                        *sum = unsafe { dot(*sum, weights, values) };
                    } else {
                        let low = vmull_s8(vget_low_s8(weights), vget_low_s8(values));
                        *sum = vpadalq_s16(*sum, low);
                        *more = vpadalq_s16(*more, vmull_high_s8(weights, values));
                    }
                }
            }
            (x, w) = (x.wrapping_add(4), w.wrapping_add(4 * LANES));
        }
    }
    for (of, (sums, more)) in sums.into_iter().zip(more).enumerate() {
        for (block, (sum, more)) in sums.into_iter().zip(more).enumerate() {
            let output = first + block * LANES;
            let sum = if DOT { sum } else { vpaddq_s32(sum, more) };
            let values = scales[block].outputs(vaddq_s32(sum, scales[block].bias), task.clamp);
            let to = task.y.wrapping_add((row + of) * task.stride + output);
            // SAFETY: outputs of the row, as many as there are.
            unsafe { store(values, task.outputs - output, to) };
        }
    }
    R
}

/// `SDOT`: to each sum the products of its four weights with its four values.
///
/// # Safety
/// The machine has the instruction.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn dot(sum: int32x4_t, weights: int8x16_t, values: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: register arithmetic that the machine has.
    unsafe {
        core::arch::asm!(
            ".arch_extension dotprod",
            "sdot {:v}.4s, {:v}.16b, {:v}.16b",
            inlateout(vreg) sum, in(vreg) weights, in(vreg) values,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
