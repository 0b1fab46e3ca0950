//! AVX-VNNI: `VPDPBUSD` on 32 bytes, for processors without AVX-512. As there, inputs are made unsigned by a flipped bit, and
//! sums begin with the heads of the weight blocks.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::rows::Task;
use super::avx2::finish;
use crate::kernels::requant::Quantized;

/// Outputs of a block.
const LANES: usize = 16;
/// Rows of a tile: eight sums, two weights, an input.
const ROWS: usize = 4;
/// Bytes in front of a block's weights.
const HEAD: usize = 4 * LANES;

/// See [`super::super::rows::outputs`].
///
/// # Safety
/// The task was checked, and the machine has the instructions.
#[target_feature(enable = "avx2,avxvnni")]
pub(in super::super) unsafe fn product<Y: Quantized>(task: &Task<Y>) {
    for first in (0..task.outputs).step_by(LANES) {
        let block = task.weights.wrapping_add(first / LANES * task.block);
        let mut row = 0;
        while row < task.rows {
            // SAFETY: the rows and the block are there.
            row += unsafe {
                if row + ROWS <= task.rows {
                    tile::<Y, ROWS>(task, block, (first, row))
                } else {
                    tile::<Y, 1>(task, block, (first, row))
                }
            };
        }
    }
}

/// `R` rows from `row` on times the block of outputs `first ..`; gives `R`.
///
/// # Safety
/// The task has the rows and the block; the machine has the instructions.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn tile<Y: Quantized, const R: usize>(
    task: &Task<Y>,
    block: *const i8,
    (first, row): (usize, usize),
) -> usize {
    // SAFETY: eight 32-bit values, or 32 weights, of the block.
    let load = |at: *const i8| unsafe { _mm256_loadu_si256(at.cast()) };
    let mut sums = [[load(block), load(block.wrapping_add(32))]; R];
    let flip = _mm256_set1_epi8(-128);
    let mut w = block.wrapping_add(HEAD);
    for segment in 0..task.segments {
        // SAFETY: segment < segments.
        let mut x = unsafe { task.segment(segment) }.wrapping_add(row * task.step);
        for _ in 0..task.groups {
            let weights = [load(w), load(w.wrapping_add(32))];
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the group lies in the row.
                let four = unsafe { x.wrapping_add(row * task.step).cast::<i32>().read_unaligned() };
                let four = _mm256_xor_si256(_mm256_set1_epi32(four), flip);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_dpbusd_avx_epi32(*sum, four, weights);
                }
            }
            (x, w) = (x.wrapping_add(4), w.wrapping_add(4 * LANES));
        }
    }
    for (of, sums) in sums.into_iter().enumerate() {
        // SAFETY: the row and the outputs are there.
        unsafe { finish(task, row + of, first, sums) };
    }
    R
}
