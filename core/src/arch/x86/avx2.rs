//! AVX2: `VPMADDWD` multiplies 16 pairs of 16-bit values and adds neighbours. Inputs and weights are widened as they are
//! loaded, so products are exact and the heads of the weight blocks are not needed. (`VPMADDUBSW` would saturate.)
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::rows::Task;
use crate::kernels::requant::{Clamp, Quantized};

/// Outputs of a block.
const LANES: usize = 16;
/// Rows of a tile: two times four sums, four weights, two inputs.
const ROWS: usize = 2;
/// Bytes in front of a block's weights.
const HEAD: usize = 4 * LANES;

/// See [`super::super::rows::outputs`].
///
/// # Safety
/// The task was checked, and the machine has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn product<Y: Quantized>(task: &Task<Y>) {
    for first in (0..task.outputs).step_by(LANES) {
        let weights = task.weights.wrapping_add(first / LANES * task.block + HEAD);
        let mut row = 0;
        while row < task.rows {
            // SAFETY: the rows and the block are there.
            row += unsafe {
                if row + ROWS <= task.rows {
                    tile::<Y, ROWS>(task, weights, first, row)
                } else {
                    tile::<Y, 1>(task, weights, first, row)
                }
            };
        }
    }
}

/// `R` rows from `row` on times the block of outputs `first ..`; gives `R`.
///
/// # Safety
/// The task has the rows and the block; the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn tile<Y: Quantized, const R: usize>(
    task: &Task<Y>,
    weights: *const i8,
    first: usize,
    row: usize,
) -> usize {
    // A vector holds four outputs, two sums each.
    let mut sums = [[_mm256_setzero_si256(); 4]; R];
    let mut w = weights;
    for segment in 0..task.segments {
        // SAFETY: segment < segments.
        let mut x = unsafe { task.segment(segment) }.wrapping_add(row * task.step);
        for _ in 0..task.groups {
            let mut values = [_mm256_setzero_si256(); R];
            for (row, value) in values.iter_mut().enumerate() {
                // SAFETY: the group lies in the row.
                let four = unsafe { x.wrapping_add(row * task.step).cast::<i32>().read_unaligned() };
                *value = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
            }
            for part in 0..4 {
                // SAFETY: the group lies in the block.
                let four = unsafe { _mm_loadu_si128(w.wrapping_add(16 * part).cast()) };
                let four = _mm256_cvtepi8_epi16(four);
                for (sums, &value) in sums.iter_mut().zip(&values) {
                    sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(value, four));
                }
            }
            w = w.wrapping_add(4 * LANES);
            x = x.wrapping_add(4);
        }
    }
    for (index, [a, b, c, d]) in sums.into_iter().enumerate() {
        // Neighbours added, outputs in their order again.
        let low = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b));
        let high = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(c, d));
        // SAFETY: the row and the outputs are there.
        unsafe { finish(task, row + index, first, [low, high]) };
    }
    R
}

/// Sums of 16 outputs of a row, of which some may not exist, to outputs.
///
/// # Safety
/// The task has the row and output `first`; the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn finish<Y: Quantized>(task: &Task<Y>, row: usize, first: usize, sums: [__m256i; 2]) {
    if size_of::<Y>() == 1 && first + LANES <= task.outputs {
        let mut parts = [_mm256_setzero_si256(); 2];
        let mut exact = true;
        for (half, (part, sums)) in parts.iter_mut().zip(sums).enumerate() {
            let at = first + 8 * half;
            // SAFETY: all 16 outputs are there.
            let scaled =
                unsafe { scale(sums, task.bias.add(at), task.multiplier.add(at), task.shift.add(at)) };
            exact &= scaled.is_some();
            *part = scaled.unwrap_or(*part);
        }
        if exact {
            let bytes = narrow(parts, task.clamp);
            // SAFETY: as above.
            unsafe { _mm_storeu_si128(task.y.add(row * task.stride + first).cast(), bytes) };
            return;
        }
    }
    let mut all = [0i32; LANES];
    // SAFETY: 16 places; the row is there.
    unsafe {
        _mm256_storeu_si256(all.as_mut_ptr().cast(), sums[0]);
        _mm256_storeu_si256(all.as_mut_ptr().add(8).cast(), sums[1]);
        task.finish(row, first, all);
    }
}

/// Eight sums as steps of the output, without its zero point; none when a shift is below 33.
///
/// # Safety
/// The pointers are valid for 8 reads; the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn scale(
    sums: __m256i,
    bias: *const i32,
    multiplier: *const i32,
    shift: *const u8,
) -> Option<__m256i> {
    // SAFETY: the caller's.
    let (bias, multiplier, shift) = unsafe {
        (
            _mm256_loadu_si256(bias.cast()),
            _mm256_loadu_si256(multiplier.cast()),
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(shift.cast())),
        )
    };
    if _mm256_movemask_epi8(_mm256_cmpgt_epi32(_mm256_set1_epi32(33), shift)) != 0 {
        return None;
    }
    let sums = _mm256_add_epi32(sums, bias);
    let even = _mm256_mul_epi32(sums, multiplier);
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), _mm256_srli_epi64::<32>(multiplier));
    let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
    let half = _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(shift, _mm256_set1_epi32(33)));
    let shift = _mm256_sub_epi32(shift, _mm256_set1_epi32(32));
    Some(_mm256_srav_epi32(_mm256_add_epi32(high, half), shift))
}

/// 16 scaled sums as 8-bit outputs. Saturating to 16 bits before the zero point is added changes nothing: what saturates
/// stays saturated.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn narrow([low, high]: [__m256i; 2], clamp: Clamp) -> __m128i {
    let halves = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
    let halves = _mm256_adds_epi16(halves, _mm256_set1_epi16(clamp.zero_point as i16));
    let bytes = _mm_packs_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    _mm_min_epi8(_mm_max_epi8(bytes, _mm_set1_epi8(clamp.min as i8)), _mm_set1_epi8(clamp.max as i8))
}
