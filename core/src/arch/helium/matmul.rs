//! Products of two activations: the second operand is brought into the order of weights first, once for all rows of the first.
//!
//! `sum (a - za) * (b - zb)` is `sum a * b` with a part that belongs to a column, which is its bias, and one that belongs to a
//! row, which is added to all of its sums.

use super::super::view::{In, Out};
use super::product::{Row, row_of_one_scale};
use super::{CHANNELS, GROUP, limit};
use crate::kernels::requant::{Clamp, Scale};

/// Bytes of scratch memory for a second operand of `depth` rows and `columns` columns: the columns, and their biases.
pub fn bytes(depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(CHANNELS) * (depth.next_multiple_of(GROUP) + size_of::<i32>())
}

/// Two matrices.
pub struct Product<'a> {
    /// `[rows][depth]`, and the elements from a row to the next.
    pub a: (In<'a, i8>, usize),
    /// Its zero point.
    pub zero_a: i32,
    /// Second operand, and the elements from one value of a column to the next, and from column to column.
    pub b: (In<'a, i8>, [usize; 2]),
    /// Its zero point.
    pub zero_b: i32,
    /// Rows, depth, columns: all at least 1.
    pub sizes: [usize; 3],
    /// Factor of the sums, its shift at least 33.
    pub scale: Scale,
    /// Zero point and range of the results.
    pub clamp: Clamp,
}

/// Results `[rows][columns]`, rows `stride` apart. Nothing happens, and false comes back, when something is too short or too
/// far apart.
pub fn multiply(product: &Product<'_>, scratch: Out<'_, i32>, (y, stride): (Out<'_, i8>, usize)) -> bool {
    let Product { a: (a, a_row), zero_a, b: (b, [down, across]), zero_b, sizes, scale, clamp } = *product;
    let [rows, depth, columns] = sizes;
    let (Some(last_row), Some(last_value), Some(last_column)) =
        (rows.checked_sub(1), depth.checked_sub(1), columns.checked_sub(1))
    else {
        return false;
    };
    let operands = a.len() >= last_row * a_row + depth && b.len() > last_value * down + last_column * across;
    let room =
        scratch.len() * size_of::<i32>() >= bytes(depth, columns) && y.len() >= last_row * stride + columns;
    // Places of eight values are 16 bits.
    if !operands || !room || scale.shift < 33 || down > u16::MAX as usize / 8 {
        return false;
    }
    let filled = columns.next_multiple_of(CHANNELS);
    let (biases, block) = (scratch.as_mut_ptr(), depth.next_multiple_of(GROUP) * CHANNELS);
    let packed = biases.wrapping_add(filled).cast::<i8>();
    for column in 0..columns {
        let to = packed.wrapping_add(column / CHANNELS * block + column % CHANNELS * GROUP);
        // SAFETY: the column lies in `b`, its place and its bias in the scratch memory.
        unsafe {
            let sum = pack(b.as_ptr().add(column * across), to, depth, down);
            let both = (depth as i32).wrapping_mul(zero_a).wrapping_mul(zero_b);
            biases.add(column).write(both.wrapping_sub(sum.wrapping_mul(zero_a)));
        }
    }
    let (multiplier, shift) = ([scale.multiplier; CHANNELS], [scale.shift; CHANNELS]);
    let whole = columns / CHANNELS;
    for row in 0..rows {
        let x = a.as_ptr().wrapping_add(row * a_row);
        // SAFETY: the row has `depth` values.
        let sum = if zero_b == 0 { 0 } else { unsafe { total(x, depth) } };
        let mut task = Row {
            y: y.as_mut_ptr().wrapping_add(row * stride),
            shift: shift.as_ptr(),
            x,
            depth,
            bias: biases,
            multiplier: multiplier.as_ptr(),
            w: packed,
            blocks: whole,
            zero_point: clamp.zero_point,
            thirty_two: 32,
            offset: sum.wrapping_mul(zero_b).wrapping_neg(),
        };
        // What a last block gives too much lies where the next row's results come, but for the last row.
        let spills = row < last_row && stride >= CHANNELS;
        task.blocks = if spills { filled / CHANNELS } else { whole };
        // SAFETY: packed columns and biases are whole blocks; those that are not filled are of no consequence, and only the
        // columns that there are stay results.
        unsafe {
            if task.blocks > 0 {
                row_of_one_scale(&task);
            }
            if columns > task.blocks * CHANNELS {
                let (mut rest, to) = ([0i8; CHANNELS], task.y.add(whole * CHANNELS));
                (task.y, task.blocks) = (rest.as_mut_ptr(), 1);
                (task.w, task.bias) = (packed.add(whole * block), biases.add(whole * CHANNELS));
                row_of_one_scale(&task);
                to.copy_from_nonoverlapping(rest.as_ptr(), columns - whole * CHANNELS);
            }
        }
    }
    (0..rows).for_each(|row| limit(y.window(row * stride, columns), clamp));
    true
}

/// Brings `depth` values that lie `step` apart to groups of 16 bytes, 64 from one to the next, filled up with zeros; gives
/// their sum.
///
/// # Safety
/// `from` is valid for reads of the values, `to` for writes of whole groups; eight steps fit 16 bits.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn pack(from: *const i8, to: *mut i8, depth: usize, step: usize) -> i32 {
    // r4 eight steps, r6 sum; q1 places.
    helium!(
        "push {{r4, r6, r7, lr}}",
        "movs r6, #0",
        "vidup.u16 q1, r6, #1",
        "vmul.i16 q1, q1, r3",
        "movs r6, #0",
        "lsls r4, r3, #3",
        "2:",
        "vctp.16 r2",
        "vpstt",
        "vldrbt.s16 q0, [r0, q1]",
        "vaddvat.s16 r6, q0",
        "vstrb.16 q0, [r1]",
        "add r0, r4",
        "subs r2, #8",
        "it ls",
        "movls r2, #0",
        "vctp.16 r2",
        "vpstt",
        "vldrbt.s16 q0, [r0, q1]",
        "vaddvat.s16 r6, q0",
        "vstrb.16 q0, [r1, #8]",
        "add r0, r4",
        "adds r1, #64",
        "subs r2, #8",
        "bhi 2b",
        "mov r0, r6",
        "pop {{r4, r6, r7, pc}}",
    )
}

#[cfg(not(mixel_helium))]
unsafe fn pack(from: *const i8, to: *mut i8, depth: usize, step: usize) -> i32 {
    (0..depth.next_multiple_of(GROUP)).fold(0, |sum, at| {
        // SAFETY: the caller's.
        unsafe {
            let value = if at < depth { *from.add(at * step) } else { 0 };
            to.add(at / GROUP * GROUP * CHANNELS + at % GROUP).write(value);
            sum + value as i32
        }
    })
}

/// The sum of `count` values.
///
/// # Safety
/// `values` is valid for `count` reads.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn total(values: *const i8, count: usize) -> i32 {
    helium!(
        "push {{r7, lr}}",
        "mov r2, r0",
        "movs r0, #0",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r2], #16",
        "vaddva.s8 r0, q0",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

#[cfg(not(mixel_helium))]
unsafe fn total(values: *const i8, count: usize) -> i32 {
    // SAFETY: the caller's.
    (0..count).map(|index| unsafe { *values.add(index) } as i32).sum()
}
