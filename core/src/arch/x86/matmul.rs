//! Products of two activations with AVX2: `VPMADDWD` multiplies 16 pairs of 16-bit values and adds neighbours, which lie one behind
//! the other in depth. Without their zero points values have 9 bits, so that products and sums of two are exact.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::host_matmul::{LANES, ROWS};
use super::super::product::Matrices;
use super::avx2::{narrow, scale};
use crate::kernels::requant::{Channel, Scale};

/// Rows times a panel of columns: what [`super::super::host_matmul::multiply`] says.
///
/// # Safety
/// The matrices have their rows and columns, `y` room for rows `stride` apart, `scratch` for the packed columns, filled up to a multiple
/// of [`LANES`], and [`ROWS`] rows in pairs. The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn panel(
    matrices: &Matrices<'_>,
    scratch: *mut i32,
    (y, stride): (*mut i8, usize),
) {
    let Matrices { a: (a, a_row), zero_a, b: (b, [down, across]), zero_b, sizes, .. } = *matrices;
    let [rows, depth, columns] = sizes;
    let (pairs, blocks) = (depth.div_ceil(2), columns.div_ceil(LANES));
    let packed = scratch;
    let staged = scratch.wrapping_add(blocks * LANES * pairs);
    // [block of columns][pair][column]
    for column in 0..blocks * LANES {
        let from = b.as_ptr().wrapping_add(column * across);
        let to = packed.wrapping_add(column / LANES * LANES * pairs + column % LANES);
        if column < columns {
            // SAFETY: the column lies in the second operand.
            let value = |at: usize| unsafe { (from.wrapping_add(at * down).read() as i32) - zero_b };
            // SAFETY: the pair lies in the packed columns.
            unsafe { pack(depth, value, |pair, both| to.wrapping_add(pair * LANES).write(both)) };
        } else {
            // SAFETY: the pair lies in the packed columns.
            (0..pairs).for_each(|pair| unsafe { to.wrapping_add(pair * LANES).write(0) });
        }
    }
    let mut row = 0;
    while row < rows {
        let count = ROWS.min(rows - row);
        for index in 0..count {
            let from = a.as_ptr().wrapping_add((row + index) * a_row);
            let to = staged.wrapping_add(index * pairs);
            // SAFETY: the row lies in the first operand.
            let value = |at: usize| unsafe { (from.wrapping_add(at).read() as i32) - zero_a };
            // SAFETY: the pair lies in the staged rows.
            unsafe { pack(depth, value, |pair, both| to.wrapping_add(pair).write(both)) };
        }
        for block in 0..blocks {
            let b = packed.wrapping_add(block * LANES * pairs).cast_const();
            let to = y.wrapping_add(row * stride + block * LANES);
            let lanes = LANES.min(columns - block * LANES);
            // SAFETY: the rows are staged, the block is packed, the results are there.
            unsafe {
                match count {
                    1 => tile::<1>(staged, b, pairs).finish(matrices, to, (stride, lanes)),
                    2 => tile::<2>(staged, b, pairs).finish(matrices, to, (stride, lanes)),
                    3 => tile::<3>(staged, b, pairs).finish(matrices, to, (stride, lanes)),
                    _ => tile::<4>(staged, b, pairs).finish(matrices, to, (stride, lanes)),
                }
            }
        }
        row += count;
    }
}

/// `depth` values as pairs of 16 bits, the last filled up with 0.
#[inline(always)]
fn pack(depth: usize, value: impl Fn(usize) -> i32, mut put: impl FnMut(usize, i32)) {
    for pair in 0..depth / 2 {
        put(pair, value(2 * pair) & 0xFFFF | value(2 * pair + 1) << 16);
    }
    if depth % 2 == 1 {
        put(depth / 2, value(depth - 1) & 0xFFFF);
    }
}

/// Sums of `R` rows and [`LANES`] columns.
struct Sums<const R: usize>([[__m256i; 2]; R]);

/// # Safety
/// `R` rows of pairs at `a`, one behind the other, and a block of columns at `b`. The machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(a: *const i32, b: *const i32, pairs: usize) -> Sums<R> {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    for pair in 0..pairs {
        let b = b.wrapping_add(pair * LANES);
        // SAFETY: the pair lies in the block, and in every row.
        unsafe {
            let columns = [_mm256_loadu_si256(b.cast()), _mm256_loadu_si256(b.wrapping_add(8).cast())];
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = _mm256_set1_epi32(a.wrapping_add(row * pairs + pair).read());
                for (sum, columns) in sums.iter_mut().zip(columns) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(value, columns));
                }
            }
        }
    }
    Sums(sums)
}

impl<const R: usize> Sums<R> {
    /// Results of the first `lanes` columns, rows `stride` apart.
    ///
    /// # Safety
    /// They are there. The machine has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn finish(self, matrices: &Matrices<'_>, y: *mut i8, (stride, lanes): (usize, usize)) {
        let Scale { multiplier, shift } = matrices.scale;
        let (biases, multipliers, shifts) = ([0; 8], [multiplier; 8], [shift; 8]);
        for (row, sums) in self.0.into_iter().enumerate() {
            let y = y.wrapping_add(row * stride);
            // SAFETY: eight of each.
            let [low, high] = sums
                .map(|sums| unsafe { scale(sums, biases.as_ptr(), multipliers.as_ptr(), shifts.as_ptr()) });
            let mut bytes = [0i8; LANES];
            if let (Some(low), Some(high)) = (low, high) {
                let values = narrow([low, high], matrices.clamp);
                // SAFETY: sixteen bytes.
                unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), values) };
            } else {
                let mut all = [0i32; LANES];
                for (all, sums) in all.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                    // SAFETY: eight values.
                    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), sums) };
                }
                let finish = Channel { bias: 0, scale: matrices.scale };
                bytes = all.map(|sum| finish.apply(sum, matrices.clamp));
            }
            // SAFETY: the results are there.
            unsafe { y.copy_from_nonoverlapping(bytes.as_ptr(), lanes) };
        }
    }
}
