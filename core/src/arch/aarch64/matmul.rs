//! Products of two activations with NEON: `SMLAL` multiplies four columns by one value of a row. Without their zero points values have
//! 9 bits, so that they become 16 bits wide and products are exact.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::product::Matrices;
use super::super::view::In;
use super::few;
use super::scale::{Range, Scales};

/// Columns of a packed block, and values of a row that are read at once.
const LANES: usize = 8;
/// Blocks of a tile. With [`ROWS`] rows, sums, columns and values take 22 of 32 registers.
const BLOCKS: usize = 2;
/// Rows of a tile.
const ROWS: usize = 4;

/// Rows times a panel of columns: what [`super::super::host_matmul::multiply`] says.
///
/// # Safety
/// The matrices have their rows and columns, and either columns or the values of a column lie side by side. `y` has room for rows `stride`
/// apart, `scratch` for twice as many bytes as there are values in columns, filled up to a multiple of [`LANES`] columns.
#[target_feature(enable = "neon")]
pub(in super::super) unsafe fn panel(
    matrices: &Matrices<'_>,
    scratch: *mut i32,
    (y, stride): (*mut i8, usize),
) {
    let Matrices { sizes: [_, depth, columns], .. } = *matrices;
    let packed = scratch.cast::<i16>();
    for first in (0..columns).step_by(LANES) {
        // SAFETY: the columns are there, and the block in the scratch memory.
        unsafe { pack(matrices, first, packed.wrapping_add(first * depth)) };
    }
    for first in (0..columns).step_by(BLOCKS * LANES) {
        let block = packed.wrapping_add(first * depth).cast_const();
        // SAFETY: the blocks are packed.
        unsafe {
            if columns - first > LANES {
                blocks::<BLOCKS>(matrices, (first, block), (y, stride));
            } else {
                blocks::<1>(matrices, (first, block), (y, stride));
            }
        }
    }
}

/// Eight elements from `at` on, or those that are left of the window; the rest has no meaning.
///
/// # Safety
/// `at` is not beyond the window's end.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(x: In<'_, i8>, at: usize) -> int8x8_t {
    let mut some = [0; LANES];
    // SAFETY: the elements are there.
    unsafe {
        let from = x.as_ptr().wrapping_add(at);
        if x.len() - at >= LANES {
            return vld1_s8(from);
        }
        few::copy(from, some.as_mut_ptr(), x.len() - at);
        vld1_s8(some.as_ptr())
    }
}

/// The columns from `first` on without their zero point, as `[depth][LANES]`; those that do not exist have no meaning.
///
/// # Safety
/// `first` is below the number of columns; `to` is valid for all of that. See [`panel`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pack(matrices: &Matrices<'_>, first: usize, to: *mut i16) {
    let Matrices { b: (b, [down, across]), zero_b, sizes: [_, depth, columns], .. } = *matrices;
    let zero = vdup_n_s8(zero_b as i8);
    if across == 1 {
        for at in 0..depth {
            // SAFETY: the row has column `first`; the block has the row.
            unsafe {
                let values = load(b, at * down + first);
                vst1q_s16(to.wrapping_add(at * LANES), vsubl_s8(values, zero));
            }
        }
        return;
    }
    for at in (0..depth).step_by(LANES) {
        let mut lines = [zero; LANES];
        let whole = first + LANES <= columns && at + LANES <= depth;
        if whole {
            for (index, line) in lines.iter_mut().enumerate() {
                // SAFETY: the column has eight values from `at` on.
                *line = unsafe { vld1_s8(b.as_ptr().wrapping_add((first + index) * across + at)) };
            }
        } else {
            for (column, line) in (first..columns).zip(&mut lines) {
                // SAFETY: the column has value `at`.
                *line = unsafe { load(b, column * across + at) };
            }
        }
        let count = if whole { LANES } else { depth - at };
        for (index, pair) in transposed(lines).into_iter().enumerate() {
            let to = to.wrapping_add((at + 2 * index) * LANES);
            // SAFETY: the block has the rows.
            unsafe {
                if 2 * index < count {
                    vst1q_s16(to, vsubl_s8(vget_low_s8(pair), zero));
                }
                if 2 * index + 1 < count {
                    vst1q_s16(to.wrapping_add(LANES), vsubl_high_s8(pair, vcombine_s8(zero, zero)));
                }
            }
        }
    }
}

/// Two rows each of an 8 by 8 matrix whose columns are `lines`. A place has six bits, three of the line in front of three of the value;
/// to take the first half and the second one in turn is to move the first bit behind the others, which three times gives rows.
#[inline]
#[target_feature(enable = "neon")]
fn transposed([a, b, c, d, e, f, g, h]: [int8x8_t; 8]) -> [int8x16_t; 4] {
    let mut pairs = [vcombine_s8(a, b), vcombine_s8(c, d), vcombine_s8(e, f), vcombine_s8(g, h)];
    for _ in 0..3 {
        let [a, b, c, d] = pairs;
        pairs = [vzip1q_s8(a, c), vzip2q_s8(a, c), vzip1q_s8(b, d), vzip2q_s8(b, d)];
    }
    pairs
}

/// All rows times `B` packed blocks, columns `first` and on.
///
/// # Safety
/// See [`panel`]; the blocks lie at `block`, one behind the other.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn blocks<const B: usize>(
    matrices: &Matrices<'_>,
    (first, block): (usize, *const i16),
    (y, stride): (*mut i8, usize),
) {
    let [rows, _, columns] = matrices.sizes;
    let (scales, range) = (Scales::of(matrices.scale), Range::new(matrices.clamp));
    let mut row = 0;
    while row < rows {
        let to = y.wrapping_add(row * stride + first);
        // SAFETY: the rows are there, and their results.
        row += unsafe {
            if row + ROWS <= rows {
                let sums = tile::<B, ROWS>(matrices, row, block);
                finish(sums, (&scales, range), to, (stride, columns - first))
            } else {
                let sums = tile::<B, 1>(matrices, row, block);
                finish(sums, (&scales, range), to, (stride, columns - first))
            }
        };
    }
}

/// Sums of a block's columns.
type Sums = [int32x4_t; 2];

/// Sums of `R` rows from `row` on times `B` blocks.
///
/// # Safety
/// As for [`blocks`]; the rows are there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn tile<const B: usize, const R: usize>(
    matrices: &Matrices<'_>,
    row: usize,
    block: *const i16,
) -> [[Sums; B]; R] {
    let Matrices { a: (a, a_row), zero_a, sizes: [_, depth, _], .. } = *matrices;
    let zero = vdup_n_s8(zero_a as i8);
    let mut sums = [[[vdupq_n_s32(0); 2]; B]; R];
    let mut values = [vdupq_n_s16(0); R];
    let whole = depth / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        for (index, values) in values.iter_mut().enumerate() {
            // SAFETY: eight values of a row.
            *values = unsafe { vsubl_s8(vld1_s8(a.as_ptr().wrapping_add((row + index) * a_row + at)), zero) };
        }
        // SAFETY: eight rows of every block.
        unsafe {
            step::<B, R, 0>(&mut sums, &values, (block, depth), at);
            step::<B, R, 1>(&mut sums, &values, (block, depth), at + 1);
            step::<B, R, 2>(&mut sums, &values, (block, depth), at + 2);
            step::<B, R, 3>(&mut sums, &values, (block, depth), at + 3);
            step::<B, R, 4>(&mut sums, &values, (block, depth), at + 4);
            step::<B, R, 5>(&mut sums, &values, (block, depth), at + 5);
            step::<B, R, 6>(&mut sums, &values, (block, depth), at + 6);
            step::<B, R, 7>(&mut sums, &values, (block, depth), at + 7);
        }
    }
    if whole < depth {
        for (index, values) in values.iter_mut().enumerate() {
            // SAFETY: the row has value `whole`.
            *values = unsafe { vsubl_s8(load(a, (row + index) * a_row + whole), zero) };
        }
        for at in whole..depth {
            // SAFETY: the blocks have the row.
            unsafe { step::<B, R, 0>(&mut sums, &values, (block, depth), at) };
            values = values.map(|values| vextq_s16::<1>(values, values));
        }
    }
    sums
}

/// Adds the products of value `LANE` of every row and of row `at` of every block.
///
/// # Safety
/// The blocks have the row.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn step<const B: usize, const R: usize, const LANE: i32>(
    sums: &mut [[Sums; B]; R],
    values: &[int16x8_t; R],
    (block, depth): (*const i16, usize),
    at: usize,
) {
    for index in 0..B {
        // SAFETY: the caller's.
        let columns = unsafe { vld1q_s16(block.wrapping_add((index * depth + at) * LANES)) };
        for (sums, &values) in sums.iter_mut().zip(values) {
            let [low, high] = &mut sums[index];
            *low = vmlal_laneq_s16::<LANE>(*low, vget_low_s16(columns), values);
            *high = vmlal_high_laneq_s16::<LANE>(*high, columns, values);
        }
    }
}

/// Results of the first `columns` of the sums, rows `stride` apart; gives `R`.
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn finish<const B: usize, const R: usize>(
    sums: [[Sums; B]; R],
    (scales, range): (&Scales, Range),
    y: *mut i8,
    (stride, columns): (usize, usize),
) -> usize {
    for (row, sums) in sums.into_iter().enumerate() {
        let y = y.wrapping_add(row * stride);
        let mut all = [vdupq_n_s32(0); 2 * BLOCKS];
        for (all, sums) in all.iter_mut().zip(sums.as_flattened()) {
            *all = scales.steps(*sums);
        }
        let values = range.bytes(all);
        // SAFETY: the caller's.
        unsafe { few::store(values, y, columns) };
    }
    R
}
